//! CPU and memory that change while the containers run (`pods/resize`, KEP-1287).

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::{
    pods::{PATIENCE, Pod, sample},
    world::World,
};

const PODS: &str = "/api/v1/namespaces/default/pods";
const MANIFEST: &str = "apiVersion: v1
kind: Pod
metadata: { name: resize }
spec:
  restartPolicy: Always
  terminationGracePeriodSeconds: 2
  containers:
    - name: stays
      image: carob-work:1
      imagePullPolicy: Never
      command: [/work, sleep]
      resources: { requests: { cpu: 100m, memory: 32Mi }, limits: { memory: 64Mi } }
    - name: again
      image: carob-work:1
      imagePullPolicy: Never
      command: [/work, sleep]
      resizePolicy: [{ resourceName: memory, restartPolicy: RestartContainer }]
      resources: { requests: { cpu: 100m, memory: 32Mi }, limits: { memory: 64Mi } }
";

/// Asks for other resources of one container.
fn resize(world: &World, container: usize, change: impl Fn(&mut Value), code: u16) -> Result<Value> {
    let path = format!("{PODS}/resize");
    let mut object = world.read(&path)?;
    change(&mut object["spec"]["containers"][container]);
    let answer = world.ask("PUT", &format!("{path}/resize"), Some(&object))?;
    ensure!(answer.status == code, "PUT {path}/resize: {} {}, not {code}", answer.status, answer.body);
    serde_json::from_str(&answer.body).with_context(|| answer.body.clone())
}

fn set(kind: &'static str, resource: &'static str, amount: &'static str) -> impl Fn(&mut Value) {
    move |container| container["resources"][kind][resource] = json!(amount)
}

/// The reason of a condition that holds; empty if it has none.
fn condition(pod: &Pod<'_>, kind: &str) -> Result<Option<String>> {
    let status = pod.object()?["status"].clone();
    let all = status["conditions"].as_array().cloned().unwrap_or_default();
    let found = all.iter().find(|each| each["type"] == kind && each["status"] == "True");
    Ok(found.map(|found| found["reason"].as_str().unwrap_or_default().to_owned()))
}

fn await_condition(world: &World, pod: &Pod<'_>, kind: &str, reason: Option<&str>) -> Result<()> {
    world.wait_until(&format!("{kind} is {reason:?}"), PATIENCE, || {
        let found = condition(pod, kind)?;
        ensure!(found.as_deref() == reason, "it is {found:?}");
        Ok(())
    })
}

fn await_limit(world: &World, pod: &Pod<'_>, container: &str, attempt: u64, mebibytes: u64) -> Result<()> {
    let wanted = (mebibytes << 20).to_string();
    world.wait_until(&format!("{container} has {mebibytes} MiB"), PATIENCE, || {
        let found = world.cgroup(&pod.cgroup_name(container, attempt), "memory.max")?;
        ensure!(found == wanted, "memory.max is {found}");
        Ok(())
    })
}

