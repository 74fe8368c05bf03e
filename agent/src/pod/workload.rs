//! Objects that make pods of a template: which kinds there are, what one asks for, and the pods it has. Plain data.

use std::collections::BTreeSet;

use super::{
    PodUid, Stamp,
    status::{BootId, Phase, PodStatus},
};

/// The kinds of object that make pods of a template.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum WorkloadKind {
    Deployment,
    ReplicaSet,
    ReplicationController,
    DaemonSet,
    StatefulSet,
    Job,
}

impl WorkloadKind {
    pub(crate) const ALL: [Self; 6] = [
        Self::Deployment,
        Self::ReplicaSet,
        Self::ReplicationController,
        Self::DaemonSet,
        Self::StatefulSet,
        Self::Job,
    ];

    /// As `kind:` spells it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Deployment => "Deployment",
            Self::ReplicaSet => "ReplicaSet",
            Self::ReplicationController => "ReplicationController",
            Self::DaemonSet => "DaemonSet",
            Self::StatefulSet => "StatefulSet",
            Self::Job => "Job",
        }
    }

    pub(crate) const fn api_version(self) -> &'static str {
        match self {
            Self::ReplicationController => "v1",
            Self::Job => "batch/v1",
            Self::Deployment | Self::ReplicaSet | Self::DaemonSet | Self::StatefulSet => "apps/v1",
        }
    }

    /// The word in paths.
    pub(crate) const fn plural(self) -> &'static str {
        match self {
            Self::Deployment => "deployments",
            Self::ReplicaSet => "replicasets",
            Self::ReplicationController => "replicationcontrollers",
            Self::DaemonSet => "daemonsets",
            Self::StatefulSet => "statefulsets",
            Self::Job => "jobs",
        }
    }

    pub(crate) const fn singular(self) -> &'static str {
        match self {
            Self::Deployment => "deployment",
            Self::ReplicaSet => "replicaset",
            Self::ReplicationController => "replicationcontroller",
            Self::DaemonSet => "daemonset",
            Self::StatefulSet => "statefulset",
            Self::Job => "job",
        }
    }

    /// kubectl's short word.
    pub(crate) const fn short(self) -> &'static [&'static str] {
        match self {
            Self::Deployment => &["deploy"],
            Self::ReplicaSet => &["rs"],
            Self::ReplicationController => &["rc"],
            Self::DaemonSet => &["ds"],
            Self::StatefulSet => &["sts"],
            Self::Job => &[],
        }
    }
}

/// What one of them asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Workload {
    pub(crate) name: String,
    pub(crate) shape: Shape,
    /// Which template a new pod is made of.
    pub(crate) template: String,
    /// Of an indexed Job: places whose pods have succeeded and are gone.
    pub(crate) done: BTreeSet<u32>,
}

/// How many pods, what they are called, and what a changed template means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// So many with made-up names.
    Set {
        replicas: u32,
        renewal: Renewal,
    },
    /// `name-0`, `name-1`, …, each with claims of its own.
    Ordered {
        replicas: u32,
        start: u32,
        pace: Pace,
        renewal: Renewal,
    },
    Job(Job),
}

/// Until so many have succeeded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Job {
    /// `None`: until one has, and those beside it have ended as well.
    pub(crate) completions: Option<u32>,
    /// Each success is one of a place of its own, from 0 on (`completionMode: Indexed`).
    pub(crate) indexed: bool,
    /// At most so many at a time; none while it is suspended.
    pub(crate) parallelism: u32,
    /// So many may fail.
    pub(crate) retries: u32,
    /// Whether restarts of containers count as failures (`restartPolicy: OnFailure`).
    pub(crate) restarts_count: bool,
    /// Pods that have ended and were deleted since.
    pub(crate) succeeded: u32,
    pub(crate) failed: u32,
    /// When its time is up.
    pub(crate) deadline: Option<Stamp>,
    pub(crate) over: bool,
}

/// What happens to pods of an earlier template.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Renewal {
    /// Nothing: ReplicaSet, ReplicationController, `updateStrategy: OnDelete`.
    Never,
    /// A new one is ready before an old one goes: Deployment.
    Before,
    /// An old one goes before the new one comes: DaemonSet, StatefulSet.
    After,
    /// All old ones go before the first new one comes: a Deployment with `strategy: Recreate`.
    Recreate,
}

/// `podManagementPolicy`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pace {
    /// One after the other, each ready before the next.
    InOrder,
    Parallel,
}

/// A pod that a workload has made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Replica {
    pub(crate) name: String,
    pub(crate) uid: PodUid,
    pub(crate) template: String,
    /// Its place in an indexed Job.
    pub(crate) place: Option<u32>,
    pub(crate) life: Life,
    /// Of all its containers.
    pub(crate) restarts: u32,
    /// When it ended, if that was in this boot.
    pub(crate) ended: Option<Stamp>,
}

/// How a replica is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Life {
    /// It starts, or is not ready.
    Unready,
    Ready,
    Succeeded,
    Failed,
    /// It is being deleted.
    Going,
}

/// How a pod is, for whoever made it. One that is deleted while it runs has not ended by itself.
pub(crate) fn life(status: &PodStatus, deleting: Option<Stamp>, boot: &BootId) -> Life {
    let over = match status.phase {
        Phase::Succeeded => Some(Life::Succeeded),
        Phase::Failed => Some(Life::Failed),
        _ => None,
    };
    match (over, deleting) {
        (Some(over), None) => over,
        (Some(over), Some(since)) if status.ended(boot).is_none_or(|ended| ended <= since) => over,
        (_, Some(_)) => Life::Going,
        (None, None) if status.is_ready() => Life::Ready,
        (None, None) => Life::Unready,
    }
}

/// How many letters are appended to a name that is made up.
const SUFFIX: usize = 5;
/// No vowels and nothing that looks like another letter, as in Kubernetes.
pub(crate) const LETTERS: &[u8; 27] = b"bcdfghjklmnpqrstvwxz2456789";

/// The end of a made-up name, from a random uid.
pub(crate) fn suffix(uid: &PodUid) -> String {
    let letter = |number: u32| char::from(LETTERS[number as usize % LETTERS.len()]);
    // Two hex digits of the uid make one letter; its first twelve are all random.
    let digits: Vec<u32> = uid.0.chars().filter_map(|digit| digit.to_digit(16)).collect();
    digits.chunks_exact(2).take(SUFFIX).map(|pair| letter(pair[0] * 16 + pair[1])).collect()
}
