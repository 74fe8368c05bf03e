//! What a pod is like right now, by the kubelet's rules (`status/generate.go`). The phase is in `phase`.

use std::time::Duration;

use super::{
    Failure, Held, Observed, Sandbox, Seen, State, ending, gates, order, phase::phase, resize, restart, round,
};
use crate::pod::{
    Container, Role, Spec, Stamp,
    status::{Condition, ContainerState, ContainerStatus, Ended, Phase, PodStatus, Readiness, Truth},
};

/// How long a failed pull is called an error before it is called a back-off: the kubelet does so at its next look.
const PULL_ERROR_SHOWN: Duration = Duration::from_secs(2);

/// The status of a pod.
pub(crate) fn status(spec: &Spec, seen: &Observed, now: Stamp) -> PodStatus {
    if let Some(why) = &seen.held {
        return held(why);
    }
    let containers: Vec<ContainerStatus> =
        seen.with(spec).map(|(wanted, each)| container(spec, seen, wanted, each, now)).collect();
    let (reason, message) = ended_early(spec, seen, now).unzip();
    let phase = if reason.is_some() && seen.containers.iter().all(Seen::is_stopped) {
        Phase::Failed
    } else {
        phase(spec, seen, &containers)
    };
    let conditions = conditions(spec, seen, phase, &containers);
    PodStatus { phase, reason, message, conditions, start: Some(seen.since), containers }
}

/// The scheduler has found no node for it, or has not looked for one, and nothing else is known of it.
fn held(why: &Held) -> PodStatus {
    let (reason, message) = why.said();
    let conditions = vec![condition("PodScheduled", Some((reason, Some(message))))];
    let (phase, containers) = (Phase::Pending, Vec::new());
    PodStatus { phase, reason: None, message: None, conditions, start: None, containers }
}

/// Reason and message of a pod that is ended although nobody deletes it.
fn ended_early(spec: &Spec, seen: &Observed, now: Stamp) -> Option<(String, String)> {
    let early = seen.early.clone().or_else(|| ending::overdue(spec, seen, now))?;
    Some((early.reason.name().to_owned(), early.message))
}

fn container(spec: &Spec, pod: &Observed, wanted: &Container, seen: &Seen, now: Stamp) -> ContainerStatus {
    ContainerStatus {
        name: wanted.name.clone(),
        role: wanted.role,
        image: wanted.image.clone(),
        image_id: seen.image_id.clone(),
        state: state(spec, pod, wanted, seen, now),
        last: last(spec, pod, wanted, seen, now),
        restarts: restarts(seen),
        started: seen.is_started(wanted),
        ready: readiness(wanted, seen),
    }
}

/// An init container is ready once it has succeeded.
fn readiness(wanted: &Container, seen: &Seen) -> Readiness {
    let ready = match (wanted.role, &seen.state) {
        (Role::Init, State::Idle | State::Dead { .. }) => {
            seen.last_end().is_some_and(|last| last.verdict.code == Some(0))
        }
        // Nobody sends anything to an ephemeral one.
        (Role::Init | Role::Ephemeral, _) => false,
        // As with the kubelet, what has not come up is not ready.
        (Role::Main | Role::Sidecar, _) => seen.is_started(wanted) && seen.health.ready,
    };
    if ready { Readiness::Ready } else { Readiness::NotReady }
}

fn state(spec: &Spec, pod: &Observed, wanted: &Container, seen: &Seen, now: Stamp) -> ContainerState {
    match &seen.state {
        State::Running(live) | State::Stopping { live, .. } | State::Killed(live) => {
            ContainerState::Running(live.clone())
        }
        State::Failed(failure) => {
            ContainerState::Waiting { reason: shown(failure, now), message: Some(failure.message.clone()) }
        }
        State::Idle | State::Dead { .. } => match shown_end(spec, pod, wanted, seen, now) {
            Some(ended) => ContainerState::Terminated(ended.clone()),
            None if in_back_off(spec, pod, wanted, seen, now) => {
                let delay = restart::delay(wanted, seen.counted()).as_secs();
                let message = format!(
                    "back-off {delay}s restarting failed container={} pod={}({})",
                    wanted.name, spec.name, spec.uid
                );
                ContainerState::Waiting { reason: "CrashLoopBackOff", message: Some(message) }
            }
            None => waiting_to_start(spec, pod),
        },
    }
}

/// The end that `state` shows: the last one, unless the container waits for its next attempt.
fn shown_end<'a>(
    spec: &Spec,
    pod: &Observed,
    wanted: &Container,
    seen: &'a Seen,
    now: Stamp,
) -> Option<&'a Ended> {
    let is_between = seen.last_end().is_none()
        && matches!(seen.state, State::Idle)
        && ending::of(spec, pod, now).is_none();
    seen.ended.last().filter(|_| !is_between && !in_back_off(spec, pod, wanted, seen, now))
}

