//! The one thread that owns the connection, and the queue before it.
//!
//! Group commit: what has queued up while a commit was being synced runs in the next transaction, a savepoint each,
//! so that one write's failure is its own. Reads run after the commit: they see only what is safe on disk, and they
//! work when writing does not.
//!
//! ```text
//! queue ─► drain ─► BEGIN ─► savepoint per write ─► COMMIT ─► answer writes ─► answer reads ─► queue
//! ```

use std::{
    collections::VecDeque,
    io,
    sync::{Arc, mpsc},
    thread::{self, JoinHandle},
};

use rusqlite::{Connection, Transaction};
use tokio::sync::{oneshot, watch};

use super::{Error, schema};
use crate::config::STACK;

/// The sending side of the queue. The last to drop it waits until the database is closed.
#[derive(Debug)]
pub(super) struct Writer {
    queue: Option<mpsc::Sender<Job>>,
    thread: Option<JoinHandle<()>>,
    revision: watch::Receiver<u64>,
}

/// What a write must survive once it is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Durability {
    /// The agent's death, but perhaps not the box's.
    Process,
    /// A power cut.
    Power,
}

/// Why a piece of work on the database ended early.
pub(super) enum Fault {
    Sql(rusqlite::Error),
    Refused(Error),
}

impl From<rusqlite::Error> for Fault {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sql(error)
    }
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        Self::Refused(error)
    }
}

impl Fault {
    pub(super) fn of(self, attempted: String) -> Error {
        match self {
            Self::Sql(source) => Error::Failed { attempted, source },
            Self::Refused(error) => error,
        }
    }
}

enum Job {
    Write(Write),
    Read(Box<dyn FnOnce(&Connection) + Send>),
}

struct Write {
    durability: Durability,
    run: Box<dyn FnOnce(Begun<'_, '_>) -> Answer + Send>,
}

/// A transaction to run in, or why there is none.
type Begun<'a, 'b> = Result<&'a mut Transaction<'b>, Arc<rusqlite::Error>>;

/// Tells the caller of a write how it ended, once its transaction's fate is known.
type Answer = Box<dyn FnOnce(Fate)>;

/// What became of a transaction.
#[derive(Clone)]
enum Fate {
    Committed,
    /// SQLite gave it up when a write failed, as it does for a full disk.
    Undone,
    Failed(Arc<rusqlite::Error>),
}

impl Writer {
    pub(super) fn start(db: Connection, revision: u64) -> io::Result<Self> {
        let (queue, jobs) = mpsc::channel();
        let (newest, revision) = watch::channel(revision);
        let thread = thread::Builder::new().name("store".to_owned()).stack_size(STACK);
        let thread = thread.spawn(move || serve(db, &jobs, &newest))?;
        Ok(Self { queue: Some(queue), thread: Some(thread), revision })
    }

    /// The newest resourceVersion on disk.
    pub(super) fn revision(&self) -> watch::Receiver<u64> {
        self.revision.clone()
    }

    /// Runs `work` in a transaction and answers after the commit. `attempted` completes "cannot …".
    pub(super) async fn write<T: Send + 'static>(
        &self,
        attempted: String,
        durability: Durability,
        work: impl FnOnce(&Connection) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, Error> {
        let closed = || Error::Closed { attempted: attempted.clone() };
        let (caller, answer) = oneshot::channel();
        let what = attempted.clone();
        let run = Box::new(move |transaction: Begun<'_, '_>| {
            let result = match transaction {
                Ok(transaction) => in_savepoint(transaction, work).map_err(|fault| fault.of(what.clone())),
                Err(source) => Err(Error::Commit { attempted: what.clone(), source }),
            };
            // A caller that no longer listens changes nothing: the write stands.
            Box::new(move |fate| drop(caller.send(settle(result, fate, what)))) as Answer
        });
        self.queue(Job::Write(Write { durability, run })).ok_or_else(closed)?;
        answer.await.map_err(|_| closed())?
    }

