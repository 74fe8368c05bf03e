//! An object that makes pods as the API shows it: the stored object with a status counted from the pods it has now. Pure.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::{
    manifest::made,
    picture::{Picture, PodPicture},
    pod::workload::{Life, WorkloadKind, life},
};

/// The pods of one object, counted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Counts {
    /// That are not over.
    live: u64,
    ready: u64,
    /// Of the current template.
    updated: u64,
    succeeded: u64,
    failed: u64,
    /// The places of an indexed Job that have succeeded.
    done: BTreeSet<u32>,
}

pub(super) fn shown(kind: WorkloadKind, mut object: Value, picture: &Picture) -> Value {
    object["apiVersion"] = json!(kind.api_version());
    object["kind"] = json!(kind.name());
    let counts = counts(kind, &object, picture);
    let mut status = match kind {
        WorkloadKind::Job => job(&object, counts),
        WorkloadKind::DaemonSet => daemon_set(counts),
        WorkloadKind::Deployment => deployment(&object, counts),
        WorkloadKind::StatefulSet => stateful_set(&object, counts),
        WorkloadKind::ReplicaSet | WorkloadKind::ReplicationController => set(counts),
    };
    if kind != WorkloadKind::Job {
        status["observedGeneration"] = object["metadata"]["generation"].clone();
    }
    object["status"] = status;
    object
}

fn counts(kind: WorkloadKind, object: &Value, picture: &Picture) -> Counts {
    let template = made::template(kind, object);
    let gone = &object["status"][made::GONE];
    let mut counts = Counts {
        succeeded: gone["succeeded"].as_u64().unwrap_or(0),
        failed: gone["failed"].as_u64().unwrap_or(0),
        done: made::done(object),
        ..Counts::default()
    };
    let own = |pod: &&std::sync::Arc<PodPicture>| {
        made::owner(&pod.object) == object["metadata"]["uid"].as_str()
            && !made::is_counted(object, &pod.object)
    };
    for pod in picture.pods.values().filter(own) {
        match life(&pod.status, pod.deleting, &picture.boot) {
            Life::Succeeded => {
                counts.succeeded += 1;
                counts.done.extend(made::place(&pod.object));
            }
            Life::Failed => counts.failed += 1,
            life => {
                counts.live += u64::from(life != Life::Going || kind != WorkloadKind::Job);
                counts.ready += u64::from(life == Life::Ready);
                counts.updated +=
                    u64::from(life != Life::Going && made::revision(kind, &pod.object) == template);
            }
        }
    }
    counts
}

fn set(counts: Counts) -> Value {
    json!({
        "replicas": counts.live,
        "fullyLabeledReplicas": counts.live,
        "readyReplicas": counts.ready,
        "availableReplicas": counts.ready,
    })
}

fn deployment(object: &Value, counts: Counts) -> Value {
    let wanted = object["spec"]["replicas"].as_u64().unwrap_or(1);
    // A quarter may be missing, as Kubernetes has it by default.
    let available = counts.ready >= wanted - wanted / 4;
    let (holds, reason, message) = if available {
        ("True", "MinimumReplicasAvailable", "Deployment has minimum availability.")
    } else {
        ("False", "MinimumReplicasUnavailable", "Deployment does not have minimum availability.")
    };
    json!({
        "replicas": counts.live,
        "updatedReplicas": counts.updated,
        "readyReplicas": counts.ready,
        "availableReplicas": counts.ready,
        "unavailableReplicas": wanted.saturating_sub(counts.ready),
        "conditions": [{"type": "Available", "status": holds, "reason": reason, "message": message}],
    })
}

fn daemon_set(counts: Counts) -> Value {
    json!({
        "currentNumberScheduled": counts.live.min(1),
        "desiredNumberScheduled": 1,
        "numberMisscheduled": 0,
        "numberReady": counts.ready,
        "numberAvailable": counts.ready,
        "numberUnavailable": 1 - counts.ready.min(1),
        "updatedNumberScheduled": counts.updated,
    })
}

fn stateful_set(object: &Value, counts: Counts) -> Value {
    json!({
        "replicas": counts.live,
        "readyReplicas": counts.ready,
        "availableReplicas": counts.ready,
        "currentReplicas": counts.updated,
        "updatedReplicas": counts.updated,
        "updateRevision": made::template(WorkloadKind::StatefulSet, object),
    })
}

