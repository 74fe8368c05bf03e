//! One task a probe: asks in its rhythm, counts by `plan::probe` and for the metrics, tells the loop of verdicts only.
//! Which probes go on is settled anew each turn, so that a probe ends with its attempt whatever ended that, and begins
//! again with the agent.

use std::{collections::BTreeMap, sync::Arc};

use tokio::task::AbortHandle;

use super::{
    Agent, clock,
    kept::Kept,
    notes::{Note, Notes},
};
use crate::{
    act::{
        Tools, chain,
        probe::{self, Reply},
    },
    picture::counted::{Answered, Probings},
    plan::{
        self, State,
        probe::{Answer, Tally},
    },
    pod::{
        AttemptId, PodName, Stamp,
        probe::{Probe, ProbeKind},
        status::Live,
    },
};

/// How often a probe is tried that comes to nothing, before its turn is given up.
const TRIES: u32 = 3;

/// The probes that are under way.
pub(super) type Probing = BTreeMap<(AttemptId, ProbeKind), Task>;

/// A probe of one attempt. Dropped, it ends.
#[derive(Debug)]
pub(super) struct Task(AbortHandle);

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Agent {
    /// Begins and ends probes so that those go on that should.
    pub(super) fn tend_probes(&mut self) {
        let mut due = BTreeMap::new();
        for kept in self.pods.values() {
            for (live, kind, probe) in probes(kept) {
                due.insert((live.id.clone(), kind), (kept, live, probe));
            }
        }
        self.probing.retain(|key, _| due.contains_key(key));
        for ((id, kind), (kept, live, probe)) in due {
            self.probing.entry((id.clone(), kind)).or_insert_with(|| {
                let (tools, notes) = (self.tools.clone(), self.notes.clone());
                let (pod, probe, probings) = (kept.spec.name.clone(), probe.clone(), kept.probings.clone());
                probings.begin(&id.container, kind);
                let rounds = Rounds { tools, notes, pod, id, kind, probe, probings };
                Task(tokio::spawn(rounds.go(live.started)).abort_handle())
            });
        }
    }
}

/// The probes of a pod that are to go on. A pod that goes is asked whether it is ready, but no longer whether it lives.
fn probes(kept: &Kept) -> impl Iterator<Item = (&Live, ProbeKind, &Probe)> {
    let goes = kept.seen.deletion.is_some();
    let containers = kept.spec.containers.iter().zip(&kept.seen.containers);
    containers
        .filter_map(|(container, seen)| match &seen.state {
            State::Running(live) => Some((container, seen, live)),
            _ => None,
        })
        .flat_map(|(container, seen, live)| {
            seen.health.due(&container.probes).map(move |(kind, probe)| (live, kind, probe))
        })
        .filter(move |(_, kind, _)| !goes || *kind == ProbeKind::Readiness)
}

impl Kept {
    /// A probe has come to another verdict.
    pub(super) fn probed(&mut self, id: &AttemptId, kind: ProbeKind, verdict: Answer, now: Stamp) {
        let live = |seen: &plan::Seen| match &seen.state {
            State::Running(live) if live.id == *id => Some(live.clone()),
            _ => None,
        };
        let mut all = self.seen.containers.iter().enumerate();
        let Some((container, live)) = all.find_map(|(place, seen)| Some((place, live(seen)?))) else {
            return;
        };
        let pod = &self.spec.name;
        match &verdict {
            Answer::Success => {
                tracing::info!(%pod, container = id.container, attempt = id.attempt, "{kind} probe succeeds");
                self.course.succeeded(&live, kind, now);
            }
            Answer::Failure { message } => {
                tracing::warn!(%pod, container = id.container, attempt = id.attempt, message, "{kind} probe failed");
                self.tell_unhealthy(container, kind, message);
            }
        }
        let wanted = &self.spec.containers[container];
        self.seen.containers[container].health.take(wanted, kind, verdict, now);
    }
}

/// Probing one attempt for one purpose.
struct Rounds {
    tools: Arc<Tools>,
    notes: Notes,
    pod: PodName,
    id: AttemptId,
    kind: ProbeKind,
    probe: Probe,
    probings: Arc<Probings>,
}

impl Rounds {
    /// Goes on until the task is ended.
    async fn go(self, started: Stamp) {
        if let Err(e) = self.rounds(started).await {
            tracing::error!(error = %e, pod = %self.pod, container = self.id.container, "no alarm for the {} probe", self.kind);
        }
    }

    async fn rounds(&self, started: Stamp) -> std::io::Result<()> {
        let alarm = clock::Alarm::new()?;
        let mut tally = Tally::new(self.kind);
        let mut next = started.after(self.probe.initial_delay).max(clock::now());
        loop {
            alarm.set(Some(next))?;
            alarm.rang().await?;
            let (asked, answer) = (clock::now(), self.ask().await);
            self.count(answer.as_ref(), asked);
            let verdict = answer.and_then(|answer| tally.take(&self.probe, answer));
            if let Some(verdict) = verdict {
                let note = Note::Probed { id: self.id.clone(), kind: self.kind, verdict };
                if self.notes.send(note).await.is_err() {
                    return Ok(());
                }
            }
            // One that took too long is followed at once by the next, and the rhythm begins anew.
            next = next.after(self.probe.period).max(clock::now());
        }
    }

    /// Like the kubelet, which knows the duration of what went well.
    fn count(&self, answer: Option<&Answer>, asked: Stamp) {
        let answered = match answer {
            Some(Answer::Success) => Answered::Well(clock::now().since(asked)),
            Some(Answer::Failure { .. }) => Answered::Badly,
            None => Answered::NotAtAll,
        };
        self.probings.count(&self.id.container, self.kind, answered);
    }

    /// One answer. `None`: there was none, and that was not the container's fault.
    async fn ask(&self) -> Option<Answer> {
        for _ in 0..TRIES {
            match probe::ask(&self.tools, &self.id, &self.probe).await {
                Ok(Reply::Success) => return Some(Answer::Success),
                Ok(Reply::Warning { message }) => {
                    tracing::debug!(attempt = %self.id, message, "{} probe warning", self.kind);
                    return Some(Answer::Success);
                }
                Ok(Reply::Failure { message }) => {
                    tracing::debug!(attempt = %self.id, message, "{} probe failed", self.kind);
                    return Some(Answer::Failure { message });
                }
                Err(e) => {
                    tracing::debug!(attempt = %self.id, error = %chain(&e), "{} probe errored", self.kind);
                }
            }
        }
        None
    }
}
