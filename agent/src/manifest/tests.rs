//! Whole manifests through the whole module.
#![expect(clippy::disallowed_methods, reason = "the corpus is read from files")]

use std::{collections::BTreeMap, fs, path::PathBuf, time::Duration};

use serde_json::json;

use super::*;
use crate::pod::{
    Access, Container, HostPathKind, OomScope, PodName, Propagation, PullPolicy, Resources, Restart,
    RestartPolicy, Volume, VolumeMount, VolumeSource,
    probe::{Action, HttpGet, Probe, Probes, Scheme},
    source::{SubPath, Variable},
};

/// Everything that is implemented, once.
const FULL: &str = r#"
apiVersion: v1
kind: Pod
metadata:
  name: shop
  namespace: till
  labels: {app.kubernetes.io/name: shop, tier: ""}
  annotations: {carob.dev/oom-group: "false", carob.dev/oom-group.web: "true", note: hello}
spec:
  restartPolicy: OnFailure
  terminationGracePeriodSeconds: 0
  hostname: counter
  affinity: {podAntiAffinity: {}}
  securityContext: {}
  initContainers: []
  containers:
  - name: web
    image: nginx
    command: [nginx]
    args: [-g, "daemon off;"]
    env:
    - {name: B, value: "1"}
    - {name: A, value: $(B)}
    - name: EMPTY
    workingDir: /srv
    ports:
    - {containerPort: 80, name: http}
    - {containerPort: 53, protocol: UDP}
    volumeMounts:
    - {name: data, mountPath: /data, subPath: a/b}
    - {name: ram, mountPath: tmp/ram, readOnly: true}
    - {name: box, mountPath: /box, mountPropagation: HostToContainer}
    - {name: own, mountPath: /own}
    resources:
      requests: {cpu: 0.25}
      limits: {cpu: 1, memory: 128Mi}
  - name: side
    image: registry:5000/side@sha256:00
    imagePullPolicy: Never
    resources: {limits: {memory: 0}}
  volumes:
  - name: data
    persistentVolumeClaim: {claimName: data, readOnly: true}
  - name: ram
    emptyDir: {medium: Memory, sizeLimit: 1.5Mi}
  - name: box
    hostPath: {path: /etc, type: Directory}
  - name: own
"#;

fn one(text: &str) -> Object {
    let mut objects = read("f", text.as_bytes()).unwrap_or_else(|faults| panic!("{text}\n{faults}"));
    assert_eq!(objects.len(), 1, "{text}");
    objects.remove(0)
}

fn uid() -> PodUid {
    PodUid("u".to_owned())
}

fn texts(words: &[&str]) -> Vec<String> {
    words.iter().map(ToString::to_string).collect()
}

fn pairs<T: FromIterator<(String, String)>>(pairs: &[(&str, &str)]) -> T {
    pairs.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect()
}

fn written((name, value): (&str, &str)) -> Variable {
    Variable::Written { name: name.to_owned(), value: value.to_owned() }
}

#[test]
fn a_manifest_becomes_what_the_agent_runs() {
    let mount = |volume: &str, path: &str, sub_path: Option<&str>, access| VolumeMount {
        volume: volume.to_owned(),
        path: path.to_owned(),
        sub_path: sub_path.map(|path| SubPath::Written(path.to_owned())),
        access,
        propagation: match volume {
            "box" => Propagation::HostToContainer,
            _ => Propagation::None,
        },
    };
    let volume = |name: &str, source| Volume { name: name.to_owned(), source };
    let web = Container {
        restart: Restart::by(RestartPolicy::OnFailure),
        name: "web".to_owned(),
        image: "nginx".to_owned(),
        pull: PullPolicy::Always,
        command: texts(&["nginx"]),
        args: texts(&["-g", "daemon off;"]),
        env: [("B", "1"), ("A", "$(B)"), ("EMPTY", "")].map(written).to_vec(),
        working_dir: Some("/srv".to_owned()),
        mounts: vec![
            mount("data", "/data", Some("a/b"), Access::ReadWrite),
            mount("ram", "/tmp/ram", None, Access::ReadOnly),
            mount("box", "/box", None, Access::ReadWrite),
            mount("own", "/own", None, Access::ReadWrite),
        ],
        resources: Resources {
            memory_limit: Some(128 << 20),
            memory_request: Some(128 << 20),
            cpu_limit: Some(1000),
            cpu_request: Some(250),
        },
        oom: OomScope::Container,
        ..Container::default()
    };
    let side = Container {
        restart: Restart::by(RestartPolicy::OnFailure),
        name: "side".to_owned(),
        image: "registry:5000/side@sha256:00".to_owned(),
        pull: PullPolicy::Never,
        oom: OomScope::Process,
        ..Container::default()
    };
    let wanted = Spec {
        deadline: None,
        name: PodName { namespace: "till".to_owned(), name: "shop".to_owned() },
        uid: uid(),
        labels: pairs(&[("app.kubernetes.io/name", "shop"), ("tier", "")]),
        annotations: pairs(&[
            ("carob.dev/oom-group", "false"),
            ("carob.dev/oom-group.web", "true"),
            ("note", "hello"),
        ]),
        hostname: "counter".to_owned(),
        surroundings: Default::default(),
        restart: RestartPolicy::OnFailure,
        grace: Duration::ZERO,
        containers: vec![web, side],
        resources: Default::default(),
        memory_qos: Default::default(),
        pids: None,
        storage: None,
        security: Default::default(),
        volumes: vec![
            volume("data", VolumeSource::Claim { name: "data".to_owned(), read_only: true }),
            volume("ram", VolumeSource::EmptyDirInMemory { size: Some(3 << 19) }),
            volume("box", VolumeSource::HostPath { path: "/etc".to_owned(), kind: HostPathKind::Directory }),
            volume("own", VolumeSource::EmptyDir { limit: None }),
        ],
        host_ports: Vec::new(),
        pull_secrets: Vec::new(),
        readiness_gates: Vec::new(),
        scheduling_gates: Vec::new(),
    };
    let object = one(FULL);
    assert_eq!(spec(&object.value, uid()), Ok(wanted.clone()), "as written");
    let stored = pod(&object.value).expect("good").object;
    assert_eq!(spec(&stored, uid()), Ok(wanted), "with defaults");
}

