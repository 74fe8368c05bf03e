//! What configMaps, secrets and the pod itself have to give to containers and volumes, looked up at one moment. Reads
//! the shelf, not the store; has no effect.

mod credentials;
mod environment;
mod fields;
mod files;

use std::{collections::BTreeMap, sync::Arc};

use serde_json::Value;

use crate::{
    manifest,
    plan::Step,
    pod::{
        Spec, VolumeSource,
        given::{Found, Given},
        source::{ConfigKind, Need, Reference},
    },
};
pub(super) use fields::{Addresses, Node};

/// The data of all configMaps and secrets, as they were last read from the store.
#[derive(Default)]
pub(super) struct Shelf {
    objects: BTreeMap<(ConfigKind, String, String), Entry>,
    /// Counts the changes: who has seen this one has seen all.
    pub(super) edition: u64,
}

struct Entry {
    version: String,
    data: Arc<Data>,
}

/// What one object holds.
pub(super) type Data = BTreeMap<String, Vec<u8>>;

impl Shelf {
    /// Takes in all objects of a kind; says whether anything is different now.
    pub(super) fn fill(&mut self, kind: ConfigKind, objects: &[Value]) {
        let text =
            |object: &Value, field: &str| object["metadata"][field].as_str().unwrap_or_default().to_owned();
        let mut fresh = BTreeMap::new();
        let mut changed = false;
        for object in objects {
            let key = (kind, text(object, "namespace"), text(object, "name"));
            let version = text(object, "resourceVersion");
            let entry = match self.objects.remove(&key) {
                Some(known) if known.version == version => known,
                _ => {
                    changed = true;
                    Entry { version, data: Arc::new(manifest::contents(object)) }
                }
            };
            fresh.insert(key, entry);
        }
        let before = self.objects.len();
        self.objects.retain(|(other, ..), _| *other != kind);
        changed |= before != self.objects.len();
        self.objects.append(&mut fresh);
        self.edition += u64::from(changed);
    }

    /// The object's data; nothing if it is not there and need not be.
    fn find(&self, namespace: &str, wanted: &Reference) -> Found<Option<&Data>> {
        let key = (wanted.kind, namespace.to_owned(), wanted.name.clone());
        match (self.objects.get(&key), wanted.need) {
            (Some(entry), _) => Ok(Some(&entry.data)),
            (None, Need::Optional) => Ok(None),
            (None, Need::Required) => Err(match wanted.kind {
                ConfigKind::ConfigMap => format!("configmap {:?} not found", wanted.name),
                ConfigKind::Secret => format!("secret {:?} not found", wanted.name),
            }),
        }
    }
}

/// A pod, and all that can be asked about it.
#[derive(Clone, Copy)]
pub(super) struct Subject<'a> {
    pub(super) spec: &'a Spec,
    /// As it is stored: labels and annotations may change while the pod runs.
    pub(super) object: &'a Value,
    pub(super) shelf: &'a Shelf,
    pub(super) node: &'a Node,
    pub(super) addresses: &'a Addresses,
}

impl Subject<'_> {
    /// What a step needs.
    pub(super) fn given(&self, step: &Step, at: i64) -> Given {
        match step {
            Step::Start { container, .. } => {
                Given { env: environment::of(self, *container), at, ..Given::default() }
            }
            Step::Pull { .. } => Given { credentials: credentials::of(self), at, ..Given::default() },
            Step::MakeSandbox => Given { volumes: self.volumes(), at, ..Given::default() },
            _ => Given::default(),
        }
    }

    /// The files of every projected volume.
    pub(super) fn volumes(&self) -> BTreeMap<String, Found<Vec<crate::pod::given::File>>> {
        let projected = self.spec.volumes.iter().filter_map(|volume| match &volume.source {
            VolumeSource::Projected(projection) => Some((volume.name.clone(), files::of(self, projection))),
            _ => None,
        });
        projected.collect()
    }

    /// Whether all that a container's variables need is there.
    pub(super) fn has_environment(&self, container: usize) -> bool {
        environment::of(self, container).is_ok()
    }
}

/// How the kubelet names a kind when a key of it is not there.
fn title(kind: ConfigKind) -> &'static str {
    match kind {
        ConfigKind::ConfigMap => "ConfigMap",
        ConfigKind::Secret => "Secret",
    }
}

#[cfg(test)]
mod tests;
