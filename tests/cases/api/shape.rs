//! Requests as curl would send them, and their answers in Kubernetes' shape.

use std::{
    io::{Read, Write},
    net::TcpStream,
};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::PODS;
use crate::{
    pods::{PATIENCE, ready},
    world::World,
};

const METRICS: &str = "127.0.0.1:9464";

/// Asks, and expects that code.
fn ask(world: &World, method: &str, path: &str, body: Option<&Value>, code: u16) -> Result<Value> {
    let answer = world.ask(method, path, body)?;
    ensure!(answer.status == code, "{method} {path}: {} {}, not {code}", answer.status, answer.body);
    serde_json::from_str(&answer.body).with_context(|| format!("{method} {path}: {:?}", answer.body))
}

fn refusal(
    world: &World,
    method: &str,
    path: &str,
    body: Option<&Value>,
    code: u16,
    reason: &str,
) -> Result<Value> {
    let status = ask(world, method, path, body, code)?;
    let shape =
        [&status["kind"], &status["apiVersion"], &status["status"], &status["code"], &status["reason"]];
    let wanted = [json!("Status"), json!("v1"), json!("Failure"), json!(code), json!(reason)];
    ensure!(shape.iter().zip(&wanted).all(|(a, b)| *a == b), "{method} {path}: {status}, not {wanted:?}");
    ensure!(status["message"].as_str().is_some_and(|message| !message.is_empty()), "no message in {status}");
    Ok(status)
}

pub(super) fn of_requests(world: &World) -> Result<()> {
    ready(world)?;
    let one = format!("{PODS}/shape");
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "shape", "labels": {"case": "shape"}},
        "spec": {"containers": [
            {"name": "main", "image": "carob-work:1", "imagePullPolicy": "Never", "command": ["/work", "sleep"]},
        ]},
    });
    refusal(world, "GET", &one, None, 404, "NotFound")?;
    let created = ask(world, "POST", PODS, Some(&pod), 201)?;
    let uid = created["metadata"]["uid"].as_str().context("no uid")?;
    ensure!(created["kind"] == "Pod" && created["status"]["phase"] == "Pending", "created: {created}");
    ensure!(created["metadata"]["creationTimestamp"].is_string(), "no date in {created}");
    let taken = refusal(world, "POST", PODS, Some(&pod), 409, "AlreadyExists")?;
    ensure!(taken["details"] == json!({"name": "shape", "kind": "pods"}), "its details are {taken}");
    let running = world.wait_until("the pod runs", PATIENCE, || {
        let found = ask(world, "GET", &one, None, 200)?;
        ensure!(found["status"]["phase"] == "Running", "its status is {}", found["status"]);
        Ok(found)
    })?;
    ensure!(running["metadata"]["uid"] == json!(uid) && running["spec"]["nodeName"].is_string(), "{running}");
    of_lists(world)?;
    let invalid = json!({"metadata": {"name": "Shape"}, "spec": {"containers": []}});
    let invalid = refusal(world, "POST", PODS, Some(&invalid), 422, "Invalid")?;
    let fields: Vec<&str> = causes(&invalid).iter().filter_map(|cause| cause["field"].as_str()).collect();
    ensure!(fields == ["metadata.name", "spec.containers"], "its causes are {invalid}");
    let strange = json!({"preconditions": {"uid": "another"}});
    refusal(world, "DELETE", &one, Some(&strange), 409, "Conflict")?;
    let mut other = pod.clone();
    other["spec"]["containers"][0]["command"] = json!(["/work", "exit", "0"]);
    refusal(world, "PUT", &one, Some(&other), 422, "Invalid")?;
    refusal(world, "PUT", PODS, Some(&pod), 405, "MethodNotAllowed")?;
    refusal(world, "GET", "/api/v1/namespaces/default/widgets", None, 404, "NotFound")?;
    let doomed = ask(world, "DELETE", &format!("{one}?gracePeriodSeconds=5"), None, 200)?;
    ensure!(doomed["metadata"]["deletionGracePeriodSeconds"] == 5, "deleted: {}", doomed["metadata"]);
    world
        .wait_until("the pod is gone", PATIENCE, || refusal(world, "GET", &one, None, 404, "NotFound"))
        .map(drop)
}

fn causes(status: &Value) -> &[Value] {
    status["details"]["causes"].as_array().map(Vec::as_slice).unwrap_or_default()
}

fn of_lists(world: &World) -> Result<()> {
    for (selector, count) in [("case%3Dshape", 1), ("case!%3Dshape%2Ccase", 0), ("case+in+(shape)", 1)] {
        let list = ask(world, "GET", &format!("{PODS}?labelSelector={selector}"), None, 200)?;
        ensure!(list["kind"] == "PodList" && list["metadata"]["resourceVersion"].is_string(), "{list}");
        let found = list["items"].as_array().map(Vec::len);
        ensure!(found == Some(count), "{selector} finds {found:?}, not {count}");
    }
    refusal(world, "GET", &format!("{PODS}?labelSelector=%3D%3D"), None, 400, "BadRequest").map(drop)
}

pub(super) fn of_metrics(world: &World) -> Result<()> {
    ready(world)?;
    let open = "application/openmetrics-text";
    let rows = [
        ("", "text/plain; version=0.0.4"),
        ("text/plain", "text/plain; version=0.0.4"),
        ("application/openmetrics-text; version=1.0.0, text/plain;q=0.5", open),
        ("application/openmetrics-text;q=0.1, text/plain", "text/plain; version=0.0.4"),
    ];
    for (accept, kind) in rows {
        let page = page(accept)?;
        let (head, body) = page.split_once("\r\n\r\n").context("the answer has no end of its head")?;
        ensure!(head.contains(&format!("content-type: {kind}")), "Accept {accept:?}: {head}");
        let (is_open, ends) = (kind == open, body.trim_end().ends_with("# EOF"));
        ensure!(is_open == ends, "Accept {accept:?}: the page ends with {:?}", body.lines().last());
        // A counter's family has no suffix in OpenMetrics, and has it in the text format.
        let counter = if is_open { "carob_accounting_mismatch" } else { "carob_accounting_mismatch_total" };
        let declared = format!("# TYPE {counter} counter");
        ensure!(body.lines().any(|line| line == declared), "Accept {accept:?}: no {declared:?}");
        ensure!(body.contains("\ncarob_accounting_mismatch_total 0"), "Accept {accept:?}: no sample");
    }
    Ok(())
}

fn page(accept: &str) -> Result<String> {
    let mut stream = TcpStream::connect(METRICS).with_context(|| format!("connect to {METRICS}"))?;
    let accept = if accept.is_empty() { String::new() } else { format!("Accept: {accept}\r\n") };
    write!(stream, "GET /metrics HTTP/1.1\r\nHost: box\r\nConnection: close\r\n{accept}\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    ensure!(answer.starts_with("HTTP/1.1 200"), "metrics answer {answer:?}");
    Ok(answer)
}
