//! What is known of one death. Plain data; `account` decides it, the ledger keeps it.

use serde::{Deserialize, Serialize};

use super::{Pid, Stamp};

/// The whole truth about the end of one attempt, as far as it is known.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Verdict {
    /// By waitpid's rule, 128 + signal if killed. `None`: nobody knows, and none is invented.
    pub(crate) code: Option<i32>,
    /// The signal that ended the main process.
    pub(crate) signal: Option<i32>,
    /// The kernel wrote (or tried to write) a core dump.
    pub(crate) core: bool,
    pub(crate) cause: Cause,
    /// What carob had asked of it by then, heeded or not.
    pub(crate) asked: Option<Why>,
    /// Processor time of the main process, nanoseconds.
    pub(crate) cpu_ns: Option<u64>,
    /// Peak resident memory of the main process, bytes.
    pub(crate) peak_memory: Option<u64>,
    /// The kernel's own time of the exit, or the best known one.
    pub(crate) finished: Stamp,
    /// Where code and signal come from.
    pub(crate) source: Source,
}

/// Why it ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Cause {
    /// Exit code 0.
    Completed,
    /// Any other exit code.
    Error,
    /// The OOM killer. Said only if *this* exit came from *that* kill.
    Oom { limit: LimitOwner, victim: Victim },
    /// A fatal signal from somebody.
    Signalled(Sender),
    /// It never ran: the runtime's own words.
    StartError { message: String },
    /// The box went down under it.
    NodeReboot,
    /// Nobody saw it, and why.
    Unknown { why: String },
}

/// Whose memory limit was hit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum LimitOwner {
    /// The container's own; bytes.
    Container { bytes: u64 },
    /// Its pod's; bytes.
    Pod { bytes: u64 },
    /// A cgroup above the pod; its path and bytes.
    Ancestor { path: String, bytes: u64 },
    /// A cgroup that the container made inside its own; bytes.
    Nested { bytes: u64 },
    /// The box ran out.
    Node,
    /// An OOM kill for certain, but the kernel could not say whose limit.
    Unknown,
}

impl LimitOwner {
    /// In one word.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Container { .. } => "container",
            Self::Pod { .. } => "pod",
            Self::Ancestor { .. } => "ancestor",
            Self::Nested { .. } => "nested",
            Self::Node => "node",
            Self::Unknown => "unknown",
        }
    }
}

/// Who the OOM killer chose.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Victim {
    /// The main process itself.
    Main,
    /// Another process of the container; the main one died with it (`memory.oom.group`).
    Child,
    /// The main process was killed; the kernel could not say whether it was the one chosen.
    Unknown,
}

impl Victim {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Main => "main",
            Self::Child => "child",
            Self::Unknown => "unknown",
        }
    }
}

/// Who sent the fatal signal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Sender {
    /// carob, and for what reason.
    Agent(Why),
    /// The main process: `abort`, or a `kill` of its own pid.
    Itself,
    /// Another process of the same container.
    Own { pid: Pid, comm: String },
    /// A process of another container.
    Container { pod: String, container: String, pid: Pid, comm: String },
    /// A process outside every pod.
    Host { pid: Pid, comm: String, uid: u32 },
    /// The kernel itself.
    Kernel(KernelReason),
    /// The signal is known, its sender is not.
    Unknown,
}

/// What made the kernel send it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum KernelReason {
    /// A fault of the process: the address the signal names, where it names one.
    Fault { address: Option<u64> },
    /// A write to a pipe that nobody reads.
    Pipe,
    /// A timer or an alarm.
    Timer,
    /// All the CPU time that it may have is used up (`RLIMIT_CPU`).
    CpuTime,
    /// A system call that the seccomp profile forbids.
    Seccomp,
    /// The end of its pid namespace.
    Teardown,
    /// Anything else, by the kernel's `si_code`.
    Other { si_code: i32 },
}

/// Why the agent ends a container. On the wire as the number given here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[repr(u32)]
pub(crate) enum Why {
    /// The pod is being deleted or replaced.
    Delete = 1,
    /// The grace period is over.
    GraceExpired = 2,
    /// A liveness probe failed.
    Liveness = 3,
    /// A startup probe failed.
    Startup = 4,
    /// The pod was evicted.
    Eviction = 5,
    /// `activeDeadlineSeconds` is over.
    Deadline = 6,
    /// The box shuts down.
    Shutdown = 7,
    /// A postStart hook failed.
    PostStart = 8,
    /// The agent died between making and recording the container.
    Unrecorded = 9,
    /// The pod's main containers have ended: its sidecars are not needed any more.
    PodOver = 10,
    /// Its image was changed: it is to run again with the new one.
    Changed = 11,
    /// It ignores SIGTERM, and is not to be waited for.
    IgnoresTerm = 12,
    /// Another container of the pod has asked for all of them to run again.
    RestartAll = 13,
}

impl Why {
    /// Reads the lowest byte of the wire. `None`: not asked, or asked by another build for a reason
    /// this one does not know.
    pub(crate) fn of(number: u32) -> Option<Self> {
        let number = number & 0xff;
        [
            Self::Delete,
            Self::GraceExpired,
            Self::Liveness,
            Self::Startup,
            Self::Eviction,
            Self::Deadline,
            Self::Shutdown,
            Self::PostStart,
            Self::Unrecorded,
            Self::PodOver,
            Self::Changed,
            Self::IgnoresTerm,
            Self::RestartAll,
        ]
        .into_iter()
        .find(|why| *why as u32 == number)
    }
}

/// A signal the agent has sent, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sent {
    pub(crate) signal: i32,
    pub(crate) why: Why,
    /// Why it was asked to end first, if this was not the first signal.
    pub(crate) first: Option<Why>,
}

/// What `waitid` said of the main process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Waited {
    Exited {
        code: i32,
    },
    Signalled {
        signal: i32,
        core: bool,
    },
    /// Another process reaped it, or it was never a child of this agent: there is no status to be had.
    NotOurChild,
}

/// Where a fact comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Source {
    /// The kernel programs' death record.
    Kernel,
    /// `waitid` on a child of the agent.
    Wait,
    /// Neither: what is left is inference.
    None,
}
