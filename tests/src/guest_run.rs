//! The guest's side of `cargo xtask run FILE`: starts the agent, gives it the manifest, waits until the pods have
//! settled, and shows all that a person would ask for. It judges nothing.

use std::{
    fs,
    path::Path,
    process::ExitCode,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use crate::{
    channel::{say, send},
    wire::{Record, Told},
    world::{UNIT, World},
};

/// Pods that neither end nor become ready are shown as they are after this time.
const PATIENCE: Duration = Duration::from_secs(120);
/// Metrics worth a look after a run; the page has many more.
const TELLING: &[&str] = &[
    "kube_pod_status_phase",
    "kube_pod_container_status_",
    "container_memory_working_set_bytes",
    "container_memory_max_usage_bytes",
    "container_oom_events_total",
    "container_cpu_usage_seconds_total",
    "carob_",
];

/// What becomes of the machine.
enum After {
    /// It is a guest that ends anyway.
    Keep,
    /// It is somebody's: nothing of carob stays.
    Remove,
}

pub(crate) fn run(words: &[&str]) -> Result<ExitCode> {
    let (after, words) = match *words {
        ["--remove", ref words @ ..] => (After::Remove, words),
        _ => (After::Keep, words),
    };
    let ["--settle", seconds, file] = *words else {
        bail!("usage: guest-run [--remove] --settle SECONDS FILE")
    };
    let settle = Duration::from_secs(seconds.parse().context("--settle wants seconds")?);
    let world = World::new(Told::default());
    let mut shown = show(&world, Path::new(file), settle);
    if matches!(after, After::Remove) {
        shown = shown.and(world.uninstall());
    }
    // The host is told in a record; its own stderr may be nobody's.
    if let Err(fault) = shown {
        say(&format!("error: {fault:#}"))?;
        return Ok(ExitCode::FAILURE);
    }
    send(&Record::Done { done: true })?;
    Ok(ExitCode::SUCCESS)
}

fn show(world: &World, file: &Path, settle: Duration) -> Result<()> {
    let yaml = fs::read_to_string(file).with_context(|| format!("read {}", file.display()))?;
    say("guest: installing carob")?;
    world.install()?;
    if let Err(fault) = world.start() {
        say(&agents_log(world)?)?;
        return Err(fault);
    }
    say("guest: agent is ready, loading images")?;
    world.load_images()?;
    let name = file.file_name().unwrap_or_default().display().to_string();
    world.put(&name, &yaml)?;
    say("guest: manifest applied")?;
    let pods = match settled(world, settle) {
        Ok(pods) => pods,
        Err(fault) => {
            say(&agents_log(world)?)?;
            return Err(fault);
        }
    };
    report(world, &pods)?;
    if pods.iter().all(Pod::has_ended) {
        return Ok(());
    }
    world.remove(&name)?;
    say("\nguest: manifest removed, waiting for the pods to go")?;
    world.wait_until("the pods are gone", PATIENCE, || {
        ensure!(self::pods(world)?.is_empty(), "pods are left");
        Ok(())
    })?;
    // The ledger outlives its pods.
    pods.iter().try_for_each(|pod| section(world, &["why", &pod.name, "-n", &pod.namespace]))
}

/// A pod as far as this program looks at it.
#[derive(Clone, PartialEq)]
struct Pod {
    namespace: String,
    name: String,
    containers: Vec<String>,
    phase: String,
    ready: bool,
}

impl Pod {
    fn of(object: &Value) -> Self {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
        let (spec, status) = (&object["spec"], &object["status"]);
        let containers = [list(&spec["initContainers"]), list(&spec["containers"])].concat();
        let is_ready = |condition: &Value| condition["type"] == "Ready" && condition["status"] == "True";
        Self {
            namespace: text(&object["metadata"]["namespace"]),
            name: text(&object["metadata"]["name"]),
            containers: containers.iter().map(|container| text(&container["name"])).collect(),
            phase: text(&status["phase"]),
            ready: list(&status["conditions"]).iter().any(is_ready),
        }
    }

    fn has_ended(&self) -> bool {
        matches!(self.phase.as_str(), "Succeeded" | "Failed")
    }
}

/// The pods, once each has ended or all others have been ready for `settle`; or when patience is at its end.
fn settled(world: &World, settle: Duration) -> Result<Vec<Pod>> {
    let started = Instant::now();
    let mut seen: Vec<Pod> = Vec::new();
    let mut unchanged_since = started;
    world.wait_until("the pods have settled", PATIENCE * 2, || {
        let pods = pods(world)?;
        if pods != seen {
            pods.iter().filter(|pod| !seen.contains(pod)).try_for_each(tell)?;
            unchanged_since = Instant::now();
            seen.clone_from(&pods);
        }
        ensure!(!pods.is_empty(), "no pod came of the manifest");
        let steady =
            pods.iter().all(|pod| pod.has_ended() || pod.ready) && unchanged_since.elapsed() >= settle;
        let ended = pods.iter().all(Pod::has_ended);
        if !ended && !steady {
            ensure!(started.elapsed() > PATIENCE, "a pod is neither ready nor at its end");
            say("guest: not settled, shown as it is")?;
        }
        Ok(pods)
    })
}

fn pods(world: &World) -> Result<Vec<Pod>> {
    let list = world.read("/api/v1/pods")?;
    Ok(list["items"].as_array().context("the list of pods has no items")?.iter().map(Pod::of).collect())
}

fn tell(pod: &Pod) -> Result<()> {
    let ready = if pod.ready { ", ready" } else { "" };
    say(&format!("guest: pod {}/{}: {}{ready}", pod.namespace, pod.name, pod.phase))
}

fn report(world: &World, pods: &[Pod]) -> Result<()> {
    section(world, &["get", "pods"])?;
    for pod in pods {
        let (name, namespace) = (pod.name.as_str(), pod.namespace.as_str());
        section(world, &["describe", "pod", name, "-n", namespace])?;
        for container in &pod.containers {
            section(world, &["logs", name, "-n", namespace, "-c", container])?;
        }
        section(world, &["why", name, "-n", namespace])?;
    }
    say("\n# metrics (some)")?;
    let page = world.metrics()?;
    let telling = |line: &&str| TELLING.iter().any(|start| line.starts_with(start));
    page.lines().filter(telling).try_for_each(say)
}

/// One command of carob's and what it says, good or bad.
fn section(world: &World, words: &[&str]) -> Result<()> {
    say(&format!("\n$ carob {}", words.join(" ")))?;
    let said = world.carob(words)?;
    say(&said.stdout)?;
    say(&said.stderr)
}

fn agents_log(world: &World) -> Result<String> {
    world.command("journalctl", &["--unit", UNIT, "--no-pager", "--output=cat", "--lines=40"])
}
