//! What the API says when it does not do what it was asked: Kubernetes' `Status` object.
//!
//! Words only. Which refusal fits is decided where the request is read.

use axum::{
    Json,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};

use super::{patch, resource::Resource, update::Bar, validation};
use crate::{
    manifest::{self, Fault, FaultKind, Faults},
    store,
};

/// A request that was not carried out, and why.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Refusal {
    code: StatusCode,
    reason: &'static str,
    message: String,
    details: Option<Value>,
}

/// Objects that a request names. What it does not name is empty.
pub(super) struct Denied<'a> {
    pub(super) group: &'a str,
    pub(super) resource: &'a str,
    pub(super) name: &'a str,
}

impl Refusal {
    fn plain(code: StatusCode, reason: &'static str, message: String) -> Self {
        Self { code, reason, message, details: None }
    }

    fn of_object(
        code: StatusCode,
        reason: &'static str,
        resource: Resource,
        name: &str,
        message: String,
    ) -> Self {
        let details = Some(json!({"name": name, "kind": resource.plural}));
        Self { code, reason, message, details }
    }

    /// 400: the request cannot be understood.
    pub(super) fn bad_request(message: impl Into<String>) -> Self {
        Self::plain(StatusCode::BAD_REQUEST, "BadRequest", message.into())
    }

    /// 404 for a path that is not part of the API.
    pub(super) fn unknown_path() -> Self {
        let message = "the server could not find the requested resource".to_owned();
        Self::plain(StatusCode::NOT_FOUND, "NotFound", message)
    }

    /// 404 for an object.
    pub(super) fn not_found(resource: Resource, name: &str) -> Self {
        let message = format!("{} {name:?} not found", resource.plural);
        Self::of_object(StatusCode::NOT_FOUND, "NotFound", resource, name, message)
    }

    /// 404 for something that is not a Kubernetes object.
    pub(super) fn absent(message: String) -> Self {
        Self::plain(StatusCode::NOT_FOUND, "NotFound", message)
    }

    pub(super) fn is_not_found(&self) -> bool {
        self.code == StatusCode::NOT_FOUND
    }

    /// 409: the name is taken.
    pub(super) fn already_exists(resource: Resource, name: &str) -> Self {
        let message = format!("{} {name:?} already exists", resource.plural);
        Self::of_object(StatusCode::CONFLICT, "AlreadyExists", resource, name, message)
    }

    /// 409: what the caller assumed is not so.
    pub(super) fn conflict(message: String) -> Self {
        Self::plain(StatusCode::CONFLICT, "Conflict", message)
    }

    /// 409: a delete was meant for another state of the object.
    pub(super) fn precondition(
        resource: Resource,
        name: &str,
        field: &str,
        expected: &str,
        found: &Value,
    ) -> Self {
        Self::conflict(format!("{} {name:?} has {field} {found}, not {expected:?}", resource.plural))
    }

    /// 410: the moment that is asked for is not remembered. The client has to list again.
    pub(super) fn expired(message: String) -> Self {
        Self::plain(StatusCode::GONE, "Expired", message)
    }

    /// 403: understood, and not allowed.
    pub(super) fn forbidden(resource: Resource, name: &str, why: &str) -> Self {
        let message = format!("{} {name:?} is forbidden: {why}", resource.plural);
        Self::of_object(StatusCode::FORBIDDEN, "Forbidden", resource, name, message)
    }

    /// 403: its namespace is on its way out. Clients know that by the cause.
    pub(super) fn closed(resource: Resource, name: &str, namespace: &str) -> Self {
        let because = format!("namespace {namespace} because it is being terminated");
        let mut refusal =
            Self::forbidden(resource, name, &format!("unable to create new content in {because}"));
        if let Some(details) = &mut refusal.details {
            let message = format!("namespace {namespace} is being terminated");
            details["causes"] = json!([{"reason": "NamespaceTerminating", "message": message, "field": "metadata.namespace"}]);
        }
        refusal
    }

