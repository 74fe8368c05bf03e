//! The body of a request, for which nobody waits for ever: whoever sends it slower than anybody's line is cut off.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use axum::{
    BoxError,
    body::{Bytes, HttpBody},
};
use hyper::body::{Frame, SizeHint};
use tokio::time::{Instant, Sleep, sleep};

use crate::picture::refusals::{Refusals, Turned};

/// Bytes a second that anybody sends.
const SLOWEST: u64 = 1 << 10;

pub(super) struct Patient<B> {
    body: B,
    since: Instant,
    /// For which nothing has to come.
    at_first: Duration,
    received: u64,
    limit: Pin<Box<Sleep>>,
    refusals: Arc<Refusals>,
}

impl<B> Patient<B> {
    pub(super) fn new(body: B, at_first: Duration, refusals: Arc<Refusals>) -> Self {
        let limit = Box::pin(sleep(at_first));
        Self { body, since: Instant::now(), at_first, received: 0, limit, refusals }
    }

    fn received(&mut self, bytes: usize) {
        self.received += bytes as u64;
        let due = Duration::from_secs(self.received / SLOWEST);
        self.limit.as_mut().reset(self.since + self.at_first + due);
    }
}

impl<B> HttpBody for Patient<B>
where
    B: HttpBody<Data = Bytes, Error: Into<BoxError>> + Unpin,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(context) {
            if let Some(Ok(frame)) = &frame {
                self.received(frame.data_ref().map_or(0, Bytes::len));
            }
            return Poll::Ready(frame.map(|frame| frame.map_err(Into::into)));
        }
        ready!(self.limit.as_mut().poll(context));
        self.refusals.count(Turned::Slow);
        Poll::Ready(Some(Err("the body of the request comes too slowly".into())))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;
    use crate::api::piecewise::Output;

    #[tokio::test]
    async fn who_sends_too_slowly_is_cut_off_and_who_does_not_is_not() {
        // What comes at once, and whether that was all.
        for (bytes, ends, expected) in [(5, true, Some(5)), (5, false, None), (1 << 21, true, Some(1 << 21))]
        {
            let (sender, body) = Output::new();
            sender.send(Ok(vec![0; bytes].into())).await.unwrap();
            let held = (!ends).then(|| sender.clone());
            drop(sender);
            let refusals = Arc::<Refusals>::default();
            let body = Patient::new(body, Duration::from_millis(20), refusals.clone());
            let read = body.collect().await.ok().map(|body| body.to_bytes().len());
            drop(held);
            assert_eq!(read, expected, "{bytes} {ends}");
            let slow = refusals.now().find(|(why, _)| *why == "too_slow").unwrap().1;
            assert_eq!(slow, u64::from(expected.is_none()));
        }
    }
}
