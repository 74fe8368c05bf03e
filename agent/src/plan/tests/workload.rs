//! Workloads: rows of what is due, and a seeded walk that always comes to rest.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use super::super::workload::{Change, Verdict, changes, verdict};
use crate::pod::{
    PodUid, Stamp,
    workload::{Job, Life, Pace, Renewal, Replica, Shape, Workload},
};

const JOB: Job = Job {
    completions: Some(1),
    indexed: false,
    parallelism: 1,
    retries: 1,
    restarts_count: false,
    succeeded: 0,
    failed: 0,
    deadline: None,
    over: false,
};
const NOW: Stamp = Stamp(1_000_000_000_000);

fn workload(shape: Shape) -> Workload {
    Workload { name: "w".to_owned(), shape, template: "new".to_owned(), done: BTreeSet::new() }
}

/// `name:template:life`, with r(eady), u(nready), s(ucceeded), f(ailed), g(oing); a number of restarts may follow.
fn pods(text: &str) -> Vec<Replica> {
    let one = |word: &str| {
        let parts: Vec<&str> = word.split(':').collect();
        let life = match parts[2] {
            "r" => Life::Ready,
            "u" => Life::Unready,
            "s" => Life::Succeeded,
            "f" => Life::Failed,
            _ => Life::Going,
        };
        Replica {
            name: parts[0].to_owned(),
            uid: PodUid(parts[0].to_owned()),
            template: parts[1].to_owned(),
            place: parts[0].strip_prefix("at").map(|place| place.parse().unwrap()),
            life,
            restarts: parts.get(3).map_or(0, |number| number.parse().unwrap()),
            ended: None,
        }
    };
    text.split_whitespace().map(one).collect()
}

/// `+` for a pod to be made, `+2` for place 2, `-name` for one to be deleted.
fn said(change: &Change) -> String {
    match change {
        Change::Make { ordinal: None } => "+".to_owned(),
        Change::Make { ordinal: Some(place) } => format!("+{place}"),
        Change::Delete { uid } => format!("-{uid}"),
    }
}

#[track_caller]
fn check(shape: Shape, there: &str, expected: &str) {
    let found: Vec<String> = changes(&workload(shape), &pods(there), NOW).now.iter().map(said).collect();
    assert_eq!(found.join(" "), expected, "{shape:?} with {there:?}");
}

fn set(replicas: u32, renewal: Renewal) -> Shape {
    Shape::Set { replicas, renewal }
}

#[test]
fn a_set_has_as_many_pods_as_it_should() {
    let keep = |replicas| set(replicas, Renewal::Never);
    check(keep(2), "", "+ +");
    check(keep(2), "a:new:u", "+");
    check(keep(2), "a:new:r b:new:u", "");
    check(keep(2), "a:new:r b:new:g", "+");
    check(keep(1), "a:new:r b:new:u", "-b");
    check(keep(0), "a:new:r", "-a");
    check(keep(1), "a:new:f", "-a +");
    check(keep(1), "a:old:r", "");
    check(keep(1), "a:old:r b:new:r", "-a");
}

#[test]
fn a_deployment_has_a_new_pod_ready_before_an_old_one_goes() {
    let two = set(2, Renewal::Before);
    check(two, "a:old:r b:old:r", "+");
    check(two, "a:old:r b:old:r c:new:u", "");
    check(two, "a:old:r b:old:r c:new:r", "-a");
    check(two, "a:old:g b:old:r c:new:r", "+");
    check(two, "b:old:r c:new:r d:new:u", "");
    check(two, "b:old:r c:new:r d:new:r", "-b");
    check(two, "c:new:r d:new:r", "");
    // Scaled down to nothing, nothing new is made.
    check(set(0, Renewal::Before), "a:old:r", "-a");
}

#[test]
fn where_no_two_may_be_at_a_time_the_old_goes_first() {
    let one = set(1, Renewal::After);
    check(one, "", "+");
    check(one, "a:old:r", "-a");
    check(one, "a:old:g", "");
    check(one, "b:new:u", "");
    let all = set(2, Renewal::Recreate);
    check(all, "a:old:r b:old:u", "-a -b");
    check(all, "a:old:g b:old:g", "");
    check(all, "b:old:g", "+");
    check(all, "", "+ +");
}

