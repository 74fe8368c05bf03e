//! What `run` writes: the row of each attempt, how it ended, the totals, and what turns stamps into dates.
//!
//! Decides nothing about a death: verdict, reason and cause come from `account`.

use std::{collections::BTreeMap, sync::Arc};

use rusqlite::{Connection, OptionalExtension, params};
use serde_json::Value;

use super::{
    Error, Kind,
    column::json,
    objects,
    writer::{Durability, Fault, Writer},
};
use crate::pod::{
    AttemptId, CgroupId, Pid, PodName, PodUid, Stamp,
    status::{BootId, EarlyReason, Ended},
    verdict::Cause,
};

/// A boot's offset is written again once it has moved further: a clock that NTP only trims costs no writes.
const NOTABLE_NS: u64 = 100_000_000;
/// Rows of each container that stay while its pod lives.
const KEPT_A_CONTAINER: u32 = 100;
/// What a row takes on disk besides its text, roughly.
const ROW_BYTES: u32 = 200;

/// The ledger of attempts and what hangs on it.
#[derive(Clone, Debug)]
pub(crate) struct Journal {
    pub(super) writer: Arc<Writer>,
}

/// One attempt at running a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Attempt {
    pub(crate) id: AttemptId,
    pub(crate) pod: PodName,
    /// The boot in which it was made.
    pub(crate) boot: BootId,
    /// As the manifest names it.
    pub(crate) image: String,
    /// Empty if it was not known when the attempt failed.
    pub(crate) image_id: String,
    /// `None`: it never got as far as a process.
    pub(crate) process: Option<Process>,
}

/// The main process of an attempt: enough to know it again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Process {
    pub(crate) cgroup: CgroupId,
    pub(crate) pid: Pid,
    /// Field 22 of `/proc/<pid>/stat`.
    pub(crate) start_ticks: u64,
    pub(crate) started: Stamp,
}

/// Which of two it was: the same end may be told twice, before and after a crash of the agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Counted {
    Now,
    Before,
}

/// How much of the prunable ledger stays. The narrower bound wins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Keep {
    pub(crate) rows: u32,
    pub(crate) bytes: u64,
}

impl Journal {
    pub(super) fn new(writer: Arc<Writer>) -> Self {
        Self { writer }
    }

    /// Writes the row of an attempt. Only when this is answered may its process run.
    pub(crate) async fn begin(&self, attempt: &Attempt) -> Result<(), Error> {
        let attempt = attempt.clone();
        let attempted = format!("record the start of {}", attempt.id);
        self.writer
            .write(attempted, Durability::Power, move |db| match insert(db, &attempt)? {
                0 => Err(Error::Begun(attempt.id).into()),
                _ => Ok(()),
            })
            .await
    }

    /// Takes back the row of an attempt whose program never began, unless it has an end.
    pub(crate) async fn withdraw(&self, id: &AttemptId) -> Result<(), Error> {
        let id = id.clone();
        self.writer
            .write(format!("withdraw {id}"), Durability::Power, move |db| {
                db.execute(
                    "DELETE FROM attempt WHERE uid = ?1 AND container = ?2 AND attempt = ?3 AND ended IS NULL",
                    params![id.uid.0, id.container, id.attempt],
                )?;
                Ok(())
            })
            .await
    }

    /// Completes the row of an attempt and adds one to the totals, unless that has happened. An attempt that never
    /// began gets its row here; its pod must still be among the objects.
    pub(crate) async fn end(&self, ended: &Ended, reason: &str, cause: &str) -> Result<Counted, Error> {
        let (ended, reason, cause) = (ended.clone(), reason.to_owned(), cause.to_owned());
        let attempted = format!("record the end of {}", ended.id);
        self.writer.write(attempted, Durability::Power, move |db| end(db, &ended, &reason, &cause)).await
    }

    /// Drops the pod's object and its totals: the pod is gone. Its ledger stays.
    pub(crate) async fn forget(&self, uid: &PodUid) -> Result<(), Error> {
        let uid = uid.clone();
        self.writer
            .write(format!("forget the pod {uid}"), Durability::Power, move |db| {
                db.execute("DELETE FROM total WHERE uid = ?1", [&uid.0])?;
                db.execute("DELETE FROM counted WHERE uid = ?1", [&uid.0])?;
                db.execute("DELETE FROM eviction WHERE uid = ?1", [&uid.0])?;
                db.execute("DELETE FROM round WHERE uid = ?1", [&uid.0])?;
                let pod = params![Kind::Pod.name(), uid.0];
                if db.execute("DELETE FROM object WHERE kind = ?1 AND uid = ?2", pod)? > 0 {
                    objects::advance(db)?;
                }
                Ok(())
            })
            .await
    }

    /// Records that a pod ends early, and why. The first word stands.
    pub(crate) async fn end_early(
        &self,
        uid: &PodUid,
        reason: EarlyReason,
        message: &str,
    ) -> Result<(), Error> {
        let (uid, message) = (uid.clone(), message.to_owned());
        self.writer
            .write(format!("record the early end of the pod {uid}"), Durability::Power, move |db| {
                db.execute(
                    "INSERT INTO eviction (uid, reason, message) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING",
                    params![uid.0, reason.name(), message],
                )?;
                Ok(())
            })
            .await
    }

