//! The manifest folder: each file's pods exist as long as the file does. A file that is half written or wrong changes
//! nothing: the last good reading stays.
#![expect(clippy::disallowed_methods, reason = "reads the folder")]

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

use serde_json::{Value, json};

use super::{
    Agent,
    workloads::{date, doomed},
};
use crate::{
    act,
    manifest::{self, Kind as ManifestKind, ObjectName},
    pod::{annotation, event::Weight, workload::WorkloadKind},
    store::Kind,
};

type Key = (Kind, String, String);

/// What changes in place, as its file does.
fn changeable() -> impl Iterator<Item = Kind> {
    [Kind::ConfigMap, Kind::Secret, Kind::Namespace].into_iter().chain(WorkloadKind::ALL.map(Kind::Workload))
}

impl Agent {
    /// Makes the store agree with the folder.
    pub(super) async fn read_manifests(&mut self) {
        let Ok(folder) = read(&self.config.manifests) else { return };
        for message in folder.unreadable.values() {
            self.announce(self.node_about(), Weight::Warning, "ManifestRefused", message.clone());
        }
        let wanted = self.without_doubles(&folder);
        let Ok((stored, _)) = self.objects.list(Kind::Pod, None).await else { return };
        for object in stored.iter().filter(|object| from_file(object).is_some()) {
            let file = from_file(object).unwrap_or_default();
            // The last good reading of a file that cannot be read now.
            if folder.unreadable.contains_key(Path::new(file)) {
                continue;
            }
            let same = wanted.get(&key(Kind::Pod, object)).is_some_and(|new| same(new, object));
            if !same {
                self.mark_deleted(Kind::Pod, object).await;
            }
        }
        self.drop_objects(&folder, &wanted).await;
        self.disown_claims(&folder, &wanted).await;
        let Ok(closed) = self.closed_namespaces().await else { return };
        let mut missing = Vec::new();
        for ((kind, namespace, name), object) in wanted {
            match self.objects.get(kind, &namespace, &name).await {
                Ok(None) if closed.contains(&namespace) => {
                    let (file, kind) = (from_file(&object).unwrap_or_default(), kind.name());
                    tracing::warn!(file, kind, namespace, name, "its namespace has to go first");
                }
                Ok(None) => missing.push((kind, named(object))),
                Ok(Some(there)) if changeable().any(|one| one == kind) && from_file(&there).is_some() => {
                    self.change_object(kind, object, &there).await;
                }
                Ok(Some(there)) if kind != Kind::PersistentVolumeClaim && from_file(&there).is_none() => {
                    let file = from_file(&object).unwrap_or_default();
                    tracing::warn!(
                        file,
                        object = format!("{} {namespace}/{name}", kind.name()),
                        "the name is taken by an object that is not from a file"
                    );
                }
                _ => (),
            }
        }
        if !missing.is_empty()
            && let Err(e) = self.objects.create_all(missing).await
        {
            tracing::error!(error = %act::chain(&e), "the objects of the manifest folder cannot be stored");
        }
    }

    /// Objects by name. A name that two files claim belongs to the file that comes first.
    fn without_doubles(&self, folder: &Folder) -> BTreeMap<Key, Value> {
        let mut wanted: BTreeMap<Key, Value> = BTreeMap::new();
        for (kind, object) in &folder.objects {
            let key = key(*kind, object);
            let (name, file) = (format!("{}/{}", key.1, key.2), from_file(object).unwrap_or_default());
            match wanted.get(&key) {
                Some(first) => tracing::error!(
                    file,
                    name,
                    first = from_file(first),
                    "two files name one object: the first one counts"
                ),
                None => drop(wanted.insert(key, object.clone())),
            }
        }
        wanted
    }

    /// ConfigMaps and secrets go with their files, and so do objects that make pods, after their pods. What is in a
    /// namespace stays when its file goes.
    async fn drop_objects(&self, folder: &Folder, wanted: &BTreeMap<Key, Value>) {
        for kind in changeable() {
            let Ok((stored, _)) = self.objects.list(kind, None).await else { continue };
            for object in &stored {
                let Some(file) = from_file(object) else { continue };
                let id @ (_, namespace, name) = &key(kind, object);
                if folder.unreadable.contains_key(Path::new(file)) || wanted.contains_key(id) {
                    continue;
                }
                if let Kind::Workload(_) = kind {
                    self.mark_deleted(kind, object).await;
                    continue;
                }
                let uid = object["metadata"]["uid"].as_str().unwrap_or_default();
                if let Err(e) = self.objects.remove(kind, namespace, name, uid).await {
                    tracing::error!(error = %act::chain(&e), "an object whose file is gone cannot be removed");
                }
            }
        }
    }

    /// A claim stays when its file goes; from then on it is as if somebody had made it by hand.
    async fn disown_claims(&self, folder: &Folder, wanted: &BTreeMap<Key, Value>) {
        let kind = Kind::PersistentVolumeClaim;
        let Ok((stored, _)) = self.objects.list(kind, None).await else { return };
        for mut claim in stored {
            let Some(file) = from_file(&claim) else { continue };
            if folder.unreadable.contains_key(Path::new(file)) || wanted.contains_key(&key(kind, &claim)) {
                continue;
            }
            if let Some(annotations) = claim["metadata"]["annotations"].as_object_mut() {
                annotations.remove(annotation::MANIFEST);
            }
            if let Err(e) = self.objects.replace(kind, claim, None).await {
                tracing::error!(error = %act::chain(&e), "a claim whose file is gone cannot be changed");
            }
        }
    }

