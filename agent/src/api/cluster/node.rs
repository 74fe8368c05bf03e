//! The box as a Node. Pure: from the picture.

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::{
    api::{about, date},
    picture::Picture,
    pod::{MOST_PODS, Stamp},
};

/// Seconds between two reports (kubelet `nodeStatusReportFrequency`).
const HEARTBEAT: i64 = 300;
/// Whether the kernel tells of every death.
const HEARS: &str = "carob.dev/KernelAccounting";

/// The one node. It is as old as this boot.
pub(super) fn node(picture: &Picture, now: Timestamp) -> Value {
    let booted = picture.wall(&picture.boot, Stamp::default()).and_then(date::of_nanos);
    let system = rustix::system::uname();
    let kernel = system.release().to_string_lossy();
    let mut addresses: Vec<Value> =
        picture.address.forms().map(|address| json!({"type": "InternalIP", "address": address})).collect();
    addresses.push(json!({"type": "Hostname", "address": picture.node}));
    let (os, architecture) = ("linux", about::architecture());
    json!({
        "kind": "Node",
        "apiVersion": "v1",
        "metadata": {
            "name": picture.node,
            "uid": super::uid("Node", &picture.node),
            "creationTimestamp": booted,
            "labels": {
                "kubernetes.io/arch": architecture,
                "kubernetes.io/hostname": picture.node,
                "kubernetes.io/os": os,
            },
        },
        "spec": {},
        "status": {
            "addresses": addresses,
            "capacity": amounts(picture),
            "allocatable": amounts(picture),
            "conditions": conditions(picture, &date::seconds(heartbeat(now))),
            "nodeInfo": {
                "architecture": architecture,
                "bootID": picture.boot.0,
                "containerRuntimeVersion": concat!("carob://", env!("CARGO_PKG_VERSION")),
                "kernelVersion": kernel,
                "kubeletVersion": about::version_text(),
                "kubeProxyVersion": "",
                "machineID": picture.machine.id,
                "operatingSystem": os,
                "osImage": picture.machine.os,
                "systemUUID": picture.machine.uuid,
            },
        },
    })
}

/// As often as a kubelet reports of itself: else it would be another node each second.
fn heartbeat(now: Timestamp) -> Timestamp {
    let seconds = now.as_second();
    Timestamp::from_second(seconds - seconds.rem_euclid(HEARTBEAT)).unwrap_or(now)
}

/// Pods may ask for all there is.
fn amounts(picture: &Picture) -> Value {
    let (cpu, memory) = (picture.capacity.cpu, picture.capacity.memory);
    let cpu = if cpu % 1000 == 0 { (cpu / 1000).to_string() } else { format!("{cpu}m") };
    let mut amounts = json!({
        "cpu": cpu,
        "memory": format!("{}Ki", memory / 1024),
        "pods": MOST_PODS.to_string(),
    });
    // Zero before the first look at the disk.
    if picture.health.images.capacity > 0 {
        amounts["ephemeral-storage"] = json!(format!("{}Ki", picture.health.images.capacity / 1024));
    }
    amounts
}

fn conditions(picture: &Picture, now: &str) -> Value {
    let health = &picture.health;
    let (full, ready, hears) = (health.images.pressure, &health.store_error, &health.deaf);
    let rows = [
        (
            "DiskPressure",
            full,
            if full { "NoRoomForImages" } else { "RoomForImages" },
            if full { "images have no room, and none is left that may go" } else { "images have room" }
                .to_owned(),
        ),
        (
            HEARS,
            hears.is_none(),
            if hears.is_none() { "ProgramsAttached" } else { "ProgramsMissing" },
            hears.clone().unwrap_or_else(|| "the kernel tells of every death".to_owned()),
        ),
        (
            "Ready",
            ready.is_none(),
            if ready.is_none() { "AgentReady" } else { "StoreFails" },
            ready.clone().unwrap_or_else(|| "the agent runs pods".to_owned()),
        ),
    ];
    let condition = |(kind, holds, reason, message): (&str, bool, &str, String)| {
        let status = if holds { "True" } else { "False" };
        json!({"type": kind, "status": status, "reason": reason, "message": message, "lastHeartbeatTime": now})
    };
    rows.into_iter().map(condition).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{
        api::tests::scene::picture,
        picture::{Capacity, ImageDisk},
        pod::machine::Machine,
    };

    #[test]
    fn a_node_says_what_the_box_has_and_how_it_is() {
        let mut picture = picture();
        picture.capacity = Capacity { cpu: 3500, memory: 2 << 30 };
        picture.health.images = ImageDisk { capacity: 1 << 30, pressure: true, ..ImageDisk::default() };
        picture.health.deaf = Some("no BTF".to_owned());
        picture.machine =
            Arc::new(Machine { id: "1d".to_owned(), uuid: "2e-3f".to_owned(), os: "Debian".to_owned() });
        let node = node(&picture, "2026-11-23T12:00:00Z".parse().unwrap());
        assert_eq!(node["metadata"]["creationTimestamp"], "2026-11-23T10:00:00Z");
        let amounts =
            json!({"cpu": "3500m", "memory": "2097152Ki", "pods": "110", "ephemeral-storage": "1048576Ki"});
        assert_eq!((&node["status"]["capacity"], &node["status"]["allocatable"]), (&amounts, &amounts));
        assert_eq!(node["status"]["addresses"][0], json!({"type": "InternalIP", "address": "192.0.2.1"}));
        let info = &node["status"]["nodeInfo"];
        assert_eq!([&info["machineID"], &info["systemUUID"], &info["osImage"]], ["1d", "2e-3f", "Debian"]);
        let shown = node["status"]["conditions"].as_array().unwrap().iter();
        let shown: Vec<_> =
            shown.map(|one| (one["type"].as_str().unwrap(), one["status"].as_str().unwrap())).collect();
        assert_eq!(shown, [("DiskPressure", "True"), (HEARS, "False"), ("Ready", "True")]);
    }
}
