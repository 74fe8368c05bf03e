//! What a Pod is like right now, in Kubernetes' words. `plan` decides it, `api` and `metrics` show it.

use serde::{Deserialize, Serialize};

use super::{AttemptId, CgroupId, Pid, Role, Stamp, flight::Flight, verdict::Verdict};

/// `status.phase`. There is no `Unknown`: only a control plane that lost its node says that.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Phase {
    Pending,
    Running,
    Succeeded,
    Failed,
}

impl Phase {
    /// As the API and the metrics spell it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Pending => "Pending",
            Self::Running => "Running",
            Self::Succeeded => "Succeeded",
            Self::Failed => "Failed",
        }
    }
}

/// Why a pod ends before its time and for good: `status.reason`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EarlyReason {
    /// It has taken more of the box than it may.
    Evicted,
    /// `activeDeadlineSeconds` is over.
    DeadlineExceeded,
}

impl EarlyReason {
    /// As the API spells it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Evicted => "Evicted",
            Self::DeadlineExceeded => "DeadlineExceeded",
        }
    }

    /// The other way round.
    pub(crate) fn of(name: &str) -> Option<Self> {
        [Self::Evicted, Self::DeadlineExceeded].into_iter().find(|reason| reason.name() == name)
    }
}

/// The status of one pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PodStatus {
    pub(crate) phase: Phase,
    /// `DeadlineExceeded`, `Evicted`, … where Kubernetes has a word for the whole pod.
    pub(crate) reason: Option<String>,
    pub(crate) message: Option<String>,
    pub(crate) conditions: Vec<Condition>,
    /// When the agent accepted the pod in this boot.
    pub(crate) start: Option<Stamp>,
    /// Init containers first, each list in the order of the manifest.
    pub(crate) containers: Vec<ContainerStatus>,
}

/// One entry of `status.conditions`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Condition {
    /// `Ready`, `ContainersReady`, `Initialized`, `PodScheduled`, `PodReadyToStartContainers`.
    pub(crate) kind: &'static str,
    pub(crate) holds: Truth,
    pub(crate) reason: Option<&'static str>,
    pub(crate) message: Option<String>,
}

/// `True` or `False` of a condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Truth {
    True,
    False,
}

/// One entry of `status.containerStatuses` or `status.initContainerStatuses`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ContainerStatus {
    pub(crate) name: String,
    pub(crate) role: Role,
    pub(crate) image: String,
    /// `sha256:…` of the image's config, once it is known.
    pub(crate) image_id: Option<String>,
    pub(crate) state: ContainerState,
    /// The end of the attempt before the current one.
    pub(crate) last: Option<Ended>,
    /// Attempts after the first.
    pub(crate) restarts: u32,
    /// It has come as far as others wait for.
    pub(crate) started: bool,
    pub(crate) ready: Readiness,
}

/// Whether a container takes part in its pod's readiness.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Readiness {
    Ready,
    NotReady,
}

impl PodStatus {
    /// It is not let in yet.
    pub(crate) fn is_held(&self) -> bool {
        let unscheduled =
            |condition: &Condition| condition.kind == "PodScheduled" && condition.holds == Truth::False;
        self.conditions.iter().any(unscheduled)
    }

    pub(crate) fn is_ready(&self) -> bool {
        self.conditions.iter().any(|condition| condition.kind == "Ready" && condition.holds == Truth::True)
    }

    /// When the last of its containers ended, if all have and it was in this boot.
    pub(crate) fn ended(&self, boot: &BootId) -> Option<Stamp> {
        let ended = self.containers.iter().map(|container| match &container.state {
            ContainerState::Terminated(ended) if ended.boot == *boot => Some(ended.verdict.finished),
            _ => None,
        });
        ended.collect::<Option<Vec<Stamp>>>()?.into_iter().max()
    }
}

/// `state` of a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ContainerState {
    Waiting { reason: &'static str, message: Option<String> },
    Running(Live),
    Terminated(Ended),
}

/// An attempt that runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Live {
    pub(crate) id: AttemptId,
    pub(crate) pid: Pid,
    pub(crate) cgroup: CgroupId,
    pub(crate) started: Stamp,
}

/// An attempt that is over. A row of the ledger.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Ended {
    pub(crate) id: AttemptId,
    /// The boot that both stamps belong to.
    pub(crate) boot: BootId,
    pub(crate) started: Option<Stamp>,
    pub(crate) verdict: Verdict,
    /// What the program itself left as the reason.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) said: Option<String>,
    /// If a signal ended it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) flight: Option<Box<Flight>>,
}

/// `/proc/sys/kernel/random/boot_id`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(crate) struct BootId(pub(crate) String);
