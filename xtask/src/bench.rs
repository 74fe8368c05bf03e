//! `cargo xtask bench`: what carob costs, one JSON line a figure on stdout, and a table for people on stderr. What is
//! measured is in `tests/src/bench`.

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    path::Path,
    process::Stdio,
    time::Instant,
};

use anyhow::{Context, Result, bail, ensure};

use crate::{
    build,
    place::{HOST, Place},
    run::SILENCE,
    tool::tool,
    vm::{
        guest::Guest,
        machine::{Machine, Saved},
        payload::Payload,
        qemu::Console,
        rundir::RunDir,
    },
    wire::{Figure, Record},
};

#[derive(clap::Args)]
pub(crate) struct Words {
    /// Only this; else all
    name: Option<Bench>,
    /// In the virtual machine the binary that is shipped, linked as a whole: that takes a quarter of an hour more
    #[arg(long)]
    dist: bool,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Bench {
    /// What the kernel programs cost processes that come, go and get signals: on this machine itself, as root
    Programs,
    /// The agent's memory, wake-ups and writes while 10 containers sleep: in a virtual machine
    Agent,
    /// The agent's work for a scrape of 100 containers: in a virtual machine
    Scrape,
    /// A pull beside those of skopeo, umoci and podman, a pod's start beside podman's: in a virtual machine with those in it
    Peers,
}

pub(crate) fn run(place: &Place, words: &Words) -> Result<()> {
    let all = [Bench::Programs, Bench::Agent, Bench::Scrape, Bench::Peers];
    build::all(place)?;
    let dist = words.dist.then(|| build::dist(place, HOST)).transpose()?;
    let mut heard = Heard::default();
    for bench in words.name.map_or(all.to_vec(), |name| vec![name]) {
        let (machine, name) = match bench {
            Bench::Programs => {
                on_this_machine(place, &mut heard)?;
                continue;
            }
            Bench::Agent => (Machine::prepared(place)?, "agent"),
            Bench::Scrape => (Machine::prepared(place)?, "scrape"),
            Bench::Peers => (Machine::with_peers(place)?, "peers"),
        };
        in_a_guest(place, &machine, name, dist.as_deref(), &mut heard)?;
    }
    heard.table();
    Ok(())
}

/// The programs are gone with the process that has them loaded.
fn on_this_machine(place: &Place, heard: &mut Heard) -> Result<()> {
    ensure!(rustix::process::geteuid().is_root(), "kernel programs are loaded by root: run with sudo -E");
    let dir = RunDir::new(place, "bench-programs")?;
    let bpffs = dir.path().join("bpffs");
    fs::create_dir(&bpffs).with_context(|| format!("create {}", bpffs.display()))?;
    let binaries = place.binaries(HOST);
    let mut command = tool(binaries.join("carob-tests"))
        .args(["bench", "programs"])
        .arg(binaries.join("carob"))
        .arg(&bpffs)
        .into_command();
    let mut child =
        command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().context("start carob-tests")?;
    for line in BufReader::new(child.stdout.take().context("carob-tests has no stdout")?).lines() {
        heard.take(serde_json::from_str(&line?)?)?;
    }
    let status = child.wait()?;
    fs::remove_dir(&bpffs).with_context(|| format!("remove {}", bpffs.display()))?;
    ensure!(status.success() && heard.done(), "the bench failed: see above");
    Ok(())
}

/// With the binary at `dist` if there is one, else with the tested one.
fn in_a_guest(
    place: &Place,
    machine: &Machine,
    name: &str,
    dist: Option<&Path>,
    heard: &mut Heard,
) -> Result<()> {
    let saved = Saved::made(place, machine)?;
    let dir = RunDir::new(place, "bench")?;
    let payload = Payload::new(place, &machine.busybox, dir.path())?;
    dist.map_or(Ok(()), |carob| payload.add("bin", carob))?;
    let payload = payload.disk()?;
    let mut guest = Guest::restore(machine, &saved, &payload, Console::Logged, dir.path())?;
    guest.go(&["bench", name])?;
    while !heard.done() {
        match guest.next(Instant::now() + SILENCE)? {
            Some(record) => heard.take(record)?,
            None => bail!("the bench failed: see above\n{}", guest.console_tail()),
        }
    }
    Ok(())
}

/// What came so far.
#[derive(Default)]
struct Heard {
    figures: Vec<Figure>,
    done: bool,
}

impl Heard {
    fn take(&mut self, record: Record) -> Result<()> {
        match record {
            Record::Figure { figure } => {
                // Whoever reads along sees each at once.
                let mut out = std::io::stdout().lock();
                writeln!(out, "{}", serde_json::to_string(&figure)?)?;
                out.flush()?;
                self.figures.push(figure);
            }
            Record::Say { say } => eprintln!("{say}"),
            Record::Done { .. } => self.done = true,
            other => bail!("unexpected {other:?}"),
        }
        Ok(())
    }

    /// Once for each bench.
    fn done(&mut self) -> bool {
        std::mem::take(&mut self.done)
    }

    fn table(&self) {
        eprintln!();
        for Figure { name, value, unit, peer, ratio } in &self.figures {
            let beside = match (peer, ratio) {
                (Some(peer), Some(ratio)) => format!("   {ratio} × {peer}"),
                _ => String::new(),
            };
            eprintln!("{name:<52}{value:>14}  {unit}{beside}");
        }
    }
}
