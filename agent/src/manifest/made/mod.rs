//! What an object that makes pods asks for, and the pods and claims it makes. The object is a stored one, so it was
//! checked and has its defaults. Values in, values out; names and dates are given.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use crate::pod::{
    PodUid,
    workload::{Job, LETTERS, Life, Pace, Renewal, Replica, Shape, Workload, WorkloadKind, suffix},
};

/// So many letters of a template's hash.
const HASH: usize = 10;

/// What it asks for. Of a Job the deadline is still to be said: that needs a clock.
pub(crate) fn workload(kind: WorkloadKind, object: &Value) -> Workload {
    let spec = &object["spec"];
    let count = |value: &Value| value.as_u64().and_then(|number| u32::try_from(number).ok());
    let replicas = count(&spec["replicas"]).unwrap_or(1);
    let by_hand = spec["updateStrategy"]["type"] == "OnDelete";
    let after = if by_hand { Renewal::Never } else { Renewal::After };
    let shape = match kind {
        WorkloadKind::Deployment if spec["strategy"]["type"] == "Recreate" => {
            Shape::Set { replicas, renewal: Renewal::Recreate }
        }
        WorkloadKind::Deployment => Shape::Set { replicas, renewal: Renewal::Before },
        WorkloadKind::ReplicaSet | WorkloadKind::ReplicationController => {
            Shape::Set { replicas, renewal: Renewal::Never }
        }
        // There is one node.
        WorkloadKind::DaemonSet => Shape::Set { replicas: 1, renewal: after },
        WorkloadKind::StatefulSet => Shape::Ordered {
            replicas,
            start: count(&spec["ordinals"]["start"]).unwrap_or(0),
            pace: if spec["podManagementPolicy"] == "Parallel" { Pace::Parallel } else { Pace::InOrder },
            renewal: after,
        },
        WorkloadKind::Job => Shape::Job(Job {
            completions: count(&spec["completions"]),
            indexed: spec["completionMode"] == "Indexed",
            parallelism: if spec["suspend"] == true { 0 } else { count(&spec["parallelism"]).unwrap_or(1) },
            retries: count(&spec["backoffLimit"]).unwrap_or(6),
            restarts_count: spec["template"]["spec"]["restartPolicy"] == "OnFailure",
            succeeded: count(&object["status"][GONE]["succeeded"]).unwrap_or(0),
            failed: count(&object["status"][GONE]["failed"]).unwrap_or(0),
            deadline: None,
            over: object["status"]["completionTime"].is_string() || object["status"]["conditions"].is_array(),
        }),
    };
    Workload { name: text(object, "name"), shape, template: template(kind, object), done: done(object) }
}

/// Where a stored Job remembers its ended pods that were deleted since. Not shown.
pub(crate) const GONE: &str = "gone";

/// Whether the stored Job has counted this ended pod already.
pub(crate) fn is_counted(object: &Value, pod: &Value) -> bool {
    let counted = object["status"][GONE]["pods"].as_array();
    counted.is_some_and(|uids| uids.contains(&pod["metadata"]["uid"]))
}

/// Counts an ended pod that is about to go. Pods that are no longer `here` need not be remembered by name.
pub(crate) fn count(object: &mut Value, pod: &Replica, here: impl Fn(&str) -> bool) {
    let succeeded = pod.life == Life::Succeeded;
    let mut done = done(object);
    let gone = &mut object["status"][GONE];
    let field = if succeeded { "succeeded" } else { "failed" };
    gone[field] = json!(gone[field].as_u64().unwrap_or(0) + 1);
    let mut pods = gone["pods"].as_array().cloned().unwrap_or_default();
    pods.retain(|uid| uid.as_str().is_some_and(&here));
    pods.push(json!(pod.uid.0));
    gone["pods"] = json!(pods);
    if let Some(place) = pod.place.filter(|_| succeeded) {
        done.insert(place);
        gone["indexes"] = json!(done);
    }
}

/// The places of an indexed Job whose pods have succeeded and are gone.
pub(crate) fn done(object: &Value) -> BTreeSet<u32> {
    let places = object["status"][GONE]["indexes"].as_array().into_iter().flatten();
    places.filter_map(|place| u32::try_from(place.as_u64()?).ok()).collect()
}

