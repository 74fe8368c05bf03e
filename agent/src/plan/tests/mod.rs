//! Every state has one answer; every walk ends where it should.

mod causes;
mod gates;
mod hooks;
mod resizing;
mod roles;
mod rounds;
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
    Seen {
        state,
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
        health: Health::new(&Probes::default()),
    }
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
fn restart_policy_times_exit() {
    use RestartPolicy::{Always, Never, OnFailure};
    let again = &[AGAIN][..];
    let settled = &[Step::RemoveSandbox][..];
    let rows = [
        (Always, End::Code(0), again, Phase::Running),
        (Always, End::Code(1), again, Phase::Running),
        (Always, End::Signal(9), again, Phase::Running),
        (Always, End::Unknown, again, Phase::Running),
        (OnFailure, End::Code(0), settled, Phase::Succeeded),
        (OnFailure, End::Code(1), again, Phase::Running),
        (OnFailure, End::Signal(9), again, Phase::Running),
        (OnFailure, End::Unknown, again, Phase::Running),
        (Never, End::Code(0), settled, Phase::Succeeded),
        (Never, End::Code(1), settled, Phase::Failed),
        (Never, End::Signal(9), settled, Phase::Failed),
        (Never, End::Unknown, settled, Phase::Failed),
    ];
    for (policy, end, steps, phase) in rows {
        let seen = pod(Sandbox::Ready, over(0, end));
        check(policy, &seen, T, steps, None);
        assert_eq!(status(&spec(policy, 1), &seen, T).phase, phase, "{policy:?} after {end:?}");
    }
}

/// Run lengths in seconds; then the delay after each exit.
#[test]
fn back_off_is_the_kubelets() {
    let rows: &[(&[u64], &[u64])] = &[
        (&[1], &[0]),
        (&[1, 1], &[0, 10]),
        (&[1; 9], &[0, 10, 20, 40, 80, 160, 300, 300, 300]),
        (&[1, 1, 601, 1, 1], &[0, 10, 0, 10, 20]),
        (&[1, 1, 600, 1], &[0, 10, 20, 40]),
        (&[700, 700, 700], &[0, 0, 0]),
        (&[0, 0, 0], &[0, 10, 20]),
    ];
    for (runs, delays) in rows {
        let mut at = T;
        let mut past = Vec::new();
        for (n, (run, expected)) in runs.iter().zip(*delays).enumerate() {
            let finished = at.after(Duration::from_secs(*run));
            past.push(ended(n as u32, End::Code(1), at, finished));
            assert_eq!(
                restart::delay(&Container::default(), &past).as_secs(),
                *expected,
                "runs {runs:?}, exit {n}"
            );
            let recent = &past[past.len().saturating_sub(restart::HISTORY)..];
            assert_eq!(
                restart::delay(&Container::default(), recent).as_secs(),
                *expected,
                "the last {} runs tell as much",
                restart::HISTORY
            );
            at = restart::due(&Container::default(), &past, &this_boot()).unwrap();
        }
    }
}

#[test]
fn a_reboot_starts_the_back_off_afresh() {
    let mut past = vec![ended(0, End::Code(1), T, T), ended(1, End::Code(1), T, T)];
    assert_eq!(restart::delay(&Container::default(), &past).as_secs(), 10);
    past.push(Ended { boot: BootId("next".to_owned()), ..ended(2, End::Code(1), T, T) });
    assert_eq!(restart::delay(&Container::default(), &past), Duration::ZERO);
}

#[test]
fn a_stamp_of_an_earlier_boot_delays_nothing() {
    let old = Ended { boot: BootId("before".to_owned()), ..ended(0, End::Unknown, secs(5), secs(900)) };
    let seen = Seen { next_attempt: 1, ended: vec![old], ..one(State::Idle) };
    check(ALWAYS, &pod(Sandbox::Ready, seen), T, &[AGAIN], None);
}

