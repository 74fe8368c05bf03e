//! What is counted between two pictures, where it happens: probings, and how long things take. Shared by all pictures of
//! one agent, and gone with it; a pod's goes with the pod. Knows no clock.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use crate::pod::probe::ProbeKind;

/// Upper bounds in seconds that the kubelet sorts a probing's duration by: those of Prometheus' client library.
const PROBING_BOUNDS: &[f64] = &[0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// Seconds. From a loop that has nothing else to do to one that has stalled.
const DELAY_BOUNDS: &[f64] = &[0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0, 60.0];

/// Durations, sorted into buckets.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Spread {
    bounds: &'static [f64],
    /// One for each bound, and one for what is beyond them all.
    counts: Vec<u64>,
    sum: Duration,
}

impl Spread {
    /// `bounds` are in seconds and ascend; a duration that equals one still belongs to it.
    pub(crate) fn new(bounds: &'static [f64]) -> Self {
        Self { bounds, counts: vec![0; bounds.len() + 1], sum: Duration::ZERO }
    }

    pub(crate) fn add(&mut self, took: Duration) {
        let bucket = self.bounds.partition_point(|bound| *bound < took.as_secs_f64());
        self.counts[bucket] += 1;
        self.sum += took;
    }

    /// Each bound with how many lie between it and the one before; infinity is the last.
    pub(crate) fn buckets(&self) -> impl Iterator<Item = (f64, u64)> {
        let bounds = self.bounds.iter().copied().chain([f64::INFINITY]);
        bounds.zip(self.counts.iter().copied())
    }

    pub(crate) fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// Seconds.
    pub(crate) fn sum(&self) -> f64 {
        self.sum.as_secs_f64()
    }
}

/// How long what wakes the loop waits for it.
#[derive(Debug)]
pub(crate) struct Delays(Mutex<Spread>);

impl Default for Delays {
    fn default() -> Self {
        Self(Mutex::new(Spread::new(DELAY_BOUNDS)))
    }
}

impl Delays {
    pub(crate) fn add(&self, delay: Duration) {
        self.spread().add(delay);
    }

    pub(crate) fn now(&self) -> Spread {
        self.spread().clone()
    }

    /// Each change is whole, so a panic elsewhere leaves it right.
    fn spread(&self) -> MutexGuard<'_, Spread> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What one probing came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answered {
    /// After so long.
    Well(Duration),
    Badly,
    /// There was no answer, and that was not the container's fault.
    NotAtAll,
}

/// One probe of one container, over all its attempts.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Probing {
    pub(crate) successful: u64,
    pub(crate) failed: u64,
    pub(crate) unknown: u64,
    /// How long the successful ones took.
    pub(crate) took: Spread,
}

type OfPod = BTreeMap<(String, ProbeKind), Probing>;

/// The probes of one pod that have been under way.
#[derive(Debug, Default)]
pub(crate) struct Probings(Mutex<OfPod>);

impl Probings {
    /// From now on there is something to say of this probe: nothing came of it yet.
    pub(crate) fn begin(&self, container: &str, kind: ProbeKind) {
        of(&mut self.all(), container, kind);
    }

    pub(crate) fn count(&self, container: &str, kind: ProbeKind, answered: Answered) {
        let mut all = self.all();
        let probing = of(&mut all, container, kind);
        match answered {
            Answered::Well(took) => {
                probing.successful += 1;
                probing.took.add(took);
            }
            Answered::Badly => probing.failed += 1,
            Answered::NotAtAll => probing.unknown += 1,
        }
    }

    /// All of them at this moment, by container.
    pub(crate) fn now(&self) -> OfPod {
        self.all().clone()
    }

    /// Each change is whole, so a panic elsewhere leaves them right.
    fn all(&self) -> MutexGuard<'_, OfPod> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn of<'a>(all: &'a mut OfPod, container: &str, kind: ProbeKind) -> &'a mut Probing {
    let none = || Probing { successful: 0, failed: 0, unknown: 0, took: Spread::new(PROBING_BOUNDS) };
    all.entry((container.to_owned(), kind)).or_insert_with(none)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_belongs_to_the_first_bound_that_it_does_not_exceed() {
        let mut spread = Spread::new(&[0.5, 1.0]);
        for milliseconds in [0, 500, 501, 1000, 1001, 90_000] {
            spread.add(Duration::from_millis(milliseconds));
        }
        assert_eq!(spread.buckets().collect::<Vec<_>>(), [(0.5, 2), (1.0, 2), (f64::INFINITY, 2)]);
        assert_eq!((spread.count(), spread.sum()), (6, 93.002));
    }

    #[test]
    fn only_an_answer_that_is_good_has_a_duration() {
        let probings = Probings::default();
        probings.begin("web", ProbeKind::Startup);
        probings.count("web", ProbeKind::Liveness, Answered::Well(Duration::from_secs(3)));
        for _ in 0..2 {
            probings.count("web", ProbeKind::Liveness, Answered::Badly);
            probings.count("web", ProbeKind::Readiness, Answered::NotAtAll);
        }
        // Asked for again after a restart: what was counted stays.
        probings.begin("web", ProbeKind::Liveness);
        let now = probings.now();
        let counts = now.iter().map(|((_, kind), probing)| {
            let Probing { successful, failed, unknown, took } = probing;
            (*kind, [*successful, *failed, *unknown, took.count()])
        });
        let expected = [
            (ProbeKind::Startup, [0, 0, 0, 0]),
            (ProbeKind::Readiness, [0, 0, 2, 0]),
            (ProbeKind::Liveness, [1, 2, 0, 1]),
        ];
        assert_eq!(counts.collect::<Vec<_>>(), expected);
    }
}