#[test]
fn defaults_are_those_of_the_api_server_and_filling_them_in_twice_changes_nothing() {
    let text = "
apiVersion: v1
kind: Pod
metadata: {generateName: a-, creationTimestamp: null}
spec:
  containers:
  - name: a
    image: busybox:1
    ports: [{containerPort: 80}]
    resources: {limits: {cpu: 0.5, memory: 1073741824}, requests: {memory: 512Mi}}
  volumes:
  - {name: e}
  - {name: h, hostPath: {path: /x}}
status: {}
";
    let wanted = json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"generateName": "a-", "namespace": "default"},
        "spec": {
            "containers": [{
                "name": "a",
                "image": "busybox:1",
                "imagePullPolicy": "IfNotPresent",
                "ports": [{"containerPort": 80, "protocol": "TCP"}],
                "resources": {
                    "limits": {"cpu": "500m", "memory": "1073741824"},
                    "requests": {"cpu": "500m", "memory": "512Mi"},
                },
                "terminationMessagePath": "/dev/termination-log",
                "terminationMessagePolicy": "File",
            }],
            "dnsPolicy": "ClusterFirst",
            "enableServiceLinks": true,
            "restartPolicy": "Always",
            "schedulerName": "default-scheduler",
            "securityContext": {},
            "terminationGracePeriodSeconds": 30,
            "volumes": [{"name": "e", "emptyDir": {}}, {"name": "h", "hostPath": {"path": "/x", "type": ""}}],
        },
        "status": {},
    });
    let object = one(text);
    assert_eq!((object.namespace.as_str(), object.name), ("default", ObjectName::Generated("a-".to_owned())));
    let once = pod(&object.value).expect("good");
    assert_eq!(once.object, wanted);
    let twice = pod(&once.object).expect("its own defaults are good");
    // Written out, the one default that does not mean what it says is told of.
    let told = ["spec.dnsPolicy: there is no cluster DNS: the box's own settings are used, as with Default"];
    assert_eq!((twice.object, twice.notes), (wanted, told.map(str::to_owned).to_vec()));
}

#[test]
fn a_pod_is_called_by_its_own_name_unless_it_has_a_hostname() {
    let long = format!("{}.b", "a".repeat(62));
    let check = |name: &str, wanted: &str| {
        let value =
            json!({"metadata": {"name": name}, "spec": {"containers": [{"name": "a", "image": "b"}]}});
        let spec = spec(&value, uid()).expect(name);
        assert_eq!((spec.hostname.as_str(), spec.grace), (wanted, Duration::from_secs(30)));
    };
    check("a", "a");
    check("a.b", "a.b");
    check(&long, &long[..62]);
}

/// A good pod with one line more or less.
fn with(at: &str, line: &str) -> String {
    const GOOD: &str = "apiVersion: v1
kind: Pod
metadata:
  name: a
  #meta
spec:
  #spec
  containers:
  - name: c
    image: i
    #container
";
    GOOD.replace(at, line)
}

fn refusal(text: &str) -> Vec<String> {
    match read("f", text.as_bytes()) {
        Ok(objects) => panic!("accepted: {objects:?}\n{text}"),
        Err(faults) => faults.to_string().lines().map(str::to_owned).collect(),
    }
}

