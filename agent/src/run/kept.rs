//! What the loop keeps of each pod, and how steps and their outcomes change it. No I/O.

use std::{sync::Arc, time::Duration};

use serde_json::Value;

use crate::{
    act::{Outcome, Started, chain},
    picture::counted::Probings,
    plan::{
        ContainerActivity, Deletion, Failure, Hooks, MIN_GRACE, Observed, PodActivity, Progress, Sandbox,
        Seen, State, Step, Supply, probe::Health,
    },
    pod::{
        AttemptId, CgroupId, Spec, Stamp,
        counts::{Counts, Tally},
        event::Weight,
        network::Address,
        probe::HookKind,
        status::{BootId, Ended, Live},
        verdict::Why,
    },
};

use super::{news::News, stages::Course, storage::Measured, volumes::Projections};

/// How long a failed clean-up rests before the next try.
const CLEAR_AGAIN: Duration = Duration::from_secs(10);
/// How long a failed kill rests.
const KILL_AGAIN: Duration = Duration::from_secs(1);

/// One pod.
#[derive(Debug)]
pub(super) struct Kept {
    pub(super) spec: Arc<Spec>,
    pub(super) object: Arc<Value>,
    pub(super) seen: Observed,
    pub(super) projections: Projections,
    pub(super) measured: Measured,
    /// When its object was made, as a date: who came first.
    pub(super) came: String,
    /// The box has room for it.
    pub(super) admitted: bool,
    /// The pod's own address, while it has one.
    pub(super) address: Option<Address>,
    /// What it asks for, if that is not what it was given.
    pub(super) asked: Option<Spec>,
    /// Of each container of the spec, in its order.
    pub(super) tallies: Vec<Tally>,
    /// What is still to be told of it.
    pub(super) news: Vec<News>,
    pub(super) probings: Arc<Probings>,
    pub(super) course: Course,
}

impl Kept {
    pub(super) fn new(spec: Arc<Spec>, object: Arc<Value>, boot: BootId, now: Stamp) -> Self {
        let seen = Observed::new(&spec, boot, now);
        let came = object["metadata"]["creationTimestamp"].as_str().unwrap_or_default().to_owned();
        Self {
            tallies: vec![Tally::default(); spec.containers.len()],
            spec,
            object,
            seen,
            projections: Projections::default(),
            measured: Measured::default(),
            came,
            admitted: false,
            address: None,
            asked: None,
            news: Vec::new(),
            probings: Arc::default(),
            course: Course::default(),
        }
    }

    /// The object says that the pod has to go within `grace`. A later word may only shorten it.
    pub(super) fn delete(&mut self, grace: Duration, now: Stamp) {
        let known = self.seen.deletion.map(|deletion| deletion.grace);
        if known.is_some_and(|known| known <= grace) {
            return;
        }
        self.seen.deletion = Some(Deletion { since: now, grace, why: Why::Delete });
        let limit = now.after(grace.max(MIN_GRACE));
        for seen in &mut self.seen.containers {
            if let State::Stopping { kill_at, .. } = &mut seen.state {
                *kill_at = limit.min(*kill_at);
            }
        }
    }

    /// The attempt that runs in the container a step is about.
    pub(super) fn live(&self, step: &Step) -> Option<(AttemptId, CgroupId)> {
        let container = match step {
            Step::Terminate { container, .. }
            | Step::Kill { container, .. }
            | Step::Hook { container, .. } => *container,
            _ => return None,
        };
        match &self.seen.containers.get(container)?.state {
            State::Running(live) | State::Stopping { live, .. } | State::Killed(live) => {
                Some((live.id.clone(), live.cgroup))
            }
            State::Idle | State::Failed(_) | State::Dead { .. } => None,
        }
    }

    /// A step is on its way: what it does is no longer due.
    pub(super) fn issued(&mut self, step: &Step) {
        match *step {
            Step::MakeSandbox => drop(self.seen.busy.insert(PodActivity::MakeSandbox)),
            Step::RemoveSandbox => drop(self.seen.busy.insert(PodActivity::RemoveSandbox)),
            Step::Limit { .. } => drop(self.seen.busy.insert(PodActivity::Limit)),
            Step::Forget => drop(self.seen.busy.insert(PodActivity::Forget)),
            Step::Pull { container, .. } => self.at(container).busy = Some(ContainerActivity::Pull),
            Step::StopPull { .. } => (),
            Step::Start { container, .. } => self.at(container).busy = Some(ContainerActivity::Start),
            Step::Clear { container, .. } => self.at(container).busy = Some(ContainerActivity::Clear),
            Step::Terminate { container, kill_at, .. } => {
                let seen = self.at(container);
                if let State::Running(live) = &seen.state {
                    seen.state = State::Stopping { live: live.clone(), kill_at };
                }
            }
            Step::Hook { container, hook, .. } => *self.at(container).hooks.at(hook) = Progress::Running,
            Step::Kill { container, .. } => {
                let seen = self.at(container);
                if let State::Running(live) | State::Stopping { live, .. } = &seen.state {
                    seen.state = State::Killed(live.clone());
                }
            }
        }
    }

