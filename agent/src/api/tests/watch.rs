//! Lists and watches: versions, bookmarks, selectors, pages.

use http_body_util::BodyExt;
use hyper::body::Incoming;
use serde_json::{Value, json};

use super::scene::{Scene, attempt, object, running, status};

/// One line of a watch: type, name, phase or data, version.
async fn next(body: &mut Incoming) -> (String, Value) {
    let line = body.frame().await.unwrap().unwrap().into_data().unwrap();
    let told: Value = serde_json::from_slice(&line).unwrap();
    let (kind, object) = (told["type"].as_str().unwrap(), told["object"].clone());
    let name = object["metadata"]["name"].as_str().unwrap_or("-");
    let state = object["status"]["phase"].as_str().or(object["data"]["k"].as_str()).unwrap_or("-");
    (format!("{kind} {name} {state}"), object)
}

async fn told(body: &mut Incoming) -> String {
    next(body).await.0
}

fn version(object: &Value) -> u64 {
    object["metadata"]["resourceVersion"].as_str().unwrap().parse().unwrap()
}

async fn watch(scene: &Scene, path: &str) -> Incoming {
    let answer = scene.send("GET", path, "", "").await;
    assert_eq!(answer.status(), 200, "{path}");
    answer.into_body()
}

fn config(name: &str, value: &str, label: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": name, "namespace": "default", "labels": {"app": label}},
        "data": {"k": value},
    })
}

const PODS: &str = "/api/v1/namespaces/default/pods";
const MAPS: &str = "/api/v1/namespaces/default/configmaps";

#[tokio::test]
async fn a_status_has_versions_and_is_watched_like_what_is_written() {
    let scene = Scene::new();
    let (_, web) = scene.ask("POST", PODS, &object("web", &["main"]).to_string()).await;
    let (_, list) = scene.ask("GET", PODS, "").await;
    let first = version(&list["items"][0]);
    assert!(version(&list) >= first);
    let path = format!("{PODS}?watch=1&resourceVersion={}", version(&list));
    let mut one = watch(&scene, &path).await;
    let mut all = watch(&scene, "/api/v1/pods?watch=true").await;
    assert_eq!(told(&mut all).await, "ADDED web Pending");
    scene.show(&web, vec![status("main", running(attempt("web", "main", 0)), None)]);
    let (word, seen) = next(&mut one).await;
    assert_eq!(word, "MODIFIED web Running");
    assert_eq!(told(&mut all).await, "MODIFIED web Running");
    assert!(version(&seen) > first);
    let (_, read) = scene.ask("GET", &format!("{PODS}/web"), "").await;
    assert_eq!(read, seen, "one state, one version");
    // A watch from any version that was given out goes on from there.
    let mut again = watch(&scene, &path).await;
    assert_eq!(next(&mut again).await, (word, seen.clone()));
    // Who has read the object may write it though its status went on, who has not may not.
    for (read, code) in [(first, 200), (version(&seen), 409), (1, 409)] {
        let patch =
            json!({"metadata": {"resourceVersion": read.to_string(), "labels": {"read": read.to_string()}}});
        let (path, patch) = (format!("{PODS}/web"), patch.to_string());
        let found = scene.send("PATCH", &path, "application/merge-patch+json", &patch).await;
        assert_eq!(found.status(), code, "{read}");
    }
    assert_eq!(told(&mut all).await, "MODIFIED web Running");
}

#[tokio::test]
async fn a_selector_makes_objects_come_and_go() {
    let scene = Scene::new();
    let mut body = watch(&scene, &format!("{MAPS}?watch=1&labelSelector=app%3Da")).await;
    let post = async |object: Value| {
        let (code, made) = scene.ask("POST", MAPS, &object.to_string()).await;
        assert_eq!(code, 201);
        made
    };
    let put = async |object: Value| {
        let path = format!("{MAPS}/{}", object["metadata"]["name"].as_str().unwrap());
        let (code, made) = scene.ask("PUT", &path, &object.to_string()).await;
        assert_eq!(code, 200);
        made
    };
    post(config("one", "1", "a")).await;
    post(config("two", "1", "b")).await;
    put(config("two", "2", "b")).await;
    put(config("two", "3", "a")).await;
    put(config("two", "4", "a")).await;
    let left = put(config("two", "5", "b")).await;
    scene.ask("DELETE", &format!("{MAPS}/one"), "").await;
    let mut seen = Vec::new();
    for _ in 0..4 {
        seen.push(told(&mut body).await);
    }
    let (word, object) = next(&mut body).await;
    assert_eq!(seen[..], ["ADDED one 1", "ADDED two 3", "MODIFIED two 4", "DELETED two 4"], "{word}");
    assert_eq!(word, "DELETED one 1");
    assert!(version(&object) > version(&left));
}

