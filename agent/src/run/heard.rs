//! What the kernel programs say of their own accord: not deaths, which are waited for, but what else is worth a line.

use std::{os::fd::AsFd, sync::Arc};

use carob_ebpf::rules::EventKind;
use tokio::sync::mpsc;

use super::{Agent, Note};
use crate::{
    kernel::probes::Probes,
    plan::State,
    pod::{CgroupId, PodName},
    ready,
};

/// Wakes the loop when the ring has something.
pub(super) fn listen(probes: &Arc<Probes>, notes: mpsc::Sender<Note>) -> std::io::Result<()> {
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
    pub(super) fn hear(&self) {
        let Some(probes) = &self.tools.probes else { return };
        probes.drain(|event| {
            let (cgroup, tgid) = (CgroupId(event.cgroup), event.tgid);
            let Some((pod, container)) = self.container_of(cgroup) else { return };
            match EventKind::of(event.kind) {
                Some(EventKind::OomKilledOther) => {
                    tracing::warn!(%pod, container, tgid, "the OOM killer took a child process; the container goes on");
                }
                Some(EventKind::TermIgnored) => {
                    tracing::warn!(%pod, container, tgid, "process 1 ignores SIGTERM: only SIGKILL will end it");
                }
                Some(EventKind::MainDied) | None => (),
            }
        });
    }

    /// Records that found no room, of the containers that run and of the box.
    pub(super) fn lost_records(&self) -> u64 {
        let Some(probes) = &self.tools.probes else { return 0 };
        let of_container =
            |cgroup| probes.counters(cgroup).ok().flatten().map_or(0, |counters| counters.lost);
        let running: u64 = self.running().map(|(cgroup, ..)| of_container(cgroup)).sum();
        probes.lost().unwrap_or(0).max(running)
    }

    fn container_of(&self, cgroup: CgroupId) -> Option<(PodName, String)> {
        self.running()
            .find(|(id, ..)| *id == cgroup)
            .map(|(_, pod, container)| (pod.clone(), container.to_owned()))
    }

    fn running(&self) -> impl Iterator<Item = (CgroupId, &PodName, &str)> {
        self.pods.values().flat_map(|kept| {
            let containers = kept.spec.containers.iter().zip(&kept.seen.containers);
            containers.filter_map(|(container, seen)| match &seen.state {
                State::Running(live) | State::Stopping { live, .. } | State::Killed(live) => {
                    Some((live.cgroup, &kept.spec.name, container.name.as_str()))
                }
                State::Idle | State::Failed(_) | State::Dead { .. } => None,
            })
        })
    }
}
