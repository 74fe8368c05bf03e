//! Probes that no case of the area `pod` has: a wrong port, and the fifth restart.

use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::super::pod::{manifest, shell};
use crate::{
    pods::{PATIENCE, Pod},
    world::World,
};

/// The delays before five restarts are 150 s; the rest is for the attempts themselves.
const FIVE: Duration = Duration::from_secs(600);

/// "should be restarted with a GRPC liveness probe"
pub(super) fn wrong_port(world: &World) -> Result<()> {
    let probe = "      livenessProbe: { grpc: { port: 2333 }, initialDelaySeconds: 2, periodSeconds: 1, timeoutSeconds: 30, failureThreshold: 1 }\n";
    let main = shell("main", "exec /work serve 5000 3600", probe);
    let pod = Pod::apply(world, "wrong-port", &manifest("wrong-port", "", &[main]))?;
    let end = pod.end("main", 0)?;
    ensure!(end["message"].as_str().is_some_and(|said| said.ends_with("liveness probe failed")), "{end}");
    world.wait_until("it was restarted", PATIENCE, || {
        let status = pod.container("main")?;
        ensure!(status["restartCount"].as_u64() >= Some(1), "{status}");
        Ok(())
    })
}

/// "should have monotonically increasing restart count", up to the fifth; beside it one "with readiness probe that fails
/// should never be ready and never restart".
pub(super) fn five(world: &World) -> Result<()> {
    let liveness = "      livenessProbe: { httpGet: { path: /healthz, port: 8080 }, initialDelaySeconds: 3, periodSeconds: 1, timeoutSeconds: 30, failureThreshold: 1 }\n";
    let readiness =
        "      readinessProbe: { exec: { command: [/bin/false] }, periodSeconds: 5, timeoutSeconds: 30 }\n";
    let containers = [
        shell("counted", "exec /work serve 8080 1", liveness),
        shell("unready", "exec /work sleep", readiness),
    ];
    let pod = Pod::apply(world, "five", &manifest("five", "", &containers))?;
    let mut seen = vec![0];
    let mut was_ready = false;
    world.wait_until("it was restarted five times", FIVE, || {
        let count = pod.container("counted")?["restartCount"].as_u64().context("no restartCount")?;
        if seen.last() != Some(&count) {
            seen.push(count);
        }
        was_ready |= pod.container("unready")?["ready"] == true;
        ensure!(count >= 5, "restartCount was {seen:?}");
        Ok(())
    })?;
    ensure!(seen == [0, 1, 2, 3, 4, 5], "restartCount was {seen:?}");
    for attempt in 0..5 {
        let end = pod.end("counted", attempt)?;
        ensure!(end["message"].as_str().is_some_and(|said| said.ends_with("liveness probe failed")), "{end}");
    }
    let unready = pod.container("unready")?;
    ensure!(
        !was_ready && unready["restartCount"] == 0 && unready["state"]["running"].is_object(),
        "{unready}"
    );
    Ok(())
}
