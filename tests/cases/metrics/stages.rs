//! The histograms of how containers come up and end: one more for each that did, and about as long as it took.

use std::time::Instant;

use anyhow::{Result, ensure};

use crate::{
    pods::{PATIENCE, Pod, one, sample},
    world::World,
};

const POD: &str = "timed";
/// What it takes to end, and to be ready, at least.
const SECONDS: u64 = 3;
const PHASES: [&str; 5] = ["create", "record", "exec", "started", "ready"];

/// How many, and how long in all.
#[derive(Clone, Copy, Debug)]
struct Seen {
    count: f64,
    sum: f64,
}

impl Seen {
    fn since(self, before: Self) -> Self {
        Self { count: self.count - before.count, sum: self.sum - before.sum }
    }
}

/// Its main container has both probes and ends slowly, the other has none and is not asked about.
fn manifest() -> String {
    let script = format!("trap 'sleep {SECONDS}; exit 0' TERM; sleep 3600 & wait");
    let easy = "periodSeconds: 1, timeoutSeconds: 30, failureThreshold: 60";
    let probes = format!(
        "      startupProbe: {{exec: {{command: [\"true\"]}}, initialDelaySeconds: 1, {easy}}}\n      readinessProbe: {{exec: {{command: [\"true\"]}}, initialDelaySeconds: {SECONDS}, {easy}}}\n"
    );
    let other = "    - {name: other, image: \"carob-work:1\", imagePullPolicy: Never, command: [\"/work\", \"sleep\"]}\n";
    one(POD, "sleep", &probes, "")
        .replace("[\"/work\", \"sleep\"]", &format!("[\"sh\", \"-c\", \"{script}\"]"))
        + other
}

pub(super) fn timed(world: &World) -> Result<()> {
    crate::pods::ready(world)?;
    let before = phases(world)?;
    let ended_before = stops(world)?;
    let begun = Instant::now();
    let pod = Pod::apply(world, POD, &manifest())?;
    let came = world.wait_until("both are up, and one is ready", PATIENCE, || {
        let now = phases(world)?;
        let came: Vec<Seen> = now.iter().zip(&before).map(|(now, before)| now.since(*before)).collect();
        let counts: Vec<f64> = came.iter().map(|seen| seen.count).collect();
        ensure!(counts == [2.0, 2.0, 2.0, 1.0, 1.0], "{PHASES:?}: {counts:?}");
        Ok(came)
    })?;
    let most = begun.elapsed().as_secs_f64();
    for (phase, seen) in PHASES.iter().zip(&came) {
        // Two at the same time take no longer than twice as long.
        ensure!(seen.sum > 0.0 && seen.sum < most * seen.count, "{phase}: {seen:?}, and {most} s in all");
    }
    let (started, ready) = (came[3].sum, came[4].sum);
    ensure!(
        started >= 1.0 && ready >= SECONDS as f64 && started <= ready,
        "started {started}, ready {ready}"
    );
    let asked = Instant::now();
    pod.delete()?;
    let most = asked.elapsed().as_secs_f64();
    let ended = stops(world)?.since(ended_before);
    ensure!(
        ended.count == 2.0 && ended.sum >= SECONDS as f64 && ended.sum < most * 2.0,
        "{ended:?} in {most} s"
    );
    Ok(())
}

fn phases(world: &World) -> Result<Vec<Seen>> {
    let page = world.metrics()?;
    PHASES.iter().map(|phase| seen(&page, "carob_container_start_seconds", &[("phase", phase)])).collect()
}

fn stops(world: &World) -> Result<Seen> {
    seen(&world.metrics()?, "carob_container_stop_seconds", &[])
}

fn seen(page: &str, family: &str, labels: &[(&str, &str)]) -> Result<Seen> {
    let of = |suffix: &str| sample(page, &format!("{family}_{suffix}"), labels);
    Ok(Seen { count: of("count")?, sum: of("sum")? })
}
