//! Manifests against a shelf: what containers and volumes are given, and the words for what is missing.

use serde_json::json;

use super::*;
use crate::pod::{
    PodUid,
    given::{File, environment},
};

struct Scene {
    spec: Spec,
    object: Value,
    shelf: Shelf,
    node: Node,
    addresses: Addresses,
}

impl Scene {
    fn new(container: Value, volumes: Value) -> Self {
        let mut main = json!({"name": "main", "image": "i"});
        main.as_object_mut().unwrap().extend(container.as_object().unwrap().clone());
        let object = json!({
            "metadata": {"name": "web", "namespace": "shop", "labels": {"b": "2", "a": "1"}, "annotations": {"n": "x\t\"y\""}},
            "spec": {"containers": [main], "volumes": volumes},
        });
        let spec = manifest::spec(&object, PodUid("u-1".to_owned())).unwrap();
        let mut shelf = Shelf::default();
        let map = |namespace: &str, value: &str| {
            json!({"kind": "ConfigMap", "metadata": {"name": "m", "namespace": namespace, "resourceVersion": "1"},
                   "data": {"k": value, "l": "$(A)"}, "binaryData": {"raw": "/w=="}})
        };
        shelf.fill(ConfigKind::ConfigMap, &[map("shop", "v"), map("other", "no")]);
        let secret = json!({"kind": "Secret", "metadata": {"name": "s", "namespace": "shop", "resourceVersion": "2"},
                            "data": {"p": "aHVudGVyMg=="}});
        shelf.fill(ConfigKind::Secret, &[secret]);
        let node = Node { name: "box".to_owned(), cpu: 2000, memory: 1 << 30 };
        Self {
            spec,
            object,
            shelf,
            node,
            addresses: Addresses { pod: vec![[10, 0, 0, 2].into()], host: vec![] },
        }
    }

    fn subject(&self) -> Subject<'_> {
        let Self { spec, object, shelf, node, addresses } = self;
        Subject { spec, object, shelf, node, addresses }
    }
}

fn check(container: Value, expected: Result<&[(&str, &str)], &str>) {
    let scene = Scene::new(container.clone(), json!([{"name": "v", "emptyDir": {}}]));
    let given = scene.subject().given(&Step::Start { container: 0, attempt: 0 }, 1);
    let expected = expected.map_err(str::to_owned).map(|pairs| {
        pairs
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect::<BTreeMap<_, _>>()
    });
    assert!(!format!("{given:?}").contains("hunter2"), "a secret is shown");
    let env = given.env.and_then(|settings| {
        environment(&settings, |key| Ok(Some(format!("{} of {}/{}", key.key, key.volume, key.path))))
    });
    assert_eq!(env, expected, "{container}");
    assert_eq!(scene.subject().has_environment(0), expected.is_ok());
}

#[test]
fn variables_are_set_in_order_and_only_written_ones_are_expanded() {
    let from = |source: Value| json!({"env": [{"name": "A", "valueFrom": source}]});
    let field = |path: &str| from(json!({"fieldRef": {"fieldPath": path}}));
    let amount = |resource: &str, divisor: &str| {
        from(json!({"resourceFieldRef": {"resource": resource, "divisor": divisor}}))
    };
    check(
        json!({"env": [{"name": "B", "value": "$(C)"}, {"name": "C", "value": "3"}, {"name": "D", "value": "$(C)$(C)"},
                       {"name": "C", "value": "4"}, {"name": "E"}]}),
        Ok(&[("B", "$(C)"), ("C", "4"), ("D", "33"), ("E", "")]),
    );
    check(
        json!({"envFrom": [{"configMapRef": {"name": "m"}}, {"prefix": "x_", "secretRef": {"name": "s"}}],
               "env": [{"name": "k", "value": "$(k)$(x_p)"}]}),
        Ok(&[("k", "vhunter2"), ("l", "$(A)"), ("x_p", "hunter2")]),
    );
    check(from(json!({"configMapKeyRef": {"name": "m", "key": "k"}})), Ok(&[("A", "v")]));
    check(from(json!({"secretKeyRef": {"name": "s", "key": "p"}})), Ok(&[("A", "hunter2")]));
    check(from(json!({"secretKeyRef": {"name": "s", "key": "q", "optional": true}})), Ok(&[]));
    check(from(json!({"secretKeyRef": {"name": "t", "key": "q", "optional": true}})), Ok(&[]));
    check(json!({"envFrom": [{"secretRef": {"name": "t", "optional": true}}]}), Ok(&[]));
    check(
        json!({"env": [{"name": "A", "valueFrom": {"fileKeyRef": {"volumeName": "v", "path": "p", "key": "$(B)"}}},
                       {"name": "B", "value": "<$(A)>"}]}),
        Ok(&[("A", "$(B) of v/p"), ("B", "<$(B) of v/p>")]),
    );
    check(from(json!({"configMapKeyRef": {"name": "n", "key": "k"}})), Err("configmap \"n\" not found"));
    check(json!({"envFrom": [{"secretRef": {"name": "t"}}]}), Err("secret \"t\" not found"));
    check(
        from(json!({"configMapKeyRef": {"name": "m", "key": "z"}})),
        Err("couldn't find key z in ConfigMap shop/m"),
    );
    check(
        from(json!({"secretKeyRef": {"name": "s", "key": "z"}})),
        Err("couldn't find key z in Secret shop/s"),
    );
    for (path, value) in [
        ("metadata.name", "web"),
        ("metadata.namespace", "shop"),
        ("metadata.uid", "u-1"),
        ("metadata.labels['a']", "1"),
        ("metadata.labels['z']", ""),
        ("metadata.annotations['n']", "x\t\"y\""),
        ("spec.nodeName", "box"),
        ("spec.serviceAccountName", "default"),
        ("status.podIP", "10.0.0.2"),
        ("status.hostIP", ""),
    ] {
        check(field(path), Ok(&[("A", value)]));
    }
    for (resource, divisor, value) in [
        ("limits.cpu", "0", "2"),
        ("limits.cpu", "1m", "2000"),
        ("limits.memory", "1Mi", "1024"),
        ("requests.cpu", "1", "0"),
        ("requests.memory", "1", "0"),
    ] {
        check(amount(resource, divisor), Ok(&[("A", value)]));
    }
}

