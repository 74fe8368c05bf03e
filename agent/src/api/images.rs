//! The image store's door: requests in, answers out. `run` stands behind it and does the work.

use std::{
    io::{self, Read, Write},
    sync::Arc,
    task::{Context, Poll},
};

use axum::{
    Json,
    body::{Body, Bytes},
    extract::{Query, State, rejection::QueryRejection},
};
use futures_util::stream;
use http_body_util::BodyExt;
use hyper::body::Frame;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::sync::{mpsc, oneshot};

use super::{
    Api,
    objects::{Answer, options},
    pull::PullWord,
    refusal::Refusal,
};

/// Pieces of an archive that may wait for the reader.
const PIECES: usize = 16;
/// Bytes of one that is sent.
const PIECE: usize = 64 << 10;

/// Where requests about images go.
#[derive(Clone, Debug)]
pub(crate) struct ImageDoor {
    pub(crate) requests: mpsc::Sender<ImageRequest>,
}

/// What is wanted, and where the answer goes.
#[derive(Debug)]
pub(crate) enum ImageRequest {
    Load {
        archive: Archive,
        reply: oneshot::Sender<Result<Vec<ImageRow>, ImageFault>>,
    },
    /// Whoever holds the other end of `words` waits for the image.
    Pull {
        name: String,
        words: mpsc::Sender<PullWord>,
    },
    List {
        reply: oneshot::Sender<Result<Vec<ImageRow>, ImageFault>>,
    },
    Remove {
        name: String,
        reply: oneshot::Sender<Result<(), ImageFault>>,
    },
    /// Images that went, with the bytes that went with them.
    Prune {
        scope: PruneScope,
        reply: oneshot::Sender<Result<Vec<ImageRow>, ImageFault>>,
    },
    Room {
        reply: oneshot::Sender<Result<RoomRow, ImageFault>>,
    },
    /// One image, or all.
    Verify {
        name: Option<String>,
        reply: oneshot::Sender<Result<Vec<VerifiedRow>, ImageFault>>,
    },
    Export {
        names: Vec<String>,
        reply: oneshot::Sender<Result<Outgoing, ImageFault>>,
    },
}

/// One image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ImageRow {
    pub(crate) names: Vec<String>,
    /// `sha256:…` of its config.
    pub(crate) id: String,
    /// Bytes on disk, layers included.
    pub(crate) size: u64,
    /// RFC 3339, as the image's builder wrote it.
    pub(crate) created: Option<String>,
    /// When a container was last made of it, or it came.
    pub(crate) used: Option<String>,
}

/// Which of the images that nothing needs are to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PruneScope {
    /// Those without a name.
    Nameless,
    All,
}

/// A number of things, and the bytes of their files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Amount {
    pub(crate) count: u64,
    pub(crate) bytes: u64,
}

/// What images take of the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct RoomRow {
    pub(crate) images: Amount,
    /// What `prune` would take.
    pub(crate) reclaimable: Amount,
    pub(crate) layers: Amount,
    /// Layers that several images have.
    pub(crate) shared: Amount,
    /// Half-done work.
    pub(crate) leftovers: Amount,
}

/// What was found of one image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct VerifiedRow {
    pub(crate) names: Vec<String>,
    pub(crate) id: String,
    /// What is wrong with it; nothing if it is whole.
    pub(crate) damage: Vec<String>,
    /// Digests of layers of which only number and size of the files are known to be right.
    pub(crate) counted: Vec<String>,
}

/// Why it was not done. The text says what was attempted on what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ImageFault {
    /// The archive or the name is no good.
    Refused(String),
    Absent(String),
    InUse(String),
    Failed(String),
}

/// An archive on its way in. Reading blocks, so read it on a thread that may.
#[derive(Debug)]
pub(crate) struct Archive {
    pieces: mpsc::Receiver<Piece>,
    rest: Bytes,
    ended: Ended,
}

