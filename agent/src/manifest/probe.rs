//! Probes and hooks of a checked container: Kubernetes' defaults, and the agent's own words for them.

use std::time::Duration;

use k8s_openapi::{
    api::core::v1::{self, ContainerPort, ExecAction, HTTPGetAction, TCPSocketAction},
    apimachinery::pkg::util::intstr::IntOrString,
};

use super::{fault::Fault, path::Path, spec::unchecked};
use crate::pod::{
    probe::{Action, Host, HttpGet, Lifecycle, Probe, Probes, Scheme},
    signal::signal,
};

/// What the API server fills in (`SetDefaults_Probe`, `SetDefaults_HTTPGetAction`): 0 stands for nothing said.
pub(super) fn fill(container: &mut v1::Container) {
    let probes =
        [&mut container.startup_probe, &mut container.readiness_probe, &mut container.liveness_probe];
    for probe in probes.into_iter().flatten() {
        for (field, default) in [
            (&mut probe.timeout_seconds, 1),
            (&mut probe.period_seconds, 10),
            (&mut probe.success_threshold, 1),
            (&mut probe.failure_threshold, 3),
        ] {
            *field = field.filter(|number| *number != 0).or(Some(default));
        }
        probe.http_get.iter_mut().for_each(fill_http);
        if let Some(grpc) = &mut probe.grpc {
            grpc.service.get_or_insert_default();
        }
    }
    let hooks = container.lifecycle.iter_mut();
    let hooks = hooks.flat_map(|hooks| [&mut hooks.post_start, &mut hooks.pre_stop]).flatten();
    hooks.flat_map(|hook| &mut hook.http_get).for_each(fill_http);
}

fn fill_http(get: &mut HTTPGetAction) {
    for (field, default) in [(&mut get.path, "/"), (&mut get.scheme, "HTTP")] {
        if field.as_deref().is_none_or(str::is_empty) {
            *field = Some(default.to_owned());
        }
    }
}

/// A port's number: given, or that of the container's port of this name.
pub(super) fn port(written: &IntOrString, ports: &[ContainerPort]) -> Option<u16> {
    let number = match written {
        IntOrString::Int(number) => *number,
        IntOrString::String(name) => {
            ports.iter().find(|port| port.name.as_deref() == Some(name))?.container_port
        }
    };
    u16::try_from(number).ok().filter(|number| *number > 0)
}

/// An address, or a name that can be asked for (RFC 1035 §2.3.4, with "_" as it occurs).
pub(super) fn host(written: &str) -> Option<Host> {
    if let Ok(address) = written.trim_start_matches('[').trim_end_matches(']').parse() {
        return Some(Host::Address(address));
    }
    let name = written.strip_suffix('.').unwrap_or(written);
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
    };
    (name.len() <= 253 && name.split('.').all(is_label)).then(|| Host::Name(written.to_owned()))
}

pub(super) fn probes(container: &v1::Container, at: &Path<'_>) -> Result<Probes, Fault> {
    let ports = container.ports.as_deref().unwrap_or_default();
    let convert = |written: &Option<v1::Probe>, field: &str| {
        let at = at.field(field);
        written.as_ref().map(|written| probe(written, ports).ok_or_else(|| unchecked(&at))).transpose()
    };
    Ok(Probes {
        startup: convert(&container.startup_probe, "startupProbe")?,
        readiness: convert(&container.readiness_probe, "readinessProbe")?,
        liveness: convert(&container.liveness_probe, "livenessProbe")?,
    })
}

pub(super) fn lifecycle(container: &v1::Container, at: &Path<'_>) -> Result<Lifecycle, Fault> {
    let Some(written) = &container.lifecycle else { return Ok(Lifecycle::default()) };
    let ports = container.ports.as_deref().unwrap_or_default();
    let convert = |written: &Option<v1::LifecycleHandler>, field: &str| {
        let at = at.field(field);
        written.as_ref().map(|written| hook(written, ports).ok_or_else(|| unchecked(&at))).transpose()
    };
    Ok(Lifecycle {
        post_start: convert(&written.post_start, "postStart")?,
        pre_stop: convert(&written.pre_stop, "preStop")?,
        stop_signal: written.stop_signal.as_deref().and_then(signal),
    })
}

