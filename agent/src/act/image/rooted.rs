//! Opens what lies in a tree as a process chrooted into it would: a link on the way never leads out.

use std::{os::fd::OwnedFd, path::Path};

use rustix::{
    fs::{Mode, OFlags, ResolveFlags, openat2},
    io::Errno,
};

/// openat2 says "again" when any rename on the box races with a `..`.
const TRIES: u32 = 64;

/// `path` below `root`; empty is the root itself.
pub(super) fn open_within(root: &OwnedFd, path: &Path, flags: OFlags) -> Result<OwnedFd, Errno> {
    let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS | ResolveFlags::NO_XDEV;
    let attempt = || openat2(root, path, flags | OFlags::CLOEXEC, Mode::empty(), resolve);
    (1..TRIES).map(|_| attempt()).find(|opened| !matches!(opened, Err(Errno::AGAIN))).unwrap_or_else(attempt)
}
