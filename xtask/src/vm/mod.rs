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
    x86::Disk,
};
use crate::{artefact, build, place::Place, tool::tool};

#[derive(clap::Subcommand)]
pub(crate) enum Verb {
    /// A shell in a restored guest, with the payload (agent, units, images, pods) under /payload
    Shell,
    /// The same after a cold boot, with the kernel's messages
    Boot,
    /// Makes all that is cached: Debian, kernel, disk, saved state
    Prepare,
    /// Removes all that is cached
    Clean,
}

pub(crate) fn run(place: &Place, verb: &Verb) -> Result<()> {
    match verb {
        Verb::Shell | Verb::Boot => shell(place, verb),
        Verb::Prepare => {
            Saved::made(place, &Machine::prepared(place)?)?;
            Ok(())
        }
        Verb::Clean => artefact::remove(&place.cache),
    }
}

fn shell(place: &Place, verb: &Verb) -> Result<()> {
    build::all(place)?;
    let machine = Machine::prepared(place)?;
    let run = RunDir::new(place, "shell")?;
    let payload = Payload::new(place, &machine.busybox, run.path())?.disk()?;
    let mut guest = if matches!(verb, Verb::Boot) {
        Guest::boot(&machine, Disk::Forgotten(&machine.disk), &payload, Console::Terminal, run.path())?
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
