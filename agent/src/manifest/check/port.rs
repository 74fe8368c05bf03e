//! `ports` of containers: names, numbers, and which port of the box each wants.

use std::net::IpAddr;

use k8s_openapi::api::core::v1::{ContainerPort, PodSpec};

use super::{check_name, unique};
use crate::manifest::{
    fault::{FaultKind, Findings},
    names,
    path::Path,
    port,
};

pub(super) fn check(ports: &[ContainerPort], spec: &PodSpec, at: &Path<'_>, findings: &mut Findings) {
    for (index, one) in ports.iter().enumerate() {
        let at = at.item(index);
        number(one.container_port, &at.field("containerPort"), findings);
        if let Some(port) = one.host_port.filter(|port| *port != 0) {
            number(port, &at.field("hostPort"), findings);
            // On the box's network there is nothing between the two.
            if spec.host_network == Some(true) && port != one.container_port {
                let text = "must match `containerPort` when `hostNetwork` is true";
                findings.fault(&at.field("hostPort"), FaultKind::Value, text);
            }
        }
        if let Some(address) = one.host_ip.as_deref().filter(|address| !address.is_empty())
            && address.parse::<IpAddr>().is_err()
        {
            findings.rejected(&at.field("hostIP"), address, "an IPv4 or IPv6 address");
        }
        if let Some(name) = one.name.as_deref().filter(|name| !name.is_empty()) {
            check_name(name, &names::PORT, &at.field("name"), findings);
        }
    }
    let names: Vec<&str> = ports.iter().map(|port| port.name.as_deref().unwrap_or_default()).collect();
    unique(&names, at, "name", findings);
}

fn number(number: i32, at: &Path<'_>, findings: &mut Findings) {
    if !(1..=65535).contains(&number) {
        let text = format!("{number} is out of range; an integer from 1 to 65535 is needed");
        findings.fault(at, FaultKind::Value, text);
    }
}

/// No two containers of a pod can have one port of the box.
pub(super) fn check_all(spec: &PodSpec, at: &Path<'_>, findings: &mut Findings) {
    let list = at.field("containers");
    let mut seen = Vec::new();
    for (index, container) in spec.containers.iter().enumerate() {
        let at = list.item(index);
        let at = at.field("ports");
        for (index, written) in container.ports.iter().flatten().enumerate() {
            let Some(port) = port::of_host(written) else { continue };
            if seen.iter().any(|other| port.clashes(*other)) {
                let at = at.item(index);
                let text = format!("{} is taken by another port of the pod", port.port);
                findings.fault(&at.field("hostPort"), FaultKind::Taken, text);
            }
            seen.push(port);
        }
    }
}
