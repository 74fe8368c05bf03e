//! From a body to an object that may be stored, and from a delete to a mark on one. Pure: the clock and the uid are given.
//!
//! What a pod may say is `manifest`'s to judge; here is what a client may not say, and what only the server says.

use std::borrow::Cow;

use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    date, plain,
    refusal::Refusal,
    resource::Resource,
    update::Bar,
    validation::{Validation, Warnings},
};
use crate::{
    manifest::{self, Faults},
    pod::{PodUid, annotation, workload::suffix},
    store::Kind,
};

/// Kubernetes' default for `terminationGracePeriodSeconds`.
const DEFAULT_GRACE: u64 = 30;
/// What a client cannot decide, even if it sends back what it once read.
const SERVER_SIDE: [&str; 5] =
    ["resourceVersion", "managedFields", "selfLink", "deletionTimestamp", "deletionGracePeriodSeconds"];

/// An object as a client sent it, good for its kind.
#[derive(Clone, Debug)]
pub(super) struct Submitted {
    pub(super) object: Value,
    /// What was overlooked in it.
    pub(super) warnings: Warnings,
}

/// The one object in a request's body, checked, with Kubernetes' defaults. It belongs into the namespace of the path.
pub(super) fn submitted(
    resource: Resource,
    namespace: &str,
    body: &[u8],
    validation: Validation,
) -> Result<Submitted, Refusal> {
    let Some(kind) = resource.manifest() else {
        return plain::submitted(resource, namespace, body, validation);
    };
    let body = titled(resource, body);
    let read = |body: &[u8]| manifest::read("body", body);
    let (objects, warnings) = match read(&body) {
        Err(Faults(faults)) if validation.forgives(&faults) => {
            let refused = |faults: Faults| Refusal::faulty(resource, &claimed_name(&body), &faults);
            let (value, forgiven) = manifest::forgiven(kind, "body", &body).map_err(refused)?;
            (read(value.to_string().as_bytes()), validation.warnings(&forgiven))
        }
        read => (read, Warnings::default()),
    };
    let objects = objects.map_err(|faults| Refusal::faulty(resource, &claimed_name(&body), &faults))?;
    let object = checked(resource, kind, namespace, objects)?;
    Ok(Submitted { object, warnings })
}

fn checked(
    resource: Resource,
    kind: manifest::Kind,
    namespace: &str,
    mut objects: Vec<manifest::Object>,
) -> Result<Value, Refusal> {
    let mut object = match (objects.pop(), objects.is_empty()) {
        (Some(object), true) => object,
        (None, _) => return Err(Refusal::bad_request("the body of the request holds no object")),
        (Some(_), false) => {
            return Err(Refusal::bad_request("the body of the request holds more than one object"));
        }
    };
    if object.kind.name() != resource.kind.name() {
        let (found, wanted) = (object.kind.name(), resource.kind.name());
        return Err(Refusal::bad_request(format!("a {found} cannot be created where a {wanted} belongs")));
    }
    let metadata = &mut object.value["metadata"];
    let other = metadata["namespace"].as_str().filter(|other| !["", namespace].contains(other));
    if let Some(other) = other.filter(|_| resource.is_namespaced()) {
        let message = format!("the object is in namespace {other:?}, the request's path in {namespace:?}");
        return Err(Refusal::bad_request(message));
    }
    // Before the check: a path may hold anything, a namespace may not.
    if resource.is_namespaced() {
        metadata["namespace"] = json!(namespace);
    }
    let checked = kind.check(&object.value);
    let name = object.value["metadata"]["name"].as_str().unwrap_or_default();
    checked.map(|checked| checked.object).map_err(|faults| Refusal::faulty(resource, name, &faults))
}

/// The name that an object with faults goes by; empty if it says none.
fn claimed_name(body: &[u8]) -> String {
    let object: Value = serde_json::from_slice(body).unwrap_or_default();
    object["metadata"]["name"].as_str().unwrap_or_default().to_owned()
}

/// Clients may leave out `kind` and `apiVersion` in JSON: the path says the same.
fn titled(resource: Resource, body: &[u8]) -> Cow<'_, [u8]> {
    let Ok(Value::Object(mut object)) = serde_json::from_slice(body) else { return body.into() };
    if object.contains_key("kind") && object.contains_key("apiVersion") {
        return body.into();
    }
    object.entry("kind").or_insert_with(|| json!(resource.kind.name()));
    object.entry("apiVersion").or_insert_with(|| json!(resource.api_version()));
    Value::Object(object).to_string().into_bytes().into()
}

