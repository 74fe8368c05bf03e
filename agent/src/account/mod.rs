//! Weighs the end of a container: evidence in, one verdict out.
//!
//! Pure: no I/O, no clock, cannot fail. It invents nothing: a code nobody saw is `None`, and a cause nobody
//! saw says why it is unknown. What the words for it are, `words` knows.
//!
//! ```text
//! kernel record ──► exited ──────────────────────────────► Completed · Error
//!      │ none          killed ──► by the OOM killer, now ─► Oom { whose limit, who was chosen }
//!      ▼                     └──► otherwise ──────────────► Signalled(by whom)
//! waitid's status ──► the same, as far as it goes
//!      │ none
//!      ▼
//! Unknown { why }, no code
//! ```

mod evidence;
mod words;

use std::collections::BTreeMap;

use carob_ebpf::{
    Death, KILL_SHIFT, Oom, Signal, comm,
    rules::{self, OomKnown, Origin},
};
pub(crate) use evidence::{Fact, evidence};
pub(crate) use words::{cause, message, reason};

use crate::pod::{
    CgroupId, OomScope, Pid, Stamp,
    verdict::{Cause, KernelReason, LimitOwner, Sender, Sent, Source, Verdict, Victim, Waited, Why},
};

/// All that is known when a container has ended.
pub(crate) struct Evidence<'a> {
    /// The kernel programs' record of the main process.
    pub(crate) death: Option<&'a Death>,
    /// What `waitid` said of it.
    pub(crate) waited: Option<Waited>,
    /// The last signal this agent sent it. It speaks only where no record names a sender.
    pub(crate) sent: Option<Sent>,
    /// `oom_kill` in the container's own `memory.events.local`. It only ever grows, so it says that there was
    /// an OOM kill, not that this end is it.
    pub(crate) oom_kills: Option<u64>,
    /// Whom an OOM kill takes here.
    pub(crate) oom: OomScope,
    pub(crate) places: &'a Places,
    /// The agent and the processes it has started to act for it.
    pub(crate) agent: &'a [Pid],
    pub(crate) now: Stamp,
}

/// Which cgroup is what, seen from the container that ended.
#[derive(Clone, Debug)]
pub(crate) struct Places {
    pub(crate) container: Limited,
    pub(crate) pod: Limited,
    /// From the pod's parent to the root.
    pub(crate) ancestors: Vec<Ancestor>,
    /// Every other container on the box.
    pub(crate) others: BTreeMap<CgroupId, Neighbour>,
}

/// A cgroup and its `memory.max`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limited {
    pub(crate) id: CgroupId,
    pub(crate) bytes: Option<u64>,
}

/// A cgroup above the pods.
#[derive(Clone, Debug)]
pub(crate) struct Ancestor {
    pub(crate) id: CgroupId,
    pub(crate) path: String,
    pub(crate) bytes: Option<u64>,
}

/// Another container's names.
#[derive(Clone, Debug)]
pub(crate) struct Neighbour {
    pub(crate) pod: String,
    pub(crate) container: String,
}

/// How a process can end.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Exited { code: i32 },
    Killed { signal: i32, core: bool },
}

/// What the end was, and why.
pub(crate) fn verdict(evidence: &Evidence<'_>) -> Verdict {
    match (evidence.death, evidence.waited.and_then(end_of_wait)) {
        (Some(death), _) => from_record(evidence, death),
        (None, Some(end)) => from_wait(evidence, end),
        (None, None) => unseen(evidence),
    }
}

/// Whether the kernel's two accounts of one end contradict each other. They never should.
pub(crate) fn mismatch(death: &Death, waited: Waited) -> bool {
    end_of_wait(waited).is_some_and(|end| end != end_of_status(death.status))
}

/// The verdict of a container that was running when the box went down.
pub(crate) fn lost_to_reboot(now: Stamp) -> Verdict {
    nobody_saw(Cause::NodeReboot, now)
}

/// The verdict of a container that never ran; `message` is the runtime's own.
pub(crate) fn never_started(message: String, now: Stamp) -> Verdict {
    nobody_saw(Cause::StartError { message }, now)
}

fn from_record(evidence: &Evidence<'_>, death: &Death) -> Verdict {
    let end = end_of_status(death.status);
    let cause = match end {
        End::Exited { code } => cause_of_code(code),
        End::Killed { signal, .. } => match oom_of(evidence, death) {
            Some(oom) => oom,
            None => Cause::Signalled(sender_of(evidence, death, signal)),
        },
    };
    Verdict {
        asked: asked(evidence),
        cpu_ns: Some(death.cpu_ns),
        peak_memory: (death.peak_bytes > 0).then_some(death.peak_bytes),
        finished: Stamp(death.at_ns),
        ..verdict_of(end, cause, Source::Kernel, evidence)
    }
}

