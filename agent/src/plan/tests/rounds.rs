//! An exit that asks for all containers to run again (KEP-5532).

use super::{roles::spec as roles, *};
use crate::pod::restart::{Action, Codes, ExitRule};

const INIT: Role = Role::Init;
const SIDE: Role = Role::Sidecar;
const MAIN: Role = Role::Main;

/// The exit that asks for all.
pub(super) const ALL_AGAIN: i32 = 88;

/// A pod in which the exit 88 of one container asks for all.
pub(super) fn asking(policy: RestartPolicy, of: &[Role], container: usize) -> Spec {
    let mut spec = roles(policy, of);
    let rule = ExitRule { codes: Codes::In(vec![ALL_AGAIN]), action: Action::RestartAllContainers };
    spec.containers[container].restart.rules.push(rule);
    spec
}

/// What the agent does when it has written a round down.
pub(super) fn begin(spec: &Spec, seen: &mut Observed, now: Stamp) {
    if round::called_for(spec, seen, now).is_some() && round::may_begin(seen) {
        seen.containers.iter_mut().for_each(|each| each.round_from = each.next_attempt);
    }
}

fn running() -> Seen {
    Seen { next_attempt: 1, ..one(State::Running(live(0))) }
}

fn of(containers: Vec<Seen>) -> Observed {
    Observed { containers, ..pod(Sandbox::Ready, one(State::Idle)) }
}

#[test]
fn who_asks_and_when_it_counts() {
    let exits = |code| over(0, End::Code(code));
    let asked = |why| {
        let mut seen = exits(ALL_AGAIN);
        seen.ended[0].verdict.asked = why;
        seen
    };
    let rows = [
        ("a main container", &[MAIN, MAIN][..], 0, vec![exits(ALL_AGAIN), running()], true),
        ("another code", &[MAIN, MAIN], 0, vec![exits(1), running()], false),
        ("another container", &[MAIN, MAIN], 1, vec![exits(ALL_AGAIN), running()], false),
        ("an init container", &[INIT, MAIN], 0, vec![exits(ALL_AGAIN), one(State::Idle)], true),
        ("a sidecar", &[SIDE, MAIN], 0, vec![exits(ALL_AGAIN), running()], true),
        ("a sidecar of a pod that is over", &[SIDE, MAIN], 0, vec![exits(ALL_AGAIN), exits(0)], false),
        ("ended by a probe", &[MAIN, MAIN], 0, vec![asked(Some(Why::Liveness)), running()], true),
        (
            "ended for an earlier round",
            &[MAIN, MAIN],
            0,
            vec![asked(Some(Why::RestartAll)), running()],
            false,
        ),
    ];
    for (what, roles, container, containers, expected) in rows {
        let (spec, seen) = (asking(RestartPolicy::Never, roles, container), of(containers));
        assert_eq!(round::called_for(&spec, &seen, T).is_some(), expected, "{what}");
        assert_eq!(round::called_for(&spec, &deleted(seen), T), None, "{what}, deleted");
    }
}

#[test]
fn all_run_again_from_the_first_on() {
    let spec = asking(RestartPolicy::Never, &[INIT, SIDE, MAIN, MAIN], 2);
    let mut seen = of(vec![over(0, End::Code(0)), running(), over(0, End::Code(ALL_AGAIN)), running()]);
    let steps = |seen: &Observed| plan(&spec, seen, T).steps;
    assert_eq!(steps(&seen), [], "nothing before it is written down");
    begin(&spec, &mut seen, T);
    let kill = |container| Step::Kill { container, why: Why::RestartAll };
    assert_eq!(steps(&seen), [kill(1), kill(3)]);
    let holds = |seen: &Observed, kind| {
        let shown = status(&spec, seen, T).conditions;
        shown.into_iter().find(|each| each.kind == kind).map(|each| each.holds)
    };
    assert_eq!(holds(&seen, "AllContainersRestarting"), Some(Truth::True));
    for container in [1, 3] {
        let mut end = ended(0, End::Signal(9), T, T);
        end.verdict.asked = Some(Why::RestartAll);
        seen.containers[container].ended.push(end);
        seen.containers[container].state = State::Idle;
    }
    let start = |container| Step::Start { container, attempt: 1 };
    assert_eq!(steps(&seen), [start(0)]);
    assert_eq!(holds(&seen, "AllContainersRestarting"), Some(Truth::False));
    assert_eq!(holds(&seen, "Initialized"), Some(Truth::True), "what was initialized stays so");
    let shown = status(&spec, &seen, T);
    assert_eq!(shown.phase, Phase::Pending);
    for each in &shown.containers {
        assert!(matches!(each.state, ContainerState::Waiting { reason: "PodInitializing", .. }), "{each:?}");
        assert_eq!(each.last.as_ref().map(|last| last.id.attempt), Some(0));
    }
    let again = |n: u32, end| Seen { round_from: 1, ..Seen { next_attempt: n + 1, ..over(n, end) } };
    seen.containers[0] = again(1, End::Code(0));
    assert_eq!(steps(&seen), [start(1)]);
    seen.containers[1] = Seen { round_from: 1, next_attempt: 2, ..one(State::Running(live(1))) };
    assert_eq!(steps(&seen), [start(2), start(3)]);
    // An end of this round counts.
    seen.containers[2] = again(1, End::Code(0));
    seen.containers[3] = again(1, End::Code(1));
    assert_eq!(status(&spec, &seen, T).phase, Phase::Failed);
}

#[test]
fn who_asks_again_and_again_waits_longer_and_longer() {
    let spec = asking(RestartPolicy::Never, &[MAIN], 0);
    let mut seen = of(vec![over(0, End::Code(ALL_AGAIN))]);
    seen.containers[0].ended.push(ended(1, End::Code(ALL_AGAIN), T, T));
    seen.containers[0].next_attempt = 2;
    begin(&spec, &mut seen, T);
    assert_eq!(plan(&spec, &seen, T), Plan { steps: Vec::new(), wake_at: Some(secs(10)) });
    let shown = status(&spec, &seen, T).containers.remove(0);
    assert!(matches!(shown.state, ContainerState::Waiting { reason: "CrashLoopBackOff", .. }), "{shown:?}");
}

#[test]
fn a_round_begins_when_no_start_is_under_way() {
    let starting = Seen { busy: Some(ContainerActivity::Start), ..one(State::Idle) };
    let seen = of(vec![over(0, End::Code(ALL_AGAIN)), starting]);
    let spec = asking(RestartPolicy::Always, &[MAIN, MAIN], 0);
    assert!(round::called_for(&spec, &seen, T).is_some() && !round::may_begin(&seen));
    assert_eq!(plan(&spec, &seen, T).steps, [], "and nothing else begins meanwhile");
}
