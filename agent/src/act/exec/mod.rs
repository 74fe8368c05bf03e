//! A command in a container that runs: starts it, waits for its end, ends it. `runtime exec` is the other side, and has the
//! diagram. Who wants it, and what its exit code means, is none of its business.
//!
//! The command is a child of the agent and awaited by pidfd. It is never the container's main process: that one stands in
//! the kernel's owner map and in the ledger, this one in neither.

mod session;

use std::{
    io::{self, IoSlice},
    mem::MaybeUninit,
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::net::UnixStream as StdUnixStream,
    },
    process::Stdio,
    sync::Arc,
    time::Duration,
};

use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
use tokio::{
    io::{AsyncWriteExt, BufReader},
    net::{UnixStream, unix::pipe},
};

use super::{
    Tools, chain,
    children::Awaited,
    container::{self, listen, reap},
};
use crate::{
    cgroup::Cgroup,
    kernel::pidfd::{PidFd, ProcessError},
    pod::{AttemptId, Pid, verdict::Waited},
    ready,
    runtime::Word,
};

/// How much of a command's output is kept.
const OUTPUT_LIMIT: usize = 16 << 10;

/// Why a command did not come to an end of its own.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("the container does not run")]
    NotRunning,
    /// `code` is what a shell says: 127 if there is no such program, 126 if it cannot be executed.
    #[error("{message}")]
    Unable { code: i32, message: String },
    #[error("the command has not ended within {} s", after.as_secs_f64())]
    TimedOut { after: Duration },
    /// The runtime's own words.
    #[error("{0}")]
    Runtime(String),
    #[error("cannot {step}")]
    Child {
        step: &'static str,
        #[source]
        source: io::Error,
    },
    #[error("the command's process cannot be held")]
    Process {
        #[source]
        source: ProcessError,
    },
    #[error("the command's exit code is lost: somebody else has waited for it")]
    Unwaited,
}

/// A command that has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Finished {
    /// 128 + signal if a signal ended it.
    pub(crate) code: i32,
    /// Standard output and error in the order in which they came; the first 16 KiB.
    pub(crate) output: Vec<u8>,
}

/// A command's standard streams.
#[derive(Debug)]
pub(crate) enum Streams {
    /// Without an input it reads nothing.
    Pipes { stdin: Option<OwnedFd>, stdout: OwnedFd, stderr: OwnedFd },
    /// A terminal of its own, whose master is sent to this socket.
    Terminal { console: OwnedFd },
}

impl Streams {
    /// What the runtime is told, and the descriptor that goes with it.
    fn passed(&self) -> (&'static [u8], Option<BorrowedFd<'_>>) {
        match self {
            Self::Pipes { stdin, .. } => (b"p", stdin.as_ref().map(AsFd::as_fd)),
            Self::Terminal { console } => (b"t", Some(console.as_fd())),
        }
    }

    /// What the runtime writes to from its start.
    fn output(self) -> (Stdio, Stdio) {
        match self {
            Self::Pipes { stdout, stderr, .. } => (stdout.into(), stderr.into()),
            Self::Terminal { .. } => (Stdio::null(), Stdio::null()),
        }
    }
}

/// A command that runs. Dropped before its end, it is killed with all of its session.
#[derive(Debug)]
pub(crate) struct Running {
    pid: Pid,
    pidfd: PidFd,
    cgroup: Cgroup,
    code: Option<i32>,
    _awaited: Awaited,
}

/// Runs a command to its end, or for `limit`: then it is killed, with what it has started in its session.
pub(crate) async fn run(
    tools: &Arc<Tools>,
    id: &AttemptId,
    argv: &[String],
    limit: Option<Duration>,
) -> Result<Finished, Error> {
    let Some(limit) = limit else { return run_to_end(tools, id, argv).await };
    let finished = run_to_end(tools, id, argv);
    tokio::select! {
        biased;
        finished = finished => finished,
        // Without an alarm nothing would ever end it: better now than never.
        _ = (tools.around.pause)(limit) => Err(Error::TimedOut { after: limit }),
    }
}

async fn run_to_end(tools: &Arc<Tools>, id: &AttemptId, argv: &[String]) -> Result<Finished, Error> {
    let fault = |source| Error::Child { step: "make a pipe for the command's output", source };
    let (ours, theirs) = io::pipe().map_err(fault)?;
    let stderr = theirs.try_clone().map_err(fault)?;
    let from = pipe::Receiver::from_owned_fd(ours.into()).map_err(fault)?;
    let streams = Streams::Pipes { stdin: None, stdout: theirs.into(), stderr: stderr.into() };
    let mut running = start(tools, id, argv, streams).await?;
    let mut output = Vec::new();
    let code = loop {
        tokio::select! {
            ended = running.ended() => break ended?,
            readable = from.readable() => {
                readable.map_err(fault)?;
                if drain(&from, &mut output) == Pipe::Closed {
                    break running.ended().await?;
                }
            }
        }
    };
    // What the command wrote is in the pipe by now. A process that it left behind may hold the pipe open for ever.
    drain_rest(&from, &mut output);
    Ok(Finished { code, output })
}

#[derive(PartialEq)]
enum Pipe {
    Empty,
    Closed,
}

/// Takes what is in the pipe, and keeps what there is room for.
fn drain(from: &pipe::Receiver, output: &mut Vec<u8>) -> Pipe {
    let mut load = [0; 4096];
    loop {
        match from.try_read(&mut load) {
            Ok(0) => return Pipe::Closed,
            Ok(read) => keep(&load[..read], output),
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Pipe::Empty,
            Err(_) => return Pipe::Closed,
        }
    }
}

