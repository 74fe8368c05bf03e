//! A second machine beside the box, which knows no way back to the pods.

use std::{
    fs,
    os::fd::AsFd,
    process::{Child, Command, Stdio},
    thread,
};

use anyhow::{Context, Result, anyhow, ensure};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use super::{address, address6};
use crate::{
    cases::pod::{manifest, shell},
    http,
    pods::{PATIENCE, Pod},
    world::World,
};

/// The box's addresses there, and the other machine's.
const OURS: [&str; 2] = ["192.0.2.1", "[2001:db8:2::1]"];
const THEIRS: [&str; 2] = ["192.0.2.2", "[2001:db8:2::2]"];
const LOG: &str = "/tmp/outside.log";

struct Outside<'w> {
    world: &'w World,
    server: Option<Child>,
}

impl<'w> Outside<'w> {
    fn made(world: &'w World) -> Result<Self> {
        let outside = Self { world, server: None };
        for words in [
            "netns add out",
            "link add out0 type veth peer name eth0 netns out",
            "address add 192.0.2.1/24 dev out0",
            "address add 2001:db8:2::1/64 dev out0 nodad",
            "link set out0 up",
            "-n out address add 192.0.2.2/24 dev eth0",
            "-n out address add 2001:db8:2::2/64 dev eth0 nodad",
            "-n out link set eth0 up",
        ] {
            world.command("ip", &words.split(' ').collect::<Vec<_>>())?;
        }
        Ok(outside)
    }

    /// Serves on port 80 and writes down who asks.
    fn serve(&mut self) -> Result<()> {
        let log = fs::File::create(LOG)?;
        let words = "netns exec out busybox httpd -f -v -p 80 -h /etc";
        let server = Command::new("ip").args(words.split(' ')).stdout(Stdio::null()).stderr(log).spawn();
        self.server = Some(server.context("start a server outside")?);
        Ok(())
    }

    /// What somebody there is answered.
    fn fetch(&self, url: &str) -> Result<String> {
        let there = fs::File::open("/run/netns/out").context("open the namespace of the machine outside")?;
        let asked = || {
            move_into_link_name_space(there.as_fd(), Some(LinkNameSpaceType::Network))?;
            http::fetch(url)?.body()
        };
        // A thread of its own, which does not come back.
        let asked = thread::scope(|scope| scope.spawn(asked).join());
        asked.map_err(|_| anyhow!("the client outside panicked"))?
    }
}

impl Drop for Outside<'_> {
    fn drop(&mut self) {
        if let Some(server) = &mut self.server {
            drop(server.kill().and_then(|()| server.wait()));
        }
        // Best effort: its cable goes with it.
        drop(self.world.command("ip", &["netns", "delete", "out"]));
    }
}

pub(super) fn leaving(world: &World) -> Result<()> {
    let mut outside = Outside::made(world)?;
    outside.serve()?;
    let [v4, v6] = THEIRS;
    let script = format!(
        "for host in {v4} {v6}; do until wget -q -O - http://$host/hostname; do sleep 0.2; done; done; \
         echo END; exec /work sleep"
    );
    let pod = Pod::apply(world, "leaves", &manifest("leaves", "", &[shell("main", &script, "")]))?;
    pod.await_log("main", "carob-guest\ncarob-guest\nEND\n")?;
    let seen = fs::read_to_string(LOG)?;
    let is_ours = OURS.iter().all(|address| seen.contains(address.trim_matches(['[', ']'])));
    ensure!(is_ours && !seen.contains("10.182.") && !seen.contains("fd63:"), "outside sees {seen}");
    Ok(())
}

/// From another machine, in both families; who asks is seen as who it is.
pub(super) fn arriving(world: &World) -> Result<()> {
    let outside = Outside::made(world)?;
    let serves = "mkdir /s; echo here > /s/index.html; exec httpd -f -v -p 8080 -h /s";
    let port = "      ports: [{ containerPort: 8080, hostPort: 8089 }]\n";
    let pod = Pod::apply(world, "open", &manifest("open", "", &[shell("main", serves, port)]))?;
    pod.await_running("main")?;
    for (ours, theirs) in OURS.iter().zip(THEIRS) {
        let url = format!("http://{ours}:8089/");
        world.wait_until(&format!("{url} answers outside"), PATIENCE, || {
            let said = outside.fetch(&url)?;
            ensure!(said == "here\n", "{said:?}");
            Ok(())
        })?;
        pod.await_log("main", theirs.trim_matches(['[', ']']))?;
    }
    // Nobody outside has a way to a pod but by a port; the box has its own, in both families.
    let (v4, v6) = (address(world, &pod)?, address6(world, &pod)?);
    for host in [v4, format!("[{v6}]")] {
        let direct = outside.fetch(&format!("http://{host}:8080/"));
        ensure!(direct.is_err(), "outside reaches {host} itself: {direct:?}");
    }
    pod.delete()?;
    for ours in OURS {
        let left = outside.fetch(&format!("http://{ours}:8089/"));
        ensure!(left.is_err(), "the port of {ours} still leads somewhere: {left:?}");
    }
    Ok(())
}

/// A firewall that is reloaded begins with a flush, of everybody's rules.
pub(super) fn reloaded(world: &World) -> Result<()> {
    let mut outside = Outside::made(world)?;
    outside.serve()?;
    let serves = "mkdir /s; echo here > /s/index.html; exec httpd -f -p 8080 -h /s";
    let port = "      ports: [{ containerPort: 8080, hostPort: 8092 }]\n";
    let pod = Pod::apply(world, "stays", &manifest("stays", "", &[shell("main", serves, port)]))?;
    pod.await_running("main")?;
    let flush = || world.command("nft", &["flush", "ruleset"]).map(drop);
    let while_nobody_looks = || {
        world.stop()?;
        flush()?;
        world.start()
    };
    let flushes: [&dyn Fn() -> Result<()>; 2] = [&flush, &while_nobody_looks];
    for flushed in flushes {
        let rules = world.command("nft", &["list", "table", "inet", "carob"])?;
        flushed()?;
        world.wait_until("the rules are back", PATIENCE, || {
            let now = world.command("nft", &["list", "table", "inet", "carob"])?;
            ensure!(now == rules, "they are {now}");
            Ok(())
        })?;
        let [ours, _] = OURS;
        ensure!(outside.fetch(&format!("http://{ours}:8092/"))? == "here\n", "the port leads elsewhere");
        for theirs in THEIRS {
            let url = format!("http://{theirs}/hostname");
            world.carob_ok(&["exec", "stays", "--", "wget", "-q", "-O", "-", &url])?;
        }
    }
    Ok(())
}
