//! Images that go because nobody needs them: when somebody asks, and when the disk is full.

use std::{
    fs::{self, File},
    io::Write,
};

use anyhow::{Context, Result, ensure};

use super::Made;
use crate::{
    pods::{PATIENCE, Pod, one, ready, sample},
    world::World,
};

const STATE: &str = "/var/lib/carob";
const FILLER: &str = "/var/lib/carob/filler";
const CONFIG: &str = "/etc/carob/config.json";

fn has(world: &World, name: &str) -> Result<bool> {
    Ok(world.carob_ok(&["image", "ls"])?.contains(name))
}

/// Loads an image and makes nothing of it.
fn load(world: &World, name: &str) -> Result<()> {
    let image = Made::new(world, name)?;
    world.carob_ok(&["image", "load", &image.path("image.tar")]).map(drop)
}

/// The container that runs, and the one that is still to come, keep their images; what has lost its name goes first.
pub(super) fn pruned(world: &World) -> Result<()> {
    ready(world)?;
    for name in ["prune-next", "prune-old", "prune-old"] {
        load(world, name)?;
    }
    let init = "  initContainers:\n    - { name: first, image: carob-work:1, imagePullPolicy: Never, command: [\"/work\", sleep] }\n";
    let manifest =
        one("pruning", "exit 0", "", init).replace("image: carob-work:1\n", "image: prune-next:1\n");
    let pod = Pod::apply(world, "pruning", &manifest)?;
    world.wait_until("the init container runs", PATIENCE, || {
        let status = pod.object()?["status"]["initContainerStatuses"][0]["state"].clone();
        ensure!(status["running"].is_object(), "it is {status}");
        Ok(())
    })?;
    let room = world.carob_ok(&["image", "df"])?;
    ensure!(room.contains("images that no pod needs") && room.contains("half-done work"), "df said {room:?}");
    let said = world.carob_ok(&["image", "prune"])?;
    ensure!(said.lines().count() == 2 && said.contains("removed <none>"), "prune said {said:?}");
    ensure!(has(world, "prune-old")? && has(world, "prune-next")?, "prune took an image with a name");
    let said = world.carob_ok(&["image", "prune", "--all"])?;
    ensure!(said.contains("prune-old:1") && said.contains(" freed"), "prune --all said {said:?}");
    let kept = ["prune-next", "carob-work"].map(|name| has(world, name));
    ensure!(kept.into_iter().collect::<Result<Vec<_>>>()? == [true, true], "prune --all said {said:?}");
    pod.delete()?;
    world.carob_ok(&["image", "prune", "--all"])?;
    let left = world.carob_ok(&["image", "ls"])?;
    ensure!(left.lines().count() == 1, "left:\n{left}");
    world.load_images()
}

/// The kubelet's marks on a small filesystem: images go down to the low one, the one of a pod stays, the pod runs on, and
/// what could not be freed is said.
pub(super) fn collected(world: &World) -> Result<()> {
    world.install()?;
    world.command("mount", &["-t", "tmpfs", "-o", "size=96m", "state", STATE])?;
    let config =
        r#"{"imageGCHighThresholdPercent": 60, "imageGCLowThresholdPercent": 30, "imageMinimumGCAge": "0s"}"#;
    fs::write(CONFIG, config).context("write the configuration")?;
    ready(world)?;
    let pod = Pod::apply(world, "room-user", &one("room-user", "sleep", "", ""))?;
    pod.await_running("main")?;
    let pid = pod.main_pid("main", 0)?;
    load(world, "room-first")?;
    ensure!(has(world, "room-first")?, "an image went although there is room");
    let mut filler = File::create(FILLER)?;
    for _ in 0..62 {
        filler.write_all(&[7; 1 << 20])?;
    }
    load(world, "room-second")?;
    world.wait_until("images make room", PATIENCE, || {
        let left = world.carob_ok(&["image", "ls"])?;
        ensure!(left.lines().count() == 2 && left.contains("carob-work:1"), "left:\n{left}");
        Ok(())
    })?;
    world.wait_until("it is said that it was not enough", PATIENCE, || {
        let events = world.read("/api/v1/events")?;
        let events = events["items"].as_array().cloned().unwrap_or_default();
        let told = events.iter().find(|event| event["reason"] == "FreeDiskSpaceFailed");
        let told = told.with_context(|| format!("among {events:?}"))?;
        ensure!(told["involvedObject"]["kind"] == "Node" && told["type"] == "Warning", "it is {told}");
        let page = world.metrics()?;
        let removed = sample(&page, "kubelet_image_garbage_collected_total", &[("reason", "space")])?;
        ensure!(
            removed >= 2.0 && pressure(&page)? == 1.0,
            "removed {removed}, pressure {}",
            pressure(&page)?
        );
        Ok(())
    })?;
    fs::remove_file(FILLER)?;
    load(world, "room-third")?;
    world.wait_until("there is room again", PATIENCE, || {
        let pressure = pressure(&world.metrics()?)?;
        ensure!(pressure == 0.0, "the disk is still said to be full");
        Ok(())
    })?;
    ensure!(has(world, "room-third")?, "an image went although there is room");
    let (now, state) = (pod.main_pid("main", 0)?, pod.container("main")?);
    ensure!(now == pid && state["restartCount"] == 0, "the pod's container was ended: {state}");
    pod.delete()
}

fn pressure(page: &str) -> Result<f64> {
    let labels = [("condition", "DiskPressure"), ("status", "true")];
    sample(page, "kube_node_status_condition", &labels)
}
