//! Logs, the ledger and images, over the socket.

use std::io::{Read, Write};

use http_body_util::BodyExt;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{
    PODS,
    scene::{self, Scene, attempt, ended, object, running, status},
};
use crate::{
    api::*,
    pod::{
        CgroupId, Pid, PodName,
        status::ContainerState,
        verdict::{Cause, LimitOwner, Victim},
    },
    store::{Attempt, Process},
};

const LINES: &str = "2026-11-23T11:59:00Z stdout F old\n2026-11-23T11:59:59.5Z stderr F new\n";

async fn log_of(scene: &Scene, query: &str) -> (u16, String) {
    let response = scene.send("GET", &format!("{PODS}/web/log{query}"), "", "").await;
    let code = response.status().as_u16();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (code, String::from_utf8(body.to_vec()).unwrap())
}

#[tokio::test]
async fn logs_are_those_of_the_attempt_that_is_meant() {
    let scene = Scene::new();
    let web = object("web", &["c", "d"]);
    let last = ended(attempt("web", "c", 0), Some(1), None, Cause::Error);
    let waiting = ContainerState::Waiting { reason: "ContainerCreating", message: None };
    let containers =
        vec![status("c", running(attempt("web", "c", 1)), Some(last)), status("d", waiting, None)];
    scene.put(&web, containers).await;
    scene.write_log("web", &attempt("web", "c", 0), "2026-11-23T11:00:00Z stdout F before\n");
    scene.write_log("web", &attempt("web", "c", 1), LINES);
    for (query, code, expected) in [
        ("?container=c", 200, "old\nnew\n"),
        ("?container=c&tailLines=1", 200, "new\n"),
        ("?container=c&sinceSeconds=10", 200, "new\n"),
        ("?container=c&sinceTime=2026-11-23T11:59:30Z", 200, "new\n"),
        ("?container=c&limitBytes=5", 200, "old\nn"),
        ("?container=c&timestamps=true&tailLines=1", 200, "2026-11-23T11:59:59.5Z new\n"),
        ("?container=c&previous=true", 200, "before\n"),
        ("", 400, "a container name must be specified"),
        ("?container=x", 400, "container x is not valid for pod web"),
        ("?container=d", 400, "is waiting to start: ContainerCreating"),
        ("?container=d&previous=true", 400, "previous terminated container"),
        ("?container=c&tailLines=many", 400, "tailLines"),
    ] {
        let (found, body) = log_of(&scene, query).await;
        assert!(found == code && body.contains(expected), "{query}: {found} {body}");
        assert!(code != 200 || body == expected, "{query}: {body}");
    }
}

#[tokio::test]
async fn a_followed_log_ends_with_its_attempt_and_loses_no_line() {
    let scene = Scene::new();
    let web = object("web", &["c"]);
    let id = attempt("web", "c", 0);
    scene.put(&web, vec![status("c", running(id.clone()), None)]).await;
    scene.write_log("web", &id, LINES);
    let response = scene.send("GET", &format!("{PODS}/web/log?follow=true"), "", "").await;
    let mut body = response.into_body();
    let mut seen = Vec::new();
    for (line, expected) in
        [("2026-11-23T12:00:00Z stdout F 3\n", "old\nnew\n"), ("2026-11-23T12:00:01Z stdout F 4\n", "3\n")]
    {
        seen.clear();
        while seen != expected.as_bytes() {
            seen.extend_from_slice(&body.frame().await.unwrap().unwrap().into_data().unwrap());
        }
        scene.write_log("web", &id, line);
    }
    scene.write_log("web", &id, "2026-11-23T12:00:02Z stdout F 5\n");
    let over = ended(id, Some(0), None, Cause::Completed);
    scene.show(&web, vec![status("c", ContainerState::Terminated(over), None)]);
    let rest = body.collect().await.unwrap().to_bytes();
    assert_eq!(rest.as_ref(), b"4\n5\n");
}

