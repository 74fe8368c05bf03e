//! Kubernetes' questions about oneself: may I, what may I, who am I. They are answered from the rules that hold.

use axum::{Extension, Json, body::Bytes, extract::rejection::BytesRejection, http::StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    access::{self, PathRule, ResourceRule},
    asked::{Asked, ResourceAsked},
    identity::Speaker,
};
use crate::api::{objects::whole, protobuf, refusal::Refusal};

type Review = Result<(StatusCode, Json<Value>), Refusal>;

/// A `SelfSubjectAccessReview`.
#[derive(Debug, Deserialize)]
struct AccessReview {
    spec: AccessSpec,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct AccessSpec {
    resource_attributes: Option<ResourceAttributes>,
    non_resource_attributes: Option<PathAttributes>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ResourceAttributes {
    namespace: String,
    verb: String,
    group: String,
    resource: String,
    subresource: String,
    name: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct PathAttributes {
    path: String,
    verb: String,
}

impl AccessSpec {
    fn asked(self) -> Result<Asked, Refusal> {
        match (self.resource_attributes, self.non_resource_attributes) {
            (Some(ResourceAttributes { namespace, verb, group, resource, subresource, name }), None) => {
                Ok(Asked::Resource(ResourceAsked { verb, group, resource, subresource, namespace, name }))
            }
            (None, Some(PathAttributes { path, verb })) => Ok(Asked::Path { verb, path }),
            _ => Err(Refusal::bad_request(
                "spec: exactly one of resourceAttributes and nonResourceAttributes is needed",
            )),
        }
    }
}

/// `POST /apis/authorization.k8s.io/v1/selfsubjectaccessreviews`: may I?
pub(in crate::api) async fn access(
    Extension(speaker): Extension<Speaker>,
    body: Result<Bytes, BytesRejection>,
) -> Review {
    let mut review = object("SelfSubjectAccessReview", body)?;
    let AccessReview { spec } = read(&review)?;
    let asked = spec.asked()?;
    review["status"] = if access::may(speaker.standing, &asked) {
        json!({"allowed": true})
    } else {
        json!({"allowed": false, "reason": access::denial(&speaker, &asked)})
    };
    Ok(answer(review, "authorization.k8s.io/v1", "SelfSubjectAccessReview"))
}

/// `POST /apis/authorization.k8s.io/v1/selfsubjectrulesreviews`: what may I? The same in all namespaces.
pub(in crate::api) async fn rules(
    Extension(speaker): Extension<Speaker>,
    body: Result<Bytes, BytesRejection>,
) -> Review {
    let mut review = object("SelfSubjectRulesReview", body)?;
    let rules = access::rules(speaker.standing);
    let resource = |rule: &ResourceRule| json!({"verbs": rule.verbs, "apiGroups": rule.groups, "resources": rule.resources});
    let path = |rule: &PathRule| json!({"verbs": rule.verbs, "nonResourceURLs": rule.paths});
    review["status"] = json!({
        "resourceRules": rules.resources.iter().map(resource).collect::<Vec<_>>(),
        "nonResourceRules": rules.paths.iter().map(path).collect::<Vec<_>>(),
        "incomplete": false,
    });
    Ok(answer(review, "authorization.k8s.io/v1", "SelfSubjectRulesReview"))
}

/// `POST /apis/authentication.k8s.io/v1/selfsubjectreviews`: who am I?
pub(in crate::api) async fn identity(
    Extension(speaker): Extension<Speaker>,
    body: Result<Bytes, BytesRejection>,
) -> Review {
    let mut review = object("SelfSubjectReview", body)?;
    review["status"] = json!({"userInfo": {"username": speaker.user, "groups": speaker.groups()}});
    Ok(answer(review, "authentication.k8s.io/v1", "SelfSubjectReview"))
}

/// A review of that kind.
fn object(kind: &str, body: Result<Bytes, BytesRejection>) -> Result<Value, Refusal> {
    let body = whole(body)?;
    if let Some(object) = protobuf::object(kind, &body) {
        return Ok(object);
    }
    match serde_json::from_slice(&body) {
        Ok(Value::Object(object)) => Ok(Value::Object(object)),
        Ok(_) => Err(Refusal::bad_request("the body of the request is not an object")),
        Err(fault) => Err(Refusal::bad_request(format!("the body of the request is not JSON: {fault}"))),
    }
}

fn read<'a, T: Deserialize<'a>>(review: &'a Value) -> Result<T, Refusal> {
    T::deserialize(review)
        .map_err(|fault| Refusal::bad_request(format!("the review cannot be read: {fault}")))
}

fn answer(mut review: Value, version: &str, kind: &str) -> (StatusCode, Json<Value>) {
    review["apiVersion"] = json!(version);
    review["kind"] = json!(kind);
    (StatusCode::CREATED, Json(review))
}
