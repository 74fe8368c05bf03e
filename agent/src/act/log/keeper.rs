//! Has systemd hold the pipes of attempts (FDSTORE of sd_notify(3)): a container that ends while no agent lives leaves
//! its last output in them, and a pipe that nobody holds loses what is in it. Without systemd nobody holds them.

use std::{
    ffi::{OsStr, OsString},
    io::IoSlice,
    mem::MaybeUninit,
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::ffi::OsStrExt,
    },
};

use rustix::net::{
    AddressFamily, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketAddrUnix, SocketFlags,
    SocketType, sendmsg_addr, socket_with,
};

use super::Writers;
use crate::pod::AttemptId;

/// The way to systemd's store of descriptors.
#[derive(Clone, Debug)]
pub(crate) struct Keeper {
    socket: Option<OsString>,
}

impl Keeper {
    /// `socket`: systemd's notification socket, if it started us.
    pub(crate) fn new(socket: Option<OsString>) -> Self {
        Self { socket }
    }

    /// Gives copies of both pipes and of the input away, before there is anybody to use them.
    pub(crate) fn keep(&self, id: &AttemptId, pipes: &Writers, input: Option<&OwnedFd>) {
        let lines = format!("FDSTORE=1\nFDNAME={id}\nFDPOLL=0");
        let all = [Some(pipes.out.as_fd()), Some(pipes.err.as_fd()), input.map(AsFd::as_fd)];
        self.say(&lines, &all.into_iter().flatten().collect::<Vec<_>>());
    }

    /// The same for the master of a terminal: a terminal that nobody holds hangs up.
    pub(crate) fn keep_terminal(&self, id: &AttemptId, master: &OwnedFd) {
        self.say(&format!("FDSTORE=1\nFDNAME={id}\nFDPOLL=0"), &[master.as_fd()]);
    }

    /// Has the pipes of an attempt closed, which are all that is kept under its name.
    pub(crate) fn release(&self, name: &str) {
        self.say(&format!("FDSTOREREMOVE=1\nFDNAME={name}"), &[]);
    }

    fn say(&self, lines: &str, descriptors: &[BorrowedFd<'_>]) {
        let Some(path) = &self.socket else { return };
        if let Err(e) = send(path, lines, descriptors) {
            tracing::warn!(error = %e, "systemd cannot be told: {lines}");
        }
    }
}

fn send(path: &OsStr, lines: &str, descriptors: &[BorrowedFd<'_>]) -> rustix::io::Result<()> {
    let address = match path.as_bytes().strip_prefix(b"@") {
        Some(name) => SocketAddrUnix::new_abstract_name(name)?,
        None => SocketAddrUnix::new(path)?,
    };
    let socket = socket_with(AddressFamily::UNIX, SocketType::DGRAM, SocketFlags::CLOEXEC, None)?;
    let mut room = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(3))];
    let mut control = SendAncillaryBuffer::new(&mut room);
    if !descriptors.is_empty() {
        control.push(SendAncillaryMessage::ScmRights(descriptors));
    }
    let text = [IoSlice::new(lines.as_bytes())];
    sendmsg_addr(&socket, &address, &text, &mut control, SendFlags::NOSIGNAL).map(drop)
}

#[cfg(test)]
mod tests {
    use std::{
        io::{IoSliceMut, Read, Write},
        os::{
            linux::net::SocketAddrExt,
            unix::net::{SocketAddr, UnixDatagram},
        },
    };

    use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};

    use super::*;
    use crate::pod::PodUid;

    /// One message, and the descriptors that came with it.
    fn receive(socket: &UnixDatagram) -> (String, Vec<OwnedFd>) {
        let mut text = [0; 256];
        let mut room = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(2))];
        let mut control = RecvAncillaryBuffer::new(&mut room);
        let got =
            recvmsg(socket, &mut [IoSliceMut::new(&mut text)], &mut control, RecvFlags::empty()).unwrap();
        let passed = control.drain().flat_map(|message| match message {
            RecvAncillaryMessage::ScmRights(descriptors) => descriptors.collect::<Vec<_>>(),
            _ => Vec::new(),
        });
        (String::from_utf8_lossy(&text[..got.bytes]).into_owned(), passed.collect())
    }

    #[test]
    fn both_pipes_arrive_under_the_name_of_their_attempt() {
        let name = format!("carob-keeper-{}", std::process::id());
        let at = SocketAddr::from_abstract_name(&name).unwrap();
        let systemd = UnixDatagram::bind_addr(&at).unwrap();
        let keeper = Keeper::new(Some(format!("@{name}").into()));
        let id = AttemptId { uid: PodUid("u".to_owned()), container: "web".to_owned(), attempt: 3 };
        let ((out, out_writer), (err, err_writer)) = (std::io::pipe().unwrap(), std::io::pipe().unwrap());
        keeper.keep(&id, &Writers { out: out_writer.into(), err: err_writer.into() }, None);
        let (text, kept) = receive(&systemd);
        assert_eq!(text, "FDSTORE=1\nFDNAME=u_web_3\nFDPOLL=0");
        for (mut reader, (writer, said)) in [out, err].into_iter().zip(kept.into_iter().zip(["o", "e"])) {
            std::fs::File::from(writer).write_all(said.as_bytes()).unwrap();
            let mut heard = String::new();
            reader.read_to_string(&mut heard).unwrap();
            assert_eq!(heard, said);
        }
        keeper.release("u_web_3");
        let (text, kept) = receive(&systemd);
        assert!(text == "FDSTOREREMOVE=1\nFDNAME=u_web_3" && kept.is_empty(), "{text} {kept:?}");
    }
}
