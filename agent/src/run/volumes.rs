//! The loop's part in configMaps, secrets and the downward API: reads the objects, wakes what waits for one, and has the
//! files of running pods rewritten when what they show has changed.

use super::{
    Agent, Note, clock,
    given::{Addresses, Node, Shelf, Subject},
    kept::Kept,
};
use crate::{
    act::{chain, network, projection, volume},
    plan::{Failure, Sandbox, State, Step},
    pod::{Stamp, network::Address, source::ConfigKind, surroundings::Whose},
    store::{self, Kind},
};

/// What is known of the files of a pod's volumes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Projections {
    /// The edition of the shelf they were last made from; none if that is not known.
    pub(super) edition: Option<u64>,
    /// They are being written.
    pub(super) busy: bool,
}

impl Kept {
    /// What is known of the pod's addresses and the box's.
    pub(super) fn addresses(&self) -> Addresses {
        let host = network::host_address();
        let pod = match self.spec.surroundings.net {
            Whose::Pods => self.address,
            Whose::Box => Some(host),
        };
        Addresses { pod: pod.into_iter().flat_map(Address::forms).collect(), host: host.forms().collect() }
    }

    /// The pod as one to look things up for.
    pub(super) fn subject<'a>(
        &'a self,
        shelf: &'a Shelf,
        node: &'a Node,
        addresses: &'a Addresses,
    ) -> Subject<'a> {
        Subject { spec: &self.spec, object: &self.object, shelf, node, addresses }
    }

    /// A step is sent off with what the shelf had to give.
    pub(super) fn looked_up(&mut self, step: &Step, edition: u64) {
        if *step == Step::MakeSandbox {
            self.projections.edition = Some(edition);
        }
    }

    /// Whether its files are there and may be out of date.
    fn is_stale(&self, edition: u64) -> bool {
        let Projections { edition: seen, busy } = self.projections;
        let lives = self.seen.deletion.is_none() && !self.seen.is_over(&self.spec);
        !busy && lives && self.seen.sandbox == Sandbox::Ready && seen != Some(edition)
    }
}

impl Agent {
    pub(super) async fn read_configs(&mut self) -> Result<(), store::Error> {
        for (kind, config) in [(Kind::ConfigMap, ConfigKind::ConfigMap), (Kind::Secret, ConfigKind::Secret)] {
            let (mut objects, _) = self.objects.list(kind, None).await?;
            // Pods that run keep what they have of it.
            objects.retain(|object| !store::is_unreadable(object));
            self.shelf.fill(config, &objects);
        }
        Ok(())
    }

    /// Whatever waits for an object that is there now is tried at once.
    pub(super) fn wake_waiting(&mut self) {
        for kept in self.pods.values_mut() {
            let addresses = kept.addresses();
            let subject = kept.subject(&self.shelf, &self.node, &addresses);
            let complete = |(index, seen): (usize, &crate::plan::Seen)| {
                matches!(&seen.state, State::Failed(failure) if failure.reason == "CreateContainerConfigError")
                    && subject.has_environment(index)
            };
            let due: Vec<bool> = kept.seen.containers.iter().enumerate().map(complete).collect();
            let has_volumes = matches!(&kept.seen.sandbox, Sandbox::Failed(failure) if failure.reason == volume::WAITING)
                && subject.volumes().values().all(Result::is_ok);
            for (seen, due) in kept.seen.containers.iter_mut().zip(due) {
                match &mut seen.state {
                    State::Failed(failure) if due => try_now(failure),
                    _ => (),
                }
            }
            match &mut kept.seen.sandbox {
                Sandbox::Failed(failure) if has_volumes => try_now(failure),
                _ => (),
            }
        }
    }

    /// Has the files of running pods written anew. The effect itself sees whether anything is different.
    pub(super) fn refresh_volumes(&mut self) {
        let edition = self.shelf.edition;
        for (uid, kept) in self.pods.iter_mut().filter(|(_, kept)| kept.is_stale(edition)) {
            let addresses = kept.addresses();
            let volumes = kept.subject(&self.shelf, &self.node, &addresses).volumes();
            kept.projections = Projections { edition: Some(edition), busy: !volumes.is_empty() };
            if volumes.is_empty() {
                continue;
            }
            let (places, notes) = (self.tools.places.pod(uid), self.notes.clone());
            let group = kept.spec.security.fs_group.map(|group| group.gid);
            let (uid, pod, at) = (uid.clone(), kept.spec.name.clone(), clock::wall());
            tokio::task::spawn_blocking(move || {
                for (name, found) in volumes {
                    match found
                        .map(|files| projection::write(&places.volume_in_memory(&name), &files, group, at))
                    {
                        Ok(Ok(projection::Written::Anew)) => {
                            tracing::info!(%pod, volume = name, "files changed");
                        }
                        Ok(Ok(projection::Written::Unchanged)) => (),
                        Ok(Err(e)) => {
                            tracing::warn!(error = %chain(&e), %pod, volume = name, "files cannot be changed");
                        }
                        // As the kubelet: what is there stays.
                        Err(missing) => {
                            tracing::warn!(%pod, volume = name, missing, "files stay as they are");
                        }
                    }
                }
                // The loop is gone only when the agent stops.
                let _ = notes.blocking_send(Note::Refreshed { uid });
            });
        }
    }
}

fn try_now(failure: &mut Failure) {
    failure.at = Stamp(0);
    failure.count = 1;
}
