//! Takes the time that containers need to come up and to end, where the loop and its tasks see both ends of a stage. What an
//! agent before this one has begun is left out: that agent's going lies in between.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, OnceLock},
};

use super::{Desk, clock, kept::Kept};
use crate::{
    act::{Job, Outcome},
    picture::stages::{Stage, Stages},
    plan::{State, Step},
    pod::{
        AttemptId, Stamp,
        probe::{ProbeKind, Probes},
        status::{Ended, Live},
    },
};

/// The stages that attempts of one pod are in.
#[derive(Debug, Default)]
pub(super) struct Course {
    /// The box's.
    pub(super) stages: Arc<Stages>,
    /// Probes that have not succeeded yet, of attempts that this agent has started.
    awaited: BTreeSet<(AttemptId, ProbeKind)>,
    /// When attempts were asked to end.
    asked: BTreeMap<AttemptId, Stamp>,
}

impl Course {
    /// An attempt runs. Only a probe tells when it is of use: without one it is from the start.
    pub(super) fn begun(&mut self, id: &AttemptId, probes: &Probes) {
        let kinds = [ProbeKind::Startup, ProbeKind::Readiness].into_iter();
        self.awaited.extend(kinds.filter(|kind| probes.of(*kind).is_some()).map(|kind| (id.clone(), kind)));
    }

    pub(super) fn succeeded(&mut self, live: &Live, kind: ProbeKind, now: Stamp) {
        if self.awaited.remove(&(live.id.clone(), kind)) {
            let stage = if kind == ProbeKind::Startup { Stage::Started } else { Stage::Ready };
            self.stages.took(stage, now.since(live.started));
        }
    }

    pub(super) fn ended(&mut self, ended: &Ended) {
        self.awaited.retain(|(id, _)| *id != ended.id);
        let asked = self.asked.remove(&ended.id);
        // One that ended on its own just before was not asked in time.
        if let Some(asked) = asked.filter(|asked| *asked <= ended.verdict.finished) {
            self.stages.took(Stage::Stop, ended.verdict.finished.since(asked));
        }
    }
}

impl Kept {
    /// A step is about to be sent off.
    pub(super) fn timed(&mut self, step: &Step, now: Stamp) {
        if let Step::Terminate { container, .. } = step
            && let State::Running(live) = &self.seen.containers[*container].state
        {
            self.course.asked.insert(live.id.clone(), now);
        }
    }
}

impl Desk {
    /// A container waits for its word, and its attempt is on disk; since when, says `recorded`.
    pub(super) fn time_creation(&self, job: &Job, built: Stamp, recorded: &OnceLock<Stamp>) {
        let now = *recorded.get_or_init(clock::now);
        self.stages.took(Stage::Create, built.since(job.now));
        self.stages.took(Stage::Record, now.since(built));
    }

    /// A step is done. If it was a start, then the container's own program has begun.
    pub(super) fn time_start(&self, outcome: &Outcome, recorded: &OnceLock<Stamp>) {
        if let (Outcome::Started { result: Ok(_), .. }, Some(word)) = (outcome, recorded.get()) {
            self.stages.took(Stage::Exec, clock::now().since(*word));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pod::{
        CgroupId, Pid, PodUid,
        probe::{Action, Probe},
        status::BootId,
        verdict::{Cause, Source, Verdict},
    };

    const SECOND: u64 = 1_000_000_000;

    fn id(attempt: u32) -> AttemptId {
        AttemptId { uid: PodUid("u".to_owned()), container: "c".to_owned(), attempt }
    }

    fn live(attempt: u32) -> Live {
        Live { id: id(attempt), pid: Pid(1), cgroup: CgroupId(1), started: Stamp(SECOND) }
    }

    fn ended(attempt: u32, finished: Stamp) -> Ended {
        let verdict = Verdict {
            code: Some(0),
            signal: None,
            core: false,
            cause: Cause::Completed,
            asked: None,
            cpu_ns: None,
            peak_memory: None,
            finished,
            source: Source::Kernel,
        };
        Ended {
            id: id(attempt),
            boot: BootId("b".to_owned()),
            started: None,
            verdict,
            said: None,
            flight: None,
        }
    }

    fn probes() -> Probes {
        let probe = Probe {
            action: Action::TcpSocket { host: None, port: 1 },
            initial_delay: std::time::Duration::ZERO,
            period: std::time::Duration::from_secs(1),
            timeout: std::time::Duration::from_secs(1),
            successes: 1,
            failures: 1,
            grace: None,
        };
        Probes { startup: Some(probe.clone()), readiness: Some(probe), liveness: None }
    }

    /// How many there were of each, and how long they took in all.
    fn seen(course: &Course) -> Vec<(Stage, u64, f64)> {
        let all = course.stages.now().into_iter();
        let seen = all.map(|(stage, spread)| (stage, spread.count(), spread.sum()));
        seen.filter(|(_, count, _)| *count > 0).collect()
    }

    #[test]
    fn only_the_first_success_of_an_attempt_that_this_agent_started_is_timed() {
        let mut course = Course::default();
        course.succeeded(&live(0), ProbeKind::Readiness, Stamp(9 * SECOND));
        assert_eq!(seen(&course), [], "it was taken over");
        course.begun(&id(1), &probes());
        course.succeeded(&live(1), ProbeKind::Startup, Stamp(3 * SECOND));
        for now in [4, 8] {
            course.succeeded(&live(1), ProbeKind::Readiness, Stamp(now * SECOND));
        }
        assert_eq!(seen(&course), [(Stage::Started, 1, 2.0), (Stage::Ready, 1, 3.0)]);
        course.begun(&id(2), &probes());
        course.ended(&ended(2, Stamp(5 * SECOND)));
        assert!(course.awaited.is_empty(), "nobody waits for what is over");
        course.begun(&id(3), &Probes::default());
        assert!(course.awaited.is_empty(), "nobody asks it");
    }

    #[test]
    fn an_end_is_timed_from_the_signal_that_asked_for_it() {
        let mut course = Course::default();
        course.ended(&ended(0, Stamp(2 * SECOND)));
        for (attempt, finished) in [(1, 6), (2, 3)] {
            course.asked.insert(id(attempt), Stamp(4 * SECOND));
            course.ended(&ended(attempt, Stamp(finished * SECOND)));
        }
        assert_eq!(seen(&course), [(Stage::Stop, 1, 2.0)]);
        assert!(course.asked.is_empty());
    }
}
