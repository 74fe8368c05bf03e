//! Archives that carob writes.

use std::fs;

use anyhow::{Context, Result, ensure};

use super::{Made, store};
use crate::{
    pods::ready,
    world::{AGENT, World},
};

/// The line of an image in the list.
fn listed(world: &World, name: &str) -> Result<String> {
    let list = world.carob_ok(&["image", "ls"])?;
    let line = list.lines().find(|line| line.contains(name)).map(str::to_owned);
    line.with_context(|| format!("{name} is not listed:\n{list}"))
}

/// Out to a file and through a pipe, and each time in again: the same id, the same files.
pub(super) fn same(world: &World) -> Result<()> {
    ready(world)?;
    let image = Made::new(world, "exported")?;
    world.carob_ok(&["image", "load", &image.path("image.tar.gz")])?;
    let (before, line) = (store()?, listed(world, &image.name)?);
    let file = image.path("out.tar");
    world.carob_ok(&["image", "export", &image.name, "-o", &file])?;
    let held = world.command("tar", &["-tf", &file])?;
    for wanted in ["oci-layout", "index.json", "manifest.json", "blobs/sha256/"] {
        ensure!(held.contains(wanted), "no {wanted} in the archive:\n{held}");
    }
    let unpack = format!(
        "mkdir {0} && tar -C {0} -xf {file} && cd {0}/blobs/sha256 && for f in *; do echo \"$f  $f\"; done | sha256sum -c --quiet",
        image.path("blobs")
    );
    world.command("sh", &["-c", &unpack]).context("a blob is not what it is named after")?;
    let piped = format!(
        "{AGENT} image export {0} | tee {1} > {1}.piped; {AGENT} image rm {0}; {AGENT} image load - < {1}.piped",
        image.name, file
    );
    for script in [format!("{AGENT} image rm {} && {AGENT} image load {file}", image.name), piped] {
        world.command("sh", &["-c", &script])?;
        let again = listed(world, &image.name)?;
        ensure!(again == line, "it was {line:?}, it is {again:?}");
        let now = store()?;
        ensure!(now == before, "the store held {before:?}, it holds {now:?}");
    }
    ensure!(fs::read(&file)? == fs::read(format!("{file}.piped"))?, "two exports differ");
    let said = world.carob(&["image", "export", "carob-absent:1", "-o", &image.path("absent.tar")])?;
    ensure!(said.code == Some(1) && said.stderr.contains("there is no image"), "export said {said:?}");
    let left: Vec<_> = fs::read_dir(image.path(""))?
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .collect();
    ensure!(!left.iter().any(|name| name.starts_with("absent")), "left behind: {left:?}");
    world.carob_ok(&["image", "rm", &image.name]).map(drop)
}
