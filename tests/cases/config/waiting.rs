//! What is missing is waited for, in the kubelet's words, and it goes on soon after the object has come.

use std::time::Instant;

use anyhow::{Result, ensure};

use super::{
    super::pod::{manifest, shell},
    Object,
};
use crate::{
    pods::{PATIENCE, Pod},
    world::World,
};

/// Without being woken a container would be tried again after 10, 20, 40 seconds.
const SOON: u64 = 9;

pub(super) fn for_variables(world: &World) -> Result<()> {
    let needs = "      env: [{ name: A, valueFrom: { configMapKeyRef: { name: late, key: word } } }]\n";
    let containers =
        [shell("needs", "echo got $A; exec /work sleep", needs), shell("free", "exec /work sleep", "")];
    let pod = Pod::apply(world, "late-env", &manifest("late-env", "", &containers))?;
    pod.await_running("free")?;
    await_waiting(world, &pod, "CreateContainerConfigError", "configmap \"late\" not found")?;
    let late = Object::apply(world, "configmap", "late", "data: { other: x }\n")?;
    await_waiting(
        world,
        &pod,
        "CreateContainerConfigError",
        "couldn't find key word in ConfigMap default/late",
    )?;
    let asked = Instant::now();
    late.change("data: { word: here }\n")?;
    pod.await_log("needs", "got here")?;
    let took = asked.elapsed().as_secs();
    ensure!(took < SOON, "it took {took} s to start after the key had come");
    ensure!(pod.container("free")?["restartCount"] == 0, "the other container was restarted");
    Ok(())
}

pub(super) fn for_volumes(world: &World) -> Result<()> {
    let spec = "  volumes: [{ name: keys, secret: { secretName: late-keys } }]\n";
    let mount = "      volumeMounts: [{ name: keys, mountPath: /keys }]\n";
    let main = shell("needs", "cat /keys/key; exec /work sleep", mount);
    let pod = Pod::apply(world, "late-volume", &manifest("late-volume", spec, &[main]))?;
    let words = "MountVolume.SetUp failed for volume \"keys\" : secret \"late-keys\" not found";
    await_waiting(world, &pod, "ContainerCreating", words)?;
    let asked = Instant::now();
    let _keys = Object::apply(world, "secret", "late-keys", "data: { key: b3Blbgo= }\n")?;
    pod.await_log("needs", "open")?;
    let took = asked.elapsed().as_secs();
    ensure!(took < SOON, "it took {took} s to start after the secret had come");
    Ok(())
}

fn await_waiting(world: &World, pod: &Pod<'_>, reason: &str, message: &str) -> Result<()> {
    world.wait_until(&format!("it waits: {message}"), PATIENCE, || {
        let state = pod.container("needs")?["state"].clone();
        let waiting = &state["waiting"];
        let said = waiting["message"].as_str().unwrap_or_default();
        ensure!(waiting["reason"] == reason && said.contains(message), "it is {state}");
        Ok(())
    })
}
