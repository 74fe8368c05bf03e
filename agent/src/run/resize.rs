//! Gives running pods the resources that they ask for now, as far as the box has room for it (KEP-1287).

use std::sync::Arc;

use super::{Agent, kept::Kept};
use crate::{
    act::{chain, limits},
    manifest::allocation,
    plan::{
        Failure, PodActivity, State,
        admit::Room,
        probe::Unhealthy,
        resize::{Limits, pending},
    },
    pod::{PodUid, Role, Spec, Stamp, event::Weight, verdict::Why},
    store::Kind,
};

impl Agent {
    /// Decides anew each turn for all that wait.
    pub(super) async fn allocate(&mut self) {
        let waiting = |(uid, kept): (&PodUid, &Kept)| kept.asked.is_some().then(|| uid.clone());
        let waiting: Vec<PodUid> = self.pods.iter().filter_map(waiting).collect();
        for uid in waiting {
            self.allocate_to(&uid).await;
        }
    }

    async fn allocate_to(&mut self, uid: &PodUid) {
        let whole = Room::of_box(self.node.cpu, self.node.memory);
        let others = self.pods.iter().filter(|(other, kept)| *other != uid && kept.takes_room());
        let left = others.fold(whole, |left, (_, kept)| left.without(Room::asked(&kept.spec)));
        let Some(kept) = self.pods.get_mut(uid) else { return };
        let why = kept.asked.as_ref().and_then(|asked| pending(asked, whole, left));
        if let Some(why) = &why {
            if kept.seen.pending.as_ref() != Some(why) {
                let event = if why.reason == "Infeasible" { "ResizeInfeasible" } else { "ResizeDeferred" };
                kept.tell(None, Weight::Warning, event, why.message.as_str());
            }
            kept.seen.pending = Some(why.clone());
            return;
        }
        let mut object = (*kept.object).clone();
        allocation::settle(&mut object);
        let read = object["metadata"]["resourceVersion"].as_str().and_then(|version| version.parse().ok());
        match self.objects.replace(Kind::Pod, object, read).await {
            // Read again at once: the pod is renewed then.
            Ok(_) => self.read_objects().await,
            Err(e) => tracing::warn!(error = %chain(&e), %uid, "what the pod is given cannot be stored yet"),
        }
    }
}

impl Kept {
    /// What a container was given has changed.
    pub(super) fn compare_resources(&mut self, old: &Spec, now: Stamp) {
        let spec = self.spec.clone();
        let pairs = old.containers.iter().zip(&spec.containers).enumerate();
        for (container, (before, wanted)) in
            pairs.filter(|(_, (one, other))| one.resources != other.resources)
        {
            self.seen.limits = Limits::Changed;
            let seen = &mut self.seen.containers[container];
            if let State::Running(live) = &seen.state
                && wanted.role != Role::Init
                && wanted.resize.restarts(&before.resources, &wanted.resources)
            {
                seen.replaced = Some(live.id.attempt);
                seen.counts_from = seen.next_attempt;
                let message = "resources changed, will be restarted".to_owned();
                seen.health.unhealthy =
                    Some(Unhealthy { why: Why::Changed, since: now, message, grace: None });
            }
        }
        if self.seen.limits == Limits::Changed {
            self.tell(None, Weight::Normal, "ResizeStarted", "Pod resize started");
        }
    }

    pub(super) fn limited(&mut self, of: &Arc<Spec>, result: Result<(), limits::Error>, now: Stamp) {
        self.seen.busy.remove(&PodActivity::Limit);
        if !Arc::ptr_eq(of, &self.spec) {
            // It has changed again since.
            return;
        }
        let before = std::mem::take(&mut self.seen.limits);
        let Err(e) = result else {
            if before != Limits::Unsure {
                self.tell(None, Weight::Normal, "ResizeCompleted", "Pod resize completed");
            }
            return;
        };
        let message = chain(&e);
        let last = if let Limits::Failed(last) = &before { Some(last) } else { None };
        tracing::warn!(pod = %self.spec.name, message, "the new limits are not written");
        self.tell(None, Weight::Warning, "ResizeError", message.as_str());
        self.seen.limits = Limits::Failed(Failure::first("Error", message, now).after(last));
    }
}
