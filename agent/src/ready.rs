//! Waiting for a descriptor in the async runtime. The one place that hands descriptors to it.

use std::{io, os::fd::OwnedFd};

use tokio::io::{Interest, unix::AsyncFd};

/// A descriptor that can be awaited until it is readable.
pub(crate) fn readable(fd: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    register(fd, Interest::READABLE)
}

/// A descriptor that can be awaited for reading and for writing.
pub(crate) fn both_ways(fd: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    register(fd, Interest::READABLE | Interest::WRITABLE)
}

/// A descriptor that can be awaited for exceptional conditions (`POLLPRI`), such as a change of a cgroup file.
pub(crate) fn changed(fd: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    register(fd, Interest::PRIORITY)
}

#[expect(unsafe_code, reason = "the runtime cannot see that an OwnedFd keeps its descriptor open")]
fn register(fd: OwnedFd, interest: Interest) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: an OwnedFd owns its descriptor and can only close it when dropped, which AsyncFd does after deregistering;
    // nobody here replaces it through `get_mut`.
    Ok(unsafe { AsyncFd::register_with_interest(fd, interest) }?)
}
