//! DECIDES what to do next for one pod: a pure function of what is wanted, what is seen and what time it is.
//!
//! Level-triggered: every call starts from the whole picture, so a lost wake-up, a restart of the agent and a manifest
//! edited twice all end in the same place. Never fails, never blocks, never looks at the clock.
//!
//! ```text
//!            start ok             exit             cleared, and the policy says again
//!   Idle ──────────────► Running ──────► Dead ──► Idle ──────────────► …
//!    │ ▲                    │ terminate   ▲
//!    ▼ │ retry              ▼             │ exit
//!   Failed               Stopping ──────► Killed
//!                            kill_at is over
//! ```

pub(crate) mod admit;
mod ending;
mod gates;
mod hook;
mod order;
mod phase;
pub(crate) mod probe;
pub(crate) mod resize;
pub(crate) mod restart;
pub(crate) mod round;
mod status;
pub(crate) mod storage;
pub(crate) mod workload;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use crate::pod::{
    Container, Deaf, PullPolicy, Role, Spec, Stamp,
    probe::HookKind,
    status::{BootId, EarlyReason, Ended, Live},
    verdict::Why,
};

pub(crate) use self::{
    ending::overdue,
    gates::Held,
    hook::{Hooks, Progress},
    status::status,
};
use self::{
    hook::Stop,
    probe::{Health, Unhealthy},
};

/// Nobody gets less time between SIGTERM and SIGKILL (kubelet, `minimumGracePeriodInSeconds`).
pub(crate) const MIN_GRACE: Duration = Duration::from_secs(2);

/// What the agent knows to be true of one pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Observed {
    /// This boot: the one that stamps are compared in.
    pub(crate) boot: BootId,
    /// When the agent first saw the pod in this boot.
    pub(crate) since: Stamp,
    pub(crate) deletion: Option<Deletion>,
    pub(crate) early: Option<Early>,
    /// Why it is not let in yet.
    pub(crate) held: Option<Held>,
    /// What clients say of its readiness gates: the condition's status by its type.
    pub(crate) gates: BTreeMap<String, String>,
    pub(crate) sandbox: Sandbox,
    pub(crate) limits: resize::Limits,
    /// Why it does not have the resources that it asks for now.
    pub(crate) pending: Option<resize::Pending>,
    /// In the order of the spec.
    pub(crate) containers: Vec<Seen>,
    /// Activities of the pod as a whole that are under way.
    pub(crate) busy: BTreeSet<PodActivity>,
}

/// That the pod has to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Deletion {
    pub(crate) since: Stamp,
    pub(crate) grace: Duration,
    pub(crate) why: Why,
}

/// That the pod has to end for good, although nobody deletes it. On disk before anything is done about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Early {
    pub(crate) since: Stamp,
    pub(crate) reason: EarlyReason,
    /// In the kubelet's words.
    pub(crate) message: String,
}

/// Namespaces, cgroup, volumes: what the containers of a pod share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Sandbox {
    Absent,
    Ready,
    /// It could not be made whole; parts may be there.
    Failed(Failure),
    /// It could not be taken away.
    Stuck(Failure),
}

/// Something that could not be made, and will be tried again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    /// A waiting reason of Kubernetes.
    pub(crate) reason: &'static str,
    pub(crate) message: String,
    pub(crate) at: Stamp,
    /// How often in a row, this time included.
    pub(crate) count: u32,
    /// What it failed at wants to be left alone for so long.
    pub(crate) wait: Duration,
}

impl Failure {
    pub(crate) fn first(reason: &'static str, message: String, at: Stamp) -> Self {
        Self { reason, message, at, count: 1, wait: Duration::ZERO }
    }

    /// The next one in a row, if the last try failed for the same reason.
    pub(crate) fn after(self, last: Option<&Self>) -> Self {
        let count = last.filter(|last| last.reason == self.reason).map_or(1, |last| last.count + 1);
        Self { count, ..self }
    }
}

/// What can be under way for a pod; each at most once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum PodActivity {
    MakeSandbox,
    RemoveSandbox,
    Limit,
    Forget,
}

