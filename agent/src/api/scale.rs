//! `…/{name}/scale` of what keeps a number of pods: that number alone, as an `autoscaling/v1` Scale.

use std::sync::Arc;

use axum::{
    Json,
    body::Bytes,
    extract::{Path, State, rejection::BytesRejection},
    http::HeaderMap,
    routing::{MethodRouter, get},
};
use serde_json::{Value, json};

use super::{
    Api, admission,
    change::{self, Part, Target},
    objects::{Answer, Options, WriteQuery, Writing, find, options, shown, whole},
    patch::Way,
    refusal::Refusal,
    resource::Resource,
    validation::Validation,
};
use crate::{pod::workload::WorkloadKind, store::Kind};

pub(super) const GROUP_VERSION: (&str, &str) = ("autoscaling", "v1");

type Named = Path<(String, String, String)>;
type Body = Result<Bytes, BytesRejection>;

/// `GET`, `PUT` and `PATCH`.
pub(super) fn routes() -> MethodRouter<Arc<Api>> {
    get(read).put(replace).patch(patch)
}

async fn read(State(api): State<Arc<Api>>, Path((namespace, plural, name)): Named) -> Answer {
    let resource = scaled(&plural)?;
    let object = find(&api, resource, &namespace, &name).await?;
    Ok(Json(scale(&shown(&api, resource, object))))
}

async fn replace(
    State(api): State<Arc<Api>>,
    Path((namespace, plural, name)): Named,
    query: Options<WriteQuery>,
    body: Body,
) -> Answer {
    let resource = scaled(&plural)?;
    let wanted: Value = parsed(&whole(body)?)?;
    let target = Target { resource, namespace: &namespace, name: &name, part: Part::Whole };
    write(&api, target, query, |_| Ok(wanted.clone())).await
}

async fn patch(
    State(api): State<Arc<Api>>,
    Path((namespace, plural, name)): Named,
    query: Options<WriteQuery>,
    headers: HeaderMap,
    body: Body,
) -> Answer {
    let resource = scaled(&plural)?;
    let way = Way::asked(&headers)?;
    let patch: Value = parsed(&whole(body)?)?;
    let target = Target { resource, namespace: &namespace, name: &name, part: Part::Whole };
    let wanted = |current: &Value| {
        let mut patched =
            way.apply(&scale(current), &patch).map_err(|fault| Refusal::patch(resource, &name, &fault))?;
        // A version that the patch leaves as it was says nothing of what the client has seen.
        if patched["metadata"]["resourceVersion"] == current["metadata"]["resourceVersion"] {
            patched["metadata"]["resourceVersion"] = Value::Null;
        }
        Ok(patched)
    };
    write(&api, target, query, wanted).await
}

/// Writes the number that the Scale wants into the object.
async fn write(
    api: &Api,
    target: Target<'_>,
    query: Options<WriteQuery>,
    wanted: impl Fn(&Value) -> Result<Value, Refusal>,
) -> Answer {
    let query = options(query)?;
    let (writing, validation) = (Writing::of(&query)?, Validation::of(&query)?);
    let changed = |current: &Value| {
        let wanted = wanted(current)?;
        let replicas = wanted["spec"]["replicas"]
            .as_u64()
            .ok_or_else(|| Refusal::bad_request("spec.replicas: a number of 0 or more is needed"))?;
        let mut object = current.clone();
        drop(object.as_object_mut().and_then(|object| object.remove("status")));
        object["spec"]["replicas"] = json!(replicas);
        if let Some(metadata) = object["metadata"].as_object_mut() {
            metadata.remove("resourceVersion");
            if let Some(version) = wanted["metadata"]["resourceVersion"].as_str() {
                metadata.insert("resourceVersion".to_owned(), json!(version));
            }
        }
        admission::submitted(target.resource, target.namespace, object.to_string().as_bytes(), validation)
    };
    let (_, Json(object)) = change::change(api, target, writing, changed).await?;
    Ok(Json(scale(&object)))
}

fn parsed(body: &[u8]) -> Result<Value, Refusal> {
    serde_json::from_slice(body)
        .map_err(|fault| Refusal::bad_request(format!("the body of the request is not JSON: {fault}")))
}

/// A kind that has a number of pods.
fn scaled(plural: &str) -> Result<Resource, Refusal> {
    let resource = Resource::named(plural)?;
    let has_replicas = match resource.kind {
        Kind::Workload(kind) => !matches!(kind, WorkloadKind::DaemonSet | WorkloadKind::Job),
        _ => false,
    };
    if has_replicas { Ok(resource) } else { Err(Refusal::unknown_path()) }
}

/// The Scale of an object as it is shown.
fn scale(object: &Value) -> Value {
    let metadata = &object["metadata"];
    let (group, version) = GROUP_VERSION;
    let labels = &object["spec"]["selector"];
    // A ReplicationController has the labels alone.
    let labels = labels.get("matchLabels").unwrap_or(labels).as_object();
    let selector: Vec<String> = labels
        .into_iter()
        .flatten()
        .map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default()))
        .collect();
    json!({
        "kind": "Scale",
        "apiVersion": format!("{group}/{version}"),
        "metadata": {
            "name": metadata["name"],
            "namespace": metadata["namespace"],
            "uid": metadata["uid"],
            "resourceVersion": metadata["resourceVersion"],
            "creationTimestamp": metadata["creationTimestamp"],
        },
        "spec": {"replicas": object["spec"]["replicas"].as_u64().unwrap_or(1)},
        "status": {
            "replicas": object["status"]["replicas"].as_u64().unwrap_or(0),
            "selector": selector.join(","),
        },
    })
}
