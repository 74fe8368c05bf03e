//! `GET …/pods/{name}/log`: the log files of the node, filtered and followed, also over a WebSocket. Writes nothing.

mod follow;
mod line;
mod socket;
mod tail;

use std::{io, path::PathBuf, sync::Arc};

use axum::{
    body::Body,
    extract::{Path, Query, State, rejection::QueryRejection},
    http::header::CONTENT_TYPE,
    response::{IntoResponse, Response},
};
use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use serde_json::Value;

use self::{
    follow::Watch,
    line::{Print, Stamps},
    tail::{Tail, Window},
};
use super::{
    Api,
    exec::Upgrade,
    objects::{find, options},
    pod,
    refusal::Refusal,
    resource::PODS,
};
use crate::{
    picture::{Picture, PodPicture},
    pod::{
        AttemptId,
        status::{ContainerState, ContainerStatus},
    },
};

/// Set by clients and by kubectl's own users: which container is meant if none is named.
const DEFAULT_CONTAINER: &str = "kubectl.kubernetes.io/default-container";

/// The query, as Kubernetes spells it.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct LogQuery {
    container: Option<String>,
    follow: bool,
    previous: bool,
    timestamps: bool,
    tail_lines: Option<u64>,
    limit_bytes: Option<u64>,
    since_seconds: Option<u32>,
    since_time: Option<Timestamp>,
}

impl LogQuery {
    fn print(&self, now: Timestamp) -> Print {
        let ago = self.since_seconds.map(|seconds| SignedDuration::from_secs(seconds.into()));
        let since = ago.map(|ago| now.saturating_sub(ago).unwrap_or(Timestamp::MIN)).or(self.since_time);
        Print::new(if self.timestamps { Stamps::Shown } else { Stamps::Hidden }, since)
    }
}

/// Which of a container's attempts is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Which {
    Latest,
    Previous,
}

/// `GET /api/v1/namespaces/{namespace}/pods/{name}/log`.
pub(super) async fn log(
    State(api): State<Arc<Api>>,
    Path((namespace, name)): Path<(String, String)>,
    query: Result<Query<LogQuery>, QueryRejection>,
    upgrade: Upgrade,
) -> Result<Response, Refusal> {
    let query = options(query)?;
    let object = find(&api, PODS, &namespace, &name).await?;
    let container = chosen(&object, query.container.as_deref()).map_err(Refusal::bad_request)?;
    let which = if query.previous { Which::Previous } else { Which::Latest };
    let id = attempt(&api.picture.borrow(), &object, &container, which).map_err(Refusal::bad_request)?;
    let path = file(&api.config.logs, &namespace, &name, &id);
    let failed =
        |error: io::Error| Refusal::failed(format!("cannot read the log {}: {error}", path.display()));
    // The watch comes before the first read: what is written in between is not missed.
    let watch = if query.follow { Some(Watch::on(&path).map_err(failed)?) } else { None };
    let tail = open(path.clone(), &query, (api.clock)()).await.map_err(failed)?;
    let output = match watch {
        Some(watch) => follow::until_end(tail, watch, api.picture.clone(), id),
        None => follow::as_it_is(tail),
    };
    Ok(match upgrade {
        Ok(upgrade) => socket::answer(upgrade, output),
        Err(_) => ([(CONTENT_TYPE, "text/plain; charset=utf-8")], Body::new(output)).into_response(),
    })
}

/// Where an attempt's output is, as `act` and log shippers know it.
fn file(logs: &std::path::Path, namespace: &str, pod: &str, id: &AttemptId) -> PathBuf {
    let AttemptId { uid, container, attempt } = id;
    logs.join("pods").join(format!("{namespace}_{pod}_{uid}")).join(container).join(format!("{attempt}.log"))
}

async fn open(path: PathBuf, query: &LogQuery, now: Timestamp) -> io::Result<Tail> {
    let window = Window { lines: query.tail_lines, bytes: query.limit_bytes };
    let print = query.print(now);
    tokio::task::spawn_blocking(move || Tail::open(path, &window, print)).await?
}

/// The container that is meant: the named one, the pod's default, or the only one.
pub(super) fn chosen(object: &Value, named: Option<&str>) -> Result<String, String> {
    let pod = object["metadata"]["name"].as_str().unwrap_or_default();
    let names = |list: &str| -> Vec<&str> {
        let containers = object["spec"][list].as_array().map(Vec::as_slice).unwrap_or_default();
        containers.iter().filter_map(|container| container["name"].as_str()).collect()
    };
    let inits = [names("initContainers"), names("ephemeralContainers")].concat();
    let names = names("containers");
    let default = object["metadata"]["annotations"].get(DEFAULT_CONTAINER).and_then(Value::as_str);
    match (named.or(default), names.as_slice()) {
        (Some(name), _) if names.contains(&name) || inits.contains(&name) => Ok(name.to_owned()),
        (Some(name), _) => {
            let all = [inits, names].concat();
            Err(format!("container {name} is not valid for pod {pod}: choose one of {all:?}"))
        }
        (None, [only]) => Ok((*only).to_owned()),
        (None, _) => {
            Err(format!("a container name must be specified for pod {pod}: choose one of {names:?}"))
        }
    }
}

/// The attempt whose log is meant, if there has been one.
fn attempt(picture: &Picture, object: &Value, container: &str, which: Which) -> Result<AttemptId, String> {
    let pod = object["metadata"]["name"].as_str().unwrap_or_default();
    let named = |status: &&ContainerStatus| status.name == container;
    let status = pod::of(object, picture).and_then(|pod| pod.status.containers.iter().find(named));
    let found = match which {
        Which::Latest => status.and_then(pod::latest),
        Which::Previous => status.and_then(|status| status.last.as_ref()).map(|ended| &ended.id),
    };
    if let Some(id) = found {
        return Ok(id.clone());
    }
    let waits = match status.map(|status| &status.state) {
        Some(ContainerState::Waiting { reason, .. }) => *reason,
        _ => "ContainerCreating",
    };
    Err(match which {
        Which::Latest => format!("container {container:?} in pod {pod:?} is waiting to start: {waits}"),
        Which::Previous => format!("previous terminated container {container:?} in pod {pod:?} not found"),
    })
}

/// Whether that attempt runs, as far as the picture goes.
fn runs(picture: &Picture, id: &AttemptId) -> bool {
    let live =
        |status: &ContainerStatus| matches!(&status.state, ContainerState::Running(live) if live.id == *id);
    let of_pod = |pod: &Arc<PodPicture>| pod.spec.uid == id.uid && pod.status.containers.iter().any(live);
    picture.pods.values().any(of_pod)
}