#[tokio::test]
async fn each_change_is_told_also_to_who_comes_later() {
    let scene = Scene::new();
    scene.ask("GET", MAPS, "").await;
    let (_, made) = scene.ask("POST", MAPS, &config("one", "1", "a").to_string()).await;
    for value in ["2", "3"] {
        scene.ask("PUT", &format!("{MAPS}/one"), &config("one", value, "a").to_string()).await;
    }
    scene.ask("DELETE", &format!("{MAPS}/one"), "").await;
    let mut body = watch(&scene, &format!("{MAPS}?watch=1&resourceVersion={}", version(&made))).await;
    for expected in ["MODIFIED one 2", "MODIFIED one 3", "DELETED one 3"] {
        assert_eq!(told(&mut body).await, expected);
    }
}

#[tokio::test]
async fn a_watch_list_says_where_the_beginning_ends() {
    let scene = Scene::new();
    for name in ["a", "b"] {
        scene.ask("POST", MAPS, &config(name, "1", "x").to_string()).await;
    }
    let listing = "watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true";
    let mut body = watch(&scene, &format!("{MAPS}?{listing}")).await;
    assert_eq!(told(&mut body).await, "ADDED a 1");
    assert_eq!(told(&mut body).await, "ADDED b 1");
    let (word, mark) = next(&mut body).await;
    assert_eq!(
        (word.as_str(), &mark["kind"], &mark["apiVersion"]),
        ("BOOKMARK - -", &json!("ConfigMap"), &json!("v1"))
    );
    assert_eq!(mark["metadata"]["annotations"], json!({"k8s.io/initial-events-end": "true"}));
    let mut later = watch(&scene, &format!("{MAPS}?watch=1&resourceVersion={}", version(&mark))).await;
    scene.ask("POST", MAPS, &config("c", "1", "x").to_string()).await;
    assert_eq!(told(&mut body).await, "ADDED c 1");
    assert_eq!(told(&mut later).await, "ADDED c 1");
    // The same of events.
    let mut events = watch(&scene, &format!("/api/v1/events?{listing}")).await;
    assert_eq!(told(&mut events).await, "BOOKMARK - -");
}

#[tokio::test]
async fn what_cannot_be_watched_is_refused_in_kubernetes_words() {
    let scene = Scene::new();
    for name in ["a", "b"] {
        scene.ask("POST", MAPS, &config(name, "1", "x").to_string()).await;
    }
    let (_, list) = scene.ask("GET", MAPS, "").await;
    let newest = version(&list);
    for since in [1, newest + 1000] {
        let mut body = watch(&scene, &format!("{MAPS}?watch=1&resourceVersion={since}")).await;
        let (word, status) = next(&mut body).await;
        assert_eq!(word, "ERROR - -");
        assert_eq!((&status["code"], &status["reason"]), (&json!(410), &json!("Expired")));
        assert!(body.frame().await.is_none(), "it ends");
    }
    let rows = [
        ("watch=1&sendInitialEvents=true", 422),
        ("watch=1&resourceVersionMatch=Exact&resourceVersion=1", 422),
        ("watch=1&resourceVersion=new", 400),
        ("resourceVersion=1&resourceVersionMatch=Exact", 410),
        ("resourceVersion=1&resourceVersionMatch=NotOlderThan", 200),
        ("resourceVersion=99999999&resourceVersionMatch=NotOlderThan", 410),
        ("resourceVersionMatch=Newest", 422),
        ("continue=garbage", 400),
        ("limit=many", 400),
    ];
    for (query, code) in rows {
        assert_eq!(scene.ask("GET", &format!("{MAPS}?{query}"), "").await.0, code, "{query}");
    }
}

#[tokio::test]
async fn a_long_list_comes_in_pages() {
    let scene = Scene::new();
    for name in ["a", "b", "c", "d", "e"] {
        scene.ask("POST", MAPS, &config(name, "1", "x").to_string()).await;
    }
    let (mut token, mut pages, mut versions) = (String::new(), Vec::new(), Vec::new());
    loop {
        let (code, list) = scene.ask("GET", &format!("{MAPS}?limit=2&continue={token}"), "").await;
        assert_eq!(code, 200);
        versions.push(version(&list));
        let names: Vec<_> =
            list["items"].as_array().unwrap().iter().map(|item| item["metadata"]["name"].clone()).collect();
        pages.push((json!(names), list["metadata"]["remainingItemCount"].clone()));
        match list["metadata"]["continue"].as_str() {
            Some(next) => token = next.to_owned(),
            None => break,
        }
        // What changes meanwhile is for a watch from the first page's version to tell.
        scene.ask("POST", MAPS, &config("z", "1", "x").to_string()).await;
    }
    let expected =
        [(json!(["a", "b"]), json!(3)), (json!(["c", "d"]), json!(2)), (json!(["e", "z"]), Value::Null)];
    assert_eq!(pages, expected);
    assert!(versions.windows(2).all(|pair| pair[0] == pair[1]));
    let mut body = watch(&scene, &format!("{MAPS}?watch=1&resourceVersion={}", versions[0])).await;
    assert_eq!(told(&mut body).await, "ADDED z 1");
}
