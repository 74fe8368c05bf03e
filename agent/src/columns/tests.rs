//! One object of each kind, and its row as kubectl prints it.

use serde_json::{Value, json};

use super::{Breadth, of};

/// The cells of the object under their headings; wide ones too.
fn check(kind: &str, mut object: Value, expected: &[(&str, Value)]) {
    object["metadata"]["name"] = json!("a");
    object["metadata"]["creationTimestamp"] = json!("2026-11-23T09:59:00Z");
    let now = "2026-11-23T10:00:00Z".parse().unwrap();
    let found: Vec<(&str, Value)> =
        of(kind).iter().map(|column| (column.name, column.cell(&object, now))).collect();
    assert_eq!(found, expected, "{kind}: {object}");
}

fn row<const N: usize>(cells: [(&'static str, Value); N]) -> Vec<(&'static str, Value)> {
    let mut all = vec![("Name", json!("a"))];
    all.extend(cells);
    all
}

#[test]
fn objects_that_hold_data_are_counted() {
    let age = || ("Age", json!("60s"));
    let map = json!({"data": {"a": "1", "b": "2"}, "binaryData": {"c": "AA=="}});
    check("ConfigMap", map, &row([("Data", json!(3)), age()]));
    let secret = json!({"type": "Opaque", "data": {"a": "MQ=="}});
    check("Secret", secret, &row([("Type", json!("Opaque")), ("Data", json!(1)), age()]));
    let claim = |deleted: Value| {
        json!({
            "metadata": {"deletionTimestamp": deleted},
            "spec": {"volumeMode": "Filesystem"},
            "status": {"phase": "Bound", "capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce", "ReadOnlyMany"]},
        })
    };
    for (deleted, status) in [(Value::Null, "Bound"), (json!("2026-11-23T10:00:00Z"), "Terminating")] {
        let cells = [
            ("Status", json!(status)),
            ("Volume", json!("")),
            ("Capacity", json!("1Gi")),
            ("Access Modes", json!("RWO,ROX")),
            ("StorageClass", json!("")),
            ("VolumeAttributesClass", json!("<unset>")),
            age(),
            ("VolumeMode", json!("Filesystem")),
        ];
        check("PersistentVolumeClaim", claim(deleted), &row(cells));
    }
}

#[test]
fn objects_that_make_pods_are_counted() {
    let age = || ("Age", json!("60s"));
    let object = |selector: Value, status: Value| {
        let containers = json!([{"name": "c", "image": "i"}, {"name": "d", "image": "j"}]);
        json!({
            "spec": {"replicas": 3, "selector": selector, "template": {"spec": {"containers": containers}}},
            "status": status,
        })
    };
    let wide = |selector: &str| {
        [("Containers", json!("c,d")), ("Images", json!("i,j")), ("Selector", json!(selector))]
    };
    let labels = json!({"matchLabels": {"app": "web", "tier": "1"}, "matchExpressions": [
        {"key": "x", "operator": "NotIn", "values": ["1", "2"]}, {"key": "y", "operator": "DoesNotExist"},
    ]});
    let status = json!({"readyReplicas": 2, "updatedReplicas": 1, "availableReplicas": 2});
    let [containers, images, selector] = wide("app=web,tier=1,x notin (1,2),!y");
    let ready = ("Ready", json!("2/3"));
    let cells = [
        ready.clone(),
        ("Up-to-date", json!(1)),
        ("Available", json!(2)),
        age(),
        containers.clone(),
        images.clone(),
        selector,
    ];
    check("Deployment", object(labels, status.clone()), &row(cells));
    check("StatefulSet", object(json!({}), status), &row([ready, age(), containers.clone(), images.clone()]));
    let status = json!({"readyReplicas": 2, "replicas": 3});
    for (kind, selector, shown) in [
        ("ReplicaSet", json!({"matchLabels": {"a": "b"}}), "a=b"),
        ("ReplicationController", json!({"a": "b"}), "a=b"),
        ("ReplicaSet", json!({}), "<none>"),
    ] {
        let numbers = [("Desired", json!(3)), ("Current", json!(3)), ("Ready", json!(2)), age()];
        let cells: Vec<_> = row(numbers).into_iter().chain(wide(shown)).collect();
        check(kind, object(selector, status.clone()), &cells);
    }
    let status = json!({"desiredNumberScheduled": 1, "currentNumberScheduled": 1, "numberReady": 1});
    let numbers = [
        ("Desired", json!(1)),
        ("Current", json!(1)),
        ("Ready", json!(1)),
        ("Up-to-date", json!(0)),
        ("Available", json!(0)),
        ("Node Selector", json!("<none>")),
        age(),
    ];
    let cells: Vec<_> = row(numbers).into_iter().chain(wide("<none>")).collect();
    check("DaemonSet", object(json!({}), status), &cells);
}

#[test]
fn a_job_says_how_far_it_is() {
    let times = json!({"startTime": "2026-11-23T09:59:00Z", "completionTime": "2026-11-23T09:59:07Z"});
    let rows = [
        (json!({"completions": 2}), json!({"succeeded": 1}), "Running", "1/2", ""),
        (json!({}), json!({}), "Running", "0/1", ""),
        (json!({"parallelism": 2}), json!({"succeeded": 1}), "Running", "1/1 of 2", ""),
        (json!({"suspend": true, "completions": 2}), json!({}), "Suspended", "0/2", ""),
        (
            json!({"completions": 1}),
            json!({"conditions": [{"type": "Complete", "status": "True"}], "succeeded": 1}),
            "Complete",
            "1/1",
            "7s",
        ),
        (json!({}), json!({"conditions": [{"type": "Failed", "status": "True"}]}), "Failed", "0/1", "7s"),
    ];
    for (spec, mut status, state, completions, duration) in rows {
        if !duration.is_empty() {
            status["startTime"] = times["startTime"].clone();
            status["completionTime"] = times["completionTime"].clone();
        }
        let cells = [
            ("Status", json!(state)),
            ("Completions", json!(completions)),
            ("Duration", json!(duration)),
            ("Age", json!("60s")),
            ("Containers", json!("")),
            ("Images", json!("")),
            ("Selector", json!("<none>")),
        ];
        check("Job", json!({"spec": spec, "status": status}), &row(cells));
    }
}

#[test]
fn the_box_and_its_namespaces_are_told() {
    let node = json!({"status": {
        "conditions": [{"type": "DiskPressure", "status": "True"}, {"type": "Ready", "status": "True"}],
        "addresses": [{"type": "InternalIP", "address": "192.0.2.1"}],
        "nodeInfo": {"kubeletVersion": "v1", "osImage": "Debian", "containerRuntimeVersion": "carob://1"},
    }});
    let cells = [
        ("Status", json!("Ready")),
        ("Roles", json!("<none>")),
        ("Age", json!("60s")),
        ("Version", json!("v1")),
        ("Internal-IP", json!("192.0.2.1")),
        ("External-IP", json!("<none>")),
        ("OS-Image", json!("Debian")),
        ("Kernel-Version", json!("<unknown>")),
        ("Container-Runtime", json!("carob://1")),
    ];
    check("Node", node, &row(cells));
    let space = json!({"status": {"phase": "Active"}});
    check("Namespace", space, &row([("Status", json!("Active")), ("Age", json!("60s"))]));
    let used = |cpu: &str, memory: &str| json!({"usage": {"cpu": cpu, "memory": memory}});
    let pod = json!({"window": "5s", "containers": [used("20n", "1Ki"), used("3n", "2Ki")]});
    check(
        "PodMetrics",
        pod,
        &row([("CPU", json!("23n")), ("Memory", json!("3Ki")), ("Window", json!("5s"))]),
    );
    check("Unheard", json!({}), &row([("Age", json!("60s"))]));
}

#[test]
fn an_event_says_when_what_and_of_whom() {
    let event = json!({
        "type": "Warning", "reason": "BackOff", "message": "again\n", "count": 3,
        "firstTimestamp": "2026-11-23T09:50:00Z", "lastTimestamp": "2026-11-23T09:58:00Z",
        "source": {"component": "carob", "host": "box"},
        "involvedObject": {"kind": "Pod", "name": "web", "fieldPath": "spec.containers{c}"},
    });
    let cells = [
        ("Last Seen", json!("2m")),
        ("Type", json!("Warning")),
        ("Reason", json!("BackOff")),
        ("Object", json!("pod/web")),
        ("Subobject", json!("spec.containers{c}")),
        ("Source", json!("carob, box")),
        ("Message", json!("again")),
        ("First Seen", json!("10m")),
        ("Count", json!("3")),
        ("Name", json!("a")),
    ];
    check("Event", event, &cells);
}

#[test]
fn a_pod_has_every_column_of_the_printer() {
    let ended = |at: &str| json!({"terminated": {"finishedAt": at}});
    let pod = json!({
        "spec": {
            "containers": [{}, {}], "nodeName": "box",
            "initContainers": [{"name": "s", "restartPolicy": "Always"}],
            "readinessGates": [{"conditionType": "x"}, {"conditionType": "y"}],
        },
        "status": {
            "phase": "Running", "podIP": "10.0.0.7",
            "conditions": [{"type": "x", "status": "True"}, {"type": "Initialized", "status": "True"}],
            "initContainerStatuses": [{"name": "s", "ready": true, "restartCount": 1, "state": {"running": {}}}],
            "containerStatuses": [
                {"ready": true, "restartCount": 2, "state": {"running": {}}, "lastState": ended("2026-11-23T09:55:00Z")},
                {"ready": false, "restartCount": 1, "state": {"waiting": {"reason": "CrashLoopBackOff"}},
                 "lastState": ended("2026-11-23T09:50:00Z")},
            ],
        },
    });
    let cells = [
        ("Ready", json!("2/3")),
        ("Status", json!("CrashLoopBackOff")),
        ("Restarts", json!("4 (5m ago)")),
        ("Age", json!("60s")),
        ("IP", json!("10.0.0.7")),
        ("Node", json!("box")),
        ("Nominated Node", json!("<none>")),
        ("Readiness Gates", json!("1/2")),
    ];
    check("Pod", pod, &row(cells));
    let wide = of("Pod").iter().filter(|column| column.breadth == Breadth::Wide).count();
    assert_eq!(wide, 4);
}

#[test]
fn a_pod_that_initializes_says_how_far_it_is() {
    let rows = [
        (json!({"running": {}}), "Init:1/3"),
        (json!({"waiting": {"reason": "PodInitializing"}}), "Init:1/3"),
        (json!({"waiting": {"reason": "CrashLoopBackOff"}}), "Init:CrashLoopBackOff"),
        (json!({"terminated": {"exitCode": 1, "reason": "Error"}}), "Init:Error"),
        (json!({"terminated": {"exitCode": 2}}), "Init:ExitCode:2"),
        (json!({"terminated": {"exitCode": 137, "signal": 9}}), "Init:Signal:9"),
    ];
    for (state, expected) in rows {
        let done = json!({"name": "a", "state": {"terminated": {"exitCode": 0, "reason": "Completed"}}});
        let pod = json!({
            "metadata": {},
            "spec": {"initContainers": [{"name": "a"}, {"name": "b"}, {"name": "c"}]},
            "status": {"phase": "Pending", "initContainerStatuses": [done, {"name": "b", "state": state}]},
        });
        assert_eq!(super::pod::status(&pod), expected, "{pod}");
    }
    let gated = json!({"metadata": {}, "status": {"phase": "Pending", "conditions": [
        {"type": "PodScheduled", "status": "False", "reason": "SchedulingGated"},
    ]}});
    assert_eq!(super::pod::status(&gated), "SchedulingGated");
}
