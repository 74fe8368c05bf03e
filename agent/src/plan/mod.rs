//! DECIDES what to do next for one pod: a pure function of what is wanted, what is seen and what time it is.
//!
//! Level-triggered: every call starts from the whole picture, so a lost wake-up, a restart of the agent and a manifest
//! edited twice all end in the same place. Never fails, never blocks, never looks at the clock.
//!
//! ```text
//!            start ok             exit             cleared, and the policy says again
//!   Idle ──────────────► Running ──────► Dead ──► Idle ──────────────► …
//!    │ ▲                    │ terminate   ▲
//!    ▼ │ retry              ▼             │ exit
//!   Failed               Stopping ──────► Killed
//!                            kill_at is over
//! ```

pub(crate) mod admit;
mod ending;
mod gates;
mod hook;
mod order;
mod phase;
pub(crate) mod probe;
pub(crate) mod resize;
pub(crate) mod restart;
pub(crate) mod round;
mod seen;
mod status;
pub(crate) mod storage;
pub(crate) mod workload;

use std::time::Duration;

use crate::pod::{Deaf, PullPolicy, Role, Spec, Stamp, probe::HookKind, verdict::Why};

pub(crate) use self::{
    ending::overdue,
    gates::Held,
    hook::{Hooks, Progress},
    seen::{
        ContainerActivity, Deletion, Early, Failure, Observed, PodActivity, Sandbox, Seen, State, Supply,
    },
    status::status,
};
use self::{hook::Stop, probe::Unhealthy};

/// Nobody gets less time between SIGTERM and SIGKILL (kubelet, `minimumGracePeriodInSeconds`).
pub(crate) const MIN_GRACE: Duration = Duration::from_secs(2);

/// One idempotent effect. Containers are named by their place in the spec. No choice is left to whoever carries it out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    MakeSandbox,
    /// Writes the pod's limits and those of these attempts, by container.
    Limit {
        attempts: Vec<(usize, u32)>,
    },
    /// Gets the images that an attempt needs, or makes sure of them, as their pull policies say.
    Pull {
        container: usize,
        attempt: u32,
    },
    /// Nobody needs what is pulled for it any more.
    StopPull {
        container: usize,
    },
    Start {
        container: usize,
        attempt: u32,
    },
    /// Runs a hook of the current attempt; at `until` it has to be over.
    Hook {
        container: usize,
        hook: HookKind,
        until: Option<Stamp>,
    },
    /// SIGTERM to the main process, after leaving word of why.
    Terminate {
        container: usize,
        why: Why,
        kill_at: Stamp,
    },
    /// SIGKILL to all of the container.
    Kill {
        container: usize,
        why: Why,
    },
    /// Takes away what an attempt left: cgroup, mounts, files, map entries.
    Clear {
        container: usize,
        attempt: u32,
    },
    RemoveSandbox,
    /// Takes the object away: the pod is gone.
    Forget,
}

/// The steps due now, and when to ask again if nothing happens first.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Plan {
    pub(crate) steps: Vec<Step>,
    pub(crate) wake_at: Option<Stamp>,
}

impl Plan {
    fn wake(&mut self, at: Stamp) {
        self.wake_at = Some(self.wake_at.map_or(at, |earliest| earliest.min(at)));
    }
}

/// Decides.
pub(crate) fn plan(spec: &Spec, seen: &Observed, now: Stamp) -> Plan {
    let mut plan = Plan::default();
    match ending::of(spec, seen, now) {
        Some(ending) => ending.wind_down(spec, seen, now, &mut plan),
        None if seen.held.is_some() => (),
        None => keep_going(spec, seen, now, &mut plan),
    }
    plan
}

fn remove_sandbox(seen: &Observed, now: Stamp, plan: &mut Plan) {
    match &seen.sandbox {
        Sandbox::Absent => (),
        Sandbox::Stuck(failure) if now < restart::retry_at(failure) => plan.wake(restart::retry_at(failure)),
        Sandbox::Ready | Sandbox::Failed(_) | Sandbox::Stuck(_) => plan.steps.push(Step::RemoveSandbox),
    }
}

