//! The agent while its pods sleep: memory, wake-ups, writes.

use std::{fs, time::Duration};

use anyhow::{Context, Result};

use super::{
    Figure, pass,
    sample::{Sample, mb},
    send_all, start_pods,
};
use crate::world::{AGENT, World};

const PODS: usize = 5;
const PATIENCE: Duration = Duration::from_secs(240);
/// The start's own work is over by then.
const SETTLE: Duration = Duration::from_secs(10);
const IDLE: Duration = Duration::from_secs(60);

pub(super) fn measure(world: &World) -> Result<()> {
    start_pods(world, PODS, PATIENCE)?;
    pass(world, SETTLE)?;
    let first = Sample::of(world.agent_pid()?)?;
    pass(world, IDLE)?;
    let last = Sample::of(world.agent_pid()?)?;
    let count = |name: &str, value: u64, unit: &str| Figure::alone(name, value as f64, unit);
    let settled = "agent.pss_settled";
    send_all(vec![
        Figure::alone("agent.binary", fs::metadata(AGENT)?.len() as f64 / 1e6, "MB"),
        count("agent.processes", processes()? as u64, "processes of carob, 5 pods of 2 containers"),
        count("agent.threads", last.threads as u64, "threads"),
        Figure::alone(settled, mb(first.pss), "MB, 5 pods of 2 containers"),
        Figure::beside("agent.pss", mb(last.pss), "MB, 60 s later", settled, mb(first.pss)),
        Figure::beside("agent.pss_anonymous", mb(last.anonymous), "MB", "agent.pss", mb(last.pss)),
        Figure::beside("agent.pss_files", mb(last.of_files), "MB", "agent.pss", mb(last.pss)),
        Figure::beside("agent.pss_code", mb(last.code), "MB", "agent.pss", mb(last.pss)),
        count("agent.written_idle", last.written - first.written, "bytes for a disk in 60 s"),
        count("agent.wake_ups_idle", last.wake_ups - first.wake_ups, "wake-ups in 60 s"),
        Figure::alone("agent.cpu_idle", last.cpu_since(&first), "s in 60 s, emulated"),
    ])
}

/// Processes whose program is carob, under whatever path it was started: copies of it too.
fn processes() -> Result<usize> {
    let mut count = 0;
    for entry in fs::read_dir("/proc").context("read the processes")? {
        // The kernel's own threads have none, and a process may end while it is looked at.
        let Ok(program) = fs::read_link(entry?.path().join("exe")) else { continue };
        let name = program.file_name().unwrap_or_default().to_string_lossy().into_owned();
        count += usize::from(name.trim_end_matches(" (deleted)") == "carob");
    }
    Ok(count)
}
