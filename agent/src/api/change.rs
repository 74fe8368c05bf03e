//! Changing an object in place: PUT, and PATCH in each way there is. What may not change is refused; what only the server
//! says is kept.

use std::sync::Arc;

use axum::{
    Json,
    body::Bytes,
    extract::{Path, State, rejection::BytesRejection},
    http::HeaderMap,
};
use serde_json::{Value, json};

use super::{
    Api,
    admission::{self, Submitted},
    cache::WatchCache,
    conditions, events, namespaces,
    objects::{Options, WriteQuery, Writing, found, options, readable, shown, whole},
    patch::Way,
    refusal::Refusal,
    resize,
    resource::Resource,
    update,
    validation::{Validation, Warnings},
    workload,
};
use crate::{
    manifest::{self, allocation},
    pod::annotation,
    store::{Error, Kind},
};

pub(super) type Changed = Result<(Warnings, Json<Value>), Refusal>;

/// What a change cannot touch.
const SERVER_SIDE: [&str; 6] = [
    "uid",
    "creationTimestamp",
    "generation",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "resourceVersion",
];

/// Which object is to change, and what of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Target<'a> {
    pub(super) resource: Resource,
    pub(super) namespace: &'a str,
    pub(super) name: &'a str,
    pub(super) part: Part,
}

/// What of an object a request is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Whole,
    /// Of a pod: `pods/resize`.
    Resources,
    /// Of a pod: `pods/ephemeralcontainers`.
    Ephemeral,
    /// Of a pod: `pods/status`.
    Status,
}

