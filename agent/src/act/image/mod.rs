//! The local image store: loads archives, keeps each layer unpacked once, names images, and finds them offline.
//!
//! Asks no registry and mounts nothing. One process has one `Store` on a directory; calls block.
//!
//! ```text
//! <root>/configs/<hex>            an image is here if and only if its config is
//!        configs/<hex>.used       after how many other uses it was last used
//!        layers/<hex>/tree/       a layer, unpacked for overlayfs; named by the digest of its uncompressed tar
//!        layers/<hex>/facts.json  what the tree held when it was unpacked
//!        partial/<hex>            as much of a packed blob as has come from a registry
//!        layers/<hex>/recipe      how its tar is made again from the tree
//!        layers/<hex>/damaged     why nobody may use it, if that was found
//!        names.json               canonical reference → image
//!        tmp/                     work in progress; emptied when the store is opened
//! ```
//! Order is the whole protection against a power cut: layers are on the disk before their names are, layers before
//! the config that needs them, the config before the name; each becomes visible by one rename. On the way out the
//! config goes first, and with it the image; the names and layers that it leaves are swept up.
#![expect(clippy::disallowed_methods, reason = "an effect module: the image store is files")]

mod archive;
mod budget;
mod collect;
mod digest;
mod disk;
mod entries;
mod error;
mod export;
mod format;
#[cfg(test)]
mod fuzz;
mod load;
mod names;
pub(crate) mod pulled;
mod recipe;
mod reference;
mod room;
mod rooted;
mod space;
mod unpack;
mod uses;
mod whole;
mod zstd;

#[cfg(test)]
mod fixture;

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
};

use serde::{Deserialize, Serialize};

pub(crate) use collect::Collected;
pub(crate) use digest::Digest;
pub(super) use digest::Hashing;
use disk::{Census, Scratch, failed};
pub(crate) use error::Error;
use error::{Damage, Flaw, LIMITS, Limits};
use format::{Blob, Defaults};
pub(crate) use load::Loaded;
use names::Names;
use reference::Reference;
pub(crate) use room::{Amount, Gone, Room, Which};
pub(crate) use uses::InUse;
use uses::Uses;
pub(crate) use whole::Verified;

/// The fewest digits of an id that may stand for it; as many as docker shows.
const SHORT_ID: usize = 12;

/// An image in the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Image {
    /// The digest of its config.
    pub(crate) id: Digest,
    /// Canonical references; none if all its names went to newer images.
    pub(crate) names: Vec<String>,
    /// Bytes of its unpacked files, those shared with other images included.
    pub(crate) size: u64,
    /// RFC 3339, as its builder wrote it.
    pub(crate) created: Option<String>,
    pub(crate) config: Config,
    /// What is mounted, lowest first.
    stack: Vec<Digest>,
}

/// What an image asks for, unless the Pod says otherwise.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Config {
    pub(crate) entrypoint: Vec<String>,
    pub(crate) cmd: Vec<String>,
    pub(crate) env: Vec<(String, String)>,
    pub(crate) working_dir: Option<String>,
    /// `user[:group]`, names or numbers.
    pub(crate) user: Option<String>,
    /// `SIGTERM`, `TERM` or a number.
    pub(crate) stop_signal: Option<String>,
}

/// What `remove` took away.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Removed {
    /// The image is still there under another name.
    Name(String),
    /// The image, all its names, and the layers that no other image has.
    Image(Digest),
}

/// What is kept of a layer beside its tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Facts {
    #[serde(flatten)]
    census: Census,
    devices: u64,
    opaque: bool,
    /// Bytes of its tar, if there is a recipe for it: older carobs kept none.
    #[serde(default)]
    tar: Option<u64>,
}

/// The image store in one directory.
#[derive(Debug)]
pub(crate) struct Store {
    root: PathBuf,
    limits: Limits,
    /// Changes take turns: a layer that one load counts on is not swept up by a removal.
    turn: Mutex<()>,
    /// Layers that were counted since the store was opened, and whole.
    counted: Mutex<BTreeSet<Digest>>,
    uses: Mutex<Uses>,
}

impl Store {
    /// The store as it is, for who changes nothing in it.
    fn at(root: &Path) -> Self {
        let (turn, counted, uses) = (Mutex::default(), Mutex::default(), Mutex::default());
        Self { root: root.to_owned(), limits: LIMITS, turn, counted, uses }
    }

