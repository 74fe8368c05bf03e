//! How far a log is: what is known to be in it, beside the spool, and what the log itself says.
#![expect(clippy::disallowed_methods, reason = "this is the effect")]

use std::{
    fs::{self, File},
    io::{self, Write},
    os::unix::fs::{FileExt, MetadataExt},
    path::Path,
};

use serde::{Deserialize, Serialize};

use super::cri;

/// What is known to be in the log, kept beside the spool.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Checkpoint {
    /// Which file, by its inode: another one in its place was begun after this was written.
    #[serde(default)]
    pub(super) file: u64,
    pub(super) log: u64,
    pub(super) out: u64,
    pub(super) err: u64,
}

/// Cuts a torn last line off and counts what the whole ones hold.
pub(super) fn settle(log: &File, from: Checkpoint) -> io::Result<Checkpoint> {
    let (file, length) = (inode(log)?, log.metadata()?.len());
    // Since the checkpoint the log was rotated, at a moment when all up to the checkpoint was in the old one.
    let rotated = from.file != 0 && from.file != file;
    let from = if rotated { Checkpoint { log: 0, ..from } } else { from };
    if length < from.log {
        // Somebody truncated the log. What is in the spool before the checkpoint is gone.
        return Ok(Checkpoint { file, log: length, ..from });
    }
    let mut rest = vec![0; usize::try_from(length - from.log).unwrap_or(0)];
    log.read_exact_at(&mut rest, from.log)?;
    let tally = cri::tally(&rest);
    log.set_len(from.log + tally.whole)?;
    Ok(Checkpoint { file, log: from.log + tally.whole, out: from.out + tally.out, err: from.err + tally.err })
}

pub(super) fn inode(log: &File) -> io::Result<u64> {
    log.metadata().map(|metadata| metadata.ino())
}

pub(super) fn read(dir: &Path) -> Checkpoint {
    fs::read(dir.join("checkpoint"))
        .ok()
        .and_then(|bytes| serde_json::from_slice(&bytes).ok())
        .unwrap_or_default()
}

pub(super) fn write(dir: &Path, checkpoint: Checkpoint) -> io::Result<()> {
    let (fresh, path) = (dir.join("checkpoint.new"), dir.join("checkpoint"));
    File::create(&fresh)?.write_all(&serde_json::to_vec(&checkpoint)?)?;
    fs::rename(fresh, path)
}
