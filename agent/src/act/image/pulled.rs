//! Registry → store, the store's half: which of an index is for this box, what is still lacking, and how what a child of
//! ours has unpacked becomes visible. Asks no registry.
//!
//! ```text
//!   child: manifest, config ─► lacks? ─► layer ─► digest ─► unpack ─┐ in scratch space, beside everything else
//!   agent:                            visible ◄── the store's turn ◄┘
//! ```

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use serde::{Deserialize, Serialize};

use super::{
    Digest, Error, Image, LIMITS, Store,
    budget::Budget,
    disk::{self, Scratch, failed},
    format::{Blob, Descriptor, Listed, Platform, architecture},
    load::{Incoming, unpack_layer},
    names::Names,
    reference::{Reference, Version},
    space::Disk,
};

/// How long what has come of a blob is kept for a pull that goes on.
const PARTIAL_AGE: Duration = Duration::from_secs(24 * 3600);

/// What an image is called, in the parts that a registry is asked with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Source {
    /// The canonical reference.
    pub(crate) name: String,
    pub(crate) registry: String,
    pub(crate) repository: String,
    /// A tag, or a digest.
    pub(crate) version: String,
}

/// Takes a reference apart.
pub(crate) fn source(text: &str) -> Result<Source, Error> {
    let reference = Reference::parse(text)?;
    let (registry, repository) = reference.repository.split_once('/').unwrap_or(("", &reference.repository));
    let version = match &reference.version {
        Version::Tag(tag) => tag.clone(),
        Version::Digest(digest) => digest.to_string(),
    };
    let (registry, repository) = (registry.to_owned(), repository.to_owned());
    Ok(Source { name: reference.to_string(), registry, repository, version })
}

/// A blob that has to be fetched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub(crate) digest: Digest,
    pub(crate) size: u64,
}

/// What a manifest is good for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Listing {
    /// It is an index; this one of it is for this box.
    Index(Digest),
    Image {
        config: Wanted,
        layers: Vec<Wanted>,
    },
}

/// Reads a manifest or an index.
pub(crate) fn listing(bytes: &[u8], name: &str) -> Result<Listing, Error> {
    let listed = serde_json::from_slice(bytes);
    match listed.map_err(|source| Error::Json { name: name.to_owned(), source })? {
        Listed::Index { manifests } => {
            let ours = |found: &&Descriptor| found.platform.as_ref().is_none_or(Platform::is_ours);
            let found = manifests.iter().find(ours).map(|found| Listing::Index(found.digest));
            found.ok_or(Error::NoPlatform { architecture: architecture() })
        }
        Listed::Manifest { config, layers } => {
            let wanted = |blob: &Descriptor| {
                let size = blob.size.ok_or(Error::NoSize { blob: blob.digest })?;
                Ok(Wanted { digest: blob.digest, size })
            };
            let layers = layers.iter().map(wanted).collect::<Result<_, _>>()?;
            Ok(Listing::Image { config: wanted(&config)?, layers })
        }
    }
}

/// An image of which every layer is in the store, or unpacked in scratch space.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Prepared {
    id: Digest,
    config: String,
    name: String,
    manifest: Digest,
    layers: Vec<Digest>,
    fresh: BTreeMap<Digest, PathBuf>,
}

/// Where a child prepares one image. It reads the store, and writes nothing but scratch space.
pub(crate) struct Workshop {
    store: Store,
    scratch: Scratch,
    budget: Mutex<Budget>,
}

/// The layers of an image in the making, lowest first: what is to be fetched, and what that unpacks to.
pub(crate) type Layers = Vec<(Wanted, Digest)>;

impl Workshop {
    pub(crate) fn new(store: &Path, scratch: &Path) -> Self {
        let store = Store::at(store);
        let budget = Budget::new(LIMITS.unpacked_entries, LIMITS.unpacked_bytes, scratch);
        Self { store, scratch: Scratch::of_another(scratch), budget: Mutex::new(budget) }
    }

    /// Where blobs are until they are whole. They outlive the child, so that what has come need not come again.
    pub(crate) fn partial(&self, blob: Digest) -> PathBuf {
        self.store.partial_path(blob)
    }

    /// The same while another pull has that file.
    pub(crate) fn spare(&self, blob: Digest) -> PathBuf {
        self.scratch.path().join(format!("blob-{}", blob.hex()))
    }

