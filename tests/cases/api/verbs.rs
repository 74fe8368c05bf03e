//! What the verbs print of one pod that has ended once and runs again.

use std::{
    io::{BufRead, BufReader},
    process::{Command, Stdio},
};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::{
    pods::{PATIENCE, Pod, one},
    world::{AGENT, World},
};

/// Ends with 3 the first time, and stays the second time.
const TWICE: &str = "command: [\"sh\", \"-c\", \"if [ -e /box/ran ]; then echo second; exec /work sleep; fi; touch /box/ran; echo first; exit 3\"]\n      volumeMounts: [{ name: box, mountPath: /box }]";

pub(super) fn say(world: &World) -> Result<()> {
    let manifest = one("verbs", "sleep", "", "  volumes: [{ name: box }]\n")
        .replace("command: [\"/work\", \"sleep\"]", TWICE)
        .replace("restartPolicy: Never", "restartPolicy: OnFailure");
    let pod = Pod::apply(world, "verbs", &manifest)?;
    world.wait_until("it runs for the second time", PATIENCE, || {
        let status = pod.container("main")?;
        ensure!(status["restartCount"] == 1 && status["state"]["running"].is_object(), "it is {status}");
        Ok(())
    })?;
    pod.await_log("main", "second")?;
    get(world)?;
    about(world)?;
    used(world)?;
    logs(world, &pod)?;
    changes(world)
}

/// Prints, and all of these are in it.
fn shows(world: &World, words: &[&str], wanted: &[&str]) -> Result<String> {
    let said = world.carob_ok(words)?;
    // Columns are as wide as they must be: only the words count.
    let plain = said.split_whitespace().collect::<Vec<_>>().join(" ");
    for part in wanted {
        ensure!(plain.contains(part), "{words:?} does not say {part:?}:\n{said}");
    }
    Ok(said)
}

fn get(world: &World) -> Result<()> {
    let row = "verbs 1/1 Running 1";
    shows(world, &["get", "pods"], &["NAME READY STATUS RESTARTS AGE", row])?;
    shows(world, &["get", "pods", "-o", "wide"], &["NODE", "carob-guest", row])?;
    shows(world, &["get", "pods", "-A"], &["NAMESPACE NAME", "default verbs 1/1"])?;
    let name = shows(world, &["get", "pod", "verbs", "-o", "name"], &[])?;
    ensure!(name == "pod/verbs\n", "its name is {name:?}");
    let json: Value = serde_json::from_str(&shows(world, &["get", "pod", "verbs", "-o", "json"], &[])?)?;
    ensure!(json["kind"] == "Pod" && json["status"]["phase"] == "Running", "as JSON: {json}");
    shows(world, &["get", "pod", "verbs", "-o", "yaml"], &["kind: Pod", "phase: Running"])?;
    let none = world.carob(&["get", "pod", "verbs-not"])?;
    let wanted = "carob: pod \"verbs-not\" not found in namespace \"default\"\n";
    ensure!(none.code == Some(1) && none.stderr == wanted, "get of none: {none:?}");
    Ok(())
}

fn about(world: &World) -> Result<()> {
    let last = "Last State: Terminated Reason: Error Exit Code: 3";
    let described = ["Name: verbs", "Status: Running", "State: Running", last, "Restart Count: 1"];
    shows(world, &["describe", "pod", "verbs"], &described)?;
    let why =
        ["FINISHED CONTAINER CODE SIGNAL CAUSE", "main/0 3 - error", "Error: exit code 3", "running main/1"];
    shows(world, &["why", "verbs"], &why)?;
    let version = shows(world, &["version"], &[])?;
    let versions: Vec<_> = version.lines().filter_map(|line| line.split_whitespace().last()).collect();
    let same = versions.len() == 2 && versions.iter().all(|version| version.contains("0.1.0"));
    ensure!(same, "version says {version:?}");
    let check =
        shows(world, &["check"], &["ok cgroup v2", "ok overlayfs", "ok kernel type information (BTF)"])?;
    ensure!(!check.contains("MISSING"), "the check says:\n{check}");
    Ok(())
}

