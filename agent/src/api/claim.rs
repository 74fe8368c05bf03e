//! A persistent volume claim as the API shows it. Pure.

use serde_json::{Value, json};

/// The stored object with a status. A claim is a local directory, so it is bound as soon as it is accepted.
pub(super) fn shown(mut claim: Value) -> Value {
    claim["apiVersion"] = json!("v1");
    claim["kind"] = json!("PersistentVolumeClaim");
    let modes = claim["spec"]["accessModes"].clone();
    let capacity = claim["spec"]["resources"]["requests"].clone();
    let mut status = json!({"phase": "Bound"});
    if modes.is_array() {
        status["accessModes"] = modes;
    }
    if capacity.is_object() {
        status["capacity"] = capacity;
    }
    claim["status"] = status;
    claim
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_claim_is_bound_with_what_it_asked_for() {
        let rows = [
            (json!({}), json!({"phase": "Bound"})),
            (
                json!({"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}),
                json!({"phase": "Bound", "accessModes": ["ReadWriteOnce"], "capacity": {"storage": "1Gi"}}),
            ),
        ];
        for (spec, status) in rows {
            assert_eq!(shown(json!({"spec": spec}))["status"], status);
        }
    }
}
