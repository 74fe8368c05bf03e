//! What else kube-state-metrics says of a pod: its conditions, why it ended, when.

use super::{Family, Picture, Series, Subject, flag, of_pods};
use crate::pod::{
    qos,
    status::{Phase, Truth},
};

pub(super) fn families(picture: &Picture) -> Vec<Family> {
    let gauge = |name, help, series: fn(Subject<'_>) -> Vec<Series>| {
        Family::gauge(name, help, of_pods(picture, series))
    };
    vec![
        gauge("kube_pod_status_scheduled", "1 for the state of the condition PodScheduled.", scheduled),
        gauge("kube_pod_status_reason", "Why the pod is in its phase; absent if there is no reason.", reason),
        gauge("kube_pod_status_qos_class", "1 for the pod's QoS class.", qos_class),
        gauge("kube_pod_deletion_timestamp", "When the pod is to be gone, seconds since 1970.", deletion),
        gauge(
            "kube_pod_completion_time",
            "When the last container ended for good, seconds since 1970.",
            completion,
        ),
        gauge("kube_pod_status_ready_time", "Since when the pod is ready, seconds since 1970.", ready_time),
    ]
}

fn scheduled(pod: Subject<'_>) -> Vec<Series> {
    let Some(found) = pod.pod.status.conditions.iter().find(|each| each.kind == "PodScheduled") else {
        return Vec::new();
    };
    let holds = found.holds == Truth::True;
    [("true", holds), ("false", !holds), ("unknown", false)]
        .map(|(name, holds)| pod.series([("condition", name)], flag(holds)))
        .into()
}

fn reason(pod: Subject<'_>) -> Vec<Series> {
    let reason = pod.pod.status.reason.as_deref();
    reason.map(|reason| pod.series([("reason", reason)], 1.0)).into_iter().collect()
}

fn qos_class(pod: Subject<'_>) -> Vec<Series> {
    let class = qos::class(&pod.pod.spec).name();
    ["BestEffort", "Burstable", "Guaranteed"]
        .map(|name| pod.series([("qos_class", name)], flag(name == class)))
        .into()
}

fn deletion(pod: Subject<'_>) -> Vec<Series> {
    let at: Option<jiff::Timestamp> = pod.text("/metadata/deletionTimestamp").parse().ok();
    at.map(|at| pod.series([], at.as_second() as f64)).into_iter().collect()
}

fn completion(pod: Subject<'_>) -> Vec<Series> {
    let status = &pod.pod.status;
    let is_over = matches!(status.phase, Phase::Succeeded | Phase::Failed);
    let ended = status.ended(&pod.picture.boot).filter(|_| is_over);
    ended.and_then(|at| pod.seconds(at)).map(|seconds| pod.series([], seconds)).into_iter().collect()
}

fn ready_time(pod: Subject<'_>) -> Vec<Series> {
    let since = pod.pod.turned.get("Ready").filter(|_| pod.pod.status.is_ready());
    since.and_then(|at| pod.seconds(*at)).map(|seconds| pod.series([], seconds)).into_iter().collect()
}
