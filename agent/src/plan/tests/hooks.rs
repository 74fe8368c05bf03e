//! When hooks run, and what waits for them.

use super::*;
use crate::pod::probe::Action;

fn spec() -> Spec {
    let mut spec = super::spec(ALWAYS, 1);
    let nap = || Some(Action::Sleep { wait: Duration::from_secs(1) });
    spec.containers[0].lifecycle.post_start = nap();
    spec.containers[0].lifecycle.pre_stop = nap();
    spec
}

fn running(post_start: Progress, pre_stop: Progress) -> Observed {
    pod(Sandbox::Ready, Seen { hooks: Hooks { post_start, pre_stop }, ..one(State::Running(live(0))) })
}

#[track_caller]
fn check(seen: &Observed, now: Stamp, steps: &[Step], wake_at: Option<Stamp>) {
    assert_eq!(plan(&spec(), seen, now), Plan { steps: steps.to_vec(), wake_at }, "{seen:?}");
}

fn hook(hook: HookKind, until: Option<Stamp>) -> Step {
    Step::Hook { container: 0, hook, until }
}

fn term(why: Why, kill_at: Stamp) -> Step {
    Step::Terminate { container: 0, why, kill_at }
}

#[test]
fn post_start_runs_beside_the_container_and_ends_it_if_it_fails() {
    use Progress::{Done, Due, Failed, Running};
    check(&running(Due, Due), T, &[hook(HookKind::PostStart, None)], None);
    check(&running(Running, Due), T, &[], None);
    check(&running(Done, Due), T, &[], None);
    // Its preStop comes first here as well, in the time there is.
    let pre_stop = hook(HookKind::PreStop, Some(secs(30)));
    check(&running(Failed { at: T }, Due), T, &[pre_stop], Some(secs(30)));
    check(&running(Failed { at: T }, Done), T, &[term(Why::PostStart, secs(30))], Some(secs(30)));
    let started = |progress| status(&spec(), &running(progress, Due), T).containers[0].started;
    assert_eq!([Due, Running, Done].map(started), [false, false, true]);
}

#[test]
fn pre_stop_has_the_grace_period_and_sigterm_the_rest_of_it() {
    use Progress::{Done, Due, Failed, Running};
    let due = deleted(running(Done, Due));
    check(&due, T, &[hook(HookKind::PreStop, Some(secs(30)))], Some(secs(30)));
    check(&deleted(running(Done, Running)), secs(7), &[], Some(secs(30)));
    check(&deleted(running(Done, Done)), secs(7), &[term(Why::Delete, secs(30))], Some(secs(30)));
    check(&deleted(running(Done, Failed { at: T })), secs(7), &[term(Why::Delete, secs(30))], Some(secs(30)));
    // One that hangs does not get the grace period twice: two seconds, no more.
    check(&deleted(running(Done, Running)), secs(30), &[term(Why::Delete, secs(32))], Some(secs(32)));
    let mut at_once = due;
    at_once.deletion = Some(Deletion { since: T, grace: Duration::ZERO, why: Why::Delete });
    check(&at_once, T, &[term(Why::Delete, secs(2))], Some(secs(2)));
}

#[test]
fn the_hook_of_a_sidecar_does_not_wait_for_its_turn() {
    let mut spec = roles::spec(ALWAYS, &[Role::Sidecar, Role::Main]);
    for container in &mut spec.containers {
        container.lifecycle.pre_stop = Some(Action::Sleep { wait: Duration::from_secs(1) });
    }
    let each = || one(State::Running(live(0)));
    let both = Observed { containers: vec![each(), each()], ..pod(Sandbox::Ready, each()) };
    let begin = |container| Step::Hook { container, hook: HookKind::PreStop, until: Some(secs(30)) };
    assert_eq!(plan(&spec, &deleted(both), T).steps, [begin(0), begin(1)]);
}