    /// Why a pod was to end early, if it was, and in which words.
    pub(crate) async fn early_end(&self, uid: &PodUid) -> Result<Option<(EarlyReason, String)>, Error> {
        let uid = uid.clone();
        self.writer
            .read(format!("read whether the pod {uid} was to end early"), move |db| {
                let mut query = db.prepare_cached("SELECT reason, message FROM eviction WHERE uid = ?1")?;
                let row = |row: &rusqlite::Row<'_>| {
                    let reason = EarlyReason::of(row.get_ref(0)?.as_str()?).unwrap_or(EarlyReason::Evicted);
                    Ok((reason, row.get(1)?))
                };
                Ok(query.query_row([&uid.0], row).optional()?)
            })
            .await
    }

    /// Records the number of each container's first attempt in the pod's next round.
    pub(crate) async fn begin_round(&self, uid: &PodUid, first: Vec<(String, u32)>) -> Result<(), Error> {
        let uid = uid.clone();
        self.writer
            .write(
                format!("record that all containers of the pod {uid} run again"),
                Durability::Power,
                move |db| {
                    let mut add = db.prepare_cached(
                        "INSERT INTO round (uid, container, first) VALUES (?1, ?2, ?3)
                     ON CONFLICT DO UPDATE SET first = excluded.first",
                    )?;
                    for (container, first) in &first {
                        add.execute(params![uid.0, container, first])?;
                    }
                    Ok(())
                },
            )
            .await
    }

    /// What `begin_round` was last told, by container: nothing in the first round.
    pub(crate) async fn round(&self, uid: &PodUid) -> Result<BTreeMap<String, u32>, Error> {
        let uid = uid.clone();
        self.writer
            .read(format!("read the round of the pod {uid}"), move |db| {
                let mut query = db.prepare_cached("SELECT container, first FROM round WHERE uid = ?1")?;
                let rows = query.query_map([&uid.0], |row| Ok((row.get(0)?, row.get(1)?)))?;
                Ok(rows.collect::<Result<_, _>>()?)
            })
            .await
    }

    /// Notes wall clock minus `CLOCK_BOOTTIME` of a boot, in nanoseconds. The boot last made known is the current one.
    pub(crate) async fn touch_boot(&self, boot: &BootId, offset_ns: i64) -> Result<(), Error> {
        let boot = boot.clone();
        self.writer
            .write("note the clock's offset".to_owned(), Durability::Process, move |db| {
                touch(db, &boot, offset_ns)
            })
            .await
    }

    pub(crate) async fn offsets(&self) -> Result<BTreeMap<BootId, i64>, Error> {
        self.writer
            .read("read the clock's offsets".to_owned(), |db| {
                let mut query = db.prepare_cached("SELECT id, offset_ns FROM boot")?;
                let rows = query.query_map([], |row| Ok((BootId(row.get(0)?), row.get(1)?)))?;
                Ok(rows.collect::<Result<_, _>>()?)
            })
            .await
    }

    /// Deletes the oldest ended rows beyond `keep` and gives back how many went. Of a pod that lives, the last hundred
    /// rows of each container are neither deleted nor counted.
    pub(crate) async fn prune(&self, keep: Keep) -> Result<usize, Error> {
        self.writer.write("prune the ledger".to_owned(), Durability::Power, move |db| prune(db, keep)).await
    }
}

/// Gives back how many rows that made: none if there is one.
fn insert(db: &Connection, attempt: &Attempt) -> rusqlite::Result<usize> {
    let Attempt { id, pod, boot, image, image_id, process } = attempt;
    db.prepare_cached(
        "INSERT INTO attempt (uid, container, attempt, namespace, pod, boot, image, image_id,
                              cgroup, pid, start_ticks, started)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)
         ON CONFLICT DO NOTHING",
    )?
    .execute(params![
        id.uid.0,
        id.container,
        id.attempt,
        pod.namespace,
        pod.name,
        boot.0,
        image,
        image_id,
        process.map(|process| process.cgroup.0.cast_signed()),
        process.map(|process| process.pid.0),
        process.map(|process| process.start_ticks.cast_signed()),
        process.map(|process| process.started.0.cast_signed()),
    ])
}

