//! `…/pods/{name}/portforward`: ports of a pod over one WebSocket (`v4.channel.k8s.io`). Each port has two channels, one for
//! its bytes, one for what goes wrong; each begins with the port's number, little-endian.

use std::{convert::Infallible, sync::Arc};

use axum::{
    body::Bytes,
    extract::{
        Path, Query, State,
        rejection::QueryRejection,
        ws::{Message, WebSocket},
    },
    response::Response,
};
use futures_util::{SinkExt, StreamExt, stream::SplitStream};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::{mpsc, oneshot},
    task::JoinSet,
};

use super::{Api, ExecFault, ExecRequest, Upgrade, limited, session::close};
use crate::{
    api::{
        objects::{find, options},
        pod,
        refusal::Refusal,
        resource::PODS,
    },
    pod::{PodUid, status::Phase},
};

const PROTOCOL: &str = "v4.channel.k8s.io";
/// A channel is one byte, and each port has two.
const MOST_PORTS: usize = 128;
/// How much goes into one message.
const PIECE: usize = 32 << 10;
/// Messages that may wait for the client, of all ports.
const MESSAGES: usize = 8;

/// `GET /api/v1/namespaces/{namespace}/pods/{name}/portforward?ports=80`.
pub(in crate::api) async fn forward(
    State(api): State<Arc<Api>>,
    Path((namespace, name)): Path<(String, String)>,
    query: Result<Query<Vec<(String, String)>>, QueryRejection>,
    upgrade: Upgrade,
) -> Result<Response, Refusal> {
    let ports = ports(&options(query)?).map_err(Refusal::bad_request)?;
    let object = find(&api, PODS, &namespace, &name).await?;
    let pod = match pod::of(&object, &api.picture.borrow()) {
        Some(pod) if pod.status.phase == Phase::Running => pod.spec.uid.clone(),
        found => {
            let phase = found.map_or(Phase::Pending, |pod| pod.status.phase).name();
            let why = format!("unable to forward port because pod is not running. Current status={phase}");
            return Err(Refusal::bad_request(why));
        }
    };
    let upgrade = upgrade.map_err(|e| {
        Refusal::bad_request(format!("a WebSocket is needed, and SPDY is not supported yet: {e}"))
    })?;
    let upgrade = limited(upgrade).protocols([PROTOCOL]);
    if upgrade.selected_protocol().is_none() {
        let why = format!(
            "no known WebSocket subprotocol is offered: known is {PROTOCOL}; SPDY is not supported yet"
        );
        return Err(Refusal::bad_request(why));
    }
    Ok(upgrade.on_upgrade(move |socket| serve(api, socket, pod, ports)))
}

fn ports(query: &[(String, String)]) -> Result<Vec<u16>, String> {
    let words = query.iter().filter(|(key, _)| key == "ports").flat_map(|(_, value)| value.split(','));
    let port = |word: &str| match word.parse() {
        Ok(port @ 1..) => Ok(port),
        _ => Err(format!("ports: {word:?} is no port: 1 to 65535 is needed")),
    };
    let ports: Vec<u16> = words.map(port).collect::<Result<_, _>>()?;
    match ports.len() {
        0 => Err("query parameter \"ports\" is required".to_owned()),
        1..=MOST_PORTS => Ok(ports),
        many => Err(format!("ports: {many} are too many: {MOST_PORTS} at most")),
    }
}

/// Until the client goes, or until no port has anything to say any more.
async fn serve(api: Arc<Api>, socket: WebSocket, pod: PodUid, ports: Vec<u16>) {
    let (mut sink, stream) = socket.split();
    let (sender, mut messages) = mpsc::channel::<Vec<u8>>(MESSAGES);
    // Dropped with all that run in it.
    let mut ways = JoinSet::new();
    let mut inputs = Vec::new();
    for (index, port) in (0_u8..).zip(ports) {
        let (input, pieces) = mpsc::channel(MESSAGES);
        let way = Way { data: 2 * index, port, sender: sender.clone() };
        ways.spawn(way.carry(Arc::clone(&api), pod.clone(), pieces));
        inputs.push(input);
    }
    drop(sender);
    let give = async {
        while let Some(message) = messages.recv().await {
            if sink.send(Message::Binary(Bytes::from(message))).await.is_err() {
                return;
            }
        }
        // Nobody listens any more: then it is over anyway.
        let _ = close(sink).await;
    };
    tokio::select! {
        () = give => (),
        () = take(stream, inputs) => (),
    }
}

