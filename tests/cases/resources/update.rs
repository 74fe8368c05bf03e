//! What may change of a pod that is there: changed as a client does that reads, changes and writes back.

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::{
    pods::{PATIENCE, Pod, apply, one},
    world::World,
};

const PODS: &str = "/api/v1/namespaces/default/pods";

/// A pod of one container that ends at SIGTERM, in both test images.
fn patient(name: &str) -> String {
    let script = "trap 'exit 0' TERM; while :; do sleep 1; done";
    let words = format!("command: [\"sh\", \"-c\", {script:?}]\n");
    one(name, "sleep", "", "").replace("command: [\"/work\", \"sleep\"]\n", &words)
}

fn put(world: &World, name: &str, change: impl Fn(&mut Value), code: u16) -> Result<Value> {
    let path = format!("{PODS}/{name}");
    let mut object = world.read(&path)?;
    change(&mut object);
    let answer = world.ask("PUT", &path, Some(&object))?;
    ensure!(answer.status == code, "PUT {path}: {} {}, not {code}", answer.status, answer.body);
    serde_json::from_str(&answer.body).with_context(|| answer.body.clone())
}

pub(super) fn image(world: &World) -> Result<()> {
    let pod = Pod::apply(world, "image-change", &patient("image-change"))?;
    pod.await_running("main")?;
    // Through the command line: the file names another image now.
    let other = patient("image-change").replace("carob-work:1", "busybox:1");
    let said = apply(world, "image-change", &other)?;
    ensure!(said.stdout == "pod/image-change configured\n", "apply says {said:?}");
    let end = pod.end("main", 0)?;
    ensure!(end.to_string().contains("container definition changed"), "the ledger says {end}");
    let runs = |image: &str, restarts: u64| {
        world.wait_until(&format!("{image} runs"), PATIENCE, || {
            let status = pod.container("main")?;
            let right = status["state"]["running"].is_object() && status["image"] == image;
            ensure!(right && status["restartCount"] == restarts, "it is {status}");
            Ok(())
        })
    };
    runs("busybox:1", 1)?;
    // One that is not there: it waits, and as soon as it is another again, runs at once.
    let set = |image: &'static str| {
        move |object: &mut Value| object["spec"]["containers"][0]["image"] = json!(image)
    };
    put(world, "image-change", set("carob-work:missing"), 200)?;
    world.wait_until("the image is missed", PATIENCE, || {
        let state = pod.container("main")?["state"].clone();
        ensure!(state["waiting"]["reason"] == "ErrImageNeverPull", "it is {state}");
        Ok(())
    })?;
    put(world, "image-change", set("carob-work:1"), 200)?;
    runs("carob-work:1", 2)?;
    let object = pod.object()?;
    let generations = [&object["metadata"]["generation"], &object["status"]["observedGeneration"]];
    ensure!(generations == [&json!(4), &json!(4)], "three changes of a new pod: {generations:?}");
    Ok(())
}

pub(super) fn deadline(world: &World) -> Result<()> {
    let pod = Pod::apply(world, "deadline-change", &one("deadline-change", "sleep", "", ""))?;
    pod.await_running("main")?;
    put(world, "deadline-change", |object| object["spec"]["activeDeadlineSeconds"] = json!(1), 200)?;
    world.wait_until("it is ended", PATIENCE, || {
        let status = pod.object()?["status"].clone();
        ensure!(status["phase"] == "Failed" && status["reason"] == "DeadlineExceeded", "it is {status}");
        Ok(())
    })
}

pub(super) fn refused(world: &World) -> Result<()> {
    let pod = Pod::apply(world, "no-change", &one("no-change", "sleep", "", ""))?;
    pod.await_running("main")?;
    let add = |object: &mut Value| object["spec"]["containers"][0]["args"] = json!(["x"]);
    let refused = put(world, "no-change", add, 422)?;
    let wanted = "spec: Forbidden: pod updates may not change fields other than `spec.containers[*].image`";
    let message = refused["message"].as_str().unwrap_or_default();
    ensure!(message.contains(wanted), "it says {message:?}");
    // The command line says it before it does anything, and what to do.
    let said = apply(world, "no-change", &one("no-change", "exit 0", "", ""))?;
    let advice = "cannot be changed in place: delete it first (carob delete pod no-change -n default)";
    ensure!(said.code == Some(1) && said.stderr.contains(advice), "apply says {said:?}");
    ensure!(pod.container("main")?["restartCount"] == 0, "it was restarted all the same");
    Ok(())
}