/// Without the programs: the status is exact, who sent a signal can only be told from what the agent knows of
/// itself.
fn from_wait(evidence: &Evidence<'_>, end: End) -> Verdict {
    let cause = match end {
        End::Exited { code } => cause_of_code(code),
        End::Killed { signal, .. } if is_kill(signal) && group_kill_counted(evidence) => OOM_UNEXPLAINED,
        End::Killed { signal, .. } => {
            Cause::Signalled(own_signal(evidence, signal).unwrap_or(Sender::Unknown))
        }
    };
    verdict_of(end, cause, Source::Wait, evidence)
}

fn unseen(evidence: &Evidence<'_>) -> Verdict {
    let why = match evidence.waited {
        Some(Waited::NotOurChild) => {
            "the kernel programs left no record, and another process took the exit status"
        }
        _ => "the kernel programs left no record, and its exit was not waited for",
    };
    let unknown = nobody_saw(Cause::Unknown { why: why.to_owned() }, evidence.now);
    Verdict { asked: asked(evidence), ..unknown }
}

fn nobody_saw(cause: Cause, now: Stamp) -> Verdict {
    Verdict {
        code: None,
        signal: None,
        core: false,
        cause,
        asked: None,
        cpu_ns: None,
        peak_memory: None,
        finished: now,
        source: Source::None,
    }
}

fn verdict_of(end: End, cause: Cause, source: Source, evidence: &Evidence<'_>) -> Verdict {
    let (code, signal, core) = match end {
        End::Exited { code } => (code, None, false),
        End::Killed { signal, core } => (128 + signal, Some(signal), core),
    };
    let nothing = nobody_saw(cause, evidence.now);
    Verdict { code: Some(code), signal, core, asked: asked(evidence), source, ..nothing }
}

fn end_of_status(status: u32) -> End {
    match rules::status_signal(status) {
        0 => End::Exited { code: rules::status_code(status) },
        signal => End::Killed { signal: signal.cast_signed(), core: rules::status_core(status) },
    }
}

fn end_of_wait(waited: Waited) -> Option<End> {
    match waited {
        Waited::Exited { code } => Some(End::Exited { code }),
        Waited::Signalled { signal, core } => Some(End::Killed { signal, core }),
        Waited::NotOurChild => None,
    }
}

fn cause_of_code(code: i32) -> Cause {
    if code == 0 { Cause::Completed } else { Cause::Error }
}

fn asked(evidence: &Evidence<'_>) -> Option<Why> {
    let recorded = evidence.death.and_then(|death| Why::of(death.why));
    recorded.or(evidence.sent.map(|sent| sent.first.unwrap_or(sent.why)))
}

fn is_kill(signal: i32) -> bool {
    signal == rules::SIGKILL.cast_signed()
}

/// An OOM kill for certain, and nothing more.
const OOM_UNEXPLAINED: Cause = Cause::Oom { limit: LimitOwner::Unknown, victim: Victim::Unknown };

/// Whether *this* death is an OOM kill: the SIGKILL it died of is one of the OOM killer's. That there was an
/// OOM kill some time, or that the process was marked a victim while it died of something else, is not
/// enough.
fn oom_of(evidence: &Evidence<'_>, death: &Death) -> Option<Cause> {
    let signal = &death.signal;
    if signal.sig != rules::SIGKILL || Origin::of(signal.origin) != Origin::Kernel {
        return None;
    }
    match OomKnown::of(signal.oom.known) {
        OomKnown::Limit => Some(Cause::Oom {
            limit: limit_of(evidence.places, &signal.oom),
            victim: victim_of(&signal.oom, death.tgid),
        }),
        OomKnown::Victim => {
            // Where a kill takes one process, the one it took is the one chosen.
            let victim = match evidence.oom {
                OomScope::Process => Victim::Main,
                OomScope::Container => Victim::Unknown,
            };
            Some(Cause::Oom { limit: LimitOwner::Unknown, victim })
        }
        OomKnown::Nothing => group_kill_counted(evidence).then_some(OOM_UNEXPLAINED),
    }
}

/// Whether the container's cgroup has counted an OOM kill that must have taken all of it, the main process
/// included. Where a kill takes one process the count may be of a child, long ago.
fn group_kill_counted(evidence: &Evidence<'_>) -> bool {
    evidence.oom == OomScope::Container && evidence.oom_kills.is_some_and(|kills| kills > 0)
}

fn victim_of(oom: &Oom, main: u32) -> Victim {
    match oom.chosen_tgid {
        0 => Victim::Unknown,
        chosen if chosen == main => Victim::Main,
        _ => Victim::Child,
    }
}

