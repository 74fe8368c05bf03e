//! Namespaces: the one there always is, and those that objects are in. Pure.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::uid;

/// There without any object in it.
const DEFAULT: &str = "default";

/// The namespaces of these objects. Each is as old as the oldest object in it.
pub(super) fn namespaces(objects: &[Value]) -> Vec<Value> {
    let mut oldest: BTreeMap<&str, Option<&str>> = BTreeMap::from([(DEFAULT, None)]);
    for object in objects {
        let metadata = &object["metadata"];
        let (Some(name), made) = (metadata["namespace"].as_str(), metadata["creationTimestamp"].as_str())
        else {
            continue;
        };
        let known = oldest.entry(name).or_insert(made);
        // Dates in UTC are in order as texts are.
        *known = [*known, made].into_iter().flatten().min();
    }
    oldest.into_iter().map(|(name, made)| namespace(name, made)).collect()
}

fn namespace(name: &str, made: Option<&str>) -> Value {
    json!({
        "kind": "Namespace",
        "apiVersion": "v1",
        "metadata": {
            "name": name,
            "uid": uid("Namespace", name),
            "creationTimestamp": made,
            "labels": {"kubernetes.io/metadata.name": name},
        },
        "spec": {"finalizers": ["kubernetes"]},
        "status": {"phase": "Active"},
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_namespace_is_there_while_something_is_in_it() {
        let object = |namespace: &str, made: &str| json!({"metadata": {"namespace": namespace, "creationTimestamp": made}});
        let objects = [
            object("shop", "2026-11-23T11:00:00Z"),
            object("shop", "2026-11-23T10:00:00Z"),
            object("shop", "2026-11-23T12:00:00Z"),
        ];
        let found: Vec<_> = namespaces(&objects)
            .iter()
            .map(|one| (one["metadata"]["name"].clone(), one["metadata"]["creationTimestamp"].clone()))
            .collect();
        assert_eq!(found, [(json!("default"), Value::Null), (json!("shop"), json!("2026-11-23T10:00:00Z"))]);
    }
}
