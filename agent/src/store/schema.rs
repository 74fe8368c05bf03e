//! The tables, how an older file gets them, and how a file is opened. Knows nothing of what the rows mean.

use std::{fs, io, os::unix::fs::OpenOptionsExt, path::Path, time::Duration};

use rusqlite::{Connection, ErrorCode, OpenFlags};

use super::{Error, column::unsigned};

/// Each step brings a file from the schema of its index to the next; `user_version` counts those done. A step that
/// was released is never edited. The JSON in `object.body` and `attempt.ended` is part of the schema: what an older
/// carob wrote there must still decode, or a step rewrites it.
pub(super) const STEPS: [&str; 6] = [
    "
    CREATE TABLE revision (
        only_row INTEGER PRIMARY KEY CHECK (only_row = 1),
        newest INTEGER NOT NULL
    ) STRICT;
    INSERT INTO revision VALUES (1, 0);

    CREATE TABLE object (
        kind TEXT NOT NULL,
        namespace TEXT NOT NULL,
        name TEXT NOT NULL,
        uid TEXT NOT NULL,
        revision INTEGER NOT NULL,
        body TEXT NOT NULL,
        PRIMARY KEY (kind, namespace, name)
    ) STRICT, WITHOUT ROWID;

    -- One row an attempt, in the order they began. cgroup, pid, start_ticks and started are there or absent together.
    CREATE TABLE attempt (
        seq INTEGER PRIMARY KEY,
        uid TEXT NOT NULL,
        container TEXT NOT NULL,
        attempt INTEGER NOT NULL,
        namespace TEXT NOT NULL,
        pod TEXT NOT NULL,
        boot TEXT NOT NULL,
        image TEXT NOT NULL,
        image_id TEXT NOT NULL,
        cgroup INTEGER,
        pid INTEGER,
        start_ticks INTEGER,
        started INTEGER,
        ended TEXT,
        reason TEXT,
        cause TEXT,
        UNIQUE (uid, container, attempt)
    ) STRICT;

    -- Kept apart from the ledger, so that a counter does not go back when old rows are pruned.
    CREATE TABLE total (
        uid TEXT NOT NULL,
        namespace TEXT NOT NULL,
        pod TEXT NOT NULL,
        container TEXT NOT NULL,
        reason TEXT NOT NULL,
        signal INTEGER NOT NULL,
        cause TEXT NOT NULL,
        count INTEGER NOT NULL,
        PRIMARY KEY (uid, container, reason, signal, cause)
    ) STRICT, WITHOUT ROWID;

    CREATE TABLE boot (
        seq INTEGER PRIMARY KEY,
        id TEXT NOT NULL UNIQUE,
        offset_ns INTEGER NOT NULL
    ) STRICT;
",
    "
    -- Pods that have taken more of the box than they may, and the kubelet's words for it.
    CREATE TABLE eviction (
        uid TEXT PRIMARY KEY,
        message TEXT NOT NULL
    ) STRICT, WITHOUT ROWID;
",
    "
    -- Evicted, or DeadlineExceeded.
    ALTER TABLE eviction ADD COLUMN reason TEXT NOT NULL DEFAULT 'Evicted';

    -- Numbers are not used twice: they are part of names.
    CREATE TABLE event (
        seq INTEGER PRIMARY KEY AUTOINCREMENT,
        id TEXT NOT NULL,
        kind TEXT NOT NULL,
        namespace TEXT NOT NULL,
        name TEXT NOT NULL,
        uid TEXT NOT NULL,
        field TEXT NOT NULL,
        type TEXT NOT NULL,
        reason TEXT NOT NULL,
        message TEXT NOT NULL,
        count INTEGER NOT NULL,
        first_boot TEXT NOT NULL,
        first INTEGER NOT NULL,
        boot TEXT NOT NULL,
        at INTEGER NOT NULL,
        revision INTEGER NOT NULL
    ) STRICT;
    CREATE INDEX event_of ON event (uid, reason);
",
    "
    -- The first attempts of the round that a pod is in, if not in its first.
    CREATE TABLE round (
        uid TEXT NOT NULL,
        container TEXT NOT NULL,
        first INTEGER NOT NULL,
        PRIMARY KEY (uid, container)
    ) STRICT, WITHOUT ROWID;
",
    "
    -- What the kernel counted in an attempt's cgroup, there or absent together: absent until the cgroup is gone.
    ALTER TABLE attempt ADD COLUMN main_exits INTEGER;
    ALTER TABLE attempt ADD COLUMN other_exits INTEGER;
    ALTER TABLE attempt ADD COLUMN oom_kills INTEGER;
    ALTER TABLE attempt ADD COLUMN lost_records INTEGER;
    CREATE INDEX uncounted ON attempt (cgroup) WHERE main_exits IS NULL;

    -- The sum of it, kept apart like the totals.
    CREATE TABLE counted (
        uid TEXT NOT NULL,
        container TEXT NOT NULL,
        main_exits INTEGER NOT NULL,
        other_exits INTEGER NOT NULL,
        oom_kills INTEGER NOT NULL,
        lost_records INTEGER NOT NULL,
        PRIMARY KEY (uid, container)
    ) STRICT, WITHOUT ROWID;

    -- Of OOM kills also whose limit it was and whom it took; empty for all other ends.
    ALTER TABLE total RENAME TO total_before;
    CREATE TABLE total (
        uid TEXT NOT NULL,
        namespace TEXT NOT NULL,
        pod TEXT NOT NULL,
        container TEXT NOT NULL,
        reason TEXT NOT NULL,
        signal INTEGER NOT NULL,
        cause TEXT NOT NULL,
        limit_owner TEXT NOT NULL,
        victim TEXT NOT NULL,
        count INTEGER NOT NULL,
        PRIMARY KEY (uid, container, reason, signal, cause, limit_owner, victim)
    ) STRICT, WITHOUT ROWID;
    INSERT INTO total
        SELECT uid, namespace, pod, container, reason, signal, cause,
               iif(cause = 'oom', 'unknown', ''), iif(cause = 'oom', 'unknown', ''), count
        FROM total_before;
    DROP TABLE total_before;
",
    "
    -- What is still to be done once with what older versions have left.
    CREATE TABLE chore (name TEXT PRIMARY KEY) STRICT, WITHOUT ROWID;
    INSERT INTO chore VALUES ('seal');
",
];

