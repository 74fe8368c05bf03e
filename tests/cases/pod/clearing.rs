//! How a pod goes: what its containers are told, and what is left of it.

use std::{fs, path::Path, time::Instant};

use anyhow::{Context, Result, ensure};
use serde_json::json;

use super::{manifest, shell};
use crate::{
    maps,
    pods::{PATIENCE, Pod, ledger, ready},
    world::World,
};

/// Nobody waits that long if SIGTERM comes first.
const GRACE: u64 = 120;
/// Of what goes wrong in one of three, after so many hardly anybody sees nothing.
const ROUNDS: u32 = 4;

pub(super) fn asked_first(world: &World) -> Result<()> {
    let polite = "trap 'exit 3' TERM; echo ready; while :; do sleep 1 & wait; done";
    let containers = [shell("polite", polite, ""), shell("calm", "exec /work sleep", "")];
    let spec = format!("  terminationGracePeriodSeconds: {GRACE}\n");
    let pod = Pod::apply(world, "polite", &manifest("polite", &spec, &containers))?;
    pod.await_log("polite", "ready")?;
    pod.await_running("calm")?;
    let asked = Instant::now();
    pod.delete()?;
    let took = asked.elapsed().as_secs();
    ensure!(took < GRACE / 2, "it took {took} s to delete a pod that ends when asked");
    let rows = ledger(world, "polite")?;
    for (container, code, reason) in [("polite", 3, "Error"), ("calm", 0, "Completed")] {
        let row = rows.iter().find(|row| row["container"] == container).context("no row")?;
        let end = &row["end"];
        ensure!(end["exitCode"] == code && end["reason"] == reason, "{container} ended with {end}");
        let message = format!("exit code {code}, after carob asked it to stop: pod deleted");
        ensure!(end["message"] == json!(message), "{container} ended with {end}");
    }
    Ok(())
}

/// The cgroup of all pods comes with the first of them, and stays.
fn begin(world: &World) -> Result<()> {
    ready(world)?;
    let pod = Pod::apply(world, "first", &manifest("first", "", &[shell("main", "exec /work sleep", "")]))?;
    pod.await_running("main")?;
    pod.delete()
}

/// A pod with one of everything, one of its containers between two attempts.
pub(super) fn nothing_is_left(world: &World) -> Result<()> {
    begin(world)?;
    let (before, entries_before) = (world.traces()?, maps::entries()?);
    let mounts = "      volumeMounts: [{ name: disk, mountPath: /disk, subPath: deep/er }, { name: memory, mountPath: /memory }]\n";
    let containers =
        [shell("stays", "echo here > /dev/shm/file; exec /work sleep", mounts), shell("again", "exit 1", "")];
    let spec = "  volumes: [{ name: disk, emptyDir: {} }, { name: memory, emptyDir: { medium: Memory } }]\n";
    let pod = Pod::apply(world, "passing", &manifest("passing", spec, &containers))?;
    pod.await_running("stays")?;
    pod.end("again", 1)?;
    let uid = pod.uid().to_owned();
    let there = world.left_since(&before)?;
    // A look that sees nothing of a pod that runs would see nothing of one that is gone.
    for kind in ["cgroup", "mount overlay", "mount tmpfs", "mount nsfs", "fifo", "process"] {
        ensure!(there.iter().any(|trace| trace.starts_with(kind)), "a running pod has no {kind}: {there:#?}");
    }
    ensure!(maps::entries()? > entries_before, "a running pod has no entries in the kernel's maps");
    ensure!(!named(&uid).is_empty(), "a running pod has no files");
    pod.delete()?;
    // Gone for the API is gone.
    let left = world.left_since(&before)?;
    ensure!(left.is_empty(), "this is left: {left:#?}");
    let files = named(&uid);
    ensure!(files.is_empty(), "these files are left: {files:#?}");
    as_before(world, entries_before)
}

/// Starts that fail, each in its own way, some at a time.
pub(super) fn failed_starts(world: &World) -> Result<()> {
    begin(world)?;
    let (before, entries_before) = (world.traces()?, maps::entries()?);
    for round in 0..ROUNDS {
        let mut pods = Vec::new();
        for (kind, program) in [("absent", "/no/such/program"), ("text", "/etc/passwd")] {
            for number in 0..2 {
                let name = format!("{kind}-{round}-{number}");
                let container = format!(
                    "    - {{ name: main, image: \"carob-work:1\", imagePullPolicy: Never, command: [{program}] }}\n"
                );
                let spec = "  restartPolicy: Never\n";
                pods.push(Pod::apply(world, &name, &manifest(&name, spec, &[container]))?);
            }
        }
        for pod in &pods {
            let end = pod.end("main", 0)?;
            ensure!(end["reason"] == "StartError", "it ended with {end}");
        }
        pods.iter().try_for_each(Pod::delete)?;
    }
    let left = world.left_since(&before)?;
    ensure!(left.is_empty(), "this is left: {left:#?}");
    as_before(world, entries_before)
}

fn as_before(world: &World, entries_before: usize) -> Result<()> {
    world.wait_until("the kernel's maps are as before", PATIENCE, || {
        let entries = maps::entries()?;
        ensure!(entries == entries_before, "{entries} entries, before {entries_before}");
        Ok(())
    })
}

/// Everything in carob's folders that has the pod's uid in its name.
fn named(uid: &str) -> Vec<String> {
    let folders = ["/run/carob", "/var/lib/carob", "/var/log/pods", "/var/log/containers"];
    folders.iter().flat_map(|folder| below(Path::new(folder))).filter(|path| path.contains(uid)).collect()
}

fn below(dir: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        found.push(entry.path().display().to_string());
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            found.extend(below(&entry.path()));
        }
    }
    found
}