    /// Checks that an image's config fits its manifest and this box.
    pub(crate) fn layers(&self, config: &[u8], id: Digest, listed: Vec<Wanted>) -> Result<Layers, Error> {
        let name = id.to_string();
        let blob: Blob = serde_json::from_slice(config).map_err(|source| Error::Json { name, source })?;
        if blob.architecture.is_some_and(|built_for| built_for != architecture()) {
            return Err(Error::NoPlatform { architecture: architecture() });
        }
        let expected = blob.rootfs.diff_ids;
        if listed.len() != expected.len() {
            return Err(Error::Layers { image: id, listed: listed.len(), expected: expected.len() });
        }
        if listed.len() > LIMITS.layers {
            return Err(Error::TooMany { what: "layers", limit: LIMITS.layers as u64 });
        }
        let size = listed.iter().map(|blob| blob.size).try_fold(0, u64::checked_add);
        if size.is_none_or(|size| size > LIMITS.archive_bytes) {
            return Err(Error::TooBig { name: "the image".to_owned(), limit: LIMITS.archive_bytes });
        }
        Ok(listed.into_iter().zip(expected).collect())
    }

    /// Whether the blobs fit that have to be fetched. How large they are once they are unpacked shows when they are.
    pub(crate) fn ensure_space(&self, lacking: impl Iterator<Item = Wanted>) -> Result<(), Error> {
        let begun = |blob: Wanted| fs::metadata(self.partial(blob.digest)).map_or(0, |partial| partial.len());
        let needed = lacking.map(|blob| blob.size.saturating_sub(begun(blob))).sum();
        let scratch = self.scratch.path();
        let disk = Disk::of(scratch).map_err(failed("look at the filesystem of", scratch))?;
        disk.spare(needed).map(drop).map_err(|source| Error::Full { source })
    }

    /// Whether a layer has to be fetched.
    pub(crate) fn lacks(&self, layer: Digest) -> bool {
        !self.store.is_kept(layer)
    }

    /// Unpacks a fetched blob. One at a time: a disk has no use for two.
    pub(crate) fn unpack(&self, layer: Digest, packed: &Path) -> Result<PathBuf, Error> {
        let mut budget = self.budget.lock().unwrap_or_else(PoisonError::into_inner);
        unpack_layer(layer, packed, &self.scratch, &mut budget)
    }

    /// All there is of the image.
    pub(crate) fn finish(
        &self,
        source: &Source,
        (id, config): (Digest, Vec<u8>),
        manifest: Digest,
        layers: &Layers,
        fresh: BTreeMap<Digest, PathBuf>,
    ) -> Result<Prepared, Error> {
        let config = String::from_utf8(config).map_err(|_| Error::NotText { blob: id })?;
        let layers = layers.iter().map(|(_, layer)| *layer).collect();
        Ok(Prepared { id, config, name: source.name.clone(), manifest, layers, fresh })
    }
}

/// Scratch space that a child works in.
pub(crate) struct Lent(Scratch);

impl Lent {
    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Store {
    pub(crate) fn lend(&self) -> Result<Lent, Error> {
        Scratch::new(&self.tmp()).map(Lent)
    }

    /// The manifest that an image of this name came with, if it is here and whole by what its files say.
    pub(crate) fn manifest_of(&self, name: &str) -> Result<Option<Digest>, Error> {
        let names = Names::read(&self.names_path())?;
        Ok(names.manifest(&Reference::parse(name)?))
    }

    /// Makes an image visible that a child has prepared in this scratch space.
    pub(crate) fn commit(&self, prepared: Prepared, scratch: &Lent) -> Result<Image, Error> {
        let Prepared { id, config, name, manifest, layers, fresh } = prepared;
        let _turn = self.turn();
        // Others may have taken away what the child found.
        let gone =
            layers.iter().find(|layer| !fresh.contains_key(layer) && !self.layer_path(**layer).exists());
        if let Some(layer) = gone {
            return Err(Error::Swept { layer: *layer });
        }
        let names = vec![Reference::parse(&name)?];
        let image = Incoming { id, config: config.into_bytes(), names, manifest: Some(manifest), layers };
        self.show(&[image], &fresh, &scratch.0)?;
        let names = Names::read(&self.names_path())?;
        self.image(id, &names)?.ok_or(Error::NotFound { text: name })
    }

    fn partial_path(&self, blob: Digest) -> PathBuf {
        self.root.join("partial").join(blob.hex())
    }

    /// What was begun long ago and never finished.
    pub(super) fn drop_old_partials(&self) {
        if let Err(error) = disk::drop_old(&self.root.join("partial"), PARTIAL_AGE) {
            tracing::warn!(%error, "what was begun of old pulls is left");
        }
    }
}