#[test]
fn a_mistake_is_refused_at_its_line_and_column_with_what_would_be_right() {
    let check = |at: &str, line: &str, wanted: &str| {
        assert_eq!(refusal(&with(at, line)), [wanted], "{line}");
    };
    let container = |line: &str, wanted: &str| check("#container", line, wanted);
    let pod = |line: &str, wanted: &str| check("#spec", line, wanted);
    let meta = |line: &str, wanted: &str| check("#meta", line, wanted);

    container(
        "ports: [{containerPort: \"80\"}]",
        "f:11:29: spec.containers[0].ports[0].containerPort: \"80\" is a string; an integer from 1 to 65535 is needed",
    );
    container(
        "ports: [{containerPort: 65536}]",
        "f:11:29: spec.containers[0].ports[0].containerPort: 65536 is out of range; an integer from 1 to 65535 is needed",
    );
    container(
        "ports: [{containerPort: 80.5}]",
        "f:11:29: spec.containers[0].ports[0].containerPort: 80.5 is a number; an integer from 1 to 65535 is needed",
    );
    container(
        "ports: [{name: a}]",
        "f:11:13: spec.containers[0].ports[0].containerPort: 0 is out of range; an integer from 1 to 65535 is needed",
    );
    container(
        "ports: [{containerPort: 1, name: A}]",
        "f:11:38: spec.containers[0].ports[0].name: \"A\" is not accepted; a name of lower case letters, digits and single \"-\" (at most 15, a letter among them) is needed",
    );
    container(
        "ports: [{containerPort: 1, name: a}, {containerPort: 2, name: a}]",
        "f:11:67: spec.containers[0].ports[1].name: \"a\" is taken by spec.containers[0].ports[0]",
    );
    container(
        "ports: [{containerPort: 1, protocol: tcp}]",
        "f:11:42: spec.containers[0].ports[0].protocol: \"tcp\" is not accepted; one of TCP, UDP, SCTP is needed, did you mean \"TCP\"?",
    );
    container(
        "comand: [a]",
        "f:11:5: spec.containers[0].comand: Kubernetes knows no such field, did you mean \"command\"?",
    );
    container(
        "args: [a, 5]",
        "f:11:15: spec.containers[0].args[1]: 5 is a number; a string is needed (put it in quotes)",
    );
    container("args: a", "f:11:11: spec.containers[0].args: \"a\" is a string; a list is needed");
    container("args: [~]", "f:11:12: spec.containers[0].args[0]: null stands here; a string is needed");
    container(
        "args: [\"a\\0b\"]",
        "f:11:12: spec.containers[0].args[0]: \"a\\0b\" is not accepted; text without a zero byte is needed",
    );
    container(
        "env: [{name: A, value: yes}]",
        "f:11:28: spec.containers[0].env[0].value: true is a boolean; a string is needed (put it in quotes)",
    );
    container(
        "env: [{name: A=B}]",
        "f:11:18: spec.containers[0].env[0].name: \"A=B\" is not accepted; a name of printable ASCII characters without \"=\" is needed",
    );
    container(
        "env: [{name: A, valueFrom: {}}]",
        "f:11:32: spec.containers[0].env[0].valueFrom: missing; one of fieldRef, resourceFieldRef, configMapKeyRef, secretKeyRef, fileKeyRef is needed",
    );
    container(
        "resources: {limits: {memory: banana}}",
        "f:11:34: spec.containers[0].resources.limits.memory: \"banana\" is not accepted; a quantity like 250m, 0.5, 64Mi or 1G, not negative, is needed",
    );
    container(
        "resources: {limits: {memory: [1]}}",
        "f:11:34: spec.containers[0].resources.limits.memory: a list stands here; a quantity like 500m or 64Mi is needed",
    );
    container(
        "resources: {limits: {memory: -1}}",
        "f:11:34: spec.containers[0].resources.limits.memory: \"-1\" is not accepted; a quantity like 250m, 0.5, 64Mi or 1G, not negative, is needed",
    );
    container(
        "resources: {limits: {memory: 128m}}",
        "f:11:34: spec.containers[0].resources.limits.memory: \"128m\" is not accepted; a whole number of bytes like 128Mi or 128M (m means thousandths) is needed",
    );
    container(
        "resources: {limits: {cpu: 1}, requests: {cpu: 1001m}}",
        "f:11:51: spec.containers[0].resources.requests.cpu: \"1001m\" is more than the limit \"1\"",
    );
    container(
        "resources: {limits: {nvidia.com/gpu: 1}}",
        "f:11:26: spec.containers[0].resources.limits[nvidia.com/gpu]: 1 is not supported: there are no devices to give out; accepted are cpu, memory and ephemeral-storage",
    );
    container(
        "volumeMounts: [{name: v, mountPath: /a}]",
        "f:11:27: spec.containers[0].volumeMounts[0].name: \"v\" is not declared in spec.volumes; declared: none",
    );
    container(
        "workingDir: a",
        "f:11:17: spec.containers[0].workingDir: \"a\" is not accepted; an absolute path is needed",
    );
    container(
        "imagePullPolicy: always",
        "f:11:22: spec.containers[0].imagePullPolicy: \"always\" is not accepted; one of Always, IfNotPresent, Never is needed, did you mean \"Always\"?",
    );
    container("tty: 1", "f:11:10: spec.containers[0].tty: 1 is a number; true or false is needed");
    container(
        "securityContext: {privileged: 1}",
        "f:11:35: spec.containers[0].securityContext.privileged: 1 is a number; true or false is needed",
    );
    container("name: d", "f:11:5: spec.containers[0].name: given twice; the first is in line 9, column 5");
    check(
        "image: i",
        "image: ''",
        "f:10:12: spec.containers[0].image: missing; the name of an image is needed",
    );
    check(
        "image: i",
        "image: a b",
        "f:10:12: spec.containers[0].image: \"a b\" is not accepted; the name of an image without white space is needed",
    );
    check(
        "image: i",
        "tty: false",
        "f:9:5: spec.containers[0].image: missing; the name of an image is needed",
    );
    check(
        "name: c",
        "name: C",
        "f:9:11: spec.containers[0].name: \"C\" is not accepted; a name of lower case letters, digits and \"-\" (at most 63, the first and the last no \"-\") is needed",
    );
    check(
        "#container",
        "\n  - {name: c, image: i}",
        "f:12:12: spec.containers[1].name: \"c\" is taken by spec.containers[0]",
    );

    pod(
        "restartPolicy: Sometimes",
        "f:7:18: spec.restartPolicy: \"Sometimes\" is not accepted; one of Always, OnFailure, Never is needed",
    );
    pod(
        "restartPolicy: no",
        "f:7:18: spec.restartPolicy: false is a boolean; one of Always, OnFailure, Never is needed (put it in quotes)",
    );
    pod(
        "terminationGracePeriodSeconds: -1",
        "f:7:34: spec.terminationGracePeriodSeconds: -1 is negative; a number of 0 or more seconds is needed",
    );
    pod(
        "terminationGracePeriodSeconds: 30s",
        "f:7:34: spec.terminationGracePeriodSeconds: \"30s\" is a string; a number of 0 or more seconds is needed",
    );
    pod(
        "hostname: a.b",
        "f:7:13: spec.hostname: \"a.b\" is not accepted; a name of lower case letters, digits and \"-\" (at most 63, the first and the last no \"-\") is needed",
    );
    pod(
        "nodeSelector: {kubernetes.io/os: windows}",
        "f:7:18: spec.nodeSelector[kubernetes.io/os]: \"windows\" is another sort of box than this one, linux",
    );
    pod(
        "shareProcessNamespace: on\n  hostPID: true",
        "f:7:26: spec.shareProcessNamespace: ShareProcessNamespace and HostPID cannot both be enabled",
    );
    pod("hostNetwork: maybe", "f:7:16: spec.hostNetwork: \"maybe\" is a string; true or false is needed");
    pod(
        "initContainers: [{name: a, image: b, ports: [{containerPort: \"1\"}]}]",
        "f:7:64: spec.initContainers[0].ports[0].containerPort: \"1\" is a string; an integer from 1 to 65535 is needed",
    );
    pod(
        "initContainers: [{name: c, image: b}]",
        "f:9:11: spec.containers[0].name: \"c\" is taken by spec.initContainers[0]",
    );
    pod(
        "initContainers: [{name: a, image: b, restartPolicy: Sometimes}]",
        "f:7:55: spec.initContainers[0].restartPolicy: \"Sometimes\" is not accepted; one of Always, OnFailure, Never is needed",
    );
    pod(
        "volumes: [{name: a, image: {}}]",
        "f:7:30: spec.volumes[0].image.reference: missing; the name of an image is needed",
    );
    pod(
        "volumes: [{name: a, image: {reference: a, pullPolicy: Sometimes}}]",
        "f:7:57: spec.volumes[0].image.pullPolicy: \"Sometimes\" is not accepted; one of Always, IfNotPresent, Never is needed",
    );
    pod(
        "initContainers: [{name: a, image: b, restartPolicyRules: [{action: Restart, exitCodes: {operator: In, values: [42]}}]}]",
        "f:7:20: spec.initContainers[0].restartPolicy: missing; a policy for the exits that no rule is about is needed",
    );
    pod(
        "activeDeadlineSeconds: 0",
        "f:7:26: spec.activeDeadlineSeconds: 0 is too short; a number of 1 or more seconds is needed",
    );
    pod(
        "dnsPolicy: Cluster",
        "f:7:14: spec.dnsPolicy: \"Cluster\" is not accepted; one of ClusterFirst, ClusterFirstWithHostNet, Default, None is needed",
    );
    pod(
        "volumes: [{name: a, image: {}}]",
        "f:7:30: spec.volumes[0].image.reference: missing; the name of an image is needed",
    );
    pod(
        "volumes: [{name: a, image: {reference: a, pullPolicy: Sometimes}}]",
        "f:7:57: spec.volumes[0].image.pullPolicy: \"Sometimes\" is not accepted; one of Always, IfNotPresent, Never is needed",
    );
    pod(
        "volumes: [{name: a, nfs: {server: b, path: /c}}]",
        "f:7:23: spec.volumes[0].nfs: this field is not supported: mount it on the box and name the directory in a hostPath",
    );
    pod(
        "volumes: [{emptyDir: {}}]",
        "f:7:13: spec.volumes[0].name: missing; a name of lower case letters, digits and \"-\" (at most 63, the first and the last no \"-\") is needed",
    );
    pod("volumes: [{name: a}, {name: a}]", "f:7:31: spec.volumes[1].name: \"a\" is taken by spec.volumes[0]");
    pod(
        "volumes: [{name: a, emptyDir: {}, hostPath: {path: /b}}]",
        "f:7:13: spec.volumes[0]: a volume has one source; given are emptyDir, hostPath",
    );
    pod(
        "volumes: [{name: a, emptyDir: {sizeLimit: -1Mi}}]",
        "f:7:45: spec.volumes[0].emptyDir.sizeLimit: \"-1Mi\" is not accepted; a quantity like 250m, 0.5, 64Mi or 1G, not negative, is needed",
    );
    pod(
        "volumes: [{name: a, emptyDir: {medium: HugePages}}]",
        "f:7:42: spec.volumes[0].emptyDir.medium: \"HugePages\" is not accepted; Memory is needed",
    );
    pod(
        "volumes: [{name: a, hostPath: {path: b}}]",
        "f:7:40: spec.volumes[0].hostPath.path: \"b\" is not accepted; an absolute path without \"..\" is needed",
    );
    pod(
        "volumes: [{name: a, hostPath: {path: /a/../b}}]",
        "f:7:40: spec.volumes[0].hostPath.path: \"/a/../b\" is not accepted; an absolute path without \"..\" is needed",
    );
    pod(
        "volumes: [{name: a, hostPath: {path: /b, type: directory}}]",
        "f:7:50: spec.volumes[0].hostPath.type: \"directory\" is not accepted; one of DirectoryOrCreate, Directory, FileOrCreate, File, Socket, CharDevice, BlockDevice is needed, did you mean \"Directory\"?",
    );
    pod(
        "volumes: [{name: a, persistentVolumeClaim: {}}]",
        "f:7:46: spec.volumes[0].persistentVolumeClaim.claimName: missing; a name of lower case letters, digits, \"-\" and \".\" (at most 253, \"-\" only between two others) is needed",
    );

    meta(
        "namespace: a.b",
        "f:5:14: metadata.namespace: \"a.b\" is not accepted; a name of lower case letters, digits and \"-\" (at most 63, the first and the last no \"-\") is needed",
    );
    meta(
        "labels: {a/b/c: d}",
        "f:5:19: metadata.labels[a/b/c]: \"a/b/c\" is not accepted; a key of letters, digits, \"-\", \"_\" and \".\" (at most 63, a letter or digit first and last, perhaps a domain and \"/\" before it) is needed",
    );
    meta(
        "labels: {a: b c}",
        "f:5:15: metadata.labels.a: \"b c\" is not accepted; a value of letters, digits, \"-\", \"_\" and \".\" (at most 63, a letter or digit first and last) is needed",
    );
    meta("labels: {a: 1}", "f:5:15: metadata.labels.a: 1 is a number; a string is needed (put it in quotes)");
    meta("labels: [a]", "f:5:11: metadata.labels: a list stands here; an object is needed");
    meta(
        "annotations: {carob.dev/oom-grp: a}",
        "f:5:17: metadata.annotations[carob.dev/oom-grp]: carob knows no such annotation, did you mean \"carob.dev/oom-group\"?",
    );
    meta(
        "annotations: {carob.dev/oom-group: no}",
        "f:5:38: metadata.annotations[carob.dev/oom-group]: false is a boolean; a string is needed (put it in quotes)",
    );
    meta(
        "annotations: {carob.dev/oom-group: off it}",
        "f:5:38: metadata.annotations[carob.dev/oom-group]: \"off it\" is not accepted; \"true\" or \"false\" is needed",
    );
    meta(
        "annotations: {carob.dev/oom-group.d: \"true\"}",
        "f:5:40: metadata.annotations[carob.dev/oom-group.d]: there is no container \"d\"",
    );
    meta(
        "annotations: {carob.dev/restart: \"oom=Sometimes\"}",
        "f:5:36: metadata.annotations[carob.dev/restart]: \"oom=Sometimes\" is not accepted; a list of causes (oom, crash, probe, kill) with Always or Never, as in \"oom=Never,kill=Always\", is needed",
    );
    meta(
        "annotations: {carob.dev/backoff.c: \"oom=1m,oom=2m\"}",
        "f:5:38: metadata.annotations[carob.dev/backoff.c]: \"oom=1m,oom=2m\" is not accepted; a list of causes (oom, crash, probe, kill) with a delay or a first and a longest one, as in \"oom=1m,crash=5s..2m\", is needed",
    );
    meta(
        "annotations: {carob.dev/memory-qos.c: \"true\"}",
        "f:5:17: metadata.annotations[carob.dev/memory-qos.c]: carob knows no such annotation, did you mean \"carob.dev/memory-qos\"?",
    );
    meta(
        "creationTimestamp: today",
        "f:5:22: metadata.creationTimestamp: \"today\" is a string; a time like 2026-01-31T12:00:00Z is needed",
    );
    check(
        "name: a",
        "generateName: A",
        "f:4:17: metadata.generateName: \"A\" is not accepted; the beginning of a name of lower case letters, digits, \"-\" and \".\" is needed",
    );
    check(
        "name: a",
        "namespace: a",
        "f:4:3: metadata.name: missing; a name of lower case letters, digits, \"-\" and \".\" (at most 253, \"-\" only between two others) is needed",
    );
    check("apiVersion: v1", "apiVersion: v2", "f:1:13: apiVersion: \"v2\" is not accepted; v1 is needed");
    check("apiVersion: v1", "", "f:2:1: apiVersion: missing; v1 is needed");
    check(
        "kind: Pod",
        "",
        "f:1:1: kind: missing; one of Pod, PersistentVolumeClaim, ConfigMap, Secret, Namespace, Deployment, ReplicaSet, ReplicationController, DaemonSet, StatefulSet, Job is needed",
    );
    check(
        "kind: Pod",
        "kind: [Pod]",
        "f:2:7: kind: a list stands here; one of Pod, PersistentVolumeClaim, ConfigMap, Secret, Namespace, Deployment, ReplicaSet, ReplicationController, DaemonSet, StatefulSet, Job is needed",
    );
    check(
        "kind: Pod",
        "kind: pod",
        "f:2:1: kind: \"pod\" is not supported yet; accepted are Pod, PersistentVolumeClaim, ConfigMap, Secret, Namespace, Deployment, ReplicaSet, ReplicationController, DaemonSet, StatefulSet, Job, did you mean \"Pod\"?",
    );
    check(
        "kind: Pod",
        "kind: CronJob",
        "f:2:1: kind: \"CronJob\" is not supported yet; accepted are Pod, PersistentVolumeClaim, ConfigMap, Secret, Namespace, Deployment, ReplicaSet, ReplicationController, DaemonSet, StatefulSet, Job",
    );
    check(
        "kind: Pod",
        "kind: Pod\nsepc: {}",
        "f:3:1: sepc: Kubernetes knows no such field, did you mean \"spec\"?",
    );
}

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
fn probes_and_hooks_are_refused_as_kubernetes_refuses_them() {
    let rows = [
        ("livenessProbe: {}", "livenessProbe: missing; one of exec, grpc, httpGet, tcpSocket is needed"),
        (
            "livenessProbe: {exec: {command: [a]}, tcpSocket: {port: 1}}",
            "livenessProbe: exactly one of exec, grpc, httpGet, tcpSocket is accepted; given are exec, tcpSocket",
        ),
        (
            "livenessProbe: {exec: {}}",
            "livenessProbe.exec.command: missing; a command and its arguments is needed",
        ),
        (
            "ports: [{containerPort: 80, hostPort: 65536}]",
            "ports[0].hostPort: 65536 is out of range; an integer from 1 to 65535 is needed",
        ),
        (
            "ports: [{containerPort: 80, hostPort: 80}, {containerPort: 81, hostPort: 80, hostIP: 127.0.0.1}]",
            "ports[1].hostPort: 80 is taken by another port of the pod",
        ),
        (
            "ports: [{containerPort: 80, hostPort: 80, hostIP: box}]",
            "ports[0].hostIP: \"box\" is not accepted; an IPv4 or IPv6 address is needed",
        ),
        (
            "livenessProbe: {tcpSocket: {port: 0}}",
            "livenessProbe.tcpSocket.port: 0 is out of range; an integer from 1 to 65535 is needed",
        ),
        (
            "livenessProbe: {tcpSocket: {port: \"80\"}}",
            "livenessProbe.tcpSocket.port: \"80\" is not accepted; a number from 1 to 65535 or the name of a port is needed",
        ),
        (
            "livenessProbe: {httpGet: {port: web}}",
            "livenessProbe.httpGet.port: the container has no port \"web\"; named are: none",
        ),
        (
            "livenessProbe: {httpGet: {port: 1, scheme: https}}",
            "livenessProbe.httpGet.scheme: \"https\" is not accepted; one of HTTP, HTTPS is needed, did you mean \"HTTPS\"?",
        ),
        (
            "livenessProbe: {httpGet: {port: 1, host: \"http://shop.example\"}}",
            "livenessProbe.httpGet.host: \"http://shop.example\" is not accepted; an address or the name of a host is needed",
        ),
        (
            "livenessProbe: {httpGet: {port: 1, httpHeaders: [{name: a b, value: c}]}}",
            "livenessProbe.httpGet.httpHeaders[0].name: \"a b\" is not accepted; a name of letters, digits and \"-\" is needed",
        ),
        (
            "livenessProbe: {grpc: {port: 70000}}",
            "livenessProbe.grpc.port: 70000 is out of range; an integer from 1 to 65535 is needed",
        ),
        (
            "livenessProbe: {grpc: {port: 1, mode: TLS}}",
            "livenessProbe.grpc.mode: \"TLS\" is not supported yet (accepted is \"Plaintext\")",
        ),
        (
            "livenessProbe: {tcpSocket: {port: 1}, successThreshold: 2}",
            "livenessProbe.successThreshold: 2 is not accepted; 1 is needed (more than one has a meaning for readiness only)",
        ),
        (
            "startupProbe: {tcpSocket: {port: 1}, periodSeconds: -1}",
            "startupProbe.periodSeconds: -1 is negative; a number of 0 or more is needed",
        ),
        (
            "startupProbe: {tcpSocket: {port: 1}, terminationGracePeriodSeconds: 0}",
            "startupProbe.terminationGracePeriodSeconds: 0 is not accepted; a number of 1 or more seconds is needed",
        ),
        (
            "readinessProbe: {tcpSocket: {port: 1}, terminationGracePeriodSeconds: 5}",
            "readinessProbe.terminationGracePeriodSeconds: must not be set for readinessProbes: a container is not ended for being unready",
        ),
        (
            "lifecycle: {preStop: {sleep: {seconds: 31}}}",
            "lifecycle.preStop.sleep.seconds: 31 is not accepted; a number of seconds from 0 to terminationGracePeriodSeconds (30) is needed",
        ),
        (
            "lifecycle: {preStop: {tcpSocket: {port: 1}}}",
            "lifecycle.preStop.tcpSocket: this field is not supported: Kubernetes does not run it either; use exec or httpGet",
        ),
        ("lifecycle: {postStart: {}}", "lifecycle.postStart: missing; one of exec, httpGet, sleep is needed"),
        (
            "lifecycle: {stopSignal: TERM}",
            "lifecycle.stopSignal: \"TERM\" is not accepted; a signal like SIGTERM, SIGUSR1, SIGRTMIN+3 or SIGRTMAX-2 is needed",
        ),
        (
            "lifecycle: {stopSignal: SIGUSR1}",
            "lifecycle.stopSignal: may not be set for containers with empty spec.os.name; say spec.os.name: linux",
        ),
    ];
    for (line, wanted) in rows {
        let said = refusal(&with("#container", line));
        let said: Vec<&str> =
            said.iter().filter_map(|said| Some(said.split_once(": spec.containers[0].")?.1)).collect();
        assert_eq!(said, [wanted], "{line}");
    }
    let init = with("#spec", "initContainers: [{name: a, image: b, startupProbe: {tcpSocket: {port: 1}}}]");
    let wanted = "spec.initContainers[0].startupProbe: may not be set for init containers without restartPolicy=Always";
    let said = refusal(&init).concat();
    assert!(said.ends_with(wanted), "{said}");
}

