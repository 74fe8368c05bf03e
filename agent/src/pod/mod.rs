//! The words the whole agent shares: what a Pod asks for, and what names things have.
//!
//! Plain data. No I/O, no clock, no decisions.

pub(crate) mod annotation;
pub(crate) mod counts;
pub(crate) mod event;
pub(crate) mod expand;
pub(crate) mod flight;
pub(crate) mod given;
pub(crate) mod image_gc;
pub(crate) mod machine;
pub(crate) mod mountinfo;
pub(crate) mod netfilter;
pub(crate) mod network;
pub(crate) mod port;
pub(crate) mod probe;
pub(crate) mod qos;
pub(crate) mod range;
pub(crate) mod range6;
pub(crate) mod registry;
pub(crate) mod restart;
pub(crate) mod security;
pub(crate) mod signal;
pub(crate) mod source;
pub(crate) mod status;
pub(crate) mod storage;
pub(crate) mod surroundings;
pub(crate) mod termination;
pub(crate) mod verdict;
pub(crate) mod workload;

use std::{collections::BTreeMap, fmt, iter, time::Duration};

use serde::{Deserialize, Serialize};

pub(crate) use restart::{Restart, RestartPolicy};
use security::{PodSecurity, Security};
use source::{Projection, SubPath, Variable};

/// How many pods the box takes: the kubelet's default for `maxPods`.
pub(crate) const MOST_PODS: u64 = 110;

/// Nanoseconds on `CLOCK_BOOTTIME` of the current boot. Says nothing about the wall clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(crate) struct Stamp(pub(crate) u64);

impl Stamp {
    /// The instant `wait` later; the far end of time if that does not fit.
    pub(crate) fn after(self, wait: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(wait.as_nanos()).unwrap_or(u64::MAX)))
    }

    /// How long ago `earlier` was; zero if it lies ahead.
    pub(crate) fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

/// A process id in the host's pid namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(crate) struct Pid(pub(crate) i32);

/// A cgroup v2 id: the inode of its directory. Never used twice within a boot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(crate) struct CgroupId(pub(crate) u64);

/// `metadata.uid`: a pod that is deleted and made again is another pod.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(crate) struct PodUid(pub(crate) String);

impl fmt::Display for PodUid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// `namespace/name`, unique on this box at any one time.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(crate) struct PodName {
    pub(crate) namespace: String,
    pub(crate) name: String,
}

impl fmt::Display for PodName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// One attempt at running a container: the first is 0. One attempt, one cgroup, one ledger row.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(crate) struct AttemptId {
    pub(crate) uid: PodUid,
    pub(crate) container: String,
    pub(crate) attempt: u32,
}

impl fmt::Display for AttemptId {
    /// The runtime's container id and the name of the bundle: `<uid>_<container>_<attempt>`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}_{}_{}", self.uid, self.container, self.attempt)
    }
}

/// What a manifest asks for, with Kubernetes' defaults filled in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Spec {
    pub(crate) name: PodName,
    pub(crate) uid: PodUid,
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) annotations: BTreeMap<String, String>,
    pub(crate) hostname: String,
    pub(crate) restart: RestartPolicy,
    /// `terminationGracePeriodSeconds`.
    pub(crate) grace: Duration,
    /// `activeDeadlineSeconds`.
    pub(crate) deadline: Option<Duration>,
    /// `initContainers` first, then `containers`, each in the manifest's order: the order of their start; then
    /// `ephemeralContainers`, which have none.
    pub(crate) containers: Vec<Container>,
    pub(crate) volumes: Vec<Volume>,
    /// A budget for the pod as a whole.
    pub(crate) resources: Resources,
    pub(crate) memory_qos: MemoryQos,
    /// How many processes and threads it may have: `resources.limits.pids` of the pod (KEP-6063).
    pub(crate) pids: Option<u64>,
    /// `ephemeral-storage` of the pod: what the limits of its containers add up to.
    pub(crate) storage: Option<storage::Limit>,
    pub(crate) security: PodSecurity,
    pub(crate) surroundings: surroundings::Surroundings,
    /// Ports of the box that lead to the pod.
    pub(crate) host_ports: Vec<port::HostPort>,
    /// `imagePullSecrets`: names of secrets of its namespace.
    pub(crate) pull_secrets: Vec<String>,
    /// Types of conditions that clients keep, and that must hold before the pod is ready.
    pub(crate) readiness_gates: Vec<String>,
    /// While there is one, the pod is not started.
    pub(crate) scheduling_gates: Vec<String>,
}

