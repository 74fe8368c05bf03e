//! What the kernel programs say of their own accord: not deaths, which are waited for, but what else is worth a line.

use std::{os::fd::AsFd, sync::Arc};

use carob_ebpf::rules::EventKind;

use super::{
    Agent,
    notes::{Note, Notes},
};
use crate::{
    kernel::probes::Probes,
    plan::State,
    pod::{CgroupId, PodUid, event::Weight},
    ready,
};

/// Wakes the loop when the ring has something.
pub(super) fn listen(probes: &Arc<Probes>, notes: Notes) -> std::io::Result<()> {
    let ring = ready::readable(probes.as_fd().try_clone_to_owned()?)?;
    tokio::spawn(async move {
        while let Ok(mut guard) = ring.readable().await {
            guard.clear_ready();
            if notes.send(Note::Heard).await.is_err() {
                return;
            }
        }
    });
    Ok(())
}

impl Agent {
    /// Empties the ring.
    pub(super) fn hear(&mut self) {
        let Some(probes) = self.tools.probes.clone() else { return };
        probes.drain(|event| {
            let Some((uid, container)) = self.container_of(CgroupId(event.cgroup)) else { return };
            let Some(kept) = self.pods.get_mut(&uid) else { return };
            let (pod, name, tgid) = (&kept.spec.name, &kept.spec.containers[container].name, event.tgid);
            match EventKind::of(event.kind) {
                Some(EventKind::OomKilledOther) => {
                    tracing::warn!(%pod, container = name, tgid, "the OOM killer took a child process; the container goes on");
                    let message = format!("Container {name}: the OOM killer took a child process, pid {tgid}; it goes on");
                    kept.tell(Some(container), Weight::Warning, "ChildOOMKilled", message);
                }
                Some(EventKind::TermIgnored) => {
                    tracing::warn!(%pod, container = name, tgid, "the main process ignores SIGTERM: only SIGKILL will end it");
                    let message = format!("Container {name}: its main process ignores SIGTERM, only SIGKILL will end it");
                    kept.tell(Some(container), Weight::Warning, "SigtermIgnored", message);
                    let seen = &mut kept.seen.containers[container];
                    if let State::Stopping { live, .. } = &seen.state {
                        seen.ignores_term = Some(live.id.attempt);
                    }
                }
                Some(EventKind::MainDied) | None => (),
            }
        });
    }

    /// Records that found no room, of the containers that run and of the box.
    pub(super) fn lost_records(&self) -> u64 {
        let Some(probes) = &self.tools.probes else { return 0 };
        let of_container =
            |cgroup| probes.counts(cgroup).ok().flatten().map_or(0, |counts| counts.lost_records);
        let running: u64 = self.running().map(|(cgroup, ..)| of_container(cgroup)).sum();
        probes.lost().unwrap_or(0).max(running)
    }

    fn container_of(&self, cgroup: CgroupId) -> Option<(PodUid, usize)> {
        self.running().find(|(id, ..)| *id == cgroup).map(|(_, uid, container)| (uid.clone(), container))
    }

    fn running(&self) -> impl Iterator<Item = (CgroupId, &PodUid, usize)> {
        self.pods.iter().flat_map(|(uid, kept)| {
            kept.seen.containers.iter().enumerate().filter_map(move |(container, seen)| match &seen.state {
                State::Running(live) | State::Stopping { live, .. } | State::Killed(live) => {
                    Some((live.cgroup, uid, container))
                }
                State::Idle | State::Failed(_) | State::Dead { .. } => None,
            })
        })
    }
}