#[derive(Debug)]
enum Piece {
    Data(Bytes),
    /// The client has said all. Without it the archive is cut off.
    End,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ended {
    No,
    Yes,
}

/// An archive on its way out. One that does not come to its end is cut off, so that nobody takes it for whole.
#[derive(Debug)]
pub(crate) struct Outgoing {
    pieces: mpsc::Receiver<Piece>,
    ended: Ended,
}

/// The other end: written to on a thread that may block.
#[derive(Debug)]
pub(crate) struct Sending {
    pieces: mpsc::Sender<Piece>,
    /// What is too little for a piece.
    gathered: Vec<u8>,
}

impl Outgoing {
    pub(crate) fn new() -> (Sending, Self) {
        let (sender, pieces) = mpsc::channel(PIECES);
        (Sending { pieces: sender, gathered: Vec::new() }, Self { pieces, ended: Ended::No })
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Option<io::Result<Bytes>>> {
        if self.ended == Ended::Yes {
            return Poll::Ready(None);
        }
        self.pieces.poll_recv(context).map(|piece| match piece {
            Some(Piece::Data(data)) => Some(Ok(data)),
            Some(Piece::End) => {
                self.ended = Ended::Yes;
                None
            }
            None => {
                self.ended = Ended::Yes;
                Some(Err(io::ErrorKind::UnexpectedEof.into()))
            }
        })
    }
}

impl Sending {
    /// All is said.
    pub(crate) fn end(mut self) -> io::Result<()> {
        self.flush()?;
        self.send(Piece::End)
    }