impl Spec {
    /// The images that a container needs, each with when it is pulled: its own, and those its volumes are made of.
    pub(crate) fn images<'a>(
        &'a self,
        container: &'a Container,
    ) -> impl Iterator<Item = (&'a str, PullPolicy)> {
        let mounted = |volume: &&Volume| container.mounts.iter().any(|mount| mount.volume == volume.name);
        let of_volumes = self.volumes.iter().filter(mounted).filter_map(|volume| match &volume.source {
            VolumeSource::Image { reference, pull } => Some((reference.as_str(), *pull)),
            _ => None,
        });
        iter::once((container.image.as_str(), container.pull)).chain(of_volumes)
    }
}

/// `imagePullPolicy`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum PullPolicy {
    Always,
    #[default]
    IfNotPresent,
    Never,
}

/// What part a container has in the life of its pod.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Role {
    /// Must have succeeded before the next container starts.
    Init,
    /// An init container with `restartPolicy: Always`: starts in its turn, stays, and ends after the main ones (KEP-753).
    Sidecar,
    /// One of `spec.containers`: the pod is over when all of these are.
    #[default]
    Main,
    /// Added to a pod that is there: runs once, beside the others, and decides nothing (KEP-277).
    Ephemeral,
}

impl Role {
    /// One of `spec.initContainers`.
    pub(crate) fn is_init(self) -> bool {
        matches!(self, Self::Init | Self::Sidecar)
    }
}

/// One entry of `spec.initContainers`, `spec.containers` or `spec.ephemeralContainers`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Container {
    pub(crate) name: String,
    pub(crate) role: Role,
    pub(crate) restart: Restart,
    pub(crate) image: String,
    pub(crate) pull: PullPolicy,
    /// Replaces the image's ENTRYPOINT (and its CMD) unless empty.
    pub(crate) command: Vec<String>,
    /// Replaces the image's CMD unless empty.
    pub(crate) args: Vec<String>,
    /// In the order they are set: a value may refer to earlier ones by `$(NAME)`, a later one of the same name counts.
    pub(crate) env: Vec<Variable>,
    pub(crate) working_dir: Option<String>,
    pub(crate) stdin: Stdin,
    pub(crate) streams: Streams,
    pub(crate) mounts: Vec<VolumeMount>,
    pub(crate) resources: Resources,
    pub(crate) resize: ResizePolicy,
    /// `resources.limits.ephemeral-storage`.
    pub(crate) storage: Option<storage::Limit>,
    pub(crate) probes: probe::Probes,
    pub(crate) lifecycle: probe::Lifecycle,
    pub(crate) oom: OomScope,
    pub(crate) deaf: Deaf,
    pub(crate) security: Security,
    pub(crate) termination: termination::Termination,
    /// `targetContainerName`: whose processes an ephemeral container sees.
    pub(crate) target: Option<String>,
}

/// `resizePolicy`: whether a container has to be started again for a change of its resources.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ResizePolicy {
    pub(crate) cpu: Resizing,
    pub(crate) memory: Resizing,
}

/// What a change of one resource takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Resizing {
    #[default]
    NotRequired,
    RestartContainer,
}

impl ResizePolicy {
    /// Whether the step from one to the other takes a new start.
    pub(crate) fn restarts(self, from: &Resources, to: &Resources) -> bool {
        let cpu = (from.cpu_limit, from.cpu_request) != (to.cpu_limit, to.cpu_request);
        let memory = (from.memory_limit, from.memory_request) != (to.memory_limit, to.memory_request);
        cpu && self.cpu == Resizing::RestartContainer || memory && self.memory == Resizing::RestartContainer
    }
}

