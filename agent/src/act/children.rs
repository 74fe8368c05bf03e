//! Processes of ours, and the orphans that fall to us as subreaper. Waits for no one in particular.
//!
//! Whoever starts or adopts a process waits for it by pidfd; everything else that ends up as our child is reaped here.

use std::{
    collections::BTreeSet,
    io,
    process::{Child, Command},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use rustix::process::{Pid as RawPid, WaitId, WaitIdOptions, waitid};

use crate::pod::Pid;

/// A process that somebody waits for. Dropped, it falls to whoever reaps strangers.
#[derive(Debug)]
pub(crate) struct Awaited {
    pid: Pid,
    children: Option<Arc<Children>>,
}

impl Awaited {
    /// It goes on being awaited, until `Children::release`.
    pub(crate) fn keep(mut self) {
        self.children = None;
    }
}

impl Drop for Awaited {
    fn drop(&mut self) {
        if let Some(children) = &self.children {
            children.release(self.pid);
        }
    }
}

/// The processes somebody waits for.
#[derive(Debug, Default)]
pub(crate) struct Children {
    awaited: Mutex<BTreeSet<Pid>>,
}

impl Children {
    /// Starts a process that the caller waits for. The lock spans the start, so that it cannot be taken for a stranger.
    pub(crate) fn spawn(self: &Arc<Self>, command: &mut Command) -> io::Result<(Child, Awaited)> {
        let mut awaited = self.awaited();
        let child = command.spawn()?;
        let pid = Pid(child.id().cast_signed());
        awaited.insert(pid);
        Ok((child, Awaited { pid, children: Some(self.clone()) }))
    }

    /// Somebody waits for this one from now on.
    pub(crate) fn adopt(self: &Arc<Self>, pid: Pid) -> Awaited {
        self.awaited().insert(pid);
        Awaited { pid, children: Some(self.clone()) }
    }

    /// It has been waited for.
    pub(crate) fn release(&self, pid: Pid) {
        self.awaited().remove(&pid);
        self.reap_strangers();
    }

    /// Reaps what nobody waits for. Stops at the first that somebody does: `release` calls again.
    pub(crate) fn reap_strangers(&self) {
        let awaited = self.awaited();
        while let Some(pid) = exited_child() {
            if awaited.contains(&Pid(pid.as_raw_nonzero().get())) {
                return;
            }
            if waitid(WaitId::Pid(pid), WaitIdOptions::EXITED | WaitIdOptions::NOHANG).is_err() {
                return;
            }
        }
    }

    fn awaited(&self) -> MutexGuard<'_, BTreeSet<Pid>> {
        self.awaited.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A child that has exited and is not reaped yet, left as it is.
#[expect(unsafe_code, reason = "rustix does not tell the pid of a waited child")]
fn exited_child() -> Option<RawPid> {
    let mut info = std::mem::MaybeUninit::<libc::siginfo_t>::zeroed();
    let options = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT;
    // SAFETY: waitid writes at most one siginfo_t to the pointer, which is valid for that.
    let result = unsafe { libc::waitid(libc::P_ALL, 0, info.as_mut_ptr(), options) };
    if result != 0 {
        return None;
    }
    // SAFETY: zeroed before the call, and a siginfo_t of zeroes is valid; after success si_pid is the child or 0.
    let pid = unsafe { info.assume_init().si_pid() };
    RawPid::from_raw(pid)
}

#[cfg(test)]
mod tests {
    use std::process::Stdio;

    use super::*;
    use crate::kernel::pidfd::my_turn_with_children;

    #[test]
    #[expect(clippy::disallowed_methods, reason = "the test needs a process")]
    fn what_is_awaited_is_left_alone() {
        let _turn = my_turn_with_children();
        let children = Arc::new(Children::default());
        let (mut child, awaited) = children.spawn(Command::new("true").stdout(Stdio::null())).unwrap();
        let pid = RawPid::from_raw(child.id().cast_signed()).unwrap();
        let peek = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
        waitid(WaitId::Pid(pid), peek).unwrap();
        children.reap_strangers();
        assert!(child.wait().unwrap().success(), "its status is still there for the one who waits");
        drop(awaited);
        assert!(children.awaited().is_empty());
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "the test needs a process")]
    fn what_is_no_longer_awaited_is_reaped() {
        let _turn = my_turn_with_children();
        let children = Arc::new(Children::default());
        let (mut child, awaited) = children.spawn(Command::new("true").stdout(Stdio::null())).unwrap();
        let pid = RawPid::from_raw(child.id().cast_signed()).unwrap();
        waitid(WaitId::Pid(pid), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT).unwrap();
        drop(awaited);
        while child.try_wait().is_ok_and(|status| status.is_none()) {
            children.reap_strangers();
        }
    }
}