/// One container, as seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) state: State,
    /// The number that the next attempt gets.
    pub(crate) next_attempt: u32,
    /// Attempts that are over, the newest last; enough of them to know the back-off.
    pub(crate) ended: Vec<Ended>,
    pub(crate) image_id: Option<String>,
    pub(crate) supply: Supply,
    /// The first attempt that counts for the back-off: those before ran another image.
    pub(crate) counts_from: u32,
    /// The first attempt of this round (see `round`): those before decide nothing any more.
    pub(crate) round_from: u32,
    /// The attempt that is ended only to run another image, however it takes that.
    pub(crate) replaced: Option<u32>,
    /// The attempt whose main process ignores the SIGTERM that it was sent: the kernel says so.
    pub(crate) ignores_term: Option<u32>,
    pub(crate) busy: Option<ContainerActivity>,
    pub(crate) hooks: Hooks,
    /// Of the attempt that runs.
    pub(crate) health: Health,
}

/// What can be under way for a container: one thing at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ContainerActivity {
    Pull,
    Start,
    Clear,
}

/// Whether the images that the next attempt needs are on the box.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Supply {
    /// An attempt will tell.
    #[default]
    Unknown,
    /// An attempt has missed one.
    Missing,
    /// They are, and for this attempt no registry has to be asked again.
    Fetched { attempt: u32 },
}

/// Each state holds only what is true in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// Nothing is there: it never ran, or the last attempt has been cleared away.
    Idle,
    /// It could not be made; nothing is there.
    Failed(Failure),
    Running(Live),
    /// SIGTERM is sent; SIGKILL is due at `kill_at`.
    Stopping {
        live: Live,
        kill_at: Stamp,
    },
    /// SIGKILL is sent.
    Killed(Live),
    /// The main process is gone and recorded; cgroup, mounts and files are still there, to be cleared at `clear_at`.
    Dead {
        attempt: u32,
        clear_at: Stamp,
    },
}

/// One idempotent effect. Containers are named by their place in the spec. No choice is left to whoever carries it out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    MakeSandbox,
    /// Writes the pod's limits and those of these attempts, by container.
    Limit {
        attempts: Vec<(usize, u32)>,
    },
    /// Gets the images that an attempt needs, or makes sure of them, as their pull policies say.
    Pull {
        container: usize,
        attempt: u32,
    },
    /// Nobody needs what is pulled for it any more.
    StopPull {
        container: usize,
    },
    Start {
        container: usize,
        attempt: u32,
    },
    /// Runs a hook of the current attempt; at `until` it has to be over.
    Hook {
        container: usize,
        hook: HookKind,
        until: Option<Stamp>,
    },
    /// SIGTERM to the main process, after leaving word of why.
    Terminate {
        container: usize,
        why: Why,
        kill_at: Stamp,
    },
    /// SIGKILL to all of the container.
    Kill {
        container: usize,
        why: Why,
    },
    /// Takes away what an attempt left: cgroup, mounts, files, map entries.
    Clear {
        container: usize,
        attempt: u32,
    },
    RemoveSandbox,
    /// Takes the object away: the pod is gone.
    Forget,
}

/// The steps due now, and when to ask again if nothing happens first.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Plan {
    pub(crate) steps: Vec<Step>,
    pub(crate) wake_at: Option<Stamp>,
}

impl Plan {
    fn wake(&mut self, at: Stamp) {
        self.wake_at = Some(self.wake_at.map_or(at, |earliest| earliest.min(at)));
    }
}

impl Observed {
    /// A pod nobody has touched yet.
    pub(crate) fn new(spec: &Spec, boot: BootId, now: Stamp) -> Self {
        let containers = spec.containers.iter().map(Seen::untouched).collect();
        let (sandbox, busy, limits) = (Sandbox::Absent, BTreeSet::new(), resize::Limits::default());
        let (deletion, early, held, pending, gates) = (None, None, None, None, BTreeMap::new());
        Self { boot, since: now, deletion, early, held, gates, sandbox, limits, pending, containers, busy }
    }