/// Nothing said, and all of it said.
#[test]
fn a_probe_has_the_defaults_of_kubernetes() {
    let only = |line: &str| {
        let spec = spec(&one(&with("#container", line)).value, uid()).expect(line);
        spec.containers.into_iter().next().expect("one")
    };
    let short = only("livenessProbe: {httpGet: {port: web}}\n    ports: [{containerPort: 8080, name: web}]");
    let get =
        HttpGet { host: None, scheme: Scheme::Http, port: 8080, path: "/".to_owned(), headers: Vec::new() };
    let seconds = Duration::from_secs;
    let wanted = Probe {
        action: Action::HttpGet(get),
        initial_delay: Duration::ZERO,
        period: seconds(10),
        timeout: seconds(1),
        successes: 1,
        failures: 3,
        grace: None,
    };
    assert_eq!(short.probes, Probes { liveness: Some(wanted), ..Probes::default() });
    let long = only(
        "readinessProbe: {grpc: {port: 1, service: s}, initialDelaySeconds: 2, periodSeconds: 3, timeoutSeconds: 4, successThreshold: 5, failureThreshold: 6}",
    );
    let wanted = Probe {
        action: Action::Grpc { port: 1, service: "s".to_owned() },
        initial_delay: seconds(2),
        period: seconds(3),
        timeout: seconds(4),
        successes: 5,
        failures: 6,
        grace: None,
    };
    assert_eq!(long.probes, Probes { readiness: Some(wanted), ..Probes::default() });
}

