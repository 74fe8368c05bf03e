//! A box that gives carob less than it would like, and a box that carob leaves again.

use std::{fs, path::Path};

use anyhow::{Context, Result, ensure};

use crate::{
    cases::accounting::truth,
    pods::{Pod, one, ready, sample},
    world::{AGENT, World},
};

/// Without the kernel's types no program can be loaded: codes stay exact, and what is not known is said to be so.
pub(super) fn without_programs(world: &World) -> Result<()> {
    world.install()?;
    world.command("mount", &["-t", "tmpfs", "none", "/sys/kernel/btf"])?;
    let pod = Pod::apply(world, "deaf", &one("deaf", "exit 7", "", ""))?;
    let end = pod.end("main", 0)?;
    ensure!(end["exitCode"] == 7 && end["cause"] == "error" && end["source"] == "wait", "its end is {end}");
    let killed = Pod::apply(world, "killed", &one("killed", "sleep", "", ""))?;
    killed.await_running("main")?;
    world.command("/bin/kill", &["-KILL", &killed.main_pid("main", 0)?.to_string()])?;
    let end = killed.end("main", 0)?;
    ensure!(end["exitCode"] == 137 && end["signal"] == 9 && end["source"] == "wait", "its end is {end}");
    ensure!(end["cause"] == "unknown", "nobody can know who it was, but its end is {end}");
    let programs = sample(&world.metrics()?, "carob_kernel_programs", &[])?;
    ensure!(programs == 0.0, "carob_kernel_programs is {programs}");
    truth::holds_as_far_as_it_can_be_seen(world)?;
    let check = world.carob(&["check"])?;
    let line = check.stdout.lines().find(|line| line.contains("kernel type information"));
    ensure!(
        check.code == Some(0) && line.is_some_and(|line| line.starts_with("less")),
        "the check says {check:?}"
    );
    Ok(())
}

const PLACES: [&str; 8] = [
    "/run/carob",
    "/var/lib/carob",
    "/sys/fs/bpf/carob",
    "/sys/fs/cgroup/carob.slice",
    "/etc/systemd/system/carob.service",
    "/etc/systemd/system/carob-pods.service",
    "/etc/systemd/system/carob.slice",
    "/etc/systemd/system/multi-user.target.wants/carob.service",
];

/// What `carob check --uninstall` names, at least.
const LISTED: [&str; 10] = [
    "/sys/fs/cgroup/carob.slice/carob-pods.service/pods",
    "/sys/fs/bpf/carob",
    "/run/carob",
    "/var/lib/carob",
    "/var/log/pods",
    "/var/log/containers",
    "/etc/carob/manifests",
    "/etc/carob/images",
    "/etc/systemd/system/carob.service",
    "/etc/systemd/system/carob-pods.service",
];

/// Two pods at different stages; then all that is listed is removed, and nothing else is left.
pub(super) fn uninstalled(world: &World) -> Result<()> {
    let before = world.traces()?;
    world.install()?;
    world.command("systemctl", &["enable", "--quiet", crate::world::UNIT])?;
    ready(world)?;
    let (runs, ended) = (
        Pod::apply(world, "runs", &one("runs", "sleep", "", ""))?,
        Pod::apply(world, "ended", &one("ended", "exit 0", "", ""))?,
    );
    runs.await_running("main")?;
    ended.end("main", 0)?;
    let listed = world.carob_ok(&["check", "--uninstall"])?;
    for place in LISTED {
        ensure!(listed.contains(place), "{place} is not in the list:\n{listed}");
    }
    world.carob_ok(&["uninstall", "--purge"])?;
    let listed = world.carob_ok(&["check", "--uninstall"])?;
    ensure!(!listed.contains("/run/carob") && !listed.contains("unit:"), "still listed:\n{listed}");
    fs::remove_file(AGENT).with_context(|| format!("remove {AGENT}"))?;
    let there: Vec<&&str> =
        PLACES.iter().filter(|place| Path::new(place).symlink_metadata().is_ok()).collect();
    ensure!(there.is_empty(), "{there:?} are left");
    let logs = fs::read_dir("/var/log/pods")
        .into_iter()
        .flatten()
        .chain(fs::read_dir("/var/log/containers").into_iter().flatten());
    let logs: Vec<_> = logs.flatten().map(|entry| entry.path()).collect();
    ensure!(logs.is_empty(), "logs are left: {logs:?}");
    let left = world.left_since(&before)?;
    ensure!(left.is_empty(), "left on the box: {left:#?}");
    Ok(())
}
