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
mod tests;
