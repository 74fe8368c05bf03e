//! The page of what pods use: its figures are those of the kernel's own files, and a pod's go on when its container begins
//! anew.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};

use crate::{
    http,
    pods::{PATIENCE, Pod, one, sample},
    world::{METRICS, World},
};

const POD: &str = "used";
const LIMIT: &str = "      resources: {limits: {memory: 24Mi}}\n";
/// Writes to the disk, then lets the OOM killer take a child.
const SCRIPT: &str = "dd if=/dev/zero of=/file bs=64k count=32; sync; exec /work hog-child 200";
const OOM: &str = "container_oom_events_total";
const DISK: [(&str, &str); 4] = [
    ("container_fs_reads_bytes_total", "rbytes"),
    ("container_fs_reads_total", "rios"),
    ("container_fs_writes_bytes_total", "wbytes"),
    ("container_fs_writes_total", "wios"),
];

fn manifest() -> String {
    one(POD, "sleep", LIMIT, "  terminationGracePeriodSeconds: 2\n")
        .replace("[\"/work\", \"sleep\"]", &format!("[\"sh\", \"-c\", \"{SCRIPT}\"]"))
        .replace("restartPolicy: Never", "restartPolicy: Always")
        .replace("  name: used\n", "  name: used\n  annotations: {carob.dev/oom-group: \"false\"}\n")
}

pub(super) fn true_figures(world: &World) -> Result<()> {
    let pod = Pod::apply(world, POD, &manifest())?;
    pod.await_log("main", "child ended: code None signal Some(9)")?;
    let own = pod.cgroup_name("main", 0);
    let page = page()?;
    for (family, file) in [("container_processes", "cgroup.procs"), ("container_threads", "pids.current")] {
        let text = world.cgroup(&own, file)?;
        let expected = if file == "cgroup.procs" { text.lines().count() as f64 } else { text.parse()? };
        let found = of(&page, family, "main")?;
        ensure!(found == expected && found > 0.0, "{family} is {found}, {file} says {text:?}");
    }
    let counted = [of(&page, OOM, "main")?, of(&page, OOM, "")?];
    ensure!(counted == [1.0, 1.0], "OOM kills of container and pod: {counted:?}");
    for (under, container) in [(own.clone(), "main"), (format!("pod{}", pod.uid()), "")] {
        disks(world, &under, container).with_context(|| format!("the disks of {under}"))?;
        pressures(world, &under, container).with_context(|| format!("the pressure on {under}"))?;
    }
    world.hand_over("pressure.prom", &page)?;
    world.command("kill", &["-9", &pod.main_pid("main", 0)?.to_string()])?;
    world.wait_until("the next attempt counts anew, the pod goes on", PATIENCE, || {
        let page = self::page()?;
        let name = format!("{}_main_1", pod.uid());
        let own = sample(&page, OOM, &[("pod", POD), ("container", "main"), ("name", &name)])?;
        let all = of(&page, OOM, "")?;
        ensure!([own, all] == [1.0, 2.0], "of the attempt {own}, of the pod {all}");
        Ok(())
    })
}

fn page() -> Result<String> {
    http::fetch(&format!("{METRICS}/cadvisor"))?.body()
}

fn of(page: &str, family: &str, container: &str) -> Result<f64> {
    sample(page, family, &[("pod", POD), ("container", container)])
}

/// The figures of each line of a nested file, by the line's first word.
fn nested(text: &str) -> BTreeMap<&str, BTreeMap<&str, f64>> {
    let pair = |word| -> Option<(&str, f64)> {
        let (key, number) = str::split_once(word, '=')?;
        Some((key, number.parse().ok()?))
    };
    let lines = text.lines().filter_map(|line| line.split_once(' '));
    lines.map(|(first, rest)| (first, rest.split(' ').filter_map(pair).collect())).collect()
}

/// What was written has reached a disk that has a name, and is what the kernel counts of it.
fn disks(world: &World, under: &str, container: &str) -> Result<()> {
    let text = world.wait_until("something was written", PATIENCE, || {
        let text = world.cgroup(under, "io.stat")?;
        let written = nested(&text).values().filter_map(|figures| figures.get("wbytes")).sum::<f64>();
        ensure!(written >= f64::from(1 << 20), "{text:?}");
        Ok(text)
    })?;
    let page = page()?;
    let after = world.cgroup(under, "io.stat")?;
    let (before, after) = (nested(&text), nested(&after));
    for (number, figures) in &before {
        let device = format!("/dev/{}", device(number)?);
        for (family, counter) in DISK {
            let labels = [("pod", POD), ("container", container), ("device", &*device)];
            let (shown, least, most) =
                (sample(&page, family, &labels)?, figures[counter], after[number][counter]);
            ensure!(least <= shown && shown <= most, "{family} of {device}: {shown}, {least} to {most}");
        }
    }
    Ok(())
}

/// The kernel's name of the device with this number.
fn device(number: &str) -> Result<String> {
    let path = std::fs::read_link(format!("/sys/dev/block/{number}"))?;
    let name = path.file_name().and_then(|name| name.to_str()).context("a device without a name")?;
    Ok(name.to_owned())
}

fn pressures(world: &World, under: &str, container: &str) -> Result<()> {
    for what in ["cpu", "memory", "io"] {
        let file = format!("{what}.pressure");
        let Ok(before) = world.cgroup(under, &file) else {
            let page = page()?;
            ensure!(
                !page.contains(&format!("container_pressure_{what}")),
                "the kernel has no {file}:\n{page}"
            );
            continue;
        };
        let page = page()?;
        let after = world.cgroup(under, &file)?;
        for (whom, word) in [("some", "waiting"), ("full", "stalled")] {
            let shown = of(&page, &format!("container_pressure_{what}_{word}_seconds_total"), container)?;
            let total = |text: &str| nested(text)[whom]["total"] / 1e6;
            let (least, most) = (total(&before), total(&after));
            ensure!(least <= shown && shown <= most, "{what} {word}: {shown}, {least} to {most}");
        }
    }
    Ok(())
}
