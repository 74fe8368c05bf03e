//! SHA-256 digests: the names of configs and layers. Knows no other algorithm.

use std::{
    fmt,
    io::{self, Read, Write},
};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

const ALGORITHM: &str = "sha256:";

/// The SHA-256 of a blob; shown and stored as `sha256:<64 hex digits>`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(crate) struct Digest([u8; 32]);

impl Digest {
    /// The digest of `bytes`.
    pub(crate) fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// Reads `sha256:<64 lower-case hex digits>`.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        Self::from_hex(text.strip_prefix(ALGORITHM)?)
    }

    /// Reads the 64 lower-case hex digits alone: the form used in file names.
    pub(crate) fn from_hex(hex: &str) -> Option<Self> {
        if hex.len() != 64 || !is_hex(hex) {
            return None;
        }
        let mut bytes = [0; 32];
        for (byte, i) in bytes.iter_mut().zip((0..).step_by(2)) {
            *byte = u8::from_str_radix(hex.get(i..i + 2)?, 16).ok()?;
        }
        Some(Self(bytes))
    }

    /// The digits without the algorithm.
    pub(crate) fn hex(&self) -> String {
        self.to_string().split_off(ALGORITHM.len())
    }
}

/// Whether `text` could be (part of) a digest.
pub(super) fn is_hex(text: &str) -> bool {
    text.bytes().all(|c| matches!(c, b'0'..=b'9' | b'a'..=b'f'))
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(ALGORITHM)?;
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl From<Digest> for String {
    fn from(digest: Digest) -> Self {
        digest.to_string()
    }
}

impl TryFrom<String> for Digest {
    type Error = NotADigest;

    fn try_from(text: String) -> Result<Self, NotADigest> {
        Self::parse(&text).ok_or(NotADigest { text })
    }
}

/// A text that should have been a digest.
#[derive(Debug, thiserror::Error)]
#[error("{text:?} is not sha256: and 64 hex digits")]
pub(crate) struct NotADigest {
    text: String,
}

/// Digests what is written through it.
pub(in crate::act) struct Hashing<W> {
    to: W,
    hash: Sha256,
}

impl<W: Write> Hashing<W> {
    pub(in crate::act) fn new(to: W) -> Self {
        Self { to, hash: Sha256::new() }
    }

    pub(in crate::act) fn inner(&self) -> &W {
        &self.to
    }

    /// This was written before.
    pub(in crate::act) fn know(&mut self, bytes: &[u8]) {
        self.hash.update(bytes);
    }

    /// Nothing was.
    pub(in crate::act) fn forget(&mut self) {
        self.hash = Sha256::new();
    }

    pub(in crate::act) fn digest(self) -> Digest {
        self.finish().1
    }

    pub(in crate::act) fn finish(self) -> (W, Digest) {
        (self.to, Digest(self.hash.finalize().into()))
    }
}

impl<W: Write> Write for Hashing<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.to.write(bytes)?;
        self.hash.update(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

/// Digests what is read through it.
pub(super) struct HashingReader<R> {
    from: R,
    hash: Sha256,
}

impl<R: Read> HashingReader<R> {
    pub(super) fn new(from: R) -> Self {
        Self { from, hash: Sha256::new() }
    }

    pub(super) fn digest(self) -> Digest {
        Digest(self.hash.finalize().into())
    }
}

impl<R: Read> Read for HashingReader<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let count = self.from.read(into)?;
        self.hash.update(&into[..count]);
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_is_read_as_it_is_shown() {
        let digest = Digest::of(b"");
        let shown = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(digest.to_string(), shown);
        assert_eq!(Digest::parse(shown), Some(digest));
        assert_eq!(Digest::from_hex(&digest.hex()), Some(digest));
    }

    #[test]
    fn other_texts_are_no_digests() {
        let hex = "a".repeat(64);
        for text in [
            "",
            "sha256:",
            &hex,
            &format!("sha512:{hex}"),
            &format!("sha256:{}é", &hex[2..]),
            &format!("sha256:{}A", &hex[1..]),
        ] {
            assert_eq!(Digest::parse(text), None, "{text}");
        }
    }
}