    /// 403 for a caller who may not speak at all.
    pub(super) fn stranger(uid: Option<u32>) -> Self {
        let who = uid.map_or("an unknown user".to_owned(), |uid| format!("uid {uid}"));
        let message = format!("only root and the agent's own user may use this socket, not {who}");
        Self::plain(StatusCode::FORBIDDEN, "Forbidden", message)
    }

    /// 401: nobody knows who asks.
    pub(super) fn unauthorized() -> Self {
        Self::plain(StatusCode::UNAUTHORIZED, "Unauthorized", "Unauthorized".to_owned())
    }

    /// 403 for a request that should not have come here.
    pub(super) fn unwelcome(message: &str) -> Self {
        Self::plain(StatusCode::FORBIDDEN, "Forbidden", message.to_owned())
    }

    /// 403 for somebody who is known and may not do that; `what` is the object as far as the request names one.
    pub(super) fn not_allowed(what: Option<Denied<'_>>, why: &str) -> Self {
        let Some(Denied { group, resource, name }) = what else {
            return Self::plain(StatusCode::FORBIDDEN, "Forbidden", format!("forbidden: {why}"));
        };
        let whole = if group.is_empty() { resource.to_owned() } else { format!("{resource}.{group}") };
        let named = if name.is_empty() { whole } else { format!("{whole} {name:?}") };
        let mut details = serde_json::Map::new();
        for (key, value) in [("name", name), ("group", group), ("kind", resource)] {
            if !value.is_empty() {
                details.insert(key.to_owned(), json!(value));
            }
        }
        Self {
            code: StatusCode::FORBIDDEN,
            reason: "Forbidden",
            message: format!("{named} is forbidden: {why}"),
            details: Some(Value::Object(details)),
        }
    }

    /// 429: there are others, and no place beside them.
    pub(super) fn too_many() -> Self {
        let message = "too many connections are open: close some, or try again later".to_owned();
        Self::plain(StatusCode::TOO_MANY_REQUESTS, "TooManyRequests", message)
    }

    /// 405: a verb that this part of the API does not have.
    pub(super) fn method_not_allowed(message: impl Into<String>) -> Self {
        Self::plain(StatusCode::METHOD_NOT_ALLOWED, "MethodNotAllowed", message.into())
    }

    /// 406: none of the forms the client takes.
    pub(super) fn not_acceptable(accepted: &str) -> Self {
        let message =
            format!("no answer can be had as {accepted:?}; there are application/json and Tables of it");
        Self::plain(StatusCode::NOT_ACCEPTABLE, "NotAcceptable", message)
    }

    /// 413.
    pub(super) fn too_large(limit: usize) -> Self {
        let message = format!("the request body is larger than {limit} bytes");
        Self::plain(StatusCode::PAYLOAD_TOO_LARGE, "RequestEntityTooLarge", message)
    }

    /// 415.
    pub(super) fn media_type(found: &str) -> Self {
        let message = format!(
            "the body of the request was in an unknown format {found:?}; accepted are application/json and application/yaml"
        );
        Self::plain(StatusCode::UNSUPPORTED_MEDIA_TYPE, "UnsupportedMediaType", message)
    }

    /// 415 for a way of patching.
    pub(super) fn patch_type(found: &str, accepted: &[&str]) -> Self {
        let message = format!(
            "the body of the request was in an unknown format {found:?}; accepted are {}",
            accepted.join(", ")
        );
        Self::plain(StatusCode::UNSUPPORTED_MEDIA_TYPE, "UnsupportedMediaType", message)
    }

    /// 415 for a way of patching that needs to know who owns each field.
    pub(super) fn server_side_apply(accepted: &[&str]) -> Self {
        let message = format!(
            "server-side apply is not supported yet: use kubectl apply without --server-side; accepted are {}",
            accepted.join(", ")
        );
        Self::plain(StatusCode::UNSUPPORTED_MEDIA_TYPE, "UnsupportedMediaType", message)
    }

