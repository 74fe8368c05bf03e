//! The scratch directory of one run of a machine: one run of a name at a time, emptied at its start, kept at its
//! end for a look at the console.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};

use crate::{artefact, place::Place};

pub(crate) struct RunDir {
    path: PathBuf,
    /// Held, not read: dropping it lets the next run of the name begin.
    _lock: File,
}

impl RunDir {
    pub(crate) fn new(place: &Place, name: &str) -> Result<Self> {
        let all = place.target().join("vm");
        fs::create_dir_all(&all).with_context(|| format!("create {}", all.display()))?;
        let lock = File::create(all.join(format!("{name}.lock")))?;
        lock.lock().with_context(|| format!("wait for another `{name}` run to end"))?;
        let path = all.join(name);
        artefact::remove(&path)?;
        fs::create_dir(&path)?;
        Ok(Self { path, _lock: lock })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}
