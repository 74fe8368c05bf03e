//! What of a pod's spec may change once it is made, by Kubernetes' rules (`ValidatePodUpdate`). Pure.

use serde_json::{Value, json};

/// What must not be, in Kubernetes' words.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Bar {
    /// Of the cause: `FieldValueForbidden` or `FieldValueInvalid`.
    pub(super) reason: &'static str,
    pub(super) field: String,
    pub(super) message: String,
}

impl Bar {
    pub(super) fn forbidden(field: impl Into<String>, why: impl std::fmt::Display) -> Self {
        let message = format!("Forbidden: {why}");
        Self { reason: "FieldValueForbidden", field: field.into(), message }
    }

    pub(super) fn invalid(field: impl Into<String>, value: &Value, why: impl std::fmt::Display) -> Self {
        let message = format!("Invalid value: {value}: {why}");
        Self { reason: "FieldValueInvalid", field: field.into(), message }
    }
}

/// The fields that may change, in Kubernetes' words.
const OTHERS: &str = "pod updates may not change fields other than `spec.containers[*].image`,\
    `spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing \
    tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)";
const DEADLINE: &str = "activeDeadlineSeconds";
const SCHEDULING_GATES: &str = "schedulingGates";
const EPHEMERAL: &str = "ephemeralContainers";
const LISTS: [&str; 2] = ["containers", "initContainers"];

/// Why the spec `old` cannot become `new`, if so.
pub(super) fn barred(old: &Value, new: &Value) -> Option<Bar> {
    let entries = |spec: &Value, list: &str| spec[list].as_array().map_or(0, Vec::len);
    if let Some(list) = LISTS.into_iter().find(|list| entries(old, list) != entries(new, list)) {
        return Some(Bar::forbidden(format!("spec.{list}"), "pod updates may not add or remove containers"));
    }
    let may_change = deadline(&old[DEADLINE], &new[DEADLINE]).or_else(|| tolerations(old, new));
    if let Some(bar) = may_change.or_else(|| added_gate(old, new)) {
        return Some(bar);
    }
    // What may change is as it was; then nothing else may be different.
    let mut rest = new.clone();
    for list in LISTS {
        for (index, container) in rest[list].as_array_mut().into_iter().flatten().enumerate() {
            container["image"] = old[list][index]["image"].clone();
        }
    }
    for field in [DEADLINE, "tolerations", SCHEDULING_GATES] {
        put(&mut rest, field, &old[field]);
    }
    // Reading a list that is not there has made a null of it.
    if let Some(spec) = rest.as_object_mut() {
        spec.retain(|_, value| !value.is_null());
    }
    (rest != *old).then(|| Bar::forbidden("spec", OTHERS))
}

/// Why the spec `old` cannot become `new` by adding ephemeral containers, if so (`ValidatePodEphemeralContainersUpdate`).
pub(super) fn barred_addition(old: &Value, new: &Value) -> Option<Bar> {
    let list = |spec: &Value| spec[EPHEMERAL].as_array().cloned().unwrap_or_default();
    let (before, after) = (list(old), list(new));
    let field = format!("spec.{EPHEMERAL}");
    for one in &before {
        let name = one["name"].as_str().unwrap_or_default();
        match after.iter().find(|other| other["name"] == one["name"]) {
            Some(other) if other == one => (),
            found => {
                let what = if found.is_some() { "changed" } else { "removed" };
                return Some(Bar::forbidden(
                    field,
                    format!("existing ephemeral containers {name:?} may not be {what}"),
                ));
            }
        }
    }
    if after.get(..before.len()) != Some(&before[..]) {
        return Some(Bar::forbidden(field, "ephemeral containers are added after those that are there"));
    }
    let mut rest = new.clone();
    put(&mut rest, EPHEMERAL, old.get(EPHEMERAL).unwrap_or(&Value::Null));
    (rest != *old).then(|| Bar::forbidden("spec", "only ephemeral containers may be added here"))
}

/// It may be set, and may get shorter.
fn deadline(old: &Value, new: &Value) -> Option<Bar> {
    let field = || format!("spec.{DEADLINE}");
    match (old.as_i64(), new.as_i64()) {
        (Some(old), Some(asked)) if asked > old => {
            Some(Bar::invalid(field(), new, "must be less than or equal to previous value"))
        }
        (Some(_), None) => {
            Some(Bar::invalid(field(), new, "must not update from a positive integer to nil value"))
        }
        _ => None,
    }
}

/// They may be added, and how long one holds may change.
fn tolerations(old: &Value, new: &Value) -> Option<Bar> {
    let timeless = |toleration: &Value| {
        let mut toleration = toleration.clone();
        put(&mut toleration, "tolerationSeconds", &Value::Null);
        toleration
    };
    let list = |spec: &Value| -> Vec<Value> {
        spec["tolerations"].as_array().into_iter().flatten().map(timeless).collect()
    };
    let kept = list(new);
    let all = list(old).iter().all(|toleration| kept.contains(toleration));
    let why = "existing toleration can not be modified except its tolerationSeconds";
    (!all).then(|| Bar::forbidden("spec.tolerations", why))
}

/// They may be taken away, one after the other.
fn added_gate(old: &Value, new: &Value) -> Option<Bar> {
    let list = |spec: &Value| spec[SCHEDULING_GATES].as_array().cloned().unwrap_or_default();
    let before = list(old);
    let added = list(new).into_iter().find(|gate| !before.contains(gate))?;
    let name = added["name"].as_str().unwrap_or_default();
    let why = format!("only deletion is allowed, but found new scheduling gate '{name}'");
    Some(Bar::forbidden(format!("spec.{SCHEDULING_GATES}"), why))
}

