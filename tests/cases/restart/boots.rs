//! The box goes down and comes up: in order, with every pod asked to go; or by a power cut, of which nobody may make up
//! how the containers ended.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::await_agent;
use crate::{
    pods::{apply, ledger, one},
    wire::Next,
    world::{UNIT, World},
};

const PATIENCE: Duration = Duration::from_secs(120);
const CUTS: u32 = 2;
const CUTS_OF_FULL: u32 = 6;

/// A cold machine: carob is put on it as a package would, to start with every boot.
fn set_up(world: &World) -> Result<()> {
    world.install()?;
    world.command("systemctl", &["enable", "--quiet", UNIT])?;
    world.start()?;
    world.load_images()?;
    // The package is on the disk before anything happens; what carob keeps is its own affair.
    world.command("sync", &[]).map(drop)
}

fn create(world: &World, name: &str, manifest: &str) -> Result<()> {
    let manifest = manifest.replace("restartPolicy: Never", "restartPolicy: Always");
    let said = apply(world, name, &manifest)?;
    ensure!(said.code == Some(0), "apply {name}: {said:?}");
    await_attempt(world, name, 0)
}

fn await_attempt(world: &World, name: &str, attempt: u32) -> Result<()> {
    world.wait_until(&format!("attempt {attempt} of {name} runs"), PATIENCE, || {
        let status = status(world, name)?;
        ensure!(
            status["state"]["running"].is_object() && status["restartCount"] == attempt,
            "it is {status}"
        );
        Ok(())
    })
}

fn status(world: &World, name: &str) -> Result<Value> {
    let pod = world.read(&format!("/api/v1/namespaces/default/pods/{name}"))?;
    Ok(pod["status"]["containerStatuses"][0].clone())
}

/// The end of one attempt of a pod of one container.
fn end(world: &World, name: &str, attempt: u32) -> Result<Value> {
    let rows = ledger(world, name)?;
    let row = rows.iter().find(|row| row["attempt"] == attempt);
    let row = row.with_context(|| format!("no attempt {attempt} of {name} among {rows:?}"))?;
    Ok(row["end"].clone())
}

pub(super) fn ordered(world: &World) -> Result<()> {
    if world.boot() == 0 {
        set_up(world)?;
        create(world, "older", &one("older", "ignore-term", "", "  terminationGracePeriodSeconds: 4\n"))?;
        create(world, "newer", &one("newer", "sleep", "", "  terminationGracePeriodSeconds: 20\n"))?;
        overdue(world)?;
        world.go_on_after(Next::Reboot);
        return Ok(());
    }
    await_agent(world)?;
    for name in ["older", "newer"] {
        await_attempt(world, name, 1)?;
    }
    world.wait_until("the overdue pod is known to be over", PATIENCE, || is_overdue(world))?;
    let (older, newer) = (end(world, "older", 0)?, end(world, "newer", 0)?);
    let said = |end: &Value| [end["exitCode"].clone(), end["cause"].clone(), end["message"].clone()];
    let asked = "exit code 0, after carob asked it to stop: node shutting down";
    ensure!(said(&newer) == [json!(0), json!("completed"), json!(asked)], "the newer one's end is {newer}");
    let killed = "SIGKILL from carob: grace period expired";
    ensure!(said(&older) == [json!(137), json!("agent"), json!(killed)], "the older one's end is {older}");
    // Of the same boot, so the dates compare; the first to go was the last to come.
    let date = |end: &Value| end["finishedAt"].as_str().map(str::to_owned);
    ensure!(date(&newer) < date(&older), "the older one went first: {older}, {newer}");
    let log = world.carob_ok(&["logs", "newer", "--previous"])?;
    ensure!(log == "terminated\n", "the newer one's last words were {log:?}");
    Ok(())
}

/// A pod that its deadline has ended, not at the first word.
fn overdue(world: &World) -> Result<()> {
    let spec = "  activeDeadlineSeconds: 15\n  terminationGracePeriodSeconds: 1\n";
    let manifest =
        one("overdue", "ignore-term", "", spec).replace("restartPolicy: Never", "restartPolicy: Always");
    let said = apply(world, "overdue", &manifest)?;
    ensure!(said.code == Some(0), "apply: {said:?}");
    world.wait_until("the deadline has ended it", PATIENCE, || is_overdue(world))
}

fn is_overdue(world: &World) -> Result<()> {
    let status = world.read("/api/v1/namespaces/default/pods/overdue")?["status"].clone();
    let over = status["phase"] == "Failed" && status["reason"] == "DeadlineExceeded";
    ensure!(over && ledger(world, "overdue")?.len() == 1, "{status}");
    Ok(())
}

pub(super) fn cut(world: &World) -> Result<()> {
    let boot = world.boot();
    if boot == 0 {
        set_up(world)?;
        create(world, "cut", &one("cut", "sleep", "", ""))?;
    } else {
        await_agent(world)?;
        await_attempt(world, "cut", boot)?;
        was_cut(world, boot - 1)?;
    }
    if boot < if world.full() { CUTS_OF_FULL } else { CUTS } {
        world.go_on_after(Next::Cut);
    }
    Ok(())
}

fn was_cut(world: &World, attempt: u32) -> Result<()> {
    let end = end(world, "cut", attempt)?;
    let found = [&end["exitCode"], &end["signal"], &end["reason"], &end["cause"], &end["source"]];
    let wanted = [Value::Null, Value::Null, json!("NodeReboot"), json!("node_reboot"), json!("none")];
    ensure!(found.iter().zip(&wanted).all(|(a, b)| *a == b), "the ledger says {end}, not {wanted:?}");
    let last = status(world, "cut")?["lastState"]["terminated"].clone();
    ensure!(last["reason"] == "NodeReboot" && last["exitCode"] != 137, "the status says {last}");
    let why = world.carob_ok(&["why", "cut"])?;
    ensure!(why.contains("NodeReboot") && !why.contains("137"), "why says {why}");
    Ok(())
}