#[test]
fn what_means_nothing_or_what_happens_anyway_is_accepted_without_a_word() {
    let check = |at: &str, line: &str| {
        let checked = pod(&one(&with(at, line)).value).expect(line);
        assert_eq!(checked.notes, Vec::<String>::new(), "{line}");
    };
    for line in [
        "securityContext: {}",
        "securityContext: {runAsNonRoot: false, sysctls: []}",
        "initContainers: []",
        "initContainers:",
        "dnsPolicy: Default",
        "hostNetwork: no",
        "hostUsers: true",
        "enableServiceLinks: false",
        "serviceAccountName: default",
        "schedulerName: default-scheduler",
        "volumes: [{name: a, emptyDir: }]",
        "volumes: [{name: a, hostPath: {path: /a, type: \"\"}}]",
        "os: {name: linux}",
        "resources: {}",
    ] {
        check("#spec", line);
    }
    for line in [
        "env: []",
        "lifecycle: {}",
        "livenessProbe: {tcpSocket: {port: 80, host: shop_1.example.}}",
        "livenessProbe: {tcpSocket: {port: 80}, timeoutSeconds: 0, terminationGracePeriodSeconds: 1}",
        "readinessProbe: {httpGet: {port: web, scheme: HTTPS, host: localhost}}\n    ports: [{containerPort: 1, name: web}]",
        "startupProbe: {grpc: {port: 1, service: a, mode: Plaintext}, failureThreshold: 30, successThreshold: 1}",
        "lifecycle: {preStop: {sleep: {seconds: 30}}, postStart: {exec: {command: [a]}}}",
        "stdin: false",
        "securityContext: {capabilities: {}, allowPrivilegeEscalation: true}",
        "terminationMessagePath: /dev/termination-log",
        "ports: [{containerPort: 0x50, hostPort: 0}]",
        "ports: [{containerPort: 80, hostPort: 8080, hostIP: 192.0.2.1, protocol: UDP}]",
        "args: [\"it\\'s\"]",
    ] {
        check("#container", line);
    }
}