    /// 400 for a patch that cannot be read, 422 for one that the object is not fit for.
    pub(super) fn patch(resource: Resource, name: &str, fault: &patch::Fault) -> Self {
        let message = format!("the patch of {} {name:?}: {fault}", resource.plural);
        match fault {
            patch::Fault::Malformed(_) => Self::bad_request(message),
            patch::Fault::Unfit(_) => {
                Self::of_object(StatusCode::UNPROCESSABLE_ENTITY, "Invalid", resource, name, message)
            }
        }
    }

    /// 422 for a change that the object does not allow.
    pub(super) fn barred(resource: Resource, name: &str, bar: &Bar) -> Self {
        let (kind, Bar { reason, field, message }) = (resource.kind.name(), bar);
        let cause = json!({"reason": reason, "field": field, "message": message});
        Self {
            code: StatusCode::UNPROCESSABLE_ENTITY,
            reason: "Invalid",
            message: format!("{kind} {name:?} is invalid: {field}: {message}"),
            details: Some(json!({"name": name, "kind": kind, "causes": [cause]})),
        }
    }

    /// 422 for a part of a spec that cannot change.
    pub(super) fn immutable(resource: Resource, name: &str, field: &str) -> Self {
        let (kind, field) = (resource.kind.name(), format!("spec.{field}"));
        let said = "Invalid value: field is immutable";
        let cause = json!({"reason": "FieldValueInvalid", "field": field, "message": said});
        Self {
            code: StatusCode::UNPROCESSABLE_ENTITY,
            reason: "Invalid",
            message: format!("{kind} {name:?} is invalid: {field}: {said}"),
            details: Some(json!({"name": name, "kind": kind, "causes": [cause]})),
        }
    }

    /// 422 for a change of a spec that cannot change at all.
    pub(super) fn unchangeable(resource: Resource, name: &str) -> Self {
        let kind = resource.kind.name();
        let said = format!(
            "Forbidden: {} updates may not change fields other than metadata.labels and metadata.annotations",
            resource.singular
        );
        let cause = json!({"reason": "FieldValueForbidden", "field": "spec", "message": said});
        Self {
            code: StatusCode::UNPROCESSABLE_ENTITY,
            reason: "Invalid",
            message: format!("{kind} {name:?} is invalid: spec: {said}"),
            details: Some(json!({"name": name, "kind": kind, "causes": [cause]})),
        }
    }

    /// 422 for the options of a list or a watch.
    pub(super) fn invalid_options(field: &str, why: &str) -> Self {
        let message = format!("Forbidden: {why}");
        let cause = json!({"reason": "FieldValueForbidden", "field": field, "message": message});
        Self {
            code: StatusCode::UNPROCESSABLE_ENTITY,
            reason: "Invalid",
            message: format!("ListOptions.meta.k8s.io \"\" is invalid: {field}: {message}"),
            details: Some(json!({"kind": "ListOptions", "group": "meta.k8s.io", "causes": [cause]})),
        }
    }

    /// 503: something the request needs is not there now.
    pub(super) fn unavailable(message: impl Into<String>) -> Self {
        Self::plain(StatusCode::SERVICE_UNAVAILABLE, "ServiceUnavailable", message.into())
    }

    /// 504: it took longer than the caller allowed.
    pub(super) fn timed_out(message: String) -> Self {
        Self::plain(StatusCode::GATEWAY_TIMEOUT, "Timeout", message)
    }

    /// 500: the agent failed.
    pub(super) fn failed(message: String) -> Self {
        Self::plain(StatusCode::INTERNAL_SERVER_ERROR, "InternalError", message)
    }

    /// 500, in the words of the error and all it came from.
    pub(super) fn internal(error: &dyn std::error::Error) -> Self {
        Self::failed(chain(error))
    }

