//! Looks from time to time how much lies in the claims that pods use, and how full the filesystem below them is. Only told:
//! nobody's pod ends for it.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use super::{Agent, Note};
use crate::{
    act::usage,
    plan::Sandbox,
    pod::{Stamp, VolumeSource, storage::ClaimUse},
};

/// As often as the kubelet looks (`volumeStatsAggPeriod`).
const EVERY: Duration = Duration::from_mins(1);

/// A claim's namespace and name.
type Claim = (String, String);

/// When the claims were looked at, and what was seen.
#[derive(Debug, Default)]
pub(super) struct Claims {
    of: BTreeSet<Claim>,
    due: Stamp,
    busy: bool,
    pub(super) found: Arc<[ClaimUse]>,
}

impl Agent {
    /// Has looked if it is time, or if pods use other claims now; gives back when to come again.
    pub(super) fn measure_claims(&mut self, now: Stamp) -> Option<Stamp> {
        let used = self.used_claims();
        let claims = &mut self.claims;
        if claims.busy {
            return None;
        }
        if used == claims.of && (used.is_empty() || claims.due > now) {
            return (!used.is_empty()).then_some(claims.due);
        }
        let found = claims.found.clone();
        *claims = Claims { of: used.clone(), due: now.after(EVERY), busy: true, found };
        let (places, notes) = (self.tools.places.clone(), self.notes.clone());
        tokio::task::spawn_blocking(move || {
            let measure = |(namespace, name): &Claim| {
                let found = usage::of_claim(&places, namespace, name);
                found
                    .inspect_err(
                        |error| tracing::warn!(%error, namespace, name, "a claim cannot be measured"),
                    )
                    .ok()
            };
            let found = used.iter().filter_map(measure).collect();
            // The loop is gone only when the agent stops.
            let _ = notes.blocking_send(Note::Claims(found));
        });
        None
    }

    pub(super) fn claims_measured(&mut self, found: Arc<[ClaimUse]>) {
        self.claims.busy = false;
        self.claims.found = found;
    }

    /// Of pods that are there: what they asked for has been made.
    fn used_claims(&self) -> BTreeSet<Claim> {
        let mut used = BTreeSet::new();
        for kept in self.pods.values().filter(|kept| kept.seen.sandbox == Sandbox::Ready) {
            for volume in &kept.spec.volumes {
                if let VolumeSource::Claim { name, .. } = &volume.source {
                    used.insert((kept.spec.name.namespace.clone(), name.clone()));
                }
            }
        }
        used
    }
}
