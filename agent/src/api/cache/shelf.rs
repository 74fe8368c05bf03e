//! What the API shows of one kind of object, state after state, each with a version of its own. Pure.
//!
//! ```text
//! stored body + status of the picture ─► object as shown ─► differs from the one on the shelf? ─► Change
//! ```
//!
//! A state that the store gave a version keeps it. A status has none there: it is given a fresh one, and so is what
//! was written while the last fresh ones were given out. So versions only grow, whatever two changes did to each other.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

use serde_json::{Value, json};

/// Changes that are remembered: how far back a watch may begin. The objects themselves are shared with the shelf.
const REMEMBERED: usize = 512;

/// Namespace and name.
pub(in crate::api) type Id = (String, String);

/// One state of one object.
#[derive(Debug, PartialEq)]
pub(in crate::api) struct Shown {
    /// With `version` as its resourceVersion.
    pub(in crate::api) object: Value,
    pub(in crate::api) version: u64,
    /// The version of what people wrote of it.
    written: u64,
    /// The first version under which just that was shown.
    since: u64,
}

/// From one state to the next. What has no `before` is new, what has no `after` is gone.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::api) struct Change {
    pub(in crate::api) version: u64,
    pub(in crate::api) before: Option<Arc<Shown>>,
    pub(in crate::api) after: Option<Arc<Shown>>,
}

/// The version asked for is older than what is remembered, or was never given out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::api) struct Expired;

/// All objects of a kind, and how they became so.
#[derive(Debug, Default)]
pub(super) struct Shelf {
    objects: BTreeMap<Id, Arc<Shown>>,
    changes: VecDeque<Change>,
    /// At this version `objects` is the whole truth.
    version: u64,
    /// Changes up to this version are not remembered.
    forgotten: u64,
    is_filled: bool,
}

/// A change that has no version yet if the store gave it none.
#[derive(Debug)]
pub(super) struct Draft {
    id: Id,
    before: Option<Arc<Shown>>,
    after: Option<Value>,
    written: Option<u64>,
}

impl Draft {
    pub(super) fn needs_version(&self) -> bool {
        self.written.is_none()
    }
}

impl Shelf {
    /// The shelf as it is first filled. A state that is older than `floor` gets that for its version: who knows what was
    /// shown of it before.
    pub(super) fn filled(found: Vec<Value>, version: u64, floor: u64) -> Self {
        let entry = |object: Value| {
            let written = written(&object);
            let version = written.max(floor);
            let shown = Shown { object: versioned(object, version), version, written, since: version };
            (id(&shown.object), Arc::new(shown))
        };
        let objects = found.into_iter().map(entry).collect();
        Self { objects, changes: VecDeque::new(), version, forgotten: version, is_filled: true }
    }

    /// How `found`, all that there is now, differs from the shelf.
    pub(super) fn drafts(&self, found: Vec<Value>) -> Vec<Draft> {
        let mut drafts = Vec::new();
        let mut left: BTreeMap<&Id, &Arc<Shown>> = self.objects.iter().collect();
        for object in found {
            let id = id(&object);
            let before = left.remove(&id);
            let same = before.filter(|before| uid(&before.object) == uid(&object));
            let replaced = before.filter(|_| same.is_none());
            if let Some(replaced) = replaced {
                drafts.push(Draft::end(id.clone(), replaced));
            }
            let is_as_it_was = |before: &Arc<Shown>| {
                before.written == written(&object) && is_same_but_for_version(&before.object, &object)
            };
            if !same.is_some_and(is_as_it_was) {
                let number = Some(written(&object)).filter(|number| *number > self.version);
                // After the end of the one it replaces, which has no version yet.
                let number = number.filter(|_| replaced.is_none());
                drafts.push(Draft { id, before: same.cloned(), after: Some(object), written: number });
            }
        }
        drafts.extend(left.into_iter().map(|(id, gone)| Draft::end(id.clone(), gone)));
        // What the store has ordered comes first, in its order; fresh versions are higher than all of those.
        drafts.sort_by_key(|draft| draft.written.unwrap_or(u64::MAX));
        drafts
    }

