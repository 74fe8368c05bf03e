//! `cargo xtask test`: all that can be checked, in the order of its cost, each stage with its time. A FILTER picks
//! cases by a part of `area::name`; `tidy`, `host` and `monitoring` are areas too.

mod arm64;
pub(crate) mod cases;
mod clients;
mod host;
mod programs;
mod prometheus;
pub(crate) mod tally;

use std::{
    path::PathBuf,
    process::ExitCode,
    time::{SystemTime, UNIX_EPOCH},
};

use anyhow::Result;

use self::tally::Tally;
use crate::{
    build,
    place::Place,
    progress::stage,
    tidy,
    vm::{
        machine::{Machine, Saved},
        payload::Payload,
        rundir::RunDir,
        series::KernelWord,
    },
    wire::{Listed, Mode},
};

#[derive(clap::Args)]
pub(crate) struct Words {
    /// Part of `area::name`; `tidy`, `host` and `monitoring` name those stages
    filter: Option<String>,
    /// Only prints the cases
    #[arg(long)]
    list: bool,
    /// The long form of long cases
    #[arg(long)]
    full: bool,
    /// For what is left to chance, as power cuts; else drawn
    #[arg(long)]
    seed: Option<u64>,
    #[command(flatten)]
    kernel: KernelWord,
}

pub(crate) fn run(place: &Place, words: &Words) -> Result<ExitCode> {
    if words.list {
        build::tests_only(place)?;
        cases::listed(place)?.iter().for_each(|case| println!("{}", case.case));
        return Ok(ExitCode::SUCCESS);
    }
    let mut tally = Tally::default();
    let wanted = |stage: &str| words.filter.as_deref().is_none_or(|filter| filter == stage);
    if wanted("tidy") {
        let stage = stage("tidy");
        tidy::check(place, &mut tally)?;
        stage.done();
    }
    if wanted("monitoring") {
        prometheus::check_monitoring(place, &mut tally);
    }
    if !matches!(words.filter.as_deref(), Some("tidy" | "monitoring")) {
        build::all(place)?;
    }
    if wanted("host") {
        host::run(place, &mut tally)?;
    }
    if !matches!(words.filter.as_deref(), Some("tidy" | "host" | "monitoring")) {
        in_guests(place, words, &mut tally)?;
    }
    Ok(tally.close())
}

fn in_guests(place: &Place, words: &Words, tally: &mut Tally) -> Result<()> {
    let filter = words.filter.as_deref().unwrap_or_default();
    let mut picked = cases::listed(place)?;
    picked.retain(|case| case.case.contains(filter));
    let (arm64, picked): (Vec<_>, Vec<_>) = picked.into_iter().partition(|case| case.mode == Mode::Arm64);
    if !picked.is_empty() {
        restored(place, words, &picked, tally)?;
    }
    if !arm64.is_empty() {
        arm64::run(place, words, &arm64, tally)?;
    }
    Ok(())
}

fn restored(place: &Place, words: &Words, picked: &[Listed], tally: &mut Tally) -> Result<()> {
    let machine = Machine::with_kernel(place, words.kernel.kernel)?;
    let saved = Saved::made(place, &machine)?;
    let run = RunDir::new(place, "test")?;
    let payload = payload(place, &machine, &run, picked)?;
    let guests = cases::Guests {
        place,
        machine: &machine,
        saved: &saved,
        payload: &payload,
        run: &run,
        full: words.full,
        seed: words.seed.unwrap_or_else(drawn_seed),
    };
    guests.run_all(picked, tally)
}

/// Short enough to be typed.
pub(crate) fn drawn_seed() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_micros() as u64 % 1_000_000)
}

/// The payload that these cases need.
pub(crate) fn payload(place: &Place, machine: &Machine, run: &RunDir, cases: &[Listed]) -> Result<PathBuf> {
    let payload = Payload::new(place, &machine.busybox, run.path())?;
    programs::add(place, &payload, cases)?;
    payload.disk()
}
