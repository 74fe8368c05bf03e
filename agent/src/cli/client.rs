//! HTTP over the agent's unix socket: one connection a request. Knows paths and refusals, not what they mean.

use std::{
    io::{self, Read},
    path::PathBuf,
    pin::Pin,
    task::{Context, Poll},
};

use http_body_util::{BodyExt, Either, Full};
use hyper::{
    Method, Request, Response, StatusCode,
    body::{Body, Bytes, Frame, Incoming},
    client::conn::http1,
    header::{
        CONNECTION, CONTENT_TYPE, HOST, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION,
        UPGRADE,
    },
    upgrade::Upgraded,
};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use serde_json::Value;
use tokio::net::UnixStream;
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{handshake::client::generate_key, protocol::Role},
};

/// A connection that has become a WebSocket.
pub(super) type Socket = WebSocketStream<TokioIo<Upgraded>>;

use crate::{manifest, pod::workload::WorkloadKind};

/// How much of a file goes into one piece of a request.
const PIECE: usize = 64 << 10;

/// Why there is no answer, or not the one that was hoped for.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error("the agent does not answer on {} (is carob.service running?)", socket.display())]
    Connect {
        socket: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("the connection to the agent on {} broke", socket.display())]
    Broken {
        socket: PathBuf,
        #[source]
        source: hyper::Error,
    },
    #[error("cannot make a request for {path}")]
    Request {
        path: String,
        #[source]
        source: hyper::http::Error,
    },
    #[error("the agent's answer to a request for {path} is not JSON")]
    Answer {
        path: String,
        #[source]
        source: serde_json::Error,
    },
    #[error("{message}")]
    Refused { code: u16, message: String },
}

impl Error {
    /// Whether the agent said that there is no such thing.
    pub(super) fn is_not_found(&self) -> bool {
        matches!(self, Self::Refused { code: 404, .. })
    }
}

/// The way to the agent.
#[derive(Clone, Debug)]
pub(super) struct Client {
    socket: PathBuf,
}

/// What a request carries.
pub(super) enum Payload {
    Nothing,
    Json(Value),
    /// A WebSocket is wanted.
    Upgrade {
        protocol: &'static str,
    },
    /// Read and sent piece by piece.
    Stream(Box<dyn Read + Send>),
}

/// The part of a `Status` that a user reads.
#[derive(Deserialize)]
struct Status {
    message: String,
}

impl Client {
    pub(super) fn new(socket: PathBuf) -> Self {
        Self { socket }
    }

    /// GET, as JSON.
    pub(super) async fn fetch(&self, path: &str) -> Result<Value, Error> {
        self.call(Method::GET, path, Payload::Nothing).await
    }

    /// Any request that is answered in JSON.
    pub(super) async fn call(&self, method: Method, path: &str, payload: Payload) -> Result<Value, Error> {
        let response = self.send(method, path, payload).await?;
        let body = self.collect(response.into_body()).await?;
        serde_json::from_slice(&body).map_err(|source| Error::Answer { path: path.to_owned(), source })
    }

    /// Any request; the answer's body is still to be read. A refusal is an error.
    pub(super) async fn send(
        &self,
        method: Method,
        path: &str,
        payload: Payload,
    ) -> Result<Response<Incoming>, Error> {
        let broken = |source| self.broken(source);
        let stream = UnixStream::connect(&self.socket).await;
        let stream = stream.map_err(|source| Error::Connect { socket: self.socket.clone(), source })?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
        // Its errors reach the request's own future.
        tokio::spawn(connection.with_upgrades());
        let response = sender.send_request(request(method, path, payload)?).await.map_err(broken)?;
        let wanted = response.status().is_success() || response.status() == StatusCode::SWITCHING_PROTOCOLS;
        if wanted {
            return Ok(response);
        }
        let code = response.status().as_u16();
        let body = self.collect(response.into_body()).await?;
        let message = match serde_json::from_slice(&body) {
            Ok(Status { message }) => message,
            Err(_) => format!("the agent answered a request for {path} with code {code}"),
        };
        Err(Error::Refused { code, message })
    }

