//! Probes and lifecycle hooks: one action each, its words, and the numbers (Kubernetes `validateProbe`,
//! `validateLifecycle`).

use k8s_openapi::{
    api::core::v1::{
        Container, ContainerPort, ExecAction, HTTPGetAction, LifecycleHandler, PodSpec, Probe,
        TCPSocketAction,
    },
    apimachinery::pkg::util::intstr::IntOrString,
};

use crate::manifest::{
    defaults::GRACE_SECONDS,
    fault::{FaultKind, Findings, quoted},
    names,
    path::Path,
    probe,
};

type Ports<'a> = &'a [ContainerPort];

pub(super) fn check(container: &Container, spec: &PodSpec, at: &Path<'_>, findings: &mut Findings) {
    let ports = container.ports.as_deref().unwrap_or_default();
    if let Some(probe) = &container.liveness_probe {
        let at = at.field("livenessProbe");
        check_probe(probe, ports, &at, findings);
        one_success(probe, &at, findings);
    }
    if let Some(probe) = &container.startup_probe {
        let at = at.field("startupProbe");
        check_probe(probe, ports, &at, findings);
        one_success(probe, &at, findings);
    }
    if let Some(probe) = &container.readiness_probe {
        let at = at.field("readinessProbe");
        check_probe(probe, ports, &at, findings);
        if probe.termination_grace_period_seconds.is_some() {
            let text = "must not be set for readinessProbes: a container is not ended for being unready";
            findings.fault(&at.field("terminationGracePeriodSeconds"), FaultKind::Value, text);
        }
    }
    let Some(lifecycle) = &container.lifecycle else { return };
    let at = at.field("lifecycle");
    let grace = spec.termination_grace_period_seconds.unwrap_or(GRACE_SECONDS);
    for (hook, name) in [(&lifecycle.post_start, "postStart"), (&lifecycle.pre_stop, "preStop")] {
        if let Some(hook) = hook {
            check_hook(hook, ports, grace, &at.field(name), findings);
        }
    }
    if let Some(signal) = &lifecycle.stop_signal {
        stop_signal(signal, spec, &at.field("stopSignal"), findings);
    }
}

/// An init container that is no sidecar ends by itself: it has neither probes nor hooks.
pub(super) fn check_init(container: &Container, at: &Path<'_>, findings: &mut Findings) {
    if container.restart_policy.as_deref() == Some("Always") {
        return;
    }
    let fields = [
        ("lifecycle", container.lifecycle.as_ref().is_some_and(|hooks| *hooks != Default::default())),
        ("livenessProbe", container.liveness_probe.is_some()),
        ("readinessProbe", container.readiness_probe.is_some()),
        ("startupProbe", container.startup_probe.is_some()),
    ];
    for (field, _) in fields.iter().filter(|(_, given)| *given) {
        let text = "may not be set for init containers without restartPolicy=Always";
        findings.fault(&at.field(field), FaultKind::Value, text);
    }
}

fn check_probe(probe: &Probe, ports: Ports<'_>, at: &Path<'_>, findings: &mut Findings) {
    let mut given = Vec::new();
    if let Some(action) = &probe.exec {
        given.push("exec");
        exec(action, &at.field("exec"), findings);
    }
    if let Some(action) = &probe.grpc {
        given.push("grpc");
        number(action.port, &at.field("grpc").field("port"), findings);
    }
    if let Some(action) = &probe.http_get {
        given.push("httpGet");
        http_get(action, ports, &at.field("httpGet"), findings);
    }
    if let Some(action) = &probe.tcp_socket {
        given.push("tcpSocket");
        tcp_socket(action, ports, &at.field("tcpSocket"), findings);
    }
    one_of(&given, "exec, grpc, httpGet, tcpSocket", at, findings);
    let numbers = [
        ("initialDelaySeconds", probe.initial_delay_seconds),
        ("timeoutSeconds", probe.timeout_seconds),
        ("periodSeconds", probe.period_seconds),
        ("successThreshold", probe.success_threshold),
        ("failureThreshold", probe.failure_threshold),
    ];
    for (field, number) in numbers {
        if let Some(number) = number.filter(|number| *number < 0) {
            let text = format!("{number} is negative; a number of 0 or more is needed");
            findings.fault(&at.field(field), FaultKind::Value, text);
        }
    }
    if let Some(grace) = probe.termination_grace_period_seconds.filter(|grace| *grace <= 0) {
        let text = format!("{grace} is not accepted; a number of 1 or more seconds is needed");
        findings.fault(&at.field("terminationGracePeriodSeconds"), FaultKind::Value, text);
    }
}

