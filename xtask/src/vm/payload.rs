//! What a run brings into the guest: the static binaries, the units, `monitoring/`, images, example pods and the run's
//! own files, on a disk the guest mounts at /payload.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};

use super::{image::Images, machine};
use crate::place::{ARM64, HOST, Place};

pub(crate) struct Payload {
    dir: PathBuf,
    disk: PathBuf,
}

impl Payload {
    /// Gathers what every run needs in `run`, a directory of its own. `busybox` is for the images.
    pub(crate) fn new(place: &Place, busybox: &Path, run: &Path) -> Result<Self> {
        let work = place.binaries(HOST).join("carob-tests");
        Self::gathered(place, HOST, &Images::made(place, busybox, &work)?.archives, run)
    }

    /// The same for the arm64 guest.
    pub(crate) fn for_arm64(place: &Place, busybox: &Path, run: &Path) -> Result<Self> {
        let work = place.binaries(ARM64).join("carob-tests");
        Self::gathered(place, ARM64, &Images::for_arm64(place, busybox, &work)?.archives, run)
    }

    fn gathered(place: &Place, triple: &str, images: &[PathBuf], run: &Path) -> Result<Self> {
        let payload = Self { dir: run.join("payload"), disk: run.join("payload.img") };
        for binary in ["carob", "carob-tests"] {
            payload.add("bin", &place.binaries(triple).join(binary))?;
        }
        images.iter().try_for_each(|archive| payload.add("images", archive))?;
        payload.add_all("systemd", &place.root.join("systemd"))?;
        payload.add_all("monitoring", &place.root.join("monitoring"))?;
        payload.add_all("pods", &place.root.join("tests/pods"))?;
        Ok(payload)
    }

    /// Puts one file into `folder` of the payload.
    pub(crate) fn add(&self, folder: &str, file: &Path) -> Result<()> {
        let folder = self.dir.join(folder);
        fs::create_dir_all(&folder)?;
        let to = folder.join(file.file_name().unwrap_or_default());
        fs::copy(file, to).with_context(|| format!("put {} into the payload", file.display()))?;
        Ok(())
    }

    fn add_all(&self, folder: &str, from: &Path) -> Result<()> {
        let entries = fs::read_dir(from).with_context(|| format!("read {}", from.display()))?;
        for entry in entries {
            let path = entry?.path();
            if path.is_file() {
                self.add(folder, &path)?;
            }
        }
        Ok(())
    }

    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// The payload as a disk; what is added later is not on it.
    pub(crate) fn disk(&self) -> Result<PathBuf> {
        machine::payload_disk(&self.dir, &self.disk)?;
        Ok(self.disk.clone())
    }
}