#[test]
fn a_stateful_set_goes_by_its_places() {
    let ordered = |pace, renewal| Shape::Ordered { replicas: 3, start: 0, pace, renewal };
    let (slow, fast) = (ordered(Pace::InOrder, Renewal::After), ordered(Pace::Parallel, Renewal::After));
    check(slow, "", "+0");
    check(fast, "", "+0 +1 +2");
    check(slow, "w-0:new:u", "");
    check(slow, "w-0:new:r", "+1");
    check(slow, "w-0:new:r w-1:new:g w-2:new:r", "");
    check(slow, "w-0:old:r w-1:old:r w-2:old:r", "-w-2");
    check(slow, "w-0:old:r w-1:old:r w-2:new:u", "");
    check(slow, "w-0:old:r w-1:old:r w-2:new:r", "-w-1");
    check(slow, "w-0:old:r w-1:old:u w-2:new:r", "-w-1");
    check(slow, "w-0:new:r w-1:new:r w-2:new:r w-3:new:r w-4:new:r", "-w-4");
    check(slow, "w-0:new:r w-1:new:r w-2:new:r w-3:new:r w-4:new:g", "");
    check(fast, "w-0:new:r w-1:new:r w-2:new:r w-3:new:r w-4:new:r", "-w-4 -w-3");
    check(slow, "w-0:new:f", "-w-0");
    let by_hand = ordered(Pace::InOrder, Renewal::Never);
    check(by_hand, "w-0:old:r w-1:old:r w-2:old:r", "");
}

#[test]
fn a_job_runs_until_enough_have_succeeded() {
    let job = |completions, parallelism| Shape::Job(Job { completions, parallelism, ..JOB });
    check(job(Some(1), 1), "", "+");
    check(job(Some(3), 2), "", "+ +");
    check(job(Some(3), 2), "a:new:s b:new:r", "+");
    check(job(Some(3), 2), "a:new:s b:new:s c:new:r", "");
    check(job(Some(3), 2), "a:new:s b:new:s c:new:s", "");
    check(job(Some(1), 1), "a:new:f", "+");
    check(job(Some(1), 1), "a:new:f b:new:f", "");
    check(job(Some(2), 2), "a:new:f b:new:f c:new:r", "-c");
    check(job(Some(4), 0), "a:new:r", "-a");
    check(job(None, 2), "", "+ +");
    check(job(None, 2), "a:new:s b:new:u", "");
    check(Shape::Job(Job { over: true, ..JOB }), "", "");
    check(Shape::Job(Job { succeeded: 1, ..JOB }), "", "");
}

/// `at3` is a pod of place 3.
#[test]
fn an_indexed_job_has_a_success_at_each_place() {
    let job = Job { completions: Some(4), indexed: true, parallelism: 2, retries: 6, ..JOB };
    let shape = Shape::Job(job);
    check(shape, "", "+0 +1");
    check(shape, "at0:new:r at1:new:r", "");
    check(shape, "at0:new:r at1:new:s", "+2");
    check(shape, "at0:new:g at1:new:s", "+2");
    check(shape, "at0:new:f at1:new:r", "+0");
    check(shape, "at0:new:s at1:new:s at2:new:s at3:new:r", "");
    let done = Workload { done: [0, 2].into(), ..workload(Shape::Job(Job { succeeded: 2, ..job })) };
    let found = changes(&done, &[], NOW).now;
    assert_eq!(found.iter().map(said).collect::<Vec<_>>(), ["+1", "+3"]);
    let all = Job { succeeded: 3, ..job };
    assert_eq!(verdict(&all, &pods("at1:new:s"), NOW), Some(Verdict::Complete));
}

#[test]
fn a_job_ends_as_kubernetes_ends_it() {
    let rows = [
        (JOB, "", None),
        (JOB, "a:new:s", Some(Verdict::Complete)),
        (JOB, "a:new:f", None),
        (JOB, "a:new:f b:new:f", Some(Verdict::BackoffLimitExceeded)),
        (Job { failed: 1, ..JOB }, "b:new:f", Some(Verdict::BackoffLimitExceeded)),
        (Job { retries: 0, ..JOB }, "a:new:f", Some(Verdict::BackoffLimitExceeded)),
        (JOB, "a:new:u:9", None),
        (Job { restarts_count: true, retries: 2, ..JOB }, "a:new:u:1", None),
        (Job { restarts_count: true, retries: 2, ..JOB }, "a:new:u:2", Some(Verdict::BackoffLimitExceeded)),
        (Job { restarts_count: true, retries: 0, ..JOB }, "a:new:u:1", Some(Verdict::BackoffLimitExceeded)),
        (Job { completions: None, ..JOB }, "a:new:s b:new:u", None),
        (Job { completions: None, ..JOB }, "a:new:s b:new:f", Some(Verdict::Complete)),
        (Job { deadline: Some(NOW), ..JOB }, "a:new:u", Some(Verdict::DeadlineExceeded)),
    ];
    for (job, there, expected) in rows {
        assert_eq!(verdict(&job, &pods(there), NOW), expected, "{job:?} {there}");
    }
}

