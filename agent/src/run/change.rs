//! What a changed object means for a pod that is there. No I/O.

use std::sync::Arc;

use super::kept::Kept;
use crate::{
    plan::{Seen, State, probe::Unhealthy},
    pod::{Role, Spec, Stamp, counts::Tally, verdict::Why},
};

impl Kept {
    /// What the object says of the pod has changed, and is so from now on.
    pub(super) fn renew(&mut self, spec: Spec, now: Stamp) {
        let old = std::mem::replace(&mut self.spec, Arc::new(spec));
        // Only ephemeral containers can be added, and they come last.
        for added in &self.spec.containers[old.containers.len().min(self.spec.containers.len())..] {
            tracing::info!(pod = %self.spec.name, container = added.name, "an ephemeral container was added");
            self.seen.containers.push(Seen::untouched(added));
            self.tallies.push(Tally::default());
        }
        for (container, before) in old.containers.iter().enumerate() {
            self.compare_image(container, &before.image, now);
        }
        self.compare_resources(&old, now);
    }

    /// A container runs, ran or was to run this image. If it is to be another by now, what runs is ended for it, and what
    /// waited waits no longer, as with the kubelet.
    pub(super) fn compare_image(&mut self, container: usize, image: &str, now: Stamp) {
        let Some(wanted) = self.spec.containers.get(container).filter(|wanted| wanted.image != image) else {
            return;
        };
        let seen = &mut self.seen.containers[container];
        seen.counts_from = seen.next_attempt;
        match &seen.state {
            // What an init container does is done once.
            State::Running(live) if wanted.role != Role::Init => {
                let message = "container definition changed, will be restarted".to_owned();
                tracing::info!(pod = %self.spec.name, container = wanted.name, image = wanted.image, message);
                seen.replaced = Some(live.id.attempt);
                seen.health.unhealthy =
                    Some(Unhealthy { why: Why::Changed, since: now, message, grace: None });
            }
            State::Failed(_) => seen.state = State::Idle,
            _ => (),
        }
    }
}
