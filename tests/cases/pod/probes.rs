//! Probes: what ends a container, what only makes it unready, and who says why. The thresholds have tests of their own.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::{manifest, shell};
use crate::{
    pods::{PATIENCE, Pod},
    world::World,
};

/// Emulated, a command in a container takes its time: a limit that no case is about.
const EASY: &str = "periodSeconds: 2, timeoutSeconds: 30";

/// A container that serves on a port, `/healthz` being good for some seconds only.
fn serving(name: &str, port: u16, good: u32, more: &str) -> String {
    shell(name, &format!("exec /work serve {port} {good}"), more)
}

fn restarts(pod: &Pod<'_>, container: &str) -> Result<u64> {
    pod.container(container)?["restartCount"].as_u64().context("no restartCount")
}

/// Three go bad, each seen by another sort of probe; beside them run three that stay good.
pub(super) fn liveness(world: &World) -> Result<()> {
    let dies = "trap 'exit 7' USR1; touch /health; sleep 4; rm /health; sleep 3600 & wait";
    let containers = [
        serving(
            "http-bad",
            8081,
            4,
            &format!(
                "      ports: [{{containerPort: 8081, name: web}}]\n      livenessProbe: {{httpGet: {{path: /healthz, port: web}}, initialDelaySeconds: 3, {EASY}}}\n"
            ),
        ),
        shell(
            "exec-bad",
            dies,
            &format!(
                "      lifecycle: {{stopSignal: SIGUSR1}}\n      livenessProbe: {{exec: {{command: [cat, /health]}}, initialDelaySeconds: 3, {EASY}}}\n"
            ),
        ),
        serving(
            "grpc-bad",
            8083,
            3600,
            &format!(
                "      livenessProbe: {{grpc: {{port: 8083, service: sick}}, initialDelaySeconds: 3, {EASY}}}\n"
            ),
        ),
        // The page goes bad, the port stays open.
        serving(
            "tcp-good",
            8084,
            1,
            &format!("      livenessProbe: {{tcpSocket: {{port: 8084}}, initialDelaySeconds: 5, {EASY}}}\n"),
        ),
        shell(
            "exec-good",
            "touch /health; exec /work sleep",
            &format!(
                "      livenessProbe: {{exec: {{command: [cat, /health]}}, initialDelaySeconds: 5, {EASY}}}\n"
            ),
        ),
        serving(
            "grpc-good",
            8086,
            1,
            &format!("      livenessProbe: {{grpc: {{port: 8086}}, initialDelaySeconds: 5, {EASY}}}\n"),
        ),
    ];
    let pod = Pod::apply(world, "lively", &manifest("lively", "  os: {name: linux}\n", &containers))?;
    for (container, code) in [("http-bad", 0), ("exec-bad", 7), ("grpc-bad", 0)] {
        let end = pod.end(container, 0)?;
        ensure!(end["exitCode"] == code, "{container}: {end}");
        let message = format!("exit code {code}, after carob asked it to stop: liveness probe failed");
        ensure!(end["message"] == message, "{container}: {end}");
    }
    let why = world.carob_ok(&["why", "lively"])?;
    ensure!(why.matches("liveness probe failed").count() >= 3, "{why}");
    world.wait_until("they run again", PATIENCE, || {
        for container in ["http-bad", "exec-bad", "grpc-bad"] {
            ensure!(restarts(&pod, container)? >= 1, "{container}: {}", pod.container(container)?);
        }
        Ok(())
    })?;
    pod.await_log("grpc-good", "grpc 1")?;
    for container in ["tcp-good", "exec-good", "grpc-good"] {
        let status = pod.container(container)?;
        ensure!(status["restartCount"] == 0 && status["ready"] == true, "{container}: {status}");
    }
    Ok(())
}

/// Each attempt turns bad anew; the count only goes up.
pub(super) fn count(world: &World) -> Result<()> {
    let probe = "      livenessProbe: {httpGet: {path: /healthz, port: 8080}, periodSeconds: 1, timeoutSeconds: 30, initialDelaySeconds: 3}\n";
    let pod = Pod::apply(world, "counted", &manifest("counted", "", &[serving("main", 8080, 1, probe)]))?;
    let mut last = 0;
    world
        .wait_until("it was restarted twice", 2 * PATIENCE, || {
            let now = restarts(&pod, "main")?;
            // Not an error of this look, but of all time.
            if now < last {
                return Ok(Err(now));
            }
            last = now;
            ensure!(now >= 2, "restartCount is {now}");
            Ok(Ok(()))
        })?
        .map_err(|now| anyhow::anyhow!("restartCount went back from {last} to {now}"))?;
    for attempt in [0, 1] {
        let end = pod.end("main", attempt)?;
        ensure!(end["message"].as_str().is_some_and(|m| m.ends_with("liveness probe failed")), "{end}");
    }
    Ok(())
}

