//! The plug is pulled while carob works. What somebody was told is done must be done at the next boot, what was under
//! way is done or not, and nothing is half there.
//!
//! ```text
//!   cold boot ─ agent ─ all that was ever noted is checked ─ work, with a note before and after each step ─ CUT ─ …
//! ```
//! The host keeps the notes. One that it has not got when it pulls the plug was told to nobody.

mod images;
mod known;
mod pods;

use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use anyhow::{Context, Result};

use self::known::Known;
use super::Case;
use crate::{lots::Lots, wire::Mode, world::World};

const CUTS: u32 = 6;
const CUTS_OF_FULL: u32 = 50;
/// Each kind of work is done several times within it.
const WINDOW: Duration = Duration::from_secs(14);

pub(crate) fn cases() -> Vec<Case> {
    let limit = Duration::from_secs(600);
    vec![Case { name: "what_was_acknowledged_outlives_a_power_cut", mode: Mode::Reboot, limit, run: cuts }]
}

fn cuts(world: &World) -> Result<()> {
    let mut known = Known::read(world.notes());
    if world.boot() == 0 {
        set_up(world)?;
    } else {
        told(world, &known)?;
        world.start()?;
        images::check(world, &mut known)?;
        pods::check(world, &mut known)?;
    }
    let cuts = if world.full() { CUTS_OF_FULL } else { CUTS };
    if world.boot() == cuts {
        return world.say(&format!("{cuts} power cuts, in the middle of: {}", known.all_hits()));
    }
    world.expect_cut(WINDOW)?;
    work(world, &known)
}

/// A cold machine with carob on it, which the case starts itself: first it looks at the disk.
fn set_up(world: &World) -> Result<()> {
    world.install()?;
    world.start()?;
    world.load_images()?;
    images::make(world)?;
    // The package and the archives are on the disk before anything happens; what carob keeps is its own affair.
    world.command("sync", &[]).map(drop)
}

/// What the cut has met, by what had begun and was not said to be done.
fn told(world: &World, known: &Known) -> Result<()> {
    let met = known.met();
    met.iter().try_for_each(|work| world.note(format!("hit:{work}")))?;
    world.say(&format!(
        "cut {} was in the middle of: {} (on the disk: {})",
        world.boot(),
        met.join(", "),
        images::found()?
    ))
}

/// Two at a time, until the power goes.
fn work(world: &World, known: &Known) -> Result<()> {
    let stop = AtomicBool::new(false);
    let until_stopped = |what: &str, mut step: Box<dyn FnMut() -> Result<()> + Send + '_>| {
        let mut done = Ok(());
        while done.is_ok() && !stop.load(Ordering::Relaxed) {
            done = step();
        }
        stop.store(true, Ordering::Relaxed);
        done.with_context(|| format!("at work on {what}"))
    };
    let lots = |nth: u64| Lots::new(world.seed() ^ (u64::from(world.boot()) << 8) ^ nth);
    let mut images = images::Work::new(world, known, lots(0));
    let mut pods = pods::Work::new(world, known);
    thread::scope(|scope| {
        let images = scope.spawn(|| until_stopped("images", Box::new(|| images.step())));
        let pods = until_stopped("pods", Box::new(|| pods.step()));
        let images = images.join().map_err(|_| anyhow::anyhow!("the work on images panicked"))?;
        images.and(pods)
    })
}