#[tokio::test]
async fn the_ledger_tells_ends_and_what_still_runs() {
    let scene = Scene::new();
    let journal = scene.store.journal();
    let pod = PodName { namespace: "default".to_owned(), name: "web".to_owned() };
    for number in 0..2 {
        let process =
            Process { cgroup: CgroupId(number), pid: Pid(9), start_ticks: 1, started: scene::at(10) };
        let id = attempt("web", "c", u32::try_from(number).unwrap());
        let (image, image_id) = ("busybox:1".to_owned(), "sha256:ab".to_owned());
        let row =
            Attempt { id, pod: pod.clone(), boot: scene::boot(), image, image_id, process: Some(process) };
        journal.begin(&row).await.unwrap();
    }
    let oom = Cause::Oom { limit: LimitOwner::Container { bytes: 64 << 20 }, victim: Victim::Main };
    journal.end(&ended(attempt("web", "c", 0), Some(137), Some(9), oom), "OOMKilled", "oom").await.unwrap();
    let (code, answer) = scene.ask("GET", "/carob/v1/ledger?namespace=default&pod=web", "").await;
    assert_eq!(code, 200, "{answer}");
    for (at, expected) in [
        ("/items/0/attempt", json!(0)),
        ("/items/0/startedAt", json!("2026-11-23T10:00:10Z")),
        ("/items/0/end/finishedAt", json!("2026-11-23T10:00:20Z")),
        ("/items/0/end/ranSeconds", json!(10.0)),
        ("/items/0/end/exitCode", json!(137)),
        ("/items/0/end/signal", json!(9)),
        ("/items/0/end/reason", json!("OOMKilled")),
        ("/items/0/end/limit", json!({"of": "container", "bytes": 64 << 20})),
        ("/items/0/end/peakMemoryBytes", json!(4096)),
        ("/items/0/end/source", json!("kernel")),
        ("/items/1/end", json!(null)),
        ("/items/1/startedAt", json!("2026-11-23T10:00:10Z")),
    ] {
        assert_eq!(answer.pointer(at), Some(&expected), "{at}: {answer}");
    }
    for (query, rows) in [("?last=1", 1), ("?namespace=other", 0), ("?pod=db", 0), ("", 2)] {
        let (_, answer) = scene.ask("GET", &format!("/carob/v1/ledger{query}"), "").await;
        assert_eq!(answer["items"].as_array().unwrap().len(), rows, "{query}");
    }
}

