//! An answer whose body is written while it is sent.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
};

use axum::body::{Bytes, HttpBody};
use hyper::body::Frame;
use tokio::sync::mpsc;

/// Pieces that may wait for a slow client.
const PIECES: usize = 4;

pub(super) type Piece = io::Result<Bytes>;

/// The body. It ends when its sender is dropped.
#[derive(Debug)]
pub(super) struct Output {
    pieces: mpsc::Receiver<Piece>,
}

impl Output {
    pub(super) fn new() -> (mpsc::Sender<Piece>, Self) {
        let (sender, pieces) = mpsc::channel(PIECES);
        (sender, Self { pieces })
    }

    /// The next piece; none when that was all.
    pub(super) async fn next(&mut self) -> Option<Piece> {
        self.pieces.recv().await
    }
}

impl HttpBody for Output {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        self.pieces.poll_recv(context).map(|piece| piece.map(|piece| piece.map(Frame::data)))
    }
}
