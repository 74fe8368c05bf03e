//! `carob check --autopsy`, as a user runs it on a box of his own.

use anyhow::{Result, ensure};

use crate::{
    pods::{PATIENCE, Pod, one, ready},
    world::World,
};

pub(super) fn performed(world: &World) -> Result<()> {
    ready(world)?;
    let said = world.carob(&["check", "--autopsy"])?;
    ensure!(said.code == Some(0) && said.stdout.contains("14 deaths, each recorded as it was."), "{said:?}");
    ensure!(!said.stdout.contains("WRONG"), "{said:?}");
    let left = world.carob_ok(&["get", "pods"])? + &world.carob_ok(&["image", "ls"])?;
    ensure!(!left.contains("autopsy"), "something is left: {left}");
    Ok(())
}

/// Each fact with its source; what the ledger cannot know is not made up.
pub(super) fn evidence(world: &World) -> Result<()> {
    let limit = "      resources: { limits: { memory: 24Mi } }\n";
    let oom = Pod::apply(world, "evidence-oom", &one("evidence-oom", "hog 200", limit, ""))?;
    oom.end("main", 0)?;
    let said = world.wait_until("its cgroup is counted", PATIENCE, || {
        let said = world.carob_ok(&["why", "evidence-oom", "--evidence"])?;
        ensure!(said.contains("[bpf: the counters of the cgroup]"), "{said}");
        Ok(said)
    })?;
    for line in [
        "exit code: 137 [bpf: the record of the exit]",
        "whose limit: container limit 24Mi [bpf: the record of the OOM kill]",
        "chosen: the main process [bpf: the record of the OOM kill]",
        "processes in it that the OOM killer took: 1 [bpf: the counters of the cgroup]",
        "most memory of the container: 24Mi [memory.peak of the container]",
        "its last output: filling [its log]",
    ] {
        ensure!(said.contains(line), "{line:?} is not in {said}");
    }
    let never = Pod::apply(
        world,
        "evidence-none",
        &one("evidence-none", "sleep", "", "").replace("\"/work\"", "\"/no/such\""),
    )?;
    never.end("main", 0)?;
    let said = world.carob_ok(&["why", "evidence-none", "--evidence"])?;
    ensure!(said.contains("exit code: unknown, because it never ran"), "{said}");
    Ok(())
}
