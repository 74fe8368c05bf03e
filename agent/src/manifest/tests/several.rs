//! Several things in one file, and what they are to each other.

use super::*;

#[test]
fn mounts_must_not_collide_climb_or_cover_everything() {
    let check = |mounts: &str, wanted: &[&str]| {
        let text =
            with("#container", &format!("volumeMounts: {mounts}")).replace("#spec", "volumes: [{name: v}]");
        if wanted.is_empty() { drop(one(&text)) } else { assert_eq!(refusal(&text), wanted, "{mounts}") }
    };
    check("[{name: v, mountPath: /a}, {name: v, mountPath: /a/b, subPath: ..b}]", &[]);
    check(
        "[{name: v, mountPath: /a}, {name: v, mountPath: a/}]",
        &[
            "f:11:67: spec.containers[0].volumeMounts[1].mountPath: \"a\" is taken by spec.containers[0].volumeMounts[0]",
        ],
    );
    for (mount, wanted) in [
        (
            "mountPath: /",
            "f:11:41: spec.containers[0].volumeMounts[0].mountPath: \"/\" is not accepted; a path below / without \"..\" is needed",
        ),
        (
            "mountPath: /a/..",
            "f:11:41: spec.containers[0].volumeMounts[0].mountPath: \"/a/..\" is not accepted; a path below / without \"..\" is needed",
        ),
        (
            "readOnly: true",
            "f:11:20: spec.containers[0].volumeMounts[0].mountPath: missing; a path in the container is needed",
        ),
        (
            "subPath: ../a, mountPath: /a",
            "f:11:39: spec.containers[0].volumeMounts[0].subPath: \"../a\" is not accepted; a relative path without \"..\" is needed",
        ),
        (
            "subPath: /a, mountPath: /a",
            "f:11:39: spec.containers[0].volumeMounts[0].subPath: \"/a\" is not accepted; a relative path without \"..\" is needed",
        ),
        (
            "mountPropagation: Bidirectional, mountPath: /a",
            "f:11:48: spec.containers[0].volumeMounts[0].mountPropagation: Bidirectional mount propagation is available only to privileged containers",
        ),
        (
            "mountPropagation: Both, mountPath: /a",
            "f:11:48: spec.containers[0].volumeMounts[0].mountPropagation: \"Both\" is not accepted; one of None, HostToContainer, Bidirectional is needed",
        ),
        (
            "readOnly: true, recursiveReadOnly: Enabled, mountPropagation: HostToContainer, mountPath: /a",
            "f:11:65: spec.containers[0].volumeMounts[0].recursiveReadOnly: may only be specified when mountPropagation is None or not specified",
        ),
    ] {
        check(&format!("[{{name: v, {mount}}}]"), &[wanted]);
    }
}

#[test]
fn all_faults_of_a_file_are_told_at_once_in_the_order_of_its_lines() {
    let text = "
kind: Pod
apiVersion: v1
metadata: {name: A, name: b}
spec:
  containers:
  - {imge: a, command: x}
  - {name: a, image: b, volumeDevices: [{}]}
  restartPolicy: 5
---
[1]
---
{kind: List, items: [{kind: Service}, {apiVersion: v1, kind: Pod, metadata: {name: z}}]}
";
    let wanted = [
        "f:4:18: metadata.name: \"A\" is not accepted; a name of lower case letters, digits, \"-\" and \".\" (at most 253, \"-\" only between two others) is needed",
        "f:4:21: metadata.name: given twice; the first is in line 4, column 12",
        "f:7:5: spec.containers[0].name: missing; a name of lower case letters, digits and \"-\" (at most 63, the first and the last no \"-\") is needed",
        "f:7:5: spec.containers[0].image: missing; the name of an image is needed",
        "f:7:6: spec.containers[0].imge: Kubernetes knows no such field, did you mean \"image\"?",
        "f:7:24: spec.containers[0].command: \"x\" is a string; a list is needed",
        "f:8:25: spec.containers[1].volumeDevices: this field is not supported yet",
        "f:9:18: spec.restartPolicy: 5 is a number; one of Always, OnFailure, Never is needed (put it in quotes)",
        "f:11:1: a list stands here; an object is needed",
        "f:13:23: items[0].kind: \"Service\" is not supported yet; accepted are Pod, PersistentVolumeClaim, ConfigMap, Secret, Namespace, Deployment, ReplicaSet, ReplicationController, DaemonSet, StatefulSet, Job",
        "f:13:39: items[1].spec.containers: missing; a list of at least one container is needed",
    ];
    assert_eq!(refusal(text), wanted);
}

#[test]
fn the_objects_of_a_file_are_told_apart() {
    let pod = |name: &str| {
        format!(
            "{{apiVersion: v1, kind: Pod, metadata: {{{name}}}, spec: {{containers: [{{name: a, image: b}}]}}}}"
        )
    };
    let claim = "{apiVersion: v1, kind: PersistentVolumeClaim, metadata: {name: a}, spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}}";
    let file = |objects: &[&str]| objects.join("\n---\n");
    let good = file(&[
        &pod("name: a"),
        &pod("name: a, namespace: b"),
        claim,
        &pod("generateName: a"),
        &pod("generateName: a"),
        &format!("{{apiVersion: v1, kind: PodList, items: [{}, {}]}}", pod("name: c"), pod("name: d")),
    ]);
    let objects = read("f", good.as_bytes()).unwrap_or_else(|faults| panic!("{faults}"));
    let found: Vec<(&str, &str, ObjectName, usize)> = objects
        .iter()
        .map(|object| (object.kind.name(), object.namespace.as_str(), object.name.clone(), object.at.line))
        .collect();
    let given = |name: &str| ObjectName::Given(name.to_owned());
    let generated = || ObjectName::Generated("a".to_owned());
    let wanted = [
        ("Pod", "default", given("a"), 1),
        ("Pod", "b", given("a"), 3),
        ("PersistentVolumeClaim", "default", given("a"), 5),
        ("Pod", "default", generated(), 7),
        ("Pod", "default", generated(), 9),
        ("Pod", "default", given("c"), 11),
        ("Pod", "default", given("d"), 11),
    ];
    assert_eq!(found, wanted);
    let twice = file(&[&pod("name: a"), &pod("name: a, namespace: default")]);
    let lists = [
        ("{apiVersion: v1, kind: List}", "f:1:1: items: missing; a list of objects is needed"),
        ("{kind: PodList, items: 5}", "f:1:24: items: 5 is a number; a list of objects is needed"),
        (
            "{kind: List, item: [], items: []}",
            "f:1:14: item: Kubernetes knows no such field, did you mean \"items\"?",
        ),
        (
            "{kind: List, items: [{kind: List, items: []}]}",
            "f:1:23: items[0].kind: \"List\" is not supported yet; accepted are Pod, PersistentVolumeClaim, ConfigMap, Secret, Namespace, Deployment, ReplicaSet, ReplicationController, DaemonSet, StatefulSet, Job",
        ),
    ];
    for (list, wanted) in lists {
        assert_eq!(refusal(list), [wanted]);
    }
    assert_eq!(refusal(&twice), ["f:3:46: metadata.name: the file has this Pod already, in line 1"]);
}
