//! Kubernetes' Events: what the loop has told of objects. Reads the journal, never writes it.

use std::sync::Arc;

use axum::{
    Json,
    extract::{Path, State},
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};

use super::{
    Api, date,
    list::ListQuery,
    objects::{Answer, Options, options},
    refusal::Refusal,
    selector::EVENT_FIELDS,
    table::Form,
    watch::{Begin, Listener, Wanted, Woken},
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
/// Kind and version.
const EVENT: (&str, &str) = ("Event", "v1");
/// Where events about what has no namespace are kept, as in Kubernetes.
const NO_NAMESPACE: &str = "default";

/// `GET /api/v1/events`.
pub(super) async fn list_all(
    State(api): State<Arc<Api>>,
    query: Options<ListQuery>,
    form: Form,
) -> Result<Response, Refusal> {
    list_or_watch(api, None, &options(query)?, form).await
}

/// `GET /api/v1/namespaces/{namespace}/events`.
pub(super) async fn list_namespace(
    State(api): State<Arc<Api>>,
    Path(namespace): Path<String>,
    query: Options<ListQuery>,
    form: Form,
) -> Result<Response, Refusal> {
    list_or_watch(api, Some(namespace), &options(query)?, form).await
}

/// `GET /api/v1/namespaces/{namespace}/events/{name}`.
pub(super) async fn read(
    State(api): State<Arc<Api>>,
    Path((namespace, name)): Path<(String, String)>,
    form: Form,
) -> Answer {
    let all = shown(&api).await?;
    let of_name =
        |event: &Value| event["metadata"]["name"] == *name && event["metadata"]["namespace"] == *namespace;
    all.into_iter()
        .find(of_name)
        .map(|event| Json(form.one(EVENT.0, event, (api.clock)())))
        .ok_or_else(|| Refusal::absent(format!("events {name:?} not found")))
}

async fn list_or_watch(
    api: Arc<Api>,
    namespace: Option<String>,
    query: &ListQuery,
    form: Form,
) -> Result<Response, Refusal> {
    let wanted = Wanted { namespace, selector: query.chosen(EVENT_FIELDS)? };
    if query.watches() {
        let begin = query.begin()?;
        let (listener, response) = Listener::new(&api, query, EVENT, form);
        tokio::spawn(watch(api, wanted, begin, listener));
        return Ok(response);
    }
    let version = *api.objects.changed().borrow();
    let mut items = shown(&api).await?;
    items.retain(|event| wanted.covers(event));
    let metadata = json!({"resourceVersion": version.to_string()});
    Ok(Json(form.list(EVENT, &items, metadata, (api.clock)())).into_response())
}

/// Sends each event as it is told until the client goes or the journal cannot be read. What has been told before in the
/// same words comes as MODIFIED. Rows that give way to newer ones are not told of.
async fn watch(api: Arc<Api>, wanted: Wanted, begin: Begin, mut listener: Listener) {
    let mut news = api.objects.changed();
    let mut since = match begin {
        Begin::After(version) => version,
        Begin::Everything | Begin::Listing => 0,
    };
    let mut is_listing = begin == Begin::Listing;
    loop {
        let newest = *news.borrow_and_update();
        let Ok(told) = api.journal.events().await else { return };
        for told in told.iter().filter(|told| told.revision > since) {
            let object = event(told, &api.picture.borrow());
            // Who begins with all that there is has seen none of it before.
            let kind = if told.count > 1 && since > 0 { "MODIFIED" } else { "ADDED" };
            if wanted.covers(&object) && !listener.tell(kind, object).await {
                return;
            }
        }
        let last = told.last().map_or(0, |told| told.revision);
        since = since.max(newest).max(last);
        if std::mem::take(&mut is_listing) && !listener.initial_end(since).await {
            return;
        }
        if listener.wait(&api, &mut news, since).await == Woken::Over {
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