/// A database that is sound and has the newest schema.
pub(super) struct Opened {
    pub(super) db: Connection,
    /// The newest resourceVersion in it.
    pub(super) revision: u64,
}

pub(super) fn open(path: &Path) -> Result<Opened, Error> {
    make(path).map_err(|source| Error::Make { path: path.to_owned(), source })?;
    let fault = |source| unusable(path, source);
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut db = Connection::open_with_flags(path, flags).map_err(fault)?;
    // SQLite falls back to reading, and would stumble over the lock.
    if db.is_readonly("main").map_err(fault)? {
        return Err(Error::ReadOnly { path: path.to_owned() });
    }
    let found = prepare(&db).map_err(fault)?;
    let known = u32::try_from(STEPS.len()).unwrap_or(u32::MAX);
    if found > known {
        return Err(Error::Newer { path: path.to_owned(), found, known });
    }
    inspect(&db, path)?;
    migrate(&mut db, found, known).map_err(|source| Error::Migrate {
        path: path.to_owned(),
        from: found,
        to: known,
        source,
    })?;
    let revision = revision(&db).map_err(fault)?;
    Ok(Opened { db, revision })
}

/// The newest resourceVersion given out.
pub(super) fn revision(db: &Connection) -> rusqlite::Result<u64> {
    db.prepare_cached("SELECT newest FROM revision")?.query_row([], |row| unsigned(row, "newest"))
}

/// Objects hold secrets: SQLite on its own would make a file that everybody may read. The write-ahead log gets the
/// same mode.
fn make(path: &Path) -> io::Result<()> {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    // Never opened if it is there: closing it would drop the locks this process holds on it.
    match fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}

/// Sets the connection up; gives back the file's schema version.
fn prepare(db: &Connection) -> rusqlite::Result<u32> {
    // Two agents on one box would fight over the same cgroups: the second is told at once. The lock dies with its
    // process, and SQLite needs no shared-memory file under it.
    db.busy_timeout(Duration::ZERO)?;
    db.pragma_update(None, "locking_mode", "EXCLUSIVE")?;
    let version = db.pragma_query_value(None, "user_version", |row| row.get(0))?;
    db.pragma_update(None, "journal_mode", "WAL")?;
    db.pragma_update(None, "synchronous", "FULL")?;
    Ok(version)
}

