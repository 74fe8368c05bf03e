//! What people outside may hold up.

use super::*;

#[test]
fn gates_hold_up_the_start_and_the_readiness_of_a_pod() {
    let gated = Observed { held: Some(Held::Gated), ..pod(Sandbox::Absent, one(State::Idle)) };
    check(ALWAYS, &gated, T, &[], None);
    let shown = status(&spec(ALWAYS, 1), &gated, T);
    assert_eq!(shown.conditions[0].reason, Some("SchedulingGated"));

    let spec = Spec { readiness_gates: vec!["a/b".to_owned(), "c".to_owned()], ..spec(ALWAYS, 1) };
    let absent = "corresponding condition of pod readiness gate \"c\" does not exist.";
    let other = absent.replace("\"c\"", "\"a/b\"");
    let rows = [
        (vec![("a/b", "True"), ("c", "True")], None),
        (vec![("a/b", "True")], Some(absent)),
        (
            vec![("a/b", "True"), ("c", "False")],
            Some("the status of pod readiness gate \"c\" is not \"True\", but False"),
        ),
        (vec![("c", "True"), ("d", "False")], Some(other.as_str())),
    ];
    for (told, why) in rows {
        let gates = told.iter().map(|(kind, status)| ((*kind).to_owned(), (*status).to_owned())).collect();
        let seen = Observed { gates, ..pod(Sandbox::Ready, one(State::Running(live(0)))) };
        let shown = status(&spec, &seen, T);
        let of = |kind: &str| shown.conditions.iter().find(|one| one.kind == kind).unwrap();
        assert_eq!(of("ContainersReady").holds, Truth::True);
        let ready = of("Ready");
        assert_eq!((ready.holds == Truth::True, ready.message.as_deref()), (why.is_none(), why), "{told:?}");
        assert_eq!(ready.reason, why.map(|_| "ReadinessGatesNotReady"));
    }
}