#[test]
fn files_have_what_was_asked_for_or_it_is_said_what_is_missing() {
    let check = |source: Value, expected: Result<&[(&str, u32, &str)], &str>| {
        let mut volume = json!({"name": "v"});
        volume.as_object_mut().unwrap().extend(source.as_object().unwrap().clone());
        let scene = Scene::new(json!({"resources": {"limits": {"cpu": "1500m"}}}), json!([volume]));
        let given = scene.subject().given(&Step::MakeSandbox, 1);
        let expected = expected.map_err(str::to_owned).map(|files| {
            let file = |(path, mode, text): &(&str, u32, &str)| File {
                path: (*path).to_owned(),
                mode: *mode,
                content: text.as_bytes().to_vec(),
            };
            files.iter().map(file).collect::<Vec<_>>()
        });
        assert_eq!(given.volumes["v"], expected, "{source}");
    };
    check(json!({"secret": {"secretName": "s"}}), Ok(&[("p", 0o644, "hunter2")]));
    check(
        json!({"configMap": {"name": "m", "defaultMode": 256, "items": [{"key": "k", "path": "a/b"}, {"key": "l", "path": "c", "mode": 511}]}}),
        Ok(&[("a/b", 0o400, "v"), ("c", 0o777, "$(A)")]),
    );
    check(json!({"configMap": {"name": "n", "optional": true}}), Ok(&[]));
    check(
        json!({"configMap": {"name": "m", "optional": true, "items": [{"key": "z", "path": "z"}]}}),
        Ok(&[]),
    );
    check(json!({"configMap": {"name": "n"}}), Err("configmap \"n\" not found"));
    check(
        json!({"secret": {"secretName": "s", "items": [{"key": "z", "path": "z"}]}}),
        Err("references non-existent secret key: z"),
    );
    let downward = json!({"items": [
        {"path": "l", "fieldRef": {"fieldPath": "metadata.labels"}},
        {"path": "n", "fieldRef": {"fieldPath": "metadata.annotations"}},
        {"path": "c", "mode": 256, "resourceFieldRef": {"containerName": "main", "resource": "limits.cpu"}},
    ]});
    let files = [("c", 0o400, "2"), ("l", 0o644, "a=\"1\"\nb=\"2\""), ("n", 0o644, "n=\"x\\t\\\"y\\\"\"")];
    check(json!({"downwardAPI": downward}), Ok(&files));
    check(
        json!({"projected": {"sources": [{"secret": {"name": "s"}}, {"downwardAPI": downward}]}}),
        Ok(&[files[0], files[1], files[2], ("p", 0o644, "hunter2")]),
    );
}

#[test]
fn the_shelf_counts_only_what_is_different() {
    let object = |version: &str| json!({"kind": "ConfigMap", "metadata": {"name": "m", "namespace": "a", "resourceVersion": version}});
    let mut shelf = Shelf::default();
    let mut fill = |objects: &[Value]| {
        shelf.fill(ConfigKind::ConfigMap, objects);
        shelf.edition
    };
    assert_eq!(
        [fill(&[]), fill(&[object("1")]), fill(&[object("1")]), fill(&[object("2")]), fill(&[]), fill(&[])],
        [0, 1, 1, 2, 3, 3]
    );
}
