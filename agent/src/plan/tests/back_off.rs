//! Whether and when there is another attempt.

use super::*;

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