/// One comes up late, which would be its death without the startup probe; one never does.
pub(super) fn startup(world: &World) -> Result<()> {
    let get = "httpGet: {path: /healthz, port: 8080}";
    let late = shell(
        "late",
        "while [ ! -e /tmp/go ]; do sleep 1; done; exec /work serve 8080 3600",
        &format!(
            "      startupProbe: {{{get}, {EASY}, failureThreshold: 600}}\n      readinessProbe: {{{get}, {EASY}}}\n      livenessProbe: {{{get}, periodSeconds: 1, timeoutSeconds: 30, failureThreshold: 1}}\n"
        ),
    );
    let never = shell(
        "never",
        "exec /work sleep",
        &format!(
            "      startupProbe: {{tcpSocket: {{port: 9}}, initialDelaySeconds: 3, {EASY}, failureThreshold: 2}}\n"
        ),
    );
    let pod = Pod::apply(world, "startup", &manifest("startup", "", &[late, never]))?;
    let end = pod.end("never", 0)?;
    ensure!(
        end["message"] == "exit code 0, after carob asked it to stop: startup probe failed",
        "never: {end}"
    );
    let status = pod.container("late")?;
    ensure!(status["started"] == false && status["ready"] == false, "{status}");
    ensure!(status["state"]["running"].is_object() && status["restartCount"] == 0, "{status}");
    world.carob_ok(&["exec", "startup", "-c", "late", "--", "touch", "/tmp/go"])?;
    world.wait_until("it is started and ready", PATIENCE, || {
        let status = pod.container("late")?;
        ensure!(status["started"] == true && status["ready"] == true, "{status}");
        Ok(())
    })?;
    let status = pod.container("late")?;
    ensure!(status["restartCount"] == 0, "{status}");
    Ok(())
}

/// Unready, ready, unready, as a file comes and goes; and one that never is. None of them ends.
pub(super) fn readiness(world: &World) -> Result<()> {
    let probe = format!(
        "      readinessProbe: {{exec: {{command: [cat, /tmp/ready]}}, {EASY}, failureThreshold: 1}}\n"
    );
    let never = format!("      readinessProbe: {{httpGet: {{port: 9}}, {EASY}, failureThreshold: 1}}\n");
    let containers = [shell("main", "exec /work sleep", &probe), shell("never", "exec /work sleep", &never)];
    let pod = Pod::apply(world, "readiness", &manifest("readiness", "", &containers))?;
    pod.await_running("main")?;
    pod.await_running("never")?;
    let await_ready = |ready: bool| {
        world.wait_until(&format!("ready is {ready}"), PATIENCE, || {
            let status = pod.container("main")?;
            ensure!(status["ready"] == ready && status["started"] == true, "{status}");
            Ok(())
        })
    };
    await_ready(false)?;
    for (command, ready) in [("touch", true), ("rm", false)] {
        world.carob_ok(&["exec", "readiness", "-c", "main", "--", command, "/tmp/ready"])?;
        await_ready(ready)?;
    }
    let object = pod.object()?;
    let condition = object["status"]["conditions"].as_array().into_iter().flatten();
    let condition = condition.clone().find(|c| c["type"] == "Ready").cloned().unwrap_or_default();
    ensure!(condition["status"] == "False" && object["status"]["phase"] == "Running", "{}", object["status"]);
    let restarted: Vec<Value> = pod.ledger()?.into_iter().filter(|row| row["end"].is_object()).collect();
    ensure!(restarted.is_empty(), "{restarted:?}");
    ensure!(pod.container("never")?["ready"] == false, "{}", pod.container("never")?);
    Ok(())
}

/// The pod has ten minutes, the probe three seconds; the program will not go.
pub(super) fn own_grace(world: &World) -> Result<()> {
    let probe = "      livenessProbe: {tcpSocket: {port: 9}, periodSeconds: 1, timeoutSeconds: 30, failureThreshold: 1, initialDelaySeconds: 2, terminationGracePeriodSeconds: 3}\n";
    let spec = "  terminationGracePeriodSeconds: 600\n";
    let stubborn = [shell("main", "exec /work ignore-term", probe)];
    let pod = Pod::apply(world, "own-grace", &manifest("own-grace", spec, &stubborn))?;
    let end = pod.end("main", 0)?;
    ensure!(end["signal"] == 9 && end["cause"] == "agent", "{end}");
    let ran = Duration::from_secs_f64(end["ranSeconds"].as_f64().context("it ran for no time")?);
    ensure!((5..60).contains(&ran.as_secs()), "it was killed after {ran:?}");
    let why = world.carob_ok(&["why", "own-grace"])?;
    ensure!(why.contains("SIGKILL from carob: grace period expired"), "{why}");
    Ok(())
}
