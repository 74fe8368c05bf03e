//! Objects that nobody wrote: the node, the namespaces, and what is used. They can be read.

mod namespace;
mod node;
mod usage;

use std::{sync::Arc, time::Duration};

use axum::Json;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::{
    Api,
    objects::{Answer, ListQuery, Options, options},
    refusal::Refusal,
    resource::{self, Listed},
    selector,
    table::Form,
};
use crate::{
    metrics::{self, Moment, Used},
    picture::{Picture, PodPicture},
    pod::status::ContainerState,
};

/// A rate takes two looks: so long between them, if nobody has looked before.
const BETWEEN: Duration = Duration::from_millis(1100);

/// The kinds of these objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shown {
    Nodes,
    Namespaces,
    NodeMetrics,
    PodMetrics,
}

impl Shown {
    pub(super) const ALL: [Self; 4] = [Self::Nodes, Self::Namespaces, Self::NodeMetrics, Self::PodMetrics];

    pub(super) fn listed(self) -> &'static Listed {
        match self {
            Self::Nodes => &resource::NODES,
            Self::Namespaces => &resource::NAMESPACES,
            Self::NodeMetrics => &resource::NODE_METRICS,
            Self::PodMetrics => &resource::POD_METRICS,
        }
    }

    /// All of them, as they are now.
    pub(super) async fn all(self, api: &Api) -> Result<Vec<Value>, Refusal> {
        match self {
            Self::Nodes => Ok(nodes(api)),
            Self::Namespaces => namespaces(api).await,
            Self::NodeMetrics => Ok(usage::nodes(&used(api).await, &api.picture.borrow(), (api.clock)())),
            Self::PodMetrics => Ok(usage::pods(&used(api).await, (api.clock)())),
        }
    }
}

/// `GET` of a list, in one namespace or in all.
pub(super) async fn list(
    api: &Api,
    shown: Shown,
    namespace: Option<&str>,
    query: Options<ListQuery>,
    form: Form,
) -> Answer {
    let selector = options(query)?.selector(selector::FIELDS)?;
    let revision = *api.objects.changed().borrow();
    let mut items = shown.all(api).await?;
    let is_here = |item: &Value| namespace.is_none_or(|name| item["metadata"]["namespace"] == name);
    items.retain(|item| is_here(item) && selector.matches(item));
    let Listed { kind, version, .. } = shown.listed();
    let metadata = json!({"resourceVersion": revision.to_string()});
    Ok(Json(form.list((kind, version), &items, metadata, (api.clock)())))
}

/// `GET` of one.
pub(super) async fn read(api: &Api, shown: Shown, namespace: Option<&str>, name: &str, form: Form) -> Answer {
    let is_meant = |item: &Value| {
        let metadata = &item["metadata"];
        metadata["name"] == name && namespace.is_none_or(|namespace| metadata["namespace"] == namespace)
    };
    let Listed { kind, plural, .. } = shown.listed();
    let found = shown.all(api).await?.into_iter().find(is_meant);
    let found = found.ok_or_else(|| Refusal::absent(format!("{plural} {name:?} not found")))?;
    Ok(Json(form.one(kind, found, (api.clock)())))
}

fn nodes(api: &Api) -> Vec<Value> {
    let revision = *api.objects.changed().borrow();
    vec![node::node(&api.picture.borrow(), revision, (api.clock)())]
}

async fn namespaces(api: &Api) -> Result<Vec<Value>, Refusal> {
    let (mut objects, mut newest) = (Vec::new(), 0);
    for resource in resource::all() {
        let listed = api.objects.list(resource.kind, None).await;
        let (found, revision) = listed.map_err(|error| Refusal::of_store(&error, resource, ""))?;
        objects.extend(found);
        newest = newest.max(revision);
    }
    Ok(namespace::namespaces(&objects, newest))
}

/// What is used. If something was never looked at before, it is looked at twice.
async fn used(api: &Api) -> Used {
    let look = || {
        let moment = Moment { now: (api.now)(), date: (api.clock)() };
        let places = (api.config.cgroup_fs.as_path(), api.config.pods_cgroup());
        metrics::used(&api.picture.borrow(), (places.0, &places.1), moment, &api.readings)
    };
    let first = look();
    if first.node.is_some() && first.pods.len() == running(&api.picture.borrow()) {
        return first;
    }
    tokio::time::sleep(BETWEEN).await;
    look()
}

/// How many pods have a container that runs.
fn running(picture: &Picture) -> usize {
    let runs = |pod: &&Arc<PodPicture>| {
        pod.status.containers.iter().any(|one| matches!(one.state, ContainerState::Running(_)))
    };
    picture.pods.values().filter(runs).count()
}

/// The same for the same name, always.
fn uid(kind: &str, name: &str) -> String {
    let digest = Sha256::digest(format!("carob.dev/{kind}/{name}"));
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&digest[..16]);
    uuid::Builder::from_custom_bytes(bytes).into_uuid().to_string()
}
