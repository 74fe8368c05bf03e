//! A namespace is made, filled and deleted: all that is in it goes, and it goes last, also when the agent is killed in
//! between.

use anyhow::{Result, bail, ensure};
use serde_json::Value;

use crate::{
    pods::{PATIENCE, apply, ready},
    world::World,
};

const SPACE: &str = "/api/v1/namespaces/moving";
const LATE: &str = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: late, namespace: moving}\n";
const KINDS: [&str; 5] = ["pods", "persistentvolumeclaims", "configmaps", "secrets", "deployments"];
/// A pod that takes its time to go, a set that would make another, and all that is kept.
const ALL: &str = r#"apiVersion: v1
kind: Namespace
metadata: {name: moving, labels: {van: big}}
---
apiVersion: v1
kind: Pod
metadata: {name: slow, namespace: moving}
spec:
  terminationGracePeriodSeconds: 20
  containers:
    - name: main
      image: carob-work:1
      imagePullPolicy: Never
      command: ["sh", "-c", "trap '' TERM; while true; do sleep 1; done"]
      volumeMounts: [{name: box, mountPath: /box}]
  volumes: [{name: box, persistentVolumeClaim: {claimName: box}}]
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: crew, namespace: moving}
spec:
  replicas: 2
  selector: {matchLabels: {app: crew}}
  template:
    metadata: {labels: {app: crew}}
    spec:
      terminationGracePeriodSeconds: 1
      containers: [{name: main, image: "carob-work:1", imagePullPolicy: Never, command: [/work, sleep]}]
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: box, namespace: moving}
spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Mi}}}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: list, namespace: moving}
data: {lamp: "1"}
---
apiVersion: v1
kind: Secret
metadata: {name: key, namespace: moving}
stringData: {door: "7"}
"#;

pub(super) fn go(world: &World) -> Result<()> {
    ready(world)?;
    let said = apply(world, "moving", ALL)?;
    ensure!(said.code == Some(0) && said.stdout.contains("namespace/moving created"), "apply: {said:?}");
    let again = apply(world, "moving", ALL)?;
    ensure!(again.stdout.contains("namespace/moving unchanged"), "apply again: {again:?}");
    world.wait_until("three pods run", PATIENCE, || {
        let pods = items(world, "pods")?;
        let running = pods.iter().filter(|pod| pod["status"]["phase"] == "Running").count();
        ensure!(running == 3, "{running} of {} run", pods.len());
        Ok(())
    })?;
    ended(world)?;
    of_a_file(world)
}

fn ended(world: &World) -> Result<()> {
    let deleted = world.carob_ok(&["delete", "namespace", "moving", "--wait=false"])?;
    ensure!(deleted == "namespace \"moving\" is being deleted\n", "it says {deleted:?}");
    world.kill()?;
    ready(world)?;
    let shown = world.carob_ok(&["get", "ns", "moving"])?;
    ensure!(shown.contains("Terminating"), "it is\n{shown}");
    let late = apply(world, "late", LATE)?;
    let refused = late.code == Some(1) && late.stderr.contains("because it is being terminated");
    ensure!(refused, "what goes takes something new in: {late:?}");
    // A file's turn comes when the namespace has gone.
    world.put("late.yaml", LATE)?;
    let maps = world.wait_until("the file's map is there", PATIENCE, || {
        let maps = items(world, "configmaps")?;
        ensure!(maps.iter().any(|map| map["metadata"]["name"] == "late"), "there are {maps:?}");
        Ok(maps)
    })?;
    ensure!(maps.len() == 1, "an old map is beside the new one: {maps:?}");
    for kind in KINDS.iter().filter(|kind| **kind != "configmaps") {
        let left = items(world, kind)?;
        ensure!(left.is_empty(), "{kind} are left: {left:?}");
    }
    world.remove("late.yaml")?;
    gone(world)?;
    let claim = "/var/lib/carob/claims/moving/box";
    ensure!(!std::path::Path::new(claim).exists(), "{claim} is left");
    Ok(())
}

fn gone(world: &World) -> Result<()> {
    world.wait_until("the namespace is gone", PATIENCE, || {
        let answer = world.ask("GET", SPACE, None)?;
        ensure!(answer.status == 404, "{}: {}", answer.status, answer.body);
        Ok(())
    })
}

/// A file's pod goes with its file, and its claim stays: until the one its namespace cannot go, then it can.
fn of_a_file(world: &World) -> Result<()> {
    let parts: Vec<&str> = ALL.split("---\n").collect();
    let [_, pod, _, claim, ..] = parts[..] else { bail!("the manifest has other parts") };
    world.put("slow.yaml", &format!("{pod}---\n{claim}"))?;
    world.wait_until("the file's pod is there", PATIENCE, || {
        ensure!(!items(world, "pods")?.is_empty(), "there is none");
        Ok(())
    })?;
    let said = world.carob(&["delete", "namespace", "moving"])?;
    ensure!(said.code == Some(1) && said.stderr.contains("slow.yaml"), "delete: {said:?}");
    world.remove("slow.yaml")?;
    world.wait_until("the file's pod is gone", PATIENCE, || {
        ensure!(items(world, "pods")?.is_empty(), "it is still there");
        Ok(())
    })?;
    ensure!(items(world, "persistentvolumeclaims")?.len() == 1, "the claim is gone with its file");
    world.carob_ok(&["delete", "namespace", "moving"])?;
    gone(world)
}

fn items(world: &World, kind: &str) -> Result<Vec<Value>> {
    let path = match kind {
        "deployments" => "/apis/apps/v1/namespaces/moving/deployments".to_owned(),
        kind => format!("{SPACE}/{kind}"),
    };
    Ok(world.read(&path)?["items"].as_array().cloned().unwrap_or_default())
}