    fn send(&self, piece: Piece) -> io::Result<()> {
        self.pieces.blocking_send(piece).map_err(|_| io::ErrorKind::BrokenPipe.into())
    }
}

impl Write for Sending {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.gathered.extend_from_slice(bytes);
        if self.gathered.len() >= PIECE {
            self.flush()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        let gathered = std::mem::take(&mut self.gathered);
        if gathered.is_empty() { Ok(()) } else { self.send(Piece::Data(gathered.into())) }
    }
}

impl Read for Archive {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        while self.rest.is_empty() && self.ended == Ended::No {
            match self.pieces.blocking_recv() {
                Some(Piece::Data(data)) => self.rest = data,
                Some(Piece::End) => self.ended = Ended::Yes,
                None => return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the upload was cut off")),
            }
        }
        let length = into.len().min(self.rest.len());
        into[..length].copy_from_slice(&self.rest.split_to(length));
        Ok(length)
    }
}

impl ImageDoor {
    async fn ask<T>(
        &self,
        request: impl FnOnce(oneshot::Sender<Result<T, ImageFault>>) -> ImageRequest,
    ) -> Result<T, Refusal> {
        let (reply, answer) = oneshot::channel();
        let stopping = || Refusal::unavailable("the agent is stopping");
        self.requests.send(request(reply)).await.map_err(|_| stopping())?;
        answer.await.map_err(|_| stopping())?.map_err(refusal)
    }
}

fn refusal(fault: ImageFault) -> Refusal {
    match fault {
        ImageFault::Refused(text) => Refusal::bad_request(text),
        ImageFault::Absent(text) => Refusal::absent(text),
        ImageFault::InUse(text) => Refusal::conflict(text),
        ImageFault::Failed(text) => Refusal::failed(text),
    }
}

/// `POST /carob/v1/images`: the body is the archive.
pub(super) async fn load(State(api): State<Arc<Api>>, body: Body) -> Answer {
    let (pieces, archive) = mpsc::channel(PIECES);
    let archive = Archive { pieces: archive, rest: Bytes::new(), ended: Ended::No };
    let loaded = api.images.ask(|reply| ImageRequest::Load { archive, reply });
    let (loaded, ()) = tokio::join!(loaded, forward(body, pieces));
    Ok(rows(&loaded?))
}

/// Passes the body on. What nobody reads any more is read to its end all the same: the client listens only then.
async fn forward(mut body: Body, pieces: mpsc::Sender<Piece>) {
    while let Some(frame) = body.frame().await {
        match frame.map(Frame::into_data) {
            Ok(Ok(data)) => drop(pieces.send(Piece::Data(data)).await),
            // Trailers say nothing of the archive.
            Ok(Err(_)) => {}
            Err(_) => return,
        }
    }
    drop(pieces.send(Piece::End).await);
}

/// `GET /carob/v1/images`.
pub(super) async fn list(State(api): State<Arc<Api>>) -> Answer {
    Ok(rows(&api.images.ask(|reply| ImageRequest::List { reply }).await?))
}

/// The query of `remove`.
#[derive(Debug, Deserialize)]
pub(super) struct NameQuery {
    pub(super) name: String,
}

/// `DELETE /carob/v1/images?name=…`.
pub(super) async fn remove(
    State(api): State<Arc<Api>>,
    query: Result<Query<NameQuery>, QueryRejection>,
) -> Answer {
    let NameQuery { name } = options(query)?;
    api.images.ask(|reply| ImageRequest::Remove { name, reply }).await?;
    Ok(Json(json!({})))
}

/// The query of `prune`.
#[derive(Debug, Deserialize)]
pub(super) struct PruneQuery {
    #[serde(default)]
    all: bool,
}

/// `POST /carob/v1/images/prune[?all=true]`.
pub(super) async fn prune(
    State(api): State<Arc<Api>>,
    query: Result<Query<PruneQuery>, QueryRejection>,
) -> Answer {
    let PruneQuery { all } = options(query)?;
    let scope = if all { PruneScope::All } else { PruneScope::Nameless };
    Ok(rows(&api.images.ask(|reply| ImageRequest::Prune { scope, reply }).await?))
}

/// `GET /carob/v1/images/df`.
pub(super) async fn room(State(api): State<Arc<Api>>) -> Answer {
    Ok(Json(json!(api.images.ask(|reply| ImageRequest::Room { reply }).await?)))
}

/// The query of `verify`.
#[derive(Debug, Deserialize)]
pub(super) struct SomeQuery {
    name: Option<String>,
}

/// `GET /carob/v1/images/verify[?name=…]`.
pub(super) async fn verify(
    State(api): State<Arc<Api>>,
    query: Result<Query<SomeQuery>, QueryRejection>,
) -> Answer {
    let SomeQuery { name } = options(query)?;
    let verified = api.images.ask(|reply| ImageRequest::Verify { name, reply }).await?;
    let row = |image: &VerifiedRow| {
        let VerifiedRow { names, id, damage, counted } = image;
        json!({"names": names, "id": id, "damage": damage, "counted": counted})
    };
    Ok(Json(json!({"items": verified.iter().map(row).collect::<Vec<_>>()})))
}

/// The query of `export`.
#[derive(Debug, Deserialize)]
pub(super) struct NamesQuery {
    /// Parted by commas, which no name has.
    names: String,
}

/// `GET /carob/v1/images/export?names=…`: the body is the archive.
pub(super) async fn export(
    State(api): State<Arc<Api>>,
    query: Result<Query<NamesQuery>, QueryRejection>,
) -> Result<Body, Refusal> {
    let NamesQuery { names } = options(query)?;
    let names = names.split(',').map(str::to_owned).collect();
    let mut outgoing = api.images.ask(|reply| ImageRequest::Export { names, reply }).await?;
    Ok(Body::from_stream(stream::poll_fn(move |context| outgoing.poll(context))))
}

fn rows(images: &[ImageRow]) -> Json<Value> {
    let row = |image: &ImageRow| {
        let ImageRow { names, id, size, created, used } = image;
        json!({"names": names, "id": id, "size": size, "created": created, "lastUsed": used})
    };
    Json(json!({"items": images.iter().map(row).collect::<Vec<_>>()}))
}
