//! A container's terminal (`tty: true`): takes its master from the runtime, and moves what the container writes to it into
//! the pipe of standard output, from where it goes its way as any output does.
//!
//! A terminal whose master nobody holds hangs up, and its processes with it. So systemd holds a copy while no agent lives,
//! and hands it to the next one; without systemd a container with a terminal ends with its agent.

use std::{
    io::{self, IoSliceMut, PipeReader, PipeWriter},
    mem::MaybeUninit,
    os::{
        fd::{AsFd, AsRawFd, OwnedFd},
        unix::net::UnixListener,
    },
    path::Path,
    thread::JoinHandle,
};

use rustix::{
    event::{PollFd, PollFlags, poll},
    fs::{Mode, OFlags, fcntl_getfl, fcntl_setfl, open},
    io::Errno,
    net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg},
    pipe::{SpliceFlags, splice},
};

use crate::config::STACK;

/// The socket's name in the attempt's directory; `runtime create` looks for it.
const SOCKET: &str = "console";
/// How much one turn moves.
const CHUNK: usize = 64 << 10;

/// Listens for the runtime. By way of the open directory: a socket's path has at most 107 bytes.
pub(super) fn listen(attempt: &Path) -> io::Result<UnixListener> {
    let dir = open(attempt, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    let listener = UnixListener::bind(format!("/proc/self/fd/{}/{SOCKET}", dir.as_raw_fd()))?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// The master that the runtime has sent before it said that the container is built.
pub(super) fn receive(listener: &UnixListener) -> io::Result<OwnedFd> {
    let (socket, _) = listener.accept()?;
    let mut room = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut room);
    let mut name = [0; 64];
    let flags = RecvFlags::CMSG_CLOEXEC | RecvFlags::DONTWAIT;
    recvmsg(&socket, &mut [IoSliceMut::new(&mut name)], &mut control, flags)?;
    let mut passed = control.drain().flat_map(|message| match message {
        RecvAncillaryMessage::ScmRights(descriptors) => descriptors.collect::<Vec<_>>(),
        _ => Vec::new(),
    });
    passed.next().ok_or_else(|| io::Error::other("the runtime has sent no terminal"))
}

/// A terminal that is read.
#[derive(Debug)]
pub(super) struct Terminal {
    /// For whoever writes to it.
    master: OwnedFd,
    /// Its end tells the thread to stop when there is nothing left to read.
    stop: PipeWriter,
    thread: JoinHandle<()>,
}

impl Terminal {
    /// Reads in a thread of its own, which waits for the next step if that one is slow.
    pub(super) fn read(master: OwnedFd, attempt: &Path) -> io::Result<Self> {
        let out = open(attempt.join("stdout"), OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())?;
        fcntl_setfl(&master, fcntl_getfl(&master)? | OFlags::NONBLOCK)?;
        let (stopped, stop) = io::pipe()?;
        let kept = master.try_clone()?;
        let thread = std::thread::Builder::new().stack_size(STACK);
        let thread = thread.spawn(move || {
            if let Err(e) = pass_on(&master, &out, &stopped) {
                tracing::warn!(error = %e, "a terminal cannot be read");
            }
        })?;
        Ok(Self { master: kept, stop, thread })
    }

    /// Another hand on its master: what is written there is typed.
    pub(super) fn input(&self) -> io::Result<OwnedFd> {
        self.master.try_clone()
    }

    /// Waits until all that was written to it is in the pipe. For a container that has no process any more.
    pub(super) fn finish(self) {
        let Self { master, stop, thread } = self;
        drop((master, stop));
        // It ends well or says so itself.
        let _ = thread.join();
    }
}

/// Until the last process has closed the terminal, or nobody wants it any more. `splice` moves bytes in one system call: a
/// killed agent leaves them in the terminal or in the pipe.
fn pass_on(master: &OwnedFd, out: &OwnedFd, stopped: &PipeReader) -> rustix::io::Result<()> {
    loop {
        let mut ready = [
            PollFd::from_borrowed_fd(master.as_fd(), PollFlags::IN),
            PollFd::from_borrowed_fd(stopped.as_fd(), PollFlags::IN),
        ];
        match poll(&mut ready, None) {
            Err(Errno::INTR) => continue,
            other => other?,
        };
        let [terminal, stop] = ready.map(|ready| ready.revents());
        if terminal.contains(PollFlags::IN) {
            match splice(master, None, out, None, CHUNK, SpliceFlags::empty()) {
                // What a terminal says when nobody has it open.
                Ok(0) | Err(Errno::IO) => return Ok(()),
                Ok(_) | Err(Errno::AGAIN | Errno::INTR) => (),
                Err(e) => return Err(e),
            }
        } else if !terminal.is_empty() || !stop.is_empty() {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        fs::File,
        io::{Read, Write},
    };

    use std::os::fd::FromRawFd;

    use rustix::fs::{CWD, FileType, mknodat};

    use super::*;

    #[expect(unsafe_code, reason = "pseudo-terminals come from the C library")]
    fn pair() -> (OwnedFd, OwnedFd) {
        let (mut master, mut slave) = (-1, -1);
        let none = std::ptr::null_mut();
        // SAFETY: openpty writes two descriptors to live integers; name, attributes and size are not asked for.
        let opened = unsafe {
            libc::openpty(&raw mut master, &raw mut slave, none, std::ptr::null(), std::ptr::null())
        };
        assert_eq!(opened, 0, "{}", io::Error::last_os_error());
        // SAFETY: both were opened just now and belong to nobody.
        unsafe { (OwnedFd::from_raw_fd(master), OwnedFd::from_raw_fd(slave)) }
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "the test needs a directory")]
    fn what_is_written_to_a_terminal_comes_out_of_the_pipe() {
        let dir = std::env::temp_dir().join(format!("carob-terminal-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let path = dir.join("stdout");
        let _ = std::fs::remove_file(&path);
        mknodat(CWD, &path, FileType::Fifo, Mode::from_raw_mode(0o600), 0).unwrap();
        let mut out = File::from(open(&path, OFlags::RDWR | OFlags::CLOEXEC, Mode::empty()).unwrap());
        let (master, slave) = pair();
        let terminal = Terminal::read(master, &dir).unwrap();
        let mut slave = File::from(slave);
        slave.write_all(b"one\ntwo").unwrap();
        drop(slave);
        terminal.finish();
        let mut read = [0; 8];
        out.read_exact(&mut read).unwrap();
        assert_eq!(&read, b"one\r\ntwo");
        std::fs::remove_dir_all(&dir).unwrap();
    }
}
