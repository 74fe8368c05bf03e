//! The names of the images: one small file, replaced as a whole.
//!
//! An image without a name is still an image. Whether an image is there, its config says, not its name.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use serde::{Deserialize, Serialize};

use super::{
    Digest, Error,
    disk::{self, Scratch},
    reference::{Reference, Version},
};

/// Canonical reference → image.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Names(BTreeMap<String, Named>);

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Named {
    image: Digest,
    /// The digest of the manifest it came with, if it came with one.
    manifest: Option<Digest>,
}

impl Names {
    /// A store without the file has no names.
    pub(super) fn read(path: &Path) -> Result<Self, Error> {
        let Some(bytes) = disk::read(path)? else { return Ok(Self::default()) };
        serde_json::from_slice(&bytes)
            .map_err(|source| Error::Json { name: path.display().to_string(), source })
    }

    pub(super) fn write(&self, path: &Path, scratch: &Scratch) -> Result<(), Error> {
        let bytes = serde_json::to_vec_pretty(self)
            .map_err(|source| Error::Json { name: path.display().to_string(), source })?;
        disk::replace(path, &bytes, scratch)
    }

    /// Gives the name to an image; another one that had it keeps its other names.
    pub(super) fn set(&mut self, reference: &Reference, image: Digest, manifest: Option<Digest>) {
        self.0.insert(reference.to_string(), Named { image, manifest });
    }

    /// The image of a tag; by digest, one of that repository whose manifest or config has it.
    pub(super) fn lookup(&self, wanted: &Reference) -> Option<Digest> {
        if let Some(named) = self.0.get(&wanted.to_string()) {
            return Some(named.image);
        }
        let Version::Digest(digest) = wanted.version else { return None };
        let same =
            |text: &str| Reference::parse(text).is_ok_and(|named| named.repository == wanted.repository);
        let mut fit =
            self.0.iter().filter(|(_, named)| named.image == digest || named.manifest == Some(digest));
        fit.find(|(text, _)| same(text)).map(|(_, named)| named.image)
    }

    /// The manifest that the image of this very name came with.
    pub(super) fn manifest(&self, reference: &Reference) -> Option<Digest> {
        self.0.get(&reference.to_string())?.manifest
    }

    /// Whether this very name is there.
    pub(super) fn has(&self, reference: &Reference) -> bool {
        self.0.contains_key(&reference.to_string())
    }

    pub(super) fn of(&self, image: Digest) -> Vec<String> {
        self.0.iter().filter(|(_, named)| named.image == image).map(|(text, _)| text.clone()).collect()
    }

    pub(super) fn drop_name(&mut self, reference: &Reference) {
        self.0.remove(&reference.to_string());
    }

    /// Only those of these images; whether others went.
    pub(super) fn keep(&mut self, images: &BTreeSet<Digest>) -> bool {
        let before = self.0.len();
        self.0.retain(|_, named| images.contains(&named.image));
        self.0.len() < before
    }

    pub(super) fn drop_image(&mut self, image: Digest) {
        self.0.retain(|_, named| named.image != image);
    }
}
