//! What the kernel programs cost the processes of a machine, measured where it runs and not emulated: slices of a few
//! milliseconds without them, with them for processes of the box, and with them for processes of a container, by turns.

use std::fs;

use anyhow::{Context, Result, ensure};
use rustix::thread::{CpuSet, sched_getcpu, sched_setaffinity};

use super::{
    Figure,
    loaded::{Loaded, Place, Runs, Whose},
    loops::{self, Loop},
    numbers::{against_neighbours, median, resolved, spread},
    send_all,
};
use crate::{bpf, channel::say};

/// So many slices outside and inside, and twice as many without programs in between.
const ROUNDS: usize = 200;
/// While the kernel times the programs itself.
const TIMED: usize = 20;
const NS: &str = "ns of processor time, native";
const RUN: &str = "ns a run, native, timed by the kernel";

pub(super) fn measure(carob: &str, bpffs: &str) -> Result<()> {
    let place = Place::own(carob, bpffs)?;
    stay_on_one_processor()?;
    let (outside, inside) = (place.load(Whose::Outside)?, place.load(Whose::Inside)?);
    let mut ended = 0;
    for of in loops::ALL {
        say(&format!("{}: {ROUNDS} rounds", of.name()))?;
        send_all(Series::measured(of, &outside, &inside)?.figures()?)?;
        ended += ROUNDS as u64 * u64::from(of.exits());
    }
    let counted = inside.counted()?;
    // Else something else was measured than the name says.
    ensure!(
        counted >= ended,
        "the programs counted {counted} exits of {ended}: they do not see the root cgroup"
    );
    send_all(of_runs(&timed(&outside)?, &timed(&inside)?))?;
    say(&format!("load of the machine: {}", fs::read_to_string("/proc/loadavg").unwrap_or_default()))
}

/// What a processor has in its caches is then there in the next slice too.
fn stay_on_one_processor() -> Result<()> {
    let mut only = CpuSet::new();
    only.set(sched_getcpu());
    sched_setaffinity(None, &only).context("stay on one processor")
}

/// A loop's slices in the order they were measured in: off, outside, off, inside, off, …
struct Series {
    of: Loop,
    off: Vec<f64>,
    outside: Vec<f64>,
    inside: Vec<f64>,
}

impl Series {
    fn measured(of: Loop, outside: &Loaded, inside: &Loaded) -> Result<Self> {
        let with = |programs: &Loaded| {
            let attached = programs.attach()?;
            let slice = of.slice();
            drop(attached);
            slice
        };
        // The first ones find nothing in any cache.
        for programs in [outside, inside] {
            with(programs)?;
        }
        let mut series = Self { of, off: vec![of.slice()?], outside: Vec::new(), inside: Vec::new() };
        for _ in 0..ROUNDS {
            series.outside.push(with(outside)?);
            series.off.push(of.slice()?);
            series.inside.push(with(inside)?);
            series.off.push(of.slice()?);
        }
        Ok(series)
    }

    fn figures(&self) -> Result<Vec<Figure>> {
        let name = |part: &str| format!("programs.{}.{part}", self.of.name());
        let middle = |values: &[f64]| median(values).context("a loop was not measured");
        let off = middle(&self.off)?;
        let noise = spread(&self.noise()).context("a loop was not measured")?;
        let resolved = resolved(noise, ROUNDS);
        let mut figures = vec![
            Figure::alone(name("off"), off, NS),
            Figure::alone(
                name("off_spread"),
                noise,
                "ns, median absolute deviation of one slice from its neighbours",
            ),
            Figure::alone(name("resolved"), resolved, "ns, smaller differences of the medians are noise"),
        ];
        for (whose, values, first) in [(Whose::Outside, &self.outside, 0), (Whose::Inside, &self.inside, 1)] {
            let value = middle(values)?;
            figures.push(Figure::beside(name(whose.name()), value, NS, &name("off"), off));
            let added = middle(&self.added(values, first))?;
            let name_of_added = name(&format!("{}_added", whose.name()));
            figures.push(Figure::beside(name_of_added, added, NS, &name("resolved"), resolved));
        }
        Ok(figures)
    }

    /// Each slice against the two without programs around it; `first`: which of these stands before the first.
    fn added(&self, values: &[f64], first: usize) -> Vec<f64> {
        let around = self.off.windows(2).skip(first).step_by(2);
        around.zip(values).map(|(off, value)| against_neighbours(off[0], *value, off[1])).collect()
    }

    /// The same of the slices without programs: what would pass for a difference where there is none.
    fn noise(&self) -> Vec<f64> {
        self.off.windows(3).map(|off| against_neighbours(off[0], off[1], off[2])).collect()
    }
}

/// With the kernel's own clock on, which costs time itself.
fn timed(programs: &Loaded) -> Result<Vec<Runs>> {
    let (_counting, _attached) = (bpf::count_runs()?, programs.attach()?);
    for of in loops::ALL {
        for _ in 0..TIMED {
            of.slice()?;
        }
    }
    programs.runs()
}

/// A program that never ran has no figure: nobody was killed for want of memory.
fn of_runs(outside: &[Runs], inside: &[Runs]) -> Vec<Figure> {
    let mean = |runs: &Runs| (runs.count > 0).then(|| runs.ns as f64 / runs.count as f64);
    let mut figures = Vec::new();
    for (outside, inside) in outside.iter().zip(inside) {
        let (Some(less), Some(more)) = (mean(outside), mean(inside)) else { continue };
        let name = |whose: Whose| format!("programs.{}.{}", outside.name, whose.name());
        figures.push(Figure::alone(name(Whose::Outside), less, RUN));
        figures.push(Figure::beside(name(Whose::Inside), more, RUN, &name(Whose::Outside), less));
    }
    figures
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_slice_is_compared_with_those_around_it() {
        let series = Series {
            of: Loop::Fork,
            off: vec![10.0, 20.0, 30.0, 40.0, 50.0],
            outside: vec![16.0, 37.0],
            inside: vec![28.0, 50.0],
        };
        assert_eq!(series.added(&series.outside, 0), [1.0, 2.0]);
        assert_eq!(series.added(&series.inside, 1), [3.0, 5.0]);
        assert_eq!(series.noise(), [0.0, 0.0, 0.0], "a steady drift is no noise");
    }
}
