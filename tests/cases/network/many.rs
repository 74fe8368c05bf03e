//! Many pods at once, in the long form as many as a box is meant for, up and down: nothing of any of them stays.

use std::{collections::BTreeSet, fs};

use anyhow::{Context, Result, ensure};

use super::devices_and_rules;
use crate::{
    cases::pod::{manifest, shell},
    pods::{PATIENCE, Pod, apply, ready},
    world::World,
};

const PODS: u32 = 12;
const PODS_OF_FULL: u32 = 100;
const API: &str = "/api/v1/namespaces/default/pods";

fn name(number: u32) -> String {
    format!("many-{number}")
}

/// A port for each: the longest rules there can be.
fn manifests(count: u32) -> String {
    let one = |number: u32| {
        let port = format!("      ports: [{{ containerPort: 80, hostPort: {} }}]\n", 10_000 + number);
        manifest(&name(number), "", &[shell("main", "exec /work sleep", &port)])
    };
    (0..count).map(one).collect::<Vec<_>>().join("---\n")
}

/// All addresses of pods of which there are `count`, each with its own.
fn addresses(world: &World, count: u32) -> Result<BTreeSet<String>> {
    let list = world.read(API)?;
    let pods = list["items"].as_array().context("the list has no items")?;
    let running = pods.iter().filter(|pod| pod["status"]["phase"] == "Running").count();
    ensure!(running == count as usize, "{running} of {count} run");
    let ips = pods.iter().flat_map(|pod| pod["status"]["podIPs"].as_array().into_iter().flatten());
    let ips: BTreeSet<String> = ips.filter_map(|ip| Some(ip["ip"].as_str()?.to_owned())).collect();
    ensure!(ips.len() == 2 * running, "{running} pods have {ips:?}");
    Ok(ips)
}

fn leases() -> Result<BTreeSet<String>> {
    let entries = fs::read_dir("/var/lib/carob/addresses")?;
    let ports = fs::read_dir("/var/lib/carob/addresses/ports").into_iter().flatten();
    entries.chain(ports).map(|entry| Ok(entry?.file_name().display().to_string())).collect()
}

pub(super) fn nothing_is_left(world: &World) -> Result<()> {
    ready(world)?;
    let first = Pod::apply(
        world,
        "first",
        &manifest(
            "first",
            "",
            &[shell("main", "exec /work sleep", "      ports: [{ containerPort: 80, hostPort: 9999 }]\n")],
        ),
    )?;
    first.await_running("main")?;
    first.delete()?;
    let (network, leases_before, traces) = (devices_and_rules(world)?, leases()?, world.traces()?);
    let count = if world.full() { PODS_OF_FULL } else { PODS };
    let said = apply(world, "many", &manifests(count))?;
    ensure!(said.code == Some(0), "apply: {said:?}");
    let ips = world.wait_until("all pods run", PATIENCE * count / 4, || addresses(world, count))?;
    let rules = world.command("nft", &["list", "table", "inet", "carob"])?;
    let led = rules.lines().filter(|line| line.contains("dnat ip")).count();
    ensure!(led == ips.len(), "{led} rules for {} addresses", ips.len());
    let names: Vec<String> = (0..count).map(name).collect();
    let mut words = vec!["delete", "pod"];
    words.extend(names.iter().map(String::as_str));
    world.carob_ok(&words)?;
    world.wait_until("the network is as before", PATIENCE, || {
        let (after, left) = (devices_and_rules(world)?, leases()?);
        ensure!(after == network, "before {network:?}, after {after:?}");
        ensure!(left == leases_before, "leases are left: {left:?}");
        let traces = world.left_since(&traces)?;
        ensure!(traces.is_empty(), "this is left: {traces:#?}");
        Ok(())
    })?;
    world.say(&format!("{count} pods up and down: no device, rule, lease or namespace of theirs is left"))
}