    /// 400 for text that cannot be read as an object, 422 for an object that breaks a rule; every fault is a cause.
    pub(super) fn faulty(resource: Resource, name: &str, faults: &Faults) -> Self {
        let unreadable = |fault: &Fault| matches!(fault.kind, FaultKind::Syntax | FaultKind::Type);
        if faults.0.iter().any(manifest::is_forgivable) && !faults.0.iter().any(unreadable) {
            return Self::strict(resource, name, &faults.0);
        }
        let Some(causes) = faults.0.iter().map(cause).collect::<Option<Vec<Value>>>() else {
            return Self::bad_request(listed(&faults.0));
        };
        // The object could be read: its fields name the places better than lines of a body nobody sees.
        let fields: Vec<Fault> =
            faults.0.iter().map(|fault| Fault { place: None, ..fault.clone() }).collect();
        Self {
            code: StatusCode::UNPROCESSABLE_ENTITY,
            reason: "Invalid",
            message: format!("{} {name:?} is invalid: {}", resource.kind.name(), listed(&fields)),
            details: Some(json!({"name": name, "kind": resource.kind.name(), "causes": causes})),
        }
    }

    /// 400 for what a client that asks for strictness is not forgiven: Kubernetes' words, and as causes where and what else.
    fn strict(resource: Resource, name: &str, faults: &[Fault]) -> Self {
        let (kind, version) = (resource.kind.name(), resource.api_version());
        let version = version.rsplit('/').next().unwrap_or(version);
        let refused = faults.iter().filter(|fault| manifest::is_forgivable(fault));
        let said: Vec<String> = refused.map(validation::said).collect();
        let cause = |fault: &Fault| json!({"reason": "FieldValueInvalid", "field": fault.field, "message": fault.to_string()});
        let causes: Vec<Value> = faults.iter().map(cause).collect();
        Self {
            code: StatusCode::BAD_REQUEST,
            reason: "BadRequest",
            message: format!(
                "{kind} in version {version:?} cannot be handled as a {kind}: strict decoding error: {}",
                said.join(", ")
            ),
            details: Some(json!({"name": name, "kind": kind, "causes": causes})),
        }
    }

    /// What a failed call to the store means to the caller.
    pub(super) fn of_store(error: &store::Error, resource: Resource, name: &str) -> Self {
        match error {
            store::Error::AlreadyExists(_) => Self::already_exists(resource, name),
            store::Error::NotFound(_) => Self::not_found(resource, name),
            store::Error::Terminating(key) => Self::closed(resource, name, &key.namespace),
            store::Error::Conflict { .. } => {
                Self::conflict(format!("{} {name:?} has been changed meanwhile: try again", resource.plural))
            }
            other => Self::internal(other),
        }
    }

    /// The `Status` object.
    pub(super) fn status(&self) -> Value {
        let mut status = json!({
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": self.message,
            "reason": self.reason,
            "code": self.code.as_u16(),
        });
        if let Some(details) = &self.details {
            status["details"] = details.clone();
        }
        status
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        if self.code.is_server_error() {
            tracing::warn!(code = self.code.as_u16(), message = self.message, "a request failed");
        }
        (self.code, Json(self.status())).into_response()
    }
}

fn listed(faults: &[Fault]) -> String {
    faults.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// One entry of `details.causes`; `None` for a fault that keeps the text from being an object at all.
fn cause(fault: &Fault) -> Option<Value> {
    let reason = match fault.kind {
        FaultKind::Syntax | FaultKind::Duplicate | FaultKind::Unknown | FaultKind::Type => return None,
        FaultKind::Taken => "FieldValueDuplicate",
        FaultKind::Missing => "FieldValueRequired",
        FaultKind::Value => "FieldValueInvalid",
        FaultKind::Unsupported => "FieldValueNotSupported",
    };
    Some(json!({"reason": reason, "field": fault.field, "message": fault.message}))
}

/// An error and all it came from, in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let sources = std::iter::successors(error.source(), |error| error.source());
    sources.fold(error.to_string(), |text, source| format!("{text}: {source}"))
}
