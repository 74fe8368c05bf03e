//! Who keeps an address through an agent's death, what happens when there is none, and what is said when it cannot be.

use std::{
    fs,
    io::{Read, Write},
    net::TcpStream,
    os::unix::fs::symlink,
    path::Path,
    time::Duration,
};

use anyhow::{Context, Result, ensure};

use super::{address, devices_and_rules, waits_for_sandbox};
use crate::{
    cases::pod::{manifest, shell},
    pods::{PATIENCE, Pod, ready},
    world::World,
};

const CONFIG: &str = "/etc/carob/config.json";
const NFT: &str = "/usr/sbin/nft";

fn sleeper<'w>(world: &'w World, name: &str) -> Result<Pod<'w>> {
    Pod::apply(world, name, &manifest(name, "", &[shell("main", "exec /work sleep", "")]))
}

/// Sends a word to whoever sends it back.
fn echoed(stream: &mut TcpStream, word: &str) -> Result<()> {
    stream.write_all(word.as_bytes())?;
    let mut back = vec![0; word.len()];
    stream.read_exact(&mut back).with_context(|| format!("hear {word:?} again"))?;
    ensure!(back == word.as_bytes(), "{word:?} came back as {back:?}");
    Ok(())
}

pub(super) fn killed_agent(world: &World) -> Result<()> {
    let pod =
        Pod::apply(world, "echoes", &manifest("echoes", "", &[shell("main", "exec nc -l -p 7 -e cat", "")]))?;
    pod.await_running("main")?;
    let (there, pid) = (address(world, &pod)?, pod.main_pid("main", 0)?);
    let mut stream =
        world.wait_until("the pod answers", PATIENCE, || Ok(TcpStream::connect(format!("{there}:7"))?))?;
    stream.set_read_timeout(Some(Duration::from_secs(20)))?;
    echoed(&mut stream, "before")?;
    // What an agent would leave that was killed while it took a pod away.
    let (gone, cable) = ("/var/lib/carob/addresses/10.182.0.77", "carob0ab6004d");
    symlink("11111111-1111-4111-8111-111111111111", gone)?;
    world.command("ip", &["link", "add", cable, "type", "veth", "peer", "name", "elsewhere"])?;
    for round in 0..3 {
        world.kill_and_await(PATIENCE)?;
        echoed(&mut stream, &format!("after {round}"))?;
        ensure!(address(world, &pod)? == there, "the address is {} now", address(world, &pod)?);
    }
    ensure!(pod.main_pid("main", 0)? == pid, "another process serves");
    ensure!(fs::symlink_metadata(gone).is_err(), "the lease of a pod that is gone is left");
    ensure!(!Path::new("/sys/class/net").join(cable).exists(), "its cable is left");
    let other = sleeper(world, "other")?;
    ensure!(address(world, &other)? != there, "two pods have {there}");
    Ok(())
}

pub(super) fn used_up(world: &World) -> Result<()> {
    world.install()?;
    fs::write(CONFIG, r#"{"podCIDR": "10.99.0.0/29"}"#)?;
    let pods = (0..5).map(|number| sleeper(world, &format!("fits-{number}"))).collect::<Result<Vec<_>>>()?;
    let mut addresses = Vec::new();
    for pod in &pods {
        pod.await_running("main")?;
        addresses.push(address(world, pod)?);
    }
    addresses.sort();
    ensure!(addresses == ["10.99.0.2", "10.99.0.3", "10.99.0.4", "10.99.0.5", "10.99.0.6"], "{addresses:?}");
    let late = sleeper(world, "late")?;
    world.wait_until("it is said", PATIENCE, || {
        waits_for_sandbox(&late, "all 5 addresses of podCIDR 10.99.0.0/29 are taken")
    })?;
    for pod in &pods {
        pod.await_running("main")?;
    }
    let freed = address(world, &pods[2])?;
    pods[2].delete()?;
    late.await_running("main")?;
    ensure!(address(world, &late)? == freed, "it has {}", address(world, &late)?);
    Ok(())
}

pub(super) fn lacking(world: &World) -> Result<()> {
    world.install()?;
    fs::write(CONFIG, r#"{"podCIDR": "10.0.2.0/24"}"#)?;
    let pod = sleeper(world, "overlaps")?;
    let words = "podCIDR 10.0.2.0/24 overlaps the route to 10.0.2.0/24 by eth0";
    world.wait_until("it is said", PATIENCE, || waits_for_sandbox(&pod, words))?;
    let check = world.carob(&["check"])?;
    ensure!(check.code == Some(1) && check.stdout.contains("overlaps the route to 10.0.2.0/24"), "{check:?}");
    fs::remove_file(CONFIG)?;
    let away = "/usr/sbin/nft.away";
    fs::rename(NFT, away)?;
    let said = without_nft(world, &pod);
    fs::rename(away, NFT)?;
    said?;
    pod.await_running("main")?;
    let check = world.carob(&["check"])?;
    ensure!(check.code == Some(0), "{check:?}");
    Ok(())
}

fn without_nft(world: &World, pod: &Pod<'_>) -> Result<()> {
    world.restart()?;
    world.wait_until("it is said", PATIENCE, || waits_for_sandbox(pod, "nft is not installed"))?;
    let check = world.carob(&["check"])?;
    ensure!(check.code == Some(1) && check.stdout.contains("nft (package nftables)"), "{check:?}");
    Ok(())
}

pub(super) fn uninstalled(world: &World) -> Result<()> {
    ready(world)?;
    let (before, _) = devices_and_rules(world)?;
    let pod = sleeper(world, "passing")?;
    pod.await_running("main")?;
    let listed = world.carob_ok(&["check", "--uninstall"])?;
    ensure!(listed.contains("carob0") && listed.contains("nft delete table inet carob"), "{listed}");
    world.carob_ok(&["uninstall"])?;
    let (after, rules) = devices_and_rules(world)?;
    ensure!(after == before && !rules.contains("carob"), "left are {after:?} and {rules:?}");
    let listed = world.carob_ok(&["check", "--uninstall"])?;
    ensure!(!listed.contains("carob0") && !listed.contains("nft"), "{listed}");
    Ok(())
}
