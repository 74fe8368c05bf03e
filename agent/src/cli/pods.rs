//! Pods as kubectl's columns show them. Pure: from the API's objects to cells.

use jiff::Timestamp;
use serde_json::Value;

use super::{age, table::Table};

/// How wide a list is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Columns {
    Plain,
    Wide,
}

/// Whether the namespace is a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Namespaces {
    One,
    All,
}

/// The table of `get pods`.
pub(super) fn table(pods: &[Value], columns: Columns, namespaces: Namespaces, now: Timestamp) -> Table {
    let mut heading = vec!["NAME", "READY", "STATUS", "RESTARTS", "AGE"];
    if columns == Columns::Wide {
        heading.extend(["IP", "NODE"]);
    }
    if namespaces == Namespaces::All {
        heading.insert(0, "NAMESPACE");
    }
    let mut table = Table::new(&heading);
    for pod in pods {
        table.row(row(pod, columns, namespaces, now));
    }
    table
}

fn row(pod: &Value, columns: Columns, namespaces: Namespaces, now: Timestamp) -> Vec<String> {
    let metadata = &pod["metadata"];
    let created = metadata["creationTimestamp"].as_str();
    let mut cells =
        vec![text(&metadata["name"]), ready(pod), status(pod), restarts(pod, now), age::since(created, now)];
    if columns == Columns::Wide {
        cells.extend([text(&pod["status"]["podIP"]), text(&pod["spec"]["nodeName"])]);
    }
    if namespaces == Namespaces::All {
        cells.insert(0, text(&metadata["namespace"]));
    }
    cells
}

/// A string, or what kubectl prints in its place.
pub(super) fn text(value: &Value) -> String {
    value.as_str().filter(|text| !text.is_empty()).unwrap_or("<none>").to_owned()
}

pub(super) fn containers(pod: &Value) -> &[Value] {
    pod["status"]["containerStatuses"].as_array().map(Vec::as_slice).unwrap_or_default()
}

pub(super) fn init_containers(pod: &Value) -> &[Value] {
    pod["status"]["initContainerStatuses"].as_array().map(Vec::as_slice).unwrap_or_default()
}

/// Whether an init container of the spec is a sidecar.
fn is_sidecar(container: &Value) -> bool {
    container["restartPolicy"] == "Always"
}

/// What an init container is by its spec, and what is known of it.
fn inits(pod: &Value) -> impl Iterator<Item = (&Value, &Value)> {
    let specs = pod["spec"]["initContainers"].as_array().map(Vec::as_slice).unwrap_or_default();
    specs.iter().map(|spec| {
        let status = init_containers(pod).iter().find(|status| status["name"] == spec["name"]);
        (spec, status.unwrap_or(&Value::Null))
    })
}

/// `1/2`: sidecars count, other init containers do not.
fn ready(pod: &Value) -> String {
    let sidecars = || inits(pod).filter(|(spec, _)| is_sidecar(spec));
    let all = pod["spec"]["containers"].as_array().map_or(0, Vec::len) + sidecars().count();
    let ready = containers(pod).iter().chain(sidecars().map(|(_, status)| status));
    format!("{}/{all}", ready.filter(|container| is_ready(container)).count())
}

fn is_ready(container: &Value) -> bool {
    container["ready"] == true && container["state"]["running"].is_object()
}

/// The STATUS column, by the rules of kubectl's printer: the first container that has something to say wins.
pub(super) fn status(pod: &Value) -> String {
    let (phase, reason) = (pod["status"]["phase"].as_str(), pod["status"]["reason"].as_str());
    let ended = matches!(phase, Some("Succeeded" | "Failed"));
    if !pod["metadata"]["deletionTimestamp"].is_null() && !ended {
        return "Terminating".to_owned();
    }
    if let Some(word) = initializing(pod) {
        return word;
    }
    let of_container = containers(pod).iter().find_map(|container| word(&container["state"]));
    let word =
        of_container.or(reason.map(str::to_owned)).unwrap_or_else(|| phase.unwrap_or("Unknown").to_owned());
    match containers(pod).iter().any(is_ready) && word == "Completed" {
        true if holds(pod, "Ready") => "Running".to_owned(),
        true => "NotReady".to_owned(),
        false => word,
    }
}

/// `Init:1/3`, or what keeps the init container whose turn it is: kubectl's words.
fn initializing(pod: &Value) -> Option<String> {
    let all = inits(pod).count();
    let (index, status) = inits(pod).enumerate().find_map(|(index, (spec, status))| {
        let state = &status["state"];
        let is_through =
            state["terminated"]["exitCode"] == 0 || (is_sidecar(spec) && status["started"] == true);
        (!is_through).then_some((index, status))
    })?;
    // A sidecar that is started again beside the main containers does not make the pod start again.
    if holds(pod, "Initialized") {
        return None;
    }
    let word = word(&status["state"]).filter(|word| word != "PodInitializing");
    Some(word.map_or_else(|| format!("Init:{index}/{all}"), |word| format!("Init:{word}")))
}

/// What a container's state says for the whole pod. Running says nothing.
fn word(state: &Value) -> Option<String> {
    let reason =
        |state: &Value| state["reason"].as_str().filter(|reason| !reason.is_empty()).map(str::to_owned);
    let (waiting, terminated) = (&state["waiting"], &state["terminated"]);
    if waiting.is_object() {
        return reason(waiting);
    }
    let nameless = || match terminated["signal"].as_i64().filter(|signal| *signal != 0) {
        Some(signal) => format!("Signal:{signal}"),
        None => format!("ExitCode:{}", terminated["exitCode"].as_i64().unwrap_or(0)),
    };
    terminated.is_object().then(|| reason(terminated).unwrap_or_else(nameless))
}

