//! The guest's side of `cargo xtask bench`: what the agent costs while its pods do nothing. It judges nothing: the
//! budgets stand beside the figures.

use std::{
    fs,
    path::Path,
    process::ExitCode,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};

use crate::{
    channel::{say, send},
    wire::Record,
    world::{AGENT, World},
};

const PODS: usize = 5;
const CONTAINERS: usize = 2;
const PATIENCE: Duration = Duration::from_secs(240);
/// The start's own work is over by then.
const SETTLE: Duration = Duration::from_secs(10);
const IDLE: Duration = Duration::from_secs(60);

pub(crate) fn run() -> Result<ExitCode> {
    // The host is told in a record; its own stderr is nobody's.
    if let Err(fault) = measure(&World::new(false, 0)) {
        say(&format!("error: {fault:#}"))?;
        return Ok(ExitCode::FAILURE);
    }
    send(&Record::Done { done: true })?;
    Ok(ExitCode::SUCCESS)
}

fn measure(world: &World) -> Result<()> {
    world.start()?;
    world.load_images()?;
    world.put("bench.yaml", &manifest())?;
    world.wait_until("all containers run", PATIENCE, || {
        let running = running(world)?;
        ensure!(running == PODS * CONTAINERS, "{running} containers run");
        Ok(())
    })?;
    pass(world, SETTLE)?;
    let first = Sample::of(world.agent_pid()?)?;
    pass(world, IDLE)?;
    let last = Sample::of(world.agent_pid()?)?;
    table(&first, &last, processes()?, fs::metadata(AGENT)?.len())
}

fn manifest() -> String {
    let container = |number: usize| {
        format!(
            "    - {{name: c{number}, image: \"busybox:1\", imagePullPolicy: Never, command: [sleep, \"100000\"]}}\n"
        )
    };
    let containers: String = (0..CONTAINERS).map(container).collect();
    let pod = |number: usize| {
        format!(
            "apiVersion: v1\nkind: Pod\nmetadata: {{name: bench-{number}}}\nspec:\n  containers:\n{containers}"
        )
    };
    (0..PODS).map(pod).collect::<Vec<_>>().join("---\n")
}

fn running(world: &World) -> Result<usize> {
    let list = world.read("/api/v1/pods")?;
    let pods = list["items"].as_array().context("the list of pods has no items")?;
    let containers = pods.iter().flat_map(|pod| pod["status"]["containerStatuses"].as_array()).flatten();
    Ok(containers.filter(|container| container["state"]["running"].is_object()).count())
}

/// Lets time go by without asking anything of the agent.
fn pass(world: &World, time: Duration) -> Result<()> {
    let since = Instant::now();
    world.wait_until("time has gone by", time * 2, || {
        ensure!(since.elapsed() >= time, "not yet");
        Ok(())
    })
}

/// The agent at one moment.
struct Sample {
    /// KiB: all, and the part that is no file's.
    pss: u64,
    anonymous: u64,
    /// Bytes for a disk, since its start.
    written: u64,
    /// 1/100 s, since its start.
    cpu: u64,
    /// How often one of its threads has waited and gone on, since its start.
    wake_ups: u64,
    threads: usize,
}

impl Sample {
    fn of(pid: u32) -> Result<Self> {
        let dir = Path::new("/proc").join(pid.to_string());
        let read = |file: &str| {
            fs::read_to_string(dir.join(file)).with_context(|| format!("read the agent's {file}"))
        };
        let memory = read("smaps_rollup")?;
        let stat = read("stat")?;
        // proc_pid_stat(5): utime and stime are fields 14 and 15; the name, field 2, ends with the last parenthesis.
        let times = stat.rsplit_once(") ").context("the agent's stat has no name")?.1;
        let cpu = times.split(' ').skip(11).take(2).map(str::parse::<u64>).sum::<Result<_, _>>()?;
        let mut wake_ups = Vec::new();
        for thread in fs::read_dir(dir.join("task"))? {
            let status =
                fs::read_to_string(thread?.path().join("status")).context("read a thread's status")?;
            wake_ups.push(field(&status, "voluntary_ctxt_switches")?);
        }
        Ok(Self {
            pss: field(&memory, "Pss")?,
            anonymous: field(&memory, "Pss_Anon")?,
            written: field(&read("io")?, "write_bytes")?,
            cpu,
            wake_ups: wake_ups.iter().sum(),
            threads: wake_ups.len(),
        })
    }
}

/// `NAME: NUMBER …` among the lines.
fn field(text: &str, name: &str) -> Result<u64> {
    let mut lines = text.lines().filter_map(|line| line.split_once(':'));
    let (_, value) =
        lines.find(|(field, _)| *field == name).with_context(|| format!("no {name} in:\n{text}"))?;
    value
        .split_whitespace()
        .next()
        .unwrap_or_default()
        .parse()
        .with_context(|| format!("read {name} from {value:?}"))
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

fn table(first: &Sample, last: &Sample, processes: usize, binary: u64) -> Result<()> {
    let mb = |kib: u64| format!("{:.1} MB", (kib * 1024) as f64 / 1e6);
    let memory = |sample: &Sample| format!("{} ({} anonymous)", mb(sample.pss), mb(sample.anonymous));
    let seconds = |ticks: u64| format!("{:.2} s", ticks as f64 / 100.0);
    let rows = [
        ("figure", "measured".to_owned(), "budget"),
        ("binary, stripped", format!("{:.1} MB", binary as f64 / 1e6), "≤ 15 MB"),
        ("carob processes", processes.to_string(), "1: the agent"),
        ("agent's threads", last.threads.to_string(), ""),
        ("agent's PSS, settled", memory(first), "≤ 12 MB"),
        ("agent's PSS, 60 s later", memory(last), "≤ 12 MB"),
        ("written to disk in 60 s", format!("{} B", last.written - first.written), "0 B"),
        ("wake-ups in 60 s", (last.wake_ups - first.wake_ups).to_string(), ""),
        ("CPU time in 60 s, emulated", seconds(last.cpu - first.cpu), "none: says nothing of hardware"),
    ];
    say(&format!("\n{PODS} pods of {CONTAINERS} containers, asleep, on an emulated CPU\n"))?;
    rows.iter().try_for_each(|(figure, value, budget)| say(&format!("{figure:<28}{value:<28}{budget}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_found_by_its_whole_name() {
        let text = "Pss_Anon:  12 kB\nPss:   7 kB\n";
        assert_eq!((field(text, "Pss").unwrap(), field(text, "Pss_Anon").unwrap()), (7, 12));
        assert!(field(text, "Ps").is_err());
    }
}
