//! One mistake each, and what is said of it.

use super::*;

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