/// What is counted; of a Job that is over what was counted then.
fn job(object: &Value, counts: Counts) -> Value {
    let mut status = object["status"].as_object().cloned().unwrap_or_default();
    status.remove(made::GONE);
    if object["spec"]["suspend"] != true {
        status.insert("startTime".to_owned(), object["metadata"]["creationTimestamp"].clone());
    }
    if status.contains_key("conditions") {
        return Value::Object(status);
    }
    let numbers = [
        ("active", counts.live),
        ("ready", counts.ready),
        ("succeeded", counts.succeeded),
        ("failed", counts.failed),
    ];
    if !counts.done.is_empty() {
        status.insert("completedIndexes".to_owned(), json!(made::in_ranges(&counts.done)));
    }
    status.extend(numbers.into_iter().filter(|(_, n)| *n > 0).map(|(name, n)| (name.to_owned(), json!(n))));
    Value::Object(status)
}

/// Which parts of a spec may change once the object is there; `None`: all but the selector.
const MAY_CHANGE: [(WorkloadKind, &[&str]); 2] = [
    (
        WorkloadKind::StatefulSet,
        &[
            "replicas",
            "ordinals",
            "template",
            "updateStrategy",
            "revisionHistoryLimit",
            "persistentVolumeClaimRetentionPolicy",
            "minReadySeconds",
        ],
    ),
    (
        WorkloadKind::Job,
        &["parallelism", "suspend", "activeDeadlineSeconds", "backoffLimit", "ttlSecondsAfterFinished"],
    ),
];

/// The field that a change may not touch, if it does.
pub(super) fn immutable(kind: WorkloadKind, old: &Value, new: &Value) -> Option<String> {
    let fields = |spec: &Value| spec.as_object().cloned().unwrap_or_default();
    let (old, new) = (fields(old), fields(new));
    let may_change = MAY_CHANGE.iter().find(|(of, _)| *of == kind).map(|(_, fields)| *fields);
    let frozen = |field: &&String| match may_change {
        Some(fields) => !fields.contains(&field.as_str()),
        None => field.as_str() == "selector" && kind != WorkloadKind::ReplicationController,
    };
    let changed = |field: &&String| old.get(*field) != new.get(*field);
    old.keys().chain(new.keys()).filter(frozen).find(changed).cloned()
}

/// What changes with the spec, and what a client cannot say.
pub(super) fn renewed(object: &mut Value, current: &Value) {
    let generation = current["metadata"]["generation"].as_u64().unwrap_or(1);
    let step = u64::from(object["spec"] != current["spec"]);
    object["metadata"]["generation"] = json!(generation + step);
    if current["status"].is_object() {
        object["status"] = current["status"].clone();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_change_is_kubernetes_choice() {
        let rows = [
            (WorkloadKind::Deployment, "replicas", None),
            (WorkloadKind::Deployment, "template", None),
            (WorkloadKind::Deployment, "selector", Some("selector")),
            (WorkloadKind::ReplicationController, "selector", None),
            (WorkloadKind::StatefulSet, "template", None),
            (WorkloadKind::StatefulSet, "serviceName", Some("serviceName")),
            (WorkloadKind::Job, "suspend", None),
            (WorkloadKind::Job, "template", Some("template")),
            (WorkloadKind::Job, "completions", Some("completions")),
        ];
        for (kind, field, expected) in rows {
            let (old, new) = (json!({"a": 1, field: 1}), json!({"a": 1, field: 2}));
            assert_eq!(immutable(kind, &old, &new).as_deref(), expected, "{kind:?} {field}");
        }
    }

    #[test]
    fn a_generation_counts_changes_of_the_spec() {
        let current = json!({"metadata": {"generation": 3}, "spec": {"a": 1}, "status": {"b": 1}});
        for (spec, generation) in [(json!({"a": 1}), 3), (json!({"a": 2}), 4)] {
            let mut object = json!({"metadata": {}, "spec": spec});
            renewed(&mut object, &current);
            assert_eq!(
                (&object["metadata"]["generation"], &object["status"]),
                (&json!(generation), &json!({"b": 1}))
            );
        }
    }
}
