//! Kubernetes' Events: what the loop has told of objects. Reads the journal, never writes it.

use std::sync::Arc;

use axum::{
    Json,
    body::{Body, Bytes},
    extract::{Path, State},
    http::header::CONTENT_TYPE,
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::{
    Api, date,
    objects::{Answer, ListQuery, Options, options},
    piecewise::{Output, Piece},
    refusal::Refusal,
    selector::{EVENT_FIELDS, Selector},
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
pub(super) async fn list_all(
    State(api): State<Arc<Api>>,
    query: Options<ListQuery>,
) -> Result<Response, Refusal> {
    list_or_watch(api, None, &options(query)?).await
}

/// `GET /api/v1/namespaces/{namespace}/events`.
pub(super) async fn list_namespace(
    State(api): State<Arc<Api>>,
    Path(namespace): Path<String>,
    query: Options<ListQuery>,
) -> Result<Response, Refusal> {
    list_or_watch(api, Some(namespace), &options(query)?).await
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

/// Which events a client wants.
struct Wanted {
    namespace: Option<String>,
    selector: Selector,
}

impl Wanted {
    fn covers(&self, event: &Value) -> bool {
        let here = self.namespace.as_ref().is_none_or(|name| event["metadata"]["namespace"] == **name);
        here && self.selector.matches(event)
    }
}

async fn list_or_watch(
    api: Arc<Api>,
    namespace: Option<String>,
    query: &ListQuery,
) -> Result<Response, Refusal> {
    let wanted = Wanted { namespace, selector: query.chosen(EVENT_FIELDS)? };
    if query.watches() {
        let (sender, output) = Output::new();
        tokio::spawn(watch(api, wanted, query.since()?, sender));
        return Ok(([(CONTENT_TYPE, "application/json")], Body::new(output)).into_response());
    }
    let version = *api.objects.changed().borrow();
    let mut items = shown(&api).await?;
    items.retain(|event| wanted.covers(event));
    let metadata = json!({"resourceVersion": version.to_string()});
    let list = json!({"kind": "EventList", "apiVersion": "v1", "metadata": metadata, "items": items});
    Ok(Json(list).into_response())
}

/// Sends each event as it is told, one line of JSON each, until the client goes or the journal cannot be read. What has
/// been told before in the same words comes as MODIFIED. Rows that give way to newer ones are not told of.
async fn watch(api: Arc<Api>, wanted: Wanted, mut since: u64, sender: mpsc::Sender<Piece>) {
    let mut changed = api.objects.changed();
    loop {
        let newest = *changed.borrow_and_update();
        let Ok(told) = api.journal.events().await else { return };
        for told in told.iter().filter(|told| told.revision > since) {
            let object = event(told, &api.picture.borrow());
            let kind = if told.count > 1 { "MODIFIED" } else { "ADDED" };
            let line = format!("{}\n", json!({"type": kind, "object": object}));
            if wanted.covers(&object) && sender.send(Ok(Bytes::from(line))).await.is_err() {
                return;
            }
        }
        let last = told.last().map_or(0, |told| told.revision);
        since = since.max(newest).max(last);
        let goes_on = tokio::select! {
            () = sender.closed() => false,
            changed = changed.changed() => changed.is_ok(),
        };
        if !goes_on {
            return;
        }
    }
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
