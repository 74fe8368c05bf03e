//! The process that holds a pod's shared namespace of processes: there is one as long as a container may need it, and a new
//! one if somebody has killed it. `runtime pause` is the other side.
//!
//! It belongs to no container: it has a cgroup of its own in the pod's, and is neither awaited nor accounted for.
#![expect(clippy::disallowed_methods, reason = "this is the effect")]

use std::{
    fs,
    io::{self, Read, Seek},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    process::Stdio,
};

use rustix::event::{PollFd, PollFlags, poll};

use super::{Tools, lock, mounts, places::Places};
use crate::{
    cgroup::{self, Cgroup},
    pod::PodUid,
};

/// Why there is none.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("its cgroup cannot be set up")]
    Cgroup {
        #[source]
        source: cgroup::Error,
    },
    #[error("its namespace cannot be pinned")]
    Mounts {
        #[source]
        source: mounts::Error,
    },
    #[error("its process cannot be started")]
    Child {
        #[source]
        source: io::Error,
    },
    /// The runtime's own words.
    #[error("{0}")]
    Refused(String),
}

/// Sees to it that the namespace is there and alive.
pub(super) fn ensure(tools: &Tools, uid: &PodUid) -> Result<(), Error> {
    // Two containers of a pod may start at once.
    let _turn = lock(&tools.pauses);
    let (pod, cgroup) = (tools.places.pod(uid), tools.places.pause_cgroup(uid));
    let pin = pod.namespaces().join("pid");
    if is_alive(&cgroup, &pin) {
        return Ok(());
    }
    let fault = |source| Error::Mounts { source };
    mounts::unmount_below(&pin).map_err(fault)?;
    mounts::make_dir(&pod.empty()).map_err(fault)?;
    cgroup.make().map_err(|source| Error::Cgroup { source })?;
    let mut command = tools.binary.command();
    command.args(["runtime", "pause", "--cgroup"]).arg(cgroup.path());
    command.arg("--namespaces").arg(pod.namespaces()).arg("--empty").arg(pod.empty());
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let (child, awaited) = tools.children.spawn(&mut command).map_err(|source| Error::Child { source })?;
    let output = child.wait_with_output().map_err(|source| Error::Child { source })?;
    drop(awaited);
    if output.status.success() {
        return Ok(());
    }
    Err(Error::Refused(String::from_utf8_lossy(&output.stderr).trim().to_owned()))
}

/// Whether a process of the cgroup is in the pinned namespace and not about to leave it: one that exits has no mount
/// namespace any more, long before it is gone.
fn is_alive(cgroup: &Cgroup, pin: &Path) -> bool {
    let Ok(pinned) = fs::metadata(pin).map(|about| about.ino()) else { return false };
    let all = fs::read_to_string(cgroup.path().join("cgroup.procs")).unwrap_or_default();
    all.lines().any(|pid| {
        let ns = PathBuf::from(format!("/proc/{pid}/ns"));
        fs::metadata(ns.join("pid")).is_ok_and(|about| about.ino() == pinned)
            && fs::metadata(ns.join("mnt")).is_ok()
    })
}

/// Ends it, and with it whatever is left in its namespace. Idempotent.
pub(super) fn end(places: &Places, uid: &PodUid) -> Result<(), cgroup::Error> {
    let cgroup = places.pause_cgroup(uid);
    if !cgroup.exists() {
        return Ok(());
    }
    cgroup.kill()?;
    let path = cgroup.path().join("cgroup.events");
    let fault = |source| cgroup::Error::Read { path: path.clone(), source };
    let mut events = fs::File::open(&path).map_err(fault)?;
    loop {
        let mut text = String::new();
        events.rewind().and_then(|()| events.read_to_string(&mut text)).map_err(fault)?;
        if !text.lines().any(|line| line == "populated 1") {
            return Ok(());
        }
        // Ready when something has changed since this very opening was read.
        poll(&mut [PollFd::new(&events, PollFlags::PRI)], None).map_err(|e| fault(e.into()))?;
    }
}