/// Says the place of a pod of an indexed Job, as annotation and label.
const INDEX: &str = "batch.kubernetes.io/job-completion-index";

/// The place of a pod of an indexed Job.
pub(crate) fn place(pod: &Value) -> Option<u32> {
    pod["metadata"]["annotations"][INDEX].as_str()?.parse().ok()
}

/// Places as `status.completedIndexes` has them: `0,1,3-5`.
pub(crate) fn in_ranges(places: &BTreeSet<u32>) -> String {
    let mut runs: Vec<(u32, u32)> = Vec::new();
    for place in places {
        match runs.last_mut() {
            Some((_, last)) if *last + 1 == *place => *last = *place,
            _ => runs.push((*place, *place)),
        }
    }
    let text = |(first, last): (u32, u32)| match last - first {
        0 => first.to_string(),
        1 => format!("{first},{last}"),
        _ => format!("{first}-{last}"),
    };
    runs.into_iter().map(text).collect::<Vec<_>>().join(",")
}

/// Says which template a pod is made of: what `revision` finds in the pod's labels.
pub(crate) fn template(kind: WorkloadKind, object: &Value) -> String {
    let hash = hash(&object["spec"]["template"]);
    match kind {
        WorkloadKind::StatefulSet => format!("{}-{hash}", text(object, "name")),
        _ => hash,
    }
}

/// The label that says which template a pod was made of, for kinds whose pods are replaced with it.
fn revision_label(kind: WorkloadKind) -> Option<&'static str> {
    match kind {
        WorkloadKind::Deployment => Some("pod-template-hash"),
        WorkloadKind::DaemonSet | WorkloadKind::StatefulSet => Some("controller-revision-hash"),
        WorkloadKind::ReplicaSet | WorkloadKind::ReplicationController | WorkloadKind::Job => None,
    }
}

/// Which template a pod was made of.
pub(crate) fn revision(kind: WorkloadKind, pod: &Value) -> String {
    let label = revision_label(kind).map(|label| &pod["metadata"]["labels"][label]);
    label.and_then(Value::as_str).unwrap_or_default().to_owned()
}

fn hash(template: &Value) -> String {
    // An object's keys are in order, so equal templates are equal texts.
    let digest = Sha256::digest(template.to_string());
    digest.iter().take(HASH).map(|byte| char::from(LETTERS[usize::from(*byte) % LETTERS.len()])).collect()
}

/// The uid of the object that has made this one, if one has.
pub(crate) fn owner(object: &Value) -> Option<&str> {
    let owners = object["metadata"]["ownerReferences"].as_array()?;
    owners.iter().find(|owner| owner["controller"] == true)?["uid"].as_str()
}

/// A new pod of the current template.
pub(crate) fn pod(
    kind: WorkloadKind,
    object: &Value,
    ordinal: Option<u32>,
    uid: &PodUid,
    created: &str,
) -> Value {
    let (owner, template) = (text(object, "name"), &object["spec"]["template"]);
    let revision = self::template(kind, object);
    let start = match kind {
        WorkloadKind::Deployment => format!("{owner}-{revision}-"),
        _ => format!("{owner}-"),
    };
    // A place of a StatefulSet has one pod for good, one of a Job may have several one after the other.
    let start = match (kind, ordinal) {
        (WorkloadKind::Job, Some(place)) => format!("{start}{place}-"),
        _ => start,
    };
    let is_fixed = kind == WorkloadKind::StatefulSet;
    let name = match ordinal.filter(|_| is_fixed) {
        Some(place) => format!("{start}{place}"),
        None => start.clone() + &suffix(uid),
    };
    let mut labels = template["metadata"]["labels"].as_object().cloned().unwrap_or_default();
    if let Some(label) = revision_label(kind) {
        labels.insert(label.to_owned(), json!(revision));
    }
    labels.extend(own_labels(kind, object, &name, ordinal));
    let mut metadata = json!({
        "name": name,
        "namespace": object["metadata"]["namespace"],
        "uid": uid.0,
        "creationTimestamp": created,
        "generation": 1,
        "labels": labels,
        "ownerReferences": [{
            "apiVersion": kind.api_version(),
            "kind": kind.name(),
            "name": owner,
            "uid": object["metadata"]["uid"],
            "controller": true,
            "blockOwnerDeletion": true,
        }],
    });
    if template["metadata"]["annotations"].is_object() {
        metadata["annotations"] = template["metadata"]["annotations"].clone();
    }
    if !is_fixed {
        metadata["generateName"] = json!(start);
    }
    let mut spec = template["spec"].clone();
    match (kind, ordinal) {
        (WorkloadKind::StatefulSet, _) => settle(object, &name, &mut spec),
        (WorkloadKind::Job, Some(place)) => {
            metadata["annotations"][INDEX] = json!(place.to_string());
            spec["hostname"] = json!(format!("{owner}-{place}"));
            tell_index(&mut spec);
        }
        _ => (),
    }
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec})
}

