//! What is known of a pod and its containers, and what follows from that alone.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use super::{gates::Held, hook::Hooks, probe::Health, resize, restart};
use crate::pod::{
    Container, Role, Spec, Stamp,
    status::{BootId, EarlyReason, Ended, Live},
    verdict::Why,
};

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
    pub(super) fn init_has_failed(&self, spec: &Spec) -> bool {
        let mut inits = self.with(spec).filter(|(container, _)| container.role == Role::Init);
        inits.any(|(container, seen)| {
            seen.is_finished(container) && seen.last_end().is_some_and(|last| last.verdict.code != Some(0))
        })
    }

    pub(super) fn with<'a>(&'a self, spec: &'a Spec) -> impl Iterator<Item = (&'a Container, &'a Seen)> {
        spec.containers.iter().zip(&self.containers)
    }

    pub(super) fn is_quiet(&self) -> bool {
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
    pub(super) fn is_stopped(&self) -> bool {
        let idle = matches!(self.state, State::Idle | State::Failed(_) | State::Dead { .. });
        idle && self.busy != Some(ContainerActivity::Start)
    }

    /// It ended, and the policy leaves it at that.
    pub(super) fn is_finished(&self, container: &Container) -> bool {
        let stopped = self.is_stopped() && !matches!(self.state, State::Failed(_));
        stopped && self.last_end().is_some_and(|last| !self.wants_another(container, last))
    }

    /// It has come as far as others wait for.
    pub(super) fn is_started(&self, container: &Container) -> bool {
        matches!(self.state, State::Running(_)) && self.health.started && self.hooks.let_on(container)
    }

    /// Whether there is to be another attempt after this end.
    pub(super) fn wants_another(&self, container: &Container, last: &Ended) -> bool {
        self.replaced == Some(last.id.attempt) || restart::wanted(container, last)
    }

    /// The ends that the back-off follows from, the newest last.
    pub(crate) fn counted(&self) -> &[Ended] {
        let first = self.ended.partition_point(|ended| ended.id.attempt < self.counts_from);
        &self.ended[first..]
    }

    /// Nothing of it is left on the box.
    pub(super) fn is_clear(&self) -> bool {
        self.busy.is_none() && matches!(self.state, State::Idle | State::Failed(_))
    }
}
