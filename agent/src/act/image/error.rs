//! What the store refuses: its limits and its errors.
//!
//! What is wrong inside a tar stream is `entries::Fault`, carried here as a source.

use std::{io, path::PathBuf};

use super::{Digest, disk::Census, entries::Fault, space::Full};

/// How much an archive may ask for, however large the disk is: far above any image for a small box. What the disk has to
/// spare is `space`'s.
#[derive(Clone, Debug)]
pub(super) struct Limits {
    /// Bytes of an archive, uncompressed.
    pub(super) archive_bytes: u64,
    pub(super) archive_entries: u64,
    /// Bytes of one manifest or config.
    pub(super) json_bytes: u64,
    /// Bytes and entries of all layers of one load.
    pub(super) unpacked_bytes: u64,
    pub(super) unpacked_entries: u64,
    /// Layers of one image: what one overlay mount takes.
    pub(super) layers: usize,
}

/// The limits of a real store.
pub(super) const LIMITS: Limits = Limits {
    archive_bytes: 32 << 30,
    archive_entries: 10_000,
    json_bytes: 4 << 20,
    unpacked_bytes: 32 << 30,
    unpacked_entries: 2_000_000,
    layers: 128,
};

/// Why the store could not do it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("cannot {what} {}", path.display())]
    Disk {
        what: &'static str,
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("cannot unpack the archive")]
    Archive {
        #[source]
        source: Fault,
    },
    #[error("cannot unpack the layer {layer}")]
    Layer {
        layer: Digest,
        #[source]
        source: Fault,
    },
    #[error("cannot decompress {name:?}")]
    Corrupt {
        name: String,
        #[source]
        source: io::Error,
    },
    #[error("{name:?} is compressed with {kind}: gzip, zstd and plain tar are accepted")]
    Compression { name: String, kind: &'static str },
    #[error("{name:?} has more than {limit} bytes")]
    TooBig { name: String, limit: u64 },
    #[error("the image does not fit")]
    Full {
        #[source]
        source: Full,
    },
    #[error("the archive has more than {limit} {what}")]
    TooMany { what: &'static str, limit: u64 },
    #[error("it is no image archive: neither manifest.json nor an OCI index.json is in it")]
    NoManifest,
    #[error("there is no image for linux/{architecture} in it")]
    NoPlatform { architecture: &'static str },
    #[error("the manifest does not say how long {blob} is")]
    NoSize { blob: Digest },
    #[error("the config {blob} is no text")]
    NotText { blob: Digest },
    #[error("the layer {layer} was removed while the image was pulled")]
    Swept { layer: Digest },
    #[error("cannot decode {name:?}")]
    Json {
        name: String,
        #[source]
        source: serde_json::Error,
    },
    #[error("the archive names {name:?} but does not have it")]
    Missing { name: String },
    #[error("the content of {name:?} is {actual}, not {expected}")]
    Digest { name: String, expected: Digest, actual: Digest },
    #[error("the manifest of {image} lists {listed} layers, its config {expected}")]
    Layers { image: Digest, listed: usize, expected: usize },
    #[error("{} has directories nested deeper than {limit}", path.display())]
    Deep { path: PathBuf, limit: u32 },
    #[error("{text:?} is not an image reference: {fault}")]
    Reference { text: String, fault: &'static str },
    #[error("there is no image {text:?}")]
    NotFound { text: String },
    #[error("{text:?} begins the id of more than one image")]
    Ambiguous { text: String },
    #[error("the image {image} is in use")]
    InUse { image: Digest },
    #[error("the image {image} is damaged: load it again")]
    Damaged {
        image: Digest,
        #[source]
        source: Box<Damage>,
    },
    #[error("cannot send the archive")]
    Send {
        #[source]
        source: io::Error,
    },
    #[error(
        "the layer {layer} of {image} was loaded by an older carob, which did not keep how to pack it again: load the image again"
    )]
    NoRecipe { image: Digest, layer: Digest },
}

impl Error {
    /// Of an image with that layer.
    pub(super) fn damaged(image: Digest, layer: Digest, flaw: Flaw) -> Self {
        Self::Damaged { image, source: Box::new(Damage::Layer { layer, flaw }) }
    }
}

/// Which part of an image is not what it was.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Damage {
    #[error("its config is not what its id says")]
    Config,
    #[error("its layer {layer}")]
    Layer {
        layer: Digest,
        #[source]
        flaw: Flaw,
    },
}

/// What is wrong with a layer that was whole when it was unpacked. Names come from its archive: always shown escaped.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Flaw {
    #[error("it is not known what it held")]
    Facts,
    /// Found before, and written down.
    #[error("{text}")]
    Marked { text: String },
    #[error(
        "it holds {} files and directories with {} bytes, not {} with {}",
        actual.entries, actual.bytes, expected.entries, expected.bytes
    )]
    Count { expected: Census, actual: Census },
    #[error("its files cannot be counted")]
    Uncounted {
        #[source]
        source: Box<Error>,
    },
    #[error("cannot read {name:?}")]
    Unreadable {
        name: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("{name:?} is no file any more")]
    NoFile { name: PathBuf },
    #[error("{name:?} has {actual} bytes, not {expected}")]
    Size { name: PathBuf, expected: u64, actual: u64 },
    #[error("the content of {name:?} is not what was unpacked")]
    Content { name: PathBuf },
    #[error("its recipe cannot be read")]
    Recipe {
        #[source]
        source: io::Error,
    },
    #[error("packed again it is {actual}")]
    Digest { actual: Digest },
}

/// For who reads a layer as a stream; `Flaw::of` takes it out again.
impl From<Flaw> for io::Error {
    fn from(flaw: Flaw) -> Self {
        Self::new(io::ErrorKind::InvalidData, flaw)
    }
}

impl Flaw {
    /// Why a stream that was made again could not be read on.
    pub(super) fn of(error: io::Error) -> Self {
        error.downcast().unwrap_or_else(|source| Self::Recipe { source })
    }
}
