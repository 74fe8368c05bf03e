//! What a container starts with, and what is said of one that cannot start.

use std::fs;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::{manifest, shell};
use crate::{
    pods::{PATIENCE, Pod, sample},
    world::World,
};

pub(super) fn process(world: &World) -> Result<()> {
    let says = shell(
        "says",
        "pwd; echo $WORD $TWICE $HOSTNAME; echo $0 $1",
        "      args: [\"$(WORD)\", \"$$(WORD)\"]\n      workingDir: /made/for/it\n      env: [{ name: WORD, value: seed }, { name: TWICE, value: \"$(WORD)-$(WORD)\" }]\n",
    );
    // Without a command, the arguments go to the image's entry point, which is /work.
    let entry = "    - name: entry\n      image: carob-work:1\n      imagePullPolicy: Never\n      args: [exit, \"4\"]\n";
    let manifest = manifest("process", "  restartPolicy: Never\n", &[says, entry.to_owned()]);
    let pod = Pod::apply(world, "process", &manifest)?;
    ensure!(pod.end("says", 0)?["exitCode"] == 0, "the script failed: {:?}", pod.logs("says"));
    let said = pod.logs("says")?;
    ensure!(said == "/made/for/it\nseed seed-seed process\nseed $(WORD)\n", "it said {said:?}");
    let end = pod.end("entry", 0)?;
    ensure!(end["exitCode"] == 4, "the entry point ended with {end}");
    Ok(())
}

pub(super) fn no_such_command(world: &World) -> Result<()> {
    let command = "    - name: main\n      image: carob-work:1\n      imagePullPolicy: Never\n      command: [/no/such/command]\n";
    let manifest = manifest("no-command", "  restartPolicy: Never\n", &[command.to_owned()]);
    let pod = Pod::apply(world, "no-command", &manifest)?;
    let end = pod.end("main", 0)?;
    ensure!(end["reason"] == "StartError" && end["cause"] == "start_error", "the ledger says {end}");
    // Kubernetes requires a number in the status; the ledger does not.
    ensure!(end["exitCode"].is_null() && end["source"] == "none", "the ledger says {end}");
    let message = end["message"].as_str().unwrap_or_default();
    ensure!(message.contains("/no/such/command"), "the message does not name the command: {message:?}");
    let state = await_state(world, &pod, "main", "terminated")?;
    ensure!(state["reason"] == "StartError" && state["exitCode"] == 128, "the status says {state}");
    ensure!(state["message"] == message, "the status says {state}");
    let labels = [("pod", "no-command"), ("reason", "StartError"), ("cause", "start_error")];
    let count = sample(&world.metrics()?, "carob_container_terminations_total", &labels)?;
    ensure!(count == 1.0, "{count} start errors are counted");
    Ok(())
}

/// The other container runs; the one that waits starts as soon as its image is there.
pub(super) fn no_such_image(world: &World) -> Result<()> {
    crate::pods::ready(world)?;
    if world.carob_ok(&["image", "ls"])?.contains("busybox:1") {
        world.carob_ok(&["image", "rm", "busybox:1"])?;
    }
    let waits =
        "    - { name: waits, image: \"busybox:1\", imagePullPolicy: Never, command: [sleep, \"1000\"] }\n";
    let spec = "  terminationGracePeriodSeconds: 2\n";
    let containers = [waits.to_owned(), shell("runs", "exec /work sleep", "")];
    let pod = Pod::apply(world, "no-image", &manifest("no-image", spec, &containers))?;
    pod.await_running("runs")?;
    let state = await_state(world, &pod, "waits", "waiting")?;
    ensure!(state["reason"] == "ErrImageNeverPull", "it waits for {state}");
    let message = state["message"].as_str().unwrap_or_default();
    ensure!(message.contains("busybox:1"), "the message does not name the image: {message:?}");
    let phase = pod.object()?["status"]["phase"].clone();
    ensure!(phase == "Pending", "the phase is {phase}");
    world.load_images()?;
    pod.await_running("waits")?;
    let restarts = pod.container("runs")?["restartCount"].clone();
    ensure!(restarts == 0, "the other container was restarted {restarts} times");
    let main = fs::read_to_string(format!("/proc/{}/comm", pod.main_pid("waits", 0)?));
    let main = main.context("read the name of the process that had waited")?;
    ensure!(main.trim() == "sleep", "it runs {main:?}");
    Ok(())
}

/// The state of that kind, as soon as the container has it.
fn await_state(world: &World, pod: &Pod<'_>, container: &str, kind: &str) -> Result<Value> {
    world.wait_until(&format!("{container} is {kind}"), PATIENCE, || {
        let state = &pod.container(container)?["state"];
        ensure!(state[kind]["reason"] != "ContainerCreating" && state[kind].is_object(), "it is {state}");
        Ok(state[kind].clone())
    })
}