    /// What became of a step. A start that counted as an attempt arrives through `ended` instead.
    pub(super) fn fold(&mut self, outcome: Outcome, now: Stamp) {
        match outcome {
            Outcome::SandboxMade(result) => {
                self.seen.busy.remove(&PodActivity::MakeSandbox);
                self.seen.sandbox = match result {
                    Ok(address) => {
                        self.address = address;
                        Sandbox::Ready
                    }
                    Err(e) => {
                        let failure = self.sandbox_failure(e.waiting_reason(), &e, now);
                        let message = format!("Failed to create pod sandbox: {}", failure.message);
                        self.tell(None, Weight::Warning, "FailedCreatePodSandBox", message);
                        Sandbox::Failed(failure)
                    }
                };
            }
            Outcome::SandboxRemoved(result) => {
                self.seen.busy.remove(&PodActivity::RemoveSandbox);
                self.seen.sandbox = match result {
                    Ok(()) => {
                        self.address = None;
                        Sandbox::Absent
                    }
                    Err(e) => {
                        let failure = self.sandbox_failure("KillPodSandboxError", &e, now);
                        let message = format!("error killing pod: {}", failure.message);
                        self.tell(None, Weight::Warning, "FailedKillPod", message);
                        Sandbox::Stuck(failure)
                    }
                };
            }
            Outcome::Limited { spec, result } => self.limited(&spec, result, now),
            Outcome::Pulled { container, attempt, since, images, result } => {
                self.pulled((container, attempt), since, &images, result, now);
            }
            Outcome::Started { container, attempt, result } => self.started(container, attempt, result, now),
            Outcome::Hooked { container, attempt, hook, result } => {
                self.hooked(container, attempt, hook, result, now);
            }
            Outcome::Terminated | Outcome::PullStopped => (),
            Outcome::Killed { container, result } => {
                if let Err(e) = result {
                    self.kill_again(container, &e, now);
                }
            }
            Outcome::Cleared { container, result } => {
                let seen = self.at(container);
                seen.busy = None;
                if let State::Dead { attempt, .. } = seen.state {
                    seen.state = match &result {
                        Ok(_) => State::Idle,
                        Err(_) => State::Dead { attempt, clear_at: now.after(CLEAR_AGAIN) },
                    };
                }
                if let Err(e) = result {
                    tracing::warn!(error = %chain(&e), pod = %self.spec.name, "an attempt cannot be cleared away");
                }
            }
            Outcome::Forgotten(result) => {
                self.seen.busy.remove(&PodActivity::Forget);
                if let Err(e) = result {
                    tracing::warn!(error = %chain(&e), pod = %self.spec.name, "the pod's logs cannot be removed");
                }
            }
        }
    }

    /// The end of a hook says nothing once its attempt is over.
    fn hooked(
        &mut self,
        container: usize,
        attempt: u32,
        hook: HookKind,
        result: Result<(), String>,
        now: Stamp,
    ) {
        let pod = self.spec.name.clone();
        let seen = self.at(container);
        if !matches!(&seen.state, State::Running(live) if live.id.attempt == attempt) {
            return;
        }
        match result {
            Ok(()) => *seen.hooks.at(hook) = Progress::Done,
            Err(message) => {
                tracing::warn!(%pod, ?hook, message, "a hook has failed");
                *seen.hooks.at(hook) = Progress::Failed { at: now };
                self.tell_hook_failed(container, hook, &message);
            }
        };
    }

