//! Lets pods in as far as the box has room for them. Who has begun is in for good.

use std::sync::Arc;

use super::{Agent, kept::Kept};
use crate::{
    plan::{
        Held, Sandbox, State,
        admit::{Asked, Room, admit},
    },
    pod::{Spec, Stamp, event::Weight},
};

impl Kept {
    /// Something of it is or was there: in this boot, or by the ledger.
    fn has_begun(&self) -> bool {
        let idle = |seen: &crate::plan::Seen| matches!(seen.state, State::Idle) && seen.ended.is_empty();
        let seen = &self.seen;
        seen.sandbox != Sandbox::Absent || !seen.busy.is_empty() || !seen.containers.iter().all(idle)
    }

    /// It was let in, and is there.
    pub(super) fn takes_room(&self) -> bool {
        self.admitted && !self.is_done()
    }

    /// It takes no room any more.
    fn is_done(&self) -> bool {
        let stopped = |seen: &crate::plan::Seen| {
            matches!(seen.state, State::Idle | State::Failed(_) | State::Dead { .. }) && seen.busy.is_none()
        };
        let ends = self.seen.early.is_some() || self.seen.is_over(&self.spec);
        ends && self.seen.containers.iter().all(stopped)
    }
}

impl Agent {
    /// Decides anew each turn for all that wait, in the order they came.
    pub(super) fn admit(&mut self, now: Stamp) {
        for kept in self.pods.values_mut().filter(|kept| !kept.admitted) {
            kept.admitted = kept.has_begun();
        }
        let counted = self.pods.values().filter(|kept| kept.takes_room());
        let specs: Vec<Arc<Spec>> = counted.map(|kept| kept.spec.clone()).collect();
        let taken: Vec<Asked<'_>> = specs.iter().map(|spec| Asked::by(spec)).collect();
        let outside = self.pods.values_mut().filter(|kept| !kept.admitted && kept.seen.deletion.is_none());
        let (gated, mut waiting): (Vec<&mut Kept>, Vec<&mut Kept>) =
            outside.partition(|kept| !kept.spec.scheduling_gates.is_empty());
        gated.into_iter().for_each(|kept| kept.seen.held = Some(Held::Gated));
        waiting.sort_by(|one, other| one.came.cmp(&other.came));
        let specs: Vec<Arc<Spec>> = waiting.iter().map(|kept| kept.spec.clone()).collect();
        let asked: Vec<Asked<'_>> = specs.iter().map(|spec| Asked::by(spec)).collect();
        let whole = Room::of_box(self.node.cpu, self.node.memory);
        for (kept, why) in waiting.into_iter().zip(admit(whole, &taken, &asked)) {
            let held = why.clone().map(Held::NoRoom);
            if let Some(why) = why.as_ref().filter(|_| kept.seen.held != held) {
                tracing::info!(pod = %kept.spec.name, why, "waits for room");
                kept.tell(None, Weight::Warning, "FailedScheduling", why);
            }
            if why.is_none() {
                kept.admitted = true;
                kept.tell_admitted(&self.config.node);
                // Its time begins only now.
                kept.seen.since = now;
            }
            kept.seen.held = held;
        }
    }
}
