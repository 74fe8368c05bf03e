//! What a cause leads to where the manifest says so, and what is told of it: carob's own annotations, and events.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::{
    pods::{PATIENCE, Pod, one},
    world::World,
};

/// Reasons and messages of what was told of a pod.
fn told(world: &World, pod: &Pod<'_>) -> Result<Vec<(String, String)>> {
    let path = format!("/api/v1/namespaces/default/events?fieldSelector=involvedObject.uid={}", pod.uid());
    let list = world.read(&path)?;
    let events = list["items"].as_array().context("no list of events")?;
    let text = |event: &Value, field: &str| event[field].as_str().unwrap_or_default().to_owned();
    Ok(events.iter().map(|event| (text(event, "reason"), text(event, "message"))).collect())
}

fn annotated(manifest: &str, annotations: &str) -> String {
    manifest.replacen("\nspec:\n", &format!("\n  annotations: {{ {annotations} }}\nspec:\n"), 1)
}

/// Killed from outside it stays down, though its policy is Always; what crashes starts again without delay.
pub(super) fn restarts(world: &World) -> Result<()> {
    let says = "carob.dev/restart: \"kill=Never\", carob.dev/backoff: \"crash=0s\"";
    let always = |name: &str, work: &str| {
        annotated(&one(name, work, "", ""), says).replace("restartPolicy: Never", "restartPolicy: Always")
    };
    let killed = Pod::apply(world, "stays-down", &always("stays-down", "sleep"))?;
    killed.await_running("main")?;
    world.command("kill", &["-KILL", &killed.main_pid("main", 0)?.to_string()])?;
    let end = killed.end("main", 0)?;
    ensure!(end["cause"] == "host", "it ended with {end}");
    world.wait_until("the pod is over", PATIENCE, || {
        let status = killed.object()?["status"].clone();
        ensure!(status["phase"] == "Failed", "{status}");
        Ok(())
    })?;
    let crashing = Pod::apply(world, "hurries", &always("hurries", "exit 3"))?;
    // By the kubelet's rule the fifth attempt would come 70 s after the first.
    world.wait_until("there were five attempts", Duration::from_secs(65), || {
        let rows = crashing.ledger()?;
        ensure!(rows.len() >= 5, "{} attempts", rows.len());
        Ok(())
    })?;
    ensure!(killed.ledger()?.len() == 1, "it was started again: {:?}", killed.ledger()?);
    Ok(())
}

/// Who ignores SIGTERM is told of at once, and not waited for if that is asked.
pub(super) fn deaf(world: &World) -> Result<()> {
    let grace = "  terminationGracePeriodSeconds: 60\n";
    let says = "carob.dev/kill-if-sigterm-ignored: \"true\"";
    let pod = Pod::apply(world, "deaf", &annotated(&one("deaf", "ignore-term", "", grace), says))?;
    pod.await_log("main", "ignoring")?;
    world.carob_ok(&["delete", "pod", "deaf", "--wait=false"])?;
    let end = pod.end("main", 0)?;
    ensure!(end["message"] == "SIGKILL from carob: it ignores SIGTERM", "it ended with {end}");
    let told = told(world, &pod)?;
    let when = |reason: &str, part: &str| {
        told.iter().position(|(one, message)| one == reason && message.contains(part))
    };
    let (asked, ignored) = (when("Killing", "Stopping"), when("SigtermIgnored", "main process"));
    let killed = when("Killing", "SIGKILL");
    ensure!(asked.is_some() && asked < ignored && ignored < killed, "told: {told:?}");
    let gone = world.carob_ok(&["events", "--for", "pod/deaf"])?;
    ensure!(gone.contains("SigtermIgnored") && gone.contains("Pod/deaf"), "{gone}");
    world.wait_until("the pod is gone", Duration::from_secs(45), || {
        let answer = world.ask("GET", "/api/v1/namespaces/default/pods/deaf", None)?;
        ensure!(answer.status == 404, "it is still there");
        Ok(())
    })
}

/// A pod's life as a stranger reads it: from its place on the box to the reason of its death.
pub(super) fn story(world: &World) -> Result<()> {
    let extra = "      livenessProbe: { exec: { command: [/work, exit, \"3\"] }, periodSeconds: 1, failureThreshold: 2 }\n";
    let spec = "  terminationGracePeriodSeconds: 30\n  tolerations: [{ operator: Exists }]\n";
    let pod = Pod::apply(world, "story", &one("story", "sleep", extra, spec))?;
    pod.end("main", 0)?;
    let told = world.wait_until("the end is told", PATIENCE, || {
        let told = told(world, &pod)?;
        ensure!(
            told.last().is_some_and(|(reason, _)| reason == "Completed" || reason == "Error"),
            "{told:?}"
        );
        Ok(told)
    })?;
    let reasons: Vec<&str> = told.iter().map(|(reason, _)| reason.as_str()).collect();
    let wanted = ["Scheduled", "FieldIgnored", "Pulled", "Created", "Started", "Unhealthy", "Killing"];
    ensure!(reasons.len() == 8 && reasons[..7] == wanted, "told: {told:?}");
    let ignored = &told[1].1;
    ensure!(ignored.starts_with("spec.tolerations: "), "ignored: {ignored}");
    let described = world.carob_ok(&["describe", "pod", "story"])?;
    for part in ["Ignored Fields:", "spec.tolerations: ", "Events:", "Container main failed liveness probe"] {
        ensure!(described.contains(part), "{part:?} is not in:\n{described}");
    }
    let one = world.carob_ok(&["events", "--for", "pod/story", "--types", "Warning"])?;
    ensure!(one.lines().count() == 2 && one.contains("Liveness probe failed"), "warnings:\n{one}");
    Ok(())
}
