//! Zstandard, frame by frame (RFC 8878 §3): a layer may be of several, and have some that are not content.

use std::io::{self, BufRead, BufReader, Read};

use ruzstd::decoding::{
    BlockDecodingStrategy, FrameDecoder,
    errors::{FrameDecoderError, ReadFrameHeaderError},
};

/// How far back content may refer, in bytes: as far as level 20 does. So much memory it may take.
const WINDOW: u64 = 32 << 20;

/// The content of all frames, one after the other.
pub(super) struct Frames<R> {
    source: BufReader<R>,
    decoder: FrameDecoder,
    within: bool,
}

impl<R: Read> Frames<R> {
    pub(super) fn new(source: R) -> Self {
        let mut decoder = FrameDecoder::new();
        decoder.set_max_window_size(WINDOW);
        Self { source: BufReader::new(source), decoder, within: false }
    }

    /// Goes to the next frame that has content; false: there is none.
    fn advance(&mut self) -> io::Result<bool> {
        while !self.source.fill_buf()?.is_empty() {
            match self.decoder.reset(&mut self.source) {
                Ok(()) => return Ok(true),
                Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::SkipFrame {
                    length,
                    ..
                })) => {
                    let length = u64::from(length);
                    if io::copy(&mut self.source.by_ref().take(length), &mut io::sink())? < length {
                        return Err(io::ErrorKind::UnexpectedEof.into());
                    }
                }
                Err(e) => return Err(io::Error::other(e)),
            }
        }
        Ok(false)
    }
}

impl<R: Read> Read for Frames<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        loop {
            if !self.within && !self.advance()? {
                return Ok(0);
            }
            while self.decoder.can_collect() == 0 && !self.decoder.is_finished() {
                let decoded =
                    self.decoder.decode_blocks(&mut self.source, BlockDecodingStrategy::UptoBlocks(1));
                decoded.map_err(io::Error::other)?;
            }
            self.within = self.decoder.can_collect() > 0;
            if self.within {
                return self.decoder.read(into);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use ruzstd::encoding::{CompressionLevel, compress_to_vec};

    use super::*;

    fn read(bytes: &[u8]) -> io::Result<Vec<u8>> {
        let mut all = Vec::new();
        Frames::new(bytes).read_to_end(&mut all).map(|_| all)
    }

    #[test]
    fn frames_follow_each_other() {
        let long: Vec<u8> = (0..300_000_u32).flat_map(|n| (n / 7).to_le_bytes()).collect();
        let frame = |content: &[u8]| compress_to_vec(content, CompressionLevel::Fastest);
        let skipped = [&[0x50, 0x2a, 0x4d, 0x18, 3, 0, 0, 0][..], b"toc"].concat();
        let rows = [
            (frame(b"one"), b"one".to_vec()),
            (frame(b""), vec![]),
            (frame(&long), long.clone()),
            ([frame(b"one"), frame(&long), frame(b"two")].concat(), [b"one", &long[..], b"two"].concat()),
            ([frame(b"one"), skipped.clone(), frame(b"two"), skipped.clone()].concat(), b"onetwo".to_vec()),
        ];
        for (packed, expected) in rows {
            assert!(read(&packed).unwrap() == expected, "{} bytes", packed.len());
        }
        for broken in [&frame(&long)[..9000], &skipped[..9], b"(\xb5/\xfd\xff\xff", b"nonsense"] {
            assert!(read(broken).is_err(), "{} bytes", broken.len());
        }
    }
}
