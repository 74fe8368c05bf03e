//! An exit that asks for all containers of its pod to run again (KEP-5532).

use anyhow::{Result, ensure};

use super::{
    order::{is_before, pod_of, row},
    shell,
};
use crate::{
    pods::{PATIENCE, Pod},
    world::World,
};

const NAMES: [&str; 4] = ["prepare", "watch", "done", "stays"];

pub(super) fn all_again(world: &World) -> Result<()> {
    let mount = "      volumeMounts: [{ name: box, mountPath: /box }]\n";
    let rule = format!(
        "{mount}      restartPolicy: Always\n      restartPolicyRules: [{{ action: RestartAllContainers, exitCodes: {{ operator: In, values: [88] }} }}]\n"
    );
    let hook =
        format!("{mount}      lifecycle: {{ preStop: {{ exec: {{ command: [touch, /box/hooked] }} }} }}\n");
    let watch = "if [ -e /box/asked ]; then exec /work sleep; fi; while [ ! -e /box/go ]; do sleep 1; done; touch /box/asked; exit 88";
    let inits = [shell("prepare", "echo again >> /box/said", mount), shell("watch", watch, &rule)];
    let mains =
        [shell("done", "cat /box/said", mount), shell("stays", "touch /box/go; exec /work sleep", &hook)];
    let spec = "  restartPolicy: Never\n  terminationGracePeriodSeconds: 600\n  volumes: [{ name: box, emptyDir: {} }]\n";
    let pod = Pod::apply(world, "rounds", &pod_of("rounds", spec, &inits, &mains))?;
    let end = pod.end("done", 0)?;
    ensure!(end["exitCode"] == 0, "done ended with {end}");
    let address = pod.object()?["status"]["podIP"].clone();
    let end = pod.end("watch", 0)?;
    ensure!(end["exitCode"] == 88, "watch ended with {end}");
    // SIGKILL, at once and without its hook.
    let end = pod.end("stays", 0)?;
    let said = end["message"].as_str().unwrap_or_default();
    ensure!(
        end["signal"] == 9 && said.contains("all containers of the pod are restarted"),
        "stays ended with {end}"
    );
    pod.end("done", 1)?;
    pod.await_running("stays")?;
    runs_once_more(world, &pod)?;
    let rows = pod.ledger()?;
    for container in ["watch", "stays"] {
        is_before(&row(&rows, container, 0)?["end"]["finishedAt"], &row(&rows, "prepare", 1)?["startedAt"])?;
    }
    is_before(&row(&rows, "prepare", 1)?["end"]["finishedAt"], &row(&rows, "watch", 1)?["startedAt"])?;
    ensure!(pod.logs("done")? == "again\nagain\n", "the volume is another one: {:?}", pod.logs("done")?);
    ensure!(pod.object()?["status"]["podIP"] == address, "the address is another one");
    let told = world.carob_ok(&["events", "--for", "pod/rounds"])?;
    ensure!(told.contains("RestartAllContainers"), "{told}");
    // What is over is over for the next agent as well.
    world.kill_and_await(PATIENCE)?;
    runs_once_more(world, &pod)?;
    let hooked = world.carob(&["exec", "rounds", "-c", "stays", "--", "ls", "/box/hooked"])?;
    ensure!(hooked.code != Some(0), "preStop has run: {hooked:?}");
    ensure!(pod.ledger()?.len() == 8, "something ran a third time: {:?}", pod.ledger()?);
    Ok(())
}

fn runs_once_more(world: &World, pod: &Pod<'_>) -> Result<()> {
    world.wait_until("all run again", PATIENCE, || {
        let status = pod.object()?["status"].clone();
        let lists =
            ["initContainerStatuses", "containerStatuses"].map(|list| status[list].as_array().cloned());
        let all: Vec<_> = lists.into_iter().flatten().flatten().collect();
        for name in NAMES {
            let one = all.iter().find(|one| one["name"] == name);
            ensure!(one.is_some_and(|one| one["restartCount"] == 1), "{status}");
        }
        ensure!(status["phase"] == "Running", "{status}");
        let conditions = status["conditions"].as_array().cloned().unwrap_or_default();
        let has =
            |kind: &str, holds: &str| conditions.iter().any(|c| c["type"] == kind && c["status"] == holds);
        ensure!(has("AllContainersRestarting", "False") && has("Initialized", "True"), "{status}");
        Ok(())
    })
}