fn end(db: &Connection, ended: &Ended, reason: &str, cause: &str) -> Result<Counted, Fault> {
    match is_over(db, &ended.id)? {
        Some(true) => return Ok(Counted::Before),
        Some(false) => {}
        None => {
            insert(db, &never_begun(db, ended)?)?;
        }
    }
    let AttemptId { uid, container, attempt } = &ended.id;
    let (limit, victim) = match &ended.verdict.cause {
        Cause::Oom { limit, victim } => (limit.name(), victim.name()),
        _ => ("", ""),
    };
    let text = serde_json::to_string(ended)
        .map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))?;
    db.prepare_cached(
        "UPDATE attempt SET ended = ?4, reason = ?5, cause = ?6
         WHERE uid = ?1 AND container = ?2 AND attempt = ?3",
    )?
    .execute(params![uid.0, container, attempt, text, reason, cause])?;
    db.prepare_cached(
        "INSERT INTO total (uid, namespace, pod, container, reason, signal, cause, limit_owner, victim, count)
         SELECT uid, namespace, pod, container, reason, ?4, cause, ?5, ?6, 1 FROM attempt
         WHERE uid = ?1 AND container = ?2 AND attempt = ?3
         ON CONFLICT DO UPDATE SET count = count + 1",
    )?
    .execute(params![uid.0, container, attempt, ended.verdict.signal.unwrap_or(0), limit, victim])?;
    Ok(Counted::Now)
}

/// Whether the attempt has ended; `None` if it has no row.
fn is_over(db: &Connection, id: &AttemptId) -> rusqlite::Result<Option<bool>> {
    db.prepare_cached(
        "SELECT ended IS NOT NULL FROM attempt WHERE uid = ?1 AND container = ?2 AND attempt = ?3",
    )?
    .query_row(params![id.uid.0, id.container, id.attempt], |row| row.get(0))
    .optional()
}

/// The row of an attempt that has none, as far as its pod's object tells.
fn never_begun(db: &Connection, ended: &Ended) -> Result<Attempt, Fault> {
    let (pod, object) = db
        .prepare_cached("SELECT namespace, name, body FROM object WHERE kind = ?1 AND uid = ?2")?
        .query_row(params![Kind::Pod.name(), ended.id.uid.0], |row| {
            let pod = PodName { namespace: row.get("namespace")?, name: row.get("name")? };
            Ok((pod, json(row, "body")?))
        })
        .optional()?
        .ok_or_else(|| Error::Stranger(ended.id.clone()))?;
    let image = image(&object, &ended.id.container).unwrap_or_default();
    Ok(Attempt {
        id: ended.id.clone(),
        pod,
        boot: ended.boot.clone(),
        image,
        image_id: String::new(),
        process: None,
    })
}

fn image(object: &Value, container: &str) -> Option<String> {
    let lists = ["/spec/initContainers", "/spec/containers"].map(|list| object.pointer(list)?.as_array());
    let mut containers = lists.into_iter().flatten().flatten();
    let container = containers.find(|one| one.get("name").is_some_and(|name| name == container))?;
    container.get("image")?.as_str().map(str::to_owned)
}

fn touch(db: &Connection, boot: &BootId, offset_ns: i64) -> Result<(), Fault> {
    let known: Option<i64> = db
        .prepare_cached("SELECT offset_ns FROM boot WHERE id = ?1")?
        .query_row([&boot.0], |row| row.get(0))
        .optional()?;
    if known.is_some_and(|known| known.abs_diff(offset_ns) <= NOTABLE_NS) {
        return Ok(());
    }
    db.prepare_cached(
        "INSERT INTO boot (id, offset_ns) VALUES (?1, ?2)
         ON CONFLICT DO UPDATE SET offset_ns = excluded.offset_ns",
    )?
    .execute(params![boot.0, offset_ns])?;
    Ok(())
}

fn prune(db: &Connection, keep: Keep) -> Result<usize, Fault> {
    let deleted = db
        .prepare_cached(
            "WITH aged AS (
                 SELECT seq,
                        octet_length(ended) + octet_length(image) + octet_length(image_id) + ?5 AS size,
                        row_number() OVER (PARTITION BY uid, container ORDER BY attempt DESC) AS age,
                        uid IN (SELECT uid FROM object WHERE kind = ?1) AS lives
                 FROM attempt
             ), loose AS (
                 SELECT seq,
                        row_number() OVER newest_first AS rows,
                        sum(size) OVER newest_first AS bytes
                 FROM aged
                 WHERE size IS NOT NULL AND NOT (lives AND age <= ?4)
                 WINDOW newest_first AS (ORDER BY seq DESC)
             )
             DELETE FROM attempt WHERE seq IN (SELECT seq FROM loose WHERE rows > ?2 OR bytes > ?3)",
        )?
        .execute(params![
            Kind::Pod.name(),
            keep.rows,
            i64::try_from(keep.bytes).unwrap_or(i64::MAX),
            KEPT_A_CONTAINER,
            ROW_BYTES
        ])?;
    // A late end may have counted for a pod that was gone.
    for table in ["total", "counted"] {
        db.execute(
            &format!("DELETE FROM {table} WHERE uid NOT IN (SELECT uid FROM object WHERE kind = ?1)"),
            [Kind::Pod.name()],
        )?;
    }
    db.execute(
        "DELETE FROM boot
         WHERE id NOT IN (SELECT boot FROM attempt UNION SELECT boot FROM event UNION SELECT first_boot FROM event)
           AND seq < (SELECT max(seq) FROM boot)",
        [],
    )?;
    Ok(deleted)
}

#[cfg(test)]
mod tests {
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
}
