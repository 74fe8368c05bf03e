//! Each pod has an IPv6 address beside the other one, where the box speaks it: who reaches whom by it, and where it is
//! shown.

use std::{fs, net::TcpListener, process::Command};

use anyhow::{Context, Result, ensure};

use super::{address, address6};
use crate::{
    cases::pod::{manifest, shell},
    http,
    pods::{PATIENCE, Pod, sample},
    world::World,
};

const CONFIG: &str = "/etc/carob/config.json";
const GATEWAY: &str = "fd63:6172:6f62::ab6:1";
const SERVES: &str = "mkdir /s; echo hello > /s/index.html; exec httpd -f -v -p 8080 -h /s";
/// Where a pod asks for its own addresses, its own way.
const ASKED: &str = "      env: [{ name: IPS, valueFrom: { fieldRef: { fieldPath: status.podIPs } } }, \
                     { name: BOX, valueFrom: { fieldRef: { fieldPath: status.hostIPs } } }]\n";

/// The box's own, while a case runs.
struct OnTheBox;

impl OnTheBox {
    const ADDRESS: &'static str = "2001:db8:1::15";

    fn added(world: &World) -> Result<Self> {
        let address = format!("{}/64", Self::ADDRESS);
        world.command("ip", &["address", "add", &address, "dev", "eth0", "nodad"])?;
        Ok(Self)
    }
}

impl Drop for OnTheBox {
    fn drop(&mut self) {
        let address = format!("{}/64", Self::ADDRESS);
        // Best effort, as all clearing up after a case.
        drop(Command::new("ip").args(["address", "delete", &address, "dev", "eth0"]).status());
    }
}

pub(super) fn meet(world: &World) -> Result<()> {
    let _on_the_box = OnTheBox::added(world)?;
    let serves = Pod::apply(world, "serves6", &manifest("serves6", "", &[shell("main", SERVES, "")]))?;
    let there = address6(world, &serves)?;
    serves.await_running("main")?;
    let listener = TcpListener::bind("[::]:0")?;
    let port = listener.local_addr()?.port();
    // Not once more if it fails: the address is good from the first moment on.
    let script = format!(
        "wget -q -O - http://[{there}]:8080/ || echo no answer; ip -6 route; cat /etc/hosts; \
         echo \"IPS $IPS BOX $BOX\"; echo pod | nc {GATEWAY} {port}; exec /work sleep"
    );
    world
        .wait_until("the pod serves", PATIENCE, || http::fetch(&format!("http://[{there}]:8080/"))?.body())?;
    let asks = Pod::apply(world, "asks6", &manifest("asks6", "", &[shell("main", &script, ASKED)]))?;
    let (v4, here) = (address(world, &asks)?, address6(world, &asks)?);
    ensure!(here != there && here.starts_with("fd63:6172:6f62::ab6:"), "it has {here}, the other {there}");
    asks.await_log("main", " BOX ")?;
    let said = asks.logs("main")?;
    ensure!(said.starts_with("hello\n"), "the pod says {said}");
    for part in [
        format!("default via {GATEWAY} dev eth0"),
        format!("{v4}\tasks6\n{here}\tasks6\n"),
        format!("IPS {v4},{here} BOX 10.0.2.15,{}", OnTheBox::ADDRESS),
    ] {
        ensure!(said.contains(&part), "no {part:?} in {said}");
    }
    serves.await_log("main", &format!("[{here}]"))?;
    let (_, peer) = listener.accept()?;
    ensure!(peer.ip().to_string() == here, "the box sees {peer} for {here}");
    shown(world, &asks, [&v4, &here])
}

/// Everywhere both addresses are shown.
fn shown(world: &World, pod: &Pod<'_>, both: [&str; 2]) -> Result<()> {
    let status = pod.object()?["status"].clone();
    let ips = |field: &str| -> Vec<String> {
        let all = status[field].as_array().into_iter().flatten();
        all.filter_map(|one| Some(one["ip"].as_str()?.to_owned())).collect()
    };
    ensure!(ips("podIPs") == both, "podIPs of {status}");
    ensure!(ips("hostIPs") == ["10.0.2.15", OnTheBox::ADDRESS], "hostIPs of {status}");
    let page = world.metrics()?;
    for (ip, family) in both.iter().zip(["4", "6"]) {
        let labels = [("pod", "asks6"), ("ip", ip), ("ip_family", family)];
        ensure!(sample(&page, "kube_pod_ips", &labels)? == 1.0, "kube_pod_ips");
    }
    let described = world.carob_ok(&["describe", "pod", "asks6"])?;
    ensure!(described.contains(both[1]), "{described}");
    Ok(())
}

