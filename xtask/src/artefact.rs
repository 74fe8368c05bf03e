//! The cache: every artefact is a directory named after a hash of what it is made from. A build that is killed
//! leaves no artefact, and two builds of the same one wait for each other. What is in an artefact is not known here.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process,
    time::SystemTime,
};

use anyhow::{Context, Result};
use sha2::{Digest, Sha256};

/// How many artefacts of one name are kept: this tree's, and those of a branch or two.
const KEPT: usize = 3;
const HASH_DIGITS: usize = 16;

/// What an artefact is made from. Equal recipes give the same artefact.
pub(crate) struct Recipe {
    name: String,
    hash: Sha256,
}

impl Recipe {
    pub(crate) fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), hash: Sha256::new() }
    }

    pub(crate) fn with(mut self, part: impl AsRef<[u8]>) -> Self {
        let part = part.as_ref();
        // The length keeps ("ab", "c") apart from ("a", "bc").
        self.hash.update(part.len().to_le_bytes());
        self.hash.update(part);
        self
    }

    /// The name of an artefact that this one is made from stands for its content.
    pub(crate) fn with_artefact(self, dir: &Path) -> Self {
        self.with(dir.file_name().unwrap_or_default().as_encoded_bytes())
    }

    /// The artefact's directory; `build` fills it if it is not there yet.
    pub(crate) fn in_cache(self, cache: &Path, build: impl FnOnce(&Path) -> Result<()>) -> Result<PathBuf> {
        let hash: String = self.hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        let dir = cache.join(format!("{}-{}", self.name, &hash[..HASH_DIGITS]));
        let made = named(&dir, build)?;
        File::open(&made)?.set_modified(SystemTime::now()).context("mark the artefact as used")?;
        drop_oldest(cache, &self.name)?;
        Ok(made)
    }
}

/// An artefact whose name says all that matters of it.
pub(crate) fn named(dir: &Path, build: impl FnOnce(&Path) -> Result<()>) -> Result<PathBuf> {
    if dir.is_dir() {
        return Ok(dir.to_path_buf());
    }
    let (parent, name) =
        (dir.parent().context("artefact without a place")?, dir.file_name().unwrap_or_default());
    fs::create_dir_all(parent).with_context(|| format!("create {}", parent.display()))?;
    let lock = File::create(parent.join(format!(".{}.lock", name.display())))?;
    lock.lock().with_context(|| format!("wait for another build of {}", name.display()))?;
    if !dir.is_dir() {
        let part = parent.join(format!(".{}.{}.part", name.display(), process::id()));
        remove(&part)?;
        fs::create_dir(&part)?;
        match build(&part) {
            Ok(()) => fs::rename(&part, dir).with_context(|| format!("name {}", dir.display()))?,
            Err(fault) => {
                remove(&part)?;
                return Err(fault);
            }
        }
    }
    Ok(dir.to_path_buf())
}

fn drop_oldest(cache: &Path, name: &str) -> Result<()> {
    let mut found = Vec::new();
    for entry in fs::read_dir(cache)? {
        let entry = entry?;
        let file_name = entry.file_name();
        let hash = file_name.to_str().and_then(|text| text.strip_prefix(name)?.strip_prefix('-'));
        if hash.is_some_and(|hash| hash.len() == HASH_DIGITS && hash.bytes().all(|b| b.is_ascii_hexdigit())) {
            found.push((entry.metadata()?.modified()?, entry.path()));
        }
    }
    found.sort();
    found.iter().rev().skip(KEPT).try_for_each(|(_, old)| remove(old))
}

pub(crate) fn remove(dir: &Path) -> Result<()> {
    match fs::remove_dir_all(dir) {
        Err(fault) if fault.kind() != std::io::ErrorKind::NotFound => {
            Err(fault).with_context(|| format!("remove {}", dir.display()))
        }
        _ => Ok(()),
    }
}
