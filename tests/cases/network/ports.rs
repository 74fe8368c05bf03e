//! Ports of the box that lead to pods: from outside, from the box itself, from pods; and two pods that want the same one.

use std::{
    net::{TcpStream, UdpSocket},
    time::Duration,
};

use anyhow::{Result, ensure};

use super::devices_and_rules;
use crate::{
    cases::pod::{manifest, shell},
    http,
    pods::{PATIENCE, Pod},
    world::World,
};

const BOX: &str = "10.0.2.15";
const SERVES: &str = "mkdir /s; hostname > /s/index.html; exec httpd -f -p 8080 -h /s";

fn serves(name: &str, port: &str) -> String {
    manifest(name, "", &[shell("main", SERVES, &format!("      ports: [{port}]\n"))])
}

fn answers(url: &str, expected: &str, world: &World) -> Result<()> {
    world.wait_until(&format!("{url} answers"), PATIENCE, || {
        let said = http::fetch(url)?.body()?;
        ensure!(said == expected, "{said:?}");
        Ok(())
    })
}

pub(super) fn lead(world: &World) -> Result<()> {
    let (_, before) = {
        let warm =
            Pod::apply(world, "warm", &manifest("warm", "", &[shell("main", "exec /work sleep", "")]))?;
        warm.await_running("main")?;
        devices_and_rules(world)?
    };
    let web = Pod::apply(world, "web", &serves("web", "{ containerPort: 8080, hostPort: 8088 }"))?;
    web.await_running("main")?;
    for host in [BOX, "127.0.0.1", "10.182.0.1"] {
        answers(&format!("http://{host}:8088/"), "web\n", world)?;
    }
    // By the box's port from a neighbour, and from the pod itself.
    let script = format!("wget -q -O - http://{BOX}:8088/; echo END; exec /work sleep");
    let asks = Pod::apply(world, "asks", &manifest("asks", "", &[shell("main", &script, "")]))?;
    asks.await_log("main", "web\nEND\n")?;
    let itself =
        world.carob_ok(&["exec", "web", "--", "wget", "-q", "-O", "-", &format!("http://{BOX}:8088/")])?;
    ensure!(itself == "web\n", "the pod itself is answered {itself:?}");
    udp(world)?;
    web.delete()?;
    ensure!(TcpStream::connect((BOX, 8088)).is_err(), "the port is still open");
    drop(asks);
    let (_, after) = devices_and_rules(world)?;
    ensure!(after == before, "rules are left:\n{after}\nbefore:\n{before}");
    Ok(())
}

fn udp(world: &World) -> Result<()> {
    let script = "exec /work serve 5353 1000";
    let port = "      ports: [{ containerPort: 5353, hostPort: 53, hostIP: 10.0.2.15, protocol: UDP }]\n";
    let echo = Pod::apply(world, "echo", &manifest("echo", "", &[shell("main", script, port)]))?;
    echo.await_running("main")?;
    world.wait_until("the datagram comes back", PATIENCE, || {
        let socket = UdpSocket::bind("0.0.0.0:0")?;
        socket.set_read_timeout(Some(Duration::from_secs(1)))?;
        socket.send_to(b"hello", (BOX, 53))?;
        let mut answer = [0; 16];
        let (length, from) = socket.recv_from(&mut answer)?;
        ensure!(&answer[..length] == b"hello" && from.port() == 53, "{from} says {answer:?}");
        Ok(())
    })
}

/// A client that sends from one port for ever meets the pod that has the port now, not the memory of the one before.
pub(super) fn flow_moves_on(world: &World) -> Result<()> {
    let port = "      ports: [{ containerPort: 5353, hostPort: 5354, protocol: UDP }]\n";
    let echo = |name: &str| -> Result<Pod<'_>> {
        let script = "exec /work serve 5353 1000";
        let pod = Pod::apply(world, name, &manifest(name, "", &[shell("main", script, port)]))?;
        pod.await_log("main", "serving")?;
        Ok(pod)
    };
    let client = UdpSocket::bind("0.0.0.0:0")?;
    client.set_read_timeout(Some(Duration::from_secs(1)))?;
    let echoed = || {
        client.send_to(b"hello", (BOX, 5354))?;
        let mut answer = [0; 16];
        let length = client.recv(&mut answer)?;
        ensure!(&answer[..length] == b"hello", "it says {answer:?}");
        Ok(())
    };
    let first = echo("flow-first")?;
    world.wait_until("the first pod answers", PATIENCE, echoed)?;
    first.delete()?;
    let _second = echo("flow-second")?;
    // Each try refreshes what the kernel remembers: waiting alone never mends it.
    world.wait_until("the second pod answers", Duration::from_secs(10), echoed)
}

/// "validates that there is no conflict between pods with same hostPort but different hostIP and protocol", and the
/// other way round.
pub(super) fn conflict(world: &World) -> Result<()> {
    let first = Pod::apply(
        world,
        "first",
        &serves("first", "{ containerPort: 8080, hostPort: 54321, hostIP: 127.0.0.1 }"),
    )?;
    let other = Pod::apply(
        world,
        "other",
        &serves("other", "{ containerPort: 8080, hostPort: 54321, hostIP: 10.0.2.15 }"),
    )?;
    let udp = Pod::apply(
        world,
        "udp",
        &serves("udp", "{ containerPort: 8080, hostPort: 54321, hostIP: 10.0.2.15, protocol: UDP }"),
    )?;
    for pod in [&first, &other, &udp] {
        pod.await_running("main")?;
    }
    answers("http://127.0.0.1:54321/", "first\n", world)?;
    answers(&format!("http://{BOX}:54321/"), "other\n", world)?;
    let late = Pod::apply(world, "late", &serves("late", "{ containerPort: 8080, hostPort: 54321 }"))?;
    world.wait_until("the last pod is held", PATIENCE, || {
        let status = late.object()?["status"].clone();
        let condition = &status["conditions"][0];
        let words = condition["message"].as_str().unwrap_or_default();
        ensure!(status["phase"] == "Pending" && condition["type"] == "PodScheduled", "{status}");
        ensure!(
            condition["reason"] == "Unschedulable" && words.contains("didn't have free ports"),
            "{status}"
        );
        Ok(())
    })?;
    let listed = world.carob_ok(&["get", "pods"])?;
    ensure!(listed.lines().any(|line| line.starts_with("late ") && line.contains("Pending")), "{listed}");
    first.delete()?;
    other.delete()?;
    late.await_running("main")?;
    answers(&format!("http://{BOX}:54321/"), "late\n", world)
}
