//! Probes and hooks.

use super::*;

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
