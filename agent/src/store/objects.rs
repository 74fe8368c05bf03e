//! Kubernetes objects as people wrote them, and the one counter that orders every change to them.
//!
//! Judges nothing but identity: names, uids and resourceVersions. Defaults and validation came before.

use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension, Row, params};
use serde_json::Value;
use tokio::sync::watch;

use super::{
    Error, Key, Kind,
    column::{not_json, unsigned},
    schema,
    seal::Seal,
    writer::{Durability, Fault, Writer},
};

/// More resourceVersions than a power cut can take back: those since the last write that was synced.
const LEAP: u64 = 1 << 16;

/// Events of clients that stay: those written last.
const EVENTS_KEPT: u32 = 1000;

/// The objects. Every change is on disk when it is answered.
#[derive(Clone, Debug)]
pub(crate) struct Objects {
    writer: Arc<Writer>,
    seal: Arc<Seal>,
}

impl Objects {
    pub(super) fn new(writer: Arc<Writer>, seal: Arc<Seal>) -> Self {
        Self { writer, seal }
    }

    /// Adds an object that has `metadata.name`, `.uid` and, but for a Namespace, `.namespace`; gives it back with its
    /// resourceVersion.
    pub(crate) async fn create(&self, kind: Kind, object: Value) -> Result<Value, Error> {
        let object = Candidate::of(kind, object)?;
        let attempted = format!("create {}", object.key);
        let seal = self.seal.clone();
        self.writer.write(attempted, Durability::Power, move |db| insert(db, &seal, object)).await
    }

    /// Adds all of them or none.
    pub(crate) async fn create_all(&self, objects: Vec<(Kind, Value)>) -> Result<Vec<Value>, Error> {
        let objects: Vec<_> = objects
            .into_iter()
            .map(|(kind, object)| Candidate::of(kind, object))
            .collect::<Result<_, _>>()?;
        let attempted = format!("create {} objects", objects.len());
        let seal = self.seal.clone();
        self.writer
            .write(attempted, Durability::Power, move |db| {
                objects.into_iter().map(|object| insert(db, &seal, object)).collect()
            })
            .await
    }

    pub(crate) async fn get(&self, kind: Kind, namespace: &str, name: &str) -> Result<Option<Value>, Error> {
        let key = Key { kind, namespace: namespace.to_owned(), name: name.to_owned() };
        let seal = self.seal.clone();
        self.writer
            .read(format!("read {key}"), move |db| Ok(stored(db, &seal, &key)?.map(|stored| stored.body)))
            .await
    }

    /// The objects of a kind by namespace and name, and the resourceVersion at which that is the whole list.
    pub(crate) async fn list(&self, kind: Kind, namespace: Option<&str>) -> Result<(Vec<Value>, u64), Error> {
        let (namespace, seal) = (namespace.map(str::to_owned), self.seal.clone());
        self.writer
            .read(format!("list {} objects", kind.name()), move |db| {
                let mut query = db.prepare_cached(
                    "SELECT namespace, name, uid, revision, body FROM object
                     WHERE kind = ?1 AND namespace = ifnull(?2, namespace) ORDER BY namespace, name",
                )?;
                let rows = query.query_map(params![kind.name(), namespace], |row| {
                    let key = Key { kind, namespace: row.get("namespace")?, name: row.get("name")? };
                    Ok(read(row, &seal, &key)?.body)
                })?;
                Ok((rows.collect::<Result<_, _>>()?, schema::revision(db)?))
            })
            .await
    }

    /// Puts `object` in the place of the one with the same name and uid. Nothing is written and the resourceVersion
    /// stays if they are equal but for that.
    pub(crate) async fn replace(
        &self,
        kind: Kind,
        object: Value,
        expected: Option<u64>,
    ) -> Result<Value, Error> {
        let object = Candidate::of(kind, object)?;
        let attempted = format!("replace {}", object.key);
        let seal = self.seal.clone();
        self.writer.write(attempted, Durability::Power, move |db| replace(db, &seal, object, expected)).await
    }

    /// Takes the object out, unless another with the same name has come in its place; gives back what it was.
    pub(crate) async fn remove(
        &self,
        kind: Kind,
        namespace: &str,
        name: &str,
        uid: &str,
    ) -> Result<Value, Error> {
        let key = Key { kind, namespace: namespace.to_owned(), name: name.to_owned() };
        let (uid, seal) = (uid.to_owned(), self.seal.clone());
        self.writer
            .write(format!("remove {key}"), Durability::Power, move |db| {
                let stored = same(db, &seal, &key, &uid)?;
                db.prepare_cached("DELETE FROM object WHERE kind = ?1 AND namespace = ?2 AND name = ?3")?
                    .execute(params![key.kind.name(), key.namespace, key.name])?;
                Ok(versioned(stored.body, advance(db)?))
            })
            .await
    }

