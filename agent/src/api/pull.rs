//! `POST /carob/v1/images/pull?name=…`: pulls an image while the client listens; who goes away stops it.

use std::sync::Arc;

use axum::{
    body::{Body, Bytes},
    extract::{Query, State, rejection::QueryRejection},
    response::{IntoResponse, Response},
};
use hyper::header::CONTENT_TYPE;
use serde_json::json;
use tokio::sync::mpsc;

use super::{
    Api,
    images::{ImageRequest, NameQuery},
    objects::options,
    piecewise::{Output, Piece},
    refusal::Refusal,
};

/// Words that may wait for the client.
const WORDS: usize = 64;

/// What is said of a pull that is under way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum PullWord {
    /// So many bytes of a blob have come.
    Progress { blob: String, done: u64, size: u64 },
    /// The image is here; so many bytes, unpacked. The last word.
    Done { size: u64 },
    /// It is not. The last word.
    Failed(String),
}

pub(super) async fn pull(
    State(api): State<Arc<Api>>,
    query: Result<Query<NameQuery>, QueryRejection>,
) -> Result<Response, Refusal> {
    let NameQuery { name } = options(query)?;
    let (words, said) = mpsc::channel(WORDS);
    let asked = api.images.requests.send(ImageRequest::Pull { name, words }).await;
    asked.map_err(|_| Refusal::unavailable("the agent is stopping"))?;
    let (sender, output) = Output::new();
    tokio::spawn(forward(said, sender));
    Ok(([(CONTENT_TYPE, "application/json")], Body::new(output)).into_response())
}

/// One line of JSON a word.
async fn forward(mut said: mpsc::Receiver<PullWord>, sender: mpsc::Sender<Piece>) {
    loop {
        let word = tokio::select! {
            () = sender.closed() => return,
            word = said.recv() => word,
        };
        let Some(word) = word else { return };
        let line = match word {
            PullWord::Progress { blob, done, size } => {
                json!({"progress": {"blob": blob, "done": done, "size": size}})
            }
            PullWord::Done { size } => json!({"done": {"size": size}}),
            PullWord::Failed(error) => json!({"error": error}),
        };
        if sender.send(Ok(Bytes::from(format!("{line}\n")))).await.is_err() {
            return;
        }
    }
}
