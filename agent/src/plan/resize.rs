//! Resources of a pod that change while it runs (KEP-1287): when the new limits are written, and what is told meanwhile.

use super::{ContainerActivity, Failure, Observed, Plan, Sandbox, Seen, State, Step, restart};
use crate::pod::{
    Spec, Stamp,
    status::{Condition, Truth},
};

/// Whether the pod's cgroups have the limits that it was given.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Limits {
    #[default]
    Written,
    /// The agent before us may not have come to it.
    Unsure,
    Changed,
    Failed(Failure),
}

/// Why a pod is not given what it asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pending {
    /// `Deferred`: not now. `Infeasible`: never on this box.
    pub(crate) reason: &'static str,
    pub(crate) message: String,
}

/// Has the limits written if they are due. Whether containers may start: what starts now would have others.
pub(super) fn attend(seen: &Observed, now: Stamp, plan: &mut Plan) -> bool {
    match &seen.limits {
        Limits::Written => return true,
        Limits::Failed(failure) if now < restart::retry_at(failure) => {
            plan.wake(restart::retry_at(failure));
            return true;
        }
        Limits::Unsure | Limits::Changed | Limits::Failed(_) => (),
    }
    if seen.sandbox != Sandbox::Ready {
        return true;
    }
    let starts = |each: &Seen| each.busy == Some(ContainerActivity::Start);
    if seen.busy.is_empty() && !seen.containers.iter().any(starts) {
        plan.steps.push(Step::Limit { attempts: running(seen) });
    }
    false
}

/// By container the attempts that are to go on.
fn running(seen: &Observed) -> Vec<(usize, u32)> {
    let one = |(container, each): (usize, &Seen)| match &each.state {
        State::Running(live) if each.replaced != Some(live.id.attempt) => Some((container, live.id.attempt)),
        _ => None,
    };
    seen.containers.iter().enumerate().filter_map(one).collect()
}

/// `PodResizePending` and `PodResizeInProgress`, as far as they hold.
pub(super) fn conditions(seen: &Observed) -> impl Iterator<Item = Condition> {
    let holds = |kind, reason, message| Condition { kind, holds: Truth::True, reason, message };
    let pending = seen
        .pending
        .as_ref()
        .map(|pending| holds("PodResizePending", Some(pending.reason), Some(pending.message.clone())));
    let doing = match &seen.limits {
        Limits::Written | Limits::Unsure => None,
        Limits::Changed => Some(holds("PodResizeInProgress", None, None)),
        Limits::Failed(failure) => {
            Some(holds("PodResizeInProgress", Some("Error"), Some(failure.message.clone())))
        }
    };
    pending.into_iter().chain(doing)
}

/// Why what a pod asks for now cannot be given to it, if so: `left` is what the other pods leave of the box.
pub(crate) fn pending(asked: &Spec, whole: super::admit::Room, left: super::admit::Room) -> Option<Pending> {
    let wanted = super::admit::Room::asked(asked);
    let rows = [
        ("cpu", "m", wanted.cpu, left.cpu, whole.cpu),
        ("memory", " bytes", wanted.memory, left.memory, whole.memory),
    ];
    let too_much =
        rows.iter().find(|(_, _, wanted, _, whole)| wanted > whole).map(|row| ("Infeasible", "has", row));
    let no_room =
        rows.iter().find(|(_, _, wanted, left, _)| wanted > left).map(|row| ("Deferred", "has left", row));
    let (reason, has, (name, unit, wanted, left, whole)) = too_much.or(no_room)?;
    let room = if reason == "Infeasible" { whole } else { left };
    Some(Pending {
        reason,
        message: format!("the pod asks for {wanted}{unit} of {name}, the node {has} {room}{unit}"),
    })
}
