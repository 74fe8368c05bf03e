//! Processes held by a pidfd: their exit, their status, a signal to them. A pid may be used again, a pidfd is
//! not.
//!
//! It does not decide whom to signal, and does not kill by pid.
#![expect(clippy::disallowed_methods, reason = "reads /proc/PID/stat")]

use std::{
    fs, io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
    process::{PidfdFlags, Signal, WaitId, WaitIdOptions, pidfd_open, pidfd_send_signal, waitid},
};
use thiserror::Error;

use crate::pod::{Pid, verdict::Waited};

/// What went wrong with a process.
#[derive(Debug, Error)]
pub(crate) enum ProcessError {
    #[error("open process {pid}: not a pid")]
    NotAPid { pid: i32 },
    #[error("open process {pid}")]
    Open {
        pid: i32,
        #[source]
        source: Errno,
    },
    #[error("ask whether process {pid} has exited")]
    Poll {
        pid: i32,
        #[source]
        source: Errno,
    },
    #[error("read the status of process {pid}")]
    Wait {
        pid: i32,
        #[source]
        source: Errno,
    },
    #[error("send signal {signal} to process {pid}")]
    Signal {
        pid: i32,
        signal: i32,
        #[source]
        source: Errno,
    },
    #[error("send signal {signal} to process {pid}: there is no such signal")]
    NoSuchSignal { pid: i32, signal: i32 },
    #[error("read /proc/{pid}/stat")]
    Stat {
        pid: i32,
        #[source]
        source: io::Error,
    },
    #[error("find the start time of process {pid} in /proc/{pid}/stat")]
    StartTime { pid: i32 },
}

/// A process, as opposed to a number that names one for now.
#[derive(Debug)]
pub(crate) struct PidFd {
    pid: Pid,
    fd: OwnedFd,
}

impl PidFd {
    /// Takes hold of a process, which may be a zombie already. Whoever may have reaped it since must be ruled
    /// out by comparing [`start_ticks`].
    pub(crate) fn open(pid: Pid) -> Result<Self, ProcessError> {
        let positive = (pid.0 > 0).then_some(pid.0).and_then(rustix::process::Pid::from_raw);
        let raw = positive.ok_or(ProcessError::NotAPid { pid: pid.0 })?;
        let fd = pidfd_open(raw, PidfdFlags::empty())
            .map_err(|source| ProcessError::Open { pid: pid.0, source })?;
        Ok(Self { pid, fd })
    }

    /// Its number, which is its own as long as it has not been waited for.
    pub(crate) fn pid(&self) -> Pid {
        self.pid
    }

    /// Whether it has ended. Its fd is readable from then on.
    pub(crate) fn has_exited(&self) -> Result<bool, ProcessError> {
        let mut fds = [PollFd::new(&self.fd, PollFlags::IN)];
        loop {
            match poll(&mut fds, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })) {
                Ok(ready) => return Ok(ready > 0),
                Err(Errno::INTR) => (),
                Err(source) => return Err(ProcessError::Poll { pid: self.pid.0, source }),
            }
        }
    }

    /// Its status, and the zombie is gone. `None`: it runs. The status of a process that is not a child of
    /// this one is not to be had: that is known only by asking, so ask after [`PidFd::has_exited`].
    pub(crate) fn wait(&self) -> Result<Option<Waited>, ProcessError> {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG;
        match waitid(WaitId::PidFd(self.fd.as_fd()), options) {
            Ok(None) => Ok(None),
            Ok(Some(status)) => Ok(Some(match (status.exit_status(), status.terminating_signal()) {
                (Some(code), _) => Waited::Exited { code },
                (None, Some(signal)) => Waited::Signalled { signal, core: status.dumped() },
                (None, None) => Waited::NotOurChild,
            })),
            Err(Errno::CHILD) => Ok(Some(Waited::NotOurChild)),
            Err(source) => Err(ProcessError::Wait { pid: self.pid.0, source }),
        }
    }

    /// Sends a signal to that process and no other. A process that is gone already is no error: it got what
    /// was meant.
    pub(crate) fn signal(&self, signal: i32) -> Result<(), ProcessError> {
        let known = signal_of(signal).ok_or(ProcessError::NoSuchSignal { pid: self.pid.0, signal })?;
        match pidfd_send_signal(&self.fd, known) {
            Ok(()) | Err(Errno::SRCH) => Ok(()),
            Err(source) => Err(ProcessError::Signal { pid: self.pid.0, signal, source }),
        }
    }
}

impl AsFd for PidFd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// Signals by number, real-time ones included: images may ask for one as `STOPSIGNAL`.
fn signal_of(number: i32) -> Option<Signal> {
    /// 32 and 33 are the C library's.
    const REAL_TIME: std::ops::RangeInclusive<i32> = 34..=64;
    if REAL_TIME.contains(&number) {
        #[expect(unsafe_code, reason = "rustix has no safe name for real-time signals")]
        // SAFETY: `from_raw_unchecked` asks for a signal number of this system that its C library does not
        // reserve.
        return Some(unsafe { Signal::from_raw_unchecked(number) });
    }
    Signal::from_named_raw(number)
}

