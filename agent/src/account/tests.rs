//! Tables of deaths: what was seen, and what is said of it.

use super::*;

const MAIN: u32 = 700;
const AGENT: Pid = Pid(42);
const THIS: u64 = 10;
const POD: u64 = 9;
const SLICE: u64 = 4;
const OTHER: u64 = 20;
const MI: u64 = 1 << 20;

/// Everything but the record is a default that a row changes.
struct Case {
    death: Option<Death>,
    waited: Option<Waited>,
    sent: Option<Sent>,
    oom_kills: Option<u64>,
    oom: OomScope,
}

impl Case {
    fn recorded(death: Death) -> Self {
        Self { death: Some(death), ..Self::waited(None) }
    }

    fn waited(waited: Option<Waited>) -> Self {
        Self { death: None, waited, sent: None, oom_kills: Some(0), oom: OomScope::Container }
    }

    fn judged(&self) -> Verdict {
        let neighbour = Neighbour { pod: "default/b".to_owned(), container: "c".to_owned() };
        let places = Places {
            container: Limited { id: CgroupId(THIS), bytes: Some(64 * MI) },
            pod: Limited { id: CgroupId(POD), bytes: Some(128 * MI) },
            ancestors: vec![Ancestor {
                id: CgroupId(SLICE),
                path: "/carob.slice".to_owned(),
                bytes: Some(1024 * MI),
            }],
            others: BTreeMap::from([(CgroupId(OTHER), neighbour)]),
        };
        verdict(&Evidence {
            death: self.death.as_ref(),
            waited: self.waited,
            sent: self.sent,
            oom_kills: self.oom_kills,
            oom: self.oom,
            places: &places,
            agent: &[AGENT],
            now: Stamp(5000),
        })
    }
}

/// The one place that knows what a verdict looks like from outside.
#[track_caller]
fn check(case: &Case, code: Option<i32>, signal: Option<i32>, reason_: &str, cause_: &str, message_: &str) {
    let verdict = case.judged();
    assert_eq!((verdict.code, verdict.signal), (code, signal), "{verdict:?}");
    assert_eq!((reason(&verdict), cause(&verdict)), (reason_, cause_), "{verdict:?}");
    assert_eq!(message(&verdict), message_);
}

fn exited(code: u32) -> Death {
    let mut death = Death::default();
    (death.cgroup, death.tgid, death.status, death.at_ns) = (THIS, MAIN, code << 8, 4000);
    death.peak_bytes = 64 * MI - 1;
    death
}

fn killed(signal: u32) -> Death {
    let mut death = exited(0);
    (death.status, death.signal.sig, death.signal.at_ns) = (signal, signal, 3999);
    death
}

fn unseen(signal: u32) -> Death {
    Death { signal: Signal::default(), ..killed(signal) }
}

fn by_process(signal: u32, cgroup: u64, tgid: u32, comm: &[u8]) -> Death {
    let mut death = killed(signal);
    death.signal.origin = Origin::Process as u32;
    (death.signal.sender_cgroup, death.signal.sender_tgid) = (cgroup, tgid);
    for (to, from) in death.signal.sender_comm.iter_mut().zip(comm) {
        *to = *from;
    }
    death
}

fn by_kernel(signal: u32, si_code: i32) -> Death {
    let mut death = killed(signal);
    (death.signal.origin, death.signal.si_code) = (Origin::Kernel as u32, si_code);
    death
}

fn by_oom(known: OomKnown, limit: u64, chosen: u32) -> Death {
    let mut death = by_kernel(9, rules::SI_KERNEL);
    death.signal.oom.known = known as u32;
    (death.signal.oom.limit_cgroup, death.signal.oom.chosen_tgid) = (limit, chosen);
    death.signal.oom.total_bytes = 32 * MI;
    death.signal.oom.constraint = 3;
    death
}

fn asked(why: Why, death: Death) -> Death {
    Death { why: why as u32, ..death }
}

#[test]
fn an_exit_code_is_said_as_it_is() {
    let row = |death, code, reason, cause, message| {
        check(&Case::recorded(death), Some(code), None, reason, cause, message);
    };
    row(exited(0), 0, "Completed", "completed", "exit code 0");
    row(exited(7), 7, "Error", "error", "exit code 7");
    row(exited(137), 137, "Error", "error", "exit code 137");
    row(
        asked(Why::Delete, exited(0)),
        0,
        "Completed",
        "completed",
        "exit code 0, after carob asked it to stop: pod deleted",
    );
    row(
        asked(Why::Liveness, exited(143)),
        143,
        "Error",
        "error",
        "exit code 143, after carob asked it to stop: liveness probe failed",
    );
}

