//! The ledger over restarts and power cuts.

use super::*;
use crate::{
    picture::Total,
    pod::{
        counts::Counts,
        flight::Flight,
        verdict::{LimitOwner, Source, Verdict, Victim, Why},
    },
    store::{
        End, Row, Selector, Store,
        scratch::{Scratch, commits, pod},
    },
};

fn id(pod: &str, attempt: u32) -> AttemptId {
    AttemptId { uid: PodUid(format!("uid-{pod}")), container: "main".to_owned(), attempt }
}

fn attempt(pod: &str, number: u32) -> Attempt {
    Attempt {
        id: id(pod, number),
        pod: PodName { namespace: "default".to_owned(), name: pod.to_owned() },
        boot: BootId("boot".to_owned()),
        image: "busybox:1.36".to_owned(),
        image_id: "sha256:1".to_owned(),
        process: Some(Process {
            cgroup: CgroupId(u64::MAX),
            pid: Pid(7),
            start_ticks: u64::MAX - 1,
            started: Stamp(12),
        }),
    }
}

fn ended(pod: &str, attempt: u32) -> Ended {
    let limit = LimitOwner::Ancestor { path: "a/b".to_owned(), bytes: u64::MAX };
    Ended {
        id: id(pod, attempt),
        boot: BootId("boot".to_owned()),
        started: Some(Stamp(12)),
        verdict: Verdict {
            code: Some(137),
            signal: Some(9),
            core: false,
            cause: Cause::Oom { limit, victim: Victim::Child },
            asked: Some(Why::Delete),
            cpu_ns: Some(3),
            peak_memory: Some(1 << 40),
            finished: Stamp(99),
            source: Source::Kernel,
        },
        said: Some("words".to_owned()),
        flight: Some(Box::new(Flight { most_memory: Some(u64::MAX), ..Flight::default() })),
    }
}

fn total(pod: &str, count: u64) -> Total {
    Total {
        pod: PodName { namespace: "default".to_owned(), name: pod.to_owned() },
        container: "main".to_owned(),
        reason: "OOMKilled".to_owned(),
        signal: 9,
        cause: "oom".to_owned(),
        limit: "ancestor".to_owned(),
        victim: "child".to_owned(),
        count,
    }
}

async fn kill(journal: &Journal, pod: &str, attempt: u32) -> Result<Counted, Error> {
    journal.end(&ended(pod, attempt), "OOMKilled", "oom").await
}

#[tokio::test]
async fn what_was_written_is_read_again_after_a_restart() {
    let scratch = Scratch::new();
    let journal = Store::open(&scratch.database()).unwrap().journal();
    for number in 0..3 {
        journal.begin(&attempt("a", number)).await.unwrap();
    }
    kill(&journal, "a", 0).await.unwrap();
    kill(&journal, "a", 1).await.unwrap();
    let again = journal.begin(&attempt("a", 2)).await.unwrap_err();
    assert_eq!(again.to_string(), "the attempt uid-a_main_2 is in the ledger already");
    drop(journal);

    let journal = Store::open(&scratch.database()).unwrap().journal();
    let end = |number| {
        Some(End { ended: ended("a", number), reason: "OOMKilled".to_owned(), cause: "oom".to_owned() })
    };
    let rows = vec![
        Row { attempt: attempt("a", 0), end: end(0), counts: None },
        Row { attempt: attempt("a", 1), end: end(1), counts: None },
        Row { attempt: attempt("a", 2), end: None, counts: None },
    ];
    assert_eq!(journal.ledger(Selector::default()).await.unwrap(), rows);
    assert_eq!(journal.history(&id("a", 0).uid, "main", 2).await.unwrap(), rows[1..]);
    let first = attempt("a", 0).process.map(|process| process.started);
    assert_eq!(journal.first_start(&id("a", 0).uid, &attempt("a", 0).boot).await.unwrap(), first);
    let other = BootId("another".to_owned());
    assert_eq!(journal.first_start(&id("a", 0).uid, &other).await.unwrap(), None);
    assert_eq!(journal.open_attempts().await.unwrap(), [attempt("a", 2)]);
    assert_eq!(journal.totals().await.unwrap(), [total("a", 2)]);
}

#[tokio::test]
async fn an_end_that_is_told_twice_is_counted_once() {
    let scratch = Scratch::new();
    let journal = Store::open(&scratch.database()).unwrap().journal();
    journal.begin(&attempt("a", 0)).await.unwrap();
    assert_eq!(kill(&journal, "a", 0).await.unwrap(), Counted::Now);
    let before = commits(&scratch.database());
    assert_eq!(journal.end(&ended("a", 0), "Error", "host").await.unwrap(), Counted::Before);
    assert_eq!(commits(&scratch.database()), before);
    assert_eq!(journal.totals().await.unwrap(), [total("a", 1)]);
    let rows = journal.ledger(Selector::default()).await.unwrap();
    assert_eq!(rows[0].end.as_ref().unwrap().reason, "OOMKilled");
}

