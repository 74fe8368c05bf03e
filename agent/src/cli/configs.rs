//! ConfigMaps, secrets and claims as kubectl shows them, and where a container's variables come from. Pure. A secret's
//! values are never shown, only how long they are.

use serde_json::Value;

use super::describe::Page;
use crate::columns::text;

pub(super) fn head(object: &Value) -> Page {
    let (metadata, mut page) = (&object["metadata"], Page::default());
    page.field(0, "Name", &text(&metadata["name"]));
    page.field(0, "Namespace", &text(&metadata["namespace"]));
    page.map(0, "Labels", &metadata["labels"], "=");
    page.map(0, "Annotations", &metadata["annotations"], ": ");
    page
}

/// `describe configmap`.
pub(super) fn map(map: &Value) -> String {
    let mut page = head(map);
    page.text.push_str("\nData\n====\n");
    for (key, value) in map["data"].as_object().into_iter().flatten() {
        page.text.push_str(&format!("{key}:\n----\n{}\n\n", value.as_str().unwrap_or_default()));
    }
    page.text.push_str("\nBinaryData\n====\n");
    for (key, value) in map["binaryData"].as_object().into_iter().flatten() {
        page.text.push_str(&format!("{key}: {} bytes\n", size(value)));
    }
    page.text
}

/// `describe secret`.
pub(super) fn secret(secret: &Value) -> String {
    let mut page = head(secret);
    page.field(0, "Type", &text(&secret["type"]));
    page.text.push_str("\nData\n====\n");
    for (key, value) in secret["data"].as_object().into_iter().flatten() {
        page.text.push_str(&format!("{key}: {} bytes\n", size(value)));
    }
    page.text
}

/// `describe pvc`.
pub(super) fn claim(claim: &Value) -> String {
    let mut page = head(claim);
    let (status, deleted) = (&claim["status"], !claim["metadata"]["deletionTimestamp"].is_null());
    page.field(0, "Status", &if deleted { "Terminating".to_owned() } else { text(&status["phase"]) });
    page.field(0, "Capacity", &text(&status["capacity"]["storage"]));
    let modes = status["accessModes"].as_array().map(Vec::as_slice).unwrap_or_default();
    let modes: Vec<&str> = modes.iter().filter_map(Value::as_str).collect();
    page.field(0, "Access Modes", &modes.join(","));
    page.text
}

/// `describe namespace`.
pub(super) fn namespace(space: &Value) -> String {
    let (metadata, mut page) = (&space["metadata"], Page::default());
    page.field(0, "Name", &text(&metadata["name"]));
    page.map(0, "Labels", &metadata["labels"], "=");
    page.map(0, "Annotations", &metadata["annotations"], "=");
    page.field(0, "Status", &text(&space["status"]["phase"]));
    page.text
}

/// How many bytes the base64 text stands for.
fn size(value: &Value) -> usize {
    let text = value.as_str().unwrap_or_default().trim_end_matches('=');
    text.len() * 3 / 4
}

/// One entry of `env`, with its source in kubectl's words.
pub(super) fn variable(one: &Value) -> String {
    let name = text(&one["name"]);
    let from = &one["valueFrom"];
    let optional = |source: &Value| source["optional"] == true;
    let key = |source: &Value, kind: &str| {
        format!(
            "{name}: <set to the key {} in {kind} {}>  Optional: {}",
            text(&source["key"]),
            text(&source["name"]),
            optional(source)
        )
    };
    if from["configMapKeyRef"].is_object() {
        key(&from["configMapKeyRef"], "config map")
    } else if from["secretKeyRef"].is_object() {
        key(&from["secretKeyRef"], "secret")
    } else if from["fieldRef"].is_object() {
        format!("{name}: (v1:{})", text(&from["fieldRef"]["fieldPath"]))
    } else if from["resourceFieldRef"].is_object() {
        format!("{name}: (resource {})", text(&from["resourceFieldRef"]["resource"]))
    } else {
        format!("{name}: {}", one["value"].as_str().unwrap_or_default())
    }
}

/// One entry of `envFrom`.
pub(super) fn group(one: &Value) -> String {
    let prefix = one["prefix"].as_str().filter(|prefix| !prefix.is_empty());
    let prefix = prefix.map(|prefix| format!(" with prefix '{prefix}'")).unwrap_or_default();
    let (kind, source) = match one["configMapRef"].is_object() {
        true => ("ConfigMap", &one["configMapRef"]),
        false => ("Secret", &one["secretRef"]),
    };
    format!("{} {kind}{prefix}  Optional: {}", text(&source["name"]), source["optional"] == true)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_secrets_values_are_counted_and_not_shown() {
        let secret = json!({
            "metadata": {"name": "s", "namespace": "shop", "creationTimestamp": "2026-11-23T09:59:00Z"},
            "type": "Opaque", "data": {"password": "aHVudGVyMg==", "user": "YQ=="},
        });
        let told = super::secret(&secret);
        assert!(told.contains("password: 7 bytes\nuser: 1 bytes\n"), "{told}");
        assert!(!told.contains("aHVudGVyMg") && !told.contains("hunter2"), "{told}");
    }

    #[test]
    fn a_variable_is_told_with_its_source() {
        let rows = [
            (json!({"name": "A", "value": "b"}), "A: b"),
            (
                json!({"name": "A", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}),
                "A: <set to the key k in secret s>  Optional: false",
            ),
            (
                json!({"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}),
                "A: (v1:metadata.name)",
            ),
        ];
        for (one, expected) in rows {
            assert_eq!(variable(&one), expected);
        }
        let group = group(&json!({"prefix": "p_", "configMapRef": {"name": "m", "optional": true}}));
        assert_eq!(group, "m ConfigMap with prefix 'p_'  Optional: true");
    }
}
