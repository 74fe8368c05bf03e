//! One command's streams between its pipes and a WebSocket, until it has ended or the client is gone.

use std::{io, os::fd::OwnedFd};

use axum::{
    body::Bytes,
    extract::ws::{Message, WebSocket},
};
use futures_util::{
    SinkExt, StreamExt,
    stream::{SplitSink, SplitStream},
};
use tokio::{
    io::AsyncWriteExt,
    net::unix::pipe::{Receiver, Sender},
    sync::oneshot,
};

use super::{
    ExecFault,
    channel::{self, Heard, Protocol},
};

/// How much output goes into one message.
const PIECE: usize = 32 << 10;

/// Which streams the client has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Wanted {
    pub(super) stdin: bool,
    pub(super) stdout: bool,
    pub(super) stderr: bool,
}

/// Our ends of a command's pipes.
pub(super) struct Pipes {
    stdin: Option<Sender>,
    stdout: Output,
    stderr: Output,
}

/// The command's ends.
#[derive(Debug)]
pub(crate) enum Ends {
    Pipes {
        stdin: Option<OwnedFd>,
        stdout: OwnedFd,
        stderr: OwnedFd,
    },
    /// Where the master of its terminal is to go.
    Terminal {
        console: OwnedFd,
    },
}

/// A pipe that the command writes to; output that nobody wants is read all the same.
struct Output {
    channel: u8,
    wanted: bool,
    pipe: Option<Receiver>,
}

type Sink = SplitSink<WebSocket, Message>;

/// The client has gone.
pub(super) struct Gone;

impl Pipes {
    pub(super) fn make(wanted: Wanted) -> io::Result<(Self, Ends)> {
        let output = |channel, wanted| -> io::Result<(Output, OwnedFd)> {
            let (ours, theirs) = io::pipe()?;
            let pipe = Some(Receiver::from_owned_fd(ours.into())?);
            Ok((Output { channel, wanted, pipe }, theirs.into()))
        };
        let (stdout, out) = output(channel::STDOUT, wanted.stdout)?;
        let (stderr, err) = output(channel::STDERR, wanted.stderr)?;
        let (mut stdin, mut input) = (None, None);
        if wanted.stdin {
            let (theirs, ours) = io::pipe()?;
            (stdin, input) = (Some(Sender::from_owned_fd(ours.into())?), Some(theirs.into()));
        }
        Ok((Self { stdin, stdout, stderr }, Ends::Pipes { stdin: input, stdout: out, stderr: err }))
    }
}

/// Serves one client. When it goes before the command has ended, nobody waits for the command any more.
pub(super) async fn serve(
    socket: WebSocket,
    protocol: Protocol,
    argv: Vec<String>,
    pipes: Pipes,
    ended: oneshot::Receiver<Result<i32, ExecFault>>,
) {
    let Pipes { stdin, stdout, stderr } = pipes;
    let (sink, stream) = socket.split();
    tokio::select! {
        _ = give(sink, &argv, [stdout, stderr], ended) => (),
        () = take(stream, protocol, stdin) => (),
    }
}

/// Passes the client's input on; comes back when the client has gone.
async fn take(mut stream: SplitStream<WebSocket>, protocol: Protocol, mut stdin: Option<Sender>) {
    while let Some(Ok(message)) = stream.next().await {
        let bytes = match message {
            Message::Binary(bytes) => bytes,
            Message::Close(_) => return,
            Message::Text(_) | Message::Ping(_) | Message::Pong(_) => continue,
        };
        match (protocol.read(&bytes), &mut stdin) {
            (Heard::Input(bytes), Some(pipe)) => {
                // A command that reads no more is not the client's fault, and no reason to stop listening.
                if pipe.write_all(bytes).await.is_err() {
                    stdin = None;
                }
            }
            (Heard::InputEnds, _) => stdin = None,
            (Heard::Input(_) | Heard::Size { .. } | Heard::Other, _) => (),
        }
    }
}

/// Sends output as it comes, then how the command ended.
async fn give(
    mut sink: Sink,
    argv: &[String],
    [mut stdout, mut stderr]: [Output; 2],
    mut ended: oneshot::Receiver<Result<i32, ExecFault>>,
) -> Result<(), Gone> {
    // As Kubernetes does: an empty message says that the connection stands.
    send(&mut sink, channel::output(channel::STDOUT, b"")).await?;
    let ended = loop {
        tokio::select! {
            () = stdout.readable() => stdout.pass(&mut sink).await?,
            () = stderr.readable() => stderr.pass(&mut sink).await?,
            ended = &mut ended => break ended,
        }
    };
    // What it wrote is in the pipes by now. What it left behind may hold them open for ever.
    stdout.rest(&mut sink).await?;
    stderr.rest(&mut sink).await?;
    let ended = ended.unwrap_or_else(|_| Err(ExecFault::Failed("the agent is stopping".to_owned())));
    send(&mut sink, channel::status(argv, &ended)).await?;
    sink.close().await.map_err(|_| Gone)
}

pub(super) async fn send(sink: &mut Sink, message: Vec<u8>) -> Result<(), Gone> {
    sink.send(Message::Binary(Bytes::from(message))).await.map_err(|_| Gone)
}

impl Output {
    /// Never comes back when all has been read.
    async fn readable(&self) {
        match &self.pipe {
            Some(pipe) if pipe.readable().await.is_ok() => (),
            _ => std::future::pending().await,
        }
    }

    /// Sends what is in the pipe, past the async runtime: it may not have heard yet that there is something.
    async fn rest(&self, sink: &mut Sink) -> Result<(), Gone> {
        let Some(pipe) = &self.pipe else { return Ok(()) };
        let mut piece = vec![0; PIECE];
        while let Ok(read @ 1..) = rustix::io::read(pipe, &mut piece[..]) {
            if self.wanted {
                send(sink, channel::output(self.channel, &piece[..read])).await?;
            }
        }
        Ok(())
    }

    /// Sends what is in the pipe.
    async fn pass(&mut self, sink: &mut Sink) -> Result<(), Gone> {
        let mut piece = vec![0; PIECE];
        while let Some(pipe) = &self.pipe {
            match pipe.try_read(&mut piece) {
                Ok(read) if read > 0 => {
                    if self.wanted {
                        send(sink, channel::output(self.channel, &piece[..read])).await?;
                    }
                }
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Ok(_) | Err(_) => self.pipe = None,
            }
        }
        Ok(())
    }
}
