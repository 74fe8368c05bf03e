//! What clients do through the API alone: objects are written, watched, patched and deleted, a pod's status is written, and
//! its log read over a WebSocket.

use std::{
    io::{Read, Write},
    os::unix::net::UnixStream,
    path::Path,
    thread,
    time::Duration,
};

use anyhow::{Context, Result, anyhow, ensure};
use serde_json::{Value, json};

use crate::{
    http,
    pods::{PATIENCE, ready},
    world::{SOCKET, World},
};

const SPACE: &str = "/api/v1/namespaces/default";

/// Asks, which must succeed.
fn ask(world: &World, method: &str, path: &str, body: Option<&Value>) -> Result<Value> {
    let said = world.ask(method, path, body)?.body().with_context(|| format!("{method} {path}"))?;
    serde_json::from_str(&said).with_context(|| said.clone())
}

fn version(object: &Value) -> &str {
    object["metadata"]["resourceVersion"].as_str().unwrap_or_default()
}

/// What a watch tells from a version on, in so many seconds.
fn watch(path: &str, from: &str, seconds: u32) -> Result<Vec<Value>> {
    let path = format!("{path}&watch=true&resourceVersion={from}&timeoutSeconds={seconds}");
    let told = http::over_socket(Path::new(SOCKET), "GET", &path, None)?.body()?;
    told.lines().map(|line| serde_json::from_str(line).context("a line of a watch")).collect()
}

fn kinds(told: &[Value]) -> Vec<&str> {
    told.iter().filter_map(|one| one["type"].as_str()).collect()
}

/// "Secrets should patch a secret", "… fail to create secret due to empty secret key", "ConfigMap should fail to create
/// ConfigMap with empty key", "… update ConfigMap successfully", "server version should find the server version".
pub(super) fn objects(world: &World) -> Result<()> {
    ready(world)?;
    let about = ask(world, "GET", "/version", None)?;
    let is_number = |field: &str| about[field].as_str().is_some_and(|text| text.parse::<u32>().is_ok());
    ensure!(is_number("major") && is_number("minor"), "the version is {about}");
    for kind in ["secrets", "configmaps"] {
        let list = format!("{SPACE}/{kind}");
        let nameless = json!({"metadata": {"name": "empty-key"}, "data": {"": "dmFsdWU="}});
        let refused = world.ask("POST", &list, Some(&nameless))?;
        ensure!(refused.status == 422, "{kind}: {} {}", refused.status, refused.body);
        let made =
            json!({"metadata": {"name": "patched", "labels": {"case": "old"}}, "data": {"key": "dmFsdWU="}});
        let made = ask(world, "POST", &list, Some(&made))?;
        let mut next = made.clone();
        next["data"]["key"] = json!("dmFsdWUtMQ==");
        let put = ask(world, "PUT", &format!("{list}/patched"), Some(&next))?;
        ensure!(put["data"]["key"] == "dmFsdWUtMQ==" && version(&put) != version(&made), "{put}");
        let patch = json!({"metadata": {"labels": {"case": "patched"}}, "data": {"key": "dmFsdWUtMg=="}});
        ask(world, "PATCH", &format!("{list}/patched"), Some(&patch))?;
        let chosen = "?labelSelector=case%3Dpatched";
        let found = ask(world, "GET", &format!("/api/v1/{kind}{chosen}"), None)?;
        ensure!(found["items"][0]["data"]["key"] == "dmFsdWUtMg==", "{kind}: found is {found}");
        ask(world, "DELETE", &format!("{list}{chosen}"), None)?;
        let found = ask(world, "GET", &format!("/api/v1/{kind}{chosen}"), None)?;
        ensure!(found["items"] == json!([]), "{kind}: left is {found}");
    }
    Ok(())
}