    /// GET, and from then on a WebSocket with that subprotocol.
    pub(super) async fn upgrade(&self, path: &str, protocol: &'static str) -> Result<Socket, Error> {
        let response = self.send(Method::GET, path, Payload::Upgrade { protocol }).await?;
        let stream = hyper::upgrade::on(response).await.map_err(|source| self.broken(source))?;
        Ok(WebSocketStream::from_raw_socket(TokioIo::new(stream), Role::Client, None).await)
    }

    /// The next piece of a body; `None` at its end.
    pub(super) async fn piece(&self, body: &mut Incoming) -> Result<Option<Bytes>, Error> {
        while let Some(frame) = body.frame().await {
            if let Ok(data) = frame.map_err(|source| self.broken(source))?.into_data() {
                return Ok(Some(data));
            }
        }
        Ok(None)
    }

    async fn collect(&self, body: Incoming) -> Result<Bytes, Error> {
        Ok(body.collect().await.map_err(|source| self.broken(source))?.to_bytes())
    }

    fn broken(&self, source: hyper::Error) -> Error {
        Error::Broken { socket: self.socket.clone(), source }
    }
}

type Sent = Either<Full<Bytes>, Upload>;

fn request(method: Method, path: &str, payload: Payload) -> Result<Request<Sent>, Error> {
    let request = Request::builder().method(method).uri(path).header(HOST, "carob");
    let request = match payload {
        Payload::Nothing => request.body(Either::Left(Full::default())),
        Payload::Upgrade { protocol } => request
            .header(CONNECTION, "Upgrade")
            .header(UPGRADE, "websocket")
            .header(SEC_WEBSOCKET_VERSION, "13")
            .header(SEC_WEBSOCKET_KEY, generate_key())
            .header(SEC_WEBSOCKET_PROTOCOL, protocol)
            .body(Either::Left(Full::default())),
        Payload::Json(value) => {
            let body = Full::from(value.to_string());
            request.header(CONTENT_TYPE, "application/json").body(Either::Left(body))
        }
        Payload::Stream(source) => {
            request.header(CONTENT_TYPE, "application/octet-stream").body(Either::Right(Upload { source }))
        }
    };
    request.map_err(|source| Error::Request { path: path.to_owned(), source })
}

/// A request body that is read while it is sent. Reading blocks: this process has nothing else to do.
struct Upload {
    source: Box<dyn Read + Send>,
}

impl Body for Upload {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let mut piece = vec![0; PIECE];
        Poll::Ready(match self.source.read(&mut piece) {
            Ok(0) => None,
            Ok(length) => {
                piece.truncate(length);
                Some(Ok(Frame::data(piece.into())))
            }
            Err(error) => Some(Err(error)),
        })
    }
}

/// The API's words for a kind of object, and the user's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Pod,
    Claim,
    ConfigMap,
    Secret,
    Namespace,
    Workload(WorkloadKind),
}

impl From<manifest::Kind> for Kind {
    fn from(kind: manifest::Kind) -> Self {
        match kind {
            manifest::Kind::Pod => Self::Pod,
            manifest::Kind::PersistentVolumeClaim => Self::Claim,
            manifest::Kind::ConfigMap => Self::ConfigMap,
            manifest::Kind::Secret => Self::Secret,
            manifest::Kind::Namespace => Self::Namespace,
            manifest::Kind::Workload(kind) => Self::Workload(kind),
        }
    }
}

