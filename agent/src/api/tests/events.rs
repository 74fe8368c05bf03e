//! Events as the API shows them.

use http_body_util::BodyExt;
use hyper::body::Incoming;
use serde_json::{Value, json};

use super::scene::{Scene, at, boot};
use crate::pod::event::{About, Again, Event, Weight};

fn event(kind: &str, name: &str, reason: &str) -> (Event, Again) {
    let (namespace, field) = match kind {
        "Node" => ("", ""),
        _ => ("shop", "spec.containers{main}"),
    };
    let about = About {
        kind: kind.to_owned(),
        namespace: namespace.to_owned(),
        name: name.to_owned(),
        uid: format!("uid-{name}"),
        field: field.to_owned(),
    };
    let (reason, message) = (reason.to_owned(), "words".to_owned());
    (Event { about, weight: Weight::Warning, reason, message, boot: boot(), at: at(1) }, Again::Counts)
}

#[tokio::test]
async fn events_are_kubernetes_objects_and_chosen_by_its_fields() {
    let scene = Scene::new();
    let told = [("Pod", "web", "BackOff"), ("Job", "web", "Completed"), ("Node", "box", "ManifestRefused")];
    for (kind, name, reason) in told {
        scene.store.journal().tell(vec![event(kind, name, reason)]).await.unwrap();
    }
    // Which of them, by their reasons.
    let rows: [(&str, &[&str]); 8] = [
        ("/api/v1/events", &["BackOff", "Completed", "ManifestRefused"]),
        ("/api/v1/namespaces/shop/events", &["BackOff", "Completed"]),
        ("/api/v1/namespaces/default/events", &["ManifestRefused"]),
        ("/api/v1/events?fieldSelector=involvedObject.kind%3DPod", &["BackOff"]),
        ("/api/v1/events?fieldSelector=involvedObject.name%3Dweb%2Creason!%3DBackOff", &["Completed"]),
        (
            "/api/v1/events?fieldSelector=source%3Dcarob%2Ctype%3DWarning",
            &["BackOff", "Completed", "ManifestRefused"],
        ),
        ("/api/v1/events?fieldSelector=involvedObject.uid%3Dother", &[]),
        ("/api/v1/events?labelSelector=app", &[]),
    ];
    for (path, expected) in rows {
        let (code, list) = scene.ask("GET", path, "").await;
        assert_eq!((code, &list["kind"]), (200, &json!("EventList")), "{path}");
        let reasons: Vec<&str> =
            list["items"].as_array().unwrap().iter().map(|one| one["reason"].as_str().unwrap()).collect();
        assert_eq!(reasons, expected, "{path}");
    }
    let (_, list) = scene.ask("GET", "/api/v1/namespaces/shop/events", "").await;
    let job = &list["items"][1];
    let about = json!({"apiVersion": "batch/v1", "kind": "Job", "name": "web", "namespace": "shop", "uid": "uid-web", "fieldPath": "spec.containers{main}"});
    assert_eq!(job["involvedObject"], about);
    assert_eq!((&job["count"], &job["firstTimestamp"]), (&json!(1), &json!("2026-11-23T10:00:01Z")));
    let one = format!("/api/v1/namespaces/shop/events/{}", job["metadata"]["name"].as_str().unwrap());
    assert_eq!(scene.ask("GET", &one, "").await, (200, job.clone()));
    let refused = [
        ("GET", "/api/v1/namespaces/shop/events/none", 404),
        ("GET", "/api/v1/events?fieldSelector=message%3Dx", 400),
        ("POST", "/api/v1/namespaces/shop/events", 422),
    ];
    for (method, path, code) in refused {
        assert_eq!(scene.ask(method, path, "{}").await.0, code, "{method} {path}");
    }
}