    /// Opens or makes the store, and removes what a run that was killed left half done.
    pub(crate) fn open(root: &Path) -> Result<Self, Error> {
        let store = Self::at(root);
        // Layers hold set-id programs, old ones too: no one else on the box may reach them.
        disk::make_directory(root, 0o700)?;
        for directory in ["configs", "layers", "partial", "tmp"] {
            disk::make_directory(&root.join(directory), 0o700)?;
        }
        disk::empty(&store.tmp()).map_err(failed("empty", &store.tmp()))?;
        store.drop_old_partials();
        store.sweep_or_warn();
        *lock(&store.uses) = Uses::read(&root.join("configs"));
        Ok(store)
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// Every image, by id. One that is damaged is left out with a warning.
    pub(crate) fn list(&self) -> Result<Vec<Image>, Error> {
        let names = Names::read(&self.names_path())?;
        let mut images = Vec::new();
        for id in self.ids()? {
            match self.image(id, &names) {
                Ok(image) => images.extend(image),
                Err(error) => tracing::warn!(image = %id, %error, "not listed"),
            }
        }
        Ok(images)
    }

    /// The image of a reference, an id, or the first 12 or more digits of one; none if it is not here.
    pub(crate) fn find(&self, text: &str) -> Result<Option<Image>, Error> {
        let names = Names::read(&self.names_path())?;
        let found = self.resolve(text, &names)?;
        found.map_or(Ok(None), |found| self.image(found.id(), &names))
    }

    /// The directories to mount, lowest first.
    pub(crate) fn layers(&self, image: &Image) -> Vec<PathBuf> {
        image.stack.iter().map(|layer| self.layer_path(*layer).join("tree")).collect()
    }

    /// Drops a name, and with the last one the image; an id takes all its names along. What is in use stays.
    pub(crate) fn remove(&self, text: &str, in_use: &InUse) -> Result<Removed, Error> {
        let _turn = self.turn();
        let mut names = Names::read(&self.names_path())?;
        let found = self.resolve(text, &names)?.ok_or_else(|| Error::NotFound { text: text.to_owned() })?;
        let id = found.id();
        if let Found::Name(name, _) = &found
            && names.of(id).len() > 1
        {
            names.drop_name(name);
            names.write(&self.names_path(), &Scratch::new(&self.tmp())?)?;
            return Ok(Removed::Name(name.to_string()));
        }
        self.drop_image(id, in_use)?;
        Ok(Removed::Image(id))
    }

    /// Drops an image with all its names, and the layers that no other has. Gives back what those had in their files. The
    /// caller holds the turn.
    fn drop_image(&self, id: Digest, in_use: &InUse) -> Result<u64, Error> {
        self.hide(id, in_use)?;
        Ok(self.sweep_or_warn())
    }

    fn turn(&self) -> MutexGuard<'_, ()> {
        lock(&self.turn)
    }
}

/// What is guarded is in order after any panic.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How a text named an image.
enum Found {
    Name(Reference, Digest),
    Id(Digest),
}

impl Found {
    fn id(&self) -> Digest {
        let (Self::Name(_, id) | Self::Id(id)) = self;
        *id
    }
}

/// Reading.
impl Store {
    fn resolve(&self, text: &str, names: &Names) -> Result<Option<Found>, Error> {
        if let Some(id) = Digest::parse(text).or_else(|| Digest::from_hex(text)) {
            return Ok(self.config_path(id).exists().then_some(Found::Id(id)));
        }
        let reference = Reference::parse(text)?;
        match names.lookup(&reference).filter(|id| self.config_path(*id).exists()) {
            Some(id) if names.has(&reference) => Ok(Some(Found::Name(reference, id))),
            Some(id) => Ok(Some(Found::Id(id))),
            None => Ok(self.short_id(text)?.map(Found::Id)),
        }
    }

    fn short_id(&self, text: &str) -> Result<Option<Digest>, Error> {
        let digits = text.strip_prefix("sha256:").unwrap_or(text);
        if digits.len() < SHORT_ID || !digest::is_hex(digits) {
            return Ok(None);
        }
        let mut fit = self.ids()?.into_iter().filter(|id| id.hex().starts_with(digits));
        match (fit.next(), fit.next()) {
            (Some(_), Some(_)) => Err(Error::Ambiguous { text: text.to_owned() }),
            (only, _) => Ok(only),
        }
    }