fn used(world: &World) -> Result<()> {
    world.wait_until("it is known what the pod uses", PATIENCE, || {
        shows(world, &["top", "pod", "verbs"], &["NAME CPU(cores) MEMORY(bytes) verbs "])
    })?;
    shows(world, &["top", "pod", "-A", "--containers"], &["NAMESPACE POD NAME", "default verbs main "])?;
    let node = shows(world, &["top", "node"], &["CPU(%) MEMORY(bytes) MEMORY(%) carob-guest "])?;
    ensure!(!node.contains(" 0Mi"), "the box uses no memory:\n{node}");
    Ok(())
}

/// One that watches sees a pod come and go, in columns under one heading, and ends when nobody reads any more.
fn changes(world: &World) -> Result<()> {
    let mut watcher = Command::new(AGENT);
    let words = ["get", "pods", "-w", "-l", "case=verbs-watched"];
    let mut watcher = watcher.args(words).stdout(Stdio::piped()).spawn().context("watch")?;
    connected(world, watcher.id())?;
    let mut lines = BufReader::new(watcher.stdout.take().context("its output")?).lines();
    let manifest = one("verbs-watched", "sleep", "", "")
        .replace("name: verbs-watched", "name: verbs-watched\n  labels: { case: verbs-watched }");
    let pod = Pod::apply(world, "verbs-watched", &manifest)?;
    pod.await_running("main")?;
    pod.delete()?;
    let mut seen = Vec::new();
    for line in &mut lines {
        let line = line.context("read what is told")?;
        let words: Vec<_> = line.split_whitespace().map(str::to_owned).collect();
        let is_last = words.get(2).is_some_and(|status| status == "Terminating");
        seen.push(words);
        if is_last {
            break;
        }
    }
    ensure!(seen.first().is_some_and(|words| words[0] == "NAME"), "no heading: {seen:?}");
    ensure!(seen[1..].iter().all(|words| words[0] == "verbs-watched"), "others are told: {seen:?}");
    ensure!(seen.iter().any(|words| words[2] == "Running"), "it never ran: {seen:?}");
    drop(lines);
    // The next change finds that nobody reads.
    Pod::apply(world, "verbs-watched", &manifest)?.delete()?;
    ensure!(watcher.wait()?.success(), "the watcher did not end well");
    Ok(())
}

fn logs(world: &World, pod: &Pod<'_>) -> Result<()> {
    for (words, wanted) in [
        (&["logs", "verbs"][..], "second\n"),
        (&["logs", "verbs", "--previous"], "first\n"),
        (&["logs", "verbs", "-c", "main", "--tail", "1"], "second\n"),
        (&["logs", "verbs", "--tail", "0"], ""),
    ] {
        let said = world.carob_ok(words)?;
        ensure!(said == wanted, "{words:?} says {said:?}");
    }
    let stamped = world.carob_ok(&["logs", "verbs", "--timestamps"])?;
    let (date, line) = stamped.split_once(' ').context("there is no date")?;
    ensure!(
        date.len() == "2026-01-01T00:00:00.000000000Z".len() && line == "second\n",
        "it says {stamped:?}"
    );
    // A follower hears the last words, and is let go when the container has ended.
    let mut follower = Command::new(AGENT);
    let follower = follower.args(["logs", "-f", "verbs"]).stdout(Stdio::piped()).spawn().context("follow")?;
    connected(world, follower.id())?;
    pod.delete()?;
    let followed = follower.wait_with_output().context("wait for the follower")?;
    let followed = String::from_utf8_lossy(&followed.stdout);
    ensure!(followed == "second\nterminated\n", "the follower heard {followed:?}");
    Ok(())
}

/// Waits until that process has reached the agent.
fn connected(world: &World, pid: u32) -> Result<()> {
    world.wait_until("the client is connected", PATIENCE, || {
        let connected = world.command("ss", &["-xHp", "state", "connected"])?;
        ensure!(connected.contains(&format!("pid={pid},")), "it is not among {connected}");
        Ok(())
    })
}
