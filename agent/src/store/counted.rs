//! What the kernel counted in attempts' cgroups: in the row of each, and as a sum that outlives the rows.

use std::collections::BTreeMap;

use rusqlite::{Connection, OptionalExtension, params};

use super::{
    Error, Journal,
    ledger::counts,
    writer::{Durability, Fault},
};
use crate::pod::{CgroupId, PodUid, counts::Counts, status::BootId};

impl Journal {
    /// Adds what the kernel counted in an attempt's cgroup to its row and to its container's sum, unless that has
    /// happened. Gives back whose it was; `None`: there is no such row, or it was counted before.
    pub(crate) async fn count(
        &self,
        boot: &BootId,
        cgroup: CgroupId,
        counts: Counts,
    ) -> Result<Option<(PodUid, String)>, Error> {
        let boot = boot.clone();
        let attempted = format!("record what was counted in the cgroup {}", cgroup.0);
        self.writer.write(attempted, Durability::Process, move |db| count(db, &boot, cgroup, counts)).await
    }

    /// What the kernel counted, of the attempts of a pod that are cleared away, by container.
    pub(crate) async fn counted(&self, uid: &PodUid) -> Result<BTreeMap<String, Counts>, Error> {
        let uid = uid.0.clone();
        self.writer
            .read(format!("read what was counted of the pod {uid}"), move |db| {
                let mut query = db.prepare_cached("SELECT * FROM counted WHERE uid = ?1")?;
                let rows = query.query_map([uid], |row| Ok((row.get("container")?, counts(row)?)))?;
                Ok(rows.collect::<Result<_, _>>()?)
            })
            .await
    }
}

fn count(
    db: &Connection,
    boot: &BootId,
    cgroup: CgroupId,
    counts: Counts,
) -> Result<Option<(PodUid, String)>, Fault> {
    let Counts { main_exits, other_exits, oom_kills, lost_records } = counts;
    let numbers = [main_exits, other_exits, oom_kills, lost_records].map(u64::cast_signed);
    let [main_exits, other_exits, oom_kills, lost_records] = numbers;
    let whose = db
        .prepare_cached(
            "UPDATE attempt SET main_exits = ?3, other_exits = ?4, oom_kills = ?5, lost_records = ?6
             WHERE cgroup = ?2 AND boot = ?1 AND main_exits IS NULL RETURNING uid, container",
        )?
        .query_row(
            params![boot.0, cgroup.0.cast_signed(), main_exits, other_exits, oom_kills, lost_records],
            |row| Ok((PodUid(row.get(0)?), row.get(1)?)),
        )
        .optional()?;
    let Some((uid, container)) = whose else { return Ok(None) };
    db.prepare_cached(
        "INSERT INTO counted (uid, container, main_exits, other_exits, oom_kills, lost_records)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6)
         ON CONFLICT DO UPDATE SET
             main_exits = main_exits + excluded.main_exits, other_exits = other_exits + excluded.other_exits,
             oom_kills = oom_kills + excluded.oom_kills, lost_records = lost_records + excluded.lost_records",
    )?
    .execute(params![uid.0, container, main_exits, other_exits, oom_kills, lost_records])?;
    Ok(Some((uid, container)))
}
