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
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::{
        pod::status::BootId,
        store::{
            Kind, Objects, Store,
            scratch::{Scratch, commits, pod},
        },
    };

    fn large(name: &str) -> Value {
        let mut object = pod(name);
        object["spec"]["text"] = json!("x".repeat(1 << 20));
        object
    }

    async fn names(objects: &Objects) -> Vec<String> {
        let (pods, _) = objects.list(Kind::Pod, None).await.unwrap();
        pods.iter().map(|pod| pod["metadata"]["name"].as_str().unwrap().to_owned()).collect()
    }

    async fn set(store: &Store, pragma: &'static str, value: u32) {
        let work = move |db: &Connection| {
            // Some answer with a row, some do not.
            Ok(db.pragma(None, pragma, value, |_| Ok(()))?)
        };
        store.writer.read(format!("set {pragma}"), work).await.unwrap();
    }

    /// Keeps the thread busy while `writes` queue up, and gives back what they were told.
    async fn together<T>(store: &Store, writes: impl Future<Output = T>) -> T {
        let (busy, is_busy) = oneshot::channel();
        let (release, released) = mpsc::channel();
        let hold = store.writer.read("wait".to_owned(), move |_| {
            busy.send(()).unwrap();
            released.recv().unwrap();
            Ok(())
        });
        let queue = async {
            is_busy.await.unwrap();
            // The first poll of the writes queues them all.
            let (told, ()) = tokio::join!(biased; writes, async { release.send(()).unwrap() });
            told
        };
        let (held, told) = tokio::join!(hold, queue);
        held.unwrap();
        told
    }

    #[tokio::test]
    async fn writes_that_wait_share_one_commit() {
        let scratch = Scratch::new();
        let store = Store::open(&scratch.database()).unwrap();
        let (objects, others) = (store.objects(), store.objects());
        let before = commits(&scratch.database());
        let told = together(&store, async {
            tokio::join!(
                objects.create(Kind::Pod, pod("a")),
                others.create(Kind::Pod, pod("a")),
                others.create(Kind::Pod, pod("b")),
                objects.create(Kind::Pod, pod("c")),
            )
        })
        .await;
        assert!(matches!(told, (Ok(_), Err(Error::AlreadyExists(_)), Ok(_), Ok(_))), "{told:?}");
        assert_eq!(commits(&scratch.database()), before + 1);
        assert_eq!(names(&objects).await, ["a", "b", "c"]);
        assert_eq!(*objects.changed().borrow(), 3);
    }

    #[tokio::test]
    async fn a_full_disk_is_told_to_all_whose_write_it_undid_and_reading_goes_on() {
        let scratch = Scratch::new();
        let store = Store::open(&scratch.database()).unwrap();
        let objects = store.objects();
        objects.create(Kind::Pod, pod("a")).await.unwrap();
        set(&store, "max_page_count", 40).await;

        let (first, second, third, list) = together(&store, async {
            tokio::join!(
                objects.create(Kind::Pod, pod("b")),
                objects.create(Kind::Pod, large("c")),
                objects.create(Kind::Pod, pod("d")),
                objects.list(Kind::Pod, None),
            )
        })
        .await;
        assert!(matches!(first, Err(Error::Undone { .. })), "{first:?}");
        let second = second.unwrap_err();
        assert_eq!(second.to_string(), "cannot create Pod default/c");
        assert_eq!(std::error::Error::source(&second).unwrap().to_string(), "database or disk is full");
        third.unwrap();
        assert_eq!(list.unwrap().1, 2);
        assert_eq!(names(&objects).await, ["a", "d"]);

        set(&store, "max_page_count", 1 << 30).await;
        objects.create(Kind::Pod, large("c")).await.unwrap();
        drop((store, objects));
        let objects = Store::open(&scratch.database()).unwrap().objects();
        assert_eq!(names(&objects).await, ["a", "c", "d"]);
    }

    #[tokio::test]
    async fn a_commit_that_fails_is_told_to_every_write_in_it_and_to_no_read() {
        let scratch = Scratch::new();
        let store = Store::open(&scratch.database()).unwrap();
        let objects = store.objects();
        set(&store, "foreign_keys", 1).await;
        // SQLite looks at a deferred reference only when it commits.
        let dangling = |db: &Connection| {
            Ok(db.execute_batch(
                "CREATE TABLE target (id INTEGER PRIMARY KEY);
                 CREATE TABLE source (target REFERENCES target DEFERRABLE INITIALLY DEFERRED);
                 INSERT INTO source VALUES (1)",
            )?)
        };
        let (first, second, list) = together(&store, async {
            tokio::join!(
                objects.create(Kind::Pod, pod("a")),
                store.writer.write("point nowhere".to_owned(), Durability::Power, dangling),
                objects.list(Kind::Pod, None),
            )
        })
        .await;
        let first = first.unwrap_err();
        assert_eq!(first.to_string(), "cannot create Pod default/a: the commit failed");
        assert_eq!(std::error::Error::source(&first).unwrap().to_string(), "FOREIGN KEY constraint failed");
        assert!(matches!(second, Err(Error::Commit { .. })), "{second:?}");
        assert_eq!(list.unwrap(), (Vec::new(), 0));
        assert_eq!(*objects.changed().borrow(), 0);
        objects.create(Kind::Pod, pod("a")).await.unwrap();
        assert_eq!(names(&objects).await, ["a"]);
    }

    #[tokio::test]
    async fn a_database_that_became_read_only_can_still_be_read() {
        let scratch = Scratch::new();
        let store = Store::open(&scratch.database()).unwrap();
        let objects = store.objects();
        objects.create(Kind::Pod, pod("a")).await.unwrap();
        set(&store, "query_only", 1).await;
        let error = objects.create(Kind::Pod, pod("b")).await.unwrap_err();
        assert_eq!(error.to_string(), "cannot create Pod default/b");
        assert!(matches!(error, Error::Failed { .. }), "{error:?}");
        assert_eq!(names(&objects).await, ["a"]);
        set(&store, "query_only", 0).await;
        objects.create(Kind::Pod, pod("b")).await.unwrap();
        assert_eq!(names(&objects).await, ["a", "b"]);
    }

    #[tokio::test]
    async fn only_a_commit_that_may_be_lost_with_the_box_is_not_synced() {
        let scratch = Scratch::new();
        let store = Store::open(&scratch.database()).unwrap();
        let level = async |durability| {
            let work =
                |db: &Connection| Ok(db.pragma_query_value(None, "synchronous", |row| row.get::<_, u8>(0))?);
            store.writer.write("ask".to_owned(), durability, work).await.unwrap()
        };
        for (durability, expected) in [
            (Durability::Power, 2),
            (Durability::Process, 1),
            (Durability::Process, 1),
            (Durability::Power, 2),
        ] {
            assert_eq!(level(durability).await, expected, "{durability:?}");
        }
        let mixed =
            together(&store, async { tokio::join!(level(Durability::Process), level(Durability::Power)) })
                .await;
        assert_eq!(mixed, (2, 2));
        store.journal().touch_boot(&BootId("b".to_owned()), 1).await.unwrap();
        let work =
            |db: &Connection| Ok(db.pragma_query_value(None, "synchronous", |row| row.get::<_, u8>(0))?);
        assert_eq!(store.writer.read("ask".to_owned(), work).await.unwrap(), 1);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn handles_may_be_used_from_everywhere_at_once() {
        let scratch = Scratch::new();
        let store = Store::open(&scratch.database()).unwrap();
        let tasks: Vec<_> = (0..50)
            .map(|n| {
                let objects = store.objects();
                tokio::spawn(async move { objects.create(Kind::Pod, pod(&format!("p{n}"))).await.unwrap() })
            })
            .collect();
        let mut seen = Vec::new();
        for task in tasks {
            let object = task.await.unwrap();
            seen.push(object["metadata"]["resourceVersion"].as_str().unwrap().parse::<u64>().unwrap());
        }
        seen.sort_unstable();
        assert_eq!(seen, (1..=50).collect::<Vec<_>>());
    }
}
