//! Where things lie: the workspace, its target folder, and the cache outside of it. Nothing is created here.

use std::{
    env,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};

/// The machine that builds; the guest of most cases is of its kind.
pub(crate) const HOST: &str = "x86_64-unknown-linux-gnu";
/// The other machine the agent is for.
pub(crate) const ARM64: &str = "aarch64-unknown-linux-gnu";

#[derive(Clone)]
pub(crate) struct Place {
    /// The workspace that is built and tested: this one, or a mutant's copy of it.
    pub(crate) root: PathBuf,
    pub(crate) cache: PathBuf,
}

impl Place {
    pub(crate) fn here() -> Result<Self> {
        let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
        let root = manifest.parent().context("xtask lies in no workspace")?.to_path_buf();
        let cache = match env::var_os("XDG_CACHE_HOME").filter(|dir| !dir.is_empty()) {
            Some(dir) => PathBuf::from(dir),
            None => PathBuf::from(env::var_os("HOME").context("neither XDG_CACHE_HOME nor HOME is set")?)
                .join(".cache"),
        };
        Ok(Self { root, cache: cache.join("carob") })
    }

    pub(crate) fn target(&self) -> PathBuf {
        self.root.join("target")
    }

    /// What is built for another machine. Its compiler may be another one: neither waits for the other's lock.
    pub(crate) fn cross(&self) -> PathBuf {
        self.target().join("cross")
    }

    /// Where `cargo build --release --target …` leaves its binaries.
    pub(crate) fn binaries(&self, triple: &str) -> PathBuf {
        let target = if triple == HOST { self.target() } else { self.cross() };
        target.join(triple).join("release")
    }

    pub(crate) fn bpf_object(&self) -> PathBuf {
        self.target().join("bpf/carob.bpf.o")
    }
}
