//! Where each fact of a verdict comes from, and why one that is not known cannot be. Pure.

use super::words;
use crate::pod::{
    Stamp,
    counts::Counts,
    verdict::{Cause, LimitOwner, Sender, Source, Verdict, Victim},
};

/// One fact. Without a value `from` says why it is unknown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fact {
    pub(crate) name: &'static str,
    pub(crate) value: Option<String>,
    pub(crate) from: &'static str,
}

/// Written by the kernel programs at the moment of the exit.
const EXIT_RECORD: &str = "bpf: the record of the exit";
const SIGNAL_RECORD: &str = "bpf: the record of the signal";
const OOM_RECORD: &str = "bpf: the record of the OOM kill";
const WAITID: &str = "waitid";
const INTENT: &str = "intent: carob wrote it down before it sent the signal";
const REMEMBERED: &str = "intent: the agent remembers the signal that it sent";
/// Which of the two it was the verdict does not keep.
const MARK_OR_COUNT: &str = "bpf: the mark on its victim, or memory.events of the container";
const MEMORY_EVENTS: &str = "memory.events of the container";
/// Read when the cgroup was cleared away.
const COUNTERS: &str = "bpf: the counters of the cgroup";
const NO_PROGRAMS: &str = "only the kernel programs see it, and they left no record";

/// All facts of one end, in the order in which people ask.
pub(crate) fn evidence(verdict: &Verdict, started: Option<Stamp>, counts: Option<Counts>) -> Vec<Fact> {
    let mut facts = vec![code(verdict)];
    facts.extend(signal(verdict));
    match &verdict.cause {
        Cause::Signalled(sender) => facts.push(self::sender(sender, verdict.source)),
        Cause::Oom { limit, victim } => facts.extend(oom(limit, *victim, verdict.source)),
        _ => (),
    }
    facts.extend(
        verdict.asked.map(|why| known("asked to end because", words::why(why), intent(verdict.source))),
    );
    facts.push(match (started, &verdict.cause) {
        (Some(_), _) => known("start", "see RAN", "the ledger: written before it ran"),
        (None, Cause::StartError { .. }) => unknown("start", "it never ran"),
        (None, _) => unknown("start", "the row was written without a process"),
    });
    facts.push(match verdict.source {
        Source::Kernel => known("end", "see FINISHED", EXIT_RECORD),
        Source::Wait => known("end", "see FINISHED", "the agent's clock when waitid answered"),
        Source::None => unknown("end", why_nobody_saw(&verdict.cause)),
    });
    let measured = |name, value: Option<String>| match value {
        Some(value) => known(name, value, EXIT_RECORD),
        None => unknown(name, NO_PROGRAMS),
    };
    facts.push(measured("peak memory of the main process", verdict.peak_memory.map(words::size)));
    let cpu = verdict.cpu_ns.map(|ns| format!("{}.{:03}s", ns / 1_000_000_000, ns / 1_000_000 % 1000));
    facts.push(measured("CPU time of the main process", cpu));
    facts.extend(counted(counts));
    facts
}

fn counted(counts: Option<Counts>) -> [Fact; 2] {
    let one = |name, count: fn(Counts) -> u64| match counts {
        Some(counts) => known(name, count(counts).to_string(), COUNTERS),
        None => unknown(name, "nothing was counted, or its cgroup is still there"),
    };
    [
        one("other processes that ended in it", |counts| counts.other_exits),
        one("processes in it that the OOM killer took", |counts| counts.oom_kills),
    ]
}

fn known(name: &'static str, value: impl Into<String>, from: &'static str) -> Fact {
    Fact { name, value: Some(value.into()), from }
}

fn unknown(name: &'static str, because: &'static str) -> Fact {
    Fact { name, value: None, from: because }
}

fn code(verdict: &Verdict) -> Fact {
    let name = "exit code";
    match (verdict.code, verdict.source) {
        (Some(code), Source::Kernel) => known(name, code.to_string(), EXIT_RECORD),
        (Some(code), _) => known(name, code.to_string(), WAITID),
        (None, _) => unknown(name, why_nobody_saw(&verdict.cause)),
    }
}

fn signal(verdict: &Verdict) -> Option<Fact> {
    let from = if verdict.source == Source::Kernel { EXIT_RECORD } else { WAITID };
    Some(known("signal", words::signal_name(verdict.signal?), from))
}

/// Without the programs nothing outlives the agent but the ledger.
fn intent(source: Source) -> &'static str {
    if source == Source::Wait { REMEMBERED } else { INTENT }
}

fn why_nobody_saw(cause: &Cause) -> &'static str {
    match cause {
        Cause::StartError { .. } => "it never ran",
        Cause::NodeReboot => "the box went down while it ran",
        _ => "the kernel programs left no record, and nobody waited for it in time",
    }
}

fn sender(sender: &Sender, source: Source) -> Fact {
    let name = "sender";
    match (sender, source) {
        (Sender::Unknown, Source::Kernel) => unknown(name, "no record of the signal was left when it exited"),
        (Sender::Unknown, _) => unknown(name, NO_PROGRAMS),
        (Sender::Agent(why), source) => known(name, format!("carob: {}", words::why(*why)), intent(source)),
        (other, _) => known(name, words::sent_by(other).trim_start_matches([' ', ':', ',']), SIGNAL_RECORD),
    }
}

