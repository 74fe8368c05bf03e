//! From the objects in the store to the pods the loop keeps.

use std::{collections::BTreeMap, path::PathBuf, sync::Arc, time::Duration};

use serde_json::Value;

use super::{Agent, clock, kept::Kept, volumes::Projections};
use crate::{
    act::{self, mounts},
    manifest::{self, allocation},
    pod::{PodUid, Spec, VolumeSource, annotation},
    store::Kind,
};

impl Agent {
    /// Takes in what is new, and what is to go. What cannot be read is left alone, and said.
    pub(super) async fn read_objects(&mut self) {
        let objects = match self.objects.list(Kind::Pod, None).await {
            Ok((objects, _)) => objects,
            Err(e) => {
                self.store_error = Some(act::chain(&e));
                tracing::error!(error = %act::chain(&e), "the objects cannot be read");
                return;
            }
        };
        if let Err(e) = self.read_configs().await {
            self.store_error = Some(act::chain(&e));
            tracing::error!(error = %act::chain(&e), "the configMaps and secrets cannot be read");
            return;
        }
        if let Err(e) = self.read_workloads().await {
            self.store_error = Some(act::chain(&e));
            tracing::error!(error = %act::chain(&e), "the objects that make pods cannot be read");
            return;
        }
        for object in objects {
            let Some(uid) = object["metadata"]["uid"].as_str().map(|uid| PodUid(uid.to_owned())) else {
                continue;
            };
            match self.pods.get_mut(&uid) {
                Some(kept) if *kept.object == object => (),
                Some(kept) => {
                    if let Some(grace) = deletion(&object) {
                        kept.delete(grace, clock::now());
                    }
                    kept.asked = asked(&object, &uid);
                    if kept.asked.is_none() {
                        kept.seen.pending = None;
                    }
                    match manifest::spec(&allocation::in_force(&object), uid.clone()) {
                        Ok(spec) if spec != *kept.spec => kept.renew(spec, clock::now()),
                        Ok(_) => (),
                        Err(faults) => tracing::error!(%uid, %faults, "a changed pod cannot be read"),
                    }
                    kept.seen.gates = gates(&object);
                    kept.object = Arc::new(object);
                    kept.projections = Projections { edition: None, ..kept.projections };
                }
                None => self.take_in(uid, object).await,
            }
        }
        self.wake_waiting();
        self.release_claims().await;
        self.end_namespaces().await;
    }

    /// Removes claims that are to go as soon as no pod uses them, and what is in them unless that is to stay.
    async fn release_claims(&self) {
        let Ok((claims, _)) = self.objects.list(Kind::PersistentVolumeClaim, None).await else { return };
        for claim in claims.iter().filter(|claim| claim["metadata"]["deletionTimestamp"].is_string()) {
            let text = |field: &str| claim["metadata"][field].as_str().unwrap_or_default().to_owned();
            let (namespace, name, uid) = (text("namespace"), text("name"), text("uid"));
            if self.uses_claim(&namespace, &name) {
                continue;
            }
            let stays = claim["metadata"]["annotations"][annotation::RECLAIM] == "Retain";
            let files = (!stays).then(|| self.tools.places.claim(&namespace, &name));
            if let Err(error) = self.release_claim([&namespace, &name, &uid], files).await {
                tracing::error!(%error, namespace, name, "the claim cannot be removed");
            }
        }
    }

    /// Those files go first: a claim that is still there is tried again.
    async fn release_claim(&self, claim: [&str; 3], files: Option<PathBuf>) -> Result<(), String> {
        if let Some(dir) = files {
            let removed = tokio::task::spawn_blocking(move || mounts::remove_dir(&dir)).await;
            removed.map_err(|e| e.to_string())?.map_err(|e| act::chain(&e))?;
        }
        let [namespace, name, uid] = claim;
        let removed = self.objects.remove(Kind::PersistentVolumeClaim, namespace, name, uid).await;
        removed.map(drop).map_err(|e| act::chain(&e))
    }

    fn uses_claim(&self, namespace: &str, claim: &str) -> bool {
        let here = self.pods.values().filter(|kept| kept.spec.name.namespace == namespace);
        here.flat_map(|kept| &kept.spec.volumes)
            .any(|volume| matches!(&volume.source, VolumeSource::Claim { name, .. } if name == claim))
    }

    async fn take_in(&mut self, uid: PodUid, object: Value) {
        let asked = asked(&object, &uid);
        let spec = match manifest::spec(&allocation::in_force(&object), uid.clone()) {
            Ok(spec) => Arc::new(spec),
            Err(faults) => {
                tracing::error!(%uid, %faults, "a stored pod cannot be read");
                return;
            }
        };
        tracing::info!(pod = %spec.name, %uid, "new pod");
        let (grace, gates) = (deletion(&object), gates(&object));
        let mut kept = Kept::new(spec, Arc::new(object), self.boot.clone(), clock::now());
        kept.asked = asked;
        kept.seen.gates = gates;
        kept.course.stages = self.stages.clone();
        if let Err(e) = self.recall(&mut kept).await {
            self.store_error = Some(act::chain(&e));
            tracing::error!(error = %act::chain(&e), %uid, "a pod's earlier attempts cannot be read");
            return;
        }
        if let Some(grace) = grace {
            kept.delete(grace, clock::now());
        }
        self.pods.insert(uid, kept);
    }
}

/// What the pod asks for, if that is not what it was given.
fn asked(object: &Value, uid: &PodUid) -> Option<Spec> {
    manifest::spec(&allocation::wish(object)?, uid.clone()).ok()
}

/// What clients say of the pod: the status of each condition by its type.
fn gates(object: &Value) -> BTreeMap<String, String> {
    let conditions = object["status"]["conditions"].as_array().into_iter().flatten();
    let told = |one: &Value| Some((one["type"].as_str()?.to_owned(), one["status"].as_str()?.to_owned()));
    conditions.filter_map(told).collect()
}

/// The grace period, if the object is marked for deletion.
fn deletion(object: &Value) -> Option<Duration> {
    let metadata = &object["metadata"];
    metadata["deletionTimestamp"].as_str()?;
    let seconds = metadata["deletionGracePeriodSeconds"].as_u64();
    let own = object["spec"]["terminationGracePeriodSeconds"].as_u64();
    Some(Duration::from_secs(seconds.or(own).unwrap_or(30)))
}