fn one_success(probe: &Probe, at: &Path<'_>, findings: &mut Findings) {
    if let Some(number) = probe.success_threshold.filter(|number| *number > 1) {
        let text =
            format!("{number} is not accepted; 1 is needed (more than one has a meaning for readiness only)");
        findings.fault(&at.field("successThreshold"), FaultKind::Value, text);
    }
}

fn check_hook(hook: &LifecycleHandler, ports: Ports<'_>, grace: i64, at: &Path<'_>, findings: &mut Findings) {
    let mut given = Vec::new();
    if let Some(action) = &hook.exec {
        given.push("exec");
        exec(action, &at.field("exec"), findings);
    }
    if let Some(action) = &hook.http_get {
        given.push("httpGet");
        http_get(action, ports, &at.field("httpGet"), findings);
    }
    if let Some(action) = &hook.sleep {
        given.push("sleep");
        if !(0..=grace).contains(&action.seconds) {
            let text = format!(
                "{} is not accepted; a number of seconds from 0 to terminationGracePeriodSeconds ({grace}) is needed",
                action.seconds
            );
            findings.fault(&at.field("sleep").field("seconds"), FaultKind::Value, text);
        }
    }
    // Its own row has refused it already.
    given.extend(hook.tcp_socket.as_ref().map(|_| "tcpSocket"));
    one_of(&given, "exec, httpGet, sleep", at, findings);
}

fn one_of(given: &[&str], known: &str, at: &Path<'_>, findings: &mut Findings) {
    match given {
        [] => findings.missing(at, &format!("one of {known}")),
        [_] => (),
        several => {
            let text = format!("exactly one of {known} is accepted; given are {}", several.join(", "));
            findings.fault(at, FaultKind::Value, text);
        }
    }
}

fn exec(action: &ExecAction, at: &Path<'_>, findings: &mut Findings) {
    if action.command.as_ref().is_none_or(Vec::is_empty) {
        findings.missing(&at.field("command"), "a command and its arguments");
    }
}

fn tcp_socket(action: &TCPSocketAction, ports: Ports<'_>, at: &Path<'_>, findings: &mut Findings) {
    port(&action.port, ports, &at.field("port"), findings);
    host(action.host.as_deref(), &at.field("host"), findings);
}

fn http_get(action: &HTTPGetAction, ports: Ports<'_>, at: &Path<'_>, findings: &mut Findings) {
    port(&action.port, ports, &at.field("port"), findings);
    host(action.host.as_deref(), &at.field("host"), findings);
    let list = at.field("httpHeaders");
    for (index, header) in action.http_headers.iter().flatten().enumerate() {
        let at = list.item(index);
        if header.name.is_empty() || !header.name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-') {
            findings.rejected(&at.field("name"), &header.name, "a name of letters, digits and \"-\"");
        }
        if header.value.chars().any(|c| c.is_control() && c != '\t') {
            findings.rejected(&at.field("value"), &header.value, "text without control characters");
        }
    }
}

fn host(written: Option<&str>, at: &Path<'_>, findings: &mut Findings) {
    if let Some(name) = written.filter(|name| !name.is_empty() && probe::host(name).is_none()) {
        findings.rejected(at, name, "an address or the name of a host");
    }
}

fn port(written: &IntOrString, ports: Ports<'_>, at: &Path<'_>, findings: &mut Findings) {
    match written {
        IntOrString::Int(number) => self::number(*number, at, findings),
        IntOrString::String(name) if !(names::PORT.fits)(name) => {
            findings.rejected(at, name, "a number from 1 to 65535 or the name of a port");
        }
        IntOrString::String(name) if probe::port(written, ports).is_none() => {
            let known: Vec<&str> = ports.iter().filter_map(|port| port.name.as_deref()).collect();
            let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
            let text = format!("the container has no port {}; named are: {known}", quoted(name));
            findings.fault(at, FaultKind::Value, text);
        }
        IntOrString::String(_) => (),
    }
}

fn number(number: i32, at: &Path<'_>, findings: &mut Findings) {
    if !(1..=65535).contains(&number) {
        let text = format!("{number} is out of range; an integer from 1 to 65535 is needed");
        findings.fault(at, FaultKind::Value, text);
    }
}

fn stop_signal(signal: &str, spec: &PodSpec, at: &Path<'_>, findings: &mut Findings) {
    if crate::pod::signal::signal(signal).is_none() {
        let needed = "a signal like SIGTERM, SIGUSR1, SIGRTMIN+3 or SIGRTMAX-2";
        findings.rejected(at, signal, needed);
    } else if spec.os.is_none() {
        let text = "may not be set for containers with empty spec.os.name; say spec.os.name: linux";
        findings.fault(at, FaultKind::Value, text);
    }
}
