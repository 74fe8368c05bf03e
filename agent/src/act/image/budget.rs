//! How much one archive may have: entries, bytes, and room on the disk.

use std::{
    io::{self, Read},
    path::Path,
};

use super::{
    entries::{BLOCK, Fault},
    space::{Refusal, Space},
};

/// What one archive may still use; shared by all layers of a load.
pub(super) struct Budget {
    entries: (u64, u64),
    bytes: (u64, u64),
    space: Space,
}

impl Budget {
    /// At most that, and what the disk of `dir` has to spare.
    pub(super) fn new(entries: u64, bytes: u64, dir: &Path) -> Self {
        Self { entries: (entries, entries), bytes: (bytes, bytes), space: Space::of(dir) }
    }

    /// Reads what is left of a stream after its last entry: padding, or whatever else a tool has put there.
    pub(super) fn drain(&mut self, mut rest: impl Read) -> Result<(), Fault> {
        let mut piece = [0; 16 * 1024];
        loop {
            match rest.read(&mut piece) {
                Ok(0) => return Ok(()),
                Ok(length) => self.spend_bytes(length as u64)?,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(source) => return Err(Fault::Read { source }),
            }
        }
    }

    pub(super) fn spend(&mut self, size: u64) -> Result<(), Fault> {
        self.spend_entries(1)?;
        self.spend_bytes(size.saturating_add(BLOCK))
    }

    pub(super) fn spend_bytes(&mut self, count: u64) -> Result<(), Fault> {
        let left = self.bytes.0.checked_sub(count).ok_or(Fault::TooBig { limit: self.bytes.1 })?;
        self.bytes.0 = left;
        self.space.take(count).map_err(|refusal| match refusal {
            Refusal::Full(source) => Fault::Full { source },
            Refusal::Disk(source) => Fault::Space { source },
        })
    }

    pub(super) fn spend_entries(&mut self, count: u64) -> Result<(), Fault> {
        let left = self.entries.0.checked_sub(count).ok_or(Fault::TooMany { limit: self.entries.1 })?;
        self.entries.0 = left;
        Ok(())
    }
}