#[test]
fn a_job_rests_longer_after_each_failure_in_a_row() {
    let shape = Shape::Job(Job { retries: 9, ..JOB });
    let ago = |life, seconds: u64| Replica {
        life,
        ended: Some(Stamp(NOW.0 - seconds * 1_000_000_000)),
        ..pods("a:new:f").remove(0)
    };
    let rows = [
        (vec![ago(Life::Failed, 9)], Some(1)),
        (vec![ago(Life::Failed, 10)], None),
        (vec![ago(Life::Failed, 60), ago(Life::Failed, 19)], Some(1)),
        (vec![ago(Life::Failed, 60), ago(Life::Failed, 20)], None),
    ];
    for (there, rest) in rows {
        let due = changes(&workload(shape), &there, NOW);
        let wake_at = rest.map(|seconds| NOW.after(Duration::from_secs(seconds)));
        assert_eq!((due.now.is_empty(), due.wake_at), (rest.is_some(), wake_at), "{there:?}");
    }
}

/// What a box does with the changes, in an order that a seed chooses: pods come up, fail, go; the template changes.
struct Box {
    pods: BTreeMap<String, Replica>,
    made: u32,
    seed: u64,
}

impl Box {
    fn chance(&mut self, of: u64) -> bool {
        self.seed ^= self.seed << 13;
        self.seed ^= self.seed >> 7;
        self.seed ^= self.seed << 17;
        self.seed.is_multiple_of(of)
    }

    fn carry_out(&mut self, workload: &Workload, change: &Change) {
        match change {
            Change::Make { ordinal } => {
                self.made += 1;
                let name = ordinal.map_or(format!("x{}", self.made), |place| format!("w-{place}"));
                let uid = PodUid(format!("{name}/{}", self.made));
                let template = workload.template.clone();
                let pod = Replica {
                    name: name.clone(),
                    uid,
                    template,
                    place: *ordinal,
                    life: Life::Unready,
                    restarts: 0,
                    ended: None,
                };
                assert!(self.pods.insert(name, pod).is_none(), "a name is taken");
            }
            Change::Delete { uid } => {
                let pod = self.pods.values_mut().find(|pod| pod.uid == *uid).unwrap();
                pod.life = Life::Going;
            }
        }
    }

    fn live_on(&mut self, ends: bool) {
        let names: Vec<String> = self.pods.keys().cloned().collect();
        for name in names {
            let (moves, breaks) = (self.chance(2), ends && self.chance(8));
            let pod = self.pods.get_mut(&name).unwrap();
            match pod.life {
                Life::Going if moves => drop(self.pods.remove(&name)),
                _ if breaks => pod.life = Life::Failed,
                Life::Unready if moves => pod.life = Life::Ready,
                _ => (),
            }
        }
    }
}

#[test]
fn every_workload_comes_to_rest_with_what_it_asks_for() {
    let shapes = [
        (set(3, Renewal::Never), 3, 3),
        (set(3, Renewal::Before), 3, 4),
        (set(1, Renewal::After), 1, 1),
        (set(2, Renewal::Recreate), 2, 2),
        (Shape::Ordered { replicas: 3, start: 1, pace: Pace::InOrder, renewal: Renewal::After }, 3, 3),
        (Shape::Ordered { replicas: 3, start: 0, pace: Pace::Parallel, renewal: Renewal::After }, 3, 3),
    ];
    for (shape, wanted, most) in shapes {
        for seed in 1..200 {
            let mut world = Box { pods: BTreeMap::new(), made: 0, seed: seed * 0x9E37_79B9 };
            let mut asked = workload(shape);
            for turn in 0..300 {
                if turn == 40 {
                    asked.template = "newer".to_owned();
                }
                let there: Vec<Replica> = world.pods.values().cloned().collect();
                for change in changes(&asked, &there, NOW).now {
                    world.carry_out(&asked, &change);
                }
                let alive = world.pods.values().filter(|pod| matches!(pod.life, Life::Ready | Life::Unready));
                assert!(alive.count() <= most, "{shape:?} seed {seed} turn {turn}");
                world.live_on(turn < 150);
            }
            let all_new = !matches!(shape, Shape::Set { renewal: Renewal::Never, .. });
            let fits = |pod: &Replica| pod.life == Life::Ready && (!all_new || pod.template == "newer");
            assert!(
                world.pods.len() == wanted && world.pods.values().all(fits),
                "{shape:?} seed {seed}: {:?}",
                world.pods
            );
        }
    }
}