fn holds(pod: &Value, condition: &str) -> bool {
    let conditions = pod["status"]["conditions"].as_array().map(Vec::as_slice).unwrap_or_default();
    conditions.iter().any(|one| one["type"] == condition && one["status"] == "True")
}

/// `3 (5m ago)`.
fn restarts(pod: &Value, now: Timestamp) -> String {
    // While the pod initializes, kubectl counts what it is busy with; after that, what stays.
    let counted: Vec<&Value> = if initializing(pod).is_some() {
        init_containers(pod).iter().collect()
    } else {
        let sidecars = inits(pod).filter(|(spec, _)| is_sidecar(spec)).map(|(_, status)| status);
        containers(pod).iter().chain(sidecars).collect()
    };
    let count: u64 = counted.iter().filter_map(|container| container["restartCount"].as_u64()).sum();
    let finished = |container: &Value| -> Option<Timestamp> {
        container["lastState"]["terminated"]["finishedAt"].as_str()?.parse().ok()
    };
    match counted.into_iter().filter_map(finished).max() {
        Some(last) if count > 0 => format!("{count} ({} ago)", age::human(now.duration_since(last))),
        _ => count.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn terminated(reason: &str, code: i32, signal: i32) -> Value {
        let mut state = json!({"exitCode": code});
        if !reason.is_empty() {
            state["reason"] = json!(reason);
        }
        if signal != 0 {
            state["signal"] = json!(signal);
        }
        json!({"state": {"terminated": state}})
    }

    fn waiting(reason: &str) -> Value {
        json!({"state": {"waiting": {"reason": reason}}, "ready": false})
    }

    fn check(phase: &str, metadata: Value, containers: &[Value], ready_condition: &str, expected: &str) {
        let pod = json!({
            "metadata": metadata,
            "status": {
                "phase": phase,
                "containerStatuses": containers,
                "conditions": [{"type": "Ready", "status": ready_condition}],
            },
        });
        assert_eq!(status(&pod), expected, "{pod}");
    }

    #[test]
    fn the_status_column_is_kubectls() {
        let none = || json!({});
        let deleted = || json!({"deletionTimestamp": "2026-11-23T10:00:00Z"});
        let running = || json!({"ready": true, "state": {"running": {}}});
        let unready = || json!({"ready": false, "state": {"running": {}}});
        check("Pending", none(), &[], "False", "Pending");
        check("Pending", none(), &[waiting("ContainerCreating")], "False", "ContainerCreating");
        check("Running", none(), &[running(), running()], "True", "Running");
        check("Running", none(), &[unready()], "False", "Running");
        check("Running", none(), &[waiting("CrashLoopBackOff")], "False", "CrashLoopBackOff");
        check("Running", none(), &[running(), waiting("CrashLoopBackOff")], "False", "CrashLoopBackOff");
        check("Running", none(), &[terminated("Error", 1, 0), waiting("ErrImagePull")], "False", "Error");
        check("Running", none(), &[terminated("OOMKilled", 137, 9)], "False", "OOMKilled");
        check("Succeeded", none(), &[terminated("Completed", 0, 0)], "False", "Completed");
        check("Running", none(), &[terminated("Completed", 0, 0), running()], "True", "Running");
        check("Running", none(), &[terminated("Completed", 0, 0), running()], "False", "NotReady");
        check("Failed", none(), &[terminated("", 3, 0)], "False", "ExitCode:3");
        check("Failed", none(), &[terminated("", 137, 9)], "False", "Signal:9");
        check("Running", deleted(), &[running()], "True", "Terminating");
        check("Running", deleted(), &[terminated("Error", 1, 0)], "False", "Terminating");
        check("Failed", deleted(), &[terminated("Error", 1, 0)], "False", "Error");
        let evicted = json!({"metadata": {}, "status": {"phase": "Failed", "reason": "Evicted"}});
        assert_eq!(status(&evicted), "Evicted");
    }

    #[test]
    fn a_list_has_kubectls_columns() {
        let pod = json!({
            "metadata": {"name": "web", "namespace": "shop", "creationTimestamp": "2026-11-23T09:00:00Z"},
            "spec": {"containers": [{}, {}], "nodeName": "box"},
            "status": {"phase": "Running", "containerStatuses": [
                {"ready": true, "restartCount": 2, "state": {"running": {}},
                 "lastState": {"terminated": {"finishedAt": "2026-11-23T09:55:00Z"}}},
                {"ready": false, "restartCount": 1, "state": {"waiting": {"reason": "CrashLoopBackOff"}},
                 "lastState": {"terminated": {"finishedAt": "2026-11-23T09:50:00Z"}}},
            ]},
        });
        let now = "2026-11-23T10:00:00Z".parse().unwrap();
        let rows = [
            (
                Columns::Plain,
                Namespaces::One,
                "NAME   READY   STATUS             RESTARTS     AGE\n\
                 web    1/2     CrashLoopBackOff   3 (5m ago)   60m\n",
            ),
            (
                Columns::Wide,
                Namespaces::All,
                "NAMESPACE   NAME   READY   STATUS             RESTARTS     AGE   IP       NODE\n\
                 shop        web    1/2     CrashLoopBackOff   3 (5m ago)   60m   <none>   box\n",
            ),
        ];
        for (columns, namespaces, expected) in rows {
            assert_eq!(table(std::slice::from_ref(&pod), columns, namespaces, now).render(None), expected);
        }
    }
}
