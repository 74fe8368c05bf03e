//! Groups of writes: one commit, and each its own answer.

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
    for (durability, expected) in
        [(Durability::Power, 2), (Durability::Process, 1), (Durability::Process, 1), (Durability::Power, 2)]
    {
        assert_eq!(level(durability).await, expected, "{durability:?}");
    }
    let mixed =
        together(&store, async { tokio::join!(level(Durability::Process), level(Durability::Power)) }).await;
    assert_eq!(mixed, (2, 2));
    store.journal().touch_boot(&BootId("b".to_owned()), 1).await.unwrap();
    let work = |db: &Connection| Ok(db.pragma_query_value(None, "synchronous", |row| row.get::<_, u8>(0))?);
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