#[test]
fn a_fatal_signal_names_its_sender() {
    let row = |death, signal: i32, cause, message| {
        check(&Case::recorded(death), Some(128 + signal), Some(signal), "Error", cause, message);
    };
    row(by_process(9, 1, 812, b"kill"), 9, "host", "SIGKILL from host process 812 (kill, uid 0)");
    row(by_process(9, 1, 1, b"systemd"), 9, "host", "SIGKILL from host process 1 (systemd, uid 0)");
    row(by_process(15, THIS, 701, b"sh"), 15, "own", "SIGTERM from process 701 (sh) of the same container");
    row(by_process(6, THIS, MAIN, b"app"), 6, "own", "SIGABRT raised by itself");
    row(
        by_process(9, OTHER, 900, b"sh"),
        9,
        "container",
        "SIGKILL from process 900 (sh) of pod default/b, container c",
    );
    row(killed(9), 9, "unknown", "SIGKILL, sender not known");
    row(unseen(37), 37, "unknown", "SIGRTMIN+3, sender not known");
}

#[test]
fn a_fault_names_its_address_where_there_is_one() {
    let row = |death, signal: i32, message| {
        check(&Case::recorded(death), Some(128 + signal), Some(signal), "Error", "kernel", message);
    };
    row(by_kernel(11, 1), 11, "SIGSEGV: fault at 0x0");
    row(by_kernel(11, rules::SI_KERNEL), 11, "SIGSEGV: fault");
    row(by_kernel(13, rules::SI_USER), 13, "SIGPIPE: write to a pipe that nobody reads");
    row(by_kernel(14, rules::SI_KERNEL), 14, "SIGALRM: a timer of its own ran out");
    row(by_kernel(10, rules::SI_TIMER), 10, "SIGUSR1: a timer of its own ran out");
    row(by_kernel(31, 1), 31, "SIGSYS: system call forbidden by seccomp");
    row(unseen(31), 31, "SIGSYS: system call forbidden by seccomp");
    row(by_kernel(9, rules::SI_KERNEL), 9, "SIGKILL from the kernel (si_code 128)");
    let mut teardown = by_kernel(9, rules::SI_KERNEL);
    teardown.signal.origin = Origin::Teardown as u32;
    row(teardown, 9, "SIGKILL: the init of its pid namespace exited");
}

#[test]
fn a_core_dump_is_said() {
    let mut death = by_process(6, THIS, MAIN, b"app");
    death.status |= 0x80;
    let case = Case::recorded(death);
    check(&case, Some(134), Some(6), "Error", "own", "SIGABRT raised by itself, core dumped");
    assert!(case.judged().core);
}

#[test]
fn the_agents_own_signals_carry_their_reason() {
    let row = |death, signal: i32, message| {
        check(&Case::recorded(death), Some(128 + signal), Some(signal), "Error", "agent", message);
    };
    let agent = |signal| by_process(signal, 1, 42, b"carob");
    row(asked(Why::Delete, agent(15)), 15, "SIGTERM from carob: pod deleted");
    row(asked(Why::GraceExpired, agent(9)), 9, "SIGKILL from carob: grace period expired");
    // It did not heed the first signal: both reasons are kept.
    let both = |first: Why, kill: Why| first as u32 | (kill as u32) << KILL_SHIFT;
    let killed = Death { why: both(Why::Liveness, Why::GraceExpired), ..agent(9) };
    assert_eq!(Case::recorded(killed).judged().asked, Some(Why::Liveness));
    row(killed, 9, "SIGKILL from carob: grace period expired");
    let deaf = Death { why: both(Why::Delete, Why::IgnoresTerm), ..agent(9) };
    row(deaf, 9, "SIGKILL from carob: it ignores SIGTERM");
    let heeded = Death { why: both(Why::Liveness, Why::GraceExpired), ..agent(15) };
    row(heeded, 15, "SIGTERM from carob: liveness probe failed");
    row(agent(9), 9, "SIGKILL from carob: the agent ended before it was recorded");
    // An agent that is gone: another pid, but its word is there.
    row(
        asked(Why::GraceExpired, by_process(9, 1, 41, b"carob")),
        9,
        "SIGKILL from carob: grace period expired",
    );
    // The record of the sending is lost, the word is there.
    row(asked(Why::GraceExpired, unseen(9)), 9, "SIGKILL from carob: grace period expired");
}

