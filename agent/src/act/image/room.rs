//! What the store takes of the disk, and how much of it nobody needs: who has which layer, and what goes with an image.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use super::{Digest, Error, InUse, Store, disk, names::Names};

/// A number of things, and the bytes of their files.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Amount {
    pub(crate) count: u64,
    pub(crate) bytes: u64,
}

/// What the store takes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Room {
    /// With all their layers, each counted once.
    pub(crate) images: Amount,
    /// Images that nothing needs, and what goes with all of them.
    pub(crate) reclaimable: Amount,
    pub(crate) layers: Amount,
    /// Layers that several images have.
    pub(crate) shared: Amount,
    /// Work that is going on, pulls that broke off, what a killed agent left, and layers that were replaced while they were mounted.
    pub(crate) leftovers: Amount,
}

/// Which images are to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Which {
    /// Those without a name.
    Nameless,
    All,
}

/// An image that went, and the bytes of the layers that went with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Gone {
    pub(crate) id: Digest,
    pub(crate) names: Vec<String>,
    pub(crate) bytes: u64,
}

impl Amount {
    fn add(&mut self, bytes: u64) {
        self.count += 1;
        self.bytes += bytes;
    }
}

impl Store {
    /// What the store takes of the disk.
    pub(crate) fn room(&self, in_use: &InUse) -> Result<Room, Error> {
        let (owners, unused) = (self.owners()?, self.unused(in_use)?);
        let mut room = Room::default();
        for (layer, images) in &owners {
            let bytes = self.bytes_of(*layer);
            room.layers.add(bytes);
            if images.len() > 1 {
                room.shared.add(bytes);
            }
            if images.iter().all(|image| unused.contains(image)) {
                room.reclaimable.bytes += bytes;
            }
        }
        room.images = Amount { count: self.ids()?.len() as u64, bytes: room.layers.bytes };
        room.reclaimable.count = unused.len() as u64;
        for dir in [self.tmp(), self.root.join("partial")] {
            for name in disk::names(&dir)? {
                room.leftovers.add(bytes_in(&dir.join(name)));
            }
        }
        Ok(room)
    }

    /// Removes images that nothing needs.
    pub(crate) fn prune(&self, which: Which, in_use: &InUse) -> Result<Vec<Gone>, Error> {
        let names = Names::read(&self.names_path())?;
        let mut gone = Vec::new();
        for id in self.unused(in_use)? {
            if which == Which::All || names.of(id).is_empty() {
                gone.extend(self.discard(id, in_use)?);
            }
        }
        Ok(gone)
    }

    /// Removes an image with all its names, and the layers that no other has; none if something has begun to need it.
    pub(super) fn discard(&self, id: Digest, in_use: &InUse) -> Result<Option<Gone>, Error> {
        let _turn = self.turn();
        let names = Names::read(&self.names_path())?.of(id);
        match self.drop_image(id, in_use) {
            Ok(bytes) => Ok(Some(Gone { id, names, bytes })),
            Err(Error::InUse { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Which images have a layer. One whose config is damaged has none.
    fn owners(&self) -> Result<BTreeMap<Digest, BTreeSet<Digest>>, Error> {
        let mut owners: BTreeMap<Digest, BTreeSet<Digest>> = BTreeMap::new();
        for id in self.ids()? {
            for layer in self.blob(id).ok().flatten().into_iter().flat_map(|blob| blob.rootfs.diff_ids) {
                owners.entry(layer).or_default().insert(id);
            }
        }
        Ok(owners)
    }

    pub(super) fn bytes_of(&self, layer: Digest) -> u64 {
        self.facts(layer).map_or(0, |facts| facts.census.bytes)
    }
}

/// Of a file, or of all files below. What cannot be counted goes or changes just now.
fn bytes_in(path: &Path) -> u64 {
    match fs::symlink_metadata(path) {
        Ok(about) if about.is_dir() => disk::census(path).unwrap_or_default().bytes,
        Ok(about) => about.len(),
        Err(_) => 0,
    }
}
