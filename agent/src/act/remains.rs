//! What an attempt leaves when it is over: its processes are ended and waited for, then all of it but the log is taken
//! away. Every step is fine with what is gone already.

use std::{os::fd::OwnedFd, path::Path, sync::Arc, time::Duration};

use rustix::fs::{Mode, OFlags};
use tokio::io::Interest;

use super::{Tools, chain, container::Error, mounts};
use crate::{
    cgroup::{self, Cgroup},
    pod::{AttemptId, CgroupId},
    ready,
};

/// A cgroup's last event is lost if somebody removes it before the kernel has told of it, some milliseconds later.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// A cgroup that is gone. What the kernel counted in it is still to be written down before its owner is forgotten.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Departed {
    pub(crate) cgroup: CgroupId,
    /// By its own `memory.events`.
    pub(crate) oom_kills: Option<u64>,
}

/// Takes away everything an attempt left but its log. Idempotent; kills what is still in it. The kernel programs go on
/// knowing its cgroup until they are told to forget it.
pub(crate) async fn clear(tools: &Arc<Tools>, id: &AttemptId) -> Result<Option<Departed>, Error> {
    end(tools, &tools.places.attempt_cgroup(id)).await.map_err(|source| Error::Cgroup { source })?;
    tools.finish_output(id).await;
    tools.release_pipes(&id.to_string());
    tools.let_go(id);
    let (tools, id) = (tools.clone(), id.clone());
    let cleared = tokio::task::spawn_blocking(move || sweep(&tools, &id)).await;
    cleared.map_err(|e| Error::Child { step: "clear the attempt away", source: e.into() })?
}

/// The same after a start that failed: nothing ran in it whose ends would count.
pub(super) async fn clear_failed(tools: &Arc<Tools>, id: &AttemptId) {
    match clear(tools, id).await {
        Ok(departed) => departed.into_iter().for_each(|departed| tools.disown(departed.cgroup)),
        Err(e) => tracing::warn!(error = %chain(&e), attempt = %id, "remains of a failed start are left"),
    }
}

/// Ends what is in a cgroup, and comes back when nothing is.
async fn end(tools: &Tools, cgroup: &Cgroup) -> Result<(), cgroup::Error> {
    let ended = match cgroup.kill() {
        Ok(()) => wait_until_empty(tools, cgroup).await,
        fault => fault,
    };
    // The runtime takes away the cgroup of what it could not build, and it may outlive the agent that has started it.
    if cgroup.exists() { ended } else { Ok(()) }
}

/// The kernel says when; but not if the cgroup goes at once.
async fn wait_until_empty(tools: &Tools, cgroup: &Cgroup) -> Result<(), cgroup::Error> {
    let path = cgroup.path().join("cgroup.events");
    let fault = |source| cgroup::Error::Read { path: path.clone(), source };
    let watch = open(&path).and_then(ready::changed).map_err(fault)?;
    while cgroup.populated()? {
        tokio::select! {
            ready = watch.ready(Interest::PRIORITY) => ready.map_err(fault)?.clear_ready(),
            waited = (tools.around.pause)(LOOK_AGAIN) => waited.map_err(fault)?,
        }
        tools.children.reap_strangers();
    }
    Ok(())
}

fn open(path: &Path) -> std::io::Result<OwnedFd> {
    Ok(rustix::fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?)
}

fn sweep(tools: &Tools, id: &AttemptId) -> Result<Option<Departed>, Error> {
    let fault = |source| Error::Mounts { source };
    let dir = tools.places.attempt(id);
    mounts::unmount_below(&dir).map_err(fault)?;
    for dir in [&dir, &tools.places.upper(id), &tools.places.runtime().join(id.to_string())] {
        mounts::remove_dir(dir).map_err(fault)?;
    }
    let cgroup = tools.places.attempt_cgroup(id);
    let Ok(gone) = cgroup.id() else { return Ok(None) };
    // With those in cgroups that the container made itself.
    let oom_kills = cgroup.keyed("memory.events").ok().and_then(|events| events.get("oom_kill").copied());
    cgroup.remove().map_err(|source| Error::Cgroup { source })?;
    Ok(Some(Departed { cgroup: gone, oom_kills }))
}
