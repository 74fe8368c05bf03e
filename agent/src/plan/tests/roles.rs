//! Init containers, sidecars, deadlines: who starts when, who goes when, and what is shown meanwhile.

use super::*;
use crate::pod::status::{PodStatus, Truth};

const INIT: Role = Role::Init;
const SIDE: Role = Role::Sidecar;
const MAIN: Role = Role::Main;
const ADDED: Role = Role::Ephemeral;

/// A pod of such containers, each with the restart policy that its role makes of the pod's.
pub(super) fn spec(policy: RestartPolicy, roles: &[Role]) -> Spec {
    let mut spec = super::spec(policy, roles.len());
    for (container, role) in spec.containers.iter_mut().zip(roles) {
        container.role = *role;
        container.restart = Restart::by(match (role, policy) {
            (Role::Sidecar, _) => RestartPolicy::Always,
            (Role::Init, RestartPolicy::Always) => RestartPolicy::OnFailure,
            (Role::Ephemeral, _) => RestartPolicy::Never,
            _ => policy,
        });
    }
    spec
}

fn idle() -> Seen {
    one(State::Idle)
}

fn running() -> Seen {
    one(State::Running(live(0)))
}

fn done() -> Seen {
    over(0, End::Code(0))
}

fn failed() -> Seen {
    over(0, End::Code(1))
}

fn of(containers: Vec<Seen>) -> Observed {
    Observed { containers, ..pod(Sandbox::Ready, idle()) }
}

#[track_caller]
fn check(
    policy: RestartPolicy,
    roles: &[Role],
    seen: &Observed,
    now: Stamp,
    steps: &[Step],
    wake_at: Option<Stamp>,
) {
    let expected = Plan { steps: steps.to_vec(), wake_at };
    assert_eq!(plan(&spec(policy, roles), seen, now), expected, "{roles:?} {seen:?}");
}

fn start(container: usize) -> Step {
    Step::Start { container, attempt: 0 }
}

fn stop(container: usize, why: Why, kill_at: Stamp) -> Step {
    Step::Terminate { container, why, kill_at }
}

#[test]
fn what_is_added_runs_once_beside_the_others_and_decides_nothing() {
    let (always, never) = (RestartPolicy::Always, RestartPolicy::Never);
    let roles = [INIT, MAIN, ADDED];
    // Nobody waits for it, and it waits for nobody.
    check(always, &roles, &of(vec![idle(), idle(), idle()]), T, &[start(0), start(2)], None);
    check(always, &roles, &of(vec![running(), idle(), running()]), T, &[], None);
    check(always, &roles, &of(vec![done(), idle(), failed()]), T, &[start(1)], None);
    // It is never run again.
    check(always, &roles, &of(vec![done(), running(), done()]), T, &[], None);
    check(always, &roles, &of(vec![done(), running(), failed()]), T, &[], None);
    // The pod is over without it, and then it has to go.
    let seen = of(vec![done(), done(), running()]);
    let shown = status(&spec(never, &roles), &seen, T);
    assert_eq!(shown.phase, Phase::Succeeded);
    assert!(matches!(plan(&spec(never, &roles), &seen, T).steps[..], [Step::Terminate { container: 2, .. }]));
    // Nor does it count for what is shown.
    let seen = of(vec![done(), running(), failed()]);
    let shown = status(&spec(always, &roles), &seen, T);
    let ready = shown.conditions.iter().find(|condition| condition.kind == "Ready").map(|one| one.holds);
    assert_eq!((shown.phase, ready), (Phase::Running, Some(Truth::True)));
    let seen = of(vec![idle(), idle(), running()]);
    assert_eq!(status(&spec(always, &roles), &seen, T).phase, Phase::Pending);
}

