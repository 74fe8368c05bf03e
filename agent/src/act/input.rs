//! A container's standard input, if it is to have one: a pipe with a name that the agent holds open for writing, so that a
//! reader waits for what may come from those who attach.
//!
//! While no agent lives systemd holds it; without systemd a reader sees the end of the file then.

use std::{
    io,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
};

use rustix::{
    fs::{CWD, FileType, Gid, Mode, OFlags, Uid, fchown, mknodat, open},
    io::Errno,
};

fn pipe(attempt: &Path) -> PathBuf {
    attempt.join("stdin")
}

/// Makes the pipe in the attempt's directory, for the container's user.
pub(super) fn make(attempt: &Path, (uid, gid): (u32, u32)) -> io::Result<OwnedFd> {
    match mknodat(CWD, pipe(attempt), FileType::Fifo, Mode::from_raw_mode(0o600), 0) {
        Ok(()) | Err(Errno::EXIST) => (),
        Err(e) => return Err(e.into()),
    }
    let held = hold(attempt)?.ok_or(io::ErrorKind::NotFound)?;
    fchown(&held, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)))?;
    Ok(held)
}

/// Nobody finds it any more. Its readers meet the end of the file when nobody holds it.
pub(super) fn end(attempt: &Path) -> io::Result<()> {
    Ok(rustix::fs::unlink(pipe(attempt))?)
}

/// The agent's end; none if the container has no standard input.
pub(super) fn hold(attempt: &Path) -> io::Result<Option<OwnedFd>> {
    match open(pipe(attempt), OFlags::RDWR | OFlags::NONBLOCK | OFlags::CLOEXEC, Mode::empty()) {
        Ok(held) => Ok(Some(held)),
        Err(Errno::NOENT) => Ok(None),
        Err(e) => Err(e.into()),
    }
}
