//! Looks from time to time how much pods with limits keep on disk. A pod that goes beyond one is evicted, and one that is
//! beyond its deadline is ended: that is written down first, so that it stays so whatever becomes of the agent.

use std::time::Duration;

use super::{Agent, Note, clock, kept::Kept};
use crate::{
    act::{chain, usage},
    plan::{self, Early, Sandbox, State},
    pod::{AttemptId, PodUid, Stamp, event::Weight, status::EarlyReason},
};

/// As often as the kubelet looks (`housekeeping` of its eviction manager).
const EVERY: Duration = Duration::from_secs(10);

/// When a pod's disk was looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Measured {
    last: Stamp,
    busy: bool,
}

impl Kept {
    /// Whether there is anything to measure, and nothing has been decided yet.
    fn is_measured(&self) -> bool {
        let seen = &self.seen;
        let wanted = seen.deletion.is_none() && seen.early.is_none() && !seen.is_over(&self.spec);
        wanted && seen.sandbox == Sandbox::Ready && plan::storage::is_limited(&self.spec)
    }

    fn attempts(&self) -> Vec<Option<AttemptId>> {
        let last = |seen: &plan::Seen| match &seen.state {
            State::Running(live) | State::Stopping { live, .. } | State::Killed(live) => {
                Some(live.id.clone())
            }
            _ => None,
        };
        self.seen.containers.iter().map(last).collect()
    }
}

impl Agent {
    /// Has measured what is due; gives back when to come again.
    pub(super) fn measure_storage(&mut self, now: Stamp) -> Option<Stamp> {
        let mut next = None;
        for (uid, kept) in self.pods.iter_mut().filter(|(_, kept)| kept.is_measured()) {
            if kept.measured.busy {
                continue;
            }
            let due = kept.measured.last.after(EVERY);
            if due > now {
                next = Some(next.map_or(due, |next: Stamp| next.min(due)));
                continue;
            }
            kept.measured = Measured { last: now, busy: true };
            let (uid, spec, attempts) = (uid.clone(), kept.spec.clone(), kept.attempts());
            let (places, notes) = (self.tools.places.clone(), self.notes.clone());
            tokio::task::spawn_blocking(move || {
                let excess = match usage::of_pod(&places, &spec, &attempts) {
                    Ok(used) => plan::storage::excess(&spec, &used),
                    Err(e) => {
                        tracing::warn!(error = %e, pod = %spec.name, "the pod's use of the disk cannot be measured");
                        None
                    }
                };
                // The loop is gone only when the agent stops.
                let _ = notes.blocking_send(Note::Measured { uid, excess });
            });
        }
        next
    }

    /// A pod was measured: `excess` says why it has to go.
    pub(super) async fn measured(&mut self, uid: PodUid, excess: Option<String>, now: Stamp) {
        let Some(kept) = self.pods.get_mut(&uid) else { return };
        kept.measured.busy = false;
        let Some(message) = excess.filter(|_| kept.is_measured()) else { return };
        tracing::warn!(pod = %kept.spec.name, message, "evicted");
        // What is not on disk is not done: the next look tries again.
        self.end_early(&uid, Early { since: now, reason: EarlyReason::Evicted, message }).await;
    }

    /// Pods whose deadline is over.
    pub(super) async fn end_overdue(&mut self, now: Stamp) {
        let overdue =
            |(uid, kept): (&PodUid, &Kept)| Some((uid.clone(), plan::overdue(&kept.spec, &kept.seen, now)?));
        let overdue: Vec<(PodUid, Early)> = self.pods.iter().filter_map(overdue).collect();
        for (uid, early) in overdue {
            self.end_early(&uid, early).await;
        }
    }

    async fn end_early(&mut self, uid: &PodUid, early: Early) {
        let Some(kept) = self.pods.get_mut(uid) else { return };
        match self.journal.end_early(uid, early.reason, &early.message).await {
            Ok(()) => {
                kept.tell(None, Weight::Warning, early.reason.name(), early.message.as_str());
                kept.seen.early = Some(early);
            }
            Err(e) => {
                tracing::error!(error = %chain(&e), %uid, "the pod's early end cannot be recorded");
                self.store_error = Some(chain(&e));
            }
        }
    }

    /// What the agent before us has decided.
    pub(super) async fn recall_early_end(&self, kept: &mut Kept) -> Result<(), crate::store::Error> {
        let early = self.journal.early_end(&kept.spec.uid).await?;
        kept.seen.early = early.map(|(reason, message)| Early { since: clock::now(), reason, message });
        Ok(())
    }
}
