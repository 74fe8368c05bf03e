//! What the values of an object say, once its fields are known and of the right type: names, ranges, references.
//! Which fields are accepted at all is `rules`' affair.

pub(super) mod claim;
pub(super) mod config;
mod container;
mod metadata;
mod pod_resources;
mod port;
mod probe;
mod security;
mod source;
mod volume;
pub(super) mod workload;

use std::collections::BTreeMap;

use k8s_openapi::{
    api::core::v1::{Container, Namespace, Pod, PodSpec},
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};

use super::{
    annotations,
    defaults::NAMESPACE,
    fault::{FaultKind, Findings, quoted},
    names::{self, Name},
    path::Path,
    surroundings,
};
/// This box's architecture in Go's words, as node labels have it.
const ARCHITECTURE: &str = if cfg!(target_arch = "x86_64") {
    "amd64"
} else if cfg!(target_arch = "aarch64") {
    "arm64"
} else {
    std::env::consts::ARCH
};

/// Checks a whole Pod.
pub(super) fn pod(pod: &Pod, findings: &mut Findings) {
    let root = Path::Root;
    metadata::check(&pod.metadata, &root.field("metadata"), findings);
    let empty = PodSpec::default();
    pod_of(&pod.metadata, pod.spec.as_ref().unwrap_or(&empty), &root, findings);
}

/// Checks a whole Namespace.
pub(super) fn namespace(space: &Namespace, findings: &mut Findings) {
    let at = Path::Root;
    let at = at.field("metadata");
    metadata::check(&space.metadata, &at, findings);
    if let Some(name) = space.metadata.name.as_deref().filter(|name| !name.is_empty()) {
        check_name(name, &names::LABEL, &at.field("name"), findings);
    }
    if space.metadata.namespace.as_deref().is_some_and(|namespace| !namespace.is_empty()) {
        findings.fault(
            &at.field("namespace"),
            FaultKind::Value,
            "not allowed on this type: it is in no namespace",
        );
    }
}

/// Checks all of a pod but its name and labels. `top`: where it stands.
fn pod_of(metadata: &ObjectMeta, spec: &PodSpec, top: &Path<'_>, findings: &mut Findings) {
    let at = top.field("spec");
    pod_fields(spec, &at, findings);
    security::pod(spec, &at, findings);
    let (name, namespace) = (metadata.name.as_deref(), metadata.namespace.as_deref());
    let namespace = namespace.filter(|namespace| !namespace.is_empty()).unwrap_or(NAMESPACE);
    surroundings::check(spec, name.unwrap_or_default(), namespace, &at, findings);
    container::check_all(spec, &at, findings);
    pod_resources::check(spec, &at, findings);
    volume::check_all(spec, &at.field("volumes"), findings);
    own_annotations(metadata, spec, &top.field("metadata"), findings);
}

fn pod_fields(spec: &PodSpec, at: &Path<'_>, findings: &mut Findings) {
    if let Some(grace) = spec.termination_grace_period_seconds.filter(|grace| *grace < 0) {
        let at = at.field("terminationGracePeriodSeconds");
        findings.fault(
            &at,
            FaultKind::Value,
            format!("{grace} is negative; a number of 0 or more seconds is needed"),
        );
    }
    if let Some(deadline) = spec.active_deadline_seconds.filter(|deadline| *deadline < 1) {
        let message = format!("{deadline} is too short; a number of 1 or more seconds is needed");
        findings.fault(&at.field("activeDeadlineSeconds"), FaultKind::Value, message);
    }
    if let Some(hostname) = spec.hostname.as_deref().filter(|name| !name.is_empty()) {
        check_name(hostname, &names::LABEL, &at.field("hostname"), findings);
    }
    gates(spec, at, findings);
    let selector = at.field("nodeSelector");
    for (label, own) in [("kubernetes.io/os", "linux"), ("kubernetes.io/arch", ARCHITECTURE)] {
        let asked = spec.node_selector.as_ref().and_then(|labels| labels.get(label));
        if let Some(other) = asked.filter(|asked| *asked != own) {
            let message = format!("{} is another sort of box than this one, {own}", quoted(other));
            findings.fault(&selector.field(label), FaultKind::Unsupported, message);
        }
    }
}

fn gates(spec: &PodSpec, at: &Path<'_>, findings: &mut Findings) {
    let readiness = at.field("readinessGates");
    for (index, gate) in spec.readiness_gates.iter().flatten().enumerate() {
        require_name(
            &gate.condition_type,
            &names::KEY,
            &readiness.item(index).field("conditionType"),
            findings,
        );
    }
    let scheduling = at.field("schedulingGates");
    let names: Vec<&str> = spec.scheduling_gates.iter().flatten().map(|gate| gate.name.as_str()).collect();
    for (index, name) in names.iter().enumerate() {
        require_name(name, &names::KEY, &scheduling.item(index).field("name"), findings);
    }
    unique(&names, &scheduling, "name", findings);
}

/// carob's own annotations say what they may, of the pod or of a container that is there.
fn own_annotations(metadata: &ObjectMeta, spec: &PodSpec, at: &Path<'_>, findings: &mut Findings) {
    let at = at.field("annotations");
    for (key, value) in metadata.annotations.iter().flatten() {
        let at = at.field(key);
        let Some((annotation, container)) = annotations::of_key(key) else { continue };
        if let Some(container) = container.filter(|name| !all_containers(spec).any(|c| c.name == *name)) {
            let message = format!("there is no container {}", quoted(container));
            findings.fault(&at, FaultKind::Value, message);
        }
        if !(annotation.is_good)(value) {
            findings.rejected(&at, value, annotation.needed);
        }
    }
}

fn all_containers(spec: &PodSpec) -> impl Iterator<Item = &Container> {
    spec.init_containers.iter().flatten().chain(&spec.containers)
}

fn check_name(text: &str, name: &Name, at: &Path<'_>, findings: &mut Findings) {
    if !(name.fits)(text) {
        findings.rejected(at, text, name.needed);
    }
}

/// A name that must be there, and must be one.
fn require_name(text: &str, name: &Name, at: &Path<'_>, findings: &mut Findings) {
    if text.is_empty() { findings.missing(at, name.needed) } else { check_name(text, name, at, findings) }
}

/// Each name once: says which entry had it first.
fn unique(names: &[&str], list: &Path<'_>, field: &str, findings: &mut Findings) {
    let mut seen = BTreeMap::new();
    for (index, name) in names.iter().enumerate().filter(|(_, name)| !name.is_empty()) {
        let first = *seen.entry(name).or_insert(index);
        if first != index {
            let message = format!("{} is taken by {}", quoted(name), list.item(first));
            findings.fault(&list.item(index).field(field), FaultKind::Taken, message);
        }
    }
}

/// Whether a path leads out of the directory it begins in.
fn climbs(path: &str) -> bool {
    path.split('/').any(|part| part == "..")
}