/// Starts what should run.
fn keep_going(spec: &Spec, seen: &Observed, now: Stamp, plan: &mut Plan) {
    let ready = match &seen.sandbox {
        Sandbox::Ready => true,
        Sandbox::Failed(failure) if now < restart::retry_at(failure) => {
            plan.wake(restart::retry_at(failure));
            false
        }
        Sandbox::Absent | Sandbox::Failed(_) | Sandbox::Stuck(_) => {
            if seen.busy.is_empty() {
                plan.steps.push(Step::MakeSandbox);
            }
            false
        }
    };
    let ready = ready && resize::attend(seen, now, plan);
    let between_rounds = round::is_clearing(seen) || round::called_for(spec, seen, now).is_some();
    for (container, each) in seen.containers.iter().enumerate() {
        match &each.state {
            State::Running(live) | State::Stopping { live, .. } if each.outlived_by(live) => {
                plan.steps.push(Step::Kill { container, why: Why::RestartAll });
            }
            State::Idle | State::Failed(_) if each.busy.is_none() => {
                if ready && !between_rounds && order::may_start(spec, seen, container) {
                    start_if_due(spec, seen, container, now, plan);
                }
            }
            State::Running(_) => match &each.health.unhealthy {
                Some(unhealthy) => replace(spec, container, each, unhealthy, now, plan),
                None => hook::attend(spec, each, container, now, plan),
            },
            _ => tend(spec, container, each, now, plan),
        }
    }
    if let Some(deadline) = ending::deadline(spec, seen) {
        plan.wake(deadline);
    }
}

/// A probe has given it up: it is ended within the probe's own grace period or the pod's. What comes then is the
/// restart policy's affair.
fn replace(spec: &Spec, container: usize, seen: &Seen, unhealthy: &Unhealthy, now: Stamp, plan: &mut Plan) {
    let limit = unhealthy.since.after(unhealthy.grace.unwrap_or(spec.grace));
    Stop { container, why: unhealthy.why, limit }.ask(spec, seen, now, plan);
}

fn start_if_due(spec: &Spec, pod: &Observed, container: usize, now: Stamp, plan: &mut Plan) {
    let (wanted, seen) = (&spec.containers[container], &pod.containers[container]);
    let due = match (&seen.state, seen.ended.last()) {
        (State::Failed(failure), _) => restart::retry_at(failure),
        (_, None) => now,
        // What an init container did for an earlier sandbox is gone with it.
        (_, Some(last)) if wanted.role == Role::Init && last.boot != pod.boot => now,
        (_, Some(_)) if seen.is_finished(wanted) => return,
        (_, Some(_)) => seen.next_due(wanted, &pod.boot).unwrap_or(now),
    };
    if due <= now {
        let attempt = seen.next_attempt;
        let has_all = match seen.supply {
            Supply::Fetched { attempt: fetched } if fetched == attempt => true,
            Supply::Missing => false,
            Supply::Unknown | Supply::Fetched { .. } => {
                spec.images(wanted).all(|(_, policy)| policy != PullPolicy::Always)
            }
        };
        let step =
            if has_all { Step::Start { container, attempt } } else { Step::Pull { container, attempt } };
        plan.steps.push(step);
        return;
    }
    plan.wake(due);
    if let State::Failed(failure) = &seen.state
        && let Some(at) = status::pull_backs_off_at(failure).filter(|at| now < *at)
    {
        // Only what is shown changes then.
        plan.wake(at);
    }
}

/// What is due whether or not the pod is wanted: a kill, or clearing up.
fn tend(spec: &Spec, container: usize, seen: &Seen, now: Stamp, plan: &mut Plan) {
    match (&seen.state, seen.busy) {
        (State::Stopping { kill_at, .. }, _) if *kill_at <= now => {
            plan.steps.push(Step::Kill { container, why: Why::GraceExpired });
        }
        (State::Stopping { live, .. }, _)
            if seen.ignores_term == Some(live.id.attempt)
                && spec.containers[container].deaf == Deaf::IsKilled =>
        {
            plan.steps.push(Step::Kill { container, why: Why::IgnoresTerm });
        }
        (State::Stopping { kill_at, .. }, _) => plan.wake(*kill_at),
        (State::Dead { attempt, clear_at }, None) if *clear_at <= now => {
            plan.steps.push(Step::Clear { container, attempt: *attempt });
        }
        (State::Dead { clear_at, .. }, None) => plan.wake(*clear_at),
        _ => (),
    }
}

#[cfg(test)]
mod tests;