    async fn change_object(&self, kind: Kind, mut object: Value, there: &Value) {
        if same(&object, there) {
            return;
        }
        let file = from_file(&object).unwrap_or_default().to_owned();
        let config = matches!(kind, Kind::ConfigMap | Kind::Secret | Kind::Namespace);
        if let Err(faults) = manifest::may_become(there, &object)
            && config
        {
            tracing::error!(file, "manifest refused: {faults}");
            return;
        }
        for field in ["uid", "creationTimestamp", "generation"] {
            object["metadata"][field] = there["metadata"][field].clone();
        }
        if !config {
            let generation = there["metadata"]["generation"].as_u64().unwrap_or(1);
            object["metadata"]["generation"] = json!(generation + u64::from(object["spec"] != there["spec"]));
            object["status"] = there["status"].clone();
        }
        if let Err(e) = self.objects.replace(kind, object, None).await {
            tracing::error!(error = %act::chain(&e), file, "an object whose file has changed cannot be changed");
        }
    }

    async fn mark_deleted(&self, kind: Kind, object: &Value) {
        if object["metadata"]["deletionTimestamp"].is_string() {
            return;
        }
        if let Err(e) = self.objects.replace(kind, doomed(object.clone()), None).await {
            tracing::error!(error = %act::chain(&e), "an object whose file is gone or changed cannot be deleted");
        }
    }
}

/// A new object's own uid and date.
fn named(mut object: Value) -> Value {
    object["metadata"]["uid"] = json!(uuid::Uuid::new_v4().to_string());
    object["metadata"]["creationTimestamp"] = json!(date(super::clock::wall()));
    object["metadata"]["generation"] = json!(1);
    object
}

/// What the folder says.
struct Folder {
    objects: Vec<(Kind, Value)>,
    /// With the reasons.
    unreadable: BTreeMap<PathBuf, String>,
}

fn read(dir: &Path) -> io::Result<Folder> {
    let mut folder = Folder { objects: Vec::new(), unreadable: BTreeMap::new() };
    for path in files(dir)? {
        match read_file(&path) {
            Ok(objects) => folder.objects.extend(objects),
            Err(message) => {
                tracing::error!(file = %path.display(), "manifest refused: {message}");
                folder.unreadable.insert(path, message);
            }
        }
    }
    Ok(folder)
}

/// Manifests by name; hidden files and anything that is not a manifest by its ending are left alone.
fn files(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        let hidden = path.file_name().is_none_or(|name| name.to_string_lossy().starts_with('.'));
        let manifest =
            path.extension().is_some_and(|end| ["yaml", "yml", "json"].iter().any(|known| end == *known));
        if manifest && !hidden && path.is_file() {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

fn read_file(path: &Path) -> Result<Vec<(Kind, Value)>, String> {
    let bytes = fs::read(path).map_err(|e| e.to_string())?;
    let objects = manifest::read(&path.display().to_string(), &bytes).map_err(|faults| faults.to_string())?;
    objects.into_iter().map(|object| admit(path, object)).collect()
}

/// Defaults filled in, and marked with the file it came from.
fn admit(path: &Path, object: manifest::Object) -> Result<(Kind, Value), String> {
    let ObjectName::Given(_) = object.name else {
        return Err(format!("{}: metadata.generateName is of no use in a file: give it a name", object.at));
    };
    let kind = match object.kind {
        ManifestKind::Pod => Kind::Pod,
        ManifestKind::PersistentVolumeClaim => Kind::PersistentVolumeClaim,
        ManifestKind::ConfigMap => Kind::ConfigMap,
        ManifestKind::Secret => Kind::Secret,
        ManifestKind::Namespace => Kind::Namespace,
        ManifestKind::Workload(kind) => Kind::Workload(kind),
    };
    if let Some((field, why)) = manifest::only_later(&object.value) {
        return Err(format!("{}: {field}: {why}", object.at));
    }
    let mut value = object.kind.check(&object.value).map_err(|faults| faults.to_string())?.object;
    if object.kind.is_namespaced() {
        value["metadata"]["namespace"] = json!(object.namespace);
    }
    value["metadata"]["annotations"][annotation::MANIFEST] = json!(path);
    Ok((kind, value))
}

fn key(kind: Kind, object: &Value) -> Key {
    let text = |field: &str| object["metadata"][field].as_str().unwrap_or_default().to_owned();
    (kind, text("namespace"), text("name"))
}

fn from_file(object: &Value) -> Option<&str> {
    object["metadata"]["annotations"][annotation::MANIFEST].as_str()
}

/// Whether a file still asks for what is stored.
fn same(new: &Value, stored: &Value) -> bool {
    let part = |object: &Value| {
        (
            object["spec"].clone(),
            object["metadata"]["labels"].clone(),
            object["metadata"]["annotations"].clone(),
            ["data", "binaryData", "immutable", "type"].map(|field| object[field].clone()),
        )
    };
    part(new) == part(stored)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_visible_manifests_count() {
        let dir = std::env::temp_dir().join(format!("carob-manifests-{}", std::process::id()));
        fs::create_dir_all(dir.join("d.yaml")).unwrap();
        for name in ["b.yaml", "a.yml", "c.json", ".hidden.yaml", "x.yaml.swp", "notes.txt"] {
            fs::write(dir.join(name), "").unwrap();
        }
        let names: Vec<_> =
            files(&dir).unwrap().iter().map(|path| path.file_name().unwrap().to_owned()).collect();
        assert_eq!(names, ["a.yml", "b.yaml", "c.json"]);
        fs::remove_dir_all(&dir).unwrap();
    }
}
