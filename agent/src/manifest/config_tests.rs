//! ConfigMaps, secrets and the fields that name them, through the whole module.

use serde_json::json;

use super::*;

fn told(found: Result<Checked, Faults>) -> String {
    found.map_or_else(|faults| faults.to_string(), |checked| checked.object.to_string())
}

#[test]
fn what_a_secret_says_in_plain_words_is_stored_in_base64() {
    let secret =
        json!({"metadata": {"name": "s"}, "data": {"a": "MQ==", "b": "Mg=="}, "stringData": {"b": "3"}});
    let stored = secret.clone();
    let checked = super::secret(&stored).unwrap().object;
    assert_eq!((&checked["data"], &checked["type"]), (&json!({"a": "MQ==", "b": "Mw=="}), &json!("Opaque")));
    assert!(checked["stringData"].is_null(), "{checked}");
    assert_eq!(
        contents(&checked),
        BTreeMap::from([("a".to_owned(), b"1".to_vec()), ("b".to_owned(), b"3".to_vec())])
    );
}

#[test]
fn a_fault_of_a_secret_does_not_show_its_value() {
    let rows = [
        (
            json!({"data": {"k": "hunter2!"}}),
            "data.k: this value (not shown) is of the wrong type or form; text in base64",
        ),
        (json!({"data": {"k": 12_345}}), "data.k: this value (not shown)"),
        (json!({"stringData": {"a.b": true}}), "stringData[a.b]: this value (not shown)"),
        (json!({"data": {"a/b": "MQ=="}}), "data[a/b]: \"a/b\" is not accepted"),
        (json!({"data": {"..a": "MQ=="}}), "data[..a]: \"..a\" is not accepted"),
        (json!({"type": "kubernetes.io/tls", "data": {"tls.crt": ""}}), "data[tls.key]: missing; this key"),
        (json!({"type": "kubernetes.io/basic-auth"}), "data: missing; the key username or password"),
        (
            json!({"type": "kubernetes.io/dockerconfigjson", "stringData": {".dockerconfigjson": "hunter2"}}),
            "data[.dockerconfigjson]: the value is not JSON",
        ),
        (json!({"immutable": "yes"}), "immutable: \"yes\" is a string; true or false is needed"),
    ];
    for (fields, wanted) in rows {
        let mut secret = json!({"metadata": {"name": "s"}});
        secret.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        let said = told(super::secret(&secret));
        assert!(said.contains(wanted), "{said}");
        assert!(!said.contains("hunter2") && !said.contains("12345"), "{said}");
    }
}

#[test]
fn a_frozen_object_keeps_its_data_and_its_type() {
    let check = |old: Value, new: Value, wanted: &[&str]| {
        let said = may_become(&old, &new).map_or_else(|faults| faults.to_string(), |()| String::new());
        let fields: Vec<&str> = said.lines().filter_map(|line| line.split(": ").next()).collect();
        assert_eq!(fields, wanted, "{said}");
    };
    let frozen = json!({"data": {"a": "1"}, "immutable": true});
    check(json!({"data": {"a": "1"}}), json!({"data": {"a": "2"}}), &[]);
    check(
        frozen.clone(),
        json!({"data": {"a": "1"}, "immutable": true, "metadata": {"labels": {"x": "y"}}}),
        &[],
    );
    check(frozen.clone(), json!({"data": {"a": "2"}, "immutable": true}), &["data"]);
    check(frozen, json!({"data": {"a": "1"}, "binaryData": {"b": "MQ=="}}), &["immutable", "binaryData"]);
    check(json!({"type": "a"}), json!({"type": "b"}), &["type"]);
}

#[test]
fn what_a_pod_takes_from_objects_must_be_named_well() {
    let check = |container: &str, volumes: &str, wanted: &str| {
        let text = format!(
            "apiVersion: v1\nkind: Pod\nmetadata: {{name: p}}\nspec:\n  containers: [{{name: c, image: i, {container}}}]\n  volumes: [{volumes}]\n"
        );
        let said = read("f", text.as_bytes()).map_or_else(|faults| faults.to_string(), |_| String::new());
        assert!(said.contains(wanted) && said.is_empty() == wanted.is_empty(), "{wanted:?}: {said}");
    };
    let env = |from: &str, wanted: &str| check(&format!("env: [{{name: A, valueFrom: {from}}}]"), "", wanted);
    env("{fieldRef: {fieldPath: \"metadata.labels['a/b']\"}}", "");
    env("{fieldRef: {fieldPath: metadata.labels}}", "fieldPath: \"metadata.labels\" is not accepted");
    env("{fieldRef: {fieldPath: spec.x}}", "status.podIP");
    env("{fieldRef: {fieldPath: metadata.name, apiVersion: v2}}", "\"v2\" is not accepted; v1");
    env("{resourceFieldRef: {resource: limits.cpu, divisor: 1m}}", "");
    env(
        "{resourceFieldRef: {resource: limits.cpu, divisor: 2}}",
        "divisor: \"2\" is not accepted; one of 1, 1m",
    );
    env("{resourceFieldRef: {resource: limits.disk}}", "limits.cpu, limits.memory");
    env("{resourceFieldRef: {resource: limits.cpu, containerName: z}}", "there is no container \"z\"");
    env("{configMapKeyRef: {name: m}}", "configMapKeyRef.key: missing");
    env("{configMapKeyRef: {key: k, name: M}}", "configMapKeyRef.name: \"M\"");
    env("{secretKeyRef: {key: k, name: s}, fieldRef: {fieldPath: metadata.name}}", "there is one source");
    env(
        "{fileKeyRef: {key: k, path: p, volumeName: v}}",
        "volumeName: \"v\" is not declared in spec.volumes",
    );
    check("env: [{name: A, value: x, valueFrom: {fieldRef: {fieldPath: metadata.name}}}]", "", "not both");
    check("envFrom: [{prefix: a=}]", "", "one of configMapRef, secretRef is needed");
    check("envFrom: [{prefix: a=, secretRef: {name: s}}]", "", "prefix: \"a=\"");
    let mount = "volumeMounts: [{name: v, mountPath: /v, subPathExpr: ../x}]";
    check(mount, "{name: v, configMap: {name: m}}", "subPathExpr: \"../x\"");
    let volume = |source: &str, wanted: &str| check("", &format!("{{name: v, {source}}}"), wanted);
    volume("configMap: {}", "configMap.name: missing");
    volume("secret: {secretName: s, defaultMode: 0777, items: [{key: k, path: a/b}]}", "");
    volume("secret: {secretName: s, defaultMode: 01000}", "512 is out of range");
    volume("secret: {secretName: s, items: [{key: k, path: ../b}]}", "path: \"../b\"");
    volume("secret: {secretName: s}, configMap: {name: m}", "a volume has one source");
    volume("downwardAPI: {items: [{path: a, fieldRef: {fieldPath: status.podIP}}]}", "metadata.annotations");
    volume(
        "downwardAPI: {items: [{path: a, resourceFieldRef: {resource: limits.cpu}}]}",
        "containerName: missing",
    );
    volume(
        "projected: {sources: [{serviceAccountToken: {path: t}}]}",
        "serviceAccountToken: this field is not supported",
    );
    volume("projected: {sources: [{}]}", "one of configMap, secret, downwardAPI is needed");
    volume(
        "projected: {sources: [{secret: {name: s, items: [{key: k, path: a}]}}, {configMap: {name: m, items: [{key: k, path: a}]}}]}",
        "the path \"a\" is taken by",
    );
}
