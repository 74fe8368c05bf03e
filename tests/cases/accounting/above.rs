//! Causes above the pod: a limit of a cgroup that holds all pods, the box's own memory, an agent that is gone when what it
//! asked for happens.

use std::{fs, path::Path};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::MIB;
use crate::{
    pods::{PATIENCE, Pod, one},
    world::World,
};

const PODS: &str = "/sys/fs/cgroup/carob.slice/carob-pods.service/pods";

/// A limit that is taken away again however the case ends.
struct Limit(std::path::PathBuf);

impl Limit {
    fn of(cgroup: &str, bytes: u64) -> Result<Self> {
        let file = Path::new(cgroup).join("memory.max");
        fs::write(&file, bytes.to_string()).with_context(|| format!("write {}", file.display()))?;
        Ok(Self(file))
    }
}

impl Drop for Limit {
    fn drop(&mut self) {
        let _ = fs::write(&self.0, "max");
    }
}

fn check_oom(end: &Value, limit: &str) -> Result<()> {
    let found = [&end["exitCode"], &end["signal"], &end["reason"], &end["cause"]];
    let wanted = [json!(137), json!(9), json!("OOMKilled"), json!("oom")];
    ensure!(found.iter().zip(&wanted).all(|(one, other)| *one == other), "the ledger says {end}");
    let said = end["message"].as_str().unwrap_or_default();
    ensure!(said.starts_with(&format!("OOM: {limit}, main process")), "the ledger says {said:?}");
    Ok(())
}

pub(super) fn ancestor(world: &World) -> Result<()> {
    // The cgroup comes with the first pod.
    let bystander = Pod::apply(world, "bystander", &one("bystander", "sleep", "", ""))?;
    bystander.await_running("main")?;
    let used: u64 = world.cgroup("", "memory.current")?.parse()?;
    let bytes = (used / MIB + 48) * MIB;
    let limit = Limit::of(PODS, bytes)?;
    let pod = Pod::apply(world, "oom-above", &one("oom-above", "hog 400", "", ""))?;
    let end = pod.end("main", 0)?;
    drop(limit);
    check_oom(&end, &format!("limit of /carob.slice/carob-pods.service/pods {}Mi", bytes / MIB))
}

pub(super) fn node(world: &World) -> Result<()> {
    let bystander = Pod::apply(world, "bystander", &one("bystander", "sleep", "", ""))?;
    bystander.await_running("main")?;
    let pod = Pod::apply(world, "oom-of-node", &one("oom-of-node", "hog 65536", "", ""))?;
    check_oom(&pod.end("main", 0)?, "the node ran out of memory")?;
    ensure!(bystander.container("main")?["restartCount"] == 0, "the wrong one was killed");
    Ok(())
}

/// The agent asks, and is gone when it happens; what it said of it is still known.
pub(super) fn asked_before(world: &World) -> Result<()> {
    let script = "trap 'touch /box/asked; while [ -e /box/stay ]; do sleep 0.2; done; exit 3' TERM; touch /box/stay; echo ready; while :; do sleep 0.2; done";
    let mount = "      volumeMounts: [{ name: box, mountPath: /box }]\n";
    let spec = "  terminationGracePeriodSeconds: 600\n  volumes: [{ name: box, hostPath: { path: /tmp/asked-before, type: DirectoryOrCreate } }]\n";
    let manifest = one("asked-before", "sleep", mount, spec)
        .replace("command: [\"/work\", \"sleep\"]", &format!("command: [\"sh\", \"-c\", {script:?}]"));
    let pod = Pod::apply(world, "asked-before", &manifest)?;
    pod.await_log("main", "ready")?;
    let pid = pod.main_pid("main", 0)?;
    world.carob_ok(&["delete", "pod", "asked-before", "--wait=false"])?;
    world.wait_until("it was asked", PATIENCE, || {
        fs::metadata("/tmp/asked-before/asked").context("not yet").map(drop)
    })?;
    world.stop()?;
    fs::remove_file("/tmp/asked-before/stay").context("let it end")?;
    world.wait_until("it has ended", PATIENCE, || {
        let gone = fs::read_to_string(format!("/proc/{pid}/stat")).map_or(true, |stat| stat.contains(") Z "));
        ensure!(gone, "it still runs");
        Ok(())
    })?;
    world.start()?;
    let end = pod.end("main", 0)?;
    let said = end["message"].as_str().unwrap_or_default();
    let wanted = "exit code 3, after carob asked it to stop: pod deleted";
    ensure!(end["exitCode"] == 3 && said == wanted && end["source"] == "kernel", "the ledger says {end}");
    Ok(())
}