fn probe(written: &v1::Probe, ports: &[ContainerPort]) -> Option<Probe> {
    let action = if let Some(exec) = &written.exec {
        self::exec(exec)
    } else if let Some(get) = &written.http_get {
        http_get(get, ports)?
    } else if let Some(tcp) = &written.tcp_socket {
        tcp_socket(tcp, ports)?
    } else {
        let grpc = written.grpc.as_ref()?;
        let port = u16::try_from(grpc.port).ok()?;
        Action::Grpc { port, service: grpc.service.clone().unwrap_or_default() }
    };
    let seconds =
        |number: Option<i32>| u64::try_from(number.unwrap_or_default()).map(Duration::from_secs).ok();
    let count = |number: Option<i32>| u32::try_from(number?).ok();
    let grace = written.termination_grace_period_seconds.and_then(|seconds| u64::try_from(seconds).ok());
    Some(Probe {
        action,
        initial_delay: seconds(written.initial_delay_seconds)?,
        period: seconds(written.period_seconds)?,
        timeout: seconds(written.timeout_seconds)?,
        successes: count(written.success_threshold)?,
        failures: count(written.failure_threshold)?,
        grace: grace.map(Duration::from_secs),
    })
}

fn hook(written: &v1::LifecycleHandler, ports: &[ContainerPort]) -> Option<Action> {
    if let Some(exec) = &written.exec {
        return Some(self::exec(exec));
    }
    if let Some(get) = &written.http_get {
        return http_get(get, ports);
    }
    let seconds = u64::try_from(written.sleep.as_ref()?.seconds).ok()?;
    Some(Action::Sleep { wait: Duration::from_secs(seconds) })
}

fn exec(written: &ExecAction) -> Action {
    Action::Exec { command: written.command.clone().unwrap_or_default() }
}

fn tcp_socket(written: &TCPSocketAction, ports: &[ContainerPort]) -> Option<Action> {
    let host = written.host.as_deref().filter(|host| !host.is_empty()).and_then(host);
    Some(Action::TcpSocket { host, port: port(&written.port, ports)? })
}

fn http_get(written: &HTTPGetAction, ports: &[ContainerPort]) -> Option<Action> {
    let host = written.host.as_deref().filter(|host| !host.is_empty()).and_then(host);
    let headers = written.http_headers.iter().flatten();
    Some(Action::HttpGet(HttpGet {
        host,
        scheme: if written.scheme.as_deref() == Some("HTTPS") { Scheme::Https } else { Scheme::Http },
        port: port(&written.port, ports)?,
        path: escaped(written.path.as_deref().unwrap_or_default()),
        headers: headers.map(|header| (header.name.clone(), header.value.clone())).collect(),
    }))
}

/// As Go writes it into a request: `/` first, no fragment, nothing that a request line cannot hold.
fn escaped(path: &str) -> String {
    let path = path.split('#').next().unwrap_or_default();
    let mut escaped = if path.starts_with('/') { String::new() } else { "/".to_owned() };
    for byte in path.bytes() {
        match byte {
            b'!'..=b'~' if !matches!(byte, b'"' | b'<' | b'>' | b'\\' | b'^' | b'`' | b'{' | b'|' | b'}') => {
                escaped.push(char::from(byte));
            }
            _ => escaped.push_str(&format!("%{byte:02X}")),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signal_has_the_number_of_its_name() {
        let rows = [
            ("SIGTERM", Some(15)),
            ("SIGUSR2", Some(12)),
            ("SIGRTMIN", Some(34)),
            ("SIGRTMIN+15", Some(49)),
            ("SIGRTMAX-14", Some(50)),
            ("SIGRTMAX", Some(64)),
            ("SIGRTMIN+16", None),
            ("SIGRTMIN+0", None),
            ("SIGRTMIN-1", None),
            ("TERM", None),
            ("sigterm", None),
            ("15", None),
        ];
        for (name, number) in rows {
            assert_eq!(signal(name), number, "{name}");
        }
    }

    #[test]
    fn a_path_fits_into_a_request_line() {
        let rows = [
            ("/healthz?a=b&c", "/healthz?a=b&c"),
            ("healthz", "/healthz"),
            ("?full", "/?full"),
            ("/a b#c", "/a%20b"),
            ("/ä%20", "/%C3%A4%20"),
        ];
        for (path, expected) in rows {
            assert_eq!(escaped(path), expected);
        }
    }
}
