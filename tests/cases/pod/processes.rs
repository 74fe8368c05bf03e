//! A namespace of processes that the containers of a pod share (`shareProcessNamespace`).

use std::fs;

use anyhow::{Context, Result, ensure};

use super::{manifest, shell};
use crate::{
    pods::{PATIENCE, Pod},
    world::World,
};

const SHARED: &str = "  shareProcessNamespace: true\n";

/// What a container's first process is called by the host.
fn first_of(world: &World, pod: &Pod<'_>, container: &str, attempt: u64) -> Result<String> {
    let all = world.cgroup(&pod.cgroup_name(container, attempt), "cgroup.procs")?;
    Ok(all.lines().next().with_context(|| format!("{container} has no process"))?.to_owned())
}

fn pause(world: &World, pod: &Pod<'_>) -> Result<String> {
    let all = world.cgroup(&format!("pod{}/pause", pod.uid()), "cgroup.procs")?;
    Ok(all.lines().next().context("there is no pause process")?.to_owned())
}

pub(super) fn seen(world: &World) -> Result<()> {
    // The other container's process is found by its port, as `ps` would, and ended from here. Before it serves, an orphan
    // of its shell has ended: unless the namespace's first process reaps, that stays as a zombie.
    let find = "grep -l 17[1]7 /proc/[0-9]*/cmdline 2> /dev/null";
    let looks = format!(
        "echo one is $(cat /proc/1/comm); ls /proc/1/root/; until {find} > /dev/null; do sleep 0.1; done; \
         echo zombies: $(grep -l State:.Z /proc/[0-9]*/status 2> /dev/null | wc -l); \
         p=$({find}); p=${{p#/proc/}}; /work kill ${{p%/cmdline}} 9 && echo sent; exec /work sleep"
    );
    let other = "(sleep 0.1 &); sleep 1; exec /work serve 1717 0";
    let containers = [shell("looks", &looks, ""), shell("other", other, "")];
    let spec = format!("{SHARED}  restartPolicy: Never\n");
    let pod = Pod::apply(world, "processes", &manifest("processes", &spec, &containers))?;
    pod.await_log("looks", "one is pause\n")?;
    pod.await_log("looks", "sent\n")?;
    let end = pod.end("other", 0)?;
    ensure!(end["exitCode"] == 137 && end["cause"] == "container", "the other container's end is {end}");
    let who = end["who"].as_str().unwrap_or_default();
    ensure!(who.starts_with("default/processes/looks "), "it was {who:?}");
    let said = pod.logs("looks")?;
    ensure!(said.contains("zombies: 0\n"), "the pause process does not reap: {said:?}");
    ensure!(said.contains("Permission denied"), "the pause process's root can be looked into: {said:?}");
    let (one, first) = (first_of(world, &pod, "looks", 0)?, pause(world, &pod)?);
    let link = |pid: &str| fs::read_link(format!("/proc/{pid}/ns/pid"));
    ensure!(link(&one)? == link(&first)?, "the container is in another namespace");
    // A command in the container is there too.
    let said = world.carob_ok(&["exec", "processes", "-c", "looks", "--", "cat", "/proc/1/comm"])?;
    ensure!(said == "pause\n", "process 1 is {said:?} for a command");
    pod.delete()?;
    ensure!(!fs::exists(format!("/proc/{first}"))?, "the pause process outlives its pod");
    Ok(())
}

/// Whoever kills it kills all containers; they start again around another one.
pub(super) fn killed(world: &World) -> Result<()> {
    let containers = ["one", "two"].map(|name| shell(name, "exec /work sleep", ""));
    let pod = Pod::apply(world, "pause-killed", &manifest("pause-killed", SHARED, &containers))?;
    for container in ["one", "two"] {
        pod.await_running(container)?;
    }
    let before = pause(world, &pod)?;
    world.command("kill", &["-9", &before])?;
    for container in ["one", "two"] {
        let end = pod.end(container, 0)?;
        ensure!(end["exitCode"] == 137, "the end of {container} is {end}");
        world.wait_until(&format!("{container} runs again"), PATIENCE, || {
            let status = pod.container(container)?;
            ensure!(status["state"]["running"].is_object() && status["restartCount"] == 1, "it is {status}");
            Ok(())
        })?;
    }
    let (now, one, two) =
        (pause(world, &pod)?, first_of(world, &pod, "one", 1)?, first_of(world, &pod, "two", 1)?);
    ensure!(now != before, "the pause process is the one that was killed");
    let link = |pid: &str| fs::read_link(format!("/proc/{pid}/ns/pid"));
    ensure!(link(&one)? == link(&now)? && link(&two)? == link(&now)?, "they do not share a namespace");
    pod.delete()
}
