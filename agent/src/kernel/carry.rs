//! Brings the records of an older version's maps into a newer one's, while both versions record.
//!
//! Owners first: from then on the new programs see all that the old ones see. What they saw before has to
//! come over, and where both saw something the rule says whose word holds. It attaches and removes nothing.

use std::{
    io,
    path::{Path, PathBuf},
};

use aya::maps::{HashMap, Map, MapData, MapError, PerCpuHashMap};
use carob_ebpf::{Counters, Death, Owner, Signal, Target, map};
use thiserror::Error;

/// A map that could not be read or written.
#[derive(Debug, Error)]
pub(crate) enum CarryError {
    #[error("open pinned map {}", path.display())]
    Open {
        path: PathBuf,
        #[source]
        source: Box<MapError>,
    },
    #[error("copy map {name}")]
    Copy {
        name: &'static str,
        #[source]
        source: Box<MapError>,
    },
}

/// Whose word holds where both versions have an entry.
#[derive(Clone, Copy)]
enum Word {
    /// It saw more: the new one may lack the signal that came before.
    Old,
    /// It is later.
    New,
}

impl Word {
    /// As flags of an update: `BPF_ANY`, `BPF_NOEXIST`.
    fn flags(self) -> u64 {
        match self {
            Self::Old => 0,
            Self::New => 1,
        }
    }
}

/// Copies what there is. Answers with the maps whose layout has changed, which cannot be copied.
pub(super) fn carry(from: &Path, to: &Path) -> Result<Vec<&'static str>, CarryError> {
    let maps = [
        (map::OWNERS, hash::<{ size_of::<Owner>() }>(from, to, map::OWNERS, Word::New)?),
        (map::COUNTERS, counters(from, to)?),
        (map::SIGNALS, hash::<{ size_of::<Signal>() }>(from, to, map::SIGNALS, Word::New)?),
        (map::DEATHS, hash::<{ size_of::<Death>() }>(from, to, map::DEATHS, Word::Old)?),
    ];
    Ok(maps
        .into_iter()
        .filter(|(_, copied)| matches!(copied, Copied::Nothing))
        .map(|(name, _)| name)
        .collect())
}

enum Copied {
    Everything,
    /// The old map is not there, or its keys or values have another size.
    Nothing,
}

/// All keys are as wide as a `u64`, and are carried as one.
const _: () = assert!(size_of::<Target>() == size_of::<u64>());

fn hash<const V: usize>(
    from: &Path,
    to: &Path,
    name: &'static str,
    word: Word,
) -> Result<Copied, CarryError> {
    let failed = |source| CarryError::Copy { name, source: Box::new(source) };
    let Some(Ok(old)) = old(from, name)?.map(HashMap::<_, u64, [u8; V]>::try_from) else {
        return Ok(Copied::Nothing);
    };
    let mut new = HashMap::<_, u64, [u8; V]>::try_from(open(to, name)?).map_err(failed)?;
    copy(old.iter(), |key, value| new.insert(key, value, word.flags())).map_err(failed)
}

fn counters(from: &Path, to: &Path) -> Result<Copied, CarryError> {
    type Value = [u64; size_of::<Counters>() / size_of::<u64>()];
    type Values<T> = PerCpuHashMap<T, u64, Value>;
    let name = map::COUNTERS;
    let failed = |source| CarryError::Copy { name, source: Box::new(source) };
    let Some(Ok(old)) = old(from, name)?.map(Values::try_from) else { return Ok(Copied::Nothing) };
    let mut new = Values::try_from(open(to, name)?).map_err(failed)?;
    copy(old.iter(), |key, value| new.insert(key, value, Word::Old.flags())).map_err(failed)
}

/// More entries than any of the maps holds. A walk over a map that changes may start again from its
/// beginning, so it needs an end of its own.
const LONGEST_WALK: usize = 16_384;

fn copy<K, V>(
    entries: impl Iterator<Item = Result<(K, V), MapError>>,
    mut insert: impl FnMut(K, V) -> Result<(), MapError>,
) -> Result<Copied, MapError> {
    for entry in entries.take(LONGEST_WALK) {
        let (key, value) = entry?;
        match insert(key, value) {
            // The new version's word holds.
            Err(error) if kind_of(&error) == Some(io::ErrorKind::AlreadyExists) => (),
            other => other?,
        }
    }
    Ok(Copied::Everything)
}

fn old(from: &Path, name: &'static str) -> Result<Option<Map>, CarryError> {
    match open(from, name) {
        Ok(map) => Ok(Some(map)),
        Err(CarryError::Open { source, .. }) if kind_of(&source) == Some(io::ErrorKind::NotFound) => Ok(None),
        Err(error) => Err(error),
    }
}

fn open(pins: &Path, name: &'static str) -> Result<Map, CarryError> {
    let path = pins.join(name);
    let map = MapData::from_pin(&path).and_then(Map::from_map_data);
    map.map_err(|source| CarryError::Open { path, source: Box::new(source) })
}

/// What the kernel said, if it was the kernel that said no.
pub(super) fn kind_of(error: &MapError) -> Option<io::ErrorKind> {
    match error {
        MapError::SyscallError(error) => Some(error.io_error.kind()),
        _ => None,
    }
}
