//! `hostNetwork`, `hostPID` and `hostIPC`, seen from inside and by the kernel's numbers of the namespaces.

use std::fs;

use anyhow::{Context, Result, ensure};

use super::address;
use crate::{
    cases::pod::{manifest, shell},
    pods::{Pod, ready, sample},
    world::World,
};

const KINDS: [&str; 6] = ["net", "uts", "ipc", "pid", "mnt", "cgroup"];

/// Which namespaces of a container's first process are the box's.
fn of_the_box(world: &World, pod: &Pod<'_>) -> Result<Vec<&'static str>> {
    let all = world.cgroup(&pod.cgroup_name("main", 0), "cgroup.procs")?;
    let pid = all.lines().next().context("no process in the container")?.to_owned();
    let link = |pid: &str, kind: &str| {
        let path = format!("/proc/{pid}/ns/{kind}");
        fs::read_link(&path).with_context(|| format!("read {path}"))
    };
    let mut shared = Vec::new();
    for kind in KINDS {
        if link(&pid, kind)? == link("self", kind)? {
            shared.push(kind);
        }
    }
    Ok(shared)
}

pub(super) fn all_of_the_box(world: &World) -> Result<()> {
    ready(world)?;
    let before = world.traces()?;
    // The child outlives its parent, and no namespace of processes ends it.
    let script = "cat /proc/1/comm; /work shm-put 4711 of-the-box; \
        wget -q -O - http://127.0.0.1:9464/metrics | grep -c carob_kernel_programs; \
        (trap '' TERM HUP; sleep 5000) & echo started; exec /work sleep";
    let spec = "  hostNetwork: true\n  hostPID: true\n  hostIPC: true\n";
    let pod = Pod::apply(world, "on-the-box", &manifest("on-the-box", spec, &[shell("main", script, "")]))?;
    pod.await_log("main", "started\n")?;
    let logs = pod.logs("main")?;
    ensure!(logs.starts_with("systemd\n"), "process 1 inside: {logs}");
    ensure!(!logs.contains("\n0\n"), "the box's own metrics inside: {logs}");
    ensure!(of_the_box(world, &pod)? == ["net", "uts", "ipc", "pid"], "{:?}", of_the_box(world, &pod)?);
    ensure!(address(world, &pod)? == "10.0.2.15", "podIP is {}", address(world, &pod)?);
    let labels = [("pod", "on-the-box"), ("pod_ip", "10.0.2.15"), ("host_network", "true")];
    ensure!(sample(&world.metrics()?, "kube_pod_info", &labels)? == 1.0, "kube_pod_info");
    let queues = fs::read_to_string("/proc/sysvipc/shm")?;
    ensure!(queues.contains("4711"), "the pod's shared memory is not the box's: {queues}");
    pod.delete()?;
    let left = world.left_since(&before)?;
    ensure!(left.is_empty(), "this is left: {left:#?}");
    Ok(())
}

pub(super) fn each_alone(world: &World) -> Result<()> {
    let rows =
        [("hostNetwork", vec!["net", "uts"], 3), ("hostIPC", vec!["ipc"], 4), ("hostPID", vec!["pid"], 5)];
    for (field, expected, code) in rows {
        let name = field.to_lowercase();
        let script = format!("until [ -e /dev/shm/{name} ]; do sleep 0.1; done; exit {code}");
        let spec = format!("  restartPolicy: Never\n  {field}: true\n");
        let pod = Pod::apply(world, &name, &manifest(&name, &spec, &[shell("main", &script, "")]))?;
        pod.await_running("main")?;
        let shared = of_the_box(world, &pod)?;
        ensure!(shared == expected, "with {field} these are the box's: {shared:?}");
        // Through the process: /dev/shm is the box's own in one of the rows.
        let all = world.cgroup(&pod.cgroup_name("main", 0), "cgroup.procs")?;
        let pid = all.lines().next().context("no process in the container")?.to_owned();
        let path = format!("/proc/{pid}/root/dev/shm/{name}");
        fs::write(&path, "").with_context(|| format!("write {path}"))?;
        let end = pod.end("main", 0)?;
        drop(fs::remove_file(format!("/dev/shm/{name}")));
        ensure!(end["exitCode"] == code && end["cause"] == "error", "{field} ended with {end}");
    }
    Ok(())
}