/// Fills in what only the server knows.
pub(super) fn admit(
    resource: Resource,
    mut object: Value,
    uid: &PodUid,
    now: Timestamp,
) -> Result<Value, Refusal> {
    let name = name(&object, uid)?;
    if object["metadata"]["annotations"].get(annotation::MANIFEST).is_some() {
        let why = format!("the annotation {} is carob's to set", annotation::MANIFEST);
        return Err(Refusal::forbidden(resource, &name, &why));
    }
    if let Some((field, why)) = manifest::only_later(&object) {
        return Err(Refusal::barred(resource, &name, &Bar::forbidden(field, why)));
    }
    if let Some(object) = object.as_object_mut() {
        object.remove("status");
    }
    if let Some(metadata) = object["metadata"].as_object_mut() {
        metadata.retain(|key, _| !SERVER_SIDE.contains(&key.as_str()));
    }
    let metadata = &mut object["metadata"];
    metadata["name"] = json!(name);
    metadata["uid"] = json!(uid.0);
    metadata["generation"] = json!(1);
    metadata["creationTimestamp"] = json!(date::seconds(now));
    Ok(object)
}

/// `metadata.name`, or one made from `metadata.generateName` and the random uid.
fn name(object: &Value, uid: &PodUid) -> Result<String, Refusal> {
    let metadata = &object["metadata"];
    if let Some(name) = metadata["name"].as_str().filter(|name| !name.is_empty()) {
        return Ok(name.to_owned());
    }
    let prefix = metadata["generateName"].as_str().filter(|prefix| !prefix.is_empty());
    let prefix =
        prefix.ok_or_else(|| Refusal::bad_request("metadata.name or metadata.generateName is required"))?;
    Ok(format!("{prefix}{}", suffix(uid)))
}

/// What a delete asks for: the body's `DeleteOptions`, or the query.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct DeleteOptions {
    pub(super) grace_period_seconds: Option<u32>,
    pub(super) preconditions: Preconditions,
    pub(super) dry_run: Vec<String>,
    propagation_policy: Option<String>,
}

/// What must still be so for a delete to happen.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Preconditions {
    pub(super) uid: Option<String>,
    pub(super) resource_version: Option<String>,
}

impl DeleteOptions {
    /// A body that is absent asks for nothing in particular.
    pub(super) fn of_body(body: &[u8]) -> Result<Self, Refusal> {
        if body.is_empty() {
            return Ok(Self::default());
        }
        serde_json::from_slice(body)
            .map_err(|fault| Refusal::bad_request(format!("invalid DeleteOptions: {fault}")))
    }
}

/// The object with its mark of deletion; `None` if it bears that mark already and nothing gets shorter.
pub(super) fn doomed(
    resource: Resource,
    object: &Value,
    options: &DeleteOptions,
    now: Timestamp,
) -> Result<Option<Value>, Refusal> {
    let metadata = &object["metadata"];
    let name = metadata["name"].as_str().unwrap_or_default();
    if let Some(file) = metadata["annotations"].get(annotation::MANIFEST).and_then(Value::as_str) {
        return Err(Refusal::forbidden(
            resource,
            name,
            &format!("it comes from the file {file}: remove that instead"),
        ));
    }
    if let Some(expected) = &options.preconditions.uid
        && metadata["uid"] != *expected
    {
        return Err(Refusal::precondition(resource, name, "uid", expected, &metadata["uid"]));
    }
    if options.propagation_policy.as_deref() == Some("Orphan") {
        let why = "pods are not left behind: propagationPolicy \"Background\" or \"Foreground\" is needed";
        return Err(Refusal::bad_request(why));
    }
    let asked = options.grace_period_seconds.map(u64::from);
    let grace = match resource.kind {
        Kind::Pod => {
            asked.or(object["spec"]["terminationGracePeriodSeconds"].as_u64()).unwrap_or(DEFAULT_GRACE)
        }
        _ => 0,
    };
    Ok(match running_out(metadata) {
        None => Some(renumbered(marked(object, now, grace))),
        Some((requested, current)) if asked.is_some() && grace < current => {
            Some(marked(object, requested, grace))
        }
        Some(_) => None,
    })
}

/// When the deletion under way was asked for, and its grace period.
fn running_out(metadata: &Value) -> Option<(Timestamp, u64)> {
    let end: Timestamp = metadata["deletionTimestamp"].as_str()?.parse().ok()?;
    let grace = metadata["deletionGracePeriodSeconds"].as_u64().unwrap_or(0);
    let requested = end.checked_sub(SignedDuration::from_secs(i64::try_from(grace).ok()?)).ok()?;
    Some((requested, grace))
}

/// To be ended is another wish than to run.
fn renumbered(mut object: Value) -> Value {
    if let Some(generation) = object["metadata"]["generation"].as_u64() {
        object["metadata"]["generation"] = json!(generation + 1);
    }
    object
}

fn marked(object: &Value, requested: Timestamp, grace: u64) -> Value {
    let end = requested.saturating_add(SignedDuration::from_secs(i64::try_from(grace).unwrap_or(i64::MAX)));
    let mut object = object.clone();
    object["metadata"]["deletionTimestamp"] = json!(date::seconds(end.unwrap_or(Timestamp::MAX)));
    object["metadata"]["deletionGracePeriodSeconds"] = json!(grace);
    object
}