/// "Events should ensure that an event can be fetched, patched, deleted, and listed".
pub(super) fn events(world: &World) -> Result<()> {
    ready(world)?;
    let list = format!("{SPACE}/events");
    let (one, chosen) = (format!("{list}/event-test"), "?labelSelector=testevent-constant%3Dtrue");
    let event = json!({
        "metadata": {"name": "event-test", "labels": {"testevent-constant": "true"}},
        "message": "This is a test event", "reason": "Test", "type": "Normal", "count": 1,
        "involvedObject": {"namespace": "default"},
    });
    let made = ask(world, "POST", &list, Some(&event))?;
    let found = ask(world, "GET", &format!("/api/v1/events{chosen}"), None)?;
    ensure!(found["items"].as_array().map(Vec::len) == Some(1), "listed are {found}");
    ask(world, "PATCH", &one, Some(&json!({"message": "This is a test event - patched"})))?;
    let mut read = ask(world, "GET", &one, None)?;
    ensure!(read["message"] == "This is a test event - patched", "read is {read}");
    read["series"] = json!({"count": 100});
    let put = ask(world, "PUT", &one, Some(&read))?;
    ensure!(put["series"]["count"] == 100, "replaced by {put}");
    ask(world, "DELETE", &one, None)?;
    ensure!(world.ask("GET", &one, None)?.status == 404, "it is still there");
    let told = watch(&format!("{list}{chosen}"), version(&made), 2)?;
    ensure!(kinds(&told) == ["MODIFIED", "MODIFIED", "DELETED"], "told was {told:?}");
    Ok(())
}

/// "Watchers should be able to restart watching from the last resource version observed by the previous watch", "… start
/// watching from a specific resource version", "… receive events on concurrent watches in same order".
pub(super) fn watchers(world: &World) -> Result<()> {
    ready(world)?;
    let list = format!("{SPACE}/configmaps");
    let (one, chosen) = (format!("{list}/watched"), format!("{list}?labelSelector=case%3Dwatched"));
    let map = json!({"metadata": {"name": "watched", "labels": {"case": "watched"}}, "data": {"n": "0"}});
    let made = ask(world, "POST", &list, Some(&map))?;
    let first = version(&made);
    let told = thread::scope(|scope| {
        let watchers: Vec<_> = (0..3).map(|_| scope.spawn(|| watch(&chosen, first, 8))).collect();
        for n in 1..=4 {
            ask(world, "PATCH", &one, Some(&json!({"data": {"n": n.to_string()}})))?;
        }
        ask(world, "DELETE", &one, None)?;
        let told = watchers.into_iter().map(|one| one.join().map_err(|_| anyhow!("a watcher has failed"))?);
        told.collect::<Result<Vec<_>>>()
    })?;
    let all = &told[0];
    ensure!(kinds(all) == ["MODIFIED", "MODIFIED", "MODIFIED", "MODIFIED", "DELETED"], "told was {all:?}");
    ensure!(told.iter().all(|other| other == all), "watchers were told different things: {told:?}");
    for (n, seen) in all.iter().enumerate() {
        let rest = watch(&chosen, version(&seen["object"]), 1)?;
        ensure!(rest == all[n + 1..], "after {seen}: {rest:?}");
    }
    Ok(())
}

/// "Pod Generation …", "Pods should be submitted and removed", "… be updated", "… patch a pod status", "… run through the
/// lifecycle of Pods and PodStatus", "… support retrieving logs from the container over websockets", "Pod InPlace Resize
/// Container burstable pods - extended resize with equivalents", "… resize pod via the replace endpoint".
pub(super) fn pods(world: &World) -> Result<()> {
    ready(world)?;
    let list = format!("{SPACE}/pods");
    let one = format!("{list}/lived");
    let pod = json!({
        "metadata": {"name": "lived", "generation": 100, "labels": {"time": "one"}},
        "spec": {"terminationGracePeriodSeconds": 1, "containers": [{
            "name": "main", "image": "carob-work:1", "imagePullPolicy": "Never",
            "command": ["sh", "-c", "echo hello; exec /work sleep"],
            "resources": {"requests": {"cpu": "2m"}},
        }]},
    });
    let made = ask(world, "POST", &list, Some(&pod))?;
    ensure!(made["metadata"]["generation"] == 1, "a generation is the server's to say: {made}");
    let chosen = format!("{list}?labelSelector=time%3Dtwo");
    ask(world, "PATCH", &one, Some(&json!({"metadata": {"labels": {"time": "two"}}})))?;
    let found = ask(world, "GET", &chosen, None)?;
    ensure!(found["items"][0]["metadata"]["generation"] == 1, "a label is no other wish: {found}");
    await_pod(world, &one, "runs", |pod| pod["status"]["phase"] == "Running")?;
    log(&one)?;
    ask(world, "PATCH", &one, Some(&json!({"spec": {"activeDeadlineSeconds": 3600}})))?;
    await_pod(world, &one, "has been seen", |pod| pod["status"]["observedGeneration"] == 2)?;
    resize(world, &one)?;
    status(world, &one)?;
    let doomed = ask(world, "DELETE", &one, None)?;
    ensure!(doomed["metadata"]["deletionTimestamp"].is_string(), "deleted is {doomed}");
    ensure!(doomed["metadata"]["generation"] == 4, "its end is another wish: {doomed}");
    let told = watch(&chosen, version(&doomed), 8)?;
    ensure!(kinds(&told).last() == Some(&"DELETED"), "told was {told:?}");
    let left = ask(world, "GET", &chosen, None)?;
    ensure!(left["items"] == json!([]), "left is {left}");
    Ok(())
}

