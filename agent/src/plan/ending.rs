//! How a pod ends: why, from when on, and in which order its containers go.
//!
//! ```text
//!   since                                                        since + grace
//!     │ main containers: SIGTERM ─────────────────────────────────► SIGKILL
//!     │ sidecars, the last one first: ……… SIGTERM when all after it have ended ► SIGKILL
//!     │                                   or, if they never do, at since + grace, with 2 s more
//! ```

use std::time::Duration;

use super::{
    ContainerActivity, Early, Observed, Plan, Sandbox, Seen, State, Step, hook::Stop, remove_sandbox, tend,
};
use crate::pod::{Role, Spec, Stamp, status::EarlyReason, verdict::Why};

/// The kubelet's `immediateEvictionGracePeriodSeconds`.
const EVICTION_GRACE: Duration = Duration::from_secs(1);

/// That a pod goes or is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ending {
    since: Stamp,
    grace: Duration,
    pub(super) why: Why,
    object: Object,
}

/// What becomes of the pod's object and logs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Object {
    Goes,
    Stays,
}

/// Whether the pod has to end, and how. `None`: it is to run.
pub(super) fn of(spec: &Spec, seen: &Observed, now: Stamp) -> Option<Ending> {
    if let Some(deletion) = seen.deletion {
        let (since, grace, why) = (deletion.since, deletion.grace, deletion.why);
        return Some(Ending { since, grace, why, object: Object::Goes });
    }
    if let Some(early) = early(spec, seen, now) {
        let (since, object) = (early.since, Object::Stays);
        let (grace, why) = match early.reason {
            EarlyReason::Evicted => (EVICTION_GRACE, Why::Eviction),
            EarlyReason::DeadlineExceeded => (spec.grace, Why::Deadline),
        };
        return Some(Ending { since, grace, why, object });
    }
    let stays = |since, why| Ending { since, grace: spec.grace, why, object: Object::Stays };
    seen.is_over(spec).then(|| stays(last_end(spec, seen), Why::PodOver))
}

/// That the pod has to end although nobody deletes it.
pub(super) fn early(spec: &Spec, seen: &Observed, now: Stamp) -> Option<Early> {
    overdue(spec, seen, now).or_else(|| seen.early.clone())
}

/// When `activeDeadlineSeconds` is over.
pub(super) fn deadline(spec: &Spec, seen: &Observed) -> Option<Stamp> {
    spec.deadline.map(|deadline| seen.since.after(deadline))
}

/// That the deadline is over, while nobody has written it down yet.
pub(crate) fn overdue(spec: &Spec, seen: &Observed, now: Stamp) -> Option<Early> {
    if seen.held.is_some() || seen.early.is_some() || seen.deletion.is_some() || seen.is_over(spec) {
        return None;
    }
    let since = deadline(spec, seen).filter(|at| *at <= now)?;
    let message = "Pod was active on the node longer than the specified deadline".to_owned();
    Some(Early { since, reason: EarlyReason::DeadlineExceeded, message })
}

/// When the last of the containers that decide ended: the sidecars' time runs from there.
fn last_end(spec: &Spec, seen: &Observed) -> Stamp {
    let deciding =
        seen.with(spec).filter(|(container, _)| [Role::Init, Role::Main].contains(&container.role));
    let ends = deciding.filter_map(|(_, each)| each.ended.last()).filter(|last| last.boot == seen.boot);
    ends.map(|last| last.verdict.finished).max().unwrap_or(seen.since)
}

impl Ending {
    /// Ends everything, then takes everything away, then, if it is to go, the object.
    pub(super) fn wind_down(self, spec: &Spec, seen: &Observed, now: Stamp, plan: &mut Plan) {
        for (container, each) in seen.containers.iter().enumerate() {
            match &each.state {
                State::Running(_) => self.stop(spec, seen, container, now, plan),
                _ if each.busy == Some(ContainerActivity::Pull) => {
                    plan.steps.push(Step::StopPull { container });
                }
                _ => tend(spec, container, each, now, plan),
            }
        }
        if !seen.is_quiet() || !seen.containers.iter().all(Seen::is_clear) {
            return;
        }
        match (&seen.sandbox, self.object) {
            (Sandbox::Absent, Object::Goes) => plan.steps.push(Step::Forget),
            _ => remove_sandbox(seen, now, plan),
        }
    }

    fn stop(self, spec: &Spec, seen: &Observed, container: usize, now: Stamp, plan: &mut Plan) {
        let limit = self.since.after(self.grace);
        let (each, stop) = (&seen.containers[container], Stop { container, why: self.why, limit });
        if limit <= now || has_its_turn(spec, seen, container) {
            stop.ask(spec, each, now, plan);
        } else {
            // Its hook does not wait for its turn, only SIGTERM does.
            stop.begin(spec, each, now, plan);
            plan.wake(limit);
        }
    }
}

/// A sidecar goes when all that came after it are gone.
fn has_its_turn(spec: &Spec, seen: &Observed, container: usize) -> bool {
    spec.containers[container].role != Role::Sidecar
        || seen.containers[container + 1..].iter().all(Seen::is_stopped)
}
