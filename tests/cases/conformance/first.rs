//! The manifests that a person writes first: a sidecar, a preStop hook, a security context, resources. None of them has a
//! name yet, which is said; with one they run.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use crate::{
    pods::{PATIENCE, Pod, apply, ready},
    world::World,
};

const SIDECAR: &str = r#"apiVersion: v1
kind: Pod
metadata:
  labels:
    app: first
spec:
  initContainers:
    - name: logger
      image: carob-work:1
      imagePullPolicy: Never
      restartPolicy: Always
      command: ["sh", "-c", "tail -F /logs/app.log"]
      volumeMounts:
        - name: logs
          mountPath: /logs
  containers:
    - name: app
      image: carob-work:1
      imagePullPolicy: Never
      command: ["sh", "-c", "echo started > /logs/app.log; exec /work sleep"]
      volumeMounts:
        - name: logs
          mountPath: /logs
  volumes:
    - name: logs
      emptyDir: {}
"#;
const PRE_STOP: &str = r#"apiVersion: v1
kind: Pod
metadata:
  labels:
    app: first
spec:
  terminationGracePeriodSeconds: 60
  containers:
    - name: app
      image: carob-work:1
      imagePullPolicy: Never
      command: ["/work", "sleep"]
      lifecycle:
        preStop:
          exec:
            command: ["sh", "-c", "sleep 5"]
"#;
const SECURITY: &str = r#"apiVersion: v1
kind: Pod
metadata:
  labels:
    app: first
spec:
  securityContext:
    runAsNonRoot: true
    runAsUser: 1000
    runAsGroup: 3000
    fsGroup: 4000
    seccompProfile:
      type: RuntimeDefault
  containers:
    - name: app
      image: carob-work:1
      imagePullPolicy: Never
      command: ["sh", "-c", "id -u; id -G; grep -E 'CapEff|NoNewPrivs' /proc/self/status; echo x > /x; exec /work sleep"]
      securityContext:
        allowPrivilegeEscalation: false
        readOnlyRootFilesystem: true
        capabilities:
          drop: ["ALL"]
"#;
const RESOURCES: &str = r#"apiVersion: v1
kind: Pod
metadata:
  labels:
    app: first
spec:
  containers:
    - name: app
      image: carob-work:1
      imagePullPolicy: Never
      command: ["/work", "sleep"]
      resources:
        requests:
          memory: "64Mi"
          cpu: "250m"
        limits:
          memory: "128Mi"
          cpu: "500m"
"#;

pub(super) fn manifests(world: &World) -> Result<()> {
    ready(world)?;
    let missing = "/tmp/nameless.yaml:4:3: metadata.name: missing";
    for (name, text) in
        [("sidecar", SIDECAR), ("pre-stop", PRE_STOP), ("security", SECURITY), ("resources", RESOURCES)]
    {
        let nameless = apply(world, "nameless", text)?;
        let right = nameless.code == Some(1) && nameless.stderr.contains(missing);
        ensure!(right, "without a name {name} is answered with {nameless:?}, not with {missing}");
        let named = text.replacen("metadata:\n", &format!("metadata:\n  name: first-{name}\n"), 1);
        let pod = Pod::apply(world, &format!("first-{name}"), &named)?;
        pod.await_running("app")?;
        match name {
            "sidecar" => sidecar(world, &pod)?,
            "pre-stop" => pre_stop(&pod)?,
            "security" => security(&pod)?,
            _ => resources(world, &pod)?,
        }
    }
    Ok(())
}

fn sidecar(world: &World, pod: &Pod<'_>) -> Result<()> {
    world.wait_until("the sidecar passes on what the other writes", PATIENCE, || {
        let said = pod.logs("logger")?;
        ensure!(said.contains("started\n"), "it said {said:?}");
        Ok(())
    })?;
    let status = pod.object()?["status"].clone();
    ensure!(status["initContainerStatuses"][0]["state"]["running"].is_object(), "{status}");
    pod.delete()
}

fn pre_stop(pod: &Pod<'_>) -> Result<()> {
    const HOOK: Duration = Duration::from_secs(5);
    const GRACE: Duration = Duration::from_secs(60);
    let since = Instant::now();
    pod.delete()?;
    let took = since.elapsed();
    ensure!((HOOK..GRACE).contains(&took), "it was gone after {took:?}");
    let rows = pod.ledger()?;
    let end = &rows.first().context("no row")?["end"];
    ensure!(end["exitCode"] == 0, "after its hook it was not asked to go: {end}");
    Ok(())
}

fn security(pod: &Pod<'_>) -> Result<()> {
    pod.await_log("app", "Read-only file system")?;
    let said = pod.logs("app")?;
    for part in ["1000\n", "3000 2000 4000\n", "CapEff:\t0000000000000000\n", "NoNewPrivs:\t1\n"] {
        ensure!(said.contains(part), "it does not say {part:?} but {said:?}");
    }
    Ok(())
}

fn resources(world: &World, pod: &Pod<'_>) -> Result<()> {
    let cgroup = pod.cgroup_name("app", 0);
    for (file, wanted) in [("memory.max", "134217728"), ("cpu.max", "50000 100000")] {
        let found = world.cgroup(&cgroup, file)?;
        ensure!(found == wanted, "{file} is {found:?}, not {wanted:?}");
    }
    let class = pod.object()?["status"]["qosClass"].clone();
    ensure!(class == "Burstable", "its class is {class}");
    Ok(())
}