fn await_pod(world: &World, path: &str, what: &str, is_so: impl Fn(&Value) -> bool) -> Result<Value> {
    world.wait_until(&format!("the pod {what}"), PATIENCE, || {
        let pod = ask(world, "GET", path, None)?;
        ensure!(is_so(&pod), "it is {pod}");
        Ok(pod)
    })
}

/// Half of next to nothing is the same weight, and is shown.
fn resize(world: &World, one: &str) -> Result<()> {
    let path = format!("{one}/resize");
    let mut pod = ask(world, "GET", &path, None)?;
    pod["spec"]["containers"][0]["resources"]["requests"]["cpu"] = json!("1m");
    let asked = ask(world, "PUT", &path, Some(&pod))?;
    ensure!(asked["metadata"]["generation"] == 3, "other resources are another wish: {asked}");
    let container = |pod: &Value| pod["status"]["containerStatuses"][0].clone();
    let pod = await_pod(world, one, "has what it asks for", |pod| {
        container(pod)["resources"]["requests"]["cpu"] == "1m"
    })?;
    ensure!(container(&pod)["restartCount"] == 0, "it was restarted: {pod}");
    Ok(())
}

/// What a client writes of a status is the answer; the agent's own word is what stays, but for conditions of others.
fn status(world: &World, one: &str) -> Result<()> {
    let path = format!("{one}/status");
    let patch = json!({"metadata": {"annotations": {"patchedstatus": "true"}},
                       "status": {"message": "Patched by e2e test", "reason": "E2E"}});
    let told = ask(world, "PATCH", &path, Some(&patch))?;
    ensure!(
        told["status"]["message"] == "Patched by e2e test" && told["status"]["reason"] == "E2E",
        "{told}"
    );
    let mut pod = ask(world, "GET", &path, None)?;
    ensure!(pod["metadata"]["annotations"]["patchedstatus"] == "true", "{pod}");
    ensure!(pod["status"].get("message").is_none(), "the agent says nothing of the kind: {pod}");
    let conditions = pod["status"]["conditions"].as_array_mut().context("no conditions")?;
    for condition in conditions.iter_mut() {
        condition["status"] = json!("False");
    }
    conditions.push(json!({"type": "example.com/gate", "status": "True"}));
    let told = ask(world, "PUT", &path, Some(&pod))?;
    ensure!(told["status"]["conditions"] == pod["status"]["conditions"], "told is {told}");
    let pod = ask(world, "GET", &path, None)?;
    let holds = |kind: &str| {
        let mut all = pod["status"]["conditions"].as_array().into_iter().flatten();
        all.any(|one| one["type"] == kind && one["status"] == "True")
    };
    ensure!(["Ready", "ContainersReady", "example.com/gate"].into_iter().all(holds), "shown is {pod}");
    Ok(())
}

/// The log in messages of a WebSocket: one frame of bytes, then the end.
fn log(one: &str) -> Result<()> {
    let mut stream = UnixStream::connect(SOCKET).with_context(|| format!("connect to {SOCKET}"))?;
    stream.set_read_timeout(Some(Duration::from_secs(20)))?;
    let request = format!(
        "GET {one}/log HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\
         Sec-WebSocket-Protocol: binary.k8s.io\r\n\r\n"
    );
    stream.write_all(request.as_bytes())?;
    let (mut said, frame) = (Vec::new(), b"\r\n\r\n\x82\x06hello\n");
    while !said.windows(frame.len()).any(|part| part == frame) {
        let mut piece = [0; 1024];
        let length = stream.read(&mut piece)?;
        let text = String::from_utf8_lossy(&said);
        ensure!(length > 0, "the log over a WebSocket is {text:?}");
        said.extend_from_slice(&piece[..length]);
    }
    let head = String::from_utf8_lossy(&said);
    ensure!(head.starts_with("HTTP/1.1 101") && head.contains("binary.k8s.io"), "the answer is {head:?}");
    Ok(())
}