    /// No main container will ever run again, even if nobody deletes the pod.
    pub(crate) fn is_over(&self, spec: &Spec) -> bool {
        let mut mains = self.with(spec).filter(|(container, _)| container.role == Role::Main);
        self.init_has_failed(spec) || mains.all(|(container, seen)| seen.is_finished(container))
    }

    /// An init container has ended, and is not to be tried again.
    fn init_has_failed(&self, spec: &Spec) -> bool {
        let mut inits = self.with(spec).filter(|(container, _)| container.role == Role::Init);
        inits.any(|(container, seen)| {
            seen.is_finished(container) && seen.last_end().is_some_and(|last| last.verdict.code != Some(0))
        })
    }

    fn with<'a>(&'a self, spec: &'a Spec) -> impl Iterator<Item = (&'a Container, &'a Seen)> {
        spec.containers.iter().zip(&self.containers)
    }

    fn is_quiet(&self) -> bool {
        self.busy.is_empty() && self.containers.iter().all(|seen| seen.busy.is_none())
    }
}

impl Seen {
    /// A container nobody has touched yet.
    pub(crate) fn untouched(container: &Container) -> Self {
        Self {
            state: State::Idle,
            next_attempt: 0,
            ended: Vec::new(),
            image_id: None,
            supply: Supply::default(),
            counts_from: 0,
            round_from: 0,
            replaced: None,
            ignores_term: None,
            busy: None,
            hooks: Hooks::default(),
            health: Health::new(&container.probes),
        }
    }

    /// No process of it runs or is about to.
    fn is_stopped(&self) -> bool {
        let idle = matches!(self.state, State::Idle | State::Failed(_) | State::Dead { .. });
        idle && self.busy != Some(ContainerActivity::Start)
    }

    /// It ended, and the policy leaves it at that.
    fn is_finished(&self, container: &Container) -> bool {
        let stopped = self.is_stopped() && !matches!(self.state, State::Failed(_));
        stopped && self.last_end().is_some_and(|last| !self.wants_another(container, last))
    }

    /// It has come as far as others wait for.
    fn is_started(&self, container: &Container) -> bool {
        matches!(self.state, State::Running(_)) && self.health.started && self.hooks.let_on(container)
    }

    /// Whether there is to be another attempt after this end.
    fn wants_another(&self, container: &Container, last: &Ended) -> bool {
        self.replaced == Some(last.id.attempt) || restart::wanted(container, last)
    }

    /// The ends that the back-off follows from, the newest last.
    pub(crate) fn counted(&self) -> &[Ended] {
        let first = self.ended.partition_point(|ended| ended.id.attempt < self.counts_from);
        &self.ended[first..]
    }

    /// Nothing of it is left on the box.
    fn is_clear(&self) -> bool {
        self.busy.is_none() && matches!(self.state, State::Idle | State::Failed(_))
    }
}

/// Decides.
pub(crate) fn plan(spec: &Spec, seen: &Observed, now: Stamp) -> Plan {
    let mut plan = Plan::default();
    match ending::of(spec, seen, now) {
        Some(ending) => ending.wind_down(spec, seen, now, &mut plan),
        None if seen.held.is_some() => (),
        None => keep_going(spec, seen, now, &mut plan),
    }
    plan
}

fn remove_sandbox(seen: &Observed, now: Stamp, plan: &mut Plan) {
    match &seen.sandbox {
        Sandbox::Absent => (),
        Sandbox::Stuck(failure) if now < restart::retry_at(failure) => plan.wake(restart::retry_at(failure)),
        Sandbox::Ready | Sandbox::Failed(_) | Sandbox::Stuck(_) => plan.steps.push(Step::RemoveSandbox),
    }
}

