//! Layers that are not what they were.

use std::{
    fs,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, ensure};

use super::{STORE, load_work_as, store};
use crate::{
    pods::{PATIENCE, Pod, one, ready},
    world::World,
};

const NAME: &str = "carob-hurt:1";

/// The workload's program in the store, and the layer's name.
fn program() -> Result<(PathBuf, String)> {
    let layers = Path::new(STORE).join("layers");
    let mut all = store()?.into_keys();
    let path = all.find(|path| path.ends_with("tree/work") && path.starts_with(&layers));
    let path = path.context("the image's program is not in the store")?;
    let layer = path.strip_prefix(&layers)?.iter().next().context("no layer")?;
    Ok((path.clone(), layer.to_string_lossy().into_owned()))
}

/// A file that a power cut emptied is seen when a container is to use it, a byte that flipped when somebody asks.
/// Either way the pod says which layer and which file it is, and goes on once the image was loaded again.
pub(super) fn damaged(world: &World) -> Result<()> {
    ready(world)?;
    // Alone in the store, so that its layer is nobody else's.
    world.carob_ok(&["image", "rm", "carob-work:1"])?;
    for (what, expected) in
        [("emptied", "\"work\" has 0 bytes, not "), ("flipped", "the content of \"work\"")]
    {
        load_work_as(world, NAME)?;
        let (path, layer) = program()?;
        ensure!(world.carob(&["image", "verify"])?.code == Some(0), "{what}: damaged from the beginning");
        let file = fs::File::options().read(true).write(true).open(&path)?;
        if what == "emptied" {
            file.set_len(0)?;
        } else {
            let mut byte = [0];
            file.read_exact_at(&mut byte, 5000)?;
            file.write_all_at(&[byte[0] ^ 1], 5000)?;
            let said = world.carob(&["image", "verify", NAME])?;
            let told = said.stdout.contains("damaged")
                && said.stdout.contains(&layer)
                && said.stdout.contains(expected);
            ensure!(said.code == Some(1) && told, "verify said {said:?}");
        }
        let manifest = one(&format!("hurt-{what}"), "exit 0", "", "").replace("carob-work:1", NAME);
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
        load_work_as(world, NAME)?;
        ensure!(pod.end("main", 0)?["exitCode"] == 0, "{what}: it did not run once it was whole");
        let said = world.carob_ok(&["image", "verify", NAME])?;
        ensure!(said.contains("whole"), "{what}: verify said {said:?}");
        pod.delete()?;
        world.carob_ok(&["image", "rm", NAME])?;
    }
    world.load_images()
}
