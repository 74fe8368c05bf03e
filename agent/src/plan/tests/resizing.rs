//! Limits that change while the pod runs (KEP-1287).

use super::{super::admit::Room, *};
use crate::{
    plan::resize::{Limits, Pending, pending},
    pod::Resources,
};

fn with(limits: Limits, containers: Vec<Seen>) -> Observed {
    Observed { limits, containers, ..pod(Sandbox::Ready, one(State::Idle)) }
}

fn running() -> Seen {
    Seen { next_attempt: 1, ..one(State::Running(live(0))) }
}

fn shown(seen: &Observed) -> Vec<(&'static str, Option<&'static str>)> {
    let status = status(&spec(ALWAYS, seen.containers.len()), seen, T);
    let of_resize = status.conditions.into_iter().filter(|each| each.kind.starts_with("PodResize"));
    of_resize.map(|each| (each.kind, each.reason)).collect()
}

#[test]
fn new_limits_are_written_before_anything_starts() {
    let limit = |attempts: &[(usize, u32)]| Step::Limit { attempts: attempts.to_vec() };
    let start = Step::Start { container: 1, attempt: 0 };
    let both = || vec![running(), one(State::Idle)];
    check(ALWAYS, &with(Limits::Written, both()), T, std::slice::from_ref(&start), None);
    check(ALWAYS, &with(Limits::Changed, both()), T, &[limit(&[(0, 0)])], None);
    check(ALWAYS, &with(Limits::Unsure, both()), T, &[limit(&[(0, 0)])], None);
    // Who is ended for it gets the new limits with its next attempt.
    let replaced = Seen { replaced: Some(0), ..running() };
    check(ALWAYS, &with(Limits::Changed, vec![replaced, running()]), T, &[limit(&[(1, 0)])], None);
    // What is just being started would not be among them.
    let starting = Seen { busy: Some(ContainerActivity::Start), ..one(State::Idle) };
    check(ALWAYS, &with(Limits::Changed, vec![running(), starting]), T, &[], None);
    let busy = Observed { busy: [PodActivity::Limit].into(), ..with(Limits::Changed, both()) };
    check(ALWAYS, &busy, T, &[], None);
    // What could not be written is tried again, and holds up nobody.
    check(ALWAYS, &with(Limits::Failed(failure(1)), both()), T, &[start], Some(secs(10)));
    check(ALWAYS, &with(Limits::Failed(failure(1)), both()), secs(10), &[limit(&[(0, 0)])], None);
}

#[test]
fn a_resize_is_told_while_it_lasts() {
    let doing = "PodResizeInProgress";
    assert_eq!(shown(&with(Limits::Written, vec![running()])), []);
    assert_eq!(shown(&with(Limits::Unsure, vec![running()])), []);
    assert_eq!(shown(&with(Limits::Changed, vec![running()])), [(doing, None)]);
    assert_eq!(shown(&with(Limits::Failed(failure(1)), vec![running()])), [(doing, Some("Error"))]);
    let mut waits = with(Limits::Written, vec![running()]);
    waits.pending = Some(Pending { reason: "Deferred", message: String::new() });
    assert_eq!(shown(&waits), [("PodResizePending", Some("Deferred"))]);
}

#[test]
fn a_pod_gets_what_the_others_leave() {
    let room = |cpu, memory| Room { cpu, memory, pods: 1 };
    let rows = [
        (1000, 100, None),
        (2000, 0, Some(("Deferred", "the pod asks for 2000m of cpu, the node has left 1000m"))),
        (0, 200, Some(("Deferred", "the pod asks for 200 bytes of memory, the node has left 100 bytes"))),
        (5000, 200, Some(("Infeasible", "the pod asks for 5000m of cpu, the node has 4000m"))),
    ];
    for (cpu, memory, expected) in rows {
        let mut asked = spec(ALWAYS, 1);
        let (cpu_request, memory_request) = (Some(cpu), Some(memory));
        asked.containers[0].resources = Resources { cpu_request, memory_request, ..Resources::default() };
        let found = pending(&asked, room(4000, 400), room(1000, 100));
        let found = found.as_ref().map(|found| (found.reason, found.message.as_str()));
        assert_eq!(found, expected);
    }
}
