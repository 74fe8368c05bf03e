//! `…/pods/{name}/attach`: the streams of a container's main process, from now until it ends.

use std::{os::fd::OwnedFd, sync::Arc};

use axum::{
    extract::{
        Path, Query, State,
        rejection::QueryRejection,
        ws::{Message, WebSocket},
    },
    response::Response,
};
use futures_util::{
    SinkExt, StreamExt,
    stream::{SplitSink, SplitStream},
};
use tokio::{
    io::unix::AsyncFd,
    sync::{mpsc, oneshot},
};

use super::{
    Api, ExecFault, ExecRequest, Order, Upgrade,
    channel::{self, Heard, Protocol},
    negotiate, running,
    session::{Gone, Wanted, send},
    terminal,
};
use crate::{
    api::{
        logs::chosen,
        objects::{find, options},
        pod,
        refusal::Refusal,
        resource::PODS,
    },
    pod::{AttemptId, Stdin, Streams},
    ready,
};

/// A container's streams, as `run` hands them over.
#[derive(Debug)]
pub(crate) struct Hand {
    /// Whether on stderr, and the bytes; ends with the container.
    pub(crate) output: mpsc::Receiver<(bool, Arc<[u8]>)>,
    /// Never blocks.
    pub(crate) input: Option<OwnedFd>,
}

/// `GET /api/v1/namespaces/{namespace}/pods/{name}/attach`.
pub(in crate::api) async fn attach(
    State(api): State<Arc<Api>>,
    Path((namespace, name)): Path<(String, String)>,
    query: Result<Query<Vec<(String, String)>>, QueryRejection>,
    upgrade: Upgrade,
) -> Result<Response, Refusal> {
    let order = Order::read(options(query)?).map_err(Refusal::bad_request)?;
    let wanted = order.streams().map_err(Refusal::bad_request)?;
    let object = find(&api, PODS, &namespace, &name).await?;
    let container = chosen(&object, order.container.as_deref()).map_err(Refusal::bad_request)?;
    let id = running(&api.picture.borrow(), &object, &container).map_err(Refusal::bad_request)?;
    let (stdin, streams) = nature(&api, &object, &container);
    if wanted.stdin && stdin == Stdin::Empty {
        let why = format!("container {container:?} has no standard input: its spec does not say stdin: true");
        return Err(Refusal::bad_request(why));
    }
    if order.tty && streams == Streams::Pipes {
        let why = format!("container {container:?} has no terminal: its spec does not say tty: true");
        return Err(Refusal::bad_request(why));
    }
    let (upgrade, protocol) = negotiate(upgrade)?;
    Ok(upgrade.on_upgrade(move |socket| async move {
        let (reply, hand) = oneshot::channel();
        if api.exec.requests.send(ExecRequest::Attach { id: id.clone(), reply }).await.is_err() {
            return;
        }
        let (sink, stream) = socket.split();
        let once = wanted.stdin && stdin == Stdin::OpenOnce;
        let turn = Turn { of: once.then_some(id), door: api.exec.requests.clone() };
        match hand.await {
            Ok(Ok(hand)) => serve((sink, stream), protocol, wanted, hand, turn).await,
            Ok(Err(fault)) => drop(finish(sink, Err(fault)).await),
            Err(_) => (),
        }
    }))
}

/// What the container's input is, and what its streams are.
fn nature(api: &Api, object: &serde_json::Value, container: &str) -> (Stdin, Streams) {
    let picture = api.picture.borrow();
    let spec = pod::of(object, &picture).map(|pod| &pod.spec);
    let found = spec.and_then(|spec| spec.containers.iter().find(|one| one.name == container));
    found.map(|one| (one.stdin, one.streams)).unwrap_or_default()
}

/// A client's turn at an input that only one may ever have (`stdinOnce`).
struct Turn {
    of: Option<AttemptId>,
    door: mpsc::Sender<ExecRequest>,
}

impl Turn {
    async fn over(&mut self) {
        if let Some(id) = self.of.take() {
            // If the agent stops, the input ends anyway.
            let _ = self.door.send(ExecRequest::EndInput { id }).await;
        }
    }
}

async fn serve(
    (sink, stream): (SplitSink<WebSocket, Message>, SplitStream<WebSocket>),
    protocol: Protocol,
    wanted: Wanted,
    Hand { output, input }: Hand,
    mut turn: Turn,
) {
    let input = input.filter(|_| wanted.stdin).map(ready::both_ways).transpose();
    let Ok(input) = input else { return };
    tokio::select! {
        _ = give(sink, wanted, output) => (),
        () = take(stream, protocol, input, &mut turn) => turn.over().await,
    }
}

/// Comes back when the client has gone.
async fn take(
    mut stream: SplitStream<WebSocket>,
    protocol: Protocol,
    mut input: Option<AsyncFd<OwnedFd>>,
    turn: &mut Turn,
) {
    while let Some(Ok(message)) = stream.next().await {
        let bytes = match message {
            Message::Binary(bytes) => bytes,
            Message::Close(_) => return,
            Message::Text(_) | Message::Ping(_) | Message::Pong(_) => continue,
        };
        match (protocol.read(&bytes), &input) {
            (Heard::Input(bytes), Some(input)) => drop(terminal::write_all(input, bytes).await),
            (Heard::Size { columns, rows }, Some(input)) => terminal::resize(input, columns, rows),
            (Heard::InputEnds, Some(_)) => {
                input = None;
                turn.over().await;
            }
            _ => (),
        }
    }
}

async fn give(
    mut sink: SplitSink<WebSocket, Message>,
    wanted: Wanted,
    mut output: mpsc::Receiver<(bool, Arc<[u8]>)>,
) -> Result<(), Gone> {
    send(&mut sink, channel::output(channel::STDOUT, b"")).await?;
    while let Some((is_error, bytes)) = output.recv().await {
        let (channel, is_wanted) =
            if is_error { (channel::STDERR, wanted.stderr) } else { (channel::STDOUT, wanted.stdout) };
        if is_wanted {
            send(&mut sink, channel::output(channel, &bytes)).await?;
        }
    }
    finish(sink, Ok(0)).await
}

async fn finish(mut sink: SplitSink<WebSocket, Message>, ended: Result<i32, ExecFault>) -> Result<(), Gone> {
    send(&mut sink, channel::status(&[], &ended)).await?;
    sink.close().await.map_err(|_| Gone)
}
