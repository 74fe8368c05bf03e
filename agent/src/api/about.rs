//! What the server says of itself: version, health, metrics.

use std::sync::Arc;

use axum::{Json, extract::State, http::HeaderMap, response::Response};
use serde_json::{Value, json};
use tokio::sync::watch;

use super::{Api, packed, refusal::Refusal};
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
        "gitVersion": version_text(),
        "platform": format!("linux/{}", architecture()),
    }))
}

/// The version of Kubernetes that is spoken, and carob's own.
pub(super) fn version_text() -> String {
    let (major, minor) = KUBERNETES;
    format!("v{major}.{minor}.0+carob-{}", env!("CARGO_PKG_VERSION"))
}

/// As Go names it, and so all clients.
pub(super) fn architecture() -> &'static str {
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
