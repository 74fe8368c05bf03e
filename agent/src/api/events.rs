//! Kubernetes' Events that the loop has told. Those that clients write are stored as all objects are; what a client does to
//! one of the loop's is done to the journal.

use serde_json::{Value, json};

use super::{Api, date, refusal::Refusal, resource::EVENTS};
use crate::{
    picture::Picture,
    pod::{
        Stamp,
        event::{About, Event, Told},
        status::BootId,
        workload::WorkloadKind,
    },
    store::{Error, Kind},
};

/// Who tells, in `source` and `reportingComponent`.
const COMPONENT: &str = "carob";
/// Where events about what has no namespace are kept, as in Kubernetes.
const NO_NAMESPACE: &str = "default";

/// All that the loop has told, the last told last.
pub(super) async fn all(api: &Api, picture: &Picture) -> Result<Vec<Value>, Refusal> {
    let told = api.journal.events().await.map_err(|error| Refusal::internal(&error))?;
    Ok(told.iter().map(|told| event(told, picture)).collect())
}

/// What the loop has told under that name.
pub(super) async fn told(api: &Api, namespace: &str, name: &str) -> Result<Option<Value>, Refusal> {
    let Some(seq) = seq(name) else { return Ok(None) };
    let told = api.journal.event(seq).await.map_err(|error| Refusal::internal(&error))?;
    let shown = told.map(|told| event(&told, &api.picture.borrow()));
    Ok(shown.filter(|event| event["metadata"]["name"] == name && event["metadata"]["namespace"] == namespace))
}

/// Takes it out of the journal; whether it was there.
pub(super) async fn forget(api: &Api, event: &Value) -> Result<bool, Refusal> {
    let text = |field: &str| event["metadata"][field].as_str().unwrap_or_default();
    let Some(seq) = seq(text("name")) else { return Ok(false) };
    let forgotten = api.journal.forget_event(seq, text("uid").to_owned()).await;
    forgotten.map_err(|error| Refusal::internal(&error))
}

/// What a client has made of something that the loop told is the client's from then on. `None`: it was already.
pub(super) async fn adopt(api: &Api, event: &Value) -> Result<Option<Value>, Refusal> {
    let text = |field: &str| event["metadata"][field].as_str().unwrap_or_default();
    let known = told(api, text("namespace"), text("name")).await?;
    if known.is_none_or(|known| known["metadata"]["uid"] != text("uid")) {
        return Ok(None);
    }
    match api.objects.create(Kind::Event, event.clone()).await {
        Ok(object) => {
            forget(api, event).await?;
            Ok(Some(object))
        }
        // Taken over before, though not forgotten yet.
        Err(Error::AlreadyExists(_)) => Ok(None),
        Err(error) => Err(Refusal::of_store(&error, EVENTS, text("name"))),
    }
}

/// The number in the name of what the loop told.
fn seq(name: &str) -> Option<u64> {
    u64::from_str_radix(name.rsplit_once('.')?.1, 16).ok()
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