fn inspect(db: &Connection, path: &Path) -> Result<(), Error> {
    let verdict: String = db
        .pragma_query_value(None, "quick_check", |row| row.get(0))
        .map_err(|source| unusable(path, source))?;
    if verdict == "ok" { Ok(()) } else { Err(Error::Damaged { path: path.to_owned(), fault: verdict }) }
}

fn migrate(db: &mut Connection, found: u32, known: u32) -> rusqlite::Result<()> {
    if found == known {
        return Ok(());
    }
    let transaction = db.transaction()?;
    for step in STEPS.iter().skip(found as usize) {
        transaction.execute_batch(step)?;
    }
    transaction.pragma_update(None, "user_version", known)?;
    transaction.commit()
}

fn unusable(path: &Path, source: rusqlite::Error) -> Error {
    let path = path.to_owned();
    match source.sqlite_error_code() {
        Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => {
            Error::Damaged { path, fault: source.to_string() }
        }
        Some(ErrorCode::DatabaseBusy) => Error::InUse { path },
        _ => Error::Open { path, source },
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt};

    use super::*;
    use crate::store::{
        Store,
        scratch::{self, Scratch},
    };

    fn check(what: &str, spoil: impl FnOnce(&Path), expected: &str) {
        let scratch = Scratch::new();
        let path = scratch.database();
        drop(Store::open(&path).unwrap());
        spoil(&path);
        let error = Store::open(&path).unwrap_err().to_string();
        assert!(error.contains(expected) && error.contains(&*path.to_string_lossy()), "{what}: {error}");
    }

    fn overwrite(path: &Path, at: usize, with: &[u8]) {
        let mut bytes = fs::read(path).unwrap();
        bytes[at..at + with.len()].copy_from_slice(with);
        fs::write(path, bytes).unwrap();
    }

    #[test]
    fn a_file_that_cannot_be_used_is_refused_by_name() {
        check("garbage", |path| fs::write(path, [0x5a; 8192]).unwrap(), "not a database");
        check("a ruined page", |path| overwrite(path, 4096, &[0xff; 512]), "damaged");
        check(
            "a newer schema",
            |path| Connection::open(path).unwrap().pragma_update(None, "user_version", 99).unwrap(),
            &format!("has schema 99, this carob knows none above {}", STEPS.len()),
        );
        check(
            "a directory",
            |path| {
                fs::remove_file(path).unwrap();
                fs::create_dir(path).unwrap();
            },
            "cannot open",
        );
    }

    #[test]
    fn a_step_that_fails_leaves_the_old_schema() {
        let scratch = Scratch::new();
        // A table in the way of the second statement of the first step.
        Connection::open(scratch.database()).unwrap().execute_batch("CREATE TABLE object (x)").unwrap();
        let error = Store::open(&scratch.database()).unwrap_err();
        assert!(matches!(error, Error::Migrate { from: 0, to, .. } if to as usize == STEPS.len()), "{error}");
        let tables: u32 = Connection::open(scratch.database())
            .unwrap()
            .query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))
            .unwrap();
        assert_eq!(tables, 1);
    }

    #[tokio::test]
    async fn what_an_older_carob_counted_is_still_counted() {
        let scratch = Scratch::new();
        let older = Connection::open(scratch.database()).unwrap();
        scratch::older(&older, 4);
        older
            .execute_batch(
                "INSERT INTO total VALUES ('u', 'shop', 'web', 'main', 'OOMKilled', 9, 'oom', 3),
                                          ('u', 'shop', 'web', 'main', 'Error', 0, 'error', 2)",
            )
            .unwrap();
        drop(older);
        let totals = Store::open(&scratch.database()).unwrap().journal().totals().await.unwrap();
        let told: Vec<_> = totals.iter().map(|total| (&*total.reason, &*total.limit, total.count)).collect();
        assert_eq!(told, [("Error", "", 2), ("OOMKilled", "unknown", 3)]);
    }

    #[test]
    fn only_the_owner_may_read_the_files_and_a_second_agent_may_not_open_them() {
        let scratch = Scratch::new();
        let path = scratch.database();
        let first = Store::open(&path).unwrap();
        for file in [path.clone(), path.with_extension("db-wal")] {
            assert_eq!(
                fs::metadata(&file).unwrap().permissions().mode() & 0o777,
                0o600,
                "{}",
                file.display()
            );
        }
        let error = Store::open(&path).unwrap_err();
        assert!(matches!(error, Error::InUse { .. }), "{error}");
        drop(first);
        drop(Store::open(&path).unwrap());
    }
}