fn limit_of(places: &Places, oom: &Oom) -> LimitOwner {
    /// `CONSTRAINT_MEMCG`: it was a cgroup's limit, whatever else is known.
    const OF_A_CGROUP: u32 = 3;
    let id = CgroupId(oom.limit_cgroup);
    if id.0 == 0 {
        return if oom.constraint == OF_A_CGROUP { LimitOwner::Unknown } else { LimitOwner::Node };
    }
    // The kernel's figure includes swap, so the limit as written is the better one.
    let bytes = |known: Option<u64>| known.unwrap_or(oom.total_bytes);
    if id == places.container.id {
        LimitOwner::Container { bytes: bytes(places.container.bytes) }
    } else if id == places.pod.id {
        LimitOwner::Pod { bytes: bytes(places.pod.bytes) }
    } else if let Some(above) = places.ancestors.iter().find(|above| above.id == id) {
        LimitOwner::Ancestor { path: above.path.clone(), bytes: bytes(above.bytes) }
    } else if oom.limit_container == places.container.id.0 {
        LimitOwner::Nested { bytes: oom.total_bytes }
    } else {
        LimitOwner::Unknown
    }
}

fn sender_of(evidence: &Evidence<'_>, death: &Death, signal: i32) -> Sender {
    match Origin::of(death.signal.origin) {
        Origin::Process => sending_process(evidence, death),
        Origin::Kernel => Sender::Kernel(kernel_reason(&death.signal)),
        Origin::Teardown => Sender::Kernel(KernelReason::Teardown),
        Origin::Unseen => unseen_sender(evidence, death, signal),
    }
}

fn sending_process(evidence: &Evidence<'_>, death: &Death) -> Sender {
    let signal = &death.signal;
    let sender = signal.sender_tgid.cast_signed();
    let (pid, name) = (Pid(sender), String::from_utf8_lossy(comm(&signal.sender_comm)).into_owned());
    let place = CgroupId(signal.sender_cgroup);
    let places = evidence.places;
    if evidence.agent.contains(&pid) || was_agent(evidence, death) {
        Sender::Agent(intent(death).or(asked(evidence)).unwrap_or(Why::Unrecorded))
    } else if signal.sender_tgid == death.tgid {
        Sender::Itself
    } else if place == places.container.id {
        Sender::Own { pid, comm: name }
    } else if let Some(neighbour) = places.others.get(&place) {
        let (pod, container) = (neighbour.pod.clone(), neighbour.container.clone());
        Sender::Container { pod, container, pid, comm: name }
    } else {
        Sender::Host { pid, comm: name, uid: signal.sender_uid }
    }
}

/// Why the agent has sent what killed it. SIGKILL has a reason of its own beside that of the first signal.
fn intent(death: &Death) -> Option<Why> {
    let killed = rules::status_signal(death.status) == rules::SIGKILL;
    let kill = killed.then(|| Why::of(death.why >> KILL_SHIFT)).flatten();
    kill.or_else(|| Why::of(death.why))
}

/// Whether the sender was an agent before this one. Its pid is forgotten, but it left word of its intent, and
/// it was a root process of that name outside every container.
fn was_agent(evidence: &Evidence<'_>, death: &Death) -> bool {
    let signal = &death.signal;
    let place = CgroupId(signal.sender_cgroup);
    let in_a_container = place == evidence.places.container.id || evidence.places.others.contains_key(&place);
    death.why != 0 && !in_a_container && signal.sender_uid == 0 && comm(&signal.sender_comm) == b"carob"
}

fn kernel_reason(signal: &Signal) -> KernelReason {
    const SIGPIPE: u32 = 13;
    const SIGXCPU: u32 = 24;
    const SIGSYS: u32 = 31;
    const ALARMS: [u32; 3] = [14, 26, 27];
    const FAULTS: [u32; 5] = [rules::SIGILL, rules::SIGTRAP, rules::SIGBUS, rules::SIGFPE, rules::SIGSEGV];
    match signal.sig {
        sig if rules::has_address(sig, signal.si_code) => {
            KernelReason::Fault { address: Some(signal.address) }
        }
        sig if FAULTS.contains(&sig) => KernelReason::Fault { address: None },
        SIGSYS => KernelReason::Seccomp,
        SIGPIPE => KernelReason::Pipe,
        SIGXCPU => KernelReason::CpuTime,
        sig if ALARMS.contains(&sig) => KernelReason::Timer,
        _ if signal.si_code == rules::SI_TIMER => KernelReason::Timer,
        _ => KernelReason::Other { si_code: signal.si_code },
    }
}

/// Killed, and no signal was seen: either the record was pushed out by others, or no signal was sent at all,
/// as before Linux 5.17 when seccomp kills.
fn unseen_sender(evidence: &Evidence<'_>, death: &Death, signal: i32) -> Sender {
    const SIGSYS: i32 = 31;
    if signal == SIGSYS {
        return Sender::Kernel(KernelReason::Seccomp);
    }
    let intended = intent(death).map(Sender::Agent);
    intended.or_else(|| own_signal(evidence, signal)).unwrap_or(Sender::Unknown)
}

/// The agent, if this is the very signal it sent.
fn own_signal(evidence: &Evidence<'_>, signal: i32) -> Option<Sender> {
    evidence.sent.filter(|sent| sent.signal == signal).map(|sent| Sender::Agent(sent.why))
}

#[cfg(test)]
mod fuzz;
#[cfg(test)]
mod tests;
