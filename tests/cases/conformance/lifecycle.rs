//! Phases, restarts and commands.

use std::{
    fs,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::super::pod::{manifest, shell};
use crate::{
    pods::{PATIENCE, Pod, ledger, ready},
    world::World,
};

/// Fails, then succeeds, then stays: what a restart policy makes of it is seen in the count.
const THRICE: &str = "echo hello >> /count/file; n=$(wc -l < /count/file); [ $n -eq 1 ] && exit 1; [ $n -eq 2 ] && exit 0; \
                      exec /work sleep";

/// "should run with the expected status"
pub(super) fn status(world: &World) -> Result<()> {
    let rows = [
        ("Always", "Running", "True", 2, "running"),
        ("OnFailure", "Succeeded", "False", 1, "terminated"),
        ("Never", "Failed", "False", 0, "terminated"),
    ];
    let mount = "      volumeMounts: [{ name: count, mountPath: /count }]\n";
    let apply = |(policy, ..): &(&str, &str, &str, i32, &str)| {
        let spec = format!("  restartPolicy: {policy}\n  volumes: [{{ name: count, emptyDir: {{}} }}]\n");
        let name = format!("status-{}", policy.to_lowercase());
        Pod::apply(world, &name, &manifest(&name, &spec, &[shell("main", THRICE, mount)]))
    };
    let pods = rows.iter().map(apply).collect::<Result<Vec<_>>>()?;
    for (pod, (policy, phase, is_ready, restarts, state)) in pods.iter().zip(rows) {
        world.wait_until(&format!("{policy} has had its say"), PATIENCE, || {
            let status = pod.object()?["status"].clone();
            let main = &status["containerStatuses"][0];
            ensure!(
                status["phase"] == phase && condition(&status, "Ready") == is_ready,
                "{policy}: {status}"
            );
            ensure!(main["restartCount"] == restarts && main["state"][state].is_object(), "{policy}: {main}");
            Ok(())
        })?;
    }
    Ok(())
}

fn condition(status: &Value, kind: &str) -> Value {
    let conditions = status["conditions"].as_array().into_iter().flatten();
    conditions.clone().find(|each| each["type"] == kind).map_or(Value::Null, |each| each["status"].clone())
}

/// The image's own are `/work` and `sleep`.
pub(super) fn commands(world: &World) -> Result<()> {
    let rows = [
        ("should use the image defaults if command and args are blank", "", "/work sleep"),
        (
            "should be able to override the image's default arguments",
            "      args: [ignore-term]\n",
            "/work ignore-term",
        ),
        (
            "should be able to override the image's default command",
            "      command: [/bin/sleep, \"1000\"]\n",
            "/bin/sleep 1000",
        ),
        (
            "should be able to override the image's default command and arguments",
            "      command: [/bin/sleep]\n      args: [\"2000\"]\n",
            "/bin/sleep 2000",
        ),
    ];
    let container = |(n, (_, fields, _)): (usize, &(&str, &str, &str))| {
        format!("    - name: c{n}\n      image: carob-work:1\n      imagePullPolicy: Never\n{fields}")
    };
    let containers: Vec<String> = rows.iter().enumerate().map(container).collect();
    let pod = Pod::apply(world, "commands", &manifest("commands", "", &containers))?;
    for (n, (name, _, wanted)) in rows.iter().enumerate() {
        let container = format!("c{n}");
        pod.await_running(&container)?;
        world.wait_until(name, PATIENCE, || {
            let path = format!("/proc/{}/cmdline", pod.main_pid(&container, 0)?);
            let line = fs::read_to_string(&path).with_context(|| format!("read {path}"))?;
            let line = line.trim_end_matches('\0').replace('\0', " ");
            ensure!(line == *wanted, "it runs {line:?}, not {wanted:?}");
            Ok(())
        })?;
    }
    Ok(())
}

/// "should have their auto-restart back-off timer reset on image update": through the file of the pod.
pub(super) fn back_off_afresh(world: &World) -> Result<()> {
    const FILE: &str = "back-off-afresh.yaml";
    /// Before the next restart of the old pod, and of the new one if it had not begun afresh.
    const OLD_DELAYS: Duration = Duration::from_secs(20 + 40);
    ready(world)?;
    let old = manifest("back-off-afresh", "", &[shell("main", "exit 1", "")]);
    world.put(FILE, &old)?;
    let found = || world.read("/api/v1/namespaces/default/pods/back-off-afresh");
    let uid = world.wait_until("the old pod waits 20 s", PATIENCE, || {
        let pod = found()?;
        let main = &pod["status"]["containerStatuses"][0];
        ensure!(main["restartCount"] == 2 && main["state"]["waiting"].is_object(), "it is {main}");
        Ok(pod["metadata"]["uid"].clone())
    })?;
    let since = Instant::now();
    world.put(FILE, &old.replace("carob-work:1", "busybox:1"))?;
    let restarted = world.wait_until("the new pod has restarted", PATIENCE, || {
        let mut rows = ledger(world, "back-off-afresh")?;
        rows.retain(|row| row["uid"] != uid);
        ensure!(rows.iter().any(|row| row["attempt"] == 1), "its rows are {rows:?}");
        Ok(since.elapsed())
    });
    world.remove(FILE)?;
    world.wait_until("the pod is gone", PATIENCE, || {
        ensure!(found().is_err(), "it is there");
        Ok(())
    })?;
    let restarted = restarted?;
    ensure!(restarted < OLD_DELAYS / 2, "its restart came after {restarted:?}");
    Ok(())
}