    /// The main process of an attempt is gone and that is recorded; or the attempt never got so far.
    pub(super) fn ended(&mut self, ended: Ended, remains: Remains, now: Stamp) {
        let Some(container) = self.spec.containers.iter().position(|c| c.name == ended.id.container) else {
            return;
        };
        let attempt = ended.id.attempt;
        let seen = self.at(container);
        seen.next_attempt = seen.next_attempt.max(attempt + 1);
        seen.state = match remains {
            Remains::All => State::Dead { attempt, clear_at: now },
            Remains::Nothing => State::Idle,
        };
        if remains == Remains::Nothing {
            seen.busy = None;
        }
        seen.ended.push(ended.clone());
        let surplus = seen.ended.len().saturating_sub(crate::plan::restart::HISTORY);
        seen.ended.drain(..surplus);
        self.course.ended(&ended);
        self.tell_ended(container, &ended);
    }

    /// What the kernel counted in an attempt's cgroup is on disk, and the cgroup gone.
    pub(super) fn counted(&mut self, container: &str, cgroup: CgroupId, counts: Counts) {
        let Some(index) = self.spec.containers.iter().position(|c| c.name == container) else { return };
        let tally = &mut self.tallies[index];
        tally.written += counts;
        if tally.cgroup == Some(cgroup) {
            tally.cgroup = None;
        }
    }

    /// Images have changed: what waits for one is tried at once.
    pub(super) fn images_changed(&mut self) {
        for seen in &mut self.seen.containers {
            if matches!(&seen.state, State::Failed(failure) if failure.reason.contains("Image")) {
                seen.state = State::Idle;
            }
        }
    }

    fn started(
        &mut self,
        container: usize,
        attempt: u32,
        result: Result<Started, crate::act::container::Error>,
        now: Stamp,
    ) {
        let id = AttemptId {
            uid: self.spec.uid.clone(),
            container: self.spec.containers[container].name.clone(),
            attempt,
        };
        let name = self.spec.name.clone();
        let spec = self.spec.clone();
        let probes = &spec.containers[container].probes;
        let health = Health::new(probes);
        if result.is_ok() {
            self.course.begun(&id, probes);
        }
        let seen = self.at(container);
        seen.busy = None;
        seen.health = health;
        match result {
            Ok(started) => {
                seen.next_attempt = attempt + 1;
                seen.image_id = Some(started.image_id);
                seen.hooks = Hooks::default();
                self.tallies[container].cgroup = Some(started.cgroup);
                let seen = self.at(container);
                seen.state = State::Running(Live {
                    id,
                    pid: started.pid,
                    cgroup: started.cgroup,
                    started: started.at,
                });
                self.tell_started(container, attempt);
                self.compare_image(container, &started.image, now);
            }
            Err(crate::act::container::Error::NotHere { .. })
                if seen.supply != (Supply::Fetched { attempt }) =>
            {
                seen.supply = Supply::Missing;
            }
            Err(e) => {
                let message = chain(&e);
                let reason = e.waiting_reason().unwrap_or("RunContainerError");
                tracing::info!(pod = %name, container = id.container, reason, message, "container not started");
                // Whatever was fetched for it: the next try looks again.
                seen.supply = Supply::default();
                self.not_started(container, Failure::first(reason, message, now));
            }
        }
    }

    /// It is tried again, later each time in a row that it fails for the same reason.
    pub(super) fn not_started(&mut self, container: usize, failure: Failure) {
        self.tell_not_started(container, failure.reason, &failure.message);
        let seen = self.at(container);
        let last = if let State::Failed(last) = &seen.state { Some(last) } else { None };
        seen.state = State::Failed(failure.after(last));
    }

    fn kill_again(&mut self, container: usize, error: &dyn std::error::Error, now: Stamp) {
        tracing::warn!(error = %chain(error), pod = %self.spec.name, "SIGKILL is not sent");
        let seen = self.at(container);
        if let State::Killed(live) = &seen.state {
            seen.state = State::Stopping { live: live.clone(), kill_at: now.after(KILL_AGAIN) };
            seen.ignores_term = None;
        }
    }

    fn sandbox_failure(&self, reason: &'static str, error: &dyn std::error::Error, now: Stamp) -> Failure {
        let message = chain(error);
        tracing::warn!(pod = %self.spec.name, reason, message, "sandbox");
        let last = match &self.seen.sandbox {
            Sandbox::Failed(last) | Sandbox::Stuck(last) => Some(last),
            _ => None,
        };
        Failure::first(reason, message, now).after(last)
    }

    fn at(&mut self, container: usize) -> &mut Seen {
        &mut self.seen.containers[container]
    }
}

/// What is left of an attempt that ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Remains {
    /// Cgroup, mounts, files.
    All,
    /// It was cleared away already.
    Nothing,
}
