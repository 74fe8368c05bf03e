//! A pod's way to others: its own localhost, its address, the names it is told, and the namespaces of the box.

mod address;
mod announced;
mod host;
mod ipv6;
mod leases;
mod localhost;
mod many;
mod names;
mod outside;
mod ports;

use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::Case;
use crate::{
    pods::{PATIENCE, Pod},
    wire::Mode,
    world::World,
};

pub(crate) fn cases() -> Vec<Case> {
    let case = |name, mode, run| Case { name, mode, limit: Duration::from_secs(300), run };
    vec![
        case("containers_of_a_pod_meet_on_localhost", Mode::Shared, localhost::localhost),
        case("each_pod_has_a_localhost_of_its_own", Mode::Shared, localhost::apart),
        case("pods_and_the_box_meet_by_address", Mode::Shared, address::meet),
        case("what_leaves_the_box_wears_its_address", Mode::Shared, outside::leaving),
        case("another_machine_reaches_pods_by_ports_of_the_box_only", Mode::Shared, outside::arriving),
        case("nothing_of_the_network_is_left_of_a_deleted_pod", Mode::Shared, address::nothing_is_left),
        case("ports_of_the_box_lead_to_pods", Mode::Shared, ports::lead),
        case("pods_and_the_box_meet_by_ipv6", Mode::Shared, ipv6::meet),
        case("ports_of_the_box_lead_to_pods_by_ipv6", Mode::Shared, ipv6::ports),
        case("a_flow_of_datagrams_moves_on_to_the_next_pod", Mode::Shared, ports::flow_moves_on),
        case("one_port_of_the_box_is_for_one_pod", Mode::Shared, ports::conflict),
        case("hosts_resolver_and_hostname_follow_the_manifest", Mode::Shared, names::written),
        case("a_pod_on_the_boxs_namespaces_sees_the_box", Mode::Shared, host::all_of_the_box),
        case("each_namespace_of_the_box_is_asked_for_alone", Mode::Shared, host::each_alone),
        case("a_killed_agent_leaves_addresses_and_connections", Mode::Alone, leases::killed_agent),
        case("rules_outlive_the_reload_of_a_firewall", Mode::Alone, outside::reloaded),
        case("a_box_without_ipv6_is_as_before", Mode::Alone, ipv6::without),
        case("a_box_that_listens_to_routers_goes_on_to", Mode::Alone, announced::is_heard),
        Case {
            limit: Duration::from_secs(3600),
            ..case("nothing_is_left_of_many_pods", Mode::Alone, many::nothing_is_left)
        },
        case("a_used_up_range_is_said_and_hurts_nobody", Mode::Alone, leases::used_up),
        case("what_the_network_lacks_is_said", Mode::Alone, leases::lacking),
        case("uninstalling_takes_the_network_away", Mode::Alone, leases::uninstalled),
    ]
}

/// `status.podIP`, once there is one.
fn address(world: &World, pod: &Pod<'_>) -> Result<String> {
    world.wait_until("the pod has an address", PATIENCE, || {
        let object = pod.object()?;
        let address = object["status"]["podIP"].as_str().map(str::to_owned);
        address.with_context(|| format!("no podIP in {}", object["status"]))
    })
}

/// Its IPv6 address.
fn address6(world: &World, pod: &Pod<'_>) -> Result<String> {
    address(world, pod)?;
    let status = pod.object()?["status"].clone();
    let address = status["podIPs"][1]["ip"].as_str().map(str::to_owned);
    address.with_context(|| format!("no IPv6 address in {status}"))
}

/// The network devices of the box, and all rules of its packet filter.
fn devices_and_rules(world: &World) -> Result<(Vec<String>, String)> {
    let mut devices: Vec<String> = std::fs::read_dir("/sys/class/net")?
        .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
        .collect::<Result<_>>()?;
    devices.sort();
    Ok((devices, world.command("nft", &["list", "ruleset"])?))
}

/// A container's state, which must be waiting for a sandbox with these words.
fn waits_for_sandbox(pod: &Pod<'_>, words: &str) -> Result<()> {
    let state = pod.container("main")?["state"].clone();
    let waiting = &state["waiting"];
    let message = waiting["message"].as_str().unwrap_or_default();
    ensure!(waiting["reason"] == "CreatePodSandboxError" && message.contains(words), "it is {state}");
    Ok(())
}
