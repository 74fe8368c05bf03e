//! What a node owes any pod.

use std::net::IpAddr;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::super::pod::{manifest, shell};
use crate::{
    pods::{PATIENCE, Pod},
    world::World,
};

/// "busybox command that always fails in a pod should be possible to delete"; first it is seen to fail for an Error.
pub(super) fn always_fails(world: &World) -> Result<()> {
    let pod = Pod::apply(world, "fails", &manifest("fails", "", &[shell("main", "/bin/false", "")]))?;
    world.wait_until("it has failed", PATIENCE, || {
        let status = pod.container("main")?;
        let ends = [&status["state"]["terminated"], &status["lastState"]["terminated"]];
        ensure!(ends.iter().any(|end| end["reason"] == "Error" && end["exitCode"] == 1), "{status}");
        Ok(())
    })?;
    pod.delete()?;
    ensure!(pod.object().is_err(), "it is still there");
    Ok(())
}

/// "should get a host IP"
pub(super) fn host_address(world: &World) -> Result<()> {
    let pod = Pod::apply(world, "hosted", &manifest("hosted", "", &[shell("main", "exec /work sleep", "")]))?;
    pod.await_running("main")?;
    let status = pod.object()?["status"].clone();
    let address = status["hostIP"].as_str().context("no hostIP")?;
    let parsed: IpAddr = address.parse().with_context(|| format!("read {address:?}"))?;
    ensure!(!parsed.is_loopback() && !parsed.is_unspecified(), "{parsed} is nobody's");
    let own = world.command("ip", &["-o", "addr"])?;
    ensure!(own.contains(&format!(" {parsed}/")), "{parsed} is none of the box's: {own}");
    ensure!(status["hostIPs"][0]["ip"] == address, "{status}");
    Ok(())
}

/// "should report resource usage through the stats api": one that computes, one that holds 40 MiB, and the box.
pub(super) fn summary(world: &World) -> Result<()> {
    const MIB: u64 = 1 << 20;
    let limits = "      resources: { limits: { memory: 64Mi } }\n";
    let containers = [shell("busy", "while :; do :; done", ""), shell("holds", "exec /work hog 40", limits)];
    let spec = "  terminationGracePeriodSeconds: 0\n";
    let pod = Pod::apply(world, "stats", &manifest("stats", spec, &containers))?;
    pod.await_log("holds", "holding 40 MiB")?;
    let number = |usage: &Value, path: &str| {
        usage.pointer(path).and_then(Value::as_u64).with_context(|| format!("no {path} in {usage}"))
    };
    let (summary, found) = world.wait_until("there are rates", PATIENCE, || {
        let summary = world.read("/stats/summary")?;
        let found = summary["pods"]
            .as_array()
            .into_iter()
            .flatten()
            .find(|each| each["podRef"]["name"] == "stats" && each["podRef"]["uid"] == pod.uid());
        let found = found.cloned().with_context(|| format!("the pod is not in {summary}"))?;
        number(&found, "/containers/0/cpu/usageNanoCores")?;
        Ok((summary, found))
    })?;
    let read = |file: &str| -> Result<u64> { Ok(world.cgroup(&pod.cgroup_name("holds", 0), file)?.parse()?) };
    let cores = u64::try_from(std::thread::available_parallelism()?.get())? * 1_000_000_000;
    let used = world.cgroup(&pod.cgroup_name("busy", 0), "cpu.stat")?;
    let used = used.lines().find_map(|line| line.strip_prefix("usage_usec ")).context("no usage_usec")?;
    let (used, current) = (used.parse::<u64>()? * 1000, read("memory.current")?);
    // What is read later is never less than what was said: it only computes on.
    let rows = [
        ("/containers/0/cpu/usageNanoCores", 100_000_000, cores * 11 / 10),
        ("/containers/0/cpu/usageCoreNanoSeconds", 100_000_000, used),
        ("/containers/1/cpu/usageNanoCores", 0, cores / 10),
        ("/containers/1/memory/workingSetBytes", 40 * MIB, current + MIB),
        ("/containers/1/memory/rssBytes", 40 * MIB, current),
        ("/containers/1/memory/availableBytes", 10 * MIB, 24 * MIB),
        ("/cpu/usageNanoCores", 100_000_000, cores * 11 / 10),
        ("/memory/usageBytes", 40 * MIB, 200 * MIB),
        ("/process_stats/process_count", 2, 2),
    ];
    for (path, least, most) in rows {
        let value = number(&found, path)?;
        ensure!((least..=most).contains(&value), "{path} is {value}, not within {least} to {most}: {found}");
    }
    let node = &summary["node"];
    ensure!(node["nodeName"] == "carob-guest", "the box is {node}");
    ensure!(number(node, "/cpu/usageNanoCores")? >= 100_000_000, "the box is {node}");
    ensure!(number(node, "/memory/workingSetBytes")? > 40 * MIB, "the box is {node}");
    ensure!(number(node, "/memory/availableBytes")? > 0, "the box is {node}");
    let limitless = &found["containers"][0]["memory"];
    ensure!(limitless["availableBytes"].is_null(), "without a limit there is {limitless}");
    Ok(())
}
