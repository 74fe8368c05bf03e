//! What went over a pod's cable, as the box's end of it counts: what the pod receives is what this end has sent. A pod
//! on the box's own network has no cable, and no figures of its own.
#![expect(clippy::disallowed_methods, reason = "reads the kernel's counters")]

use std::{fs, net::Ipv4Addr, path::Path};

use super::super::family::{Family, Series};
use crate::{
    picture::{Picture, PodPicture},
    pod::{network::cable, surroundings::Whose},
};

/// The pod's end of it.
const INTERFACE: &str = "eth0";
/// Family, help, and the counter of the box's end.
const ROWS: [(&str, &str, &str); 8] = [
    ("container_network_receive_bytes", "Bytes received.", "tx_bytes"),
    ("container_network_receive_packets", "Packets received.", "tx_packets"),
    ("container_network_receive_packets_dropped", "Packets dropped on their way in.", "tx_dropped"),
    ("container_network_receive_errors", "Packets that could not be received.", "tx_errors"),
    ("container_network_transmit_bytes", "Bytes sent.", "rx_bytes"),
    ("container_network_transmit_packets", "Packets sent.", "rx_packets"),
    ("container_network_transmit_packets_dropped", "Packets dropped on their way out.", "rx_dropped"),
    ("container_network_transmit_errors", "Packets that could not be sent.", "rx_errors"),
];

pub(super) fn families(picture: &Picture, links: &Path) -> Vec<Family> {
    ROWS.iter()
        .map(|(name, help, counter)| {
            let series = picture.pods.values().filter_map(|pod| {
                let count = count(links, address(pod)?, counter)?;
                let name = &pod.spec.name;
                let whose = [("namespace", &*name.namespace), ("pod", &*name.name), ("interface", INTERFACE)];
                Some(Series::new(whose, count as f64))
            });
            Family::counter(name, help, series.collect())
        })
        .collect()
}

fn address(pod: &PodPicture) -> Option<Ipv4Addr> {
    pod.address.filter(|_| pod.spec.surroundings.net == Whose::Pods).map(|address| address.v4)
}

fn count(links: &Path, address: Ipv4Addr, counter: &str) -> Option<u64> {
    let file = links.join(cable(address)).join("statistics").join(counter);
    fs::read_to_string(file).ok()?.trim().parse().ok()
}
