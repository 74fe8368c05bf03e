//! Runs one lifecycle hook of a container to its end (kubelet `lifecycle/handlers.go`). When, and what a failure means, is
//! decided elsewhere.

use std::{sync::Arc, time::Duration};

use super::{
    Tools, chain, exec,
    probe::{self, Target},
};
use crate::pod::{
    AttemptId, Spec,
    probe::{Action, HookKind, HttpGet},
};

/// Runs a hook of an attempt, for at most `limit`. The message of a failure is the kubelet's.
pub(crate) async fn run(
    tools: &Arc<Tools>,
    spec: &Spec,
    id: &AttemptId,
    kind: HookKind,
    limit: Option<Duration>,
) -> Result<(), String> {
    let container = spec.containers.iter().find(|container| container.name == id.container);
    let action = container.and_then(|container| match kind {
        HookKind::PostStart => container.lifecycle.post_start.as_ref(),
        HookKind::PreStop => container.lifecycle.pre_stop.as_ref(),
    });
    let Some(action) = action else { return Ok(()) };
    let failed = |hook: &str, error: String| {
        let AttemptId { uid, container, .. } = id;
        let pod = format!("{}_{}({uid})", spec.name.name, spec.name.namespace);
        format!("{kind}: {hook} for Container {container:?} in Pod {pod:?} failed - error: {error}")
    };
    match action {
        Action::Exec { command } => {
            let ran = self::command(tools, id, command, limit).await;
            ran.map_err(|error| failed(&format!("Exec lifecycle hook ([{}])", command.join(" ")), error))
        }
        Action::HttpGet(get) => {
            let called = within(tools, limit, call(tools, id, get)).await;
            called.map_err(|error| failed(&format!("HTTP lifecycle hook ({})", get.path), error))
        }
        Action::Sleep { wait } => {
            let slept = within(tools, limit, pause(tools, *wait)).await;
            slept.map_err(|error| failed("lifecycle hook sleep", error))
        }
        // No manifest can say so.
        Action::TcpSocket { .. } | Action::Grpc { .. } => {
            Err(failed("lifecycle hook", "invalid handler".to_owned()))
        }
    }
}

async fn command(
    tools: &Arc<Tools>,
    id: &AttemptId,
    command: &[String],
    limit: Option<Duration>,
) -> Result<(), String> {
    match exec::run(tools, id, command, limit).await {
        Ok(exec::Finished { code: 0, .. }) => Ok(()),
        Ok(exec::Finished { code, output }) => {
            let (command, output) = (command.join(" "), String::from_utf8_lossy(&output));
            Err(format!("command '{command}' exited with {code}: {output}, message: {output:?}"))
        }
        Err(e) => Err(chain(&e)),
    }
}

async fn call(tools: &Tools, id: &AttemptId, get: &HttpGet) -> Result<(), String> {
    let target = Target::of(tools, &id.uid, get.host.as_ref());
    probe::call(&target, get).await.unwrap_or_else(|e| Err(chain(&e)))
}

async fn pause(tools: &Tools, wait: Duration) -> Result<(), String> {
    (tools.around.pause)(wait).await.map_err(|e| format!("the time cannot be measured: {e}"))
}

async fn within(
    tools: &Tools,
    limit: Option<Duration>,
    hook: impl Future<Output = Result<(), String>>,
) -> Result<(), String> {
    let Some(limit) = limit else { return hook.await };
    tokio::select! {
        biased;
        ended = hook => ended,
        waited = pause(tools, limit) => {
            waited?;
            Err(format!("it has not ended within {} s", limit.as_secs()))
        }
    }
}
