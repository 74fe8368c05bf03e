//! `carob uninstall`: takes away what carob has made on this box. What `check --uninstall` lists, this removes; the
//! binary and a package's own unit files are left to whoever put them there.
#![expect(clippy::disallowed_methods, reason = "this is the effect")]

use std::{fs, io, path::Path, process::Command};

use anyhow::{Context, bail};
use serde_json::Value;

use super::clock;
use crate::{
    act::{mounts, places::Places},
    cgroup::Cgroup,
    config::Config,
    pod::{PodName, PodUid, network},
    store::{Kind, Store},
};

const SLICE: &str = "carob.slice";
const UNITS: [&str; 2] = ["carob.service", "carob-pods.service"];
/// How often an emptying cgroup is looked at.
const LOOK: std::time::Duration = std::time::Duration::from_millis(20);

/// What becomes of images, volumes and the ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Data {
    Keep,
    Purge,
}

/// Stops everything, then removes it. Can be repeated.
pub(crate) async fn uninstall(config: &Config, data: Data) -> anyhow::Result<()> {
    stop_units()?;
    let places = Places::of(config);
    remove_logs(config, &places).await?;
    for cgroup in [places.pulls_cgroup(), places.pods_cgroup()] {
        empty(&cgroup).await?;
    }
    remove_network()?;
    let systemd = Path::new("/run/systemd/system").is_dir();
    if systemd {
        systemctl(&["stop", SLICE])?;
        Cgroup::at(config.cgroup_fs.join(SLICE)).remove()?;
    }
    for dir in [&config.run, &config.state] {
        mounts::unmount_below(dir)?;
    }
    gone("the kernel programs", &config.bpffs.join("carob"))?;
    gone("what belongs to this boot", &config.run)?;
    let units = ["carob.service", "carob-pods.service", SLICE]
        .map(|unit| Path::new("/etc/systemd/system").join(unit));
    for unit in units.iter().filter(|unit| unit.exists()) {
        gone("a unit", unit)?;
    }
    if systemd {
        systemctl(&["daemon-reload"])?;
    }
    match data {
        Data::Purge => gone("images, volumes and the ledger", &config.state)?,
        Data::Keep => {
            println!("kept: {} (images, volumes, the ledger); --purge removes it", config.state.display());
        }
    }
    Ok(())
}

/// Stops the agent, and all pods in order.
fn stop_units() -> anyhow::Result<()> {
    if !Path::new("/run/systemd/system").is_dir() {
        return Ok(());
    }
    let known = |unit: &str| {
        ["/etc/systemd/system", "/usr/lib/systemd/system"]
            .iter()
            .any(|dir| Path::new(dir).join(unit).exists())
    };
    for unit in UNITS.iter().filter(|unit| known(unit)) {
        systemctl(&["disable", "--now", "--quiet", unit])?;
        println!("stopped: {unit}");
    }
    Ok(())
}

/// Bridge, cables and rules, by a child of ours. Whether the box forwards packets is left as it is: others may need it.
fn remove_network() -> anyhow::Result<()> {
    let there = Path::new("/sys/class/net").join(network::BRIDGE).exists();
    let output = Command::new("/proc/self/exe").args(["runtime", "network", "remove"]).output();
    let output = output.context("cannot start the child that removes the network")?;
    if !output.status.success() {
        bail!("the pods' network stays: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    if there {
        println!(
            "removed: the network bridge {} and the packet filter's table {}",
            network::BRIDGE,
            network::TABLE
        );
    }
    Ok(())
}

fn systemctl(words: &[&str]) -> anyhow::Result<()> {
    let status = Command::new("systemctl").args(words).status();
    let status = status.with_context(|| format!("cannot start systemctl {}", words.join(" ")))?;
    if !status.success() {
        bail!("systemctl {} ended with {status}", words.join(" "));
    }
    Ok(())
}

/// Logs of pods lie where others may have theirs: only those of pods in the store go.
async fn remove_logs(config: &Config, places: &Places) -> anyhow::Result<()> {
    if !config.database().exists() {
        return Ok(());
    }
    // A second opening is refused while an agent runs.
    let store =
        Store::open(&config.database()).context("the agent still runs, or the store cannot be read")?;
    let (pods, _) = store.objects().list(Kind::Pod, None).await?;
    for pod in &pods {
        let text =
            |field: &str| pod["metadata"].get(field).and_then(Value::as_str).unwrap_or_default().to_owned();
        let (name, uid) = (PodName { namespace: text("namespace"), name: text("name") }, PodUid(text("uid")));
        mounts::remove_dir(&places.pod_logs(&name, &uid))?;
        mounts::remove_links(&places.log_links(&name, &uid))?;
    }
    Ok(())
}

/// Whatever still runs is killed; then the cgroups go.
async fn empty(pods: &Cgroup) -> anyhow::Result<()> {
    if !pods.exists() {
        return Ok(());
    }
    pods.kill()?;
    while pods.populated()? {
        clock::pause(LOOK).await?;
    }
    pods.remove()?;
    println!("removed: {}", pods.path().display());
    Ok(())
}

fn gone(what: &str, path: &Path) -> anyhow::Result<()> {
    let removed = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
    match removed {
        Ok(()) => println!("removed: {} ({what})", path.display()),
        Err(e) if e.kind() == io::ErrorKind::NotFound => (),
        Err(e) => return Err(e).with_context(|| format!("cannot remove {}", path.display())),
    }
    Ok(())
}
