//! What a failure leads to, by its cause: the annotations `carob.dev/restart` and `carob.dev/backoff`.

use super::*;
use crate::pod::{
    restart::{BackOff, Failing, OnFailing},
    verdict::{LimitOwner, Victim},
};

/// An attempt that ended in one way, by a letter.
fn way(letter: char, n: u32) -> Ended {
    let mut ended = ended(n, End::Signal(9), T, T);
    let oom = Cause::Oom { limit: LimitOwner::Node, victim: Victim::Main };
    let host = Cause::Signalled(Sender::Host { pid: Pid(8), comm: "kill".to_owned(), uid: 0 });
    let agent = |why| Cause::Signalled(Sender::Agent(why));
    let verdict = &mut ended.verdict;
    match letter {
        'o' => verdict.cause = oom,
        'k' => verdict.cause = host,
        'p' => (verdict.cause, verdict.asked) = (agent(Why::GraceExpired), Some(Why::Liveness)),
        'd' => (verdict.cause, verdict.asked) = (agent(Why::Delete), Some(Why::Delete)),
        'e' => (verdict.cause, verdict.code) = (Cause::Error, Some(1)),
        '0' => (verdict.cause, verdict.code) = (Cause::Completed, Some(0)),
        _ => (),
    }
    ended
}

fn container(policy: RestartPolicy, causes: &[(Failing, OnFailing)]) -> Container {
    let on_failing = causes.iter().copied().collect();
    Container { restart: Restart { on_failing, ..Restart::by(policy) }, ..Container::default() }
}

#[test]
fn a_cause_goes_before_the_policy() {
    use Failing::{Crash, Kill, Oom, Probe};
    use RestartPolicy::{Always, Never, OnFailure};
    let rows = [
        (Always, Oom, false, 'o', false),
        (Always, Oom, false, 'e', true),
        (Always, Crash, false, 'e', false),
        (Always, Crash, false, 's', false),
        (Always, Crash, false, '0', true),
        (Never, Kill, true, 'k', true),
        (Never, Kill, true, 'e', false),
        (Never, Probe, true, 'p', true),
        (Always, Probe, false, 'p', false),
        // What carob ends for another reason has not failed.
        (Always, Kill, false, 'd', true),
        (OnFailure, Oom, false, 'k', true),
    ];
    for (policy, cause, again, letter, expected) in rows {
        let wanted = container(policy, &[(cause, OnFailing { again: Some(again), backoff: None })]);
        assert_eq!(
            restart::wanted(&wanted, &way(letter, 0)),
            expected,
            "{policy:?} {cause:?} {again} {letter}"
        );
    }
}

#[test]
fn a_cause_has_a_back_off_of_its_own() {
    let secs = Duration::from_secs;
    let own = |first, most| OnFailing {
        again: None,
        backoff: Some(BackOff { first: secs(first), most: secs(most) }),
    };
    let causes = [(Failing::Oom, own(60, 60)), (Failing::Kill, own(0, 0)), (Failing::Crash, own(1, 300))];
    let wanted = container(RestartPolicy::Always, &causes);
    // Failures in a row, and the delay after each.
    let rows: [(&str, &[u64]); 6] = [
        ("ooo", &[60, 60, 60]),
        ("kkk", &[0, 0, 0]),
        ("eeee", &[1, 2, 4, 8]),
        ("eeoee", &[1, 2, 60, 1, 2]),
        ("eeeeeeeeeeee", &[1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300]),
        // The kubelet's own, which counts all of them.
        ("pp0", &[0, 10, 20]),
    ];
    for (letters, delays) in rows {
        let mut past = Vec::new();
        for (n, (letter, expected)) in letters.chars().zip(delays).enumerate() {
            past.push(way(letter, n as u32));
            let recent = &past[past.len().saturating_sub(restart::HISTORY)..];
            assert_eq!(restart::delay(&wanted, recent).as_secs(), *expected, "{letters}, failure {n}");
        }
    }
}
