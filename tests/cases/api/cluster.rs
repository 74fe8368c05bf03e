//! What nobody wrote and kubectl reads: the kinds there are, the node, namespaces, and what pods use.

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::PODS;
use crate::{
    pods::{PATIENCE, ready},
    world::World,
};

fn read(world: &World, path: &str) -> Result<Value> {
    let answer = world.ask("GET", path, None)?;
    ensure!(answer.status == 200, "{path}: {} {}", answer.status, answer.body);
    serde_json::from_str(&answer.body).with_context(|| format!("{path}: {:?}", answer.body))
}

pub(super) fn is_told(world: &World) -> Result<()> {
    ready(world)?;
    discovered(world)?;
    node(world)?;
    let pod = json!({
        "metadata": {"name": "busy"},
        "spec": {"terminationGracePeriodSeconds": 0, "containers": [
            {"name": "main", "image": "carob-work:1", "imagePullPolicy": "Never", "command": ["/work", "sleep"]},
        ]},
    });
    let made = world.ask("POST", PODS, Some(&pod))?;
    ensure!(made.status == 201, "created: {} {}", made.status, made.body);
    used(world)?;
    let spaces = read(world, "/api/v1/namespaces")?;
    let spaces: Vec<_> = spaces["items"].as_array().into_iter().flatten().collect();
    ensure!(spaces.iter().any(|space| space["metadata"]["name"] == "default"), "namespaces: {spaces:?}");
    let gone = world.ask("DELETE", &format!("{PODS}/busy"), None)?;
    ensure!(gone.status == 200, "deleted: {} {}", gone.status, gone.body);
    Ok(())
}

/// Every kind that is named can be listed.
fn discovered(world: &World) -> Result<()> {
    let groups = read(world, "/apis")?;
    let groups = groups["groups"].as_array().into_iter().flatten();
    let named = groups.filter_map(|group| group["preferredVersion"]["groupVersion"].as_str());
    let roots = std::iter::once("/api/v1".to_owned()).chain(named.map(|version| format!("/apis/{version}")));
    for root in roots {
        let list = read(world, &root)?;
        let kinds = list["resources"].as_array().into_iter().flatten();
        for name in kinds.filter_map(|kind| kind["name"].as_str()).filter(|name| !name.contains('/')) {
            let found = read(world, &format!("{root}/{name}"))?;
            ensure!(found["items"].is_array(), "{root}/{name}: {found}");
        }
    }
    Ok(())
}

fn node(world: &World) -> Result<()> {
    let nodes = read(world, "/api/v1/nodes")?;
    let status = &nodes["items"][0]["status"];
    let processors = std::thread::available_parallelism()?.to_string();
    ensure!(status["capacity"]["cpu"] == json!(processors), "of {processors} processors: {status}");
    let info = &status["nodeInfo"];
    ensure!(info["osImage"].as_str().is_some_and(|os| os.starts_with("Debian GNU/Linux")), "it runs {info}");
    let conditions = status["conditions"].as_array().into_iter().flatten();
    let holding: Vec<&str> =
        conditions.filter(|one| one["status"] == "True").filter_map(|one| one["type"].as_str()).collect();
    ensure!(holding == ["carob.dev/KernelAccounting", "Ready"], "these hold: {holding:?} of {status}");
    Ok(())
}

fn used(world: &World) -> Result<()> {
    let path = "/apis/metrics.k8s.io/v1beta1/namespaces/default/pods/busy";
    let pod = world.wait_until("it is known what the pod uses", PATIENCE, || read(world, path))?;
    let usage = &pod["containers"][0]["usage"];
    let amount = |what: &str, unit: &str| usage[what].as_str()?.strip_suffix(unit)?.parse::<u64>().ok();
    ensure!(amount("cpu", "n").is_some(), "no cpu: {pod}");
    ensure!(amount("memory", "Ki").is_some_and(|memory| (1..1 << 20).contains(&memory)), "no memory: {pod}");
    let nodes = read(world, "/apis/metrics.k8s.io/v1beta1/nodes")?;
    ensure!(nodes["items"][0]["usage"]["memory"].is_string(), "the box uses nothing: {nodes}");
    Ok(())
}
