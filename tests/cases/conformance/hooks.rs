//! Lifecycle hooks of each kind that call another pod, which takes down who has called.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use super::super::pod::{manifest, shell};
use crate::{
    pods::{PATIENCE, Pod},
    world::World,
};

/// What the hook `sleep` is to wait.
const NAP: Duration = Duration::from_secs(6);

/// "should execute poststart exec hook properly", "should execute prestop exec hook properly", "should call prestop when
/// killing a pod", and the same by httpGet; a hook that sleeps.
pub(super) fn heard(world: &World) -> Result<()> {
    let server = [shell("main", "exec /work serve 8080 3600", "")];
    let server = Pod::apply(world, "hook-server", &manifest("hook-server", "", &server))?;
    server.await_log("main", "serving on 8080")?;
    let address = server.object()?["status"]["podIP"].as_str().context("no podIP")?.to_owned();
    let exec = |name: &str| {
        format!("{{ exec: {{ command: [/work, http-get, \"http://{address}:8080/echo?hook={name}\"] }} }}")
    };
    let get = |name: &str| {
        format!("{{ httpGet: {{ host: \"{address}\", port: 8080, path: \"/echo?hook={name}\" }} }}")
    };
    let container = |name: &str, kind: &str, hook: String| {
        shell(name, "exec /work sleep", &format!("      lifecycle: {{ {kind}: {hook} }}\n"))
    };
    let containers = [
        container("start-exec", "postStart", exec("start-exec")),
        container("start-get", "postStart", get("start-get")),
        container("stop-exec", "preStop", exec("stop-exec")),
        container("stop-get", "preStop", get("stop-get")),
        container("stop-sleep", "preStop", format!("{{ sleep: {{ seconds: {} }} }}", NAP.as_secs())),
    ];
    let spec = "  terminationGracePeriodSeconds: 120\n";
    let pod = Pod::apply(world, "hooked", &manifest("hooked", spec, &containers))?;
    let called = |name: &str| server.await_log("main", &format!("/echo?hook={name} 200 OK\n"));
    called("start-exec")?;
    called("start-get")?;
    world.wait_until("all have started", PATIENCE, || {
        let status = pod.object()?["status"].clone();
        let all = status["containerStatuses"].as_array().context("no statuses")?;
        ensure!(all.iter().all(|each| each["started"] == true && each["restartCount"] == 0), "{status}");
        Ok(())
    })?;
    let said = server.logs("main")?;
    ensure!(!said.contains("hook=stop"), "a preStop hook ran before its time: {said}");
    let since = Instant::now();
    pod.delete()?;
    let took = since.elapsed();
    called("stop-exec")?;
    called("stop-get")?;
    ensure!((NAP..NAP * 10).contains(&took), "the pod was gone after {took:?}");
    let said = server.logs("main")?;
    for name in ["start-exec", "start-get", "stop-exec", "stop-get"] {
        let calls = said.matches(&format!("hook={name} ")).count();
        ensure!(calls == 1, "{name} was called {calls} times: {said}");
    }
    for row in pod.ledger()? {
        ensure!(row["end"]["exitCode"] == 0, "it was not asked to go: {row}");
    }
    Ok(())
}
