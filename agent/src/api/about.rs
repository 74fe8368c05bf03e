//! What the server says of itself: version, health, the kinds it serves, metrics.

use std::sync::Arc;

use axum::{
    Json,
    extract::{Path, State},
    http::HeaderMap,
    response::Response,
};
use serde_json::{Value, json};
use tokio::sync::watch;

use super::{
    Api, packed,
    refusal::Refusal,
    resource::{self, PODS, Resource},
};
use crate::{
    config::Config,
    metrics::{self, Moment, Places},
    picture::Picture,
};

/// The newest Kubernetes whose words the API speaks.
const KUBERNETES: (&str, &str) = ("1", "37");

/// Where the newest picture is found.
#[derive(Clone, Debug)]
pub(super) struct Pictures(pub(super) watch::Receiver<Arc<Picture>>);

/// Where the newest picture is found, and what goes with it in the kernel's files.
#[derive(Clone, Debug)]
pub(super) struct Usage {
    pub(super) picture: watch::Receiver<Arc<Picture>>,
    pub(super) config: Arc<Config>,
}

/// `GET /version`.
pub(super) async fn version() -> Json<Value> {
    let (major, minor) = KUBERNETES;
    Json(json!({
        "major": major,
        "minor": minor,
        "gitVersion": format!("v{major}.{minor}.0+carob-{}", env!("CARGO_PKG_VERSION")),
        "platform": format!("linux/{}", architecture()),
    }))
}

/// As Go names it, and so all clients.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

/// `GET /healthz`, `/livez`: whoever answers is alive.
pub(super) async fn healthy() -> &'static str {
    "ok"
}

/// `GET /readyz`: whether what is asked for would also be kept.
pub(super) async fn ready(State(Pictures(picture)): State<Pictures>) -> Result<&'static str, Refusal> {
    match &picture.borrow().health.store_error {
        None => Ok("ok"),
        Some(error) => Err(Refusal::unavailable(format!("the store cannot be written: {error}"))),
    }
}

/// `GET /metrics`.
pub(super) async fn metrics(State(Pictures(picture)): State<Pictures>, headers: HeaderMap) -> Response {
    let picture = picture.borrow().clone();
    packed::page(&headers, |format| metrics::page(&picture, format))
}

/// `GET /metrics/probes`, as at a kubelet's port.
pub(super) async fn probes(State(Pictures(picture)): State<Pictures>, headers: HeaderMap) -> Response {
    packed::page(&headers, |format| metrics::probes_page(&picture.borrow(), format))
}

/// `GET /metrics/cadvisor`, as at a kubelet's port.
pub(super) async fn usage(State(usage): State<Usage>, headers: HeaderMap) -> Response {
    let Usage { picture, config, .. } = usage;
    let (picture, pods) = (picture.borrow().clone(), config.pods_cgroup());
    let (links, blocks) = (&config.links, &config.blocks);
    let places = Places { root: &config.cgroup_fs, pods: &pods, links, blocks };
    packed::page(&headers, |format| metrics::usage_page(&picture, places, format))
}

/// `GET /stats/summary`, as at a kubelet's port.
pub(super) async fn summary(State(api): State<Arc<Api>>) -> Json<Value> {
    let picture = api.picture.borrow().clone();
    let moment = Moment { now: (api.now)(), date: (api.clock)() };
    let places = (api.config.cgroup_fs.as_path(), api.config.pods_cgroup());
    Json(metrics::summary(&picture, (places.0, &places.1), moment, &api.readings))
}

/// `GET /api`.
pub(super) async fn versions() -> Json<Value> {
    Json(json!({"kind": "APIVersions", "versions": ["v1"]}))
}

/// `GET /apis`.
pub(super) async fn groups() -> Json<Value> {
    let group = |name: &str| {
        let version = json!({"groupVersion": format!("{name}/v1"), "version": "v1"});
        json!({"name": name, "versions": [version], "preferredVersion": version})
    };
    let groups: Vec<Value> = ["apps", "batch"].map(group).into();
    Json(json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": groups}))
}

/// `GET /api/v1`.
pub(super) async fn resources() -> Json<Value> {
    let log = json!({
        "name": format!("{}/log", PODS.plural), "singularName": "", "namespaced": true, "kind": "Pod", "verbs": ["get"],
    });
    let events = json!({
        "name": "events", "singularName": "event", "namespaced": true, "kind": "Event", "verbs": ["get", "list"],
        "shortNames": ["ev"],
    });
    let mut list = listed("v1");
    list.extend([log, events]);
    Json(json!({"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": "v1", "resources": list}))
}

/// `GET /apis/apps/v1`.
pub(super) async fn group_resources(
    Path((group, version)): Path<(String, String)>,
) -> Result<Json<Value>, Refusal> {
    let version = format!("{group}/{version}");
    let list = listed(&version);
    if list.is_empty() {
        return Err(Refusal::unknown_path());
    }
    Ok(Json(
        json!({"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": version, "resources": list}),
    ))
}

/// The kinds of one group and version.
fn listed(version: &str) -> Vec<Value> {
    let entry = |resource: Resource| {
        json!({
            "name": resource.plural,
            "singularName": resource.singular,
            "namespaced": true,
            "kind": resource.kind.name(),
            "verbs": ["create", "delete", "deletecollection", "get", "list", "patch", "update"],
            "shortNames": resource.short,
        })
    };
    resource::all().filter(|resource| resource.manifest().api_version() == version).map(entry).collect()
}
