//! Limits on what a pod keeps on the box's disk: who goes beyond is evicted, in the kubelet's words.

use anyhow::{Result, ensure};

use crate::{
    cases::pod::{manifest, shell},
    pods::{PATIENCE, Pod},
    world::World,
};

const FILL: &str = "dd if=/dev/zero of=FILE bs=65536 count=48; exec /work sleep";

fn fill(name: &str, file: &str, more: &str) -> String {
    shell(name, &FILL.replace("FILE", file), more)
}

fn limited(limit: &str) -> String {
    format!("      resources: {{ limits: {{ ephemeral-storage: {limit} }} }}\n")
}

fn await_eviction(world: &World, pod: &Pod<'_>, message: &str) -> Result<()> {
    world.wait_until(&format!("eviction: {message}"), PATIENCE, || {
        let status = pod.object()?["status"].clone();
        let found = [&status["phase"], &status["reason"], &status["message"]];
        ensure!(found == ["Failed", "Evicted", message], "its status is {status}");
        Ok(())
    })
}

pub(super) fn evicted(world: &World) -> Result<()> {
    let mount = "      volumeMounts: [{ name: scratch, mountPath: /scratch }]\n";
    let volume = |limit: &str| format!("  volumes: [{{ name: scratch, emptyDir: {{ {limit} }} }}]\n");
    let modest = Pod::apply(
        world,
        "fill-none",
        &manifest(
            "fill-none",
            &volume("sizeLimit: 64Mi"),
            &[fill("main", "/scratch/file", &format!("{mount}{}", limited("64Mi")))],
        ),
    )?;
    let rows = [
        (
            "fill-volume",
            volume("sizeLimit: 1Mi"),
            vec![fill("main", "/scratch/file", mount)],
            "Usage of EmptyDir volume \"scratch\" exceeds the limit \"1Mi\". ",
        ),
        (
            "fill-layer",
            String::new(),
            vec![fill("main", "/file", &limited("1Mi")), shell("other", "exec /work sleep", &limited("1Gi"))],
            "Container main exceeded its local ephemeral storage limit \"1Mi\". ",
        ),
        (
            "fill-pod",
            volume(""),
            vec![fill("main", "/scratch/file", &format!("{mount}{}", limited("2Mi")))],
            "Pod ephemeral local storage usage exceeds the total limit of containers 2Mi. ",
        ),
        (
            "fill-log",
            String::new(),
            vec![
                shell("main", "yes | head -c 3000000; exec /work sleep", &limited("1Mi")),
                shell("other", "exec /work sleep", &limited("1Gi")),
            ],
            "Container main exceeded its local ephemeral storage limit \"1Mi\". ",
        ),
    ];
    for (name, spec, containers, message) in rows {
        let pod = Pod::apply(world, name, &manifest(name, &spec, &containers))?;
        await_eviction(world, &pod, message)?;
        let end = pod.end("main", 0)?.to_string();
        // Who does not listen to SIGTERM is killed.
        let by_carob = ["pod evicted", "SIGKILL from carob"].iter().any(|words| end.contains(words));
        ensure!(by_carob, "the ledger says {end}");
        ensure!(pod.ledger()?.len() == containers.len(), "{name} was started again: {:?}", pod.ledger()?);
    }
    ensure!(
        modest.object()?["status"]["phase"] == "Running",
        "within its limits: {}",
        modest.object()?["status"]
    );
    Ok(())
}

pub(super) fn outlives(world: &World) -> Result<()> {
    let containers = [fill("main", "/file", &limited("1Mi"))];
    let pod = Pod::apply(world, "fill-again", &manifest("fill-again", "", &containers))?;
    let message = "Pod ephemeral local storage usage exceeds the total limit of containers 1Mi. ";
    await_eviction(world, &pod, message)?;
    world.restart()?;
    await_eviction(world, &pod, message)?;
    ensure!(pod.ledger()?.len() == 1, "it was started again: {:?}", pod.ledger()?);
    Ok(())
}