    fn ids(&self) -> Result<BTreeSet<Digest>, Error> {
        let names = disk::names(&self.root.join("configs"))?;
        Ok(names.iter().filter_map(|name| Digest::from_hex(name)).collect())
    }

    fn image(&self, id: Digest, names: &Names) -> Result<Option<Image>, Error> {
        let Some(blob) = self.blob(id)? else { return Ok(None) };
        let mut seen = BTreeSet::new();
        let (mut size, mut stack) = (0, Vec::new());
        for layer in blob.rootfs.diff_ids {
            let facts = self.facts(layer).map_err(|flaw| Error::damaged(id, layer, flaw))?;
            if facts.opaque {
                stack.clear();
            }
            stack.push(layer);
            if seen.insert(layer) {
                size += facts.census.bytes;
            }
        }
        let config = Config::from(blob.config.unwrap_or_default());
        Ok(Some(Image { id, names: names.of(id), size, created: blob.created, config, stack }))
    }

    fn blob(&self, id: Digest) -> Result<Option<Blob>, Error> {
        let Some(bytes) = disk::read(&self.config_path(id))? else { return Ok(None) };
        if Digest::of(&bytes) != id {
            return Err(Error::Damaged { image: id, source: Box::new(Damage::Config) });
        }
        let name = || id.to_string();
        serde_json::from_slice(&bytes).map(Some).map_err(|source| Error::Json { name: name(), source })
    }

    /// What is known of a layer that may be used.
    fn facts(&self, layer: Digest) -> Result<Facts, Flaw> {
        let path = self.layer_path(layer);
        if let Ok(text) = fs::read_to_string(path.join("damaged")) {
            return Err(Flaw::Marked { text });
        }
        let bytes = fs::read(path.join("facts.json")).map_err(|_| Flaw::Facts)?;
        serde_json::from_slice(&bytes).map_err(|_| Flaw::Facts)
    }

    fn config_path(&self, id: Digest) -> PathBuf {
        self.root.join("configs").join(id.hex())
    }

    fn layer_path(&self, layer: Digest) -> PathBuf {
        self.root.join("layers").join(layer.hex())
    }

    fn names_path(&self) -> PathBuf {
        self.root.join("names.json")
    }

    fn tmp(&self) -> PathBuf {
        self.root.join("tmp")
    }
}

/// Sweeping. Callers hold the turn.
impl Store {
    fn sweep_or_warn(&self) -> u64 {
        self.sweep().unwrap_or_else(|error| {
            tracing::warn!(%error, "unused names and layers stay until the next start");
            0
        })
    }

    /// Removes the names of images that are gone, and the layers that no image has; says how many bytes were in their
    /// files. With a damaged config around no one knows which those are: none goes.
    fn sweep(&self) -> Result<u64, Error> {
        let (ids, scratch) = (self.ids()?, Scratch::new(&self.tmp())?);
        let mut names = Names::read(&self.names_path())?;
        if names.keep(&ids) {
            names.write(&self.names_path(), &scratch)?;
        }
        for use_of in uses::of_others(&self.root.join("configs"), &ids)? {
            scratch.swallow(&use_of)?;
        }
        let mut used = BTreeSet::new();
        for id in ids {
            used.extend(self.blob(id)?.into_iter().flat_map(|blob| blob.rootfs.diff_ids));
        }
        let mut bytes = 0;
        for name in disk::names(&self.root.join("layers"))? {
            let layer = Digest::from_hex(&name);
            if layer.is_none_or(|layer| !used.contains(&layer)) {
                bytes += layer.map_or(0, |layer| self.bytes_of(layer));
                scratch.swallow(&self.root.join("layers").join(name))?;
            }
        }
        Ok(bytes)
    }
}

impl From<Defaults> for Config {
    fn from(defaults: Defaults) -> Self {
        let given = |text: Option<String>| text.filter(|text| !text.is_empty());
        let env = defaults.env.unwrap_or_default();
        Self {
            entrypoint: defaults.entrypoint.unwrap_or_default(),
            cmd: defaults.cmd.unwrap_or_default(),
            env: env
                .iter()
                .filter_map(|e| e.split_once('='))
                .map(|(k, v)| (k.to_owned(), v.to_owned()))
                .collect(),
            working_dir: given(defaults.working_dir),
            user: given(defaults.user),
            stop_signal: given(defaults.stop_signal),
        }
    }
}

#[cfg(test)]
mod tests;