    /// Takes the changes in. `version` is that of the list they were found in; `fresh` are the versions for those that
    /// need one, all of them higher.
    pub(super) fn fold(&mut self, drafts: Vec<Draft>, version: u64, mut fresh: impl Iterator<Item = u64>) {
        self.version = self.version.max(version);
        for draft in drafts {
            let Some(version) = draft.written.or_else(|| fresh.next()) else { return };
            self.version = self.version.max(version);
            let after = draft.after.map(|object| {
                let written = written(&object);
                let known = draft.before.as_ref().filter(|before| before.written == written);
                let since = known.map_or(version, |before| before.since);
                Arc::new(Shown { object: versioned(object, version), version, written, since })
            });
            match &after {
                Some(shown) => drop(self.objects.insert(draft.id, Arc::clone(shown))),
                None => drop(self.objects.remove(&draft.id)),
            }
            self.changes.push_back(Change { version, before: draft.before, after });
        }
        while self.changes.len() > REMEMBERED {
            self.forgotten = self.changes.pop_front().map_or(self.forgotten, |change| change.version);
        }
    }

    pub(super) fn is_filled(&self) -> bool {
        self.is_filled
    }

    pub(super) fn version(&self) -> u64 {
        self.version
    }

    pub(super) fn all(&self) -> Vec<Arc<Shown>> {
        self.objects.values().cloned().collect()
    }

    pub(super) fn one(&self, id: &Id) -> Option<Arc<Shown>> {
        self.objects.get(id).cloned()
    }

    /// What has changed after `version`.
    pub(super) fn after(&self, version: u64) -> Result<Vec<Change>, Expired> {
        if version < self.forgotten || version > self.version {
            return Err(Expired);
        }
        let first = self.changes.partition_point(|change| change.version <= version);
        Ok(self.changes.range(first..).cloned().collect())
    }
}

impl Draft {
    fn end(id: Id, gone: &Arc<Shown>) -> Self {
        Self { id, before: Some(Arc::clone(gone)), after: None, written: None }
    }
}

impl Shown {
    /// Whether a client that has seen `version` has seen all that people have written of the object since.
    pub(in crate::api) fn is_covered_by(&self, version: u64) -> bool {
        version == self.written || (self.since..=self.version).contains(&version)
    }
}

fn id(object: &Value) -> Id {
    let text = |field: &str| object["metadata"][field].as_str().unwrap_or_default().to_owned();
    (text("namespace"), text("name"))
}

fn uid(object: &Value) -> &Value {
    &object["metadata"]["uid"]
}

fn written(object: &Value) -> u64 {
    object["metadata"]["resourceVersion"].as_str().and_then(|version| version.parse().ok()).unwrap_or(0)
}

fn versioned(mut object: Value, version: u64) -> Value {
    object["metadata"]["resourceVersion"] = json!(version.to_string());
    object
}