/// Sets a field, or takes it away if the value is null.
fn put(object: &mut Value, field: &str, value: &Value) {
    let Some(fields) = object.as_object_mut() else { return };
    if value.is_null() {
        fields.remove(field);
    } else {
        fields.insert(field.to_owned(), value.clone());
    }
}

/// Reading back and writing again is no change: the server shows the node's name, and that is not stored.
pub(super) fn without_shown(object: &mut Value, current: &Value, node: &str) {
    if current["spec"].get("nodeName").is_none() && object["spec"]["nodeName"] == json!(node) {
        put(&mut object["spec"], "nodeName", &Value::Null);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(old: &Value, new: &Value, expected: Option<(&str, &str)>) {
        let found = barred(old, new);
        let right = match (&found, expected) {
            (None, None) => true,
            (Some(bar), Some((field, message))) => bar.field == field && bar.message.contains(message),
            _ => false,
        };
        assert!(right, "{old} -> {new}: {found:?}, not {expected:?}");
    }

    #[test]
    fn ephemeral_containers_are_added_and_nothing_else() {
        let pod = |names: &[&str], image: &str| {
            let one = |name: &&str| json!({"name": name, "image": image});
            let mut pod = json!({"containers": [{"name": "a", "image": "x:1"}]});
            put(&mut pod, EPHEMERAL, &names.iter().map(one).collect());
            pod
        };
        let rows = [
            (pod(&[], "i"), pod(&["d"], "i"), None),
            (pod(&["d"], "i"), pod(&["d", "e"], "i"), None),
            (pod(&["d"], "i"), pod(&["d"], "i"), None),
            (pod(&["d"], "i"), pod(&["e"], "i"), Some("\"d\" may not be removed")),
            (pod(&["d"], "i"), pod(&["d"], "j"), Some("\"d\" may not be changed")),
            (pod(&["d"], "i"), pod(&["e", "d"], "i"), Some("after those that are there")),
        ];
        for (old, new, expected) in rows {
            let found = barred_addition(&old, &new);
            assert_eq!(found.is_some(), expected.is_some(), "{old} -> {new}: {found:?}");
            assert!(
                found.is_none_or(|bar| bar.message.contains(expected.unwrap_or_default())),
                "{old} -> {new}"
            );
        }
        let mut other = pod(&["d"], "i");
        other["containers"][0]["image"] = json!("x:2");
        assert_eq!(barred_addition(&pod(&[], "i"), &other).map(|bar| bar.field), Some("spec".to_owned()));
        assert!(barred(&pod(&[], "i"), &pod(&["d"], "i")).is_some(), "not by changing the pod");
    }

    #[test]
    fn a_pod_changes_only_where_kubernetes_lets_it() {
        let pod = || {
            json!({
                "containers": [{"name": "a", "image": "x:1"}, {"name": "b", "image": "y:1"}],
                "restartPolicy": "Always",
            })
        };
        let with = |field: &str, value: Value| {
            let mut pod = pod();
            pod[field] = value;
            pod
        };
        check(&pod(), &pod(), None);
        let mut image = pod();
        image["containers"][1]["image"] = json!("y:2");
        check(&pod(), &image, None);
        let mut command = pod();
        command["containers"][1]["command"] = json!(["x"]);
        check(&pod(), &command, Some(("spec", "pod updates may not change fields other than")));
        check(&pod(), &with("restartPolicy", json!("Never")), Some(("spec", "Forbidden: pod updates")));
        let fewer = with("containers", json!([{"name": "a", "image": "x:1"}]));
        check(&pod(), &fewer, Some(("spec.containers", "pod updates may not add or remove containers")));
        let deadline = |seconds: u32| with("activeDeadlineSeconds", json!(seconds));
        let field = "spec.activeDeadlineSeconds";
        check(&pod(), &deadline(5), None);
        check(&deadline(5), &deadline(4), None);
        check(&deadline(5), &deadline(6), Some((field, "Invalid value: 6: must be less than or equal to")));
        check(&deadline(5), &pod(), Some((field, "must not update from a positive integer to nil value")));
        let tolerate = |keys: &[(&str, u32)]| {
            let one = |(key, seconds): &(&str, u32)| json!({"key": key, "tolerationSeconds": seconds});
            with("tolerations", keys.iter().map(one).collect())
        };
        check(&pod(), &tolerate(&[("a", 1)]), None);
        check(&tolerate(&[("a", 1)]), &tolerate(&[("b", 1), ("a", 2)]), None);
        check(
            &tolerate(&[("a", 1)]),
            &tolerate(&[("b", 1)]),
            Some(("spec.tolerations", "existing toleration")),
        );
        let gated = |names: &[&str]| {
            with("schedulingGates", names.iter().map(|name| json!({"name": name})).collect())
        };
        check(&gated(&["a", "b"]), &gated(&["b"]), None);
        check(&gated(&["a"]), &pod(), None);
        check(&pod(), &gated(&["a"]), Some(("spec.schedulingGates", "new scheduling gate 'a'")));
        check(&with("terminationGracePeriodSeconds", json!(30)), &pod(), Some(("spec", "Forbidden")));
    }
}