fn keep(load: &[u8], output: &mut Vec<u8>) {
    let room = OUTPUT_LIMIT - output.len();
    output.extend_from_slice(&load[..load.len().min(room)]);
}

/// The same, past the async runtime, which may not have heard yet that there is something to read.
fn drain_rest(from: &pipe::Receiver, output: &mut Vec<u8>) {
    let mut load = [0; 4096];
    while let Ok(read @ 1..) = rustix::io::read(from, &mut load[..]) {
        keep(&load[..read], output);
    }
}

/// Starts a command on streams of the caller's.
pub(crate) async fn start(
    tools: &Arc<Tools>,
    id: &AttemptId,
    argv: &[String],
    streams: Streams,
) -> Result<Running, Error> {
    let main = tools.held(id).ok_or(Error::NotRunning)?;
    if exited(&main)? {
        return Err(Error::NotRunning);
    }
    let started = handshake(tools, id, argv, streams, &main).await;
    match started {
        // Whatever went wrong is a consequence.
        Err(Error::Runtime(_)) if exited(&main)? => Err(Error::NotRunning),
        other => other,
    }
}

fn exited(main: &PidFd) -> Result<bool, Error> {
    main.has_exited().map_err(|source| Error::Process { source })
}

async fn handshake(
    tools: &Arc<Tools>,
    id: &AttemptId,
    argv: &[String],
    streams: Streams,
    main: &PidFd,
) -> Result<Running, Error> {
    let fault = |step| move |source| Error::Child { step, source };
    let cgroup = tools.places.attempt_cgroup(id);
    let (ours, theirs) = StdUnixStream::pair().map_err(fault("make the door to the runtime"))?;
    ours.set_nonblocking(true).map_err(fault("make the door to the runtime"))?;
    pass(&ours, main, &streams).map_err(|e| fault("say which container is meant")(e.into()))?;
    let mut command = tools.binary.command();
    command.args(["runtime", "exec", "--cgroup"]).arg(cgroup.path());
    command.arg("--bundle").arg(tools.places.attempt(id)).arg("--").args(argv);
    let (stdout, stderr) = streams.output();
    command.stdin(Stdio::from(OwnedFd::from(theirs))).stdout(stdout).stderr(stderr);
    let child = tools.children.spawn(&mut command).map_err(fault("start the runtime"))?;
    // The command holds the child's ends: as long as it lives, the end of file does not come.
    drop(command);
    let ours = UnixStream::from_std(ours).map_err(fault("listen to the runtime"))?;
    let mut door = BufReader::new(ours);
    let pid = match hear(&mut door).await? {
        Some(Word::Pid(pid)) => Pid(pid),
        Some(word) => return Err(refused(word)),
        None => return Err(Error::Runtime("the runtime said nothing".to_owned())),
    };
    let awaited = tools.children.adopt(pid);
    let pidfd = PidFd::open(pid).map_err(|source| Error::Process { source })?;
    let running = Running { pid, pidfd, cgroup, code: None, _awaited: awaited };
    door.get_mut().write_all(b"h").await.map_err(fault("take the command over"))?;
    reap(child).await;
    door.get_mut().write_all(b"g").await.map_err(fault("let the command start"))?;
    match hear(&mut door).await? {
        None => Ok(running),
        Some(word) => Err(refused(word)),
    }
}

async fn hear(door: &mut BufReader<UnixStream>) -> Result<Option<Word>, Error> {
    listen(door).await.map_err(|e| match e {
        container::Error::Child { step, source } => Error::Child { step, source },
        other => Error::Runtime(chain(&other)),
    })
}

fn refused(word: Word) -> Error {
    match word {
        Word::Unable { code, message } => Error::Unable { code, message },
        Word::Error(message) => Error::Runtime(message),
        Word::Pid(_) => Error::Runtime("the runtime spoke out of turn".to_owned()),
    }
}

/// Descriptors cannot be inherited one by one from a process with threads; so they are sent.
fn pass(door: &StdUnixStream, main: &PidFd, streams: &Streams) -> rustix::io::Result<()> {
    let (word, descriptor) = streams.passed();
    let passed: Vec<BorrowedFd<'_>> = [Some(main.as_fd()), descriptor].into_iter().flatten().collect();
    let mut room = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(2))];
    let mut control = SendAncillaryBuffer::new(&mut room);
    control.push(SendAncillaryMessage::ScmRights(&passed));
    sendmsg(door, &[IoSlice::new(word)], &mut control, SendFlags::NOSIGNAL).map(drop)
}

impl Running {
    /// Comes back with the exit code when the command has ended; 128 + signal if a signal ended it.
    pub(crate) async fn ended(&mut self) -> Result<i32, Error> {
        let fault = |source| Error::Child { step: "wait for the command", source };
        let exit = self.pidfd.as_fd().try_clone_to_owned().and_then(ready::readable).map_err(fault)?;
        drop(exit.readable().await.map_err(fault)?);
        let code = match self.pidfd.wait().map_err(|source| Error::Process { source })? {
            Some(Waited::Exited { code }) => code,
            Some(Waited::Signalled { signal, .. }) => 128 + signal,
            Some(Waited::NotOurChild) | None => return Err(Error::Unwaited),
        };
        self.code = Some(code);
        Ok(code)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.code.is_some() {
            return;
        }
        // Not waited for yet, so the number of its session cannot be another's.
        session::kill(&self.cgroup, self.pid);
        if let Err(e) = self.pidfd.signal(libc::SIGKILL) {
            tracing::warn!(error = %chain(&e), "a command is left running");
        }
    }
}