#[test]
fn an_intent_does_not_make_the_agent_the_sender() {
    let row = |death, cause, message| {
        check(&Case::recorded(asked(Why::Delete, death)), Some(137), Some(9), "Error", cause, message);
    };
    row(by_process(9, 1, 812, b"kill"), "host", "SIGKILL from host process 812 (kill, uid 0)");
    // Any process may call itself carob, in a container or without being root.
    row(
        by_process(9, OTHER, 900, b"carob"),
        "container",
        "SIGKILL from process 900 (carob) of pod default/b, container c",
    );
    row(by_process(9, THIS, 701, b"carob"), "own", "SIGKILL from process 701 (carob) of the same container");
    let mut user = by_process(9, 1, 812, b"carob");
    user.signal.sender_uid = 1000;
    row(user, "host", "SIGKILL from host process 812 (carob, uid 1000)");
}

#[test]
fn an_oom_kill_names_the_limit_and_the_victim() {
    let row = |death, message| check(&Case::recorded(death), Some(137), Some(9), "OOMKilled", "oom", message);
    let limit = |cgroup, chosen| by_oom(OomKnown::Limit, cgroup, chosen);
    row(limit(THIS, MAIN), "OOM: container limit 64Mi, main process, peak 63.9Mi");
    row(limit(THIS, 701), "OOM: container limit 64Mi, child process, the main one with it, peak 63.9Mi");
    row(limit(POD, MAIN), "OOM: pod limit 128Mi, main process, peak 63.9Mi");
    row(limit(SLICE, MAIN), "OOM: limit of /carob.slice 1Gi, main process, peak 63.9Mi");
    row(limit(77, 0), "OOM: whose limit is not known, peak 63.9Mi");
    row(limit(0, MAIN), "OOM: whose limit is not known, main process, peak 63.9Mi");
    let mut node = limit(0, MAIN);
    node.signal.oom.constraint = 0;
    row(node, "OOM: the node ran out of memory, main process, peak 63.9Mi");
    let mut nested = limit(77, MAIN);
    nested.signal.oom.limit_container = THIS;
    row(nested, "OOM: limit 32Mi of a cgroup inside the container, main process, peak 63.9Mi");
    row(by_oom(OomKnown::Victim, 0, 0), "OOM: whose limit is not known, peak 63.9Mi");
    row(asked(Why::Delete, limit(THIS, MAIN)), "OOM: container limit 64Mi, main process, peak 63.9Mi");
}

#[test]
fn where_a_kill_takes_one_process_the_one_it_took_was_chosen() {
    let case = Case { oom: OomScope::Process, ..Case::recorded(by_oom(OomKnown::Victim, 0, 0)) };
    let message = "OOM: whose limit is not known, main process, peak 63.9Mi";
    check(&case, Some(137), Some(9), "OOMKilled", "oom", message);
}

#[test]
fn an_oom_kill_of_another_process_or_another_time_is_not_this_death() {
    let row = |case: Case, code, signal, reason, cause, message| {
        check(
            &Case { oom_kills: Some(3), oom: OomScope::Process, ..case },
            Some(code),
            signal,
            reason,
            cause,
            message,
        );
    };
    let drained = asked(Why::Delete, by_process(15, 1, 42, b"carob"));
    row(Case::recorded(drained), 143, Some(15), "Error", "agent", "SIGTERM from carob: pod deleted");
    row(Case::recorded(exited(0)), 0, None, "Completed", "completed", "exit code 0");
    let cpu_limit = by_kernel(9, rules::SI_KERNEL);
    row(Case::recorded(cpu_limit), 137, Some(9), "Error", "kernel", "SIGKILL from the kernel (si_code 128)");
    // Marked a victim while it died of the host's SIGKILL.
    let mut marked = by_process(9, 1, 812, b"kill");
    marked.signal.oom.known = OomKnown::Victim as u32;
    row(Case::recorded(marked), 137, Some(9), "Error", "host", "SIGKILL from host process 812 (kill, uid 0)");
    let waited = Case::waited(Some(Waited::Signalled { signal: 9, core: false }));
    row(waited, 137, Some(9), "Error", "unknown", "SIGKILL, sender not known");
}