#[test]
fn crash_loop_is_shown_only_while_it_waits() {
    let mut seen = pod(Sandbox::Ready, over(0, End::Code(1)));
    seen.containers[0].ended.push(ended(1, End::Code(1), T, T));
    seen.containers[0].next_attempt = 2;
    check(ALWAYS, &seen, T, &[], Some(secs(10)));
    let shown = status(&spec(ALWAYS, 1), &seen, secs(9)).containers.remove(0);
    assert!(matches!(shown.state, ContainerState::Waiting { reason: "CrashLoopBackOff", .. }), "{shown:?}");
    assert_eq!((shown.last.unwrap().id.attempt, shown.restarts), (1, 1));
    let due = status(&spec(ALWAYS, 1), &seen, secs(10)).containers.remove(0);
    assert!(matches!(due.state, ContainerState::Terminated(_)), "{due:?}");
    assert_eq!(due.last.unwrap().id.attempt, 0);
}

#[test]
fn a_failed_pull_is_an_error_first_and_a_back_off_then() {
    let rows = [
        ("ErrImagePull", T, "ErrImagePull"),
        ("ErrImagePull", secs(1), "ErrImagePull"),
        ("ErrImagePull", secs(2), "ImagePullBackOff"),
        ("ErrImageNeverPull", secs(2), "ErrImageNeverPull"),
    ];
    for (reason, now, expected) in rows {
        let seen = pod(Sandbox::Ready, one(State::Failed(Failure { reason, ..failure(1) })));
        let shown = status(&spec(ALWAYS, 1), &seen, now).containers.remove(0).state;
        let right = matches!(shown, ContainerState::Waiting { reason, .. } if reason == expected);
        assert!(right, "{reason} after {:?}: {shown:?}", now.since(T));
    }
}

#[test]
fn what_failed_is_tried_again_later_each_time_and_not_before_it_is_asked_for() {
    let rows = [
        (1, 0, 10),
        (2, 0, 20),
        (5, 0, 160),
        (6, 0, 300),
        (1, 7, 10),
        (1, 60, 60),
        (4, 60, 80),
        (1, 9000, 300),
    ];
    for (count, wait, expected) in rows {
        let failed = Failure { wait: Duration::from_secs(wait), ..failure(count) };
        let seen = pod(Sandbox::Ready, one(State::Failed(failed)));
        // By then it is shown as a back-off, which is a change too.
        check(ALWAYS, &seen, secs(2), &[], Some(secs(expected)));
    }
}

