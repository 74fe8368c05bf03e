//! Namespaces that are to go: first all that is in one, then itself.
//!
//! It is done again after each change, so it is finished wherever it was broken off.

use serde_json::Value;

use super::{
    Agent,
    workloads::{self, date},
};
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
    pub(super) async fn end_namespaces(&self) {
        let Ok((namespaces, _)) = self.objects.list(Kind::Namespace, None).await else { return };
        for namespace in namespaces.iter().filter(|one| is_marked(one)) {
            let name = namespace["metadata"]["name"].as_str().unwrap_or_default();
            match self.end_namespace(namespace, name).await {
                // Somebody else was quicker, which is a change.
                Ok(()) | Err(store::Error::NotFound(_) | store::Error::Conflict { .. }) => (),
                Err(e) => {
                    tracing::error!(error = %act::chain(&e), name, "the namespace cannot be ended; trying again with the next change");
                }
            }
        }
    }

    async fn end_namespace(&self, namespace: &Value, name: &str) -> Result<(), store::Error> {
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
        Ok(())
    }

    /// Marks what has to end by itself and takes away what has not. Whether it is gone. What comes from a file goes with
    /// its file.
    async fn end_object(&self, kind: Kind, object: &Value) -> Result<bool, store::Error> {
        if matches!(kind, Kind::ConfigMap | Kind::Secret | Kind::Event) {
            let [namespace, name, uid] = ["namespace", "name", "uid"].map(|field| text(object, field));
            self.objects.remove(kind, namespace, name, uid).await?;
            return Ok(true);
        }
        if !is_marked(object) && object["metadata"]["annotations"][annotation::MANIFEST].is_null() {
            let read = text(object, "resourceVersion").parse().ok();
            self.objects.replace(kind, doomed(kind, object), read).await?;
        }
        Ok(false)
    }
}

/// A pod has its grace period; nothing else has one.
fn doomed(kind: Kind, object: &Value) -> Value {
    if kind == Kind::Pod {
        return workloads::doomed(object.clone());
    }
    let mut object = object.clone();
    object["metadata"]["deletionTimestamp"] = date(super::clock::wall()).into();
    object["metadata"]["deletionGracePeriodSeconds"] = 0.into();
    object
}

fn is_marked(object: &Value) -> bool {
    object["metadata"]["deletionTimestamp"].is_string()
}

fn text<'a>(object: &'a Value, field: &str) -> &'a str {
    object["metadata"][field].as_str().unwrap_or_default()
}