/// `PUT /api/v1/namespaces/{namespace}/{plural}/{name}`.
pub(super) async fn replace(
    State(api): State<Arc<Api>>,
    Path((namespace, plural, name)): Path<(String, String, String)>,
    query: Options<WriteQuery>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Changed {
    let resource = Resource::named(&plural)?;
    let target = Target { resource, namespace: &namespace, name: &name, part: Part::Whole };
    put(&api, target, query, &headers, body).await
}

/// `PATCH /api/v1/namespaces/{namespace}/{plural}/{name}`.
pub(super) async fn patch(
    State(api): State<Arc<Api>>,
    Path((namespace, plural, name)): Path<(String, String, String)>,
    query: Options<WriteQuery>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Changed {
    let resource = Resource::named(&plural)?;
    let target = Target { resource, namespace: &namespace, name: &name, part: Part::Whole };
    patch_with(&api, target, query, &headers, body).await
}

/// The body takes the object's place.
pub(super) async fn put(
    api: &Api,
    target: Target<'_>,
    query: Options<WriteQuery>,
    headers: &HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Changed {
    let query = options(query)?;
    let (writing, validation) = (Writing::of(&query)?, Validation::of(&query)?);
    let body = readable(target.resource, headers, whole(body)?)?;
    let submitted = admission::submitted(target.resource, target.namespace, &body, validation)?;
    let changed = |_: &Value| Ok(submitted.clone());
    change(api, target, writing, changed).await
}

/// The body says what is to be different.
pub(super) async fn patch_with(
    api: &Api,
    target: Target<'_>,
    query: Options<WriteQuery>,
    headers: &HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Changed {
    let query = options(query)?;
    let (writing, validation) = (Writing::of(&query)?, Validation::of(&query)?);
    let way = Way::asked(headers)?;
    let patch: Value = serde_json::from_slice(&whole(body)?)
        .map_err(|fault| Refusal::bad_request(format!("the patch is not JSON: {fault}")))?;
    let changed = |current: &Value| {
        let base = match target.part {
            Part::Status => shown(api, target.resource, current.clone()),
            // Not the client's to change.
            Part::Whole | Part::Resources | Part::Ephemeral => without_status(current),
        };
        let patched = way.apply(&base, &patch);
        let mut object = patched.map_err(|fault| Refusal::patch(target.resource, target.name, &fault))?;
        // A version that the patch leaves as it was says nothing of what the client has seen.
        let version = &current["metadata"]["resourceVersion"];
        if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
            metadata.retain(|field, value| field != "resourceVersion" || value != version);
        }
        admission::submitted(target.resource, target.namespace, object.to_string().as_bytes(), validation)
    };
    change(api, target, writing, changed).await
}

/// Reads, changes and writes back; again if somebody else was quicker, unless the client named the version it means.
pub(super) async fn change(
    api: &Api,
    target: Target<'_>,
    writing: Writing,
    changed: impl Fn(&Value) -> Result<Submitted, Refusal>,
) -> Changed {
    let Target { resource, namespace, name, .. } = target;
    loop {
        let (current, is_stored) = found(api, resource, namespace, name).await?;
        let Submitted { object: mut wanted, warnings } = changed(&current)?;
        update::without_shown(&mut wanted, &current, &api.picture.borrow().node);
        let pinned = expected(api, resource, &wanted, &current).await?;
        let told = wanted["status"].clone();
        let answer = |object| {
            let mut object = shown(api, resource, object);
            // As it was written; the agent's own is what the next read shows.
            if target.part == Part::Status && told.is_object() {
                object["status"] = told.clone();
            }
            Json(object)
        };
        let next = admissible(target, wanted, &current)?;
        if writing == Writing::Dry {
            return Ok((warnings, answer(next)));
        }
        let read = version(&current);
        let adopted = match resource.kind {
            _ if is_stored => None,
            Kind::Event => events::adopt(api, &next).await?,
            Kind::Namespace => namespaces::adopt(api, &next).await?,
            _ => None,
        };
        if let Some(object) = adopted {
            return Ok((warnings, answer(object)));
        }
        match api.objects.replace(resource.kind, next, read).await {
            Ok(object) => return Ok((warnings, answer(object))),
            Err(Error::Conflict { .. }) if !pinned => {}
            Err(error) => return Err(Refusal::of_store(&error, resource, name)),
        }
    }
}

fn without_status(object: &Value) -> Value {
    let mut object = object.clone();
    drop(object.as_object_mut().and_then(|object| object.remove("status")));
    object
}

fn version(object: &Value) -> Option<u64> {
    object["metadata"]["resourceVersion"].as_str().and_then(|version| version.parse().ok())
}

/// Whether the client names the version it means; refused if that is not the current one, or if it means another object.
async fn expected(api: &Api, resource: Resource, wanted: &Value, current: &Value) -> Result<bool, Refusal> {
    let text = |object: &Value, field: &str| {
        let text = object["metadata"][field].as_str().filter(|text| !text.is_empty());
        text.map(str::to_owned)
    };
    let name = text(current, "name").unwrap_or_default();
    let wanted_name = text(wanted, "name").unwrap_or_default();
    if wanted_name != name {
        return Err(Refusal::bad_request(format!(
            "the name of the object ({wanted_name}) does not match the name on the URL ({name})"
        )));
    }
    let version = text(wanted, "resourceVersion");
    let is_current = match &version {
        Some(version) => WatchCache::has_seen(api, resource, version, current).await?,
        None => true,
    };
    if !is_current || text(wanted, "uid").is_some_and(|uid| current["metadata"]["uid"] != uid) {
        return Err(Refusal::conflict(format!(
            "Operation cannot be fulfilled on {} {name:?}: the object has been modified; please apply your changes \
             to the latest version and try again",
            resource.plural
        )));
    }
    Ok(version.is_some())
}

/// The object as it may be stored in the place of `current`.
fn admissible(target: Target<'_>, mut next: Value, current: &Value) -> Result<Value, Refusal> {
    let Target { resource, name, part, .. } = target;
    let file = |object: &Value| {
        object["metadata"]["annotations"].get(annotation::MANIFEST).and_then(Value::as_str).map(str::to_owned)
    };
    match (file(current), file(&next)) {
        // What is said of it is nothing that its file says.
        (Some(_), _) if part == Part::Status => next["metadata"] = current["metadata"].clone(),
        (Some(file), _) => {
            let why = format!("it comes from the file {file}: change that instead");
            return Err(Refusal::forbidden(resource, name, &why));
        }
        (None, Some(_)) => {
            let why = format!("the annotation {} is carob's to set", annotation::MANIFEST);
            return Err(Refusal::forbidden(resource, name, &why));
        }
        (None, None) => (),
    }
    match resource.kind {
        // Nothing but metadata and conditions can come of it.
        Kind::Pod if part == Part::Status => next["spec"] = current["spec"].clone(),
        Kind::Pod => {
            let barred = match part {
                Part::Whole | Part::Status => update::barred(&current["spec"], &next["spec"]),
                Part::Resources => resize::barred(current, &next),
                Part::Ephemeral => update::barred_addition(&current["spec"], &next["spec"]),
            };
            if let Some(bar) = barred {
                return Err(Refusal::barred(resource, name, &bar));
            }
        }
        Kind::PersistentVolumeClaim => {
            if next["spec"] != current["spec"] {
                return Err(Refusal::unchangeable(resource, name));
            }
        }
        Kind::ConfigMap | Kind::Secret => {
            manifest::may_become(current, &next)
                .map_err(|faults| Refusal::faulty(resource, name, &faults))?;
        }
        Kind::Event => (),
        Kind::Namespace => next["spec"] = current["spec"].clone(),
        Kind::Workload(kind) => {
            if let Some(field) = workload::immutable(kind, &current["spec"], &next["spec"]) {
                return Err(Refusal::immutable(resource, name, &field));
            }
        }
    }
    let written = if part == Part::Status { &next } else { current };
    let conditions = conditions::of_clients(&written["status"]);
    next = without_status(&next);
    if !conditions.is_empty() {
        next["status"]["conditions"] = Value::Array(conditions);
    }
    if let Some(metadata) = next["metadata"].as_object_mut() {
        metadata.retain(|key, _| !["managedFields", "selfLink"].contains(&key.as_str()));
        for field in SERVER_SIDE {
            match current["metadata"].get(field) {
                Some(value) => drop(metadata.insert(field.to_owned(), value.clone())),
                None => drop(metadata.remove(field)),
            }
        }
    }
    match resource.kind {
        Kind::Workload(_) => workload::renewed(&mut next, current),
        Kind::Pod if next["spec"] != current["spec"] => {
            let generation = current["metadata"]["generation"].as_u64().unwrap_or(1);
            next["metadata"]["generation"] = json!(generation + 1);
            match part {
                Part::Resources => allocation::keep(&mut next, current),
                Part::Whole | Part::Ephemeral | Part::Status => allocation::hand_on(&mut next, current),
            }
        }
        Kind::Pod => allocation::hand_on(&mut next, current),
        _ => (),
    }
    Ok(next)
}