#[test]
fn failures_are_counted_while_the_reason_is_the_same() {
    let next = |reason| Failure::first(reason, String::new(), T);
    for (last, reason, expected) in [
        (None, "ErrImagePull", 1),
        (Some(failure(3)), "ErrImagePull", 4),
        (Some(failure(3)), "RunContainerError", 1),
    ] {
        assert_eq!(next(reason).after(last.as_ref()).count, expected, "{reason} after {last:?}");
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

/// A world that obeys: each step does what it says, now or later; the plan must bring it to rest.
struct World {
    seed: u64,
    spec: Spec,
    seen: Observed,
    now: Stamp,
    ends: Vec<End>,
}

impl World {
    fn roll(&mut self, sides: u64) -> u64 {
        self.seed ^= self.seed << 13;
        self.seed ^= self.seed >> 7;
        self.seed ^= self.seed << 17;
        self.seed % sides
    }

    fn end(&mut self, container: usize, end: End) {
        let seen = &mut self.seen.containers[container];
        if let State::Running(live) | State::Stopping { live, .. } | State::Killed(live) = &seen.state {
            let (n, started) = (live.id.attempt, live.started);
            seen.ended.push(ended(n, end, started, self.now));
            seen.state = State::Dead { attempt: n, clear_at: self.now };
        }
    }

    /// One step, as the agent would carry it out. Panics on a step that makes no sense in its state.
    fn obey(&mut self, step: &Step) {
        let fails = self.roll(4) == 0;
        let now = self.now;
        match *step {
            Step::MakeSandbox if fails => {
                self.seen.sandbox = Sandbox::Failed(Failure { at: now, ..failure(1) });
            }
            Step::MakeSandbox => self.seen.sandbox = Sandbox::Ready,
            Step::Limit { .. } if fails => {
                self.seen.limits = resize::Limits::Failed(Failure { at: now, ..failure(1) });
            }
            Step::Limit { .. } => self.seen.limits = resize::Limits::Written,
            Step::Pull { container, attempt } => {
                self.assert_its_turn(container);
                let seen = &mut self.seen.containers[container];
                if fails {
                    seen.state = State::Failed(Failure { at: now, ..failure(1) });
                } else {
                    seen.supply = Supply::Fetched { attempt };
                }
            }
            Step::StopPull { .. } => panic!("no pull takes any time here"),
            Step::Start { container, attempt } => {
                self.assert_its_turn(container);
                let misses = self.roll(4) == 0;
                let seen = &mut self.seen.containers[container];
                assert_eq!(seen.next_attempt, attempt);
                if seen.supply != (Supply::Fetched { attempt }) && misses {
                    seen.supply = Supply::Missing;
                    return;
                }
                assert!(seen.is_clear(), "started over remains: {seen:?}");
                if fails {
                    seen.state = State::Failed(Failure { at: now, ..failure(1) });
                } else {
                    seen.next_attempt += 1;
                    seen.hooks = Hooks::default();
                    seen.health = Health::new(&Probes::default());
                    seen.state = State::Running(Live { started: now, ..live(attempt) });
                }
            }
            Step::Hook { container, hook, .. } => {
                *self.seen.containers[container].hooks.at(hook) = match self.roll(3) {
                    0 => Progress::Failed { at: now },
                    1 if hook == HookKind::PreStop => Progress::Running,
                    _ => Progress::Done,
                };
            }
            Step::Terminate { container, kill_at, .. } => {
                let State::Running(live) = self.seen.containers[container].state.clone() else {
                    panic!("not running")
                };
                self.seen.containers[container].state = State::Stopping { live, kill_at };
                if fails {
                    self.end(container, End::Signal(15));
                }
            }
            Step::Kill { container, why } => {
                let (State::Stopping { live, .. } | State::Running(live)) =
                    self.seen.containers[container].state.clone()
                else {
                    panic!("not stopping")
                };
                assert!(
                    why != Why::RestartAll || live.id.attempt < self.seen.containers[container].round_from
                );
                self.seen.containers[container].state = State::Killed(live);
                self.end(container, End::Signal(9));
                if let Some(last) = self.seen.containers[container].ended.last_mut() {
                    last.verdict.asked = Some(why);
                }
            }
            Step::Clear { container, attempt } if fails => {
                let clear_at = now.after(Duration::from_secs(10));
                self.seen.containers[container].state = State::Dead { attempt, clear_at };
            }
            Step::Clear { container, .. } => self.seen.containers[container].state = State::Idle,
            Step::RemoveSandbox if fails => {
                self.seen.sandbox = Sandbox::Stuck(Failure { at: now, ..failure(1) });
            }
            Step::RemoveSandbox => {
                assert!(self.seen.containers.iter().all(Seen::is_clear), "a sandbox in use was removed");
                self.seen.sandbox = Sandbox::Absent;
            }
            Step::Forget => panic!("forgotten while observed"),
        }
    }

    /// What must be so whenever a container starts, whatever the planner thinks.
    fn assert_its_turn(&self, container: usize) {
        assert!(self.seen.deletion.is_none() && !self.seen.is_over(&self.spec), "a start while the pod ends");
        let begun = |seen: &Seen| seen.next_attempt > seen.round_from;
        if self.spec.containers[container].role == Role::Ephemeral {
            return;
        }
        for (before, seen) in self.seen.with(&self.spec).take(container) {
            let fits = match before.role {
                Role::Init => seen
                    .ended
                    .last()
                    .is_some_and(|last| last.verdict.code == Some(0) && last.id.attempt >= seen.round_from),
                Role::Sidecar => begun(seen),
                Role::Main | Role::Ephemeral => true,
            };
            assert!(fits, "{container} starts before its turn: {:?}", self.seen);
        }
    }

    /// A probe gives one of the containers up.
    fn give_up(&mut self) {
        let (container, own) = (self.roll(self.seen.containers.len() as u64) as usize, self.roll(2) == 0);
        let (since, grace) = (self.now, own.then_some(Duration::from_secs(5)));
        let unhealthy = Unhealthy { why: Why::Liveness, since, message: "given up".to_owned(), grace };
        self.seen.containers[container].health.unhealthy = Some(unhealthy);
    }

    /// Another agent knows what is in the ledger and what runs; the rest it finds out again.
    fn restart_the_agent(&mut self) {
        self.seen.sandbox = match self.seen.sandbox.clone() {
            Sandbox::Ready if self.seen.containers.iter().all(Seen::is_stopped) => {
                Sandbox::Failed(Failure { at: Stamp(0), ..failure(1) })
            }
            other => other,
        };
        for seen in &mut self.seen.containers {
            match seen.state {
                State::Failed(_) => seen.state = State::Idle,
                State::Running(_) => seen.hooks = Hooks::adopted(),
                _ => (),
            }
        }
    }

    /// Runs until nothing is due; `true` if the pod asked to be forgotten.
    fn settle(&mut self) -> bool {
        for _ in 0..500 {
            rounds::begin(&self.spec, &mut self.seen, self.now);
            let plan = plan(&self.spec, &self.seen, self.now);
            if plan.steps == [Step::Forget] {
                return true;
            }
            for step in &plan.steps {
                self.obey(step);
            }
            match (plan.steps.is_empty(), plan.wake_at) {
                (true, None) => return false,
                (true, Some(at)) => {
                    assert!(at > self.now, "a wake-up in the past spins");
                    self.now = at;
                }
                (false, _) => (),
            }
        }
        panic!("never came to rest: {:?}", self.seen)
    }
}

/// Pods of different make: what runs beside what, and after what.
const SHAPES: [&[Role]; 6] = {
    use Role::{Ephemeral, Init, Main, Sidecar};
    [
        &[Main, Main],
        &[Init, Main, Main],
        &[Sidecar, Main],
        &[Init, Sidecar, Main],
        &[Sidecar, Init, Init, Main],
        &[Init, Sidecar, Main, Ephemeral],
    ]
};

#[test]
fn every_walk_ends_where_it_should() {
    use RestartPolicy::{Always, Never, OnFailure};
    for seed in 1..400 {
        for (policy, roles) in
            [Always, OnFailure, Never].into_iter().flat_map(|policy| SHAPES.map(|s| (policy, s)))
        {
            let mut spec = roles::spec(policy, roles);
            let seen = Observed::new(&spec, this_boot(), T);
            let mut ends = vec![End::Code(0), End::Code(1), End::Signal(11), End::Unknown];
            if seed % 3 == 0 {
                let who = seed as usize % roles.len();
                spec.containers[who].restart.rules =
                    rounds::asking(policy, roles, who).containers[who].restart.rules.clone();
                ends[1] = End::Code(rounds::ALL_AGAIN);
            }
            for container in spec.containers.iter_mut().filter(|_| seed % 2 == 0) {
                let nap = Action::Sleep { wait: Duration::from_secs(1) };
                container.lifecycle.post_start = Some(nap.clone());
                container.lifecycle.pre_stop = Some(nap);
            }
            let mut world = World { seed: seed * 7919, spec, seen, now: T, ends };
            for _ in 0..12 {
                assert!(!world.settle(), "nobody deleted it");
                let containers = world.spec.containers.len() as u64;
                let (container, which) = (world.roll(containers) as usize, world.roll(4) as usize);
                let end = world.ends[which];
                world.end(container, end);
                if world.roll(3) == 0 {
                    world.restart_the_agent();
                }
                if world.roll(3) == 0 {
                    world.give_up();
                }
                if world.roll(4) == 0 {
                    world.seen.limits = resize::Limits::Changed;
                }
            }
            assert!(!world.settle());
            let over = world.seen.is_over(&world.spec);
            let resting = world.seen.with(&world.spec).enumerate().all(|(index, (container, each))| {
                let stays = matches!(each.state, State::Running(_)) || each.is_finished(container);
                stays || over || !order::may_start(&world.spec, &world.seen, index)
            });
            assert!(resting, "{:?}", world.seen);
            assert_eq!(
                over,
                world.seen.sandbox == Sandbox::Absent,
                "the sandbox lives as long as the pod: {:?}",
                world.seen
            );
            world.seen.deletion = Some(Deletion { since: world.now, grace: GRACE, why: Why::Delete });
            assert!(world.settle(), "a deleted pod goes: {:?}", world.seen);
        }
    }
}
