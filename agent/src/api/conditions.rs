//! Conditions of a pod that clients keep (`pods/status`): they are stored with the pod and shown among the agent's own. Pure.

use serde_json::Value;

/// What only the agent says.
const AGENTS: [&str; 8] = [
    "AllContainersRestarting",
    "ContainersReady",
    "Initialized",
    "PodReadyToStartContainers",
    "PodResizeInProgress",
    "PodResizePending",
    "PodScheduled",
    "Ready",
];

/// Those of a status that a client has written, or that were stored of one.
pub(super) fn of_clients(status: &Value) -> Vec<Value> {
    let is_clients = |condition: &&Value| {
        condition["type"].as_str().is_some_and(|kind| !kind.is_empty() && !AGENTS.contains(&kind))
    };
    status["conditions"].as_array().into_iter().flatten().filter(is_clients).cloned().collect()
}

/// The agent's status with what was stored of a client's.
pub(super) fn with_clients(mut status: Value, stored: &Value) -> Value {
    let kept = of_clients(stored);
    if !kept.is_empty() {
        let own = status["conditions"].as_array().cloned().unwrap_or_default();
        status["conditions"] = Value::Array([own, kept].concat());
    }
    status
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_the_agent_says_is_never_a_clients() {
        let condition = |kind: &str| json!({"type": kind, "status": "True"});
        let rows = [
            (json!({}), vec![]),
            (json!({"phase": "Failed", "conditions": [condition("Ready"), condition("")]}), vec![]),
            (json!({"conditions": [condition("Ready"), condition("x/y")]}), vec![condition("x/y")]),
        ];
        for (written, expected) in rows {
            assert_eq!(of_clients(&written), expected, "{written}");
        }
        let stored = json!({"phase": "Failed", "conditions": [condition("x/y"), condition("Ready")]});
        let own = json!({"phase": "Running", "conditions": [{"type": "Ready", "status": "False"}]});
        let shown = json!({"phase": "Running", "conditions": [{"type": "Ready", "status": "False"}, condition("x/y")]});
        assert_eq!(with_clients(own, &stored), shown);
        let pending = json!({"phase": "Pending"});
        assert_eq!(with_clients(pending.clone(), &json!({})), pending);
        assert_eq!(with_clients(pending, &stored)["conditions"], json!([condition("x/y")]));
    }
}
