//! Lets a newer version of the programs go on with the maps of the one before it. While both are attached they record
//! into the same maps, and each event counts once (the programs see to that): nothing is copied, so nothing is missed.
//! It attaches and removes nothing.

use std::{
    io,
    path::{Path, PathBuf},
};

use aya::{
    maps::{MapData, MapError, MapInfo},
    pin::PinError,
};
use carob_ebpf::map;
use thiserror::Error;

use super::probes::PINNED;

/// A map that could not be taken over.
#[derive(Debug, Error)]
pub(crate) enum InheritError {
    #[error("open pinned map {}", path.display())]
    Open {
        path: PathBuf,
        #[source]
        source: Box<MapError>,
    },
    #[error("pin a map at {}", path.display())]
    Pin {
        path: PathBuf,
        #[source]
        source: Box<PinError>,
    },
}

/// Pins the maps of the version at `from` under `to` as well. A ring of another size stays behind: what it holds is
/// only detail.
pub(super) fn inherit(from: &Path, to: &Path, ring: u32) -> Result<(), InheritError> {
    let names = PINNED.into_iter().map(|name| (name, from.join(name), to.join(name)));
    for (name, old, new) in names {
        let failed = |source| InheritError::Open { path: old.clone(), source: Box::new(source) };
        let info = match MapInfo::from_pin(&old) {
            Err(error) if kind_of(&error) == Some(io::ErrorKind::NotFound) => continue,
            info => info.map_err(failed)?,
        };
        if name == map::EVENTS && info.max_entries() != ring {
            continue;
        }
        let map = MapData::from_pin(&old).map_err(failed)?;
        map.pin(&new).map_err(|source| InheritError::Pin { path: new, source: Box::new(source) })?;
    }
    Ok(())
}

/// What the kernel said, if it was the kernel that said no.
pub(super) fn kind_of(error: &MapError) -> Option<io::ErrorKind> {
    match error {
        MapError::SyscallError(error) => Some(error.io_error.kind()),
        _ => None,
    }
}