    /// Takes this many resourceVersions for states that are not stored, and gives the last of them back.
    pub(crate) async fn advance(&self, by: u64) -> Result<u64, Error> {
        self.writer
            .write("take a resourceVersion".to_owned(), Durability::Process, move |db| {
                Ok(advance_by(db, by)?)
            })
            .await
    }

    /// Leaves all resourceVersions behind that were ever given out, also those that a power cut took back; gives the
    /// newest back.
    pub(crate) async fn leap(&self) -> Result<u64, Error> {
        let attempted = "leap to new resourceVersions".to_owned();
        self.writer.write(attempted, Durability::Power, |db| Ok(advance_by(db, LEAP)?)).await
    }

    /// The newest resourceVersion on disk.
    pub(crate) fn changed(&self) -> watch::Receiver<u64> {
        self.writer.revision()
    }
}

/// An object that says who it is.
struct Candidate {
    key: Key,
    uid: String,
    body: Value,
}

impl Candidate {
    fn of(kind: Kind, body: Value) -> Result<Self, Error> {
        let text = |at: &str, field| {
            let value = body.pointer(at).and_then(Value::as_str).filter(|text| !text.is_empty());
            value.map(str::to_owned).ok_or(Error::Incomplete { kind, field })
        };
        let namespace = match kind {
            Kind::Namespace => String::new(),
            _ => text("/metadata/namespace", "metadata.namespace")?,
        };
        let name = text("/metadata/name", "metadata.name")?;
        let uid = text("/metadata/uid", "metadata.uid")?;
        Ok(Self { key: Key { kind, namespace, name }, uid, body })
    }
}

/// A row as it is on disk.
struct Stored {
    uid: String,
    revision: u64,
    body: Value,
}

fn insert(db: &Connection, seal: &Seal, object: Candidate) -> Result<Value, Fault> {
    let Candidate { key, uid, body } = object;
    if stored(db, seal, &key)?.is_some() {
        return Err(Error::AlreadyExists(key).into());
    }
    if is_terminating(db, seal, &key.namespace)? {
        return Err(Error::Terminating(key).into());
    }
    let revision = advance(db)?;
    let body = versioned(body, revision);
    let text = seal.text(db, &key, &uid, &body)?;
    db.prepare_cached(
        "INSERT INTO object (kind, namespace, name, uid, revision, body) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
    )?
    .execute(params![key.kind.name(), key.namespace, key.name, uid, revision.cast_signed(), text])?;
    if key.kind == Kind::Event {
        prune_events(db)?;
    }
    Ok(body)
}

/// Whether a namespace is marked for deletion: from then on it only gets emptier.
fn is_terminating(db: &Connection, seal: &Seal, name: &str) -> rusqlite::Result<bool> {
    let key = Key { kind: Kind::Namespace, namespace: String::new(), name: name.to_owned() };
    let namespace = stored(db, seal, &key)?;
    Ok(namespace.is_some_and(|namespace| namespace.body["metadata"]["deletionTimestamp"].is_string()))
}

fn prune_events(db: &Connection) -> rusqlite::Result<usize> {
    let kind = Kind::Event.name();
    db.prepare_cached(
        "DELETE FROM object WHERE kind = ?1 AND (namespace, name) IN
         (SELECT namespace, name FROM object WHERE kind = ?1 ORDER BY revision DESC LIMIT -1 OFFSET ?2)",
    )?
    .execute(params![kind, EVENTS_KEPT])
}

fn replace(db: &Connection, seal: &Seal, object: Candidate, expected: Option<u64>) -> Result<Value, Fault> {
    let Candidate { key, uid, body } = object;
    let before = same(db, seal, &key, &uid)?;
    if let Some(expected) = expected.filter(|expected| *expected != before.revision) {
        return Err(Error::Conflict { key, expected, found: before.revision }.into());
    }
    let body = versioned(body, before.revision);
    if body == before.body {
        return Ok(body);
    }
    let revision = advance(db)?;
    let body = versioned(body, revision);
    let text = seal.text(db, &key, &uid, &body)?;
    db.prepare_cached(
        "UPDATE object SET revision = ?4, body = ?5 WHERE kind = ?1 AND namespace = ?2 AND name = ?3",
    )?
    .execute(params![key.kind.name(), key.namespace, key.name, revision.cast_signed(), text])?;
    Ok(body)
}

