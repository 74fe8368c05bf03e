//! `cargo xtask bench`: what the agent costs, against its budgets. What is measured is in `tests/src/guest_bench.rs`.

use std::time::Instant;

use anyhow::Result;

use crate::{
    build,
    place::Place,
    run,
    vm::{
        guest::Guest,
        machine::{Machine, Saved},
        payload::Payload,
        qemu::Console,
        rundir::RunDir,
    },
};

pub(crate) fn run(place: &Place) -> Result<()> {
    build::all(place)?;
    let machine = Machine::prepared(place)?;
    let saved = Saved::made(place, &machine)?;
    let dir = RunDir::new(place, "bench")?;
    let payload = Payload::new(place, &machine.busybox, dir.path())?.disk()?;
    let since = Instant::now();
    let mut guest = Guest::restore(&machine, &saved, &payload, Console::Logged, dir.path())?;
    guest.go(&["guest-bench"])?;
    run::follow(&mut guest, since)
}
