//! How long containers take to come up and to end, over the whole box, since this agent began. Knows no clock.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use super::counted::Spread;

/// Seconds. From a warm start on a good disk to what a slow program takes until it is ready.
const BOUNDS: &[f64] = &[0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0, 30.0, 60.0, 300.0];

/// A stretch of a container's way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Stage {
    /// From the order until the container is built and waits for its word.
    Create,
    /// Until its attempt is on disk.
    Record,
    /// From the word until its own program runs.
    Exec,
    /// From its start until its startup probe succeeds.
    Started,
    /// From its start until its readiness probe succeeds for the first time.
    Ready,
    /// From the signal that asks it to end until its main process is gone.
    Stop,
}

impl Stage {
    const ALL: [Self; 6] = [Self::Create, Self::Record, Self::Exec, Self::Started, Self::Ready, Self::Stop];
}

/// All stages, of all containers.
#[derive(Debug)]
pub(crate) struct Stages(Mutex<BTreeMap<Stage, Spread>>);

impl Default for Stages {
    fn default() -> Self {
        Self(Mutex::new(Stage::ALL.map(|stage| (stage, Spread::new(BOUNDS))).into()))
    }
}

impl Stages {
    /// A container has come through this stage.
    pub(crate) fn took(&self, stage: Stage, time: Duration) {
        self.all().entry(stage).or_insert_with(|| Spread::new(BOUNDS)).add(time);
    }

    /// All of them at this moment.
    pub(crate) fn now(&self) -> BTreeMap<Stage, Spread> {
        self.all().clone()
    }

    /// Each change is whole, so a panic elsewhere leaves them right.
    fn all(&self) -> MutexGuard<'_, BTreeMap<Stage, Spread>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