#[test]
fn what_has_no_effect_on_one_box_is_accepted_and_told() {
    let check = |at: &str, line: &str, wanted: &str| {
        let checked = pod(&one(&with(at, line)).value).expect(line);
        assert_eq!(checked.notes, [wanted], "{line}");
    };
    let only = "accepted, but has no effect: this box is the only node";
    check("#spec", "affinity: {nodeAffinity: {}}", &format!("spec.affinity: {only}"));
    check("#spec", "tolerations: [{operator: Exists}]", &format!("spec.tolerations: {only}"));
    check("#spec", "nodeSelector: {a: b}", &format!("spec.nodeSelector: {only}"));
    check("#spec", "schedulerName: mine", &format!("spec.schedulerName: {only}"));
    check(
        "#spec",
        "serviceAccountName: robot",
        "spec.serviceAccountName: accepted, but has no effect: there are no service accounts",
    );
    check(
        "#spec",
        "priorityClassName: high",
        "spec.priorityClassName: accepted, but has no effect: no pod is preempted for another",
    );
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

#[test]
fn a_claim_is_checked_too() {
    let claim_of =
        |spec: Value| json!({"kind": "PersistentVolumeClaim", "metadata": {"name": "a"}, "spec": spec});
    let check = |spec: Value, wanted: &[&str]| {
        let faults = claim(&claim_of(spec)).expect_err("faulty");
        assert_eq!(faults.0.iter().map(ToString::to_string).collect::<Vec<_>>(), wanted);
    };
    let modes = json!(["ReadWriteOnce"]);
    let storage = json!({"requests": {"storage": "1024Mi"}});
    let good = claim(&claim_of(json!({"accessModes": modes, "resources": storage}))).expect("good");
    let wanted = json!({
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": "a", "namespace": "default"},
        "spec": {"accessModes": modes, "resources": {"requests": {"storage": "1Gi"}}, "volumeMode": "Filesystem"},
    });
    assert_eq!(good.object, wanted);
    assert_eq!(good.notes.len(), 1, "the size");
    check(
        json!({}),
        &[
            "spec.accessModes: missing; a list of at least one access mode is needed",
            "spec.resources.requests.storage: missing; a quantity like 1Gi is needed",
        ],
    );
    check(
        json!({"accessModes": ["RWO"], "volumeName": "x", "volumeMode": "Block", "resources": storage}),
        &[
            "spec.accessModes[0]: \"RWO\" is not accepted; one of ReadWriteOnce, ReadOnlyMany, ReadWriteMany, ReadWriteOncePod is needed",
            "spec.volumeMode: \"Block\" is not supported (accepted is \"Filesystem\"): a claim is a directory on this box",
            "spec.volumeName: \"x\" is not supported: there are no PersistentVolumes to name",
        ],
    );
}

#[test]
fn an_object_without_a_file_has_faults_without_places() {
    let check = |value: Value, wanted: &str| assert_eq!(pod(&value).expect_err("faulty").to_string(), wanted);
    check(json!([]), "a list stands here; an object is needed");
    check(json!({"kind": "Service"}), "kind: \"Service\" is not accepted; Pod is needed");
    check(
        json!({"metadata": {"name": "a"}}),
        "spec.containers: missing; a list of at least one container is needed",
    );
    check(
        json!({"metadata": {"name": "a"}, "spec": {"containers": [{"name": "a", "image": "b", "comand": []}]}}),
        "spec.containers[0].comand: Kubernetes knows no such field, did you mean \"command\"?",
    );
}

/// The manifests of public projects, if this tree has them beside it.
fn corpus() -> Vec<(String, Vec<u8>)> {
    let folder = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/corpus"));
    let Ok(entries) = fs::read_dir(&folder) else {
        eprintln!("SKIPPED: there is no corpus of manifests at {}", folder.display());
        return Vec::new();
    };
    let paths = entries.map(|entry| entry.expect("an entry").path());
    let manifests = paths.filter(|path| path.extension().is_some_and(|end| end == "yaml" || end == "json"));
    manifests.map(|path| (path.display().to_string(), fs::read(&path).expect("a manifest"))).collect()
}

#[test]
fn every_public_manifest_is_accepted_or_refused_with_a_field_or_a_line() {
    let mut counts = BTreeMap::new();
    for (file, bytes) in corpus() {
        let outcome = match read(&file, &bytes) {
            Ok(objects) => {
                for object in objects.iter().filter(|object| object.kind == Kind::Pod) {
                    let stored =
                        pod(&object.value).unwrap_or_else(|faults| panic!("{file}: {faults}")).object;
                    assert_eq!(spec(&object.value, uid()), spec(&stored, uid()), "{file}");
                    assert_eq!(pod(&stored).expect(&file).object, stored, "{file}");
                }
                "accepted"
            }
            Err(Faults(faults)) => {
                assert!(!faults.is_empty(), "{file}");
                assert!(faults.iter().all(|fault| fault.place.is_some()), "{file}: {faults:?}");
                "refused"
            }
        };
        *counts.entry(outcome).or_insert(0_usize) += 1;
    }
    eprintln!("corpus: {counts:?}");
}

/// A sequence that looks random and is always the same (Knuth's MMIX constants).
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).expect("31 bits") % sides
    }
}

#[test]
fn no_damage_to_a_manifest_makes_the_reader_fall_over() {
    const PIECES: [&[u8]; 12] =
        [b"&a ", b"*a", b"<<: ", b"!!int ", b"\\'", b"\"", b"{", b"]", b"\n---\n", b"\xff", b"~", b"1e99"];
    let (mut dice, mut refused) = (Dice(7), 0);
    for _ in 0..1000 {
        let mut bytes = FULL.as_bytes().to_vec();
        for _ in 0..=dice.roll(3) {
            let at = dice.roll(bytes.len());
            match dice.roll(4) {
                0 => bytes.truncate(at.max(1)),
                1 => bytes[at] = u8::try_from(dice.roll(256)).expect("a byte"),
                2 => drop(bytes.drain(at..(at + dice.roll(20)).min(bytes.len()))),
                _ => drop(bytes.splice(at..at, PIECES[dice.roll(PIECES.len())].iter().copied())),
            }
            bytes.push(b'\n');
        }
        if let Err(Faults(faults)) = read("f", &bytes) {
            refused += 1;
            assert!(!faults.is_empty() && faults.iter().all(|fault| fault.place.is_some()), "{faults:?}");
        }
    }
    assert!(refused > 300, "{refused}: the damage should be noticed");
}
