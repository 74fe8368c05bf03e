//! What is accepted, with a word or without one.

use super::*;

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
