//! Every state has one answer; every walk ends where it should.

mod back_off;
mod causes;
mod gates;
mod hooks;
mod resizing;
mod roles;
mod rounds;
mod walk;
mod workload;

use std::collections::{BTreeMap, BTreeSet};

use super::{probe::Health, *};
use crate::pod::{
    Access, AttemptId, CgroupId, Container, Pid, PodName, PodUid, Propagation, Restart, RestartPolicy,
    Volume, VolumeMount, VolumeSource,
    probe::{Action, Probes},
    status::{BootId, ContainerState, EarlyReason, Ended, Live, Phase, Readiness, Truth},
    verdict::{Cause, KernelReason, Sender, Source, Verdict},
};

const T: Stamp = Stamp(1_000_000_000_000);
const GRACE: Duration = Duration::from_secs(30);
const ALWAYS: RestartPolicy = RestartPolicy::Always;

fn secs(n: u64) -> Stamp {
    T.after(Duration::from_secs(n))
}

fn spec(restart: RestartPolicy, containers: usize) -> Spec {
    let container =
        |n: usize| Container { name: format!("c{n}"), restart: Restart::by(restart), ..Container::default() };
    Spec {
        name: PodName { namespace: "default".to_owned(), name: "p".to_owned() },
        uid: PodUid("u".to_owned()),
        restart,
        grace: GRACE,
        containers: (0..containers).map(container).collect(),
        ..Spec::default()
    }
}

fn this_boot() -> BootId {
    BootId("b".to_owned())
}

fn attempt(n: u32) -> AttemptId {
    AttemptId { uid: PodUid("u".to_owned()), container: "c0".to_owned(), attempt: n }
}

fn live(n: u32) -> Live {
    Live { id: attempt(n), pid: Pid(7), cgroup: CgroupId(9), started: T }
}

