//! What the kernel counts of the kernel programs, as long as it is told to.

use std::{fs, path::Path};

use anyhow::{Context, Result, ensure};

use crate::{
    pods::{PATIENCE, ready, sample},
    world::World,
};

const SWITCH: &str = "/proc/sys/kernel/bpf_stats_enabled";
const RUNS: &str = "carob_kernel_program_runs_total";
const SECONDS: &str = "carob_kernel_program_run_seconds_total";
const MISSES: &str = "carob_kernel_program_misses_total";
const EXIT: [(&str, &str); 1] = [("program", "carob_exit")];
/// Each runs once and ends.
const PROCESSES: u32 = 20;

/// The box counts while this is there.
struct Counting;

impl Counting {
    fn begin() -> Result<Self> {
        fs::write(SWITCH, "1").with_context(|| format!("write {SWITCH}"))?;
        Ok(Self)
    }
}

impl Drop for Counting {
    fn drop(&mut self) {
        // Best effort: what the other cases look at does not depend on it.
        let _ = fs::write(SWITCH, "0");
    }
}

pub(super) fn counted(world: &World) -> Result<()> {
    ready(world)?;
    let page = world.metrics()?;
    ensure!(fs::read_to_string(SWITCH)?.trim() == "0", "the agent has thrown the switch");
    ensure!(!page.contains(RUNS) && !page.contains(SECONDS), "nothing is counted yet:\n{page}");
    // Where the programs are pinned, each has a link of that name.
    let pins = fs::read_dir("/sys/fs/bpf/carob")?.next().context("there are no pins")??.path();
    let names = ["carob_exit", "carob_signal", "carob_victim", "carob_oom_begin", "carob_oom_end"];
    for name in names.iter().filter(|name| Path::new(&pins).join(name).exists()) {
        sample(&page, MISSES, &[("program", name)])?;
    }
    let counting = Counting::begin()?;
    let before = world.wait_until("runs are shown", PATIENCE, || sample(&world.metrics()?, RUNS, &EXIT))?;
    let time_before = sample(&world.metrics()?, SECONDS, &EXIT)?;
    for _ in 0..PROCESSES {
        world.command("true", &[])?;
    }
    let page = world.metrics()?;
    let (ran, took) = (sample(&page, RUNS, &EXIT)? - before, sample(&page, SECONDS, &EXIT)? - time_before);
    ensure!(ran >= f64::from(PROCESSES), "{PROCESSES} processes have ended, and it ran {ran} times");
    ensure!(took > 0.0 && took < ran, "{ran} runs took {took} s");
    world.hand_over("programs.prom", &page)?;
    drop(counting);
    ensure!(!world.metrics()?.contains(RUNS), "what is not counted any more is still shown");
    Ok(())
}
