//! Volumes made of images.

use std::fs;

use anyhow::{Context, Result, ensure};

use crate::{
    cases::pod::{manifest, shell},
    pods::{PATIENCE, Pod, ready},
    world::World,
};

const WORK: &str = "/tmp/carob-image-volume";
const IMAGE: &str = "volume-data:1";
/// Makes an image of two layers in the folder $1, with the name $2: the upper one has another `word`.
const MAKE: &str = r#"
set -e
rm -rf "$1"; mkdir -p "$1/low/deep" "$1/high"; cd "$1"
echo below > low/word; echo inner > low/deep/inner; printf '#!/bin/sh\necho executed\n' > low/run; chmod 755 low/run
echo above > high/word
for layer in low high; do tar --owner=0 --group=0 -C $layer -cf $layer.tar .; done
sum() { sha256sum "$1" | cut -d' ' -f1; }
printf '{"architecture":"amd64","os":"linux","config":{},"rootfs":{"type":"layers","diff_ids":["sha256:%s","sha256:%s"]}}' "$(sum low.tar)" "$(sum high.tar)" > config.json
printf '[{"Config":"config.json","RepoTags":["%s"],"Layers":["low.tar","high.tar"]}]' "$2" > manifest.json
tar -cf image.tar config.json low.tar high.tar manifest.json
"#;

/// Conformance: "ImageVolume should succeed with pod and pull policy of Always".
pub(super) fn volume(world: &World) -> Result<()> {
    ready(world)?;
    world.command("sh", &["-c", MAKE, "sh", WORK, IMAGE])?;
    let script = "cat /data/word /part/inner; if echo no > /data/word; then echo written; fi; \
        if /data/run; then :; else echo not executed; fi; echo looked; exec /work sleep";
    let mounts = "      volumeMounts: [{ name: data, mountPath: /data }, { name: data, mountPath: /part, subPath: deep }]\n";
    let rows =
        [("image-always", "Always", "ImagePullBackOff"), ("image-never", "Never", "ErrImageNeverPull")];
    let mut pods = Vec::new();
    for (name, policy, reason) in rows {
        let spec =
            format!("  volumes: [{{ name: data, image: {{ reference: {IMAGE}, pullPolicy: {policy} }} }}]\n");
        let containers = [shell("main", script, mounts), shell("other", "exec /work sleep", "")];
        let pod = Pod::apply(world, name, &manifest(name, &spec, &containers))?;
        world.wait_until(&format!("{name} waits"), PATIENCE, || {
            let waiting = pod.container("main")?["state"]["waiting"].clone();
            ensure!(waiting["reason"] == reason, "it is {waiting}");
            let message = waiting["message"].as_str().unwrap_or_default();
            ensure!(message.contains(IMAGE), "it says {message:?}");
            Ok(())
        })?;
        // A container without the volume does not wait for it.
        pod.await_running("other")?;
        pods.push(pod);
    }
    world.carob_ok(&["image", "load", &format!("{WORK}/image.tar")])?;
    for pod in &pods {
        pod.await_log("main", "looked\n")?;
        let said = pod.logs("main")?;
        for wanted in ["above\ninner\n", "Read-only file system", "Permission denied", "not executed\n"] {
            ensure!(said.contains(wanted), "it said {said:?} without {wanted:?}");
        }
        let done = said.lines().find(|line| ["written", "executed"].contains(line));
        ensure!(done.is_none(), "it said {said:?}");
    }
    let said = world.carob(&["image", "rm", IMAGE])?;
    ensure!(said.code == Some(1) && said.stderr.contains("is in use"), "rm said {said:?}");
    for pod in &pods {
        pod.delete()?;
    }
    let table = fs::read_to_string("/proc/self/mountinfo").context("read the mount table")?;
    for pod in &pods {
        ensure!(!table.contains(pod.uid()), "mounts of the pod are left:\n{table}");
    }
    world.carob_ok(&["image", "rm", IMAGE])?;
    fs::remove_dir_all(WORK).context("remove the image's folder")
}
