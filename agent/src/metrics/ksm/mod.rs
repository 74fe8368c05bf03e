//! Pods and namespaces under the names and labels of kube-state-metrics, which dashboards and alerts ask for.
//! <https://github.com/kubernetes/kube-state-metrics/blob/main/docs/metrics/workload/pod-metrics.md>

mod container;
mod resources;
mod state;

use std::{collections::BTreeSet, net::IpAddr};

use serde_json::Value;

use super::family::{Family, Series, flag};
use crate::{
    picture::{Picture, PodPicture},
    pod::{
        RestartPolicy, Stamp,
        network::Address,
        status::{Phase, Truth},
    },
};

pub(super) fn families(picture: &Picture) -> Vec<Family> {
    let mut families = vec![
        Family::gauge("kube_namespace_status_phase", "Namespaces that have a pod.", namespaces(picture)),
        Family::info("kube_pod", "What a pod is and who made it.", of_pods(picture, info)),
        Family::gauge("kube_pod_ips", "1 for each address of a pod.", of_pods(picture, ips)),
        Family::gauge(
            "kube_pod_owner",
            "The objects that own a pod; empty if none does.",
            of_pods(picture, owners),
        ),
        Family::gauge(
            "kube_pod_created",
            "When the pod was made, seconds since 1970.",
            of_pods(picture, created),
        ),
        Family::gauge(
            "kube_pod_start_time",
            "When the agent accepted the pod in this boot, seconds since 1970.",
            of_pods(picture, start_time),
        ),
        Family::gauge(
            "kube_pod_restart_policy",
            "The restart policy in use.",
            of_pods(picture, restart_policy),
        ),
        Family::gauge("kube_pod_status_phase", "1 for the phase the pod is in.", of_pods(picture, phases)),
        Family::gauge(
            "kube_pod_status_ready",
            "1 for the state of the condition Ready.",
            of_pods(picture, ready),
        ),
    ];
    families.extend(state::families(picture));
    families.extend(container::families(picture));
    families.extend(resources::families(picture));
    families.extend(resources::of_node(picture));
    families
}

/// One pod, and the picture it is in.
#[derive(Clone, Copy)]
struct Subject<'a> {
    picture: &'a Picture,
    pod: &'a PodPicture,
}

impl<'a> Subject<'a> {
    fn all(picture: &'a Picture) -> impl Iterator<Item = Self> {
        picture.pods.values().map(move |pod| Self { picture, pod })
    }

    fn series<const N: usize>(self, labels: [(&'static str, &str); N], value: f64) -> Series {
        let spec = &self.pod.spec;
        let whose = [("namespace", &*spec.name.namespace), ("pod", &*spec.name.name), ("uid", &*spec.uid.0)];
        Series::new(labels, value).below(whose)
    }

    fn text(self, pointer: &str) -> &'a str {
        self.pod.object.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
    }

    fn owners(self) -> impl Iterator<Item = Owner<'a>> {
        let owners = self.pod.object.pointer("/metadata/ownerReferences").and_then(Value::as_array);
        owners.into_iter().flatten().map(|owner| {
            let text = |field| owner.get(field).and_then(Value::as_str).unwrap_or_default();
            let controls = owner.get("controller").and_then(Value::as_bool).unwrap_or(false);
            Owner { kind: text("kind"), name: text("name"), controls }
        })
    }

    /// Whole seconds since 1970, as kube-state-metrics has them.
    fn seconds(self, stamp: Stamp) -> Option<f64> {
        let nanoseconds = self.picture.wall(&self.picture.boot, stamp)?;
        Some(nanoseconds.div_euclid(1_000_000_000) as f64)
    }
}

/// An entry of `metadata.ownerReferences`.
struct Owner<'a> {
    kind: &'a str,
    name: &'a str,
    controls: bool,
}

