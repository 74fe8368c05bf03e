//! Objects that nobody wrote: the node, and what is used. They can be read.

mod node;
mod usage;

use std::{sync::Arc, time::Duration};

use axum::{
    Json,
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::{
    Api,
    cache::WatchCache,
    list::{self, ListQuery},
    objects::{Answer, Options, options},
    refusal::Refusal,
    resource::{self, Listed},
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
    NodeMetrics,
    PodMetrics,
}

impl Shown {
    pub(super) const ALL: [Self; 3] = [Self::Nodes, Self::NodeMetrics, Self::PodMetrics];

    pub(super) fn listed(self) -> &'static Listed {
        match self {
            Self::Nodes => &resource::NODES,
            Self::NodeMetrics => &resource::NODE_METRICS,
            Self::PodMetrics => &resource::POD_METRICS,
        }
    }

    /// All of them, as they are now.
    pub(super) async fn all(self, api: &Api) -> Result<Vec<Value>, Refusal> {
        match self {
            Self::Nodes => Ok(nodes(api)),
            Self::NodeMetrics => Ok(usage::nodes(&used(api).await, &api.picture.borrow(), (api.clock)())),
            Self::PodMetrics => Ok(usage::pods(&used(api).await, (api.clock)())),
        }
    }
}

/// `GET` of a list, in one namespace or in all. What is used has no versions, and is not watched.
pub(super) async fn list(
    api: Arc<Api>,
    shown: Shown,
    namespace: Option<String>,
    query: Options<ListQuery>,
    form: Form,
) -> Result<Response, Refusal> {
    let query = options(query)?;
    if shown == Shown::Nodes {
        return list::list_or_watch(api, shown.into(), namespace, &query, form).await;
    }
    let wanted = list::wanted(shown.into(), namespace, &query)?;
    if query.watches() {
        return Err(Refusal::method_not_allowed("what is used cannot be watched: list again"));
    }
    let mut items = shown.all(&api).await?;
    items.retain(|item| wanted.covers(item));
    let Listed { kind, version, .. } = shown.listed();
    Ok(Json(form.list((kind, version), &items, json!({}), (api.clock)())).into_response())
}

/// `GET` of one.
pub(super) async fn read(api: &Api, shown: Shown, namespace: Option<&str>, name: &str, form: Form) -> Answer {
    let Listed { kind, plural, .. } = shown.listed();
    let absent = || Refusal::absent(format!("{plural} {name:?} not found"));
    let found = match shown {
        Shown::Nodes => {
            let found = WatchCache::one(api, shown.into(), "", name).await?;
            found.map(|shown| shown.object.clone())
        }
        Shown::NodeMetrics | Shown::PodMetrics => {
            let is_meant = |item: &Value| {
                let metadata = &item["metadata"];
                let here = namespace.is_none_or(|namespace| metadata["namespace"] == namespace);
                metadata["name"] == name && here
            };
            shown.all(api).await?.into_iter().find(is_meant)
        }
    };
    Ok(Json(form.one(kind, found.ok_or_else(absent)?, (api.clock)())))
}

fn nodes(api: &Api) -> Vec<Value> {
    vec![node::node(&api.picture.borrow(), (api.clock)())]
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
pub(super) fn uid(kind: &str, name: &str) -> String {
    let digest = Sha256::digest(format!("carob.dev/{kind}/{name}"));
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&digest[..16]);
    uuid::Builder::from_custom_bytes(bytes).into_uuid().to_string()
}