fn oom(limit: &LimitOwner, victim: Victim, source: Source) -> Vec<Fact> {
    let by_count = "memory.events counts a kill and says no more";
    let because = if source == Source::Kernel { "the kernel's types do not tell it" } else { by_count };
    let from = match (limit, victim, source) {
        (LimitOwner::Unknown, Victim::Unknown, Source::Kernel) => MARK_OR_COUNT,
        (LimitOwner::Unknown, Victim::Unknown, _) => MEMORY_EVENTS,
        _ => OOM_RECORD,
    };
    let killed = known("killed by", "the OOM killer", from);
    let limit = match limit {
        LimitOwner::Unknown => unknown("whose limit", because),
        limit => known("whose limit", words::limit(limit), OOM_RECORD),
    };
    let chosen = match victim {
        Victim::Main => known("chosen", "the main process", OOM_RECORD),
        Victim::Child => known("chosen", "a child process", OOM_RECORD),
        Victim::Unknown => unknown("chosen", because),
    };
    vec![killed, limit, chosen]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pod::verdict::{KernelReason, Why};

    fn told(cause: Cause, code: Option<i32>, source: Source) -> Vec<String> {
        let signal = code.filter(|code| *code > 128).map(|code| code - 128);
        let verdict = Verdict {
            code,
            signal,
            core: false,
            cause,
            asked: None,
            cpu_ns: (source == Source::Kernel).then_some(1_500_000_000),
            peak_memory: None,
            finished: Stamp(2),
            source,
        };
        let line = |fact: &Fact| match &fact.value {
            Some(value) => format!("{}: {value} [{}]", fact.name, fact.from),
            None => format!("{}: unknown, because {}", fact.name, fact.from),
        };
        let counts = Counts { main_exits: 1, other_exits: 7, oom_kills: 0, lost_records: 0 };
        let counts = (source == Source::Kernel).then_some(counts);
        evidence(&verdict, Some(Stamp(1)), counts).iter().map(line).collect()
    }

    #[test]
    fn each_fact_has_a_source_or_a_reason_why_it_is_not_known() {
        let host = Sender::Host { pid: crate::pod::Pid(7), comm: "kill".to_owned(), uid: 0 };
        let unknown_oom = || Cause::Oom { limit: LimitOwner::Unknown, victim: Victim::Unknown };
        let of_container =
            Cause::Oom { limit: LimitOwner::Container { bytes: 64 << 20 }, victim: Victim::Main };
        let fault = Sender::Kernel(KernelReason::Fault { address: None });
        let rows: Vec<(Cause, Option<i32>, Source, &str)> = vec![
            (Cause::Completed, Some(0), Source::Kernel, "exit code: 0 [bpf: the record of the exit]"),
            (Cause::Error, Some(3), Source::Wait, "exit code: 3 [waitid]"),
            (
                Cause::Error,
                Some(3),
                Source::Wait,
                "CPU time of the main process: unknown, because only the kernel programs",
            ),
            (
                Cause::Error,
                Some(3),
                Source::Kernel,
                "CPU time of the main process: 1.500s [bpf: the record of the exit]",
            ),
            (
                Cause::Error,
                Some(3),
                Source::Kernel,
                "other processes that ended in it: 7 [bpf: the counters of the cgroup]",
            ),
            (
                Cause::Error,
                Some(3),
                Source::Wait,
                "other processes that ended in it: unknown, because nothing was counted",
            ),
            (
                Cause::NodeReboot,
                None,
                Source::None,
                "exit code: unknown, because the box went down while it ran",
            ),
            (
                Cause::Signalled(host),
                Some(137),
                Source::Kernel,
                "sender: from host process 7 (kill, uid 0) [bpf: the record of the signal]",
            ),
            (
                Cause::Signalled(fault),
                Some(139),
                Source::Kernel,
                "sender: fault [bpf: the record of the signal]",
            ),
            (
                Cause::Signalled(Sender::Agent(Why::Delete)),
                Some(143),
                Source::Wait,
                "sender: carob: pod deleted [intent: the agent remembers",
            ),
            (
                Cause::Signalled(Sender::Unknown),
                Some(137),
                Source::Wait,
                "sender: unknown, because only the kernel programs",
            ),
            (Cause::Signalled(Sender::Unknown), Some(137), Source::Wait, "signal: SIGKILL [waitid]"),
            (
                of_container,
                Some(137),
                Source::Kernel,
                "whose limit: container limit 64Mi [bpf: the record of the OOM kill]",
            ),
            (
                unknown_oom(),
                Some(137),
                Source::Wait,
                "whose limit: unknown, because memory.events counts a kill",
            ),
            (
                unknown_oom(),
                Some(137),
                Source::Wait,
                "killed by: the OOM killer [memory.events of the container]",
            ),
            (
                unknown_oom(),
                Some(137),
                Source::Kernel,
                "killed by: the OOM killer [bpf: the mark on its victim, or memory.events",
            ),
        ];
        for (cause, code, source, expected) in rows {
            let lines = told(cause, code, source);
            assert!(
                lines.iter().any(|line| line.starts_with(expected)),
                "{expected:?} is not among {lines:#?}"
            );
        }
    }
}
