//! Whole manifests through the whole module.
#![expect(clippy::disallowed_methods, reason = "the corpus is read from files")]

mod accepted;
mod damage;
mod probes;
mod refused;
mod several;

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
