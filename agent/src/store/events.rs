//! What was told of objects: Kubernetes' Events. The oldest give way to the newest; a power cut may take the last few.

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::{
    Error, Journal,
    column::unsigned,
    objects,
    writer::{Durability, Fault},
};
use crate::pod::{
    Stamp,
    event::{About, Again, Event, Told, Weight},
    status::BootId,
};

/// Rows that stay: those told last.
const KEPT: u32 = 1000;

impl Journal {
    /// Writes events down, each in the row of its like if there is one.
    pub(crate) async fn tell(&self, events: Vec<(Event, Again)>) -> Result<(), Error> {
        let attempted = format!("record {} events", events.len());
        self.writer
            .write(attempted, Durability::Process, move |db| {
                for (event, again) in &events {
                    tell(db, event, *again)?;
                }
                db.prepare_cached(
                    "DELETE FROM event WHERE seq IN
                     (SELECT seq FROM event ORDER BY revision DESC LIMIT -1 OFFSET ?1)",
                )?
                .execute([KEPT])?;
                Ok(())
            })
            .await
    }

    /// One of them.
    pub(crate) async fn event(&self, seq: u64) -> Result<Option<Told>, Error> {
        self.writer
            .read(format!("read the event {seq}"), move |db| {
                let mut query = db.prepare_cached("SELECT * FROM event WHERE seq = ?1")?;
                Ok(query.query_row([seq.cast_signed()], told).optional()?)
            })
            .await
    }

    /// Forgets one; whether it was there.
    pub(crate) async fn forget_event(&self, seq: u64, id: String) -> Result<bool, Error> {
        self.writer
            .write(format!("forget the event {seq}"), Durability::Process, move |db| {
                let gone = db
                    .prepare_cached("DELETE FROM event WHERE seq = ?1 AND id = ?2")?
                    .execute(params![seq.cast_signed(), id])?;
                if gone > 0 {
                    // So that a watcher can tell.
                    objects::advance(db)?;
                }
                Ok(gone > 0)
            })
            .await
    }

    /// All that is known, the last told last.
    pub(crate) async fn events(&self) -> Result<Vec<Told>, Error> {
        self.writer
            .read("read the events".to_owned(), |db| {
                let mut query = db.prepare_cached("SELECT * FROM event ORDER BY revision")?;
                let rows = query.query_map([], told)?;
                Ok(rows.collect::<Result<_, _>>()?)
            })
            .await
    }
}

fn tell(db: &Connection, event: &Event, again: Again) -> Result<(), Fault> {
    let About { kind, namespace, name, uid, field } = &event.about;
    let known: Option<i64> = db
        .prepare_cached(
            "SELECT seq FROM event WHERE uid = ?1 AND field = ?2 AND reason = ?3 AND message = ?4 AND type = ?5",
        )?
        .query_row(params![uid, field, event.reason, event.message, event.weight.name()], |row| row.get(0))
        .optional()?;
    let at = event.at.0.cast_signed();
    match (known, again) {
        (Some(_), Again::IsKnown) => (),
        (Some(seq), Again::Counts) => {
            let revision = objects::advance(db)?.cast_signed();
            db.prepare_cached(
                "UPDATE event SET count = count + 1, boot = ?2, at = ?3, revision = ?4 WHERE seq = ?1",
            )?
            .execute(params![seq, event.boot.0, at, revision])?;
        }
        (None, _) => {
            let revision = objects::advance(db)?.cast_signed();
            db.prepare_cached(
                "INSERT INTO event (id, kind, namespace, name, uid, field, type, reason, message, count,
                                    first_boot, first, boot, at, revision)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, 1, ?10, ?11, ?10, ?11, ?12)",
            )?
            .execute(params![
                uuid::Uuid::new_v4().to_string(),
                kind,
                namespace,
                name,
                uid,
                field,
                event.weight.name(),
                event.reason,
                event.message,
                event.boot.0,
                at,
                revision
            ])?;
        }
    }
    Ok(())
}

fn told(row: &Row<'_>) -> rusqlite::Result<Told> {
    let about = About {
        kind: row.get("kind")?,
        namespace: row.get("namespace")?,
        name: row.get("name")?,
        uid: row.get("uid")?,
        field: row.get("field")?,
    };
    let weight = match row.get_ref("type")?.as_str()? {
        "Warning" => Weight::Warning,
        _ => Weight::Normal,
    };
    Ok(Told {
        seq: unsigned(row, "seq")?,
        id: row.get("id")?,
        revision: unsigned(row, "revision")?,
        count: unsigned(row, "count")?,
        first: (BootId(row.get("first_boot")?), Stamp(unsigned(row, "first")?)),
        event: Event {
            about,
            weight,
            reason: row.get("reason")?,
            message: row.get("message")?,
            boot: BootId(row.get("boot")?),
            at: Stamp(unsigned(row, "at")?),
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{Store, scratch::Scratch};

    fn event(uid: &str, message: &str, at: u64, again: Again) -> (Event, Again) {
        let about =
            About { kind: "Pod".to_owned(), name: "p".to_owned(), uid: uid.to_owned(), ..About::default() };
        let (reason, boot) = ("BackOff".to_owned(), BootId("b".to_owned()));
        let message = message.to_owned();
        (Event { about, weight: Weight::Warning, reason, message, boot, at: Stamp(at) }, again)
    }

    #[tokio::test]
    async fn the_same_words_of_the_same_object_are_one_event_also_after_a_restart() {
        let scratch = Scratch::new();
        let rows: [(&str, &str, u64, Again); 5] = [
            ("a", "x", 1, Again::Counts),
            ("a", "y", 2, Again::IsKnown),
            ("b", "x", 3, Again::Counts),
            ("a", "x", 4, Again::Counts),
            ("a", "y", 5, Again::IsKnown),
        ];
        for (uid, message, at, again) in rows {
            let journal = Store::open(&scratch.database()).unwrap().journal();
            journal.tell(vec![event(uid, message, at, again)]).await.unwrap();
        }
        let told = Store::open(&scratch.database()).unwrap().journal().events().await.unwrap();
        let shown: Vec<_> = told
            .iter()
            .map(|told| {
                let Event { about, message, at, .. } = &told.event;
                (about.uid.as_str(), message.as_str(), told.count, told.first.1.0, at.0, told.revision)
            })
            .collect();
        assert_eq!(shown, [("a", "y", 1, 2, 2, 2), ("b", "x", 1, 3, 3, 3), ("a", "x", 2, 1, 4, 4)]);
    }

    #[tokio::test]
    async fn the_oldest_give_way() {
        let scratch = Scratch::new();
        let journal = Store::open(&scratch.database()).unwrap().journal();
        let events =
            |from: u64, to: u64| (from..to).map(|n| event("a", &n.to_string(), n, Again::Counts)).collect();
        journal.tell(events(0, 1000)).await.unwrap();
        // What is told again is not old.
        journal.tell(events(0, 1)).await.unwrap();
        journal.tell(events(1000, 1005)).await.unwrap();
        let told = journal.events().await.unwrap();
        let text = |place: usize| told[place].event.message.as_str();
        assert_eq!((told.len(), text(0), text(994), told[999].seq), (1000, "6", "0", 1005));
    }
}
