//! A terminal for a command: made in the container's own devpts, so that its name means there what it means to the command.
//! The master goes to whoever asked for the command, through a socket of theirs.

use std::{
    io::IoSlice,
    mem::MaybeUninit,
    os::fd::{AsFd, OwnedFd},
};

use rustix::{
    io::Errno,
    net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg},
    process::ioctl_tiocsctty,
    pty::{OpenptFlags, ioctl_tiocgptpeer, openpt, unlockpt},
    stdio,
};

/// Makes it the terminal of this session and all of its standard streams. Called with the rights of the container's user:
/// whatever lies at `/dev/ptmx`, nothing is opened that the container could not open itself.
pub(super) fn take(console: &OwnedFd) -> Result<(), String> {
    let fault = |what: &'static str| move |e: Errno| format!("cannot {what}: {e}");
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let master = openpt(flags).map_err(fault("make a terminal"))?;
    unlockpt(&master).map_err(fault("unlock the terminal"))?;
    let end = ioctl_tiocgptpeer(&master, flags).map_err(fault("open the terminal's other end"))?;
    ioctl_tiocsctty(&end).map_err(fault("make the terminal the session's"))?;
    stdio::dup2_stdin(&end).map_err(fault("set up standard input"))?;
    stdio::dup2_stdout(&end).map_err(fault("set up standard output"))?;
    stdio::dup2_stderr(&end).map_err(fault("set up standard error"))?;
    let mut room = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut room);
    let passed = [master.as_fd()];
    control.push(SendAncillaryMessage::ScmRights(&passed));
    sendmsg(console, &[IoSlice::new(b"t")], &mut control, SendFlags::NOSIGNAL)
        .map(drop)
        .map_err(fault("hand the terminal over"))
}