#[tokio::test]
async fn events_are_watched_from_a_version_on() {
    let scene = Scene::new();
    let journal = scene.store.journal();
    let tell = async |name: &str, reason: &str| {
        journal.tell(vec![event("Pod", name, reason)]).await.unwrap();
    };
    tell("web", "BackOff").await;
    let path = "/api/v1/namespaces/shop/events?watch=true&fieldSelector=involvedObject.name%3Dweb";
    let mut all = scene.send("GET", path, "", "").await.into_body();
    let mut later = scene.send("GET", &format!("{path}&resourceVersion=1"), "", "").await.into_body();
    assert_eq!(next(&mut all).await, "ADDED BackOff 1");
    tell("other", "BackOff").await;
    tell("web", "Started").await;
    tell("web", "BackOff").await;
    for body in [&mut all, &mut later] {
        assert_eq!(next(body).await, "ADDED Started 1");
        assert_eq!(next(body).await, "MODIFIED BackOff 2");
    }
    let wrong = scene.ask("GET", &format!("{path}&resourceVersion=new"), "").await;
    assert_eq!(
        (wrong.0, wrong.1["message"].as_str()),
        (400, Some("resourceVersion: \"new\" is not a number"))
    );
}

async fn next(body: &mut Incoming) -> String {
    let line = body.frame().await.unwrap().unwrap().into_data().unwrap();
    let told: Value = serde_json::from_slice(&line).unwrap();
    let (kind, event) = (told["type"].as_str().unwrap(), &told["object"]);
    format!("{kind} {} {}", event["reason"].as_str().unwrap(), event["count"])
}

#[tokio::test]
async fn clients_write_events_too_and_change_those_of_the_loop() {
    let scene = Scene::new();
    scene.store.journal().tell(vec![event("Pod", "web", "BackOff")]).await.unwrap();
    let path = "/api/v1/namespaces/shop/events";
    let mut watched = scene.send("GET", &format!("{path}?watch=true"), "", "").await.into_body();
    assert_eq!(next(&mut watched).await, "ADDED BackOff 1");
    let body = |name: &str, of: &str| {
        json!({
            "metadata": {"name": name, "labels": {"by": "client"}},
            "involvedObject": {"namespace": of},
            "reason": "Seen", "count": 7, "eventTime": null,
        })
        .to_string()
    };
    let rows = [
        (body("mine", "shop"), 201, ""),
        (body("mine", "shop"), 409, "already exists"),
        (body("other", "elsewhere"), 422, "does not match event.namespace"),
        (body("No Name", "shop"), 422, "metadata.name"),
        (r#"{"metadata": {"name": "a"}, "count": "x"}"#.to_owned(), 400, "count: an integer is needed"),
        (r#"{"kind": "Pod"}"#.to_owned(), 400, "kind is"),
        ("x".repeat(20 << 10), 413, "16384"),
    ];
    for (body, code, said) in rows {
        let (found, answer) = scene.ask("POST", path, &body).await;
        let message = answer["message"].as_str().unwrap_or_default();
        assert!(found == code && message.contains(said), "{body}: {found} {answer}");
    }
    assert_eq!(next(&mut watched).await, "ADDED Seen 7");
    // The loop's own, by its name.
    let (_, list) = scene.ask("GET", path, "").await;
    let own = format!("{path}/{}", list["items"][0]["metadata"]["name"].as_str().unwrap());
    for (one, before, expected) in
        [(format!("{path}/mine"), 7, "MODIFIED Seen 8"), (own, 1, "MODIFIED BackOff 8")]
    {
        let (_, found) = scene.ask("GET", &one, "").await;
        assert_eq!(found["count"], before);
        let patch = r#"{"count": 8}"#;
        assert_eq!(scene.send("PATCH", &one, "application/merge-patch+json", patch).await.status(), 200);
        let (_, changed) = scene.ask("GET", &one, "").await;
        assert_eq!(changed["metadata"]["uid"], found["metadata"]["uid"]);
        assert_eq!(next(&mut watched).await, expected);
        assert_eq!(scene.ask("DELETE", &one, "").await.0, 200);
        assert_eq!(next(&mut watched).await, expected.replace("MODIFIED", "DELETED"));
        assert_eq!(scene.ask("GET", &one, "").await.0, 404);
    }
    // What is deleted goes from the journal as well.
    scene.store.journal().tell(vec![event("Pod", "web", "BackOff")]).await.unwrap();
    assert_eq!(next(&mut watched).await, "ADDED BackOff 1");
    assert_eq!(scene.ask("DELETE", path, "").await.0, 200);
    assert_eq!(next(&mut watched).await, "DELETED BackOff 1");
    assert_eq!(scene.store.journal().events().await.unwrap(), []);
}
