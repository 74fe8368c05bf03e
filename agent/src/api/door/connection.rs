//! A connection and the place it takes among others: given back when it is over, whatever it has become meanwhile, and
//! taken away when its holder is disowned.

use std::{
    io,
    pin::Pin,
    sync::{Mutex, PoisonError},
    task::{Context, Poll},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    sync::{OwnedSemaphorePermit, oneshot},
};

/// A stream that has a place, and can be ended from outside.
pub(super) struct Placed<S> {
    stream: S,
    /// Given back with the stream.
    _place: OwnedSemaphorePermit,
    ended: oneshot::Receiver<()>,
}

impl<S> Placed<S> {
    pub(super) fn new(stream: S, place: OwnedSemaphorePermit, ends: &Ends) -> Self {
        Self { stream, _place: place, ended: ends.add() }
    }

    pub(super) fn stream(&self) -> &S {
        &self.stream
    }

    /// Fails once the connection was ended; else whoever polls is woken then.
    fn going_on(&mut self, context: &mut Context<'_>) -> io::Result<()> {
        match Pin::new(&mut self.ended).poll(context) {
            Poll::Pending => Ok(()),
            Poll::Ready(_) => Err(io::ErrorKind::ConnectionAborted.into()),
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Placed<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.going_on(context)?;
        Pin::new(&mut self.stream).poll_read(context, into)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Placed<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.going_on(context)?;
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

/// By which all connections can be ended.
#[derive(Debug, Default)]
pub(super) struct Ends(Mutex<Vec<oneshot::Sender<()>>>);

impl Ends {
    fn add(&self) -> oneshot::Receiver<()> {
        let (end, ended) = oneshot::channel();
        let mut ends = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        ends.retain(|end| !end.is_closed());
        ends.push(end);
        ended
    }

    /// Ends every connection that is there.
    pub(super) fn end_all(&self) {
        // What is dropped is told.
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}
