//! Layers that are not what they were.

use std::{
    fs,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, ensure};

use super::{Made, STORE, store};
use crate::{
    pods::{PATIENCE, Pod, one, ready},
    world::World,
};

/// The image's own file in the store, and the layer's name.
fn noise(image: &Made) -> Result<(PathBuf, String)> {
    let layers = Path::new(STORE).join("layers");
    let mut all = store()?.into_keys();
    let is_its = |path: &PathBuf| {
        path.ends_with("tree/noise") && fs::read(path).is_ok_and(|content| content == image.noise)
    };
    let path = all.find(is_its).context("the image's file is not in the store")?;
    let layer = path.strip_prefix(&layers)?.iter().next().context("no layer")?;
    Ok((path.clone(), layer.to_string_lossy().into_owned()))
}

/// A file that a power cut emptied is seen when a container is to use it, a byte that flipped when somebody asks.
/// Either way the pod says which layer and which file it is, and goes on once the image was loaded again.
pub(super) fn damaged(world: &World) -> Result<()> {
    ready(world)?;
    for (what, expected) in
        [("emptied", "\"noise\" has 0 bytes, not "), ("flipped", "the content of \"noise\"")]
    {
        let image = Made::with_program(world, &format!("hurt-{what}"))?;
        let load = || world.carob_ok(&["image", "load", &image.path("image.tar")]);
        load()?;
        let (path, layer) = noise(&image)?;
        ensure!(world.carob(&["image", "verify"])?.code == Some(0), "{what}: damaged from the beginning");
        let file = fs::File::options().read(true).write(true).open(&path)?;
        if what == "emptied" {
            file.set_len(0)?;
            // As after a power cut: what was counted before counts no more.
            world.restart()?;
        } else {
            let mut byte = [0];
            file.read_exact_at(&mut byte, 5000)?;
            file.write_all_at(&[byte[0] ^ 1], 5000)?;
            let said = world.carob(&["image", "verify", &image.name])?;
            let told = said.stdout.contains("damaged")
                && said.stdout.contains(&layer)
                && said.stdout.contains(expected);
            ensure!(said.code == Some(1) && told, "verify said {said:?}");
        }
        let manifest = one(&format!("hurt-{what}"), "exit 0", "", "").replace("carob-work:1", &image.name);
        let pod = Pod::apply(world, &format!("hurt-{what}"), &manifest)?;
        let waiting = world.wait_until(&format!("hurt-{what} waits"), PATIENCE, || {
            let waiting = pod.container("main")?["state"]["waiting"].clone();
            ensure!(waiting["reason"] == "ImageInspectError", "it is {waiting}");
            Ok(waiting)
        })?;
        let message = waiting["message"].as_str().unwrap_or_default();
        ensure!(message.contains(&layer) && message.contains(expected), "{what}: it says {message:?}");
        let events = world.carob_ok(&["events", "--for", &format!("pod/hurt-{what}")])?;
        ensure!(events.contains(&layer), "{what}: no event names the layer:\n{events}");
        load()?;
        ensure!(pod.end("main", 0)?["exitCode"] == 0, "{what}: it did not run once it was whole");
        let said = world.carob_ok(&["image", "verify", &image.name])?;
        ensure!(said.contains("whole"), "{what}: verify said {said:?}");
        pod.delete()?;
        world.carob_ok(&["image", "rm", &image.name])?;
    }
    Ok(())
}