#[tokio::test]
async fn what_is_counted_is_added_once_and_outlives_its_rows() {
    let scratch = Scratch::new();
    let store = Store::open(&scratch.database()).unwrap();
    let journal = store.journal();
    store.objects().create(Kind::Pod, pod("a")).await.unwrap();
    let in_cgroup = |number: u32, cgroup: u64| {
        let mut attempt = attempt("a", number);
        attempt.process.as_mut().unwrap().cgroup = CgroupId(cgroup);
        attempt
    };
    for (number, cgroup) in [(0, 7), (1, u64::MAX)] {
        journal.begin(&in_cgroup(number, cgroup)).await.unwrap();
        kill(&journal, "a", number).await.unwrap();
    }
    let counts = Counts { main_exits: 1, other_exits: 5, oom_kills: 2, lost_records: 3 };
    let boot = attempt("a", 0).boot;
    let whose = Some((id("a", 0).uid, "main".to_owned()));
    for (boot, cgroup, expected) in [
        (boot.clone(), 7, whose.clone()),
        (boot.clone(), 7, None),
        (BootId("another".to_owned()), u64::MAX, None),
        (boot.clone(), 8, None),
        (boot, u64::MAX, whose),
    ] {
        assert_eq!(journal.count(&boot, CgroupId(cgroup), counts).await.unwrap(), expected, "{cgroup}");
    }
    let rows = journal.ledger(Selector::default()).await.unwrap();
    assert!(rows.iter().all(|row| row.counts == Some(counts)), "{rows:?}");
    let both = || BTreeMap::from([("main".to_owned(), counts + counts)]);
    assert_eq!(journal.counted(&id("a", 0).uid).await.unwrap(), both());
    journal.prune(Keep { rows: 0, bytes: 0 }).await.unwrap();
    assert_eq!(journal.counted(&id("a", 0).uid).await.unwrap(), both());
    journal.forget(&id("a", 0).uid).await.unwrap();
    assert_eq!(journal.counted(&id("a", 0).uid).await.unwrap(), BTreeMap::new());
}

#[tokio::test]
async fn only_a_row_without_an_end_is_withdrawn() {
    let scratch = Scratch::new();
    let journal = Store::open(&scratch.database()).unwrap().journal();
    for number in 0..2 {
        journal.begin(&attempt("a", number)).await.unwrap();
    }
    kill(&journal, "a", 0).await.unwrap();
    for number in 0..3 {
        journal.withdraw(&id("a", number)).await.unwrap();
    }
    let rows = journal.ledger(Selector::default()).await.unwrap();
    assert_eq!(rows.iter().map(|row| row.attempt.id.attempt).collect::<Vec<_>>(), [0]);
    journal.begin(&attempt("a", 1)).await.unwrap();
}

#[tokio::test]
async fn an_attempt_that_never_began_gets_a_row_from_its_pod() {
    let scratch = Scratch::new();
    let store = Store::open(&scratch.database()).unwrap();
    let journal = store.journal();
    let stranger = kill(&journal, "a", 0).await.unwrap_err();
    assert_eq!(stranger.to_string(), "the attempt uid-a_main_0 never began, and its pod is not known");
    store.objects().create(Kind::Pod, pod("a")).await.unwrap();
    assert_eq!(kill(&journal, "a", 0).await.unwrap(), Counted::Now);
    assert_eq!(kill(&journal, "a", 0).await.unwrap(), Counted::Before);
    let rows = journal.ledger(Selector::default()).await.unwrap();
    assert_eq!(rows.len(), 1);
    assert_eq!(rows[0].attempt, Attempt { process: None, image_id: String::new(), ..attempt("a", 0) });
    assert_eq!(journal.totals().await.unwrap(), [total("a", 1)]);
}

