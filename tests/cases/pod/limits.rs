//! The limits of a manifest, read back from the kernel.

use std::fs;

use anyhow::{Result, ensure};

use super::{manifest, shell};
use crate::{pods::Pod, world::World};

const MIB: u64 = 1 << 20;
/// What a pod may use above its containers' sum: a container's own limit is hit first.
const POD_OVERHEAD: u64 = 8 * MIB;

/// What one cgroup has to say. A limit that is absent is the kernel's `max`.
struct Expected {
    memory: Option<u64>,
    cpu: &'static str,
    /// By the formula of runc 1.3.2 and crun 1.23, worked out by hand.
    weight: &'static str,
    pids: &'static str,
    oom_group: &'static str,
}

pub(super) fn written(world: &World) -> Result<()> {
    let resources = |cpu: &str, memory: &str| {
        format!(
            "      resources: {{ requests: {{ cpu: {cpu} }}, limits: {{ cpu: 500m, memory: {memory} }} }}\n"
        )
    };
    let containers = [
        shell("whole", "exec /work sleep", &resources("250m", "32Mi")),
        shell("single", "exec /work sleep", &resources("500m", "48Mi")),
    ];
    let annotated = "  name: limits\n  annotations: { carob.dev/oom-group.single: \"false\" }\n";
    let manifest = manifest("limits", "", &containers).replace("  name: limits\n", annotated);
    let pod = Pod::apply(world, "limits", &manifest)?;
    pod.await_running("whole")?;
    pod.await_running("single")?;
    let (whole, single) = (pod.cgroup_name("whole", 0), pod.cgroup_name("single", 0));
    let half = "50000 100000";
    check(
        world,
        &whole,
        &Expected { memory: Some(32 * MIB), cpu: half, weight: "35", pids: "max", oom_group: "1" },
    )?;
    check(
        world,
        &single,
        &Expected { memory: Some(48 * MIB), cpu: half, weight: "59", pids: "max", oom_group: "0" },
    )?;
    let sums = Expected {
        memory: Some(80 * MIB + POD_OVERHEAD),
        cpu: "100000 100000",
        weight: "80",
        pids: "4096",
        oom_group: "0",
    };
    check(world, &format!("pod{}", pod.uid()), &sums)?;
    unlimited(world)
}

/// One container without limits: the pod has none either.
fn unlimited(world: &World) -> Result<()> {
    let limited = "      resources: { limits: { memory: 32Mi } }\n";
    let containers = [shell("limited", "exec /work sleep", limited), shell("free", "exec /work sleep", "")];
    let pod = Pod::apply(world, "half-limited", &manifest("half-limited", "", &containers))?;
    pod.await_running("free")?;
    let none = |pids| Expected { memory: None, cpu: "max 100000", weight: "1", pids, oom_group: "1" };
    check(world, &pod.cgroup_name("free", 0), &none("max"))?;
    check(world, &format!("pod{}", pod.uid()), &Expected { oom_group: "0", ..none("4096") })
}

fn check(world: &World, cgroup: &str, expected: &Expected) -> Result<()> {
    let memory = expected.memory.map_or("max".to_owned(), |bytes| bytes.to_string());
    let mut rows = vec![
        ("memory.max", memory.as_str()),
        ("cpu.max", expected.cpu),
        ("cpu.weight", expected.weight),
        ("pids.max", expected.pids),
        ("memory.oom.group", expected.oom_group),
    ];
    // A kernel without swap has no such file.
    if fs::exists("/proc/swaps")? {
        rows.push(("memory.swap.max", "0"));
    }
    for (file, wanted) in rows {
        let found = world.cgroup(cgroup, file)?;
        ensure!(found == wanted, "{cgroup}/{file} is {found:?}, not {wanted:?}");
    }
    Ok(())
}