impl Kind {
    /// In paths.
    fn plural(self) -> &'static str {
        match self {
            Self::Pod => "pods",
            Self::Claim => "persistentvolumeclaims",
            Self::ConfigMap => "configmaps",
            Self::Secret => "secrets",
            Self::Namespace => "namespaces",
            Self::Workload(kind) => kind.plural(),
        }
    }

    /// As `kind:` spells it.
    pub(super) fn kind(self) -> &'static str {
        match self {
            Self::Pod => "Pod",
            Self::Claim => "PersistentVolumeClaim",
            Self::ConfigMap => "ConfigMap",
            Self::Secret => "Secret",
            Self::Namespace => "Namespace",
            Self::Workload(kind) => kind.name(),
        }
    }

    /// In messages and names: `pod/web`.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Pod => "pod",
            Self::Claim => "persistentvolumeclaim",
            Self::ConfigMap => "configmap",
            Self::Secret => "secret",
            Self::Namespace => "namespace",
            Self::Workload(kind) => kind.singular(),
        }
    }

    /// As the command line takes it.
    pub(super) fn argument(self) -> &'static str {
        match self {
            Self::Pod => "pod",
            Self::Claim => "pvc",
            Self::ConfigMap => "configmap",
            Self::Secret => "secret",
            Self::Namespace => "namespace",
            Self::Workload(kind) => kind.singular(),
        }
    }

    /// The path of its group.
    fn root(self) -> String {
        match self {
            Self::Workload(kind) if kind.api_version() != "v1" => format!("/apis/{}", kind.api_version()),
            _ => "/api/v1".to_owned(),
        }
    }

    pub(super) fn is_namespaced(self) -> bool {
        self != Self::Namespace
    }

    /// All objects of the kind, of one namespace or of all.
    pub(super) fn list(self, namespace: Option<&str>) -> String {
        match namespace.filter(|_| self.is_namespaced()) {
            Some(namespace) => {
                format!("{}/namespaces/{}/{}", self.root(), encoded(namespace), self.plural())
            }
            None => format!("{}/{}", self.root(), self.plural()),
        }
    }

    /// One object.
    pub(super) fn one(self, namespace: &str, name: &str) -> String {
        format!("{}/{}", self.list(Some(namespace)), encoded(name))
    }

    /// What answers when the object with that uid is no more.
    pub(super) fn gone(self, namespace: &str, name: &str, uid: &str) -> String {
        let within = if self.is_namespaced() { format!("/{}", encoded(namespace)) } else { String::new() };
        let (name, plural, uid) = (encoded(name), self.plural(), query(&[("uid", Some(uid.to_owned()))]));
        format!("/carob/v1/gone/{plural}{within}/{name}{uid}")
    }
}

/// `?a=1&b=2` of those that have a value.
pub(super) fn query(pairs: &[(&str, Option<String>)]) -> String {
    let present = pairs.iter().filter_map(|(key, value)| Some(format!("{key}={}", encoded(value.as_ref()?))));
    let pairs: Vec<String> = present.collect();
    if pairs.is_empty() { String::new() } else { format!("?{}", pairs.join("&")) }
}

/// Percent-encoded, so that it is one part of a path or one value of a query.
pub(super) fn encoded(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    let one = |byte: u8| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") };
    text.bytes().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_cannot_be_broken_out_of() {
        let rows = [
            (Kind::Pod.list(None), "/api/v1/pods"),
            (Kind::Claim.list(Some("shop")), "/api/v1/namespaces/shop/persistentvolumeclaims"),
            (Kind::Pod.one("default", "../x y"), "/api/v1/namespaces/default/pods/..%2Fx%20y"),
            (Kind::Workload(WorkloadKind::Job).one("n", "j"), "/apis/batch/v1/namespaces/n/jobs/j"),
            (Kind::Pod.gone("n", "p", "u-1"), "/carob/v1/gone/pods/n/p?uid=u-1"),
            (query(&[("a", None), ("b", None)]), ""),
            (
                query(&[("name", Some("x/y:1@sha256".to_owned())), ("n", Some("2".to_owned()))]),
                "?name=x%2Fy%3A1%40sha256&n=2",
            ),
        ];
        for (path, expected) in rows {
            assert_eq!(path, expected);
        }
    }
}
