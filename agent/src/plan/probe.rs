//! From the answers of a probe to a verdict, and from verdicts to what a container is worth (kubelet
//! `prober/worker.go`). It neither asks nor waits.
//!
//! ```text
//!              startup succeeds              readiness succeeds
//!   starting ────────────────► started, not ready ⇄ started, ready
//!       │                          │       readiness fails    │
//!       │ startup fails            └───────────┬──────────────┘
//!       ▼                                      │ liveness fails
//!   unhealthy ◄────────────────────────────────┘
//! ```
//! An unhealthy container stays so: it is ended, and the next attempt begins anew.

use std::time::Duration;

use crate::pod::{
    Container, Stamp,
    probe::{Probe, ProbeKind, Probes},
    verdict::Why,
};

/// What one probing came to. Where no answer came about, for reasons that are ours, nothing is counted at all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Success,
    Failure { message: String },
}

/// What the probes of the attempt that runs have said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Health {
    pub(crate) started: bool,
    pub(crate) ready: bool,
    pub(crate) unhealthy: Option<Unhealthy>,
}

/// Why a container must not go on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Unhealthy {
    pub(crate) why: Why,
    pub(crate) since: Stamp,
    pub(crate) message: String,
    /// The probe's own grace period.
    pub(crate) grace: Option<Duration>,
}

impl Health {
    /// Before any answer: what is not probed is good.
    pub(crate) fn new(probes: &Probes) -> Self {
        Self { started: probes.startup.is_none(), ready: probes.readiness.is_none(), unhealthy: None }
    }

    /// Takes a verdict in.
    pub(crate) fn take(&mut self, wanted: &Container, kind: ProbeKind, verdict: Answer, now: Stamp) {
        let grace = wanted.probes.of(kind).and_then(|probe| probe.grace);
        let because = |why, message| Some(Unhealthy { why, since: now, message, grace });
        match (kind, verdict) {
            (ProbeKind::Startup, Answer::Success) => self.started = true,
            (ProbeKind::Readiness, answer) => self.ready = answer == Answer::Success,
            (ProbeKind::Liveness, Answer::Success) => (),
            (ProbeKind::Startup, Answer::Failure { message }) => {
                self.unhealthy = because(Why::Startup, message);
            }
            (ProbeKind::Liveness, Answer::Failure { message }) => {
                self.unhealthy = because(Why::Liveness, message);
            }
        }
    }

    /// The probes that are to go on now.
    pub(crate) fn due<'a>(&self, probes: &'a Probes) -> impl Iterator<Item = (ProbeKind, &'a Probe)> {
        let kinds: &[ProbeKind] = match (&self.unhealthy, self.started) {
            (Some(_), _) => &[],
            (None, false) => &[ProbeKind::Startup],
            (None, true) => &[ProbeKind::Readiness, ProbeKind::Liveness],
        };
        kinds.iter().filter_map(|kind| Some((*kind, probes.of(*kind)?)))
    }
}

/// The answers of one probe in a row.
#[derive(Debug)]
pub(crate) struct Tally {
    failures: u32,
    successes: u32,
    /// The verdict that stands.
    good: Option<bool>,
}

impl Tally {
    /// Readiness begins as failed, liveness as good, startup as neither.
    pub(crate) fn new(kind: ProbeKind) -> Self {
        let good = match kind {
            ProbeKind::Startup => None,
            ProbeKind::Readiness => Some(false),
            ProbeKind::Liveness => Some(true),
        };
        Self { failures: 0, successes: 0, good }
    }

    /// Counts one answer. Gives it back if it makes another verdict.
    pub(crate) fn take(&mut self, probe: &Probe, answer: Answer) -> Option<Answer> {
        let good = answer == Answer::Success;
        (self.successes, self.failures) = if good { (self.successes + 1, 0) } else { (0, self.failures + 1) };
        let enough = self.successes >= probe.successes || self.failures >= probe.failures;
        if !enough || self.good == Some(good) {
            return None;
        }
        self.good = Some(good);
        Some(answer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pod::probe::Action;

    fn probe(successes: u32, failures: u32) -> Probe {
        Probe {
            action: Action::TcpSocket { host: None, port: 1 },
            initial_delay: Duration::ZERO,
            period: Duration::from_secs(10),
            timeout: Duration::from_secs(1),
            successes,
            failures,
            grace: None,
        }
    }

    fn answer(letter: char) -> Answer {
        match letter {
            '+' => Answer::Success,
            _ => Answer::Failure { message: "no".to_owned() },
        }
    }

    /// Answers in a row, and where the verdict changes to what.
    #[test]
    fn a_verdict_takes_as_many_answers_in_a_row_as_the_threshold_says() {
        use ProbeKind::{Liveness, Readiness, Startup};
        let rows = [
            (Readiness, 1, 3, "+", "+"),
            (Readiness, 1, 3, "-----", "....."),
            (Readiness, 3, 3, "++-+++", ".....+"),
            (Readiness, 1, 3, "+--+---+", "+.....-+"),
            (Liveness, 1, 3, "+++", "..."),
            (Liveness, 1, 3, "--+--+---", "........-"),
            (Liveness, 1, 1, "-", "-"),
            (Startup, 1, 3, "--+", "..+"),
            (Startup, 1, 3, "---", "..-"),
            (Startup, 1, 30, "+", "+"),
        ];
        for (kind, successes, failures, answers, verdicts) in rows {
            let (probe, mut tally) = (probe(successes, failures), Tally::new(kind));
            let said: String = answers
                .chars()
                .map(|letter| tally.take(&probe, answer(letter)).map_or('.', |_| letter))
                .collect();
            assert_eq!(said, verdicts, "{kind}: {answers}");
        }
    }

    #[test]
    fn what_is_not_probed_is_good_and_startup_holds_the_others_back() {
        use ProbeKind::{Liveness, Readiness, Startup};
        let some = || Some(probe(1, 3));
        let all = Probes { startup: some(), readiness: some(), liveness: some() };
        let two = Probes { startup: None, ..all.clone() };
        /// Probes, what they say, whether that is started, ready and healthy, and which go on.
        type Row<'a> = (&'a Probes, &'a [(ProbeKind, char)], [bool; 3], &'a [ProbeKind]);
        let rows: [Row<'_>; 9] = [
            (&Probes::default(), &[], [true, true, true], &[]),
            (&two, &[], [true, false, true], &[Readiness, Liveness]),
            (&all, &[], [false, false, true], &[Startup]),
            (&all, &[(Startup, '+')], [true, false, true], &[Readiness, Liveness]),
            (&all, &[(Startup, '-')], [false, false, false], &[]),
            (&all, &[(Startup, '+'), (Readiness, '+')], [true, true, true], &[Readiness, Liveness]),
            (&two, &[(Readiness, '+'), (Readiness, '-')], [true, false, true], &[Readiness, Liveness]),
            (&two, &[(Readiness, '-')], [true, false, true], &[Readiness, Liveness]),
            (&two, &[(Readiness, '+'), (Liveness, '-')], [true, true, false], &[]),
        ];
        for (probes, verdicts, expected, due) in rows {
            let wanted = Container { probes: probes.clone(), ..Container::default() };
            let mut health = Health::new(probes);
            for (kind, letter) in verdicts {
                health.take(&wanted, *kind, answer(*letter), Stamp(0));
            }
            assert_eq!([health.started, health.ready, health.unhealthy.is_none()], expected, "{verdicts:?}");
            let kinds: Vec<ProbeKind> = health.due(probes).map(|(kind, _)| kind).collect();
            assert_eq!(kinds, due, "{verdicts:?}");
        }
    }
}
