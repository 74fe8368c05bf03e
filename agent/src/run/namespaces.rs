//! Namespaces that are to go: first all that is in one, then itself.
//!
//! It is done again after each change, so it is finished wherever it was broken off.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{Agent, workloads::doomed};
use crate::{
    act,
    pod::{annotation, workload::WorkloadKind},
    store::{self, Kind},
};

/// In this order: what makes pods makes no more of them by the time its pods are marked.
fn contents() -> impl Iterator<Item = Kind> {
    let plain = [Kind::Pod, Kind::PersistentVolumeClaim, Kind::ConfigMap, Kind::Secret, Kind::Event];
    WorkloadKind::ALL.map(Kind::Workload).into_iter().chain(plain)
}

impl Agent {
    /// Goes on with the end of each namespace that is marked.
    pub(super) async fn end_namespaces(&mut self) {
        let Ok((namespaces, _)) = self.objects.list(Kind::Namespace, None).await else { return };
        let mut one_has_gone = false;
        for namespace in namespaces.iter().filter(|one| is_marked(one)) {
            let name = text(namespace, "name");
            match self.end_namespace(namespace, name).await {
                Ok(is_gone) => one_has_gone |= is_gone,
                // Somebody else was quicker, which is a change.
                Err(store::Error::NotFound(_) | store::Error::Conflict { .. }) => (),
                Err(e) => {
                    tracing::error!(error = %act::chain(&e), name, "the namespace cannot be ended; trying again with the next change");
                }
            }
        }
        if one_has_gone {
            // A file may have waited for that.
            self.read_manifests().await;
        }
    }

    /// Those that take nothing new in.
    pub(super) async fn closed_namespaces(&self) -> Result<BTreeSet<String>, store::Error> {
        let (namespaces, _) = self.objects.list(Kind::Namespace, None).await?;
        Ok(namespaces.iter().filter(|one| is_marked(one)).map(|one| text(one, "name").to_owned()).collect())
    }

    /// Whether it is gone.
    async fn end_namespace(&self, namespace: &Value, name: &str) -> Result<bool, store::Error> {
        let mut is_empty = true;
        for kind in contents() {
            let (objects, _) = self.objects.list(kind, Some(name)).await?;
            for object in &objects {
                is_empty &= self.end_object(kind, object).await?;
            }
        }
        if is_empty {
            self.objects.remove(Kind::Namespace, "", name, text(namespace, "uid")).await?;
        }
        Ok(is_empty)
    }

    /// Marks what has to end by itself and takes away what has not. Whether it is gone. What comes from a file goes with
    /// its file.
    async fn end_object(&self, kind: Kind, object: &Value) -> Result<bool, store::Error> {
        if object["metadata"]["annotations"][annotation::MANIFEST].is_string() {
            return Ok(false);
        }
        if matches!(kind, Kind::ConfigMap | Kind::Secret | Kind::Event) {
            let [namespace, name, uid] = ["namespace", "name", "uid"].map(|field| text(object, field));
            self.objects.remove(kind, namespace, name, uid).await?;
            return Ok(true);
        }
        if !is_marked(object) {
            let read = text(object, "resourceVersion").parse().ok();
            self.objects.replace(kind, doomed(object.clone()), read).await?;
        }
        Ok(false)
    }
}

fn is_marked(object: &Value) -> bool {
    object["metadata"]["deletionTimestamp"].is_string()
}

fn text<'a>(object: &'a Value, field: &str) -> &'a str {
    object["metadata"][field].as_str().unwrap_or_default()
}