async fn dial(api: &Api, pod: &PodUid, port: u16) -> Result<TcpStream, String> {
    let (reply, answer) = oneshot::channel();
    let stopping = |()| "the agent is stopping".to_owned();
    let request = ExecRequest::Dial { pod: pod.clone(), port, reply };
    api.exec.requests.send(request).await.map_err(|_| stopping(()))?;
    match answer.await.map_err(|_| stopping(()))? {
        Ok(stream) => Ok(stream),
        Err(
            ExecFault::Unable { message, .. } | ExecFault::TimedOut(message) | ExecFault::Failed(message),
        ) => Err(message),
    }
}

/// One port's way to the client.
struct Way {
    /// The channel of its bytes; the next one is for errors.
    data: u8,
    port: u16,
    sender: mpsc::Sender<Vec<u8>>,
}

impl Way {
    /// Until the pod has closed the connection, whatever the client still has to say.
    async fn carry(self, api: Arc<Api>, pod: PodUid, input: mpsc::Receiver<Bytes>) {
        let number = self.port.to_le_bytes();
        if !(self.say(self.data, &number).await && self.say(self.data + 1, &number).await) {
            return;
        }
        match dial(&api, &pod, self.port).await {
            Ok(connection) => {
                let (from, to) = connection.into_split();
                tokio::select! {
                    () = self.pass(from) => (),
                    never = feed(to, input) => match never {},
                }
            }
            Err(fault) => {
                let said = format!("error forwarding port {}: {fault}", self.port);
                self.say(self.data + 1, said.as_bytes()).await;
            }
        }
    }

    async fn say(&self, channel: u8, bytes: &[u8]) -> bool {
        self.sender.send([&[channel], bytes].concat()).await.is_ok()
    }

    /// Sends what comes from the pod, to its end.
    async fn pass(&self, mut from: OwnedReadHalf) {
        let mut piece = vec![0; PIECE];
        while let Ok(read @ 1..) = from.read(&mut piece).await {
            if !self.say(self.data, &piece[..read]).await {
                return;
            }
        }
    }
}

/// Passes on what the client sends on one channel. What the pod has to say is not over with that.
async fn feed(mut to: OwnedWriteHalf, mut input: mpsc::Receiver<Bytes>) -> Infallible {
    while let Some(bytes) = input.recv().await {
        if to.write_all(&bytes).await.is_err() {
            break;
        }
    }
    std::future::pending().await
}

/// Hands out what the client sends; comes back when it has gone. An empty message means nothing.
async fn take(mut stream: SplitStream<WebSocket>, inputs: Vec<mpsc::Sender<Bytes>>) {
    while let Some(Ok(message)) = stream.next().await {
        let bytes = match message {
            Message::Binary(bytes) if !bytes.is_empty() => bytes,
            Message::Close(_) => return,
            _ => continue,
        };
        let channel = usize::from(bytes[0]);
        if let Some(input) = inputs.get(channel / 2).filter(|_| channel % 2 == 0) {
            // A port that is closed hears no more.
            let _ = input.send(bytes.slice(1..)).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_named_one_by_one_or_in_a_list() {
        type Row<'a> = (&'a [&'a str], Result<&'a [u16], &'a str>);
        let rows: [Row<'_>; 6] = [
            (&["80"], Ok(&[80])),
            (&["80", "443"], Ok(&[80, 443])),
            (&["80,443"], Ok(&[80, 443])),
            (&[], Err("required")),
            (&["0"], Err("\"0\" is no port")),
            (&["70000"], Err("\"70000\" is no port")),
        ];
        for (words, expected) in rows {
            let query: Vec<_> = words.iter().map(|word| ("ports".to_owned(), (*word).to_owned())).collect();
            match (ports(&query), expected) {
                (Ok(found), Ok(expected)) => assert_eq!(found, expected, "{words:?}"),
                (Err(found), Err(part)) => assert!(found.contains(part), "{words:?}: {found}"),
                (found, _) => panic!("{words:?}: {found:?}"),
            }
        }
    }
}
