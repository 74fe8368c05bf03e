//! Rounds: an exit may ask for all containers of its pod to run again, from the first init container on (KEP-5532).
//!
//! ```text
//!   an exit that a rule with RestartAllContainers fits
//!     └► written down ─► what runs: SIGKILL, in no order, without preStop ─► all cleared ─► the next round starts
//! ```
//! Sandbox, address and volumes stay. What ended in an earlier round decides nothing in this one.

use super::{ContainerActivity, Observed, Seen, State, ending, restart};
use crate::pod::{
    Container, Role, Spec, Stamp,
    status::{BootId, Ended, Live},
    verdict::Why,
};

/// The container whose exit asks for all to run again, while nothing has come of it.
pub(crate) fn called_for(spec: &Spec, seen: &Observed, now: Stamp) -> Option<usize> {
    if seen.deletion.is_some() || ending::early(spec, seen, now).is_some() {
        return None;
    }
    let mut ends = seen.with(spec).enumerate().filter_map(|(index, (container, each))| {
        let last = each.last_end().filter(|_| each.is_stopped())?;
        restart::asks_for_all(container, last).then_some((index, last))
    });
    let (asking, last) = ends.next()?;
    // What a sidecar says when it is not needed any more changes nothing.
    let is_late = spec.containers[asking].role == Role::Sidecar && was_over(spec, seen, last);
    (!is_late).then_some(asking)
}

/// Whether the pod was over when this happened.
fn was_over(spec: &Spec, seen: &Observed, then: &Ended) -> bool {
    let before = |each: &Seen| {
        each.last_end()
            .is_some_and(|last| last.boot != then.boot || last.verdict.finished <= then.verdict.finished)
    };
    let mut mains = seen.with(spec).filter(|(container, _)| container.role == Role::Main);
    seen.init_has_failed(spec) || mains.all(|(container, each)| each.is_finished(container) && before(each))
}

/// Whether the next round can be written down: the number of each container's next attempt is settled.
pub(crate) fn may_begin(seen: &Observed) -> bool {
    seen.containers.iter().all(|each| each.busy != Some(ContainerActivity::Start))
}

/// Something of an earlier round is still there.
pub(super) fn is_clearing(seen: &Observed) -> bool {
    seen.containers.iter().any(|each| match &each.state {
        State::Running(live) | State::Stopping { live, .. } | State::Killed(live) => each.outlived_by(live),
        State::Dead { attempt, .. } => *attempt < each.round_from,
        State::Idle | State::Failed(_) => false,
    })
}

/// This is not the first round.
pub(super) fn is_later(seen: &Observed) -> bool {
    seen.containers.iter().any(|each| each.round_from > 0)
}

/// In an earlier round of this boot its main containers were started.
pub(super) fn came_so_far(spec: &Spec, seen: &Observed) -> bool {
    let of_this_boot = |each: &Seen| each.ended.iter().any(|ended| ended.boot == seen.boot);
    is_later(seen)
        && seen.with(spec).any(|(container, each)| container.role == Role::Main && of_this_boot(each))
}

/// Of a pod whose containers were to run again: the name and the end of who asked for it, where that is still known.
pub(super) fn asked_by<'a>(spec: &'a Spec, seen: &'a Observed) -> Option<(&'a str, &'a Ended)> {
    seen.with(spec).find_map(|(container, each)| {
        let last = each.ended.iter().rfind(|ended| ended.id.attempt < each.round_from)?;
        restart::asks_for_all(container, last).then_some((container.name.as_str(), last))
    })
}

impl Seen {
    /// How it ended last in this round.
    pub(super) fn last_end(&self) -> Option<&Ended> {
        self.ended.last().filter(|last| last.id.attempt >= self.round_from)
    }

    /// This attempt runs although its round is over.
    pub(super) fn outlived_by(&self, live: &Live) -> bool {
        live.id.attempt < self.round_from
    }

    /// There was an attempt in this boot and round.
    pub(super) fn has_begun(&self, boot: &BootId) -> bool {
        match &self.state {
            State::Running(live) | State::Stopping { live, .. } | State::Killed(live) => {
                !self.outlived_by(live)
            }
            State::Dead { attempt, .. } => *attempt >= self.round_from,
            State::Idle | State::Failed(_) => self.last_end().is_some_and(|last| last.boot == *boot),
        }
    }

    /// When the next attempt after its last end is due. `None`: at once.
    pub(super) fn next_due(&self, container: &Container, boot: &BootId) -> Option<Stamp> {
        let last = self.ended.last()?;
        // Who was ended for a new round has not failed; who has, even by asking for that round, waits as ever.
        let is_at_fault = self.last_end().is_some()
            || last.verdict.asked != Some(Why::RestartAll) && self.wants_another(container, last);
        restart::due(container, self.counted(), boot).filter(|_| is_at_fault)
    }
}
