//! Archive → store: all images of an archive become visible, or none.
//!
//! What an archive is, `archive` knows; what a layer may do to the disk, `unpack`.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File},
    io::Read,
    path::{Path, PathBuf},
};

use super::{
    Digest, Error, Facts, Limits, Store,
    archive::{self, Candidate},
    budget::Budget,
    digest::HashingReader,
    disk::{self, Scratch, failed},
    lock,
    names::Names,
    recipe::{Recorder, record_whole},
    reference::Reference,
    unpack::unpack,
};

/// One image of a loaded archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Loaded {
    pub(crate) id: Digest,
    /// The names the archive gave it.
    pub(crate) names: Vec<String>,
    /// Device nodes in its layers that were left out.
    pub(crate) devices: u64,
}

/// An image that is to become visible.
pub(super) struct Incoming {
    pub(super) id: Digest,
    pub(super) config: Vec<u8>,
    pub(super) names: Vec<Reference>,
    pub(super) manifest: Option<Digest>,
    /// Lowest first: what each unpacks to.
    pub(super) layers: Vec<Digest>,
}

impl Store {
    /// Reads an image archive (`docker save`, `podman save`, an OCI layout in a tar; plain or gzip) and keeps its images.
    /// All of them become visible, or none. What is damaged in the store and whole in the archive is repaired.
    pub(crate) fn load(&self, archive: impl Read) -> Result<Vec<Loaded>, Error> {
        let scratch = Scratch::new(&self.tmp())?;
        let candidates = archive::read(archive, &scratch.directory("spool")?, &self.limits)?;
        let _turn = self.turn();
        let fresh = self.unpack(&candidates, &scratch)?;
        let images: Vec<_> = candidates.into_iter().map(|candidate| candidate.image).collect();
        self.show(&images, &fresh, &scratch)?;
        Ok(images.iter().map(|image| self.loaded(image)).collect())
    }

    /// Makes images visible, all or none. The caller holds the turn.
    pub(super) fn show(
        &self,
        images: &[Incoming],
        fresh: &BTreeMap<Digest, PathBuf>,
        scratch: &Scratch,
    ) -> Result<(), Error> {
        disk::sync_filesystem(&self.root)?;
        let ids = images.iter().map(|image| image.id);
        let new: Vec<_> = ids.filter(|id| !self.config_path(*id).exists()).collect();
        self.publish(images, fresh, scratch).inspect_err(|_| {
            self.withdraw(&new, scratch);
            self.sweep_or_warn();
        })
    }

    fn loaded(&self, image: &Incoming) -> Loaded {
        let layers: BTreeSet<_> = image.layers.iter().copied().collect();
        let devices =
            layers.into_iter().filter_map(|layer| self.facts(layer).ok()).map(|facts| facts.devices).sum();
        let names = image.names.iter().map(Reference::to_string).collect();
        Loaded { id: image.id, names, devices }
    }

    /// Unpacks the layers that are not in the store, not whole there, or without a recipe, below `scratch`.
    fn unpack(
        &self,
        candidates: &[Candidate],
        scratch: &Scratch,
    ) -> Result<BTreeMap<Digest, PathBuf>, Error> {
        let Limits { unpacked_entries, unpacked_bytes, .. } = self.limits;
        let mut budget = Budget::new(unpacked_entries, unpacked_bytes, scratch.path());
        let mut fresh = BTreeMap::new();
        let layers =
            candidates.iter().flat_map(|candidate| candidate.image.layers.iter().zip(&candidate.packed));
        for (layer, packed) in layers {
            if !fresh.contains_key(layer) && !self.is_kept(*layer) {
                fresh.insert(*layer, unpack_layer(*layer, packed, scratch, &mut budget)?);
            }
        }
        Ok(fresh)
    }

    fn publish(
        &self,
        images: &[Incoming],
        fresh: &BTreeMap<Digest, PathBuf>,
        scratch: &Scratch,
    ) -> Result<(), Error> {
        for (layer, unpacked) in fresh {
            let path = self.layer_path(*layer);
            if path.exists() {
                // A damaged one may be mounted: it stays until the store is next opened.
                disk::rename(&path, &self.tmp().join(uuid::Uuid::new_v4().to_string()))?;
            }
            disk::rename(unpacked, &path)?;
            lock(&self.counted).remove(layer);
        }
        disk::sync_directory(&self.root.join("layers"))?;
        let mut names = Names::read(&self.names_path())?;
        for image in images {
            disk::replace(&self.config_path(image.id), &image.config, scratch)?;
            for name in &image.names {
                names.set(name, image.id, image.manifest);
            }
        }
        names.write(&self.names_path(), scratch)?;
        images.iter().try_for_each(|image| self.used(image.id))
    }

    fn withdraw(&self, new: &[Digest], scratch: &Scratch) {
        for id in new {
            if let Err(error) = scratch.swallow(&self.config_path(*id)) {
                tracing::warn!(image = %id, %error, "an image of a failed load stays");
            }
        }
    }
}

/// Makes what `layers/<hex>` will be, in scratch space.
pub(super) fn unpack_layer(
    layer: Digest,
    packed: &Path,
    scratch: &Scratch,
    budget: &mut Budget,
) -> Result<PathBuf, Error> {
    let directory = scratch.directory(&layer.hex())?;
    let (tree, junk) = (directory.join("tree"), scratch.directory(&format!("junk-{}", layer.hex()))?);
    disk::make_directory(&tree, 0o755)?;
    let stream = || {
        let file = File::open(packed).map_err(failed("read", packed))?;
        archive::decompress(file, &layer.to_string())
    };
    let recipe = directory.join("recipe");
    let recorder = Recorder::create(&recipe).map_err(failed("write", &recipe))?;
    let mut plain = HashingReader::new(stream()?);
    let unpacked = unpack(&mut plain, &tree, &junk, &recorder, budget)
        .map_err(|source| Error::Layer { layer, source })?;
    let actual = plain.digest();
    if actual != layer {
        return Err(Error::Digest { name: layer.to_string(), expected: layer, actual });
    }
    let mut recorded = recorder.finish();
    if unpacked.replaced {
        recorded = record_whole(stream()?, &recipe);
    }
    let facts = Facts {
        census: disk::census(&tree)?,
        devices: unpacked.devices,
        opaque: unpacked.opaque,
        tar: Some(recorded.map_err(failed("write", &recipe))?),
    };
    let path = directory.join("facts.json");
    let bytes =
        serde_json::to_vec(&facts).map_err(|source| Error::Json { name: layer.to_string(), source })?;
    fs::write(&path, bytes).map_err(failed("write", &path))?;
    Ok(directory)
}
