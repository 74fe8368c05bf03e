//! What the store refuses: its limits and its errors.
//!
//! What is wrong inside a tar stream is `entries::Fault`, carried here as a source.

use std::{io, path::PathBuf};

use super::Digest;
use super::entries::Fault;

/// How much an archive may ask for. Far above any image for a small box, far below filling it without notice.
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
    Damaged { image: Digest },
}