fn verdict(status: End, finished: Stamp) -> Verdict {
    let (code, signal, cause) = match status {
        End::Code(0) => (Some(0), None, Cause::Completed),
        End::Code(code) => (Some(code), None, Cause::Error),
        End::Signal(signal) => (
            Some(128 + signal),
            Some(signal),
            Cause::Signalled(Sender::Kernel(KernelReason::Fault { address: None })),
        ),
        End::Unknown => (None, None, Cause::Unknown { why: "nobody looked".to_owned() }),
    };
    Verdict {
        code,
        signal,
        core: false,
        cause,
        asked: None,
        cpu_ns: None,
        peak_memory: None,
        finished,
        source: Source::Kernel,
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum End {
    Code(i32),
    Signal(i32),
    Unknown,
}

fn ended(n: u32, end: End, started: Stamp, finished: Stamp) -> Ended {
    Ended {
        id: attempt(n),
        boot: this_boot(),
        started: Some(started),
        verdict: verdict(end, finished),
        said: None,
        flight: None,
    }
}

fn one(state: State) -> Seen {
    Seen { state, ..Seen::untouched(&Container::default()) }
}

fn over(n: u32, end: End) -> Seen {
    Seen { next_attempt: n + 1, ended: vec![ended(n, end, T, T)], ..one(State::Idle) }
}

fn pod(sandbox: Sandbox, seen: Seen) -> Observed {
    Observed {
        boot: this_boot(),
        since: T,
        deletion: None,
        early: None,
        sandbox,
        limits: resize::Limits::default(),
        pending: None,
        held: None,
        gates: BTreeMap::new(),
        containers: vec![seen],
        busy: BTreeSet::new(),
    }
}

fn failure(count: u32) -> Failure {
    Failure { count, ..Failure::first("ErrImagePull", "no".to_owned(), T) }
}

fn deleted(seen: Observed) -> Observed {
    Observed { deletion: Some(Deletion { since: T, grace: GRACE, why: Why::Delete }), ..seen }
}

#[track_caller]
fn check(policy: RestartPolicy, seen: &Observed, now: Stamp, steps: &[Step], wake_at: Option<Stamp>) {
    let expected = Plan { steps: steps.to_vec(), wake_at };
    assert_eq!(plan(&spec(policy, seen.containers.len()), seen, now), expected);
}

const START: Step = Step::Start { container: 0, attempt: 0 };
const AGAIN: Step = Step::Start { container: 0, attempt: 1 };
const KILL: Step = Step::Kill { container: 0, why: Why::GraceExpired };
const CLEAR: Step = Step::Clear { container: 0, attempt: 0 };

fn stopping() -> State {
    State::Stopping { live: live(0), kill_at: secs(30) }
}

#[test]
fn a_wanted_pod_has_one_answer_in_each_state() {
    use Sandbox::{Absent, Ready};
    check(ALWAYS, &pod(Absent, one(State::Idle)), T, &[Step::MakeSandbox], None);
    check(ALWAYS, &pod(Sandbox::Failed(failure(1)), one(State::Idle)), T, &[], Some(secs(10)));
    check(ALWAYS, &pod(Sandbox::Failed(failure(1)), one(State::Idle)), secs(10), &[Step::MakeSandbox], None);
    check(ALWAYS, &pod(Ready, one(State::Idle)), T, &[START], None);
    // The wake-up before the retry is for the reason that is shown.
    check(ALWAYS, &pod(Ready, one(State::Failed(failure(2)))), T, &[], Some(secs(2)));
    check(ALWAYS, &pod(Ready, one(State::Failed(failure(2)))), secs(2), &[], Some(secs(20)));
    check(ALWAYS, &pod(Ready, one(State::Failed(failure(2)))), secs(20), &[START], None);
    check(ALWAYS, &pod(Ready, one(State::Running(live(0)))), T, &[], None);
    check(ALWAYS, &pod(Ready, one(stopping())), T, &[], Some(secs(30)));
    check(ALWAYS, &pod(Ready, one(stopping())), secs(30), &[KILL], None);
    check(ALWAYS, &pod(Ready, one(State::Killed(live(0)))), secs(99), &[], None);
    check(ALWAYS, &pod(Ready, one(State::Dead { attempt: 0, clear_at: T })), T, &[CLEAR], None);
    let starting = Seen { busy: Some(ContainerActivity::Start), ..one(State::Idle) };
    check(ALWAYS, &pod(Ready, starting), T, &[], None);
    let clearing =
        Seen { busy: Some(ContainerActivity::Clear), ..one(State::Dead { attempt: 0, clear_at: T }) };
    check(ALWAYS, &pod(Ready, clearing), T, &[], None);
    let making = Observed { busy: [PodActivity::MakeSandbox].into(), ..pod(Absent, one(State::Idle)) };
    check(ALWAYS, &making, T, &[], None);
}

/// What is known of the images, their policy, and whether a registry comes first.
#[test]
fn what_is_missing_is_pulled_before_the_start() {
    const PULL: Step = Step::Pull { container: 0, attempt: 1 };
    use PullPolicy::{Always, IfNotPresent, Never};
    let rows = [
        (Supply::Unknown, IfNotPresent, AGAIN),
        (Supply::Unknown, Never, AGAIN),
        (Supply::Unknown, Always, PULL),
        (Supply::Missing, IfNotPresent, PULL),
        (Supply::Missing, Always, PULL),
        (Supply::Fetched { attempt: 1 }, IfNotPresent, AGAIN),
        (Supply::Fetched { attempt: 1 }, Always, AGAIN),
        (Supply::Fetched { attempt: 0 }, IfNotPresent, AGAIN),
        (Supply::Fetched { attempt: 0 }, Always, PULL),
    ];
    for (supply, policy, expected) in rows {
        let mut wanted = spec(ALWAYS, 1);
        let mut seen = pod(Sandbox::Ready, Seen { supply, ..over(0, End::Code(0)) });
        wanted.containers[0].pull = policy;
        assert_eq!(plan(&wanted, &seen, T).steps, [expected], "{supply:?} {policy:?}");
        seen.containers[0].busy = Some(ContainerActivity::Pull);
        assert_eq!(plan(&wanted, &seen, T).steps, [], "{supply:?} {policy:?}");
        let stop = Step::StopPull { container: 0 };
        assert_eq!(plan(&wanted, &deleted(seen), T).steps, [stop], "{supply:?} {policy:?}");
    }
}

/// A volume that is made of an image is looked for with the first container that mounts it.
#[test]
fn an_image_of_a_volume_is_pulled_for_who_mounts_it() {
    let mut wanted = spec(ALWAYS, 2);
    let source = VolumeSource::Image { reference: "models".to_owned(), pull: PullPolicy::Always };
    wanted.volumes.push(Volume { name: "models".to_owned(), source });
    wanted.containers[1].mounts.push(VolumeMount {
        volume: "models".to_owned(),
        path: "/models".to_owned(),
        sub_path: None,
        access: Access::ReadOnly,
        propagation: Propagation::None,
    });
    let mut seen = pod(Sandbox::Ready, one(State::Idle));
    seen.containers.push(one(State::Idle));
    assert_eq!(plan(&wanted, &seen, T).steps, [START, Step::Pull { container: 1, attempt: 0 }]);
}

#[test]
fn a_deleted_pod_has_one_answer_in_each_state() {
    use Sandbox::{Absent, Ready};
    let row = |sandbox, state| deleted(pod(sandbox, one(state)));
    let term = Step::Terminate { container: 0, why: Why::Delete, kill_at: secs(30) };
    check(ALWAYS, &row(Ready, State::Running(live(0))), T, &[term], Some(secs(30)));
    check(ALWAYS, &row(Ready, stopping()), secs(29), &[], Some(secs(30)));
    check(ALWAYS, &row(Ready, stopping()), secs(30), &[KILL], None);
    check(ALWAYS, &row(Ready, State::Killed(live(0))), secs(31), &[], None);
    check(ALWAYS, &row(Ready, State::Dead { attempt: 0, clear_at: T }), T, &[CLEAR], None);
    check(ALWAYS, &row(Ready, State::Dead { attempt: 0, clear_at: secs(5) }), T, &[], Some(secs(5)));
    check(ALWAYS, &row(Ready, State::Idle), T, &[Step::RemoveSandbox], None);
    check(ALWAYS, &row(Sandbox::Stuck(failure(1)), State::Idle), T, &[], Some(secs(10)));
    check(ALWAYS, &row(Sandbox::Stuck(failure(1)), State::Idle), secs(10), &[Step::RemoveSandbox], None);
    check(ALWAYS, &row(Ready, State::Failed(failure(1))), T, &[Step::RemoveSandbox], None);
    check(ALWAYS, &row(Absent, State::Idle), T, &[Step::Forget], None);
    let starting = deleted(pod(Ready, Seen { busy: Some(ContainerActivity::Start), ..one(State::Idle) }));
    check(ALWAYS, &starting, T, &[], None);
    let removing = Observed { busy: [PodActivity::RemoveSandbox].into(), ..row(Ready, State::Idle) };
    check(ALWAYS, &removing, T, &[], None);
}

#[test]
fn nobody_gets_less_than_two_seconds() {
    let mut seen = deleted(pod(Sandbox::Ready, one(State::Running(live(0)))));
    seen.deletion = Some(Deletion { since: T, grace: Duration::ZERO, why: Why::Delete });
    let term = Step::Terminate { container: 0, why: Why::Delete, kill_at: secs(2) };
    check(ALWAYS, &seen, T, &[term], Some(secs(2)));
}

/// What a probe says, the grace period of its own, and what becomes of the container.
#[test]
fn a_container_that_a_probe_gives_up_is_asked_to_go() {
    let rows = [
        (Why::Liveness, None, 30),
        (Why::Liveness, Some(60), 60),
        (Why::Startup, Some(5), 5),
        (Why::Startup, Some(1), 2),
    ];
    for (why, own, seconds) in rows {
        let mut seen = one(State::Running(live(0)));
        let grace = own.map(Duration::from_secs);
        seen.health.unhealthy = Some(Unhealthy { why, since: T, message: String::new(), grace });
        let kill_at = secs(seconds);
        let term = Step::Terminate { container: 0, why, kill_at };
        check(ALWAYS, &pod(Sandbox::Ready, seen.clone()), T, &[term], Some(kill_at));
        // A pod that goes anyway goes for its own reason and in its own time.
        let term = Step::Terminate { container: 0, why: Why::Delete, kill_at: secs(30) };
        check(ALWAYS, &deleted(pod(Sandbox::Ready, seen)), T, &[term], Some(secs(30)));
    }
}

#[test]
fn who_ignores_sigterm_is_killed_at_once_if_that_is_asked() {
    let mut wanted = spec(ALWAYS, 1);
    let mut seen = deleted(pod(Sandbox::Ready, one(stopping())));
    let steps = |wanted: &Spec, seen: &Observed| plan(wanted, seen, secs(1)).steps;
    wanted.containers[0].deaf = Deaf::IsKilled;
    assert_eq!(steps(&wanted, &seen), []);
    // What an earlier attempt did says nothing of this one.
    seen.containers[0].ignores_term = Some(7);
    assert_eq!(steps(&wanted, &seen), []);
    seen.containers[0].ignores_term = Some(0);
    assert_eq!(steps(&wanted, &seen), [Step::Kill { container: 0, why: Why::IgnoresTerm }]);
    wanted.containers[0].deaf = Deaf::HasTime;
    assert_eq!(steps(&wanted, &seen), []);
}

/// Another image: whatever the policy says it runs again, at once, and what the old one did is forgotten.
#[test]
fn a_container_that_gets_another_image_starts_afresh() {
    for policy in [RestartPolicy::Always, RestartPolicy::OnFailure, RestartPolicy::Never] {
        let mut seen = over(0, End::Code(0));
        seen.ended[0].verdict.asked = Some(Why::Changed);
        check(policy, &pod(Sandbox::Ready, seen), T, &[AGAIN], None);
        // It did not listen, and was killed.
        let mut seen = over(0, End::Signal(9));
        (seen.ended[0].verdict.asked, seen.replaced) = (Some(Why::GraceExpired), Some(0));
        check(policy, &pod(Sandbox::Ready, seen), T, &[AGAIN], None);
    }
    let mut seen = over(0, End::Code(1));
    seen.ended.push(ended(1, End::Code(1), T, T));
    seen.next_attempt = 2;
    let again = Step::Start { container: 0, attempt: 2 };
    check(ALWAYS, &pod(Sandbox::Ready, seen.clone()), T, &[], Some(secs(10)));
    seen.counts_from = 2;
    check(ALWAYS, &pod(Sandbox::Ready, seen.clone()), T, &[again], None);
    seen.ended.push(ended(2, End::Code(1), T, T));
    seen.next_attempt = 3;
    let again = Step::Start { container: 0, attempt: 3 };
    check(ALWAYS, &pod(Sandbox::Ready, seen), T, &[again], None);
}

#[test]
fn an_evicted_pod_ends_for_good_and_stays_to_be_seen() {
    let evicted = |seen: Seen| Observed {
        early: Some(Early { since: T, reason: EarlyReason::Evicted, message: "too much".to_owned() }),
        ..pod(Sandbox::Ready, seen)
    };
    let term = Step::Terminate { container: 0, why: Why::Eviction, kill_at: secs(2) };
    check(ALWAYS, &evicted(one(State::Running(live(0)))), T, &[term], Some(secs(2)));
    let over = evicted(over(0, End::Signal(15)));
    check(ALWAYS, &over, T, &[Step::RemoveSandbox], None);
    let gone = Observed { sandbox: Sandbox::Absent, ..over.clone() };
    check(ALWAYS, &gone, secs(900), &[], None);
    let shown = status(&spec(ALWAYS, 1), &over, T);
    let said = (shown.phase, shown.reason.as_deref(), shown.message.as_deref());
    assert_eq!(said, (Phase::Failed, Some("Evicted"), Some("too much")));
}

#[test]
fn a_pod_without_room_waits_and_may_be_deleted() {
    let held =
        Observed { held: Some(Held::NoRoom("no room".to_owned())), ..pod(Sandbox::Absent, one(State::Idle)) };
    check(ALWAYS, &held, T, &[], None);
    let shown = status(&Spec { deadline: Some(GRACE), ..spec(ALWAYS, 1) }, &held, secs(900));
    assert_eq!((shown.phase, shown.start, shown.containers.len()), (Phase::Pending, None, 0));
    let [condition] = &shown.conditions[..] else { panic!("{shown:?}") };
    let said = (condition.kind, condition.holds, condition.reason, condition.message.as_deref());
    assert_eq!(said, ("PodScheduled", Truth::False, Some("Unschedulable"), Some("no room")));
    check(ALWAYS, &deleted(held), T, &[Step::Forget], None);
}

#[test]
fn probes_decide_what_a_running_container_is_worth() {
    let rows = [
        (true, true, Readiness::Ready),
        (true, false, Readiness::NotReady),
        (false, true, Readiness::NotReady),
        (false, false, Readiness::NotReady),
    ];
    for (started, ready, expected) in rows {
        let mut seen = one(State::Running(live(0)));
        seen.health = Health { started, ready, unhealthy: None };
        let status = status(&spec(ALWAYS, 1), &pod(Sandbox::Ready, seen), T);
        assert_eq!(status.phase, Phase::Running);
        let container = &status.containers[0];
        assert_eq!((container.started, container.ready), (started, expected));
        let holds = if expected == Readiness::Ready { Truth::True } else { Truth::False };
        let condition = status.conditions.iter().find(|condition| condition.kind == "Ready").unwrap();
        assert_eq!(condition.holds, holds, "started {started}, ready {ready}");
    }
}

#[test]
fn phase_follows_all_containers() {
    let idle = || one(State::Idle);
    let running = || one(State::Running(live(0)));
    let good = || over(0, End::Code(0));
    let bad = || over(0, End::Code(1));
    use RestartPolicy::{Never, OnFailure};
    let rows = [
        (Never, vec![idle(), idle()], Phase::Pending),
        (Never, vec![running(), idle()], Phase::Pending),
        (Never, vec![running(), bad()], Phase::Running),
        (Never, vec![good(), bad()], Phase::Failed),
        (Never, vec![good(), good()], Phase::Succeeded),
        (OnFailure, vec![good(), bad()], Phase::Running),
        (ALWAYS, vec![good(), good()], Phase::Running),
    ];
    for (policy, containers, phase) in rows {
        let seen = Observed { containers, ..pod(Sandbox::Ready, idle()) };
        assert_eq!(status(&spec(policy, 2), &seen, T).phase, phase, "{policy:?} {seen:?}");
    }
}
