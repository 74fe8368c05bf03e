//! `…/pods/{name}/exec`, `attach` and `portforward`: a command in a container that runs, its own streams, its ports, over a
//! WebSocket. `run` stands behind the door and opens them; here is only who asks for what, and the way of the bytes.

mod attach;
mod channel;
mod collect;
mod forward;
mod session;
mod terminal;

use std::{io, sync::Arc, time::Duration};

use axum::{
    extract::{
        Path, Query, State,
        rejection::QueryRejection,
        ws::{WebSocketUpgrade, rejection::WebSocketUpgradeRejection},
    },
    response::Response,
};
use serde_json::Value;
use tokio::{
    net::{TcpStream, UnixStream},
    sync::{mpsc, oneshot},
};

pub(crate) use self::{attach::Hand, session::Ends};
pub(super) use self::{attach::attach, collect::collect, forward::forward};
use self::{
    channel::Protocol,
    session::{Pipes, Wanted},
};
use super::{
    Api,
    logs::chosen,
    objects::{find, options},
    pod,
    refusal::Refusal,
    resource::PODS,
};
use crate::{
    picture::Picture,
    pod::{
        AttemptId, PodUid,
        status::{ContainerState, Phase},
    },
};

/// Bytes of a client's message: kubectl's have 32 KiB at most.
const MESSAGE_LIMIT: usize = 1 << 20;

/// Where requests to run a command go.
#[derive(Clone, Debug)]
pub(crate) struct ExecDoor {
    pub(crate) requests: mpsc::Sender<ExecRequest>,
}

/// A command, and where its exit code goes: 128 + signal if a signal ended it. If nobody waits for that any more, the
/// command is to be killed.
#[derive(Debug)]
pub(crate) enum ExecRequest {
    /// With streams of the caller's.
    Stream { id: AttemptId, argv: Vec<String>, ends: Ends, reply: oneshot::Sender<Result<i32, ExecFault>> },
    /// Its output in one piece, stdout and stderr as they came.
    Collect {
        id: AttemptId,
        argv: Vec<String>,
        limit: Option<Duration>,
        reply: oneshot::Sender<Result<(i32, Vec<u8>), ExecFault>>,
    },
    /// The streams of a container's main process.
    Attach { id: AttemptId, reply: oneshot::Sender<Result<Hand, ExecFault>> },
    /// No more input for a container, ever (`stdinOnce`).
    EndInput { id: AttemptId },
    /// A connection to a port on the pod's loopback.
    Dial { pod: PodUid, port: u16, reply: oneshot::Sender<Result<TcpStream, ExecFault>> },
}

/// Why a command did not run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ExecFault {
    /// There is no such program in the container (127), or it cannot be executed (126).
    Unable {
        code: i32,
        message: String,
    },
    TimedOut(String),
    Failed(String),
}

/// A request to go on as a WebSocket, or why it is none.
pub(super) type Upgrade = Result<WebSocketUpgrade, WebSocketUpgradeRejection>;

/// `GET /api/v1/namespaces/{namespace}/pods/{name}/exec`.
pub(super) async fn exec(
    State(api): State<Arc<Api>>,
    Path((namespace, name)): Path<(String, String)>,
    query: Result<Query<Vec<(String, String)>>, QueryRejection>,
    upgrade: Upgrade,
) -> Result<Response, Refusal> {
    let order = Order::read(options(query)?).map_err(Refusal::bad_request)?;
    if order.argv.is_empty() {
        return Err(Refusal::bad_request("you must specify at least one command for the container"));
    }
    let object = find(&api, PODS, &namespace, &name).await?;
    let container = chosen(&object, order.container.as_deref()).map_err(Refusal::bad_request)?;
    let id = running(&api.picture.borrow(), &object, &container).map_err(Refusal::bad_request)?;
    let wanted = order.streams().map_err(Refusal::bad_request)?;
    let (upgrade, protocol) = negotiate(upgrade)?;
    let Order { argv, tty, .. } = order;
    let unable = |e: io::Error| Refusal::failed(format!("cannot make the command's streams: {e}"));
    let (ours, ends) = Ours::make(wanted, tty).map_err(unable)?;
    let (reply, ended) = oneshot::channel();
    let request = ExecRequest::Stream { id, argv: argv.clone(), ends, reply };
    Ok(upgrade.on_upgrade(move |socket| async move {
        // Only now: a command whose client does not come must not run.
        if api.exec.requests.send(request).await.is_err() {
            return;
        }
        match ours {
            Ours::Pipes(pipes) => session::serve(socket, protocol, argv, pipes, ended).await,
            Ours::Terminal(console) => terminal::serve(socket, protocol, argv, console, ended).await,
        }
    }))
}

/// Our side of a command's streams.
enum Ours {
    Pipes(Pipes),
    /// Where the master will come from.
    Terminal(UnixStream),
}

impl Ours {
    fn make(wanted: Wanted, tty: bool) -> io::Result<(Self, Ends)> {
        if tty {
            let (ours, console) = terminal::pair()?;
            return Ok((Self::Terminal(ours), Ends::Terminal { console }));
        }
        let (pipes, ends) = Pipes::make(wanted)?;
        Ok((Self::Pipes(pipes), ends))
    }
}