#[test]
fn containers_start_in_their_turn() {
    let roles = [INIT, SIDE, INIT, MAIN, MAIN];
    let rows = [
        (vec![idle(), idle(), idle(), idle(), idle()], vec![start(0)]),
        (vec![running(), idle(), idle(), idle(), idle()], vec![]),
        (vec![done(), idle(), idle(), idle(), idle()], vec![start(1)]),
        (vec![done(), running(), idle(), idle(), idle()], vec![start(2)]),
        (vec![done(), running(), running(), idle(), idle()], vec![]),
        (vec![done(), running(), done(), idle(), idle()], vec![start(3), start(4)]),
        // A sidecar that ends holds nobody up any more, and is started again.
        (
            vec![done(), done(), done(), running(), idle()],
            vec![Step::Start { container: 1, attempt: 1 }, start(4)],
        ),
        (vec![done(), failed(), running(), idle(), idle()], vec![Step::Start { container: 1, attempt: 1 }]),
    ];
    for (containers, steps) in rows {
        check(ALWAYS, &roles, &of(containers), secs(0), &steps, None);
    }
}

#[test]
fn an_init_container_that_fails_is_tried_again_or_ends_the_pod() {
    let again = Step::Start { container: 0, attempt: 1 };
    let seen = of(vec![failed(), idle()]);
    check(ALWAYS, &[INIT, MAIN], &seen, T, std::slice::from_ref(&again), None);
    check(RestartPolicy::OnFailure, &[INIT, MAIN], &seen, T, &[again], None);
    check(RestartPolicy::Never, &[INIT, MAIN], &seen, T, &[Step::RemoveSandbox], None);
    // The sidecar before it goes as well, and no sidecar is asked to wait for itself.
    let seen = of(vec![running(), failed(), idle()]);
    check(
        RestartPolicy::Never,
        &[SIDE, INIT, MAIN],
        &seen,
        T,
        &[stop(0, Why::PodOver, secs(30))],
        Some(secs(30)),
    );
}

#[test]
fn after_a_reboot_init_containers_run_again() {
    let mut seen = of(vec![done(), failed()]);
    for each in &mut seen.containers {
        each.ended[0].boot = BootId("earlier".to_owned());
    }
    let again = |container| Step::Start { container, attempt: 1 };
    check(ALWAYS, &[INIT, MAIN], &seen, T, &[again(0)], None);
    check(RestartPolicy::Never, &[INIT, MAIN], &seen, T, &[Step::RemoveSandbox], None);
}

#[test]
fn sidecars_go_last_and_in_reverse() {
    let roles = [SIDE, SIDE, MAIN];
    let gone = Seen { next_attempt: 1, ..one(State::Idle) };
    let stops = || one(stopping());
    let rows = [
        (vec![running(), running(), running()], 0, vec![stop(2, Why::Delete, secs(30))]),
        (vec![running(), running(), stops()], 1, vec![]),
        (vec![running(), running(), gone.clone()], 5, vec![stop(1, Why::Delete, secs(30))]),
        (vec![running(), stops(), gone.clone()], 5, vec![]),
        (vec![running(), gone.clone(), gone.clone()], 29, vec![stop(0, Why::Delete, secs(31))]),
        // Whoever has not had its turn by then is asked all the same, and gets two seconds.
        (
            vec![running(), running(), one(State::Killed(live(0)))],
            30,
            vec![stop(0, Why::Delete, secs(32)), stop(1, Why::Delete, secs(32))],
        ),
    ];
    for (containers, now, steps) in rows {
        let found = plan(&spec(ALWAYS, &roles), &deleted(of(containers.clone())), secs(now));
        assert_eq!(found.steps, steps, "{containers:?}");
        assert!(!steps.is_empty() || found.wake_at == Some(secs(30)), "{found:?}");
    }
}

#[test]
fn a_pod_is_over_when_its_main_containers_are_and_sidecars_go_then() {
    let mut seen = of(vec![running(), done()]);
    seen.containers[1].ended[0].verdict.finished = secs(7);
    let go = [stop(0, Why::PodOver, secs(37))];
    check(RestartPolicy::Never, &[SIDE, MAIN], &seen, secs(7), &go, Some(secs(37)));
    check(RestartPolicy::OnFailure, &[SIDE, MAIN], &seen, secs(7), &go, Some(secs(37)));
    assert_eq!(status(&spec(RestartPolicy::Never, &[SIDE, MAIN]), &seen, secs(8)).phase, Phase::Succeeded);
    // It is not started again, though its own policy says Always.
    check(RestartPolicy::Never, &[SIDE, MAIN], &of(vec![failed(), done()]), T, &[Step::RemoveSandbox], None);
}