    /// Runs `work` outside any transaction.
    pub(super) async fn read<T: Send + 'static>(
        &self,
        attempted: String,
        work: impl FnOnce(&Connection) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, Error> {
        let (caller, answer) = oneshot::channel();
        self.queue(Job::Read(Box::new(move |db| drop(caller.send(work(db))))))
            .ok_or_else(|| Error::Closed { attempted: attempted.clone() })?;
        match answer.await {
            Ok(result) => result.map_err(|fault| fault.of(attempted)),
            Err(_) => Err(Error::Closed { attempted }),
        }
    }

    fn queue(&self, job: Job) -> Option<()> {
        self.queue.as_ref()?.send(job).ok()
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        drop(self.queue.take());
        // A thread that panicked has said so; there is nothing left to close.
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

fn settle<T>(result: Result<T, Error>, fate: Fate, attempted: String) -> Result<T, Error> {
    match (result, fate) {
        (Err(error), _) => Err(error),
        (Ok(value), Fate::Committed) => Ok(value),
        (Ok(_), Fate::Undone) => Err(Error::Undone { attempted }),
        (Ok(_), Fate::Failed(source)) => Err(Error::Commit { attempted, source }),
    }
}

fn serve(mut db: Connection, jobs: &mpsc::Receiver<Job>, newest: &watch::Sender<u64>) {
    // `schema::open` leaves the connection at the stricter one.
    let mut synced = Durability::Power;
    while let Ok(first) = jobs.recv() {
        let (mut writes, mut reads) = (VecDeque::new(), Vec::new());
        for job in std::iter::once(first).chain(jobs.try_iter()) {
            match job {
                Job::Write(write) => writes.push_back(write),
                Job::Read(read) => reads.push(read),
            }
        }
        while let Some(needed) = writes.iter().map(|write| write.durability).max() {
            synced = sync_for(&db, synced, needed);
            commit(&mut db, &mut writes, newest);
        }
        for read in reads {
            read(&db);
        }
    }
}

/// Sets how hard the next commit is synced; gives back how hard it will be.
fn sync_for(db: &Connection, synced: Durability, needed: Durability) -> Durability {
    if synced == needed {
        return synced;
    }
    let level = match needed {
        Durability::Process => "NORMAL",
        Durability::Power => "FULL",
    };
    // It only sets a number in memory.
    match db.pragma_update(None, "synchronous", level) {
        Ok(()) => needed,
        Err(_) => synced,
    }
}

/// Runs writes in one transaction, until there are no more or SQLite gives the transaction up.
fn commit(db: &mut Connection, writes: &mut VecDeque<Write>, newest: &watch::Sender<u64>) {
    let mut answers = Vec::new();
    let fate = match db.transaction() {
        Ok(mut transaction) => {
            // Without the check the next savepoint would silently be a transaction of its own.
            while !transaction.is_autocommit()
                && let Some(write) = writes.pop_front()
            {
                answers.push((write.run)(Ok(&mut transaction)));
            }
            finish(transaction)
        }
        Err(source) => {
            let source = Arc::new(source);
            answers.extend(writes.drain(..).map(|write| (write.run)(Err(Arc::clone(&source)))));
            Fate::Failed(source)
        }
    };
    if let Fate::Failed(_) = fate {
        // On a full disk the log may have no room to grow. Once its pages are in the database, which often has room
        // inside, the next write starts the log anew. If that fails too, the next write says so.
        let _ = db.query_row("PRAGMA wal_checkpoint(RESTART)", [], |_| Ok(()));
    }
    if let Ok(revision) = schema::revision(db) {
        newest.send_if_modified(|known| std::mem::replace(known, revision) != revision);
    }
    for answer in answers {
        answer(fate.clone());
    }
}

fn finish(transaction: Transaction<'_>) -> Fate {
    if transaction.is_autocommit() {
        return Fate::Undone;
    }
    match transaction.commit() {
        Ok(()) => Fate::Committed,
        Err(source) => Fate::Failed(Arc::new(source)),
    }
}

fn in_savepoint<T>(
    transaction: &mut Transaction<'_>,
    work: impl FnOnce(&Connection) -> Result<T, Fault>,
) -> Result<T, Fault> {
    let savepoint = transaction.savepoint()?;
    let value = work(&savepoint)?;
    savepoint.commit()?;
    Ok(value)
}

#[cfg(test)]
mod tests;