/// When a process started, in ticks of 1/100 s since boot. With its pid it names the process while the box is
/// up.
pub(crate) fn start_ticks(pid: Pid) -> Result<u64, ProcessError> {
    let stat = fs::read(format!("/proc/{}/stat", pid.0))
        .map_err(|source| ProcessError::Stat { pid: pid.0, source })?;
    start_in(&stat).ok_or(ProcessError::StartTime { pid: pid.0 })
}

/// Field 22 of `/proc/PID/stat`. Field 2 is the name in parentheses, and a process may put both spaces and
/// parentheses into it; what follows the last one is the kernel's.
fn start_in(stat: &[u8]) -> Option<u64> {
    let name_end = stat.iter().rposition(|byte| *byte == b')')?;
    let rest = std::str::from_utf8(stat.get(name_end + 1..)?).ok()?;
    rest.split_ascii_whitespace().nth(22 - 3)?.parse().ok()
}

/// Tests that have children take turns: the reaper of one would take away the child of another.
#[cfg(test)]
pub(crate) fn my_turn_with_children() -> std::sync::MutexGuard<'static, ()> {
    static TURN: std::sync::Mutex<()> = std::sync::Mutex::new(());
    TURN.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::process::{Child, Command};

    use super::*;

    const TAIL: &str = "S 1 2 3 0 -1 4194560 5 6 7 8 9 10 11 12 20 0 1 0 4711 99 100";

    #[test]
    fn the_start_is_read_past_any_name() {
        #[track_caller]
        fn check(stat: &[u8], start: Option<u64>) {
            assert_eq!(start_in(stat), start, "{}", String::from_utf8_lossy(stat));
        }
        check(format!("7 (sh) {TAIL}").as_bytes(), Some(4711));
        check(format!("7 (a) R 1 (b c) {TAIL}").as_bytes(), Some(4711));
        check(&[b"7 (\xff\xfe) ", TAIL.as_bytes()].concat(), Some(4711));
        check(b"7 (sh) S 1 2", None);
        check(b"", None);
    }

    fn shell(script: &str) -> (Child, PidFd) {
        let child = Command::new("sh").args(["-c", script]).spawn().unwrap();
        let fd = PidFd::open(Pid(i32::try_from(child.id()).unwrap())).unwrap();
        (child, fd)
    }

    fn ended(fd: &PidFd) -> Waited {
        poll(&mut [PollFd::new(fd, PollFlags::IN)], None).unwrap();
        assert!(fd.has_exited().unwrap());
        fd.wait().unwrap().unwrap()
    }

    #[test]
    fn a_child_tells_its_status_once() {
        let _turn = my_turn_with_children();
        #[track_caller]
        fn check(script: &str, waited: Waited) {
            let (_child, fd) = shell(script);
            assert_eq!(ended(&fd), waited);
            assert_eq!(fd.wait().unwrap(), Some(Waited::NotOurChild), "it was reaped");
            fd.signal(15).unwrap();
        }
        check("exit 0", Waited::Exited { code: 0 });
        check("exit 7", Waited::Exited { code: 7 });
        check("kill -TERM $$", Waited::Signalled { signal: 15, core: false });
    }

    #[test]
    fn a_running_child_can_be_signalled_and_is_told_from_a_dead_one() {
        let _turn = my_turn_with_children();
        for signal in [9, 15, 40] {
            let (_child, fd) = shell("exec sleep 1000");
            assert!(!fd.has_exited().unwrap());
            assert_eq!(fd.wait().unwrap(), None);
            fd.signal(signal).unwrap();
            assert_eq!(ended(&fd), Waited::Signalled { signal, core: false });
        }
    }

    #[test]
    fn numbers_that_name_nothing_are_refused() {
        let _turn = my_turn_with_children();
        let (_child, fd) = shell("exit 0");
        for signal in [-1, 0, 32, 65] {
            assert!(matches!(fd.signal(signal), Err(ProcessError::NoSuchSignal { .. })), "{signal}");
        }
        assert!(matches!(
            PidFd::open(Pid(-5)),
            Err(ProcessError::NotAPid { pid: -5 } | ProcessError::Open { .. })
        ));
        ended(&fd);
    }

    #[test]
    fn a_process_knows_its_own_start() {
        let own = Pid(rustix::process::getpid().as_raw_nonzero().get());
        assert!(start_ticks(own).unwrap() > 0);
        assert!(matches!(start_ticks(Pid(0)), Err(ProcessError::Stat { .. })));
    }
}
