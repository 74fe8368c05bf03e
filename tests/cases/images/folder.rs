//! The folder of image archives, and folders that are image archives.

use std::{
    fs::{self, File},
    io::Write,
    path::Path,
};

use anyhow::{Context, Result, ensure};

use super::Made;
use crate::{
    pods::{PATIENCE, ready},
    world::World,
};

const FOLDER: &str = "/etc/carob/images";

/// Puts an archive there as a tool would that moves it in whole.
fn put(image: &Made, file: &str) -> Result<()> {
    let hidden = Path::new(FOLDER).join(format!(".{file}"));
    fs::copy(image.path("image.tar.gz"), &hidden)?;
    fs::rename(&hidden, Path::new(FOLDER).join(file)).with_context(|| format!("put {file} there"))
}

fn await_listed(world: &World, image: &Made) -> Result<()> {
    world.wait_until(&format!("{} is loaded", image.name), PATIENCE, || {
        let list = world.carob_ok(&["image", "ls"])?;
        ensure!(list.contains(&image.name), "the list is:\n{list}");
        Ok(())
    })
}

/// The messages of refused archives.
fn refused(world: &World) -> Result<Vec<String>> {
    let events = world.read("/api/v1/events")?;
    let events = events["items"].as_array().cloned().unwrap_or_default();
    let ours = events.iter().filter(|event| event["reason"] == "ImageArchiveRefused");
    Ok(ours.map(|event| event["message"].as_str().unwrap_or_default().to_owned()).collect())
}

/// Read when it is whole, once, and again when it has changed; not by each agent anew.
pub(super) fn dropped(world: &World) -> Result<()> {
    ready(world)?;
    let [slow, second, third] =
        ["dropped-slow", "dropped-second", "dropped-third"].map(|name| Made::new(world, name));
    let (slow, second, third) = (slow?, second?, third?);
    let (path, bytes) = (Path::new(FOLDER).join("slow.tar"), fs::read(slow.path("image.tar"))?);
    let mut file = File::create(&path)?;
    file.write_all(&bytes[..bytes.len() / 2])?;
    // Something else is seen meanwhile: half a file is left alone.
    put(&second, "second.tgz")?;
    await_listed(world, &second)?;
    ensure!(refused(world)?.is_empty(), "refused: {:?}", refused(world)?);
    file.write_all(&bytes[bytes.len() / 2..])?;
    drop(file);
    await_listed(world, &slow)?;
    fs::write(Path::new(FOLDER).join("third.tar"), &bytes[..bytes.len() / 2])?;
    world.wait_until("the cut archive is refused", PATIENCE, || {
        let told = refused(world)?;
        let named =
            told.len() == 1 && told[0].contains("third.tar") && told[0].contains("cannot unpack the archive");
        ensure!(named, "refused: {told:?}");
        Ok(())
    })?;
    // Its archive lies there: it is not cleaned up, but goes when it is named.
    world.carob_ok(&["image", "prune", "--all"])?;
    world.carob_ok(&["image", "rm", &slow.name])?;
    world.restart()?;
    put(&third, "third.tar")?;
    await_listed(world, &third)?;
    let list = world.carob_ok(&["image", "ls"])?;
    ensure!(!list.contains(&slow.name), "another agent has loaded it again:\n{list}");
    ensure!(list.contains(&second.name), "it was pruned although its archive lies there:\n{list}");
    world.command("touch", &[&path.display().to_string()])?;
    await_listed(world, &slow)?;
    for (image, file) in [(&slow, "slow.tar"), (&second, "second.tgz"), (&third, "third.tar")] {
        fs::remove_file(Path::new(FOLDER).join(file))?;
        world.carob_ok(&["image", "rm", &image.name])?;
    }
    world.load_images()
}

/// What `skopeo copy … oci:layout` makes: here from an export.
pub(super) fn layout(world: &World) -> Result<()> {
    ready(world)?;
    let image = Made::new(world, "layout")?;
    world.carob_ok(&["image", "load", &image.path("image.tar")])?;
    world.carob_ok(&["image", "export", &image.name, "-o", &image.path("out.tar")])?;
    let dir = image.path("unpacked");
    fs::create_dir(&dir)?;
    world.command("tar", &["-C", &dir, "-xf", &image.path("out.tar")])?;
    fs::remove_file(format!("{dir}/manifest.json")).context("leave only the layout")?;
    world.carob_ok(&["image", "rm", &image.name])?;
    let said = world.carob_ok(&["image", "load", &format!("{dir}/")])?;
    ensure!(said == format!("loaded docker.io/library/{}\n", image.name), "load said {said:?}");
    fs::remove_file(format!("{dir}/index.json"))?;
    let said = world.carob(&["image", "load", &dir])?;
    ensure!(said.code == Some(1) && said.stderr.contains("no index.json"), "load said {said:?}");
    world.carob_ok(&["image", "rm", &image.name]).map(drop)
}
