//! Who listens to a container's output while it is written to the log: clients that are attached to it.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::mpsc;

use super::cri::Stream;

/// Pieces that may wait for a client. One that is slower than its container is cut off: the container must not wait for
/// it, and a gap that nobody sees would be worse. The log has everything.
const PIECES: usize = 64;

/// Output as it came: whether on stderr, and the bytes.
pub(crate) type Piece = (bool, Arc<[u8]>);

/// The listeners of one container.
#[derive(Clone, Debug, Default)]
pub(super) struct Taps(Arc<Mutex<Vec<mpsc::Sender<Piece>>>>);

impl Taps {
    /// All output from now on; it ends with the container.
    pub(super) fn listen(&self) -> mpsc::Receiver<Piece> {
        let (sender, receiver) = mpsc::channel(PIECES);
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(sender);
        receiver
    }

    /// `bytes` is asked for only if somebody listens.
    pub(super) fn tell(&self, stream: Stream, bytes: impl FnOnce() -> Option<Vec<u8>>) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if all.is_empty() {
            return;
        }
        if let Some(bytes) = bytes() {
            let piece: Piece = (matches!(stream, Stream::Err), bytes.into());
            all.retain(|tap| tap.try_send(piece.clone()).is_ok());
        }
    }

    /// There will be no more.
    pub(super) fn end(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}