/// Starts what should run.
fn keep_going(spec: &Spec, seen: &Observed, now: Stamp, plan: &mut Plan) {
    let ready = match &seen.sandbox {
        Sandbox::Ready => true,
        Sandbox::Failed(failure) if now < restart::retry_at(failure) => {
            plan.wake(restart::retry_at(failure));
            false
        }
        Sandbox::Absent | Sandbox::Failed(_) | Sandbox::Stuck(_) => {
            if seen.busy.is_empty() {
                plan.steps.push(Step::MakeSandbox);
            }
            false
        }
    };
    let ready = ready && resize::attend(seen, now, plan);
    let between_rounds = round::is_clearing(seen) || round::called_for(spec, seen, now).is_some();
    for (container, each) in seen.containers.iter().enumerate() {
        match &each.state {
            State::Running(live) | State::Stopping { live, .. } if each.outlived_by(live) => {
                plan.steps.push(Step::Kill { container, why: Why::RestartAll });
            }
            State::Idle | State::Failed(_) if each.busy.is_none() => {
                if ready && !between_rounds && order::may_start(spec, seen, container) {
                    start_if_due(spec, seen, container, now, plan);
                }
            }
            State::Running(_) => match &each.health.unhealthy {
                Some(unhealthy) => replace(spec, container, each, unhealthy, now, plan),
                None => hook::attend(spec, each, container, now, plan),
            },
            _ => tend(spec, container, each, now, plan),
        }
    }
    if let Some(deadline) = ending::deadline(spec, seen) {
        plan.wake(deadline);
    }
}

/// A probe has given it up: it is ended within the probe's own grace period or the pod's. What comes then is the
/// restart policy's affair.
fn replace(spec: &Spec, container: usize, seen: &Seen, unhealthy: &Unhealthy, now: Stamp, plan: &mut Plan) {
    let limit = unhealthy.since.after(unhealthy.grace.unwrap_or(spec.grace));
    Stop { container, why: unhealthy.why, limit }.ask(spec, seen, now, plan);
}

fn start_if_due(spec: &Spec, pod: &Observed, container: usize, now: Stamp, plan: &mut Plan) {
    let (wanted, seen) = (&spec.containers[container], &pod.containers[container]);
    let due = match (&seen.state, seen.ended.last()) {
        (State::Failed(failure), _) => restart::retry_at(failure),
        (_, None) => now,
        // What an init container did for an earlier sandbox is gone with it.
        (_, Some(last)) if wanted.role == Role::Init && last.boot != pod.boot => now,
        (_, Some(_)) if seen.is_finished(wanted) => return,
        (_, Some(_)) => seen.next_due(wanted, &pod.boot).unwrap_or(now),
    };
    if due <= now {
        let attempt = seen.next_attempt;
        let has_all = match seen.supply {
            Supply::Fetched { attempt: fetched } if fetched == attempt => true,
            Supply::Missing => false,
            Supply::Unknown | Supply::Fetched { .. } => {
                spec.images(wanted).all(|(_, policy)| policy != PullPolicy::Always)
            }
        };
        let step =
            if has_all { Step::Start { container, attempt } } else { Step::Pull { container, attempt } };
        plan.steps.push(step);
        return;
    }
    plan.wake(due);
    if let State::Failed(failure) = &seen.state
        && let Some(at) = status::pull_backs_off_at(failure).filter(|at| now < *at)
    {
        // Only what is shown changes then.
        plan.wake(at);
    }
}

/// What is due whether or not the pod is wanted: a kill, or clearing up.
fn tend(spec: &Spec, container: usize, seen: &Seen, now: Stamp, plan: &mut Plan) {
    match (&seen.state, seen.busy) {
        (State::Stopping { kill_at, .. }, _) if *kill_at <= now => {
            plan.steps.push(Step::Kill { container, why: Why::GraceExpired });
        }
        (State::Stopping { live, .. }, _)
            if seen.ignores_term == Some(live.id.attempt)
                && spec.containers[container].deaf == Deaf::IsKilled =>
        {
            plan.steps.push(Step::Kill { container, why: Why::IgnoresTerm });
        }
        (State::Stopping { kill_at, .. }, _) => plan.wake(*kill_at),
        (State::Dead { attempt, clear_at }, None) if *clear_at <= now => {
            plan.steps.push(Step::Clear { container, attempt: *attempt });
        }
        (State::Dead { clear_at, .. }, None) => plan.wake(*clear_at),
        _ => (),
    }
}

#[cfg(test)]
mod tests;
