//! What only an open descriptor or a process keeps alive: a terminal, a standard input, a shared namespace of processes.
//! All of it outlives the agent.

use std::{fs, io::Write, time::Duration};

use anyhow::{Context, Result, ensure};

use crate::{
    cases::pod::{manifest, shell},
    pods::Pod,
    world::World,
};

pub(super) fn outlives_the_agent(world: &World) -> Result<()> {
    world.install()?;
    let terminal = "echo before; until [ -e /dev/shm/go ]; do sleep 0.2; done; echo after; exec /work sleep";
    let containers = [
        shell("terminal", terminal, "      stdin: true\n      tty: true\n"),
        shell("input", "cat; echo ended; exec /work sleep", "      stdin: true\n"),
    ];
    let pod = Pod::apply(world, "held", &manifest("held", "  shareProcessNamespace: true\n", &containers))?;
    pod.await_log("terminal", "before\r\n")?;
    pod.await_running("input")?;
    let groups =
        [pod.cgroup_name("terminal", 0), pod.cgroup_name("input", 0), format!("pod{}/pause", pod.uid())];
    let first = |group: &String| -> Result<String> {
        let all = world.cgroup(group, "cgroup.procs")?;
        Ok(all.lines().next().with_context(|| format!("{group} has no process"))?.to_owned())
    };
    let before = groups.iter().map(first).collect::<Result<Vec<_>>>()?;
    for round in 0..3 {
        world.kill_and_await(Duration::from_secs(120))?;
        let now = groups.iter().map(first).collect::<Result<Vec<_>>>()?;
        ensure!(now == before, "round {round}: the processes were {before:?} and are {now:?}");
    }
    world.carob_ok(&["exec", "held", "-c", "input", "--", "touch", "/dev/shm/go"])?;
    pod.await_log("terminal", "after\r\n")?;
    // The shell waits for `cat`, which has the same input.
    let input = format!("/proc/{}/fd/0", before[1]);
    let mut input =
        fs::OpenOptions::new().write(true).open(&input).with_context(|| format!("open {input}"))?;
    input.write_all(b"a word\n").context("write to the container's input")?;
    pod.await_log("input", "a word\n")?;
    let said = pod.logs("input")?;
    ensure!(!said.contains("ended"), "the input ended with an agent: {said:?}");
    for container in ["terminal", "input"] {
        let status = pod.container(container)?;
        ensure!(status["restartCount"] == 0, "{container} was started again: {status}");
    }
    pod.delete()?;
    ensure!(!fs::exists(format!("/proc/{}", before[2]))?, "the pause process outlives its pod");
    Ok(())
}
