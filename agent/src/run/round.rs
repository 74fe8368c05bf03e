//! Begins the next round of pods whose containers are all to run again. It is written down first: whatever becomes of the
//! agent, what ended before counts no more.

use super::{Agent, kept::Kept};
use crate::{
    act::chain,
    plan::round,
    pod::{PodUid, Stamp, event::Weight},
    store,
};

impl Agent {
    /// Has begun every round that is called for and may begin.
    pub(super) async fn begin_rounds(&mut self, now: Stamp) {
        let called = |(uid, kept): (&PodUid, &Kept)| {
            let asking = round::called_for(&kept.spec, &kept.seen, now)?;
            round::may_begin(&kept.seen).then(|| (uid.clone(), asking))
        };
        let called: Vec<(PodUid, usize)> = self.pods.iter().filter_map(called).collect();
        for (uid, asking) in called {
            self.begin_round(&uid, asking).await;
        }
    }

    async fn begin_round(&mut self, uid: &PodUid, asking: usize) {
        let Some(kept) = self.pods.get_mut(uid) else { return };
        let both = kept.spec.containers.iter().zip(&kept.seen.containers);
        let first = both.map(|(container, seen)| (container.name.clone(), seen.next_attempt)).collect();
        match self.journal.begin_round(uid, first).await {
            Ok(()) => {
                for seen in &mut kept.seen.containers {
                    seen.round_from = seen.next_attempt;
                }
                let name = &kept.spec.containers[asking].name;
                let message = format!("Container {name} has exited: all containers of the pod are restarted");
                kept.tell(Some(asking), Weight::Normal, "RestartAllContainers", message);
            }
            Err(e) => {
                tracing::error!(error = %chain(&e), %uid, "the restart of all containers cannot be recorded");
                self.store_error = Some(chain(&e));
            }
        }
    }

    /// In which round the agent before us has left the pod.
    pub(super) async fn recall_round(&self, kept: &mut Kept) -> Result<(), store::Error> {
        let first = self.journal.round(&kept.spec.uid).await?;
        for (container, seen) in kept.spec.containers.iter().zip(&mut kept.seen.containers) {
            seen.round_from = first.get(&container.name).copied().unwrap_or(0);
        }
        Ok(())
    }
}
