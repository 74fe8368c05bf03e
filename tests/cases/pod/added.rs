//! An ephemeral container: added to a pod that runs, sees what its target does, and changes nothing for the others.

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::{manifest, shell};
use crate::{
    pods::{PATIENCE, Pod},
    world::World,
};

const PART: &str = "/api/v1/namespaces/default/pods/added/ephemeralcontainers";

/// Adds one container to the pod, and gives the answer's code and message.
fn add(world: &World, container: Value) -> Result<(u16, String)> {
    let mut pod = world.read(PART)?;
    let list = &mut pod["spec"]["ephemeralContainers"];
    if !list.is_array() {
        *list = json!([]);
    }
    list.as_array_mut().context("no list")?.push(container);
    let answer = world.ask("PUT", PART, Some(&pod))?;
    let said: Value = serde_json::from_str(&answer.body)?;
    Ok((answer.status, said["message"].as_str().unwrap_or_default().to_owned()))
}

fn debugger(name: &str, script: &str, target: Option<&str>) -> Value {
    let mut container = json!({"name": name, "image": "carob-work:1", "command": ["sh", "-c", script]});
    if let Some(target) = target {
        container["targetContainerName"] = json!(target);
    }
    container
}

fn status(world: &World, name: &str) -> Result<Value> {
    let pod = world.read(PART)?;
    let all = pod["status"]["ephemeralContainerStatuses"].as_array().cloned().unwrap_or_default();
    all.into_iter().find(|one| one["name"] == name).with_context(|| format!("no status of {name}"))
}

fn ended(world: &World, name: &str) -> Result<Value> {
    world.wait_until(&format!("{name} has ended"), PATIENCE, || {
        let end = status(world, name)?["state"]["terminated"].clone();
        ensure!(end.is_object(), "{:?}", status(world, name));
        Ok(end)
    })
}

pub(super) fn debug(world: &World) -> Result<()> {
    let main = shell("main", "echo up; exec /work sleep", "");
    let pod = Pod::apply(world, "added", &manifest("added", "", &[main]))?;
    pod.await_log("main", "up\n")?;
    let before = pod.main_pid("main", 0)?;
    let look = "tr '\\0' ' ' < /proc/1/cmdline; echo; hostname; exit 3";
    ensure!(add(world, debugger("look", look, Some("main")))?.0 == 200);
    let end = ended(world, "look")?;
    ensure!(end["exitCode"] == 3 && end["reason"] == "Error", "{end}");
    ensure!(pod.logs("look")? == "/work sleep \nadded\n", "it sees its target: {:?}", pod.logs("look"));
    let alone = "echo $$$$; exec /work sleep";
    ensure!(add(world, debugger("alone", alone, None))?.0 == 200);
    pod.await_log("alone", "1\n")?;
    world.restart()?;
    let said = world.carob(&["exec", "added", "-c", "alone", "--", "echo", "inside"])?;
    ensure!(said.code == Some(0) && said.stdout == "inside\n", "{said:?}");
    let shown = world.read(PART)?;
    let ready =
        shown["status"]["conditions"].as_array().into_iter().flatten().find(|one| one["type"] == "Ready");
    ensure!(ready.is_some_and(|ready| ready["status"] == "True"), "{shown}");
    ensure!(shown["status"]["phase"] == "Running" && pod.main_pid("main", 0)? == before, "{shown}");
    ensure!(status(world, "look")?["state"]["terminated"] == end, "it ran once, and that is remembered");
    refusals(world)?;
    pod.delete()
}

fn refusals(world: &World) -> Result<()> {
    let rows = [
        (debugger("main", "true", None), "is taken by another container of the pod"),
        (debugger("x", "true", Some("gone")), "there is no container \"gone\""),
        (
            json!({"name": "x", "image": "carob-work:1", "ports": [{"containerPort": 80}]}),
            "ephemeral container",
        ),
        (json!({"name": "x"}), "the name of an image is needed"),
    ];
    for (container, expected) in rows {
        let (code, message) = add(world, container.clone())?;
        ensure!(code == 422 && message.contains(expected), "{container}: {code} {message}");
    }
    let mut pod = world.read(PART)?;
    pod["spec"]["ephemeralContainers"] = json!([]);
    let answer = world.ask("PUT", PART, Some(&pod))?;
    ensure!(answer.status == 422 && answer.body.contains("may not be removed"), "{}", answer.body);
    let mut new = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "born"}});
    new["spec"] = json!({
        "containers": [{"name": "c", "image": "carob-work:1"}],
        "ephemeralContainers": [debugger("d", "true", None)],
    });
    let answer = world.ask("POST", "/api/v1/namespaces/default/pods", Some(&new))?;
    ensure!(answer.status == 422 && answer.body.contains("cannot be set on create"), "{}", answer.body);
    Ok(())
}