/// The stored object of that name, if it is still the one with that uid.
fn same(db: &Connection, seal: &Seal, key: &Key, uid: &str) -> Result<Stored, Fault> {
    let stored = stored(db, seal, key)?.filter(|stored| stored.uid == uid);
    stored.ok_or_else(|| Error::NotFound(key.clone()).into())
}

fn stored(db: &Connection, seal: &Seal, key: &Key) -> rusqlite::Result<Option<Stored>> {
    db.prepare_cached(
        "SELECT uid, revision, body FROM object WHERE kind = ?1 AND namespace = ?2 AND name = ?3",
    )?
    .query_row(params![key.kind.name(), key.namespace, key.name], |row| read(row, seal, key))
    .optional()
}

fn read(row: &Row<'_>, seal: &Seal, key: &Key) -> rusqlite::Result<Stored> {
    let (uid, revision) = (row.get::<_, String>("uid")?, unsigned(row, "revision")?);
    let index = row.as_ref().column_index("body")?;
    let body = seal.body(row.get_ref(index)?.as_str()?, key, &uid, revision);
    let body = body.map_err(|fault| not_json(index, fault))?;
    Ok(Stored { uid, revision, body })
}

/// The next resourceVersion. Deletes take one too, so that a watcher can tell that something went.
pub(super) fn advance(db: &Connection) -> rusqlite::Result<u64> {
    advance_by(db, 1)
}

fn advance_by(db: &Connection, by: u64) -> rusqlite::Result<u64> {
    db.prepare_cached("UPDATE revision SET newest = newest + ?1 RETURNING newest")?
        .query_row([by.cast_signed()], |row| unsigned(row, "newest"))
}