/// A port of the box by its own addresses: from the box, from a neighbour, from the pod itself; and only where it is
/// asked for.
pub(super) fn ports(world: &World) -> Result<()> {
    let _on_the_box = OnTheBox::added(world)?;
    let serves = "mkdir /s; hostname > /s/index.html; exec httpd -f -p 8080 -h /s";
    let pod = |name: &str, port: &str| {
        let ports = format!("      ports: [{port}]\n");
        Pod::apply(world, name, &manifest(name, "", &[shell("main", serves, &ports)]))
    };
    let all = pod("all6", "{ containerPort: 8080, hostPort: 8090 }")?;
    let one = pod(
        "one6",
        &format!("{{ containerPort: 8080, hostPort: 8091, hostIP: \"{}\" }}", OnTheBox::ADDRESS),
    )?;
    all.await_running("main")?;
    one.await_running("main")?;
    for (url, name) in [
        (format!("http://[{}]:8090/", OnTheBox::ADDRESS), "all6\n"),
        (format!("http://[{GATEWAY}]:8090/"), "all6\n"),
        ("http://10.0.2.15:8090/".to_owned(), "all6\n"),
        (format!("http://[{}]:8091/", OnTheBox::ADDRESS), "one6\n"),
    ] {
        world.wait_until(&format!("{url} answers"), PATIENCE, || {
            let said = http::fetch(&url)?.body()?;
            ensure!(said == name, "{said:?}");
            Ok(())
        })?;
    }
    for closed in ["http://10.0.2.15:8091/", "http://[::1]:8090/"] {
        ensure!(http::fetch(closed).is_err(), "{closed} leads to a pod");
    }
    for asks in ["all6", "one6"] {
        let url = format!("http://[{}]:8090/", OnTheBox::ADDRESS);
        let said = world.carob_ok(&["exec", asks, "--", "wget", "-q", "-O", "-", &url])?;
        ensure!(said == "all6\n", "{asks} is answered {said:?}");
    }
    Ok(())
}

/// Switched off by the configuration, and by whoever runs the box.
pub(super) fn without(world: &World) -> Result<()> {
    world.install()?;
    let only_v4 = |name: &str| -> Result<()> {
        let script = "ip -6 route show default; echo END; exec /work sleep";
        let pod = Pod::apply(world, name, &manifest(name, "", &[shell("main", script, "")]))?;
        pod.await_log("main", "END\n")?;
        let (status, said) = (pod.object()?["status"].clone(), pod.logs("main")?);
        ensure!(status["podIPs"].as_array().map(Vec::len) == Some(1) && said == "END\n", "{status} {said}");
        let rules = world.command("nft", &["list", "table", "inet", "carob"])?;
        ensure!(rules.contains("ip saddr 10.182.0.0/16") && !rules.contains("ip6"), "{rules}");
        Ok(())
    };
    fs::write(CONFIG, r#"{"podCIDRv6": "none"}"#)?;
    only_v4("asked-for").context("podCIDRv6 is none")?;
    checked(world, "none is wanted")?;
    fs::remove_file(CONFIG)?;
    let off = |value: &str| {
        world.command("sysctl", &["-q", &format!("net.ipv6.conf.default.disable_ipv6={value}")])
    };
    off("1")?;
    world.restart()?;
    only_v4("switched-off").context("IPv6 is switched off")?;
    checked(world, "does not speak IPv6")?;
    off("0")?;
    checked(world, "fd63:6172:6f62::/64 is free")?;
    let pod = Pod::apply(world, "back", &manifest("back", "", &[shell("main", "exec /work sleep", "")]))?;
    pod.await_running("main")?;
    address6(world, &pod).map(drop)
}

/// What `carob check` says of the range.
fn checked(world: &World, expected: &str) -> Result<()> {
    let check = world.carob_ok(&["check"])?;
    let line = check.lines().find(|line| line.contains("podCIDRv6"));
    ensure!(line.is_some_and(|line| line.starts_with("ok") && line.contains(expected)), "{check}");
    Ok(())
}
