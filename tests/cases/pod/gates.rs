//! Gates: a pod that is not to start yet, and one that is not ready though its containers are.

use anyhow::{Result, ensure};
use serde_json::{Value, json};

use crate::{
    pods::{PATIENCE, Pod, one, sample},
    world::World,
};

const GATES: &str = "  schedulingGates: [{name: example.com/go}, {name: example.com/on}]\n  \
    readinessGates: [{conditionType: example.com/served}]\n";
const PATH: &str = "/api/v1/namespaces/default/pods/gated";

pub(super) fn hold_up(world: &World) -> Result<()> {
    let pod = Pod::apply(world, "gated", &one("gated", "sleep", "", GATES))?;
    waits(world)?;
    patch(world, PATH, json!({"spec": {"schedulingGates": [{"name": "example.com/on"}]}}), 200)?;
    waits(world)?;
    patch(world, PATH, json!({"spec": {"schedulingGates": [{"name": "example.com/more"}]}}), 422)?;
    patch(world, PATH, json!({"spec": {"schedulingGates": null}}), 200)?;
    pod.await_running("main")?;
    ready(world, "False", "ReadinessGatesNotReady")?;
    for (told, holds, reason) in [("True", "True", ""), ("False", "False", "ReadinessGatesNotReady")] {
        let conditions = json!([{"type": "example.com/served", "status": told}]);
        patch(world, &format!("{PATH}/status"), json!({"status": {"conditions": conditions}}), 200)?;
        ready(world, holds, reason)?;
    }
    pod.delete()
}

/// It is told as kubectl shows it, and nothing of it is there.
fn waits(world: &World) -> Result<()> {
    let pod = world.wait_until("it says that it is gated", PATIENCE, || {
        let pod = world.read(PATH)?;
        ensure!(condition(&pod, "PodScheduled")["reason"] == "SchedulingGated", "it is {}", pod["status"]);
        Ok(pod)
    })?;
    ensure!(
        pod["status"]["phase"] == "Pending" && pod["status"].get("podIP").is_none(),
        "it has begun: {pod}"
    );
    let shown = world.carob_ok(&["get", "pod", "gated"])?;
    ensure!(shown.contains("SchedulingGated"), "it is shown as\n{shown}");
    let made = sample(&world.metrics()?, "kube_pod_status_phase", &[("pod", "gated"), ("phase", "Pending")])?;
    ensure!(made == 1.0, "it is not counted as pending");
    Ok(())
}

fn ready(world: &World, holds: &str, reason: &str) -> Result<()> {
    world.wait_until(&format!("Ready is {holds}"), PATIENCE, || {
        let pod = world.read(PATH)?;
        let ready = condition(&pod, "Ready");
        let as_wanted = ready["status"] == holds && ready["reason"].as_str().unwrap_or_default() == reason;
        let containers = condition(&pod, "ContainersReady");
        ensure!(as_wanted && containers["status"] == "True", "it is {}", pod["status"]["conditions"]);
        Ok(())
    })
}

fn condition(pod: &Value, kind: &str) -> Value {
    let mut all = pod["status"]["conditions"].as_array().into_iter().flatten();
    all.find(|one| one["type"] == kind).cloned().unwrap_or_default()
}

fn patch(world: &World, path: &str, with: Value, code: u16) -> Result<()> {
    let answer = world.ask("PATCH", path, Some(&with))?;
    ensure!(answer.status == code, "PATCH {path} with {with}: {} {}", answer.status, answer.body);
    Ok(())
}