fn own_labels(kind: WorkloadKind, object: &Value, name: &str, ordinal: Option<u32>) -> Map<String, Value> {
    let (owner, uid) = (&object["metadata"]["name"], &object["metadata"]["uid"]);
    let labels = match (kind, ordinal) {
        (WorkloadKind::StatefulSet, Some(place)) => json!({
            "apps.kubernetes.io/pod-index": place.to_string(),
            "statefulset.kubernetes.io/pod-name": name,
        }),
        (WorkloadKind::Job, place) => {
            let mut labels = json!({
                "batch.kubernetes.io/controller-uid": uid,
                "batch.kubernetes.io/job-name": owner,
                "controller-uid": uid,
                "job-name": owner,
            });
            if let Some(place) = place {
                labels[INDEX] = json!(place.to_string());
            }
            labels
        }
        _ => json!({}),
    };
    labels.as_object().cloned().unwrap_or_default()
}

/// Every container of an indexed Job knows its pod's place, unless the template gives the variable a meaning of its own.
fn tell_index(spec: &mut Value) {
    const NAME: &str = "JOB_COMPLETION_INDEX";
    let field = format!("metadata.annotations['{INDEX}']");
    for list in ["initContainers", "containers"] {
        for container in spec[list].as_array_mut().into_iter().flatten() {
            let mut env = container["env"].as_array().cloned().unwrap_or_default();
            if env.iter().all(|variable| variable["name"] != NAME) {
                env.push(json!({
                    "name": NAME,
                    "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": field}},
                }));
                container["env"] = json!(env);
            }
        }
    }
}

/// A pod of a StatefulSet has a name in the network and claims of its own.
fn settle(object: &Value, name: &str, spec: &mut Value) {
    spec["hostname"] = json!(name);
    if let Some(service) = object["spec"]["serviceName"].as_str().filter(|service| !service.is_empty()) {
        spec["subdomain"] = json!(service);
    }
    let mut volumes = spec["volumes"].as_array().cloned().unwrap_or_default();
    for claim in object["spec"]["volumeClaimTemplates"].as_array().into_iter().flatten() {
        let volume = &claim["metadata"]["name"];
        volumes.retain(|other| other["name"] != *volume);
        let claim = format!("{}-{name}", volume.as_str().unwrap_or_default());
        volumes.push(json!({"name": volume, "persistentVolumeClaim": {"claimName": claim}}));
    }
    if !volumes.is_empty() {
        spec["volumes"] = json!(volumes);
    }
}

/// The claims of the pod at a place of a StatefulSet. They are its for good: nothing deletes them with it.
pub(crate) fn claims(object: &Value, ordinal: u32) -> Vec<Value> {
    let templates = object["spec"]["volumeClaimTemplates"].as_array().into_iter().flatten();
    let made = templates.map(|template| {
        let mut claim = json!({
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": template["metadata"],
            "spec": template["spec"],
        });
        let volume = template["metadata"]["name"].as_str().unwrap_or_default();
        claim["metadata"]["name"] = json!(format!("{volume}-{}-{ordinal}", text(object, "name")));
        claim["metadata"]["namespace"] = object["metadata"]["namespace"].clone();
        let labels = &object["spec"]["selector"]["matchLabels"];
        if labels.is_object() && claim["metadata"]["labels"].is_null() {
            claim["metadata"]["labels"] = labels.clone();
        }
        claim
    });
    made.collect()
}

fn text(object: &Value, field: &str) -> String {
    object["metadata"][field].as_str().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests;