fn is_same_but_for_version(one: &Value, other: &Value) -> bool {
    let (Some(one), Some(other)) = (one.as_object(), other.as_object()) else { return one == other };
    let rest =
        |object: &serde_json::Map<String, Value>| object.len() - usize::from(object.contains_key("metadata"));
    let same_metadata = match (one.get("metadata"), other.get("metadata")) {
        (Some(Value::Object(one)), Some(Value::Object(other))) => {
            one.len() == other.len()
                && one.iter().all(|(key, value)| key == "resourceVersion" || other.get(key) == Some(value))
        }
        (one, other) => one == other,
    };
    same_metadata
        && rest(one) == rest(other)
        && one.iter().all(|(key, value)| key == "metadata" || other.get(key) == Some(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(name: &str, uid: &str, version: u64, phase: &str) -> Value {
        json!({
            "metadata": {"namespace": "n", "name": name, "uid": uid, "resourceVersion": version.to_string()},
            "status": {"phase": phase},
        })
    }

    /// What a change was, with its version and the phase before and after.
    fn told(change: &Change) -> String {
        let phase = |shown: &Option<Arc<Shown>>| {
            shown.as_ref().map_or("-".to_owned(), |shown| {
                let object = &shown.object;
                assert_eq!(object["metadata"]["resourceVersion"], json!(shown.version.to_string()));
                format!("{}:{}", object["metadata"]["name"], object["status"]["phase"]).replace('"', "")
            })
        };
        format!("{} {} {}", change.version, phase(&change.before), phase(&change.after))
    }

    /// Folds what is found now, with fresh versions from `fresh` on.
    fn turn(shelf: &mut Shelf, found: Vec<Value>, version: u64, fresh: u64) -> Vec<String> {
        let before = shelf.version();
        let drafts = shelf.drafts(found);
        shelf.fold(drafts, version, fresh..);
        shelf.after(before).unwrap().iter().map(told).collect()
    }

    #[test]
    fn every_state_has_a_version_of_its_own_and_they_only_grow() {
        let mut shelf = Shelf::filled(vec![object("a", "1", 3, "x"), object("b", "2", 7, "x")], 8, 5);
        let versions = |shelf: &Shelf| shelf.all().iter().map(|shown| shown.version).collect::<Vec<_>>();
        assert_eq!(versions(&shelf), [5, 7]);
        // Nothing has changed: nothing is told, though another kind was written.
        let same = vec![object("a", "1", 3, "x"), object("b", "2", 7, "x")];
        assert_eq!(turn(&mut shelf, same, 9, 100), Vec::<String>::new());
        // One is written, of another only the status is new.
        let next = vec![object("a", "1", 3, "y"), object("b", "2", 10, "y")];
        assert_eq!(turn(&mut shelf, next, 10, 11), ["10 b:x b:y", "11 a:x a:y"]);
        // Written while the fresh version was given out: its own would come too late.
        let next = vec![object("a", "1", 3, "y"), object("b", "2", 11, "z")];
        assert_eq!(turn(&mut shelf, next, 11, 12), ["12 b:y b:z"]);
        // Gone, new, and another one under the same name.
        let next = vec![object("b", "3", 14, "x"), object("c", "4", 15, "x")];
        assert_eq!(turn(&mut shelf, next, 15, 16), ["15 - c:x", "16 b:z -", "17 - b:x", "18 a:y -"]);
        let names =
            shelf.all().iter().map(|shown| shown.object["metadata"]["name"].clone()).collect::<Vec<_>>();
        assert_eq!(names, ["b", "c"], "what took another's place is there");
    }

    #[test]
    fn a_client_may_write_what_it_has_read_if_only_the_status_went_on() {
        let mut shelf = Shelf::filled(vec![object("a", "1", 3, "x")], 8, 5);
        let covered = |shelf: &Shelf, versions: &[u64]| {
            let shown = shelf.one(&("n".to_owned(), "a".to_owned())).unwrap();
            versions.iter().map(|version| shown.is_covered_by(*version)).collect::<Vec<_>>()
        };
        assert_eq!(covered(&shelf, &[2, 3, 4, 5, 6]), [false, true, false, true, false]);
        turn(&mut shelf, vec![object("a", "1", 3, "y")], 8, 9);
        assert_eq!(covered(&shelf, &[3, 4, 5, 9, 10]), [true, false, true, true, false]);
        turn(&mut shelf, vec![object("a", "1", 12, "y")], 12, 13);
        assert_eq!(covered(&shelf, &[3, 9, 12, 13]), [false, false, true, false]);
    }

    #[test]
    fn what_is_no_longer_remembered_or_never_was_is_expired() {
        let mut shelf = Shelf::filled(vec![object("a", "1", 3, "0")], 8, 0);
        assert_eq!(shelf.after(7).unwrap_err(), Expired);
        assert_eq!(shelf.after(8).unwrap(), []);
        assert_eq!(shelf.after(9).unwrap_err(), Expired);
        for round in 0..=REMEMBERED as u64 {
            turn(&mut shelf, vec![object("a", "1", 3, &(round + 1).to_string())], 8, 9 + round);
        }
        assert_eq!(shelf.after(8).unwrap_err(), Expired, "one more than are remembered");
        assert_eq!(shelf.after(9).unwrap().len(), REMEMBERED);
    }
}
