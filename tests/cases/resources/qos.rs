//! The quality-of-service classes, seen from inside a container and in the kernel's files.

use std::fs;

use anyhow::{Context, Result, ensure};

use crate::{
    pods::{Pod, one},
    world::World,
};

/// Bytes that the pod in the middle asks for.
const REQUEST: u64 = 64 << 20;

pub(super) fn classes(world: &World) -> Result<()> {
    let share = i64::try_from(1000 * REQUEST / memory()?)?;
    let rows = [
        ("best-effort", "", "BestEffort", 1000, "1"),
        ("burstable", "requests: { memory: 64Mi, cpu: 100m }", "Burstable", 1000 - share, "17"),
        ("guaranteed", "limits: { memory: 32Mi, cpu: 250m }", "Guaranteed", -997, "35"),
    ];
    for (name, resources, class, score, weight) in rows {
        let resources = format!("      resources: {{ {resources} }}\n");
        let pod = Pod::apply(world, name, &one(name, "sleep", &resources, ""))?;
        pod.await_running("main")?;
        let status = pod.object()?["status"].clone();
        ensure!(status["qosClass"] == class, "{name} is {status}, not {class}");
        for process in ["1", "self"] {
            let file = format!("/proc/{process}/oom_score_adj");
            let found = world.carob_ok(&["exec", name, "--", "cat", &file])?;
            ensure!(found.trim() == score.to_string(), "{file} in {name} is {found:?}, not {score}");
        }
        for cgroup in [format!("pod{}", pod.uid()), pod.cgroup_name("main", 0)] {
            let found = world.cgroup(&cgroup, "cpu.weight")?;
            ensure!(found == weight, "cpu.weight of {cgroup} in {name} is {found}, not {weight}");
        }
    }
    Ok(())
}

/// Bytes the box has.
fn memory() -> Result<u64> {
    let text = fs::read_to_string("/proc/meminfo")?;
    let total = text.lines().find_map(|line| line.strip_prefix("MemTotal:")).context("no MemTotal")?;
    Ok(total.trim().trim_end_matches(" kB").parse::<u64>()? << 10)
}
