//! Changing an object in place: PUT, and PATCH with a JSON merge patch. What may not change is refused; what only the
//! server says is kept.

use std::sync::Arc;

use axum::{
    Json,
    body::Bytes,
    extract::{Path, Query, State, rejection::BytesRejection},
    http::{HeaderMap, header::CONTENT_TYPE},
};
use serde_json::{Value, json};

use super::{
    Api, admission,
    cache::WatchCache,
    objects::{Answer, Options, WriteQuery, Writing, find, options, readable, shown, whole},
    refusal::Refusal,
    resize,
    resource::Resource,
    update, workload,
};
use crate::{
    manifest::{self, allocation},
    pod::annotation,
    store::{Error, Kind},
};

/// RFC 7386.
const MERGE_PATCH: &str = "application/merge-patch+json";
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
}

/// `PUT /api/v1/namespaces/{namespace}/{plural}/{name}`.
pub(super) async fn replace(
    State(api): State<Arc<Api>>,
    Path((namespace, plural, name)): Path<(String, String, String)>,
    query: Options<WriteQuery>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Answer {
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
) -> Answer {
    let resource = Resource::named(&plural)?;
    let target = Target { resource, namespace: &namespace, name: &name, part: Part::Whole };
    merge_into(&api, target, query, &headers, body).await
}

/// The body takes the object's place.
pub(super) async fn put(
    api: &Api,
    target: Target<'_>,
    query: Options<WriteQuery>,
    headers: &HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Answer {
    let writing = Writing::asked(options(query)?.dry_run.as_deref())?;
    readable(headers)?;
    let object = admission::submitted(target.resource, target.namespace, &whole(body)?)?;
    let changed = |_: &Value| Ok(object.clone());
    change(api, target, writing, changed).await
}

/// The body is merged into the object.
pub(super) async fn merge_into(
    api: &Api,
    target: Target<'_>,
    query: Options<WriteQuery>,
    headers: &HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Answer {
    let Query(query) = query.map_err(|rejection| Refusal::bad_request(rejection.body_text()))?;
    let writing = Writing::asked(query.dry_run.as_deref())?;
    merge_patch(headers)?;
    let patch: Value = serde_json::from_slice(&whole(body)?)
        .map_err(|fault| Refusal::bad_request(format!("the patch is not JSON: {fault}")))?;
    if !patch.is_object() {
        return Err(Refusal::bad_request("the patch is no object: it would replace the whole"));
    }
    let changed = |current: &Value| {
        let mut object = current.clone();
        // Not the client's to change.
        drop(object.as_object_mut().and_then(|object| object.remove("status")));
        // A version in the patch is what the client has seen; the stored one says nothing of that.
        drop(object["metadata"].as_object_mut().and_then(|metadata| metadata.remove("resourceVersion")));
        merge(&mut object, &patch);
        admission::submitted(target.resource, target.namespace, object.to_string().as_bytes())
    };
    change(api, target, writing, changed).await
}

/// Reads, changes and writes back; again if somebody else was quicker, unless the client named the version it means.
async fn change(
    api: &Api,
    target: Target<'_>,
    writing: Writing,
    changed: impl Fn(&Value) -> Result<Value, Refusal>,
) -> Answer {
    let Target { resource, namespace, name, .. } = target;
    loop {
        let current = find(api, resource, namespace, name).await?;
        let mut wanted = changed(&current)?;
        update::without_shown(&mut wanted, &current, &api.picture.borrow().node);
        let pinned = expected(api, resource, &wanted, &current).await?;
        let next = admissible(target, wanted, &current)?;
        if writing == Writing::Dry {
            return Ok(Json(shown(api, resource, next)));
        }
        let read = version(&current);
        match api.objects.replace(resource.kind, next, read).await {
            Ok(object) => return Ok(Json(shown(api, resource, object))),
            Err(Error::Conflict { .. }) if !pinned => {}
            Err(error) => return Err(Refusal::of_store(&error, resource, name)),
        }
    }
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
    if let Some(file) = file(current) {
        let why = format!("it comes from the file {file}: change that instead");
        return Err(Refusal::forbidden(resource, name, &why));
    }
    if file(&next).is_some() {
        let why = format!("the annotation {} is carob's to set", annotation::MANIFEST);
        return Err(Refusal::forbidden(resource, name, &why));
    }
    match resource.kind {
        Kind::Pod => {
            let barred = match part {
                Part::Whole => update::barred(&current["spec"], &next["spec"]),
                Part::Resources => resize::barred(current, &next),
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
        Kind::Workload(kind) => {
            if let Some(field) = workload::immutable(kind, &current["spec"], &next["spec"]) {
                return Err(Refusal::immutable(resource, name, &field));
            }
        }
    }
    if let Some(object) = next.as_object_mut() {
        object.remove("status");
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
                Part::Whole => allocation::hand_on(&mut next, current),
            }
        }
        Kind::Pod => allocation::hand_on(&mut next, current),
        _ => (),
    }
    Ok(next)
}

/// What the patch says takes the place of what is there; `null` takes it away.
fn merge(object: &mut Value, patch: &Value) {
    let Some(fields) = patch.as_object() else {
        *object = patch.clone();
        return;
    };
    if !object.is_object() {
        *object = json!({});
    }
    for (key, value) in fields {
        if value.is_null() {
            drop(object.as_object_mut().and_then(|object| object.remove(key)));
        } else {
            merge(&mut object[key.as_str()], value);
        }
    }
}

fn merge_patch(headers: &HeaderMap) -> Result<(), Refusal> {
    let found = headers.get(CONTENT_TYPE).map(|found| String::from_utf8_lossy(found.as_bytes()).into_owned());
    let found = found.unwrap_or_default();
    let media = found.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    if media == MERGE_PATCH { Ok(()) } else { Err(Refusal::patch_type(&found, MERGE_PATCH)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_merge_patch_does_as_its_standard_says() {
        let rows = [
            (json!({"a": "b"}), json!({"a": "c"}), json!({"a": "c"})),
            (json!({"a": "b"}), json!({"b": "c"}), json!({"a": "b", "b": "c"})),
            (json!({"a": "b"}), json!({"a": null}), json!({})),
            (json!({"a": ["b"]}), json!({"a": "c"}), json!({"a": "c"})),
            (json!({"a": {"b": "c"}}), json!({"a": {"b": "d", "c": null}}), json!({"a": {"b": "d"}})),
            (json!({"a": [{"b": "c"}]}), json!({"a": [1]}), json!({"a": [1]})),
            (json!({}), json!({"a": {"bb": {"ccc": null}}}), json!({"a": {"bb": {}}})),
        ];
        for (mut object, patch, expected) in rows {
            merge(&mut object, &patch);
            assert_eq!(object, expected, "{patch}");
        }
    }
}
