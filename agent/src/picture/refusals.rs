//! Who was turned away from the API, counted by the reason. Shared by all pictures of one agent.

use std::sync::atomic::{AtomicU64, Ordering};

/// Why somebody was turned away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Turned {
    /// Another user than root, on the socket.
    Stranger,
    /// No client certificate.
    Nameless,
    /// A certificate that this box's authority has not made, or no longer stands by.
    UnknownAuthority,
    /// A certificate whose time is over.
    Expired,
    /// Any other handshake that came to nothing.
    Handshake,
    /// HTTP where TLS is spoken.
    PlainHttp,
    /// A request for another host.
    Host,
    /// A request that a web page has made.
    Origin,
    /// Known, and not allowed to.
    Forbidden,
    /// Too many others are there.
    Crowd,
    /// Too long without a handshake or a first request.
    Slow,
    /// More header lines or longer ones than a request needs.
    LongHead,
    /// A body larger than any object.
    LargeBody,
}

/// In the order of the enum, as the metric's label has them.
const WORDS: [(Turned, &str); 13] = [
    (Turned::Stranger, "socket_user"),
    (Turned::Nameless, "no_certificate"),
    (Turned::UnknownAuthority, "unknown_authority"),
    (Turned::Expired, "expired_certificate"),
    (Turned::Handshake, "handshake"),
    (Turned::PlainHttp, "plain_http"),
    (Turned::Host, "host"),
    (Turned::Origin, "origin"),
    (Turned::Forbidden, "forbidden"),
    (Turned::Crowd, "too_many"),
    (Turned::Slow, "too_slow"),
    (Turned::LongHead, "head_too_long"),
    (Turned::LargeBody, "body_too_large"),
];

/// How many of each.
#[derive(Debug, Default)]
pub(crate) struct Refusals([AtomicU64; WORDS.len()]);

impl Refusals {
    pub(crate) fn count(&self, why: Turned) {
        self.0[why as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// Every reason with its number.
    pub(crate) fn now(&self) -> impl Iterator<Item = (&'static str, u64)> {
        WORDS.iter().zip(&self.0).map(|((_, word), count)| (*word, count.load(Ordering::Relaxed)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reason_is_counted_under_its_own_word() {
        for (at, (why, word)) in WORDS.iter().enumerate() {
            assert_eq!(*why as usize, at, "{word}");
            let refusals = Refusals::default();
            refusals.count(*why);
            let counted: Vec<_> = refusals.now().filter(|(_, count)| *count > 0).collect();
            assert_eq!(counted, [(*word, 1)]);
        }
    }
}
