//! A directory that a test owns, and rows to put into the database there. Only for tests.

use std::{
    fs,
    path::{Path, PathBuf},
    process,
    sync::atomic::{AtomicU32, Ordering},
};

use rusqlite::Connection;
use serde_json::{Value, json};

use super::schema::STEPS;

/// Removed with all that is in it when it goes out of scope.
pub(super) struct Scratch(PathBuf);

impl Scratch {
    pub(super) fn new() -> Self {
        static MADE: AtomicU32 = AtomicU32::new(0);
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("carob-store-{}-{number}", process::id()));
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    pub(super) fn database(&self) -> PathBuf {
        self.0.join("carob.db")
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.0));
    }
}

/// A pod `name` in `default` with the uid `uid-<name>` and one container `main`.
pub(super) fn pod(name: &str) -> Value {
    json!({
        "metadata": {"namespace": "default", "name": name, "uid": format!("uid-{name}")},
        "spec": {"containers": [{"name": "main", "image": "busybox:1.36"}]},
    })
}

/// Makes of an empty file one with the schema of an older carob.
pub(super) fn older(db: &Connection, steps: u32) {
    STEPS[..steps as usize].iter().for_each(|step| db.execute_batch(step).unwrap());
    db.pragma_update(None, "user_version", steps).unwrap();
}

/// How many transactions the write-ahead log holds: the frames that complete one say how large the database became
/// (bytes 4 to 8 of a frame's header, <https://www.sqlite.org/fileformat2.html#the_write_ahead_log>).
pub(super) fn commits(database: &Path) -> usize {
    let log = fs::read(database.with_extension("db-wal")).unwrap();
    let (header, frames) = log.split_at(32);
    let page = u32::from_be_bytes(header[8..12].try_into().unwrap()) as usize;
    frames.chunks(24 + page).filter(|frame| frame[4..8] != [0; 4]).count()
}