fn negotiate(upgrade: Upgrade) -> Result<(WebSocketUpgrade, Protocol), Refusal> {
    let names = Protocol::ALL.map(Protocol::name);
    let upgrade = upgrade.map_err(|e| Refusal::bad_request(format!("a WebSocket is needed: {e}")))?;
    let upgrade = limited(upgrade).protocols(names);
    let chosen = upgrade.selected_protocol().and_then(|name| name.to_str().ok()).and_then(Protocol::named);
    let protocol = chosen.ok_or_else(|| {
        Refusal::bad_request(format!(
            "no known WebSocket subprotocol is offered: known are {}",
            names.join(", ")
        ))
    })?;
    Ok((upgrade, protocol))
}

/// A client that sends more in one message is cut off before the agent holds it.
fn limited(upgrade: WebSocketUpgrade) -> WebSocketUpgrade {
    upgrade.max_message_size(MESSAGE_LIMIT).max_frame_size(MESSAGE_LIMIT)
}

/// What the query asks for.
#[derive(Debug, PartialEq)]
struct Order {
    container: Option<String>,
    argv: Vec<String>,
    wanted: Wanted,
    tty: bool,
}

impl Order {
    fn read(query: Vec<(String, String)>) -> Result<Self, String> {
        let (wanted, tty) = (Wanted::default(), false);
        let mut order = Self { container: None, argv: Vec::new(), wanted, tty };
        for (key, value) in query {
            match key.as_str() {
                "container" if value.is_empty() => (),
                "container" => order.container = Some(value),
                "command" => order.argv.push(value),
                "stdin" => order.wanted.stdin = flag(&key, &value)?,
                "stdout" => order.wanted.stdout = flag(&key, &value)?,
                "stderr" => order.wanted.stderr = flag(&key, &value)?,
                "tty" => order.tty = flag(&key, &value)?,
                _ => (),
            }
        }
        Ok(order)
    }

    /// Which streams: at least one, and a terminal knows no errors.
    fn streams(&self) -> Result<Wanted, String> {
        if self.wanted == Wanted::default() {
            return Err("you must specify at least one of stdin, stdout, stderr".to_owned());
        }
        if self.tty && self.wanted.stderr {
            return Err("tty and stderr cannot both be true".to_owned());
        }
        Ok(self.wanted)
    }
}

/// As Kubernetes reads a flag of a query.
fn flag(key: &str, value: &str) -> Result<bool, String> {
    match value {
        "true" | "1" | "" => Ok(true),
        "false" | "0" => Ok(false),
        other => Err(format!("{key}: {other:?} is neither true nor false")),
    }
}

/// The attempt that runs in a container.
fn running(picture: &Picture, object: &Value, container: &str) -> Result<AttemptId, String> {
    let Some(pod) = pod::of(object, picture) else {
        return Err(format!("container not found ({container:?}): the pod has not started yet"));
    };
    let phase = pod.status.phase;
    if matches!(phase, Phase::Succeeded | Phase::Failed) {
        let phase = phase.name();
        return Err(format!("cannot exec into a container in a completed pod; current phase is {phase}"));
    }
    match pod.status.containers.iter().find(|status| status.name == container).map(|status| &status.state) {
        Some(ContainerState::Running(live)) => Ok(live.id.clone()),
        Some(ContainerState::Waiting { reason, .. }) => {
            Err(format!("container not found ({container:?}): it is waiting to start: {reason}"))
        }
        Some(ContainerState::Terminated(_)) => {
            Err(format!("container not found ({container:?}): it has ended"))
        }
        None => Err(format!("container not found ({container:?})")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_query_says_what_is_to_be_run() {
        let pairs = |text: &str| -> Vec<(String, String)> {
            let pairs = text.split('&').filter_map(|pair| pair.split_once('='));
            pairs.map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
        };
        let rows: [(&str, Result<&[&str], &str>); 7] = [
            ("command=ls&command=-l&stdout=true", Ok(&["ls", "-l"])),
            ("command=ls&stderr=1&container=", Ok(&["ls"])),
            ("stdout=true", Ok(&[])),
            ("command=ls", Err("at least one of stdin, stdout, stderr")),
            ("command=ls&stdout=true&tty=true", Ok(&["ls"])),
            ("command=ls&stdout=true&stderr=true&tty=true", Err("tty and stderr cannot both")),
            ("command=ls&stdout=maybe", Err("stdout: \"maybe\"")),
        ];
        for (query, expected) in rows {
            let read = Order::read(pairs(query)).and_then(|order| order.streams().map(|_| order));
            match (read, expected) {
                (Ok(order), Ok(argv)) => assert_eq!(order.argv, argv, "{query}"),
                (Err(fault), Err(part)) => assert!(fault.contains(part), "{query}: {fault}"),
                (found, _) => panic!("{query}: {found:?}"),
            }
        }
    }
}
