//! An address per pod: who reaches whom, what others see, and that nothing stays.

use std::{
    fs,
    net::{TcpListener, TcpStream},
    time::Duration,
};

use anyhow::{Result, ensure};

use super::{address, devices_and_rules};
use crate::{
    cases::pod::{manifest, shell},
    http,
    pods::{PATIENCE, Pod, ready, sample},
    world::World,
};

const SERVES: &str = "mkdir /s; echo hello > /s/index.html; exec httpd -f -v -p 8080 -h /s";
/// The guest's only address that is not its loopback.
const BOX: &str = "10.0.2.15";

/// Pod to pod, box to pod, pod to box: each is seen as who it is.
pub(super) fn meet(world: &World) -> Result<()> {
    let serves = Pod::apply(world, "serves", &manifest("serves", "", &[shell("main", SERVES, "")]))?;
    let there = address(world, &serves)?;
    ensure!(there.starts_with("10.182.0.") && there != "10.182.0.1", "podIP is {there}");
    serves.await_running("main")?;
    let listener = TcpListener::bind("0.0.0.0:0")?;
    let port = listener.local_addr()?.port();
    let url = format!("http://{there}:8080/");
    let script = format!(
        "ip -o address show eth0; ip route; until wget -q -O - {url}; do sleep 0.2; done; \
         echo pod | nc 10.182.0.1 {port}; exec /work sleep"
    );
    let asks = Pod::apply(world, "asks", &manifest("asks", "", &[shell("main", &script, "")]))?;
    let here = address(world, &asks)?;
    ensure!(here != there, "both have {here}");
    asks.await_log("main", "hello\n")?;
    asks.await_log("main", "default via 10.182.0.1 dev eth0")?;
    asks.await_log("main", &format!("inet {here}/16"))?;
    serves.await_log("main", &format!("[::ffff:{here}]"))?;
    let (_, peer) = listener.accept()?;
    ensure!(peer.ip().to_string() == here, "the box sees {peer} for {here}");
    ensure!(http::fetch(&url)?.body()? == "hello\n", "the box is answered otherwise");
    serves.await_log("main", "[::ffff:10.182.0.1]")?;
    shown(world, &asks, &here)
}

/// Everywhere an address is shown, it is this one.
fn shown(world: &World, pod: &Pod<'_>, address: &str) -> Result<()> {
    let status = pod.object()?["status"].clone();
    ensure!(status["podIPs"][0]["ip"] == address, "podIPs of {status}");
    ensure!(status["hostIP"] == BOX && status["hostIPs"][0]["ip"] == BOX, "hostIP of {status}");
    let wide = world.carob_ok(&["get", "pods", "-o", "wide"])?;
    ensure!(wide.lines().any(|line| line.starts_with("asks ") && line.contains(address)), "{wide}");
    let described = world.carob_ok(&["describe", "pod", "asks"])?;
    ensure!(described.contains(address) && described.contains(&format!("/{BOX}\n")), "{described}");
    let labels = [("pod", "asks"), ("pod_ip", address), ("host_ip", BOX), ("host_network", "false")];
    ensure!(sample(&world.metrics()?, "kube_pod_info", &labels)? == 1.0, "kube_pod_info");
    Ok(())
}

/// Pods of which a part has gone before are taken away like whole ones.
pub(super) fn nothing_is_left(world: &World) -> Result<()> {
    ready(world)?;
    let pod =
        |name: &str| Pod::apply(world, name, &manifest(name, "", &[shell("main", "exec /work sleep", "")]));
    // The bridge and the table come with the first pod, and stay.
    let first = pod("first")?;
    first.await_running("main")?;
    first.delete()?;
    let before = devices_and_rules(world)?;
    let leases = || -> Result<usize> { Ok(fs::read_dir("/var/lib/carob/addresses")?.count()) };
    let leases_before = leases()?;
    let names = ["whole", "no-cable", "no-lease", "no-rules"];
    let pods = names.map(pod).into_iter().collect::<Result<Vec<_>>>()?;
    let mut addresses = Vec::new();
    for pod in &pods {
        pod.await_running("main")?;
        addresses.push(address(world, pod)?);
    }
    let (during, _) = devices_and_rules(world)?;
    ensure!(
        during.len() == before.0.len() + 4 && leases()? == leases_before + 8,
        "four pods have {during:?}"
    );
    let cable = |number: usize| -> Result<String> {
        let address: std::net::Ipv4Addr = addresses[number].parse()?;
        Ok(format!("carob{:08x}", address.to_bits()))
    };
    world.command("ip", &["link", "delete", &cable(1)?])?;
    fs::remove_file(format!("/var/lib/carob/addresses/{}", addresses[2]))?;
    world.command("ip", &["link", "delete", &cable(2)?])?;
    world.command("nft", &["delete", "table", "inet", "carob"])?;
    for pod in &pods {
        pod.delete()?;
    }
    // The next pod puts the rules back.
    let last = pod("last")?;
    last.await_running("main")?;
    last.delete()?;
    world.wait_until("the network is as before", PATIENCE, || {
        let after = devices_and_rules(world)?;
        ensure!(after == before, "before {before:?}, after {after:?}");
        ensure!(leases()? == leases_before, "leases are left");
        Ok(())
    })?;
    let gone = format!("{}:8080", addresses[0]).parse()?;
    ensure!(
        TcpStream::connect_timeout(&gone, Duration::from_millis(200)).is_err(),
        "somebody is still there"
    );
    Ok(())
}
