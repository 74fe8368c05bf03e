//! How much of a disk is free, and how much of that an image may take: never the reserve. Pods' files, logs and the
//! ledger are to find room, whatever somebody has packed into a layer.

use std::{
    io,
    path::{Path, PathBuf},
};

use rustix::fs::statvfs;

/// What is left alone is this part of the disk, …
const RESERVED_PART: u64 = 20;
/// … or so much of a large one.
const RESERVED_AT_MOST: u64 = 1 << 30;
/// A file takes whole blocks of the disk.
const BLOCK: u64 = 4096;
/// The disk is looked at again after this much: others write to it too.
const STEP: u64 = 16 << 20;

/// A filesystem, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Disk {
    pub(crate) capacity: u64,
    /// For who is not root, as the kubelet counts.
    pub(crate) available: u64,
}

/// More is asked for than there is.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{needed} bytes are needed, and of {available} bytes that are free {reserve} are kept in reserve")]
pub(crate) struct Full {
    needed: u64,
    available: u64,
    reserve: u64,
}

impl Disk {
    /// The one that `path` is on.
    pub(super) fn of(path: &Path) -> io::Result<Self> {
        let found = statvfs(path)?;
        let bytes = |blocks: u64| blocks.saturating_mul(found.f_frsize);
        Ok(Self { capacity: bytes(found.f_blocks), available: bytes(found.f_bavail) })
    }

    /// What an image may take, if that is enough.
    pub(super) fn spare(self, needed: u64) -> Result<u64, Full> {
        let reserve = (self.capacity / RESERVED_PART).min(RESERVED_AT_MOST);
        let spare = self.available.saturating_sub(reserve);
        if needed <= spare { Ok(spare) } else { Err(Full { needed, available: self.available, reserve }) }
    }
}

/// The space on a disk, as it is taken piece by piece.
pub(super) struct Space {
    /// On that disk.
    dir: PathBuf,
    /// May be taken before the disk is looked at again.
    granted: u64,
}

/// Why a piece is not granted.
pub(super) enum Refusal {
    Full(Full),
    Disk(io::Error),
}

impl Space {
    pub(super) fn of(dir: &Path) -> Self {
        Self { dir: dir.to_owned(), granted: 0 }
    }

    pub(super) fn take(&mut self, bytes: u64) -> Result<(), Refusal> {
        let bytes = bytes.checked_next_multiple_of(BLOCK).unwrap_or(u64::MAX);
        if bytes > self.granted {
            let disk = Disk::of(&self.dir).map_err(Refusal::Disk)?;
            self.granted = disk.spare(bytes).map_err(Refusal::Full)?.min(bytes.max(STEP));
        }
        self.granted -= bytes;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{super::fixture::Temporary, *};

    #[test]
    fn a_twentieth_of_the_disk_is_kept_and_a_gibibyte_of_a_large_one() {
        let mib = |number: u64| number << 20;
        for (capacity, available, spare) in [
            (100, 100, 95),
            (100, 6, 1),
            (100, 5, 0),
            (100, 0, 0),
            (8000, 500, 100),
            (1 << 20, 4096, 3072),
            (1 << 20, 1000, 0),
            (0, 0, 0),
        ] {
            let disk = Disk { capacity: mib(capacity), available: mib(available) };
            let most = mib(spare);
            assert_eq!(disk.spare(most), Ok(most), "{available} of {capacity}");
            assert!(disk.spare(most + 1).is_err(), "{available} of {capacity}");
        }
    }

    #[test]
    fn who_is_refused_is_told_the_numbers() {
        let refused = Disk { capacity: 1000, available: 300 }.spare(251).unwrap_err();
        let expected = "251 bytes are needed, and of 300 bytes that are free 50 are kept in reserve";
        assert_eq!(refused.to_string(), expected);
    }

    #[test]
    fn space_is_granted_in_steps_and_counted_in_blocks() {
        let temporary = Temporary::new();
        let mut space = Space::of(temporary.path());
        for (bytes, left) in [
            (1, STEP - BLOCK),
            (BLOCK, STEP - 2 * BLOCK),
            (0, STEP - 2 * BLOCK),
            (STEP, 0),
            (1, STEP - BLOCK),
        ] {
            assert!(space.take(bytes).is_ok(), "{bytes}");
            assert_eq!(space.granted, left, "after {bytes}");
        }
        assert!(matches!(space.take(u64::MAX), Err(Refusal::Full(Full { needed: u64::MAX, .. }))));
        let mut nowhere = Space::of(&temporary.path().join("nowhere"));
        assert!(matches!(nowhere.take(1), Err(Refusal::Disk(_))));
    }
}