#[test]
fn a_deadline_ends_the_pod() {
    let mut spec = spec(ALWAYS, &[MAIN]);
    spec.deadline = Some(Duration::from_secs(60));
    let seen = of(vec![running()]);
    assert_eq!(plan(&spec, &seen, secs(59)), Plan { steps: vec![], wake_at: Some(secs(60)) });
    let steps = vec![stop(0, Why::Deadline, secs(90))];
    assert_eq!(plan(&spec, &seen, secs(60)), Plan { steps, wake_at: Some(secs(90)) });
    let shown = |seen: &Observed, now| {
        let PodStatus { phase, reason, .. } = status(&spec, seen, now);
        (phase, reason)
    };
    assert_eq!(shown(&seen, secs(59)), (Phase::Running, None));
    let exceeded = Some("DeadlineExceeded".to_owned());
    assert_eq!(shown(&seen, secs(61)), (Phase::Running, exceeded.clone()));
    let early = overdue(&spec, &seen, secs(61)).unwrap();
    let ended = |ended: Seen| Observed { early: Some(early.clone()), ..of(vec![ended]) };
    assert_eq!(shown(&ended(failed()), secs(61)), (Phase::Failed, exceeded.clone()));
    // Also in another boot, whose clock starts again, and whoever has ended it: it is not started anew.
    let mut killed = failed();
    killed.ended[0].boot = BootId("earlier".to_owned());
    let seen = ended(killed);
    assert_eq!(shown(&seen, secs(1)), (Phase::Failed, exceeded));
    assert_eq!(plan(&spec, &seen, secs(1)).steps, [Step::RemoveSandbox]);
}

#[test]
fn the_phase_is_pending_until_all_init_containers_are_through() {
    use RestartPolicy::{Never, OnFailure};
    let rows: Vec<(RestartPolicy, Vec<Role>, Vec<Seen>, Phase)> = vec![
        (ALWAYS, vec![INIT, MAIN], vec![running(), idle()], Phase::Pending),
        (ALWAYS, vec![INIT, MAIN], vec![failed(), idle()], Phase::Pending),
        (Never, vec![INIT, MAIN], vec![failed(), idle()], Phase::Failed),
        (ALWAYS, vec![INIT, MAIN], vec![done(), idle()], Phase::Pending),
        (ALWAYS, vec![INIT, MAIN], vec![done(), running()], Phase::Running),
        (ALWAYS, vec![SIDE, MAIN], vec![running(), idle()], Phase::Pending),
        (ALWAYS, vec![SIDE, MAIN], vec![failed(), running()], Phase::Running),
        (OnFailure, vec![SIDE, MAIN], vec![running(), failed()], Phase::Running),
        (OnFailure, vec![SIDE, MAIN], vec![failed(), done()], Phase::Succeeded),
    ];
    for (policy, roles, containers, phase) in rows {
        let seen = of(containers);
        assert_eq!(status(&spec(policy, &roles), &seen, T).phase, phase, "{policy:?} {roles:?} {seen:?}");
    }
}

#[test]
fn conditions_name_the_containers_that_are_waited_for() {
    let seen = of(vec![running(), idle(), idle()]);
    let shown = status(&spec(ALWAYS, &[INIT, INIT, MAIN]), &seen, T);
    let said = |kind: &str| {
        let found = shown.conditions.iter().find(|condition| condition.kind == kind).unwrap();
        (found.holds, found.reason, found.message.clone().unwrap_or_default())
    };
    let incomplete = "containers with incomplete status: [c0 c1]".to_owned();
    assert_eq!(said("Initialized"), (Truth::False, Some("ContainersNotInitialized"), incomplete));
    let unready = "containers with unready status: [c2]".to_owned();
    assert_eq!(said("Ready"), (Truth::False, Some("ContainersNotReady"), unready.clone()));
    assert_eq!(said("ContainersReady"), (Truth::False, Some("ContainersNotReady"), unready));
    assert_eq!(said("PodScheduled"), (Truth::True, None, String::new()));
    let waits = |index: usize| match &shown.containers[index].state {
        ContainerState::Waiting { reason, .. } => *reason,
        other => panic!("{other:?}"),
    };
    assert_eq!((waits(1), waits(2)), ("PodInitializing", "PodInitializing"));
}
