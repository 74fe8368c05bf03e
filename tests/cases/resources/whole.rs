//! A budget for the pod as a whole, in the kernel's files and in what is refused.

use anyhow::{Result, ensure};

use crate::{
    cases::pod::{manifest, shell},
    pods::{Pod, apply},
    world::World,
};

const MIB: u64 = 1 << 20;

pub(super) fn budget(world: &World) -> Result<()> {
    let spec = "  resources: { limits: { cpu: 300m, memory: 48Mi, pids: 77 } }\n";
    let own = "      resources: { requests: { memory: 8Mi }, limits: { cpu: 100m, memory: 16Mi } }\n";
    let containers = [shell("own", "exec /work sleep", own), shell("free", "exec /work sleep", "")];
    let pod = Pod::apply(world, "budget", &manifest("budget", spec, &containers))?;
    pod.await_running("own")?;
    pod.await_running("free")?;
    let whole = format!("pod{}", pod.uid());
    let rows = [
        (&whole, 48 * MIB, "30000 100000"),
        (&pod.cgroup_name("own", 0), 16 * MIB, "10000 100000"),
        // Who says nothing may use all there is.
        (&pod.cgroup_name("free", 0), 48 * MIB, "30000 100000"),
    ];
    for (cgroup, memory, cpu) in rows {
        let found = [world.cgroup(cgroup, "memory.max")?, world.cgroup(cgroup, "cpu.max")?];
        ensure!(
            found == [memory.to_string(), cpu.to_owned()],
            "{cgroup} has {found:?}, not {memory} and {cpu}"
        );
    }
    let pids = world.cgroup(&whole, "pids.max")?;
    ensure!(pids == "77", "the pod may have {pids} processes");
    let object = pod.object()?;
    // The containers ask for 8Mi and 100m, and that is what the pod asks for.
    let requests = &object["spec"]["resources"]["requests"];
    ensure!(requests["memory"] == "8Mi" && requests["cpu"] == "100m", "the pod asks for {requests}");
    ensure!(object["status"]["qosClass"] == "Burstable", "its class is {}", object["status"]["qosClass"]);
    let small = manifest("small", &spec.replace("48Mi", "12Mi"), &[shell("own", "exec /work sleep", own)]);
    let said = apply(world, "small", &small)?;
    let wanted = "must be less than or equal to pod limits of 12Mi";
    ensure!(said.code == Some(1) && said.stderr.contains(wanted), "apply says {said:?}");
    Ok(())
}

pub(super) fn protected(world: &World) -> Result<()> {
    let resources = "      resources: { requests: { memory: 16Mi }, limits: { memory: 64Mi } }\n";
    let text = manifest("protected", "", &[shell("main", "exec /work sleep", resources)]);
    let asked = "  name: protected\n  annotations: { carob.dev/memory-qos: \"true\" }\n";
    let (plain, soft) =
        (text.replace("protected", "unprotected"), text.replace("  name: protected\n", asked));
    // 16Mi and nine tenths of the other 48Mi, cut to whole pages.
    let high = ((16 * MIB + 48 * MIB / 10 * 9) / 4096 * 4096).to_string();
    let rows = [("unprotected", plain, "0", "max".to_owned()), ("protected", soft, "16777216", high)];
    for (name, manifest, min, high) in rows {
        let pod = Pod::apply(world, name, &manifest)?;
        pod.await_running("main")?;
        let cgroup = pod.cgroup_name("main", 0);
        let found = [world.cgroup(&cgroup, "memory.min")?, world.cgroup(&cgroup, "memory.high")?];
        ensure!(found == [min.to_owned(), high.clone()], "{name} has {found:?}, not {min} and {high}");
        let whole = world.cgroup(&format!("pod{}", pod.uid()), "memory.min")?;
        ensure!(whole == min, "the pod {name} keeps {whole}, not {min}");
    }
    Ok(())
}
