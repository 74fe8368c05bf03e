//! The box itself, namespaces, and what is used.

use serde_json::Value;

use super::{AGE, Column, NAME, list, text};

pub(super) const NODE: &[Column] = &[
    NAME,
    Column::text("Status", |node, _| ready(node).into()),
    Column::text("Roles", |_, _| "<none>".into()),
    AGE,
    Column::text("Version", |node, _| text(&node["status"]["nodeInfo"]["kubeletVersion"]).into()),
    Column::text("Internal-IP", |node, _| address(node, "InternalIP").into()).wide(),
    Column::text("External-IP", |node, _| address(node, "ExternalIP").into()).wide(),
    Column::text("OS-Image", |node, _| known(&node["status"]["nodeInfo"]["osImage"]).into()).wide(),
    Column::text("Kernel-Version", |node, _| known(&node["status"]["nodeInfo"]["kernelVersion"]).into())
        .wide(),
    Column::text("Container-Runtime", |node, _| {
        known(&node["status"]["nodeInfo"]["containerRuntimeVersion"]).into()
    })
    .wide(),
];

pub(super) const NAMESPACE: &[Column] =
    &[NAME, Column::text("Status", |space, _| text(&space["status"]["phase"]).into()), AGE];

pub(super) const METRICS: &[Column] = &[
    NAME,
    Column::text("CPU", |one, _| of_all(one, "cpu").into()),
    Column::text("Memory", |one, _| of_all(one, "memory").into()),
    Column::text("Window", |one, _| text(&one["window"]).into()),
];

fn ready(node: &Value) -> String {
    let ready = list(&node["status"], "conditions").iter().find(|one| one["type"] == "Ready");
    match ready.map(|ready| ready["status"] == "True") {
        Some(true) => "Ready",
        Some(false) => "NotReady",
        None => "Unknown",
    }
    .to_owned()
}

fn address(node: &Value, kind: &str) -> String {
    let found = list(&node["status"], "addresses").iter().find(|one| one["type"] == kind);
    found.map_or_else(|| "<none>".to_owned(), |one| text(&one["address"]))
}

fn known(value: &Value) -> String {
    value.as_str().filter(|text| !text.is_empty()).unwrap_or("<unknown>").to_owned()
}

/// What the node uses, or the containers of a pod together.
fn of_all(one: &Value, what: &str) -> String {
    let own = one["usage"][what].as_str();
    let each = list(one, "containers").iter().filter_map(|container| container["usage"][what].as_str());
    let amounts: Vec<&str> = own.into_iter().chain(each).collect();
    let unit = amounts
        .first()
        .map_or("", |amount| amount.trim_start_matches(|letter: char| letter.is_ascii_digit()));
    let sum: u64 = amounts.iter().filter_map(|amount| amount.strip_suffix(unit)?.parse::<u64>().ok()).sum();
    format!("{sum}{unit}")
}