#[tokio::test]
async fn a_forgotten_pod_leaves_only_its_ledger() {
    let scratch = Scratch::new();
    let store = Store::open(&scratch.database()).unwrap();
    let (objects, journal) = (store.objects(), store.journal());
    for name in ["a", "b"] {
        objects.create(Kind::Pod, pod(name)).await.unwrap();
        journal.begin(&attempt(name, 0)).await.unwrap();
        kill(&journal, name, 0).await.unwrap();
    }
    journal.forget(&id("a", 0).uid).await.unwrap();
    assert_eq!(*objects.changed().borrow(), 3);
    journal.forget(&id("a", 0).uid).await.unwrap();
    assert_eq!(*objects.changed().borrow(), 3, "nothing was there to forget");
    assert_eq!(objects.list(Kind::Pod, None).await.unwrap().0.len(), 1);
    assert_eq!(journal.totals().await.unwrap(), [total("b", 1)]);

    let check = async |namespace: Option<&str>, pod: Option<&str>, last, expected: &[&str]| {
        let (namespace, pod) = (namespace.map(str::to_owned), pod.map(str::to_owned));
        let rows = journal.ledger(Selector { namespace, pod, last }).await.unwrap();
        let pods: Vec<_> = rows.iter().map(|row| row.attempt.pod.name.as_str()).collect();
        assert_eq!(pods, expected);
    };
    check(None, None, None, &["a", "b"]).await;
    check(Some("default"), Some("a"), None, &["a"]).await;
    check(Some("default"), None, Some(1), &["b"]).await;
    check(Some("other"), None, None, &[]).await;
}

#[tokio::test]
async fn pruning_takes_the_oldest_rows_that_no_living_pod_needs() {
    let check = async |keep, expected: &[(&str, u32, u32)]| {
        let scratch = Scratch::new();
        let store = Store::open(&scratch.database()).unwrap();
        let journal = store.journal();
        store.objects().create(Kind::Pod, pod("lives")).await.unwrap();
        for (name, attempts) in [("gone", 4), ("lives", 102), ("open", 1)] {
            for number in 0..attempts {
                journal.begin(&attempt(name, number)).await.unwrap();
                if name != "open" {
                    kill(&journal, name, number).await.unwrap();
                }
            }
        }
        journal.touch_boot(&BootId("before".to_owned()), 1).await.unwrap();
        journal.touch_boot(&BootId("boot".to_owned()), 1).await.unwrap();
        let rows = journal.ledger(Selector::default()).await.unwrap().len();
        let deleted = journal.prune(keep).await.unwrap();
        let left = journal.ledger(Selector::default()).await.unwrap();
        assert_eq!(rows - deleted, left.len(), "{keep:?}");
        let spans: Vec<_> = left
            .chunk_by(|a, b| a.attempt.pod == b.attempt.pod)
            .map(|rows| {
                let (first, last) = (&rows[0].attempt, &rows[rows.len() - 1].attempt);
                (first.pod.name.as_str(), first.id.attempt, last.id.attempt)
            })
            .collect();
        assert_eq!(spans, expected, "{keep:?}");
        assert_eq!(journal.totals().await.unwrap(), [total("lives", 102)]);
        assert_eq!(journal.offsets().await.unwrap().len(), 1);
    };
    let all = Keep { rows: u32::MAX, bytes: u64::MAX };
    check(all, &[("gone", 0, 3), ("lives", 0, 101), ("open", 0, 0)]).await;
    check(Keep { rows: 5, ..all }, &[("gone", 1, 3), ("lives", 0, 101), ("open", 0, 0)]).await;
    check(Keep { rows: 1, ..all }, &[("lives", 1, 101), ("open", 0, 0)]).await;
    check(Keep { rows: 0, ..all }, &[("lives", 2, 101), ("open", 0, 0)]).await;
    check(Keep { bytes: 2400, ..all }, &[("gone", 3, 3), ("lives", 0, 101), ("open", 0, 0)]).await;
    check(Keep { bytes: 0, ..all }, &[("lives", 2, 101), ("open", 0, 0)]).await;
}

#[tokio::test]
async fn an_offset_is_written_only_if_it_moved_by_more_than_100_ms() {
    let scratch = Scratch::new();
    let journal = Store::open(&scratch.database()).unwrap().journal();
    let boot = BootId("boot".to_owned());
    for (offset, expected) in [
        (1_000_000_000, 1_000_000_000),
        (1_100_000_000, 1_000_000_000),
        (900_000_000, 1_000_000_000),
        (1_100_000_001, 1_100_000_001),
        (-5, -5),
        (i64::MAX, i64::MAX),
    ] {
        let (before, known) = (commits(&scratch.database()), journal.offsets().await.unwrap());
        journal.touch_boot(&boot, offset).await.unwrap();
        let now = journal.offsets().await.unwrap();
        assert_eq!(now, BTreeMap::from([(boot.clone(), expected)]), "{offset}");
        let written = commits(&scratch.database()) - before;
        assert_eq!(written, usize::from(now != known), "{offset}");
    }
}
