//! What containers ask for and may use, and what the box has, under the names of kube-state-metrics.

use super::{super::family::flag, Family, Picture, Series, Subject};
use crate::pod::{Container, MOST_PODS, Resources, Role};

pub(super) fn families(picture: &Picture) -> Vec<Family> {
    let gauge =
        |name, help, role: fn(Role) -> bool, amounts| Family::gauge(name, help, of(picture, role, amounts));
    vec![
        gauge(
            "kube_pod_container_resource_requests",
            "What a container was given: cores, bytes.",
            is_main,
            requests,
        ),
        gauge(
            "kube_pod_container_resource_limits",
            "What a container may use: cores, bytes.",
            is_main,
            limits,
        ),
        gauge(
            "kube_pod_init_container_resource_requests",
            "What an init container was given: cores, bytes.",
            is_early,
            requests,
        ),
        gauge(
            "kube_pod_init_container_resource_limits",
            "What an init container may use: cores, bytes.",
            is_early,
            limits,
        ),
    ]
}

/// The node: there is one.
pub(super) fn of_node(picture: &Picture) -> Vec<Family> {
    let node = &*picture.node;
    let (cores, bytes) = (picture.capacity.cpu as f64 / 1000.0, picture.capacity.memory as f64);
    let amounts = || {
        let row = |resource, unit, value| {
            Series::new([("node", node), ("resource", resource), ("unit", unit)], value)
        };
        vec![
            row("cpu", "core", cores),
            row("memory", "byte", bytes),
            row("pods", "integer", MOST_PODS as f64),
        ]
    };
    let condition = |name: &'static str, now: &'static str| {
        ["true", "false", "unknown"].map(|status| {
            Series::new([("node", node), ("condition", name), ("status", status)], flag(status == now))
        })
    };
    let pressure = if picture.health.images.pressure { "true" } else { "false" };
    let conditions = [condition("Ready", "true"), condition("DiskPressure", pressure)];
    let info = Series::new([("node", node), ("internal_ip", &picture.address.v4.to_string())], 1.0);
    vec![
        Family::info("kube_node", "The box.", vec![info]),
        Family::gauge(
            "kube_node_status_condition",
            "Ready as long as the agent answers; DiskPressure while images have no room and none may go.",
            conditions.into_iter().flatten().collect(),
        ),
        Family::gauge("kube_node_status_capacity", "What the box has.", amounts()),
        Family::gauge("kube_node_status_allocatable", "What pods may ask for: all of it.", amounts()),
        Family::gauge(
            "kube_node_spec_unschedulable",
            "0: the box always takes pods.",
            vec![Series::new([("node", node)], 0.0)],
        ),
        Family::gauge("machine_cpu_cores", "Processors of the box.", vec![Series::new([], cores)]),
        Family::gauge("machine_memory_bytes", "Memory of the box.", vec![Series::new([], bytes)]),
    ]
}

fn is_main(role: Role) -> bool {
    role == Role::Main
}

fn is_early(role: Role) -> bool {
    !is_main(role)
}

/// CPU in thousandths, memory in bytes.
type Amounts = fn(&Resources) -> (Option<u64>, Option<u64>);

/// A limit alone is a request as well.
fn requests(resources: &Resources) -> (Option<u64>, Option<u64>) {
    (resources.cpu_request.or(resources.cpu_limit), resources.memory_request.or(resources.memory_limit))
}

fn limits(resources: &Resources) -> (Option<u64>, Option<u64>) {
    (resources.cpu_limit, resources.memory_limit)
}

fn of(picture: &Picture, counts: fn(Role) -> bool, amounts: Amounts) -> Vec<Series> {
    let of_pod = |pod: Subject<'_>| -> Vec<Series> {
        let containers = pod.pod.spec.containers.iter().filter(|container| counts(container.role));
        containers.flat_map(|container| of_container(pod, container, amounts(&container.resources))).collect()
    };
    Subject::all(picture).flat_map(of_pod).collect()
}

fn of_container(
    pod: Subject<'_>,
    container: &Container,
    (cpu, memory): (Option<u64>, Option<u64>),
) -> Vec<Series> {
    let rows = [
        ("cpu", "core", cpu.map(|milli| milli as f64 / 1000.0)),
        ("memory", "byte", memory.map(|n| n as f64)),
    ];
    let series = rows.into_iter().filter_map(|(resource, unit, value)| {
        let labels = [
            ("container", &*container.name),
            ("node", &*pod.picture.node),
            ("resource", resource),
            ("unit", unit),
        ];
        Some(pod.series(labels, value?))
    });
    series.collect()
}
