//! What others may take hold of while a container runs: its output and its input, and the ports on its pod's loopback.
//! Moves no bytes itself.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    os::fd::OwnedFd,
};

use tokio::{net::TcpStream, sync::mpsc};

use super::{Tools, input, lock, log, probe::Target};
use crate::pod::{AttemptId, PodUid};

/// A hand on a container's main process.
#[derive(Debug)]
pub(crate) struct Hand {
    /// From now on, to the container's end.
    pub(crate) output: mpsc::Receiver<log::Piece>,
    /// A pipe, or a terminal's master. Both never block.
    pub(crate) input: Option<OwnedFd>,
}

/// Why there is nothing to take hold of.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("the container does not run")]
    NotRunning,
    #[error("cannot share the container's input")]
    Input {
        #[source]
        source: io::Error,
    },
    #[error("cannot make a socket in the pod's network")]
    Socket {
        #[source]
        source: super::probe::Error,
    },
    #[error("failed to connect to localhost:{port} inside the pod's network namespace")]
    Connect {
        port: u16,
        #[source]
        source: io::Error,
    },
}

/// Takes hold of a container's streams.
pub(crate) fn attach(tools: &Tools, id: &AttemptId) -> Result<Hand, Error> {
    let output = lock(&tools.pumps).get(id).map(log::Pump::listen).ok_or(Error::NotRunning)?;
    let terminal = lock(&tools.terminals).get(id).map(super::terminal::Terminal::input);
    let pipe = || lock(&tools.inputs).get(id).map(OwnedFd::try_clone);
    let input = terminal.or_else(pipe).transpose().map_err(|source| Error::Input { source })?;
    Ok(Hand { output, input })
}

/// Ends the input of a container that reads from a pipe, for good (`stdinOnce`).
pub(crate) fn end_input(tools: &Tools, id: &AttemptId) {
    if lock(&tools.inputs).remove(id).is_none() {
        return;
    }
    let dir = tools.places.attempt(id);
    // systemd has a copy, under the same name as the others, which it has to keep.
    let ended = log::reopen(&dir).map(|pipes| {
        tools.around.keeper.release(&id.to_string());
        tools.around.keeper.keep(id, &pipes, None);
    });
    if let Err(error) = ended.and_then(|()| input::end(&dir)) {
        tracing::warn!(%error, attempt = %id, "the container's input may not end");
    }
}

/// Connects to a port of the pod as a process in it would, on either loopback.
pub(crate) async fn dial(tools: &Tools, pod: &PodUid, port: u16) -> Result<TcpStream, Error> {
    let target = Target::inside(tools, pod);
    let to = async |address: IpAddr| {
        let socket = target.open(address).await.map_err(|source| Error::Socket { source })?;
        let connected = socket.connect(SocketAddr::new(address, port)).await;
        connected.map_err(|source| Error::Connect { port, source })
    };
    match to(Ipv4Addr::LOCALHOST.into()).await {
        Ok(stream) => Ok(stream),
        // The first answer tells more, if the second is no better.
        Err(fault) => to(Ipv6Addr::LOCALHOST.into()).await.map_err(|_| fault),
    }
}