fn versioned(mut object: Value, revision: u64) -> Value {
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.insert("resourceVersion".to_owned(), Value::String(revision.to_string()));
    }
    object
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::store::{
        Store,
        scratch::{Scratch, commits, pod},
    };

    fn revision(object: &Value) -> u64 {
        object["metadata"]["resourceVersion"].as_str().unwrap().parse().unwrap()
    }

    fn labelled(name: &str, label: &str) -> Value {
        let mut object = pod(name);
        object["metadata"]["labels"] = json!({ "app": label });
        object
    }

    #[tokio::test]
    async fn every_change_takes_a_higher_resource_version_also_after_a_restart() {
        let scratch = Scratch::new();
        let store = Store::open(&scratch.database()).unwrap();
        let objects = store.objects();
        let mut seen = vec![
            revision(&objects.create(Kind::Pod, pod("a")).await.unwrap()),
            revision(&objects.create(Kind::PersistentVolumeClaim, pod("a")).await.unwrap()),
            revision(&objects.replace(Kind::Pod, labelled("a", "x"), Some(1)).await.unwrap()),
            revision(&objects.create(Kind::Pod, pod("b")).await.unwrap()),
            revision(&objects.remove(Kind::Pod, "default", "b", "uid-b").await.unwrap()),
        ];
        assert_eq!(*objects.changed().borrow(), 5);
        drop((store, objects));

        let objects = Store::open(&scratch.database()).unwrap().objects();
        assert_eq!(*objects.changed().borrow(), 5);
        let all = objects.create_all(vec![(Kind::Pod, pod("b")), (Kind::Pod, pod("c"))]).await.unwrap();
        seen.extend(all.iter().map(revision));
        assert_eq!(seen, (1..=7).collect::<Vec<_>>());
        let (pods, newest) = objects.list(Kind::Pod, None).await.unwrap();
        assert_eq!((pods.iter().map(revision).collect(), newest), (vec![3, 6, 7], 7));
        assert_eq!(pods[0]["metadata"]["labels"]["app"], "x");
    }

    #[tokio::test]
    async fn a_refused_change_changes_nothing() {
        let scratch = Scratch::new();
        let objects = Store::open(&scratch.database()).unwrap().objects();
        objects.create(Kind::Pod, pod("a")).await.unwrap();
        let before = objects.list(Kind::Pod, None).await.unwrap();
        let mut stranger = pod("a");
        stranger["metadata"]["uid"] = "other".into();
        let mut nameless = pod("a");
        nameless["metadata"]["name"] = "".into();

        let check = async |what: &str, result: Result<Value, Error>, expected: &str| {
            assert_eq!(result.unwrap_err().to_string(), expected, "{what}");
            assert_eq!(objects.list(Kind::Pod, None).await.unwrap(), before, "{what}");
        };
        let twice = objects.create(Kind::Pod, pod("a")).await;
        check("create twice", twice, "Pod default/a exists already").await;
        let nameless = objects.create(Kind::Pod, nameless).await;
        check("create without a name", nameless, "a Pod without metadata.name cannot be stored").await;
        let missing = objects.replace(Kind::Pod, pod("b"), None).await;
        check("replace what is not there", missing, "Pod default/b does not exist").await;
        let other = objects.replace(Kind::Pod, stranger, None).await;
        check("replace another's", other, "Pod default/a does not exist").await;
        let stale = objects.replace(Kind::Pod, labelled("a", "x"), Some(7)).await;
        check("replace a stale one", stale, "Pod default/a has resourceVersion 1, not 7").await;
        let other = objects.remove(Kind::Pod, "default", "a", "other").await;
        check("remove another's", other, "Pod default/a does not exist").await;
        let batch = objects.create_all(vec![(Kind::Pod, pod("b")), (Kind::Pod, pod("a"))]).await;
        check("create all but one", batch.map(Value::Array), "Pod default/a exists already").await;
    }

    #[tokio::test]
    async fn an_equal_object_is_not_written_again() {
        let scratch = Scratch::new();
        let objects = Store::open(&scratch.database()).unwrap().objects();
        let first = objects.create(Kind::Pod, pod("a")).await.unwrap();
        let before = commits(&scratch.database());
        assert_eq!(objects.replace(Kind::Pod, pod("a"), None).await.unwrap(), first);
        assert_eq!(commits(&scratch.database()), before);
        objects.replace(Kind::Pod, labelled("a", "x"), None).await.unwrap();
        assert_eq!(commits(&scratch.database()), before + 1);
    }

    #[tokio::test]
    async fn a_list_holds_one_kind_of_one_namespace() {
        let scratch = Scratch::new();
        let objects = Store::open(&scratch.database()).unwrap().objects();
        let mut elsewhere = pod("a");
        elsewhere["metadata"]["namespace"] = "other".into();
        objects.create(Kind::Pod, elsewhere).await.unwrap();
        objects.create(Kind::Pod, pod("b")).await.unwrap();
        objects.create(Kind::Pod, pod("a")).await.unwrap();
        objects.create(Kind::PersistentVolumeClaim, pod("c")).await.unwrap();

        let check = async |kind, namespace, expected: &[&str]| {
            let (found, _) = objects.list(kind, namespace).await.unwrap();
            let names: Vec<_> = found
                .iter()
                .map(|object| {
                    let metadata = &object["metadata"];
                    format!("{}/{}", metadata["namespace"], metadata["name"]).replace('"', "")
                })
                .collect();
            assert_eq!(names, expected, "{kind:?} {namespace:?}");
        };
        check(Kind::Pod, None, &["default/a", "default/b", "other/a"]).await;
        check(Kind::Pod, Some("default"), &["default/a", "default/b"]).await;
        check(Kind::Pod, Some("nowhere"), &[]).await;
        check(Kind::PersistentVolumeClaim, None, &["default/c"]).await;
        assert!(objects.get(Kind::Pod, "default", "c").await.unwrap().is_none());
        let claim = objects.get(Kind::PersistentVolumeClaim, "default", "c").await.unwrap().unwrap();
        assert_eq!(claim["metadata"]["uid"], "uid-c");
    }

    #[tokio::test]
    async fn of_the_events_of_clients_the_newest_stay() {
        let scratch = Scratch::new();
        let objects = Store::open(&scratch.database()).unwrap().objects();
        objects.create(Kind::Pod, pod("e0")).await.unwrap();
        let event = |number: u32| (Kind::Event, pod(&format!("e{number}")));
        objects.create_all((0..EVENTS_KEPT + 2).map(event).collect()).await.unwrap();
        let (found, _) = objects.list(Kind::Event, None).await.unwrap();
        assert_eq!(found.len(), EVENTS_KEPT as usize);
        for (name, is_there) in [("e0", false), ("e1", false), ("e2", true), ("e1001", true)] {
            let found = objects.get(Kind::Event, "default", name).await.unwrap();
            assert_eq!(found.is_some(), is_there, "{name}");
        }
        assert!(objects.get(Kind::Pod, "default", "e0").await.unwrap().is_some());
    }
}