fn waiting_to_start(spec: &Spec, pod: &Observed) -> ContainerState {
    match &pod.sandbox {
        Sandbox::Failed(failure) => {
            ContainerState::Waiting { reason: failure.reason, message: Some(failure.message.clone()) }
        }
        Sandbox::Absent | Sandbox::Ready | Sandbox::Stuck(_) => {
            let has_init = spec.containers.iter().any(|container| container.role.is_init());
            let reason = if has_init { "PodInitializing" } else { "ContainerCreating" };
            ContainerState::Waiting { reason, message: None }
        }
    }
}

/// A pull that failed is `ErrImagePull` at first, and `ImagePullBackOff` while it waits.
fn shown(failure: &Failure, now: Stamp) -> &'static str {
    match pull_backs_off_at(failure) {
        Some(at) if at <= now => "ImagePullBackOff",
        _ => failure.reason,
    }
}

/// When the reason of a failed pull changes; `None` for other failures.
pub(super) fn pull_backs_off_at(failure: &Failure) -> Option<Stamp> {
    (failure.reason == "ErrImagePull").then(|| failure.at.after(PULL_ERROR_SHOWN))
}

fn in_back_off(spec: &Spec, pod: &Observed, wanted: &Container, seen: &Seen, now: Stamp) -> bool {
    let again = ending::of(spec, pod, now).is_none() && !seen.is_finished(wanted);
    again && seen.next_due(wanted, &pod.boot).is_some_and(|due| now < due)
}

/// The end before the one that `state` shows, or the last one if `state` shows none.
fn last(spec: &Spec, pod: &Observed, wanted: &Container, seen: &Seen, now: Stamp) -> Option<Ended> {
    let has_ended = matches!(seen.state, State::Idle | State::Dead { .. });
    let shows_end = has_ended && shown_end(spec, pod, wanted, seen, now).is_some();
    seen.ended.iter().rev().nth(usize::from(shows_end)).cloned()
}

fn restarts(seen: &Seen) -> u32 {
    match &seen.state {
        State::Running(live) | State::Stopping { live, .. } | State::Killed(live) => live.id.attempt,
        State::Idle | State::Failed(_) | State::Dead { .. } => {
            seen.ended.last().map_or(0, |ended| ended.id.attempt)
        }
    }
}

fn conditions(spec: &Spec, seen: &Observed, phase: Phase, containers: &[ContainerStatus]) -> Vec<Condition> {
    let counted = containers.iter().filter(|each| [Role::Main, Role::Sidecar].contains(&each.role));
    let unready: Vec<&str> =
        counted.filter(|each| each.ready != Readiness::Ready).map(|each| each.name.as_str()).collect();
    let not_ready = match phase {
        _ if unready.is_empty() => None,
        Phase::Succeeded => Some(("PodCompleted", None)),
        Phase::Failed => Some(("PodFailed", None)),
        Phase::Pending | Phase::Running => Some((
            "ContainersNotReady",
            Some(format!("containers with unready status: [{}]", unready.join(" "))),
        )),
    };
    let incomplete: Vec<&str> = (0..spec.containers.len())
        .filter(|container| !order::lets_others_start(spec, seen, *container))
        .map(|container| spec.containers[container].name.as_str())
        .collect();
    // A pod that has succeeded was initialized, in whatever boot; and what once was initialized stays so.
    let was_initialized = phase == Phase::Succeeded || round::came_so_far(spec, seen);
    let not_initialized = (!incomplete.is_empty() && !was_initialized).then(|| {
        let message = format!("containers with incomplete status: [{}]", incomplete.join(" "));
        ("ContainersNotInitialized", Some(message))
    });
    let made = (seen.sandbox != Sandbox::Ready).then_some(("", None));
    let ready = not_ready.clone().or_else(|| gates::not_ready(spec, seen));
    let mut all = vec![
        condition("PodReadyToStartContainers", made),
        condition("Initialized", not_initialized),
        condition("Ready", ready),
        condition("ContainersReady", not_ready),
        condition("PodScheduled", None),
    ];
    all.extend(all_restarting(spec, seen));
    all.extend(resize::conditions(seen));
    all
}

/// Of a pod whose containers were all asked to run again: whether those of before are still there (KEP-5532).
fn all_restarting(spec: &Spec, seen: &Observed) -> Option<Condition> {
    let kind = "AllContainersRestarting";
    if !round::is_clearing(seen) {
        return round::is_later(seen).then(|| condition(kind, Some(("", None))));
    }
    let message = round::asked_by(spec, seen).map(|(name, end)| {
        let code =
            end.verdict.code.map_or_else(|| "an unknown code".to_owned(), |code| format!("code {code}"));
        format!("container {name} exited with {code}: all containers are restarted")
    });
    Some(Condition { kind, holds: Truth::True, reason: Some("ContainerExited"), message })
}

/// True unless there is a reason, possibly an empty one, why not.
fn condition(kind: &'static str, why_not: Option<(&'static str, Option<String>)>) -> Condition {
    let holds = if why_not.is_none() { Truth::True } else { Truth::False };
    let (reason, message) = why_not.unwrap_or_default();
    Condition { kind, holds, reason: Some(reason).filter(|reason| !reason.is_empty()), message }
}
