//! What only carob can say: every termination by cause, and how far its own hearing can be trusted.

use std::collections::BTreeMap;

use super::family::{Family, Series, flag};
use crate::{
    picture::{Health, Picture, Total},
    pod::status::{ContainerState, ContainerStatus},
};

/// The ends that a container shows as 0 from its start: a counter that first appears with 1 has no increase.
const AWAITED: [(&str, i32, &str); 3] =
    [("Completed", 0, "completed"), ("Error", 0, "error"), ("OOMKilled", 9, "oom")];

pub(super) fn families(picture: &Picture) -> Vec<Family> {
    let Health { deaf, lost_records, mismatches, dropped_log_bytes, store_error: _, images } =
        &picture.health;
    let one = |value| vec![Series::new([], value)];
    vec![
        Family::counter(
            "carob_container_terminations",
            "How often a container ended, by reason, signal and cause; 0 is no signal.",
            terminations(picture),
        ),
        Family::counter(
            "carob_container_oom_terminations",
            "Those of them that were OOM kills, by whose limit was hit and which process was chosen.",
            oom_terminations(picture),
        ),
        Family::counter(
            "carob_accounting_lost_records",
            "Kernel records that found no room: detail is lost, deaths are not.",
            one(*lost_records as f64),
        ),
        Family::counter(
            "carob_accounting_mismatch",
            "Deaths on which two sources disagree.",
            one(*mismatches as f64),
        ),
        Family::counter(
            "carob_log_dropped_bytes",
            "Log bytes dropped because the disk was full.",
            one(*dropped_log_bytes as f64),
        ),
        Family::counter(
            "kubelet_image_garbage_collected",
            "Images removed to make room, since the agent began.",
            vec![Series::new([("reason", "space")], images.collected as f64)],
        ),
        Family::gauge(
            "carob_image_filesystem_size_bytes",
            "The filesystem that images are on, when it was last looked at.",
            one(images.capacity as f64),
        ),
        Family::gauge(
            "carob_image_filesystem_available_bytes",
            "What of it is free.",
            one(images.available as f64),
        ),
        Family::counter(
            "carob_api_refusals",
            "Connections and requests that the API turned away, by the reason, since the agent began.",
            picture.refusals.now().map(|(why, count)| Series::new([("reason", why)], count as f64)).collect(),
        ),
        Family::histogram(
            "carob_reconcile_delay_seconds",
            "How long what wakes the loop waited for it, since this agent began.",
            vec![Series::new([], picture.delays.now())],
        ),
        Family::gauge(
            "carob_kernel_programs",
            "1 if the kernel programs are in use, 0 in the fallback without them.",
            one(flag(deaf.is_none())),
        ),
        Family::info(
            "carob_build",
            "The version of carob.",
            vec![Series::new([("version", env!("CARGO_PKG_VERSION"))], 1.0)],
        ),
    ]
}

/// Namespace, pod, container; then reason, signal, cause.
type Way<'a> = ([&'a str; 3], (&'a str, i32, &'a str));

fn terminations(picture: &Picture) -> Vec<Series> {
    let begun = picture.pods.iter().flat_map(|(name, pod)| {
        let containers = pod.status.containers.iter().filter(|status| has_begun(status));
        containers.map(|status| [name.namespace.as_str(), &name.name, &status.name])
    });
    let counted = picture.totals.iter().map(container);
    let awaited = begun.chain(counted).flat_map(|container| AWAITED.map(|end| ((container, end), 0)));
    let mut counts: BTreeMap<Way<'_>, u64> = awaited.collect();
    for total in &picture.totals {
        *counts.entry((container(total), (&total.reason, total.signal, &total.cause))).or_default() +=
            total.count;
    }
    counts.into_iter().map(|(way, count)| termination(way, count)).collect()
}

/// No zeros beforehand: the terminations have them.
fn oom_terminations(picture: &Picture) -> Vec<Series> {
    let mut counts: BTreeMap<([&str; 3], &str, &str), u64> = BTreeMap::new();
    for total in picture.totals.iter().filter(|total| !total.limit.is_empty()) {
        *counts.entry((container(total), &*total.limit, &*total.victim)).or_default() += total.count;
    }
    let series = |(([namespace, pod, container], limit, victim), count): (([&str; 3], &str, &str), u64)| {
        let labels = [
            ("namespace", namespace),
            ("pod", pod),
            ("container", container),
            ("limit", limit),
            ("victim", victim),
        ];
        Series::new(labels, count as f64)
    };
    counts.into_iter().map(series).collect()
}

fn container(total: &Total) -> [&str; 3] {
    [&total.pod.namespace, &total.pod.name, &total.container]
}

fn has_begun(status: &ContainerStatus) -> bool {
    status.last.is_some() || !matches!(status.state, ContainerState::Waiting { .. })
}

fn termination(way: Way<'_>, count: u64) -> Series {
    let ([namespace, pod, container], (reason, signal, cause)) = way;
    let signal = signal.to_string();
    let labels = [
        ("namespace", namespace),
        ("pod", pod),
        ("container", container),
        ("reason", reason),
        ("signal", &*signal),
        ("cause", cause),
    ];
    Series::new(labels, count as f64)
}
