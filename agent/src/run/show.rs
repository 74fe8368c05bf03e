//! Publishes the picture: what the loop knows, in one immutable piece.

use std::{
    collections::BTreeMap,
    sync::{Arc, atomic::Ordering},
};

use super::{Agent, clock, kept::Kept};
use crate::{
    act::network,
    picture::{Capacity, Health, Picture, PodPicture},
    plan,
    pod::{
        PodName, Stamp,
        status::{Condition, ContainerState, PodStatus, Truth},
    },
};

impl Agent {
    /// Takes and publishes a picture. What has not changed is shared with the one before.
    pub(super) async fn show(&mut self, now: Stamp) {
        self.keep_time().await;
        let before = self.picture.borrow().clone();
        let pods = self.pods.values().map(|kept| pod(kept, &before, now)).collect();
        let totals = match self.journal.totals().await {
            Ok(totals) => totals,
            Err(_) => before.totals.clone(),
        };
        let health = self.health();
        let offsets = self.journal.offsets().await.unwrap_or_else(|_| before.offsets.clone());
        let (node, boot) = (self.config.node.clone(), self.boot.clone());
        let address = network::host_address();
        let capacity = Capacity { cpu: self.node.cpu, memory: self.node.memory };
        let old = self.picture.send_replace(Arc::new(Picture {
            node,
            address,
            capacity,
            machine: before.machine.clone(),
            boot,
            offsets,
            pods,
            totals,
            health,
            claims: self.claims.found.clone(),
            stages: self.stages.clone(),
            delays: self.wake.delays.clone(),
            meter: before.meter.clone(),
            refusals: before.refusals.clone(),
        }));
        self.closed.replaced(&old);
    }

    /// The store learns how far the wall clock is from the boot clock, should somebody have set it.
    async fn keep_time(&mut self) {
        self.store_error = match self.journal.touch_boot(&self.boot, clock::offset()).await {
            Ok(()) => None,
            Err(e) => Some(crate::act::chain(&e)),
        };
    }

    fn health(&self) -> Health {
        Health {
            deaf: self.deaf.clone(),
            lost_records: self.lost_records(),
            mismatches: self.mismatches.load(Ordering::Relaxed),
            dropped_log_bytes: self.dropped.load(Ordering::Relaxed),
            store_error: self.store_error.clone(),
            images: self.collecting.disk,
        }
    }
}

fn pod(kept: &Kept, before: &Picture, now: Stamp) -> (PodName, Arc<PodPicture>) {
    let name = kept.spec.name.clone();
    let status = plan::status(&kept.spec, &kept.seen, now);
    let deleting = kept.seen.deletion.map(|deletion| deletion.since);
    let before = before.pods.get(&name).filter(|old| old.spec.uid == kept.spec.uid);
    if let Some(old) = before {
        let same = old.status == status
            && old.deleting == deleting
            && old.address == kept.address
            && old.tallies == kept.tallies;
        if same && Arc::ptr_eq(&old.object, &kept.object) {
            return (name, old.clone());
        }
    }
    let turned = turned(&status, before, kept.seen.since, now);
    let (spec, object, address) = (kept.spec.clone(), kept.object.clone(), kept.address);
    let (tallies, probings) = (kept.tallies.clone(), kept.probings.clone());
    (name, Arc::new(PodPicture { spec, object, address, status, turned, tallies, deleting, probings }))
}

/// Since when each condition is as it is.
fn turned(
    status: &PodStatus,
    before: Option<&Arc<PodPicture>>,
    since: Stamp,
    now: Stamp,
) -> BTreeMap<&'static str, Stamp> {
    let starts = status.containers.iter().filter_map(|container| match &container.state {
        ContainerState::Running(live) => Some(live.started),
        _ => None,
    });
    let up = starts.max().unwrap_or(since).max(since);
    let at = |condition: &Condition| {
        let Some(before) = before else {
            return if condition.holds == Truth::True { up } else { since };
        };
        let old = before.status.conditions.iter().find(|old| old.kind == condition.kind);
        let same = old.is_some_and(|old| old.holds == condition.holds);
        before.turned.get(condition.kind).copied().filter(|_| same).unwrap_or(now)
    };
    status.conditions.iter().map(|condition| (condition.kind, at(condition))).collect()
}
