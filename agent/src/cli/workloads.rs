//! Objects that make pods, as kubectl's columns show them. Pure: from the API's objects to cells.

use jiff::Timestamp;
use serde_json::Value;

use super::{
    age,
    configs::head,
    pods::{Namespaces, text},
    table::Table,
};
use crate::pod::workload::WorkloadKind;

/// The table of `get deployments` and the like.
pub(super) fn table(objects: &[Value], kind: WorkloadKind, namespaces: Namespaces, now: Timestamp) -> Table {
    let columns: &[&str] = match kind {
        WorkloadKind::Deployment => &["READY", "UP-TO-DATE", "AVAILABLE"],
        WorkloadKind::ReplicaSet | WorkloadKind::ReplicationController => &["DESIRED", "CURRENT", "READY"],
        WorkloadKind::DaemonSet => &["DESIRED", "CURRENT", "READY", "UP-TO-DATE", "AVAILABLE"],
        WorkloadKind::StatefulSet => &["READY"],
        WorkloadKind::Job => &["STATUS", "COMPLETIONS", "DURATION"],
    };
    let mut heading = vec!["NAME"];
    heading.extend(columns);
    heading.push("AGE");
    if namespaces == Namespaces::All {
        heading.insert(0, "NAMESPACE");
    }
    let mut table = Table::new(&heading);
    for object in objects {
        let metadata = &object["metadata"];
        let mut cells = vec![text(&metadata["name"])];
        cells.extend(numbers(object, kind, now));
        cells.push(age::since(metadata["creationTimestamp"].as_str(), now));
        if namespaces == Namespaces::All {
            cells.insert(0, text(&metadata["namespace"]));
        }
        table.row(cells);
    }
    table
}

fn numbers(object: &Value, kind: WorkloadKind, now: Timestamp) -> Vec<String> {
    let (spec, status) = (&object["spec"], &object["status"]);
    let of = |field: &str| status[field].as_u64().unwrap_or(0).to_string();
    let wanted = spec["replicas"].as_u64().unwrap_or(1);
    let ready = format!("{}/{wanted}", of("readyReplicas"));
    match kind {
        WorkloadKind::Deployment => vec![ready, of("updatedReplicas"), of("availableReplicas")],
        WorkloadKind::ReplicaSet | WorkloadKind::ReplicationController => {
            vec![wanted.to_string(), of("replicas"), of("readyReplicas")]
        }
        WorkloadKind::DaemonSet => [
            "desiredNumberScheduled",
            "currentNumberScheduled",
            "numberReady",
            "updatedNumberScheduled",
            "numberAvailable",
        ]
        .map(of)
        .into(),
        WorkloadKind::StatefulSet => vec![ready],
        WorkloadKind::Job => vec![state(object), completions(object), duration(status, now)],
    }
}

/// The STATUS column of a Job.
fn state(job: &Value) -> String {
    let ended = job["status"]["conditions"][0]["type"].as_str();
    let word = if !job["metadata"]["deletionTimestamp"].is_null() {
        "Terminating"
    } else if let Some(ended) = ended {
        ended
    } else if job["spec"]["suspend"] == true {
        "Suspended"
    } else {
        "Running"
    };
    word.to_owned()
}

/// `2/3`; of a Job that is over with its first success `0/1 of 2`.
fn completions(job: &Value) -> String {
    let (spec, succeeded) = (&job["spec"], job["status"]["succeeded"].as_u64().unwrap_or(0));
    match (spec["completions"].as_u64(), spec["parallelism"].as_u64().unwrap_or(1)) {
        (Some(wanted), _) => format!("{succeeded}/{wanted}"),
        (None, parallelism) if parallelism > 1 => format!("{succeeded}/1 of {parallelism}"),
        (None, _) => format!("{succeeded}/1"),
    }
}

fn duration(status: &Value, now: Timestamp) -> String {
    let date = |field: &str| status[field].as_str().and_then(|date| date.parse::<Timestamp>().ok());
    match (date("startTime"), date("completionTime")) {
        (Some(start), end) => age::human(end.unwrap_or(now).duration_since(start)),
        (None, _) => String::new(),
    }
}

/// `describe deployment` and the like.
pub(super) fn described(object: &Value, kind: WorkloadKind, now: Timestamp) -> String {
    let mut page = head(object);
    let table = table(std::slice::from_ref(object), kind, Namespaces::One, now).render(None);
    let mut lines =
        table.lines().map(|line| line.split("   ").map(str::trim).filter(|cell| !cell.is_empty()));
    if let (Some(names), Some(cells)) = (lines.next(), lines.next()) {
        for (name, cell) in names.zip(cells).skip(1) {
            page.field(0, &capital(name), cell);
        }
    }
    page.field(0, "Containers", "");
    let template = &object["spec"]["template"]["spec"];
    for list in ["initContainers", "containers"] {
        for container in template[list].as_array().into_iter().flatten() {
            page.field(1, &text(&container["name"]), &text(&container["image"]));
        }
    }
    for condition in object["status"]["conditions"].as_array().into_iter().flatten() {
        let said = format!(
            "{} ({}) {}",
            text(&condition["status"]),
            text(&condition["reason"]),
            text(&condition["message"])
        );
        page.field(0, &text(&condition["type"]), &said);
    }
    page.text
}

/// `UP-TO-DATE` as `Up-to-date`.
fn capital(name: &str) -> String {
    let (first, rest) = name.split_at(1.min(name.len()));
    first.to_owned() + &rest.to_lowercase()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn each_kind_has_kubectls_columns() {
        let now = "2026-11-23T10:00:00Z".parse().unwrap();
        let object = |spec: Value, status: Value| {
            let metadata =
                json!({"name": "a", "namespace": "shop", "creationTimestamp": "2026-11-23T09:59:00Z"});
            json!({"metadata": metadata, "spec": spec, "status": status})
        };
        let rows = [
            (
                WorkloadKind::Deployment,
                object(
                    json!({"replicas": 3}),
                    json!({"readyReplicas": 2, "updatedReplicas": 1, "availableReplicas": 2}),
                ),
                "NAME   READY   UP-TO-DATE   AVAILABLE   AGE\na      2/3     1            2           60s\n",
            ),
            (
                WorkloadKind::ReplicaSet,
                object(json!({"replicas": 3}), json!({"readyReplicas": 2, "replicas": 3})),
                "NAME   DESIRED   CURRENT   READY   AGE\na      3         3         2       60s\n",
            ),
            (
                WorkloadKind::Job,
                object(
                    json!({"completions": 2}),
                    json!({"succeeded": 2, "startTime": "2026-11-23T09:59:00Z", "completionTime": "2026-11-23T09:59:07Z",
                           "conditions": [{"type": "Complete"}]}),
                ),
                "NAME   STATUS     COMPLETIONS   DURATION   AGE\na      Complete   2/2           7s         60s\n",
            ),
        ];
        for (kind, object, expected) in rows {
            assert_eq!(table(&[object], kind, Namespaces::One, now).render(None), expected);
        }
    }
}
