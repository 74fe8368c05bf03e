//! `cargo xtask vm`: the virtual machine that tests and `run` use, by hand. Also the root of its parts.

pub(crate) mod arm64;
mod base;
mod cpio;
pub(crate) mod debian;
pub(crate) mod guest;
pub(crate) mod image;
pub(crate) mod kernel;
pub(crate) mod machine;
pub(crate) mod package;
pub(crate) mod payload;
pub(crate) mod qemu;
mod qmp;
mod rootfs;
pub(crate) mod rundir;
pub(crate) mod series;
pub(crate) mod x86;

use std::path::Path;

use anyhow::Result;

use self::{
    guest::Guest,
    machine::{Machine, Saved},
    payload::Payload,
    qemu::Console,
    rundir::RunDir,
    series::KernelWord,
    x86::Disk,
};
use crate::{artefact, build, place::Place, tool::tool};

#[derive(clap::Subcommand)]
pub(crate) enum Verb {
    /// A shell in a restored guest, with the payload (agent, units, images, pods) under /payload
    Shell(KernelWord),
    /// The same after a cold boot, with the kernel's messages
    Boot(KernelWord),
    /// Makes all that is cached: Debian, kernel, disk, saved state
    Prepare(KernelWord),
    /// Removes all that is cached
    Clean,
}

pub(crate) fn run(place: &Place, verb: &Verb) -> Result<()> {
    match verb {
        Verb::Shell(word) | Verb::Boot(word) => shell(place, verb, *word),
        Verb::Prepare(word) => {
            Saved::made(place, &Machine::with_kernel(place, word.kernel)?)?;
            Ok(())
        }
        Verb::Clean => artefact::remove(&place.cache),
    }
}

fn shell(place: &Place, verb: &Verb, word: KernelWord) -> Result<()> {
    build::all(place)?;
    let machine = Machine::with_kernel(place, word.kernel)?;
    let run = RunDir::new(place, "shell")?;
    let payload = Payload::new(place, &machine.busybox, run.path())?.disk()?;
    let mut guest = if matches!(verb, Verb::Boot(_)) {
        Guest::boot(&machine, Disk::Forgotten(&machine.disk), &payload, "", Console::Terminal, run.path())?
    } else {
        let saved = Saved::made(place, &machine)?;
        Guest::restore(&machine, &saved, &payload, Console::Terminal, run.path())?
    };
    guest.go(&["shell"])?;
    guest.wait()
}

/// An ext4 image of `size` that holds what is in `dir`. Needs no mount.
fn ext4(dir: &Path, image: &Path, size: &str, features: &str) -> Result<()> {
    let words =
        ["-q", "-F", "-t", "ext4", "-m", "0", "-O", features, "-E", "lazy_itable_init=1,nodiscard", "-d"];
    tool("mke2fs").args(words).arg(dir).arg(image).arg(size).run()
}
