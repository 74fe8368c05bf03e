//! Pods: the printer's rules, in which the first container that has something to say wins.

use jiff::Timestamp;
use serde_json::Value;

use super::{AGE, Column, NAME, age, is_deleted, list, text};

pub(super) const COLUMNS: &[Column] = &[
    NAME,
    Column::text("Ready", |pod, _| ready(pod).into()),
    Column::text("Status", |pod, _| status(pod).into()),
    Column::text("Restarts", |pod, now| restarts(pod, now).into()),
    AGE,
    Column::text("IP", |pod, _| text(&pod["status"]["podIP"]).into()).wide(),
    Column::text("Node", |pod, _| text(&pod["spec"]["nodeName"]).into()).wide(),
    Column::text("Nominated Node", |pod, _| text(&pod["status"]["nominatedNodeName"]).into()).wide(),
    Column::text("Readiness Gates", |pod, _| gates(pod).into()).wide(),
];

pub(crate) fn containers(pod: &Value) -> &[Value] {
    list(&pod["status"], "containerStatuses")
}

pub(crate) fn init_containers(pod: &Value) -> &[Value] {
    list(&pod["status"], "initContainerStatuses")
}

/// Whether an init container of the spec is a sidecar.
fn is_sidecar(container: &Value) -> bool {
    container["restartPolicy"] == "Always"
}

/// What is known of each init container, and what it is by its spec.
fn inits(pod: &Value) -> impl Iterator<Item = (&Value, &Value)> {
    init_containers(pod).iter().map(|status| {
        let spec = list(&pod["spec"], "initContainers").iter().find(|spec| spec["name"] == status["name"]);
        (spec.unwrap_or(&Value::Null), status)
    })
}

/// `1/2`: sidecars count, other init containers do not.
fn ready(pod: &Value) -> String {
    let spec = &pod["spec"];
    let sidecars = list(spec, "initContainers").iter().filter(|container| is_sidecar(container));
    let all = list(spec, "containers").len() + sidecars.count();
    let known = inits(pod).filter(|(spec, _)| is_sidecar(spec)).map(|(_, status)| status);
    let ready = containers(pod).iter().chain(known);
    format!("{}/{all}", ready.filter(|container| is_ready(container)).count())
}

fn is_ready(container: &Value) -> bool {
    container["ready"] == true && container["state"]["running"].is_object()
}

/// The STATUS column.
pub(crate) fn status(pod: &Value) -> String {
    let (phase, reason) = (pod["status"]["phase"].as_str(), pod["status"]["reason"].as_str());
    let ended = matches!(phase, Some("Succeeded" | "Failed"));
    if is_deleted(pod) && !ended {
        return "Terminating".to_owned();
    }
    if let Some(word) = initializing(pod) {
        return word;
    }
    let of_container = containers(pod).iter().find_map(|container| word(&container["state"]));
    let of_pod = || gated(pod).or(reason).or(phase).unwrap_or("Unknown").to_owned();
    let word = of_container.unwrap_or_else(of_pod);
    match containers(pod).iter().any(is_ready) && word == "Completed" {
        true if holds(pod, "Ready") => "Running".to_owned(),
        true => "NotReady".to_owned(),
        false => word,
    }
}

/// Something outside still keeps the pod from being started.
fn gated(pod: &Value) -> Option<&str> {
    let scheduled = conditions(pod).iter().find(|one| one["type"] == "PodScheduled")?;
    scheduled["reason"].as_str().filter(|reason| *reason == "SchedulingGated")
}

/// `Init:1/3`, or what keeps the init container whose turn it is: kubectl's words.
fn initializing(pod: &Value) -> Option<String> {
    let all = list(&pod["spec"], "initContainers").len();
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

fn conditions(pod: &Value) -> &[Value] {
    list(&pod["status"], "conditions")
}

fn holds(pod: &Value, condition: &str) -> bool {
    conditions(pod).iter().any(|one| one["type"] == condition && one["status"] == "True")
}

/// `1/2`: how many of the conditions that the pod names as gates hold.
fn gates(pod: &Value) -> String {
    let gates = list(&pod["spec"], "readinessGates");
    let open = gates.iter().filter_map(|gate| gate["conditionType"].as_str()).filter(|gate| holds(pod, gate));
    if gates.is_empty() { "<none>".to_owned() } else { format!("{}/{}", open.count(), gates.len()) }
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
}
