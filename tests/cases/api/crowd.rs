//! Ten thousand clients who all want to watch: those for whom there is a place do, the others are told that there is none,
//! and the agent is no larger for them.

use std::os::unix::net::UnixStream;

use anyhow::{Context, Result, ensure};
use rustix::process::{Resource, Rlimit, setrlimit};

use super::load;
use crate::{
    pods::{PATIENCE, ready, sample},
    stream,
    world::World,
};

const CLIENTS: usize = 10_000;
/// README's number, of which the test program's own questions take some.
const PLACES: std::ops::RangeInclusive<usize> = 1490..=1500;
/// Of the agent beside what it had before, in KiB.
const MOST: u64 = 96 << 10;
const WATCH: &str = "/api/v1/namespaces/default/pods?watch=true&allowWatchBookmarks=true";

pub(super) fn comes(world: &World) -> Result<()> {
    ready(world)?;
    let descriptors = Rlimit { current: Some(4096), maximum: Some(4096) };
    setrlimit(Resource::Nofile, descriptors).context("ask for descriptors")?;
    let before = load::resident(world)?;
    let (mut watching, mut told, mut cut) = (Vec::new(), 0, 0);
    for _ in 0..CLIENTS {
        match stream::watch(WATCH) {
            Ok(stream) => watching.push(stream),
            Err(fault) if format!("{fault:#}").contains("429 Too Many Requests") => told += 1,
            // Turned away before it had asked.
            Err(_) => cut += 1,
        }
    }
    let grown = load::resident(world)?.saturating_sub(before);
    world.say(&format!(
        "{} watch, {told} were told that there is no place, {cut} were cut off; the agent has grown by {} MiB",
        watching.len(),
        grown >> 10
    ))?;
    ensure!(PLACES.contains(&watching.len()), "{} watch", watching.len());
    ensure!(cut < CLIENTS / 10, "{cut} do not know why");
    ensure!(grown <= MOST, "the agent has grown by {grown} KiB");
    let said = world.carob(&["get", "pods"])?;
    ensure!(said.code == Some(1), "one more is served: {said:?}");
    let counted = sample(&world.metrics()?, "carob_api_refusals_total", &[("reason", "too_many")])?;
    ensure!(counted >= (told + cut) as f64, "{counted} are counted");
    // Those that have a place have not been forgotten.
    let last = watching.pop().context("nobody watches")?;
    ensure!(is_open(&last)?, "one that watched no longer does");
    drop((watching, last));
    world.wait_until("there is a place again", PATIENCE, || world.carob_ok(&["get", "pods"])).map(drop)
}

/// Whether nothing has come yet, not even an end.
fn is_open(stream: &UnixStream) -> Result<bool> {
    stream.set_nonblocking(true).context("look at a watch")?;
    let mut byte = [0];
    match rustix::net::recv(stream, &mut byte[..], rustix::net::RecvFlags::PEEK) {
        Err(rustix::io::Errno::AGAIN) => Ok(true),
        Err(fault) => Err(fault).context("look at a watch"),
        Ok((_, read)) => Ok(read > 0),
    }
}
