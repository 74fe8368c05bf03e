//! Reading the ledger: who ran, how each ended, and how often. Writes nothing.

use rusqlite::{Connection, params, types::ValueRef};

use super::{
    Error,
    column::{json, unsigned},
    journal::{Attempt, Journal, Process},
    writer::Fault,
};
use crate::{
    picture::Total,
    pod::{
        AttemptId, CgroupId, Pid, PodName, PodUid, Stamp,
        counts::Counts,
        status::{BootId, Ended},
    },
};

/// One row of the ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) attempt: Attempt,
    /// `None`: it runs, or nobody has looked yet.
    pub(crate) end: Option<End>,
    /// What the kernel counted in its cgroup. `None`: that is still there, or there were no kernel programs.
    pub(crate) counts: Option<Counts>,
}

/// How an attempt ended, as it was recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct End {
    pub(crate) ended: Ended,
    /// Kubernetes' terminated reason.
    pub(crate) reason: String,
    pub(crate) cause: String,
}

/// Which rows. `None` asks for all of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Selector {
    pub(crate) namespace: Option<String>,
    pub(crate) pod: Option<String>,
    /// Only so many of the newest.
    pub(crate) last: Option<u32>,
}

impl Journal {
    /// The attempts without an end: running, or ended while no agent was there.
    pub(crate) async fn open_attempts(&self) -> Result<Vec<Attempt>, Error> {
        self.writer
            .read("list the open attempts".to_owned(), |db| {
                let mut query =
                    db.prepare_cached("SELECT * FROM attempt WHERE ended IS NULL ORDER BY seq")?;
                let rows = query.query_map([], attempt)?;
                Ok(rows.collect::<Result<_, _>>()?)
            })
            .await
    }

    /// The last attempts of one container, newest last.
    pub(crate) async fn history(&self, uid: &PodUid, container: &str, last: u32) -> Result<Vec<Row>, Error> {
        let (uid, container) = (uid.0.clone(), container.to_owned());
        self.writer
            .read(format!("read the history of {container} in the pod {uid}"), move |db| {
                let mut query = db.prepare_cached(
                    "SELECT * FROM attempt WHERE uid = ?1 AND container = ?2 ORDER BY attempt DESC LIMIT ?3",
                )?;
                let rows = query.query_map(params![uid, container, last], row)?;
                newest_last(rows)
            })
            .await
    }

    /// When the first attempt of a pod in that boot began.
    pub(crate) async fn first_start(&self, uid: &PodUid, boot: &BootId) -> Result<Option<Stamp>, Error> {
        let (uid, boot) = (uid.0.clone(), boot.0.clone());
        self.writer
            .read(format!("read when the pod {uid} began"), move |db| {
                let mut query =
                    db.prepare_cached("SELECT min(started) FROM attempt WHERE uid = ?1 AND boot = ?2")?;
                let started: Option<i64> = query.query_row(params![uid, boot], |row| row.get(0))?;
                Ok(started.map(|started| Stamp(started.cast_unsigned())))
            })
            .await
    }

    /// Rows in the order in which the attempts began, of pods that are gone too.
    pub(crate) async fn ledger(&self, selector: Selector) -> Result<Vec<Row>, Error> {
        self.writer.read("read the ledger".to_owned(), move |db| select(db, &selector)).await
    }

    /// How often containers ended in each way, of pods that have not been forgotten.
    pub(crate) async fn totals(&self) -> Result<Vec<Total>, Error> {
        self.writer
            .read("read the totals".to_owned(), |db| {
                // A pod's name may be another's for a moment: a counter has one value.
                let mut query = db.prepare_cached(
                    "SELECT namespace, pod, container, reason, signal, cause, limit_owner, victim,
                            sum(count) AS count
                     FROM total GROUP BY 1, 2, 3, 4, 5, 6, 7, 8 ORDER BY 1, 2, 3, 4, 5, 6, 7, 8",
                )?;
                let rows = query.query_map([], total)?;
                Ok(rows.collect::<Result<_, _>>()?)
            })
            .await
    }
}

fn select(db: &Connection, selector: &Selector) -> Result<Vec<Row>, Fault> {
    let Selector { namespace, pod, last } = selector;
    let mut query = db.prepare_cached(
        "SELECT * FROM attempt WHERE namespace = ifnull(?1, namespace) AND pod = ifnull(?2, pod)
         ORDER BY seq DESC LIMIT ifnull(?3, -1)",
    )?;
    let rows = query.query_map(params![namespace, pod, last], row)?;
    newest_last(rows)
}

fn newest_last(rows: impl Iterator<Item = rusqlite::Result<Row>>) -> Result<Vec<Row>, Fault> {
    let mut rows: Vec<_> = rows.collect::<Result<_, _>>()?;
    rows.reverse();
    Ok(rows)
}

fn row(row: &rusqlite::Row<'_>) -> rusqlite::Result<Row> {
    let over = row.get_ref("ended")? != ValueRef::Null;
    let end = over.then(|| end(row)).transpose()?;
    let counted = row.get_ref("main_exits")? != ValueRef::Null;
    let counts = counted.then(|| counts(row)).transpose()?;
    Ok(Row { attempt: attempt(row)?, end, counts })
}

pub(super) fn counts(row: &rusqlite::Row<'_>) -> rusqlite::Result<Counts> {
    Ok(Counts {
        main_exits: unsigned(row, "main_exits")?,
        other_exits: unsigned(row, "other_exits")?,
        oom_kills: unsigned(row, "oom_kills")?,
        lost_records: unsigned(row, "lost_records")?,
    })
}

fn end(row: &rusqlite::Row<'_>) -> rusqlite::Result<End> {
    Ok(End { ended: json(row, "ended")?, reason: row.get("reason")?, cause: row.get("cause")? })
}

fn attempt(row: &rusqlite::Row<'_>) -> rusqlite::Result<Attempt> {
    Ok(Attempt {
        id: AttemptId {
            uid: PodUid(row.get("uid")?),
            container: row.get("container")?,
            attempt: row.get("attempt")?,
        },
        pod: PodName { namespace: row.get("namespace")?, name: row.get("pod")? },
        boot: BootId(row.get("boot")?),
        image: row.get("image")?,
        image_id: row.get("image_id")?,
        process: process(row)?,
    })
}

fn process(row: &rusqlite::Row<'_>) -> rusqlite::Result<Option<Process>> {
    if row.get_ref("cgroup")? == ValueRef::Null {
        return Ok(None);
    }
    Ok(Some(Process {
        cgroup: CgroupId(unsigned(row, "cgroup")?),
        pid: Pid(row.get("pid")?),
        start_ticks: unsigned(row, "start_ticks")?,
        started: Stamp(unsigned(row, "started")?),
    }))
}

fn total(row: &rusqlite::Row<'_>) -> rusqlite::Result<Total> {
    Ok(Total {
        pod: PodName { namespace: row.get("namespace")?, name: row.get("pod")? },
        container: row.get("container")?,
        reason: row.get("reason")?,
        signal: row.get("signal")?,
        cause: row.get("cause")?,
        limit: row.get("limit_owner")?,
        victim: row.get("victim")?,
        count: unsigned(row, "count")?,
    })
}
