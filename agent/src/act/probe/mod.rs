//! Carries out one probing of a container and says what came of it, in the kubelet's words. Counts nothing, and knows
//! neither when nor how often it is asked for. `dial` makes the connections, `http` and `grpc` speak over them.

mod dial;
mod grpc;
mod http;

use std::{io, net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use tokio::net::TcpStream;

pub(super) use dial::Target;

use super::{Tools, exec};
use crate::pod::{
    AttemptId,
    probe::{Action, HttpGet, Probe},
};

/// What a probing came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Reply {
    Success,
    /// A success that somebody should look at.
    Warning {
        message: String,
    },
    Failure {
        message: String,
    },
}

/// Why there is no reply, which says nothing about the container.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("cannot make a socket in the pod's network namespace {}", namespace.display())]
    Socket {
        namespace: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("cannot make a socket")]
    OwnSocket {
        #[source]
        source: io::Error,
    },
    #[error("the request for {path:?} cannot be made")]
    Request {
        path: String,
        #[source]
        source: hyper::http::Error,
    },
    #[error("the answer's body cannot be read")]
    Body {
        #[source]
        source: hyper::Error,
    },
    #[error("the probe's command cannot be run")]
    Exec {
        #[source]
        source: exec::Error,
    },
    #[error("the time cannot be measured")]
    Clock {
        #[source]
        source: io::Error,
    },
}

impl Reply {
    fn failure(message: impl Into<String>) -> Self {
        Self::Failure { message: message.into() }
    }
}

/// Probes an attempt once.
pub(crate) async fn ask(tools: &Arc<Tools>, id: &AttemptId, probe: &Probe) -> Result<Reply, Error> {
    let target = |host| Target::of(tools, &id.uid, host);
    let limit = probe.timeout;
    match &probe.action {
        Action::Exec { command } => run(tools, id, command, limit).await,
        Action::HttpGet(get) => {
            let target = target(get.host.as_ref());
            let late = || {
                let url = http::Place::of(get).url(&target);
                let reason = "context deadline exceeded (Client.Timeout exceeded while awaiting headers)";
                Reply::failure(format!("Get {url:?}: {reason}"))
            };
            within(tools, limit, late, http_get(&target, get)).await
        }
        Action::TcpSocket { host, port } => {
            let target = target(host.as_ref());
            let late = || Reply::failure(format!("dial tcp {}: i/o timeout", target.host().with_port(*port)));
            within(tools, limit, late, tcp_socket(&target, *port)).await
        }
        Action::Grpc { port, service } => {
            let target = target(None);
            let late = || {
                let (socket, limit) = (target.host().with_port(*port), limit.as_secs());
                Reply::failure(format!(
                    "timeout: failed to connect service \"{socket}\" within {limit}s: context deadline exceeded"
                ))
            };
            within(tools, limit, late, grpc(&target, *port, service)).await
        }
        Action::Sleep { wait } => {
            (tools.around.pause)(*wait).await.map_err(|source| Error::Clock { source })?;
            Ok(Reply::Success)
        }
    }
}

/// The reply, or what it means that none came in time.
async fn within(
    tools: &Tools,
    limit: Duration,
    late: impl FnOnce() -> Reply,
    asked: impl Future<Output = Result<Reply, Error>>,
) -> Result<Reply, Error> {
    tokio::select! {
        biased;
        reply = asked => reply,
        waited = (tools.around.pause)(limit) => {
            waited.map_err(|source| Error::Clock { source })?;
            Ok(late())
        }
    }
}

async fn run(
    tools: &Arc<Tools>,
    id: &AttemptId,
    command: &[String],
    limit: Duration,
) -> Result<Reply, Error> {
    match exec::run(tools, id, command, Some(limit)).await {
        Ok(exec::Finished { code: 0, .. }) => Ok(Reply::Success),
        // The kubelet shows what the command said.
        Ok(exec::Finished { code, output }) => {
            let said = String::from_utf8_lossy(&output).trim_end().to_owned();
            Ok(Reply::failure(if said.is_empty() { format!("exit code {code}") } else { said }))
        }
        Err(exec::Error::TimedOut { .. }) => {
            let line = command.join(" ");
            Ok(Reply::failure(format!("command timed out: {line:?} timed out after {}s", limit.as_secs())))
        }
        // The shell's 126 and 127: the container is asked for something it has not.
        Err(exec::Error::Unable { message, .. }) => Ok(Reply::failure(message)),
        Err(source) => Err(Error::Exec { source }),
    }
}

async fn tcp_socket(target: &Target, port: u16) -> Result<Reply, Error> {
    Ok(connect(target, port).await?.map_or_else(Reply::failure, |_| Reply::Success))
}

async fn http_get(target: &Target, get: &HttpGet) -> Result<Reply, Error> {
    http::get(target, get, http::PROBE).await
}

async fn grpc(target: &Target, port: u16, service: &str) -> Result<Reply, Error> {
    let stream = match connect(target, port).await? {
        Ok(stream) => stream,
        Err(message) => return Ok(Reply::failure(format!("error: {message}"))),
    };
    Ok(match grpc::check(stream, &target.host().with_port(port), service).await {
        Ok(grpc::SERVING) => Reply::Success,
        Ok(status) => {
            Reply::failure(format!("service unhealthy (responded with \"{}\")", grpc::name(status)))
        }
        Err(e) => Reply::failure(format!("error: health rpc failed: {}", super::chain(&e))),
    })
}

/// A connection, or in words why the other side gives none.
async fn connect(target: &Target, port: u16) -> Result<Result<TcpStream, String>, Error> {
    let addresses = match target.addresses().await {
        Ok(addresses) => addresses,
        Err(message) => return Ok(Err(message)),
    };
    let mut first = None;
    for address in addresses {
        let socket = target.open(address).await?;
        let address = SocketAddr::new(address, port);
        match socket.connect(address).await {
            Ok(stream) => return Ok(Ok(stream)),
            // As Go does: of several addresses the first one's fault is told.
            Err(e) => {
                first.get_or_insert_with(|| format!("dial tcp {address}: connect: {}", dial::words(&e)));
            }
        }
    }
    Ok(Err(first.unwrap_or_default()))
}

/// For a hook: any answer to the request will do.
pub(super) async fn call(target: &Target, get: &HttpGet) -> Result<Result<(), String>, Error> {
    http::call(target, get).await
}
