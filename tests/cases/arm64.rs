//! The same promise on the other machine: pods' ends, seen by the same kernel programs on an arm64 kernel, without
//! systemd. What holds on every machine is asked on the faster one.

use std::{fs, time::Duration};

use anyhow::{Context, Result, ensure};
use rustix::system::uname;

use super::{Case, accounting::truth};
use crate::{
    bare::{self, Agent},
    wire::Mode,
    world::World,
};

const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) fn cases() -> Vec<Case> {
    let case = |name, run| Case { name, mode: Mode::Arm64, limit: Duration::from_secs(300), run };
    vec![
        case("exit_7_is_seen_on_arm64", exit_7),
        case("rows_of_the_truth_table_hold_on_arm64", rows_of_the_truth_table),
    ]
}

/// Of each kind of end that takes no long wait one.
const ROWS: &[&str] = &[
    "exits-0",
    "exits-137-by-itself",
    "leader-ends-first",
    "a-thread-executes",
    "a-thread-ends-all",
    "host-kills-process-1",
    "host-sends-15",
    "faults-segv",
    "thread-faults",
    "broken-pipe",
    "raises-term",
    "its-child-kills-it",
];

fn rows_of_the_truth_table(world: &World) -> Result<()> {
    let agent = Agent::start(world)?;
    truth::some_hold(world, ROWS).with_context(|| agent.said())?;
    agent.stop()
}

fn exit_7(world: &World) -> Result<()> {
    let machine = uname().machine().to_string_lossy().into_owned();
    ensure!(machine == "aarch64", "this machine is {machine:?}");
    let agent = Agent::start(world)?;
    from_start_to_end(world).with_context(|| agent.said())?;
    agent.stop()
}

fn from_start_to_end(world: &World) -> Result<()> {
    world.load_images()?;
    // This guest has no nft, so a pod cannot have a network of its own here.
    let manifest = world.payload("pods/exit7.yaml")?.replace("\nspec:\n", "\nspec:\n  hostNetwork: true\n");
    world.put("exit7.yaml", &manifest)?;
    world.wait_until("the API says exit code 7", PATIENCE, || {
        let pod = world.read("/api/v1/namespaces/default/pods/exit7")?;
        let status = &pod["status"];
        let ended = &status["containerStatuses"][0]["state"]["terminated"];
        ensure!(ended["exitCode"] == 7 && status["phase"] == "Failed", "the status is {status}");
        Ok(())
    })?;
    let ledger = world.read("/carob/v1/ledger?namespace=default&pod=exit7")?;
    let rows = ledger["items"].as_array().context("the ledger has no items")?;
    ensure!(rows.len() == 1, "one container ended once, but the ledger is {ledger}");
    let end = &rows[0]["end"];
    ensure!(end["exitCode"] == 7 && end["cause"] == "error", "the ledger says {end}");
    ensure!(end["source"] == "kernel", "the kernel programs did not see the exit: {end}");
    let log = world.carob_ok(&["logs", "exit7"])?;
    ensure!(log == "about to end with 7\n", "the log is {log:?}");
    world.say(&format!(
        "Linux {}: {}",
        uname().release().to_string_lossy(),
        world.carob_ok(&["why", "exit7"])?
    ))?;
    world.remove("exit7.yaml")?;
    world.wait_until("the pod is gone", PATIENCE, || {
        let left = pods_cgroups()?;
        ensure!(left.is_empty(), "cgroups are left: {left:?}");
        Ok(())
    })
}

fn pods_cgroups() -> Result<Vec<String>> {
    let pods = format!("{}/pods", bare::CGROUP);
    let entries = fs::read_dir(&pods).with_context(|| format!("read {pods}"))?;
    let names = entries.map(|entry| Ok(entry?.file_name().display().to_string()));
    let names = names.collect::<Result<Vec<_>>>()?;
    Ok(names.into_iter().filter(|name| name.starts_with("pod")).collect())
}