#[test]
fn a_counted_kill_of_the_whole_container_explains_a_kill_without_a_mark() {
    let counted = |case: Case| Case { oom_kills: Some(1), ..case };
    let recorded = counted(Case::recorded(by_kernel(9, rules::SI_KERNEL)));
    check(&recorded, Some(137), Some(9), "OOMKilled", "oom", "OOM: whose limit is not known, peak 63.9Mi");
    let waited = counted(Case::waited(Some(Waited::Signalled { signal: 9, core: false })));
    check(&waited, Some(137), Some(9), "OOMKilled", "oom", "OOM: whose limit is not known");
    let host = counted(Case::recorded(by_process(9, 1, 812, b"kill")));
    check(&host, Some(137), Some(9), "Error", "host", "SIGKILL from host process 812 (kill, uid 0)");
}

#[test]
fn without_the_programs_the_status_is_exact_and_the_sender_is_known_only_if_it_is_the_agent() {
    let row = |waited, sent, code, signal, cause, message| {
        let case = Case { sent, ..Case::waited(Some(waited)) };
        let reason = if code == 0 { "Completed" } else { "Error" };
        check(&case, Some(code), signal, reason, cause, message);
        assert_eq!((case.judged().source, case.judged().finished), (Source::Wait, Stamp(5000)));
    };
    let killed = |signal| Waited::Signalled { signal, core: false };
    let expired = Some(Sent { signal: 9, why: Why::GraceExpired, first: Some(Why::Delete) });
    row(Waited::Exited { code: 0 }, None, 0, None, "completed", "exit code 0");
    row(Waited::Exited { code: 7 }, None, 7, None, "error", "exit code 7");
    row(killed(11), None, 139, Some(11), "unknown", "SIGSEGV, sender not known");
    row(killed(9), expired, 137, Some(9), "agent", "SIGKILL from carob: grace period expired");
    row(killed(11), expired, 139, Some(11), "unknown", "SIGSEGV, sender not known");
}

#[test]
fn what_nobody_saw_has_no_code_and_says_why() {
    let row = |waited, message| {
        let case = Case::waited(waited);
        check(&case, None, None, "ContainerStatusUnknown", "unknown", message);
        assert_eq!(case.judged().source, Source::None);
    };
    row(None, "the kernel programs left no record, and its exit was not waited for");
    row(
        Some(Waited::NotOurChild),
        "the kernel programs left no record, and another process took the exit status",
    );
}

#[test]
fn the_record_is_the_better_witness_and_a_contradiction_is_noticed() {
    #[track_caller]
    fn row(death: Death, waited: Waited, contradiction: bool) {
        assert_eq!(mismatch(&death, waited), contradiction);
        let verdict = Case { waited: Some(waited), ..Case::recorded(death) }.judged();
        assert_eq!((verdict.source, verdict.finished), (Source::Kernel, Stamp(4000)));
    }
    let mut core = killed(6);
    core.status |= 0x80;
    row(exited(7), Waited::Exited { code: 7 }, false);
    row(exited(7), Waited::Exited { code: 8 }, true);
    row(exited(7), Waited::NotOurChild, false);
    row(killed(9), Waited::Signalled { signal: 9, core: false }, false);
    row(killed(9), Waited::Exited { code: 137 }, true);
    row(core, Waited::Signalled { signal: 6, core: true }, false);
    row(core, Waited::Signalled { signal: 6, core: false }, true);
}

#[test]
fn ends_that_were_no_exit_have_their_own_words() {
    let reboot = lost_to_reboot(Stamp(1));
    assert_eq!((reboot.code, reason(&reboot), cause(&reboot)), (None, "NodeReboot", "node_reboot"));
    assert_eq!(message(&reboot), "the node went down while it ran");
    let start = never_started("exec /nothing: no such file or directory".to_owned(), Stamp(1));
    assert_eq!((start.code, reason(&start), cause(&start)), (None, "StartError", "start_error"));
    assert_eq!(message(&start), "exec /nothing: no such file or directory");
}
