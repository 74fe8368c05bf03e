//! Both sides of `cargo xtask bench`: what the agent costs in a guest while its pods sleep and while it is scraped, and
//! what the kernel programs cost on the machine itself. It judges nothing: budgets stand in README beside the figures.

mod agent;
mod loaded;
mod loops;
mod numbers;
mod peers;
mod programs;
mod sample;
mod scrape;

use std::{
    process::ExitCode,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};

use crate::{
    channel::{say, send},
    wire::{Figure, Record, Told},
    world::World,
};

pub(crate) fn run(words: &[&str]) -> Result<ExitCode> {
    let world = World::new(Told::default());
    let measured = match words {
        ["agent"] => agent::measure(&world),
        ["scrape"] => scrape::measure(&world),
        ["peers"] => peers::measure(&world),
        ["programs", carob, bpffs] => programs::measure(carob, bpffs),
        _ => bail!("usage: carob-tests bench agent | scrape | peers | programs CAROB DIRECTORY"),
    };
    // The host is told in a record; a guest's own stderr is nobody's.
    if let Err(fault) = measured {
        say(&format!("error: {fault:#}"))?;
        return Ok(ExitCode::FAILURE);
    }
    send(&Record::Done { done: true })?;
    Ok(ExitCode::SUCCESS)
}

impl Figure {
    fn alone(name: impl Into<String>, value: f64, unit: &str) -> Self {
        Self { name: name.into(), value: rounded(value), unit: unit.to_owned(), peer: None, ratio: None }
    }

    /// `peer`: what it is compared with, a figure of the same run with that value.
    fn beside(name: impl Into<String>, value: f64, unit: &str, peer: &str, peers: f64) -> Self {
        // Of nothing there is no multiple.
        let ratio = (peers != 0.0).then(|| rounded(value / peers));
        Self { peer: Some(peer.to_owned()), ratio, ..Self::alone(name, value, unit) }
    }
}

/// More digits than three behind the point are noise.
fn rounded(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}

fn send_all(figures: Vec<Figure>) -> Result<()> {
    figures.into_iter().try_for_each(|figure| send(&Record::Figure { figure }))
}

/// `count` pods of `CONTAINERS` containers that sleep, in a manifest folder's file.
const CONTAINERS: usize = 2;

fn start_pods(world: &World, pods: usize, patience: Duration) -> Result<()> {
    world.start()?;
    world.load_images()?;
    world.put("bench.yaml", &manifest(pods))?;
    let (wanted, since) = (pods * CONTAINERS, Instant::now());
    let mut told = 0;
    loop {
        let running = running(world)?;
        if running == wanted {
            return Ok(());
        }
        ensure!(since.elapsed() < patience, "after {} s {running} containers run", patience.as_secs());
        if running > told {
            told = running;
            say(&format!("{running} of {wanted} containers run"))?;
        }
        // Whoever asks too often is what is measured.
        pass(world, Duration::from_secs(2))?;
    }
}

fn manifest(pods: usize) -> String {
    let container = |number: usize| {
        format!(
            "    - {{name: c{number}, image: \"busybox:1\", imagePullPolicy: Never, command: [sleep, \"100000\"]}}\n"
        )
    };
    let containers: String = (0..CONTAINERS).map(container).collect();
    let pod = |number: usize| {
        format!(
            "apiVersion: v1\nkind: Pod\nmetadata: {{name: bench-{number}}}\nspec:\n  containers:\n{containers}"
        )
    };
    (0..pods).map(pod).collect::<Vec<_>>().join("---\n")
}

fn running(world: &World) -> Result<usize> {
    let list = world.read("/api/v1/pods")?;
    let pods = list["items"].as_array().context("the list of pods has no items")?;
    let containers = pods.iter().flat_map(|pod| pod["status"]["containerStatuses"].as_array()).flatten();
    Ok(containers.filter(|container| container["state"]["running"].is_object()).count())
}

/// Lets time go by without asking anything of the agent.
fn pass(world: &World, time: Duration) -> Result<()> {
    let since = Instant::now();
    world.wait_until("time has gone by", time * 2, || {
        ensure!(since.elapsed() >= time, "not yet");
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_has_a_ratio_to_its_peer_unless_that_is_nothing() {
        let figure = Figure::beside("a", 3.0, "ns", "b", 2.0);
        assert_eq!(
            serde_json::to_string(&figure).unwrap(),
            r#"{"name":"a","value":3.0,"unit":"ns","peer":"b","ratio":1.5}"#
        );
        assert_eq!(Figure::beside("a", 3.0, "ns", "b", 0.0).ratio, None);
        assert_eq!(Figure::alone("a", 1.0 / 3.0, "ns").value, 0.333);
    }
}