pub(super) fn in_place(world: &World) -> Result<()> {
    let pod = Pod::apply(world, "resize", MANIFEST)?;
    pod.await_running("stays")?;
    pod.await_running("again")?;
    let whole = || world.cgroup(&format!("pod{}", pod.uid()), "memory.max");
    let (pid, before) = (pod.main_pid("stays", 0)?, whole()?);
    resize(world, 0, set("limits", "memory", "96Mi"), 200)?;
    await_limit(world, &pod, "stays", 0, 96)?;
    resize(world, 0, set("limits", "cpu", "500m"), 200)?;
    world.wait_until("it has half a processor", PATIENCE, || {
        let found = world.cgroup(&pod.cgroup_name("stays", 0), "cpu.max")?;
        ensure!(found == "50000 100000", "cpu.max is {found}");
        Ok(())
    })?;
    await_condition(world, &pod, "PodResizeInProgress", None)?;
    let grown = whole()?.parse::<u64>()? - before.parse::<u64>()?;
    ensure!(grown == 32 << 20, "the pod has {grown} bytes more");
    let status = pod.container("stays")?;
    ensure!(status["restartCount"] == 0 && pod.main_pid("stays", 0)? == pid, "it was restarted: {status}");
    ensure!(status["resources"]["limits"] == json!({"cpu": "500m", "memory": "96Mi"}), "{status}");
    let labels = [("pod", "resize"), ("container", "stays"), ("resource", "memory")];
    let limit = sample(&world.metrics()?, "kube_pod_container_resource_limits", &labels)?;
    ensure!(limit == f64::from(96 << 20), "the limit in the metrics is {limit}");
    // This one wants a new start for other memory, and none for another weight.
    resize(world, 1, set("requests", "cpu", "200m"), 200)?;
    world.wait_until("it has another weight", PATIENCE, || {
        let found = world.cgroup(&pod.cgroup_name("again", 0), "cpu.weight")?;
        ensure!(found != world.cgroup(&pod.cgroup_name("stays", 0), "cpu.weight")?, "cpu.weight is {found}");
        Ok(())
    })?;
    resize(world, 1, set("limits", "memory", "80Mi"), 200)?;
    let end = pod.end("again", 0)?;
    ensure!(end.to_string().contains("container definition changed"), "the ledger says {end}");
    await_limit(world, &pod, "again", 1, 80)?;
    let told = world.carob_ok(&["events", "--for", "pod/resize"])?;
    ensure!(told.contains("ResizeStarted") && told.contains("ResizeCompleted"), "{told}");
    Ok(())
}

pub(super) fn not_now(world: &World) -> Result<()> {
    let pod = Pod::apply(world, "resize", MANIFEST)?;
    pod.await_running("stays")?;
    pod.await_running("again")?;
    // More than the box has: the wish stands, and what it has stays, also for the next agent.
    resize(world, 0, set("requests", "cpu", "900"), 200)?;
    await_condition(world, &pod, "PodResizePending", Some("Infeasible"))?;
    world.kill_and_await(PATIENCE)?;
    await_condition(world, &pod, "PodResizePending", Some("Infeasible"))?;
    let status = pod.container("stays")?;
    ensure!(status["allocatedResources"]["cpu"] == "100m", "it was given {status}");
    resize(world, 0, set("requests", "cpu", "150m"), 200)?;
    await_condition(world, &pod, "PodResizePending", None)?;
    let status = pod.container("stays")?;
    ensure!(status["allocatedResources"]["cpu"] == "150m" && status["restartCount"] == 0, "{status}");
    // Less memory than it uses: nobody is killed for it.
    let little = |container: &mut Value| {
        container["resources"]["limits"]["memory"] = json!("4Ki");
        container["resources"]["requests"]["memory"] = json!("4Ki");
    };
    resize(world, 0, little, 200)?;
    await_condition(world, &pod, "PodResizeInProgress", Some("Error"))?;
    await_limit(world, &pod, "stays", 0, 64)?;
    resize(world, 0, set("limits", "memory", "48Mi"), 200)?;
    await_limit(world, &pod, "stays", 0, 48)?;
    await_condition(world, &pod, "PodResizeInProgress", None)?;
    // What is no resize.
    let refused = |change: fn(&mut Value), why: &str| {
        let answer = resize(world, 0, change, 422)?;
        ensure!(answer["message"].as_str().is_some_and(|said| said.contains(why)), "it says {answer}");
        Ok(())
    };
    let unlimited = |container: &mut Value| container["resources"] = json!({"requests": {"cpu": "100m"}});
    refused(unlimited, "cannot be removed")?;
    refused(
        |container| container["image"] = json!("busybox:1"),
        "only cpu and memory resources are mutable",
    )?;
    ensure!(pod.container("stays")?["restartCount"] == 0, "it was restarted");
    Ok(())
}
