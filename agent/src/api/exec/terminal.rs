//! A command's terminal between its master and a WebSocket, until the command has ended or the client is gone.

use std::{
    io::{self, IoSliceMut},
    mem::MaybeUninit,
    os::{fd::OwnedFd, unix::net::UnixStream as StdUnixStream},
};

use axum::extract::ws::{Message, WebSocket};
use futures_util::{
    SinkExt, StreamExt,
    stream::{SplitSink, SplitStream},
};
use rustix::{
    fs::{OFlags, fcntl_getfl, fcntl_setfl},
    net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg},
    termios::{Winsize, tcsetwinsize},
};
use tokio::{
    io::{Interest, unix::AsyncFd},
    net::UnixStream,
    sync::oneshot,
};

use super::{
    ExecFault,
    channel::{self, Heard, Protocol},
    session::{Gone, send},
};
use crate::ready;

/// How much output goes into one message.
const PIECE: usize = 32 << 10;

/// Where the master will come from, and the end that the command's side gets.
pub(super) fn pair() -> io::Result<(UnixStream, OwnedFd)> {
    let (ours, theirs) = StdUnixStream::pair()?;
    ours.set_nonblocking(true)?;
    Ok((UnixStream::from_std(ours)?, theirs.into()))
}

/// Serves one client. When it goes before the command has ended, nobody waits for the command any more.
pub(super) async fn serve(
    socket: WebSocket,
    protocol: Protocol,
    argv: Vec<String>,
    console: UnixStream,
    mut ended: oneshot::Receiver<Result<i32, ExecFault>>,
) {
    let (mut sink, stream) = socket.split();
    if send(&mut sink, channel::output(channel::STDOUT, b"")).await.is_err() {
        return;
    }
    let master = tokio::select! {
        biased;
        master = receive(&console) => master,
        // Then it was not even started.
        early = &mut ended => return drop(finish(sink, &argv, early).await),
    };
    let Ok(master) = master else { return drop(finish(sink, &argv, ended.await).await) };
    tokio::select! {
        _ = give(sink, &argv, &master, ended) => (),
        () = take(stream, protocol, &master) => (),
    }
}

/// The master that the command's side sends.
async fn receive(console: &UnixStream) -> io::Result<AsyncFd<OwnedFd>> {
    let passed = console.async_io(Interest::READABLE, || {
        let mut room = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = RecvAncillaryBuffer::new(&mut room);
        let flags = RecvFlags::CMSG_CLOEXEC | RecvFlags::DONTWAIT;
        recvmsg(console, &mut [IoSliceMut::new(&mut [0])], &mut control, flags)?;
        let mut passed = control.drain().flat_map(|message| match message {
            RecvAncillaryMessage::ScmRights(descriptors) => descriptors.collect::<Vec<_>>(),
            _ => Vec::new(),
        });
        passed.next().ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
    });
    let master = passed.await?;
    fcntl_setfl(&master, fcntl_getfl(&master)? | OFlags::NONBLOCK)?;
    ready::both_ways(master)
}

/// Types what the client types, and keeps the size that its window has.
pub(super) async fn take(mut stream: SplitStream<WebSocket>, protocol: Protocol, master: &AsyncFd<OwnedFd>) {
    while let Some(Ok(message)) = stream.next().await {
        let bytes = match message {
            Message::Binary(bytes) => bytes,
            Message::Close(_) => return,
            Message::Text(_) | Message::Ping(_) | Message::Pong(_) => continue,
        };
        match protocol.read(&bytes) {
            // The command's end is told by others.
            Heard::Input(bytes) => drop(write_all(master, bytes).await),
            Heard::Size { columns, rows } => resize(master, columns, rows),
            Heard::InputEnds | Heard::Other => (),
        }
    }
}

pub(super) fn resize(master: &AsyncFd<OwnedFd>, columns: u16, rows: u16) {
    let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
    // A terminal that cannot be resized is no terminal any more, and its end is told by others.
    let _ = tcsetwinsize(master.get_ref(), size);
}

/// Writes what a pipe or a terminal takes without blocking, and waits for the rest.
pub(super) async fn write_all(to: &AsyncFd<OwnedFd>, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        let written = to.async_io(Interest::WRITABLE, |fd| Ok(rustix::io::write(fd, bytes)?)).await?;
        bytes = &bytes[written..];
    }
    Ok(())
}

/// Sends what the command writes, then how it ended.
async fn give(
    mut sink: SplitSink<WebSocket, Message>,
    argv: &[String],
    master: &AsyncFd<OwnedFd>,
    mut ended: oneshot::Receiver<Result<i32, ExecFault>>,
) -> Result<(), Gone> {
    let mut piece = vec![0; PIECE];
    let mut is_open = true;
    let ended = loop {
        tokio::select! {
            read = master.async_io(Interest::READABLE, |fd| Ok(rustix::io::read(fd, &mut piece[..])?)), if is_open => {
                match read {
                    Ok(read @ 1..) => send(&mut sink, channel::output(channel::STDOUT, &piece[..read])).await?,
                    // What a terminal says when nobody has it open.
                    Ok(_) | Err(_) => is_open = false,
                }
            }
            ended = &mut ended => break ended,
        }
    };
    // What it wrote is in the terminal by now. What it left behind may hold that open for ever.
    while let Ok(read @ 1..) = rustix::io::read(master.get_ref(), &mut piece[..]) {
        send(&mut sink, channel::output(channel::STDOUT, &piece[..read])).await?;
    }
    finish(sink, argv, ended).await
}

async fn finish(
    mut sink: SplitSink<WebSocket, Message>,
    argv: &[String],
    ended: Result<Result<i32, ExecFault>, oneshot::error::RecvError>,
) -> Result<(), Gone> {
    let ended = ended.unwrap_or_else(|_| Err(ExecFault::Failed("the agent is stopping".to_owned())));
    send(&mut sink, channel::status(argv, &ended)).await?;
    sink.close().await.map_err(|_| Gone)
}