fn of_pods(picture: &Picture, series: fn(Subject<'_>) -> Vec<Series>) -> Vec<Series> {
    Subject::all(picture).flat_map(series).collect()
}

fn namespaces(picture: &Picture) -> Vec<Series> {
    let names: BTreeSet<_> = picture.pods.keys().map(|name| name.namespace.as_str()).collect();
    let phases = [("Active", 1.0), ("Terminating", 0.0)];
    let of = |namespace| {
        phases.map(|(phase, value)| Series::new([("namespace", namespace), ("phase", phase)], value))
    };
    names.into_iter().flat_map(of).collect()
}

fn info(pod: Subject<'_>) -> Vec<Series> {
    let host_network = pod.pod.object.pointer("/spec/hostNetwork").and_then(Value::as_bool).unwrap_or(false);
    let (kind, name) =
        pod.owners().find(|owner| owner.controls).map_or(("", ""), |owner| (owner.kind, owner.name));
    let host_ip = pod.picture.address.v4.to_string();
    // Empty until the pod is on the network.
    let pod_ip =
        pod.pod.reached_at(pod.picture.address).map(|address| address.v4.to_string()).unwrap_or_default();
    let labels = [
        ("host_ip", &*host_ip),
        ("pod_ip", &*pod_ip),
        ("node", &*pod.picture.node),
        ("created_by_kind", kind),
        ("created_by_name", name),
        ("priority_class", pod.text("/spec/priorityClassName")),
        ("host_network", truth(host_network)),
    ];
    vec![pod.series(labels, 1.0)]
}

fn ips(pod: Subject<'_>) -> Vec<Series> {
    let address = pod.pod.reached_at(pod.picture.address);
    let series = |ip: IpAddr| {
        let family = if ip.is_ipv4() { "4" } else { "6" };
        pod.series([("ip", &*ip.to_string()), ("ip_family", family)], 1.0)
    };
    address.into_iter().flat_map(Address::forms).map(series).collect()
}

/// `KubePodNotReady` joins on this: a pod without it can never raise that alert.
fn owners(pod: Subject<'_>) -> Vec<Series> {
    let series = |kind, name, controls| {
        let labels = [("owner_kind", kind), ("owner_name", name), ("owner_is_controller", controls)];
        pod.series(labels, 1.0)
    };
    let owners: Vec<_> =
        pod.owners().map(|owner| series(owner.kind, owner.name, truth(owner.controls))).collect();
    if owners.is_empty() { vec![series("", "", "")] } else { owners }
}

fn created(pod: Subject<'_>) -> Vec<Series> {
    let created: Option<jiff::Timestamp> = pod.text("/metadata/creationTimestamp").parse().ok();
    created.map(|created| pod.series([], created.as_second() as f64)).into_iter().collect()
}

fn start_time(pod: Subject<'_>) -> Vec<Series> {
    let seconds = pod.pod.status.start.and_then(|start| pod.seconds(start));
    seconds.map(|seconds| pod.series([], seconds)).into_iter().collect()
}

fn restart_policy(pod: Subject<'_>) -> Vec<Series> {
    let policy = match pod.pod.spec.restart {
        RestartPolicy::Always => "Always",
        RestartPolicy::OnFailure => "OnFailure",
        RestartPolicy::Never => "Never",
    };
    vec![pod.series([("type", policy)], 1.0)]
}

fn phases(pod: Subject<'_>) -> Vec<Series> {
    let known = [Phase::Pending, Phase::Running, Phase::Succeeded, Phase::Failed];
    let mut series: Vec<_> = known
        .iter()
        .map(|phase| pod.series([("phase", phase.name())], flag(*phase == pod.pod.status.phase)))
        .collect();
    // Always 0: the agent knows the phase of its own pods. Alerts select it all the same.
    series.push(pod.series([("phase", "Unknown")], 0.0));
    series
}

fn ready(pod: Subject<'_>) -> Vec<Series> {
    let Some(ready) = pod.pod.status.conditions.iter().find(|condition| condition.kind == "Ready") else {
        return Vec::new();
    };
    let state = |name, holds| pod.series([("condition", name)], flag(holds));
    vec![
        state("true", ready.holds == Truth::True),
        state("false", ready.holds == Truth::False),
        state("unknown", false),
    ]
}

fn truth(holds: bool) -> &'static str {
    if holds { "true" } else { "false" }
}
