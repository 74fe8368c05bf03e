//! Containers under the names and labels of kube-state-metrics.

use super::{Family, Picture, Series, Subject, flag};
use crate::{
    account,
    pod::{
        AttemptId, Role,
        status::{ContainerState, ContainerStatus, Ended, Readiness},
    },
};

pub(super) fn families(picture: &Picture) -> Vec<Family> {
    let mut families = of_mains(picture);
    families.extend(of_inits(picture));
    families
}

fn of_mains(picture: &Picture) -> Vec<Family> {
    let gauge = |name, help, series| Family::gauge(name, help, of_containers(picture, series));
    vec![
        Family::info("kube_pod_container", "What a container is made from.", of_containers(picture, info)),
        gauge("kube_pod_container_status_waiting", "1 while the container waits to be started.", waiting),
        gauge(
            "kube_pod_container_status_waiting_reason",
            "What a waiting container waits for.",
            waiting_reason,
        ),
        gauge("kube_pod_container_status_running", "1 while the container runs.", running),
        gauge("kube_pod_container_status_terminated", "1 once the container has ended.", terminated),
        gauge(
            "kube_pod_container_status_terminated_reason",
            "Why the container has ended.",
            terminated_reason,
        ),
        gauge(
            "kube_pod_container_status_last_terminated_reason",
            "Why the attempt before the current one ended.",
            last_reason,
        ),
        gauge(
            "kube_pod_container_status_last_terminated_exitcode",
            "With which code the attempt before the current one ended; absent if nobody knows.",
            last_exit_code,
        ),
        gauge(
            "kube_pod_container_status_last_terminated_timestamp",
            "When the attempt before the current one ended, seconds since 1970.",
            last_time,
        ),
        gauge(
            "kube_pod_container_state_started",
            "Since when the container runs, seconds since 1970.",
            started,
        ),
        gauge("kube_pod_container_status_ready", "1 while the container is ready.", ready),
        Family::counter(
            "kube_pod_container_status_restarts",
            "How often the container was started again.",
            of_containers(picture, restarts),
        ),
    ]
}

/// One container, and the pod it is in.
struct Member<'a> {
    pod: Subject<'a>,
    status: &'a ContainerStatus,
}

impl Member<'_> {
    fn series<const N: usize>(&self, labels: [(&'static str, &str); N], value: f64) -> Series {
        let mut series = self.pod.series([("container", &*self.status.name)], value);
        series.labels.extend(Series::new(labels, value).labels);
        series
    }

    /// The newest attempt that is over or runs.
    fn attempt(&self) -> Option<&AttemptId> {
        match &self.status.state {
            ContainerState::Running(live) => Some(&live.id),
            ContainerState::Terminated(ended) => Some(&ended.id),
            ContainerState::Waiting { .. } => self.status.last.as_ref().map(|ended| &ended.id),
        }
    }
}

/// Init containers and sidecars, which kube-state-metrics tells apart by `restart_policy`.
fn of_inits(picture: &Picture) -> Vec<Family> {
    let of = |series| of_members(picture, Role::is_init, series);
    let gauge = |name, help, series| Family::gauge(name, help, of(series));
    vec![
        Family::info("kube_pod_init_container", "What an init container is made from.", of(init_info)),
        gauge("kube_pod_init_container_status_waiting", "1 while it waits to be started.", waiting),
        gauge("kube_pod_init_container_status_waiting_reason", "What it waits for.", waiting_reason),
        gauge("kube_pod_init_container_status_running", "1 while it runs.", running),
        gauge("kube_pod_init_container_status_terminated", "1 once it has ended.", terminated),
        gauge("kube_pod_init_container_status_terminated_reason", "Why it has ended.", terminated_reason),
        gauge(
            "kube_pod_init_container_status_last_terminated_reason",
            "Why the attempt before the current one ended.",
            last_reason,
        ),
        gauge("kube_pod_init_container_status_ready", "1 once it has succeeded, or is ready.", ready),
        Family::counter(
            "kube_pod_init_container_status_restarts",
            "How often it was started again.",
            of(restarts),
        ),
    ]
}

type OfMember = fn(&Member<'_>) -> Option<Series>;

fn of_containers(picture: &Picture, series: OfMember) -> Vec<Series> {
    of_members(picture, |role| role == Role::Main, series)
}

fn of_members(picture: &Picture, counts: fn(Role) -> bool, series: OfMember) -> Vec<Series> {
    let members = Subject::all(picture).flat_map(|pod| {
        let counted = pod.pod.status.containers.iter().filter(move |status| counts(status.role));
        counted.map(move |status| Member { pod, status })
    });
    members.filter_map(|member| series(&member)).collect()
}

fn init_info(member: &Member<'_>) -> Option<Series> {
    let policy = if member.status.role == Role::Sidecar { "Always" } else { "" };
    let mut series = info(member)?;
    series.labels.extend(Series::new([("restart_policy", policy)], 1.0).labels);
    Some(series)
}

fn info(member: &Member<'_>) -> Option<Series> {
    let status = member.status;
    let spec = member.pod.pod.spec.containers.iter().find(|spec| spec.name == status.name);
    let id = member.attempt().map(|id| format!("carob://{id}")).unwrap_or_default();
    let labels = [
        ("image_spec", spec.map_or("", |spec| &spec.image)),
        ("image", &*status.image),
        ("image_id", status.image_id.as_deref().unwrap_or_default()),
        ("container_id", &*id),
    ];
    Some(member.series(labels, 1.0))
}

fn waiting(member: &Member<'_>) -> Option<Series> {
    Some(member.series([], flag(matches!(member.status.state, ContainerState::Waiting { .. }))))
}

fn waiting_reason(member: &Member<'_>) -> Option<Series> {
    let ContainerState::Waiting { reason, .. } = member.status.state else { return None };
    Some(member.series([("reason", reason)], 1.0))
}

fn running(member: &Member<'_>) -> Option<Series> {
    Some(member.series([], flag(matches!(member.status.state, ContainerState::Running(_)))))
}

fn terminated(member: &Member<'_>) -> Option<Series> {
    Some(member.series([], flag(matches!(member.status.state, ContainerState::Terminated(_)))))
}

fn terminated_reason(member: &Member<'_>) -> Option<Series> {
    let ContainerState::Terminated(ended) = &member.status.state else { return None };
    Some(reason(member, ended))
}

fn last_reason(member: &Member<'_>) -> Option<Series> {
    member.status.last.as_ref().map(|ended| reason(member, ended))
}

fn reason(member: &Member<'_>, ended: &Ended) -> Series {
    member.series([("reason", account::reason(&ended.verdict))], 1.0)
}

fn last_exit_code(member: &Member<'_>) -> Option<Series> {
    let code = member.status.last.as_ref()?.verdict.code?;
    Some(member.series([], f64::from(code)))
}

fn last_time(member: &Member<'_>) -> Option<Series> {
    let last = member.status.last.as_ref().filter(|last| last.boot == member.pod.picture.boot)?;
    Some(member.series([], member.pod.seconds(last.verdict.finished)?))
}

fn started(member: &Member<'_>) -> Option<Series> {
    let ContainerState::Running(live) = &member.status.state else { return None };
    Some(member.series([], member.pod.seconds(live.started)?))
}

fn ready(member: &Member<'_>) -> Option<Series> {
    Some(member.series([], flag(member.status.ready == Readiness::Ready)))
}

fn restarts(member: &Member<'_>) -> Option<Series> {
    Some(member.series([], f64::from(member.status.restarts)))
}
