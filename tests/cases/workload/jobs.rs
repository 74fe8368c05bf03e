//! Jobs: pods that are to succeed, so many times.

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::{Maker, name, template};
use crate::{pods::ledger, world::World};

const BATCH: &str = "/apis/batch/v1";

fn manifest(name: &str, spec: &str, policy: &str, script: &str) -> String {
    let template = template("  ", policy, script, "");
    format!("apiVersion: batch/v1\nkind: Job\nmetadata: {{ name: {name} }}\nspec:\n{spec}{template}")
}

pub(super) fn completed(world: &World) -> Result<()> {
    let text = manifest("three", "  completions: 3\n  parallelism: 2\n", "Never", "sleep 1; echo done");
    let three = Maker::apply(world, "job", BATCH, "three", &text)?;
    three.await_status("one has succeeded", |status| status["succeeded"].as_u64() >= Some(1))?;
    // What is deleted after its end has succeeded all the same.
    let pods = three.pods()?;
    let first = pods.iter().find(|pod| pod["status"]["phase"] == "Succeeded");
    if let Some(first) = first {
        world.carob_ok(&["delete", "pod", name(first)])?;
    }
    let job = three.await_status("it is complete", |status| status["conditions"][0]["type"] == "Complete")?;
    let status = &job["status"];
    ensure!(status["succeeded"] == 3 && status["failed"].is_null() && status["active"].is_null(), "{status}");
    let mut names: Vec<String> = pods.iter().chain(&three.pods()?).map(|pod| name(pod).to_owned()).collect();
    names.sort();
    names.dedup();
    ensure!(names.len() == 3, "three pods were enough: {names:?}");
    for pod in &names {
        let rows = ledger(world, pod)?;
        ensure!(rows.len() == 1 && rows[0]["end"]["exitCode"] == 0, "{pod}: {rows:?}");
    }
    let table = world.carob_ok(&["get", "jobs"])?;
    ensure!(table.contains("three   Complete   3/3"), "{table}");
    Ok(())
}

pub(super) fn failed(world: &World) -> Result<()> {
    let gives_up = |status: &Value| status["conditions"][0]["type"] == "Failed";
    let text = manifest("once", "  backoffLimit: 0\n", "Never", "exit 3");
    let once = Maker::apply(world, "job", BATCH, "once", &text)?;
    let job = once.await_status("it has given up", gives_up)?;
    let status = &job["status"];
    ensure!(status["failed"] == 1 && status["conditions"][0]["reason"] == "BackoffLimitExceeded", "{status}");
    let pods = once.pods()?;
    ensure!(pods.len() == 1 && pods[0]["status"]["phase"] == "Failed", "{pods:?}");
    let text = manifest("late", "  activeDeadlineSeconds: 3\n", "OnFailure", "exec /work sleep");
    let late = Maker::apply(world, "job", BATCH, "late", &text)?;
    let job = late.await_status("its time is up", gives_up)?;
    ensure!(job["status"]["conditions"][0]["reason"] == "DeadlineExceeded", "{job}");
    Ok(())
}

/// Each place succeeds once, one after the other; what is deleted after its end, while others are still to come, stays done.
pub(super) fn indexed(world: &World) -> Result<()> {
    let script = "sleep 2; echo place $JOB_COMPLETION_INDEX on $(hostname)";
    let spec = "  completions: 4\n  parallelism: 1\n  completionMode: Indexed\n";
    let job = Maker::apply(world, "job", BATCH, "places", &manifest("places", spec, "Never", script))?;
    job.await_status("the first place is done", |status| {
        status["completedIndexes"].as_str().is_some_and(|done| done.starts_with('0'))
    })?;
    let is_at = |pod: &Value, place: &str| {
        pod["metadata"]["labels"]["batch.kubernetes.io/job-completion-index"] == place
    };
    let pods = job.pods()?;
    let first = pods.iter().find(|pod| is_at(pod, "0")).context("place 0 has no pod")?;
    ensure!(name(first).starts_with("places-0-"), "{first}");
    let said = world.carob_ok(&["logs", name(first)])?;
    ensure!(said == "place 0 on places-0\n", "{said:?}");
    world.carob_ok(&["delete", "pod", name(first)])?;
    let done = job.await_status("it is complete", |status| status["conditions"][0]["type"] == "Complete")?;
    let status = &done["status"];
    ensure!(status["succeeded"] == 4 && status["completedIndexes"] == "0-3", "{status}");
    let left = job.pods()?;
    let at = |place: &str| left.iter().filter(|pod| is_at(pod, place)).count();
    ensure!((at("0"), at("1"), at("2"), at("3")) == (0, 1, 1, 1), "{left:?}");
    Ok(())
}
