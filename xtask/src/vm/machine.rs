//! The virtual machine's parts, each made once and cached: Debian, kernel, disk, and the state saved after one boot.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};

use super::{
    base::{Furnishing, base},
    debian::Archive,
    guest::Guest,
    kernel::Kernel,
    qemu::Console,
    rootfs::rootfs,
    rundir::RunDir,
    series::Series,
    x86::{Disk, KERNEL_WORDS, MACHINE, PROGRAM},
};
use crate::{artefact::Recipe, packages, place::Place, progress::stage, tool::tool};

/// mmdebstrap and the keyring: Debian for the guest; kmod: module index; lz4, zstd, xz: the packed kernel.
const PACKAGES: &[&str] = &[
    "debian-archive-keyring",
    "e2fsprogs",
    "kmod",
    "lz4",
    "mmdebstrap",
    "qemu-system-x86",
    "xz-utils",
    "zstd",
];
const STATE: &str = "state";
/// Every payload disk has this size: a saved machine finds the disk it was saved with.
const PAYLOAD_SIZE: u64 = 1 << 30;

pub(crate) struct Machine {
    pub(crate) kernel: Kernel,
    /// The guest's file system as it is before its first boot.
    pub(crate) disk: PathBuf,
    pub(crate) busybox: PathBuf,
    series: Series,
}

impl Machine {
    /// Makes what is missing; minutes the first time, nothing later.
    pub(crate) fn prepared(place: &Place) -> Result<Self> {
        Self::with_kernel(place, Series::default())
    }

    /// The same with another kernel, whose parts are kept beside those of the usual one.
    pub(crate) fn with_kernel(place: &Place, series: Series) -> Result<Self> {
        Self::made(place, series, Furnishing::Cases)
    }

    /// The usual one, with podman and others in it.
    pub(crate) fn with_peers(place: &Place) -> Result<Self> {
        Self::made(place, Series::default(), Furnishing::Peers)
    }

    fn made(place: &Place, series: Series, furnishing: Furnishing) -> Result<Self> {
        packages::ensure(PACKAGES)?;
        let archive = Archive::of_this_machine()?;
        let base = base(place, &archive, furnishing)?;
        let kernel = Kernel::made(place, &archive, &base, series)?;
        let disk = rootfs(place, &base, furnishing)?.join("root.img");
        Ok(Self { kernel, disk, busybox: base.join("root/bin/busybox"), series })
    }
}

/// A machine that has booted and waits for "go".
pub(crate) struct Saved {
    dir: PathBuf,
}

impl Saved {
    pub(crate) fn made(place: &Place, machine: &Machine) -> Result<Self> {
        let version = tool(PROGRAM).arg("--version").output()?;
        let disk_artefact = machine.disk.parent().context("a disk that is no artefact")?;
        let recipe = Recipe::new(format!("saved-{}", machine.series.name))
            .with(version)
            .with(MACHINE.join("\n"))
            .with(KERNEL_WORDS);
        let recipe = recipe.with_artefact(&machine.kernel.artefact).with_artefact(disk_artefact);
        let dir = recipe.in_cache(&place.cache, |dir| {
            let stage = stage("vm: boot once and save the state");
            save(place, machine, dir)?;
            stage.done();
            Ok(())
        })?;
        Ok(Self { dir })
    }

    pub(crate) fn disk(&self) -> PathBuf {
        self.dir.join("disk.img")
    }

    pub(crate) fn state(&self) -> PathBuf {
        self.dir.join(STATE)
    }
}

fn save(place: &Place, machine: &Machine, dir: &Path) -> Result<()> {
    let run = RunDir::new(place, "save")?;
    let payload = run.path().join("payload.img");
    fs::File::create(&payload)?.set_len(PAYLOAD_SIZE)?;
    let disk = dir.join("disk.img");
    copy_sparse(&machine.disk, &disk)?;
    let guest = Guest::boot(machine, Disk::Kept(&disk), &payload, "", Console::Logged, run.path())?;
    guest.save(&dir.join(STATE))
}

pub(crate) fn copy_sparse(from: &Path, to: &Path) -> Result<()> {
    tool("cp").args(["--sparse=always", "--reflink=auto"]).arg(from).arg(to).run()
}

/// A disk of the one size, holding what is in `dir`.
pub(crate) fn payload_disk(dir: &Path, image: &Path) -> Result<()> {
    super::ext4(dir, image, &format!("{}M", PAYLOAD_SIZE >> 20), "^has_journal")
}