/// `tty`: what a container's standard streams are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Streams {
    #[default]
    Pipes,
    Terminal,
}

/// `stdin` and `stdinOnce`: what a container's standard input is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Stdin {
    /// `/dev/null`.
    #[default]
    Empty,
    /// Open as long as the container runs: a reader waits.
    Open,
    /// The same until somebody has been attached to it, once.
    OpenOnce,
}

/// Who dies when a container's cgroup runs out of memory (`memory.oom.group`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum OomScope {
    /// Every process of the container, as the kubelet sets it.
    #[default]
    Container,
    /// Only the process the kernel chose: annotation `carob.dev/oom-group: "false"`.
    Process,
}

/// What becomes of a main process that ignores SIGTERM when it is asked to end: only SIGKILL ends it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Deaf {
    /// It has its grace period all the same, as in Kubernetes.
    #[default]
    HasTime,
    /// SIGKILL comes at once: annotation `carob.dev/kill-if-sigterm-ignored: "true"`.
    IsKilled,
}

/// What a request for memory means to the kernel beside its limit (KEP-2570).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum MemoryQos {
    /// Nothing: as Kubernetes does unless it is told otherwise.
    #[default]
    Off,
    /// What was asked for is kept for it (`memory.min`), and it is slowed down before it hits its limit
    /// (`memory.high`): annotation `carob.dev/memory-qos: "true"`.
    On,
}

/// Requests and limits in the units the kernel wants.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Resources {
    /// Bytes.
    pub(crate) memory_limit: Option<u64>,
    /// Bytes.
    pub(crate) memory_request: Option<u64>,
    /// Thousandths of a CPU.
    pub(crate) cpu_limit: Option<u64>,
    /// Thousandths of a CPU.
    pub(crate) cpu_request: Option<u64>,
}

impl Resources {
    /// A container's own, and for what it does not limit itself the pod's limit: as the kubelet gives it to the runtime.
    pub(crate) fn within(self, pod: Self) -> Self {
        Self {
            memory_limit: self.memory_limit.or(pod.memory_limit),
            cpu_limit: self.cpu_limit.or(pod.cpu_limit),
            ..self
        }
    }
}

/// One entry of `spec.volumes`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Volume {
    pub(crate) name: String,
    pub(crate) source: VolumeSource,
}

/// Where the content of a volume comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum VolumeSource {
    /// A directory on the box's disk that lives and dies with the pod; beyond its limit the pod is evicted.
    EmptyDir { limit: Option<storage::Limit> },
    /// A tmpfs that lives and dies with the pod; its size in bytes, if limited.
    EmptyDirInMemory { size: Option<u64> },
    /// A path of the box itself.
    HostPath { path: String, kind: HostPathKind },
    /// A local directory that outlives the pod, by the claim's name.
    Claim { name: String, read_only: bool },
    /// Files of configMaps, secrets and the downward API, kept up to date.
    Projected(Projection),
    /// What is in an image, for reading.
    Image { reference: String, pull: PullPolicy },
}

/// `hostPath.type`: what must be there, or is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HostPathKind {
    Unchecked,
    DirectoryOrCreate,
    Directory,
    FileOrCreate,
    File,
    Socket,
    CharDevice,
    BlockDevice,
}

/// One entry of `volumeMounts`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct VolumeMount {
    pub(crate) volume: String,
    pub(crate) path: String,
    pub(crate) sub_path: Option<SubPath>,
    pub(crate) access: Access,
    pub(crate) propagation: Propagation,
}

/// `mountPropagation`: who sees what is mounted below a mount while the container runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Propagation {
    /// Each side only its own.
    #[default]
    None,
    /// The container also what the box mounts.
    HostToContainer,
    /// Both what either mounts, and so every other container that has asked for it.
    Bidirectional,
}

/// Whether a container may write to a mount.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    ReadWrite,
    ReadOnly,
    /// Nor to what is mounted below it (`recursiveReadOnly`).
    AllReadOnly,
}
