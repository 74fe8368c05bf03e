//! What systemd wants to hear: ready, alive, stopping (sd_notify(3)). Silent without systemd.

use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::{OsStr, OsString},
    io,
    os::{
        fd::{FromRawFd, OwnedFd, RawFd},
        linux::net::SocketAddrExt,
        unix::{
            ffi::OsStrExt,
            net::{SocketAddr, UnixDatagram},
        },
    },
    time::Duration,
};

use crate::config::Config;

/// Where passed descriptors begin (SD_LISTEN_FDS_START).
const FIRST_PASSED: RawFd = 3;

/// What it has kept for us.
pub(super) struct Passed {
    /// What all of it is called.
    pub(super) names: BTreeSet<String>,
    /// Terminals, which have no path to be opened by.
    pub(super) terminals: BTreeMap<String, OwnedFd>,
}

/// Takes the terminals among the descriptors that it has kept for us and closes our copies of the others. It still holds
/// its own, and whoever needs a pipe opens it by its path.
pub(super) fn take_passed(names: Vec<String>) -> Passed {
    let mut terminals = BTreeMap::new();
    for (fd, name) in (FIRST_PASSED..).zip(&names) {
        #[expect(unsafe_code, reason = "descriptors that are passed at the start have no owner yet")]
        // SAFETY: sd_listen_fds(3): as many descriptors as there are names are open from 3 on, for this process, in
        // which nobody else knows of them.
        let fd = unsafe { OwnedFd::from_raw_fd(fd) };
        if rustix::termios::isatty(&fd) {
            // Passed on to no one: systemd gives them without close-on-exec.
            let _ = rustix::io::fcntl_setfd(&fd, rustix::io::FdFlags::CLOEXEC);
            terminals.insert(name.clone(), fd);
        }
    }
    Passed { names: names.into_iter().collect(), terminals }
}

/// The way to tell it.
#[derive(Debug)]
pub(crate) struct Notifier {
    socket: Option<OsString>,
}

impl Notifier {
    pub(crate) fn new() -> Self {
        Self { socket: Config::notify_socket() }
    }

    /// Sends one or more `NAME=value` lines.
    pub(crate) fn say(&self, lines: &str) {
        let Some(path) = &self.socket else { return };
        if let Err(e) = send(path, lines) {
            tracing::warn!(error = %e, "systemd cannot be told: {lines}");
        }
    }

    /// How often `WATCHDOG=1` is due: twice as often as systemd asks.
    pub(crate) fn beat(&self) -> Option<Duration> {
        self.socket.as_ref().and(Config::watchdog()).map(|every| every / 2)
    }
}

fn send(path: &OsStr, lines: &str) -> io::Result<()> {
    let address = match path.as_bytes().strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name)?,
        None => SocketAddr::from_pathname(path)?,
    };
    UnixDatagram::unbound()?.send_to_addr(lines.as_bytes(), &address).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_arrives_on_both_kinds_of_socket() {
        let dir = std::env::temp_dir().join(format!("carob-notify-{}", std::process::id()));
        let abstract_name = format!("carob-notify-{}", std::process::id());
        let at = SocketAddr::from_abstract_name(abstract_name.as_bytes()).unwrap();
        let rows = [
            (UnixDatagram::bind(&dir).unwrap(), dir.clone().into_os_string()),
            (UnixDatagram::bind_addr(&at).unwrap(), format!("@{abstract_name}").into()),
        ];
        for (socket, path) in rows {
            Notifier { socket: Some(path) }.say("READY=1");
            let mut text = [0; 16];
            let length = socket.recv(&mut text).unwrap();
            assert_eq!(&text[..length], b"READY=1");
        }
        let _ = rustix::fs::unlink(&dir);
    }
}
