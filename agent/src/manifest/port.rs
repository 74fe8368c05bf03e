//! `hostPort` of checked containers, in the agent's own words.

use k8s_openapi::api::core::v1::{ContainerPort, PodSpec};

use crate::pod::port::{HostPort, Protocol};

/// The ports of the box that a pod wants.
pub(super) fn all(spec: &PodSpec) -> Vec<HostPort> {
    let inits = spec.init_containers.iter().flatten();
    inits
        .chain(&spec.containers)
        .flat_map(|container| container.ports.iter().flatten())
        .filter_map(of_host)
        .collect()
}

/// `None`: it wants none, or says so in a way that the checks refuse.
pub(super) fn of_host(written: &ContainerPort) -> Option<HostPort> {
    let number = |port: i32| u16::try_from(port).ok().filter(|port| *port > 0);
    let address = written.host_ip.as_deref().filter(|address| !address.is_empty());
    Some(HostPort {
        protocol: match written.protocol.as_deref() {
            Some("UDP") => Protocol::Udp,
            Some("SCTP") => Protocol::Sctp,
            _ => Protocol::Tcp,
        },
        address: address.map(str::parse).transpose().ok()?,
        port: number(written.host_port?)?,
        to: number(written.container_port)?,
    })
}