#[tokio::test]
async fn images_go_through_the_door() {
    let mut scene = Scene::new();
    let mut images = std::mem::replace(&mut scene.images, tokio::sync::mpsc::channel(1).1);
    let keeper = tokio::spawn(async move {
        while let Some(request) = images.recv().await {
            let row =
                |names| ImageRow { names, id: "sha256:ab".to_owned(), size: 5, created: None, used: None };
            match request {
                ImageRequest::Load { mut archive, reply } => {
                    let read = tokio::task::spawn_blocking(move || {
                        let mut text = String::new();
                        archive.read_to_string(&mut text).map(|_| text)
                    });
                    let text = read.await.unwrap().map_err(|error| ImageFault::Failed(error.to_string()));
                    let refused = |text| ImageFault::Refused(format!("{text}: not an archive"));
                    let answer = text.and_then(|text| {
                        if text == "good" { Ok(vec![row(vec![text])]) } else { Err(refused(text)) }
                    });
                    reply.send(answer).unwrap();
                }
                ImageRequest::Pull { name, words } => {
                    let word = match name.as_str() {
                        "x:1" => PullWord::Done { size: 5 },
                        _ => PullWord::Failed("no such host".to_owned()),
                    };
                    words.send(word).await.unwrap();
                }
                ImageRequest::Prune { scope, reply } => {
                    let gone = if scope == PruneScope::All { 2 } else { 1 };
                    reply.send(Ok(vec![row(Vec::new()); gone])).unwrap();
                }
                ImageRequest::Room { reply } => {
                    let [images, reclaimable, layers, shared, leftovers] =
                        [1, 2, 3, 4, 5].map(|count| Amount { count, bytes: 9 });
                    reply.send(Ok(RoomRow { images, reclaimable, layers, shared, leftovers })).unwrap();
                }
                ImageRequest::Verify { name, reply } => {
                    let (id, damage) = ("sha256:ab".to_owned(), vec!["its layer".to_owned()]);
                    let names = name.into_iter().collect();
                    reply.send(Ok(vec![VerifiedRow { names, id, damage, counted: Vec::new() }])).unwrap();
                }
                ImageRequest::Export { names, reply } => {
                    reply.send(Err(ImageFault::Absent(names.join(" and ")))).unwrap();
                }
                ImageRequest::List { reply } => reply.send(Ok(vec![row(Vec::new())])).unwrap(),
                ImageRequest::Remove { name, reply } => reply
                    .send(match name.as_str() {
                        "x:1" => Ok(()),
                        "used" => Err(ImageFault::InUse("used by pod web".to_owned())),
                        _ => Err(ImageFault::Absent("no such image".to_owned())),
                    })
                    .unwrap(),
            }
        }
    });
    for (method, path, body, code, word) in [
        ("POST", "/carob/v1/images", "good", 200, r#""names":["good"]"#),
        ("POST", "/carob/v1/images", "bad", 400, "not an archive"),
        ("GET", "/carob/v1/images", "", 200, r#""size":5"#),
        ("POST", "/carob/v1/images/pull?name=x:1", "", 200, r#"{"done":{"size":5}}"#),
        ("POST", "/carob/v1/images/pull?name=y", "", 200, r#"{"error":"no such host"}"#),
        ("POST", "/carob/v1/images/pull", "", 400, "name"),
        ("POST", "/carob/v1/images/prune", "", 200, r#""lastUsed":null,"names":[],"size":5}]}"#),
        ("POST", "/carob/v1/images/prune?all=true", "", 200, r#""size":5},{"#),
        ("GET", "/carob/v1/images/df", "", 200, r#""leftovers":{"bytes":9,"count":5}"#),
        ("GET", "/carob/v1/images/verify", "", 200, r#""damage":["its layer"]"#),
        ("GET", "/carob/v1/images/verify?name=x:1", "", 200, r#""names":["x:1"]"#),
        ("GET", "/carob/v1/images/export?names=x:1,y", "", 404, "x:1 and y"),
        ("GET", "/carob/v1/images/export", "", 400, "names"),
        ("DELETE", "/carob/v1/images?name=x:1", "", 200, "{}"),
        ("DELETE", "/carob/v1/images?name=used", "", 409, "used by pod web"),
        ("DELETE", "/carob/v1/images?name=y", "", 404, "no such image"),
        ("DELETE", "/carob/v1/images", "", 400, "name"),
    ] {
        let (found, answer) = scene.ask(method, path, body).await;
        assert!(found == code && answer.to_string().contains(word), "{method} {path}: {found} {answer}");
    }
    keeper.abort();
    let _ = keeper.await;
    assert_eq!(scene.ask("GET", "/carob/v1/images", "").await.0, 503, "nobody stands behind the door");
}

#[tokio::test]
async fn an_upload_that_is_cut_off_is_no_archive() {
    let mut scene = Scene::new();
    let mut stream = tokio::net::UnixStream::connect(scene.dir.join("sock")).await.unwrap();
    let request =
        b"POST /carob/v1/images HTTP/1.1\r\nHost: carob\r\nContent-Length: 100\r\n\r\nthe beginning";
    stream.write_all(request).await.unwrap();
    let Some(ImageRequest::Load { mut archive, .. }) = scene.images.recv().await else { panic!("no load") };
    drop(stream);
    let read = tokio::task::spawn_blocking(move || archive.read_to_end(&mut Vec::new())).await.unwrap();
    assert_eq!(read.unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
}

#[tokio::test]
async fn a_pull_is_told_word_by_word_and_stopped_by_who_goes_away() {
    let mut scene = Scene::new();
    let mut stream = tokio::net::UnixStream::connect(scene.dir.join("sock")).await.unwrap();
    let request = b"POST /carob/v1/images/pull?name=x HTTP/1.1\r\nHost: carob\r\nContent-Length: 0\r\n\r\n";
    stream.write_all(request).await.unwrap();
    let Some(ImageRequest::Pull { words, .. }) = scene.images.recv().await else { panic!("no pull") };
    words.send(PullWord::Progress { blob: "sha256:ab".to_owned(), done: 1, size: 9 }).await.unwrap();
    let mut text = String::new();
    while !text.contains(r#"{"progress":{"blob":"sha256:ab","done":1,"size":9}}"#) {
        let mut bytes = [0; 512];
        let count = stream.read(&mut bytes).await.unwrap();
        assert!(count > 0, "{text}");
        text += std::str::from_utf8(&bytes[..count]).unwrap();
    }
    drop(stream);
    words.closed().await;
}

#[tokio::test]
async fn an_export_that_does_not_come_to_its_end_is_cut_off() {
    for (ends, expected) in [(true, Some(200_000)), (false, None)] {
        let mut scene = Scene::new();
        let mut images = std::mem::replace(&mut scene.images, tokio::sync::mpsc::channel(1).1);
        let (begun, is_begun) = tokio::sync::oneshot::channel();
        let keeper = tokio::spawn(async move {
            let Some(ImageRequest::Export { reply, .. }) = images.recv().await else { panic!("no export") };
            let (mut sending, outgoing) = Outgoing::new();
            reply.send(Ok(outgoing)).unwrap();
            tokio::task::spawn_blocking(move || {
                sending.write_all(&[7; 200_000]).unwrap();
                // Cut off any earlier, it would be no answer at all.
                is_begun.blocking_recv().unwrap();
                if ends {
                    sending.end().unwrap();
                }
            });
        });
        let response = scene.send("GET", "/carob/v1/images/export?names=x", "", "").await;
        assert_eq!(response.status(), 200);
        begun.send(()).unwrap();
        let body = response.into_body().collect().await.ok().map(|body| body.to_bytes().len());
        assert_eq!(body, expected);
        keeper.await.unwrap();
    }
}
