//! Kubernetes' Events: what the loop has told of objects. Reads the journal, never writes it.

use std::sync::Arc;

use axum::{
    Json,
    extract::{Path, State},
};
use serde_json::{Value, json};

use super::{
    Api, date,
    objects::{Answer, ListQuery, Options, options},
    refusal::Refusal,
    selector::EVENT_FIELDS,
};
use crate::{
    picture::Picture,
    pod::{
        Stamp,
        event::{About, Event, Told},
        status::BootId,
        workload::WorkloadKind,
    },
};

/// Who tells, in `source` and `reportingComponent`.
const COMPONENT: &str = "carob";
/// Where events about what has no namespace are kept, as in Kubernetes.
const NO_NAMESPACE: &str = "default";

/// `GET /api/v1/events`.
pub(super) async fn list_all(State(api): State<Arc<Api>>, query: Options<ListQuery>) -> Answer {
    list(&api, None, &options(query)?).await
}

/// `GET /api/v1/namespaces/{namespace}/events`.
pub(super) async fn list_namespace(
    State(api): State<Arc<Api>>,
    Path(namespace): Path<String>,
    query: Options<ListQuery>,
) -> Answer {
    list(&api, Some(&namespace), &options(query)?).await
}

/// `GET /api/v1/namespaces/{namespace}/events/{name}`.
pub(super) async fn read(
    State(api): State<Arc<Api>>,
    Path((namespace, name)): Path<(String, String)>,
) -> Answer {
    let all = shown(&api).await?;
    let of_name =
        |event: &Value| event["metadata"]["name"] == *name && event["metadata"]["namespace"] == *namespace;
    all.into_iter()
        .find(of_name)
        .map(Json)
        .ok_or_else(|| Refusal::absent(format!("events {name:?} not found")))
}

async fn list(api: &Api, namespace: Option<&str>, query: &ListQuery) -> Answer {
    let selector = query.selector(EVENT_FIELDS)?;
    let version = *api.objects.changed().borrow();
    let here = |event: &Value| namespace.is_none_or(|namespace| event["metadata"]["namespace"] == *namespace);
    let chosen = |event: &Value| here(event) && selector.matches(event);
    let items: Vec<Value> = shown(api).await?.into_iter().filter(chosen).collect();
    Ok(Json(json!({
        "kind": "EventList",
        "apiVersion": "v1",
        "metadata": {"resourceVersion": version.to_string()},
        "items": items,
    })))
}

async fn shown(api: &Api) -> Result<Vec<Value>, Refusal> {
    let told = api.journal.events().await.map_err(|error| Refusal::internal(&error))?;
    let picture = api.picture.borrow();
    Ok(told.iter().map(|told| event(told, &picture)).collect())
}

fn event(told: &Told, picture: &Picture) -> Value {
    let Event { about, weight, reason, message, boot, at, .. } = &told.event;
    let when = |boot: &BootId, at: Stamp| date::of_nanos(picture.wall(boot, at)?);
    let first = when(&told.first.0, told.first.1);
    let namespace = if about.namespace.is_empty() { NO_NAMESPACE } else { &about.namespace };
    json!({
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {
            "name": format!("{}.{:016x}", about.name, told.seq),
            "namespace": namespace,
            "uid": told.id,
            "resourceVersion": told.revision.to_string(),
            "creationTimestamp": first,
        },
        "involvedObject": involved(about),
        "type": weight.name(),
        "reason": reason,
        "message": message,
        "count": told.count,
        "firstTimestamp": first,
        "lastTimestamp": when(boot, *at),
        "eventTime": null,
        "source": {"component": COMPONENT, "host": picture.node},
        "reportingComponent": COMPONENT,
        "reportingInstance": picture.node,
    })
}

fn involved(about: &About) -> Value {
    let workload = WorkloadKind::ALL.into_iter().find(|kind| kind.name() == about.kind);
    let version = workload.map_or("v1", WorkloadKind::api_version);
    let mut object = json!({"apiVersion": version, "kind": about.kind, "name": about.name, "uid": about.uid});
    for (field, text) in [("namespace", &about.namespace), ("fieldPath", &about.field)] {
        if !text.is_empty() {
            object[field] = json!(text);
        }
    }
    object
}
