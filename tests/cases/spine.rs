//! The spine: what everything else stands on. First the guest itself: if these fail, no other result means anything.

use std::{fs, time::Duration};

use anyhow::{Context, Result, ensure};

use super::Case;
use crate::{wire::Mode, world::World};

pub(crate) fn cases() -> Vec<Case> {
    let limit = Duration::from_secs(60);
    vec![Case { name: "the_guest_is_what_carob_is_made_for", mode: Mode::Shared, limit, run: guest }]
}

fn guest(world: &World) -> Result<()> {
    let first = fs::read_to_string("/proc/1/comm").context("read the first process's name")?;
    ensure!(first.trim() == "systemd", "the first process is {first:?}");
    let controllers =
        fs::read_to_string("/sys/fs/cgroup/cgroup.controllers").context("cgroup v2 is not mounted")?;
    for wanted in ["cpu", "memory", "pids", "io"] {
        ensure!(
            controllers.split_whitespace().any(|name| name == wanted),
            "no {wanted} among {controllers:?}"
        );
    }
    ensure!(fs::metadata("/sys/kernel/btf/vmlinux").is_ok_and(|btf| btf.len() > 0), "the kernel has no BTF");
    ensure!(fs::metadata("/sys/fs/bpf").is_ok(), "there is no place for pins");
    let mounts = fs::read_to_string("/proc/mounts")?;
    for (kind, at) in [("cgroup2", "/sys/fs/cgroup"), ("bpf", "/sys/fs/bpf"), ("mqueue", "/dev/mqueue")] {
        ensure!(mounts.lines().any(|line| is_mount(line, kind, at)), "no {kind} at {at}:\n{mounts}");
    }
    let units = world.command("systemctl", &["list-units", "--failed", "--plain", "--no-legend"])?;
    ensure!(units.trim().is_empty(), "units have failed:\n{units}");
    Ok(())
}

fn is_mount(line: &str, kind: &str, at: &str) -> bool {
    let mut words = line.split_whitespace().skip(1);
    words.next() == Some(at) && words.next() == Some(kind)
}
