//! The API as a client meets it: over a unix socket, with a real store behind it.

mod change;
mod discovery;
mod door;
mod events;
mod exec;
mod fuzz;
mod namespaces;
pub(in crate::api) mod scene;
mod shown;
mod streams;
mod watch;

use std::io::Read;

use http_body_util::BodyExt;
use serde_json::{Value, json};

use self::scene::{Scene, object};
use super::*;
use crate::store::Kind;

const PODS: &str = "/api/v1/namespaces/default/pods";
const STRICT: &str = "/api/v1/namespaces/default/pods?fieldValidation=Strict";
const POD: &str = r#"{"apiVersion":"v1","kind":"Pod","metadata":{"name":"web","labels":{"app":"web"}},
                      "spec":{"containers":[{"name":"c","image":"busybox:1"}]}}"#;

#[tokio::test]
async fn the_server_says_what_it_is() {
    let scene = Scene::new();
    for (path, at, expected) in [
        ("/version", "/major", json!("1")),
        ("/api", "/versions/0", json!("v1")),
        ("/apis", "/groups/0/name", json!("apps")),
        ("/apis/batch/v1", "/resources/0/name", json!("jobs")),
        ("/api/v1", "/resources/0/name", json!("pods")),
        ("/healthz", "", json!("ok")),
        ("/livez", "", json!("ok")),
        ("/readyz", "", json!("ok")),
        ("/stats/summary", "/pods", json!([])),
    ] {
        let (code, body) = scene.ask("GET", path, "").await;
        assert_eq!((code, body.pointer(at)), (200, Some(&expected)), "{path}");
    }
    scene.picture.send_modify(|picture| {
        let mut full = Picture::clone(picture);
        full.health.store_error = Some("disk full".to_owned());
        *picture = Arc::new(full);
    });
    let (code, body) = scene.ask("GET", "/readyz", "").await;
    assert_eq!((code, body["reason"].as_str()), (503, Some("ServiceUnavailable")));
}

#[tokio::test]
async fn metrics_are_served_in_the_form_that_is_asked_for() {
    let scene = Scene::new();
    for (path, empty) in [("/metrics", false), ("/metrics/cadvisor", true), ("/metrics/probes", true)] {
        let response = scene.send("GET", path, "", "").await;
        let media = response.headers()["content-type"].to_str().unwrap().to_owned();
        assert!(media.starts_with("text/plain; version=0.0.4"), "{path}: {media}");
        let page = response.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(page.is_empty(), empty, "{path}");
    }
}

#[tokio::test]
async fn metrics_are_packed_for_who_takes_them_packed() {
    let scene = Scene::new();
    let plain = scene.send("GET", "/metrics", "", "").await;
    assert!(!plain.headers().contains_key("content-encoding"), "{plain:?}");
    let plain = plain.into_body().collect().await.unwrap().to_bytes();
    let packed = scene.send_with(("accept-encoding", "gzip"), "GET", "/metrics", "").await;
    assert_eq!(packed.headers()["content-encoding"], "gzip");
    assert_eq!(packed.headers()["vary"], "Accept, Accept-Encoding");
    let packed = packed.into_body().collect().await.unwrap().to_bytes();
    let mut page = Vec::new();
    flate2::read::GzDecoder::new(&packed[..]).read_to_end(&mut page).unwrap();
    assert_eq!(page, plain);
    assert!(packed.len() * 2 < plain.len(), "{} of {}", packed.len(), plain.len());
}

#[tokio::test]
async fn errors_are_status_objects() {
    let scene = Scene::new();
    let long = format!(r#"{{"kind":"Pod","metadata":{{"name":"{}"}}}}"#, "x".repeat(OBJECT_LIMIT));
    let rows = [
        ("GET", "/nowhere", "", 404, "NotFound", "could not find"),
        ("GET", "/api/v1/widgets", "", 404, "NotFound", "could not find"),
        ("GET", "/api/v1/namespaces/default/pods/x", "", 404, "NotFound", r#"pods "x" not found"#),
        ("DELETE", "/api/v1/namespaces/default/pods/x", "", 404, "NotFound", r#"pods "x" not found"#),
        ("PUT", PODS, "", 405, "MethodNotAllowed", "method"),
        ("GET", "/api/v1/pods?labelSelector=a%20within%20(b)", "", 400, "BadRequest", "selector"),
        (
            "GET",
            "/api/v1/pods?fieldSelector=spec.image%3Dx",
            "",
            400,
            "BadRequest",
            "field label not supported",
        ),
        ("POST", PODS, "", 400, "BadRequest", "no object"),
        ("POST", PODS, "{", 400, "BadRequest", "body:1"),
        (
            "POST",
            PODS,
            &format!("{POD}\n---\n{}", POD.replace("web", "db")),
            400,
            "BadRequest",
            "more than one",
        ),
        (
            "POST",
            STRICT,
            &POD.replace("image", "imag"),
            400,
            "BadRequest",
            r#"unknown field "spec.containers[0].imag""#,
        ),
        ("POST", PODS, &POD.replace("image", "imag"), 422, "Invalid", "spec.containers[0].image: missing"),
        ("POST", &STRICT.replace("Strict", "Hard"), POD, 400, "BadRequest", "one of Ignore, Warn, Strict"),
        ("POST", PODS, &POD.replace("busybox:1", ""), 422, "Invalid", "spec.containers[0].image"),
        (
            "POST",
            PODS,
            &POD.replace(r#""name":"web""#, r#""name":"web","namespace":"b""#),
            400,
            "BadRequest",
            "namespace",
        ),
        ("POST", "/api/v1/namespaces/..%2F..%2Fetc/pods", POD, 422, "Invalid", "metadata.namespace"),
        (
            "POST",
            "/api/v1/namespaces/default/persistentvolumeclaims",
            POD,
            400,
            "BadRequest",
            "PersistentVolumeClaim",
        ),
        ("POST", &format!("{PODS}?dryRun=Some"), POD, 400, "BadRequest", "dryRun"),
        ("POST", PODS, &long, 413, "RequestEntityTooLarge", "larger"),
        (
            "POST",
            PODS,
            &POD.replace("labels", r#"annotations":{"carob.dev/manifest":"/x"},"labels"#),
            403,
            "Forbidden",
            "carob's to set",
        ),
    ];
    for (method, path, body, code, reason, word) in rows {
        let (found, answer) = scene.ask(method, path, body).await;
        assert_eq!((found, answer["reason"].as_str()), (code, Some(reason)), "{method} {path}: {answer}");
        assert_eq!(
            (&answer["kind"], &answer["status"], &answer["code"]),
            (&json!("Status"), &json!("Failure"), &json!(code))
        );
        assert!(answer["message"].as_str().unwrap().contains(word), "{method} {path}: {answer}");
    }
    let (_, answer) = scene.ask("POST", PODS, &POD.replace("busybox:1", "")).await;
    assert_eq!(answer["details"]["causes"][0]["field"], "spec.containers[0].image", "{answer}");
    let response = scene.send("POST", PODS, "application/vnd.kubernetes.protobuf", "k8s").await;
    assert_eq!(response.status().as_u16(), 415);
}

#[tokio::test]
async fn what_kubernetes_does_not_know_is_refused_or_left_out_as_asked() {
    let scene = Scene::new();
    let odd = POD.replace(r#""image""#, r#""tty":true,"tty":false,"comand":[],"image""#);
    let (code, answer) = scene.ask("POST", STRICT, &odd).await;
    let said = "Pod in version \"v1\" cannot be handled as a Pod: strict decoding error: \
        duplicate field \"spec.containers[0].tty\", unknown field \"spec.containers[0].comand\"";
    assert_eq!((code, answer["message"].as_str()), (400, Some(said)), "{answer}");
    let hint = answer["details"]["causes"][1]["message"].as_str().unwrap();
    assert!(hint.contains("did you mean \"command\"?"), "{hint}");
    for (validation, warnings) in [
        (
            "Warn",
            vec![
                r#"299 - "duplicate field \"spec.containers[0].tty\"""#,
                r#"299 - "unknown field \"spec.containers[0].comand\"""#,
            ],
        ),
        ("Ignore", vec![]),
    ] {
        let path = format!("{}&dryRun=All", STRICT.replace("Strict", validation));
        let response = scene.send("POST", &path, "application/json", &odd).await;
        assert_eq!(response.status().as_u16(), 201, "{validation}");
        let found: Vec<_> = response
            .headers()
            .get_all("warning")
            .iter()
            .map(|value| value.to_str().unwrap().to_owned())
            .collect();
        assert_eq!(found, warnings, "{validation}");
    }
}

#[tokio::test]
async fn a_created_pod_is_complete_and_found_again() {
    let scene = Scene::new();
    let (code, created) = scene.ask("POST", PODS, POD).await;
    assert_eq!(code, 201, "{created}");
    for (at, expected) in [
        ("/kind", json!("Pod")),
        ("/apiVersion", json!("v1")),
        ("/metadata/namespace", json!("default")),
        ("/metadata/creationTimestamp", json!("2026-11-23T12:00:00Z")),
        ("/metadata/resourceVersion", json!("1")),
        ("/spec/restartPolicy", json!("Always")),
        ("/spec/nodeName", json!("box")),
        ("/status/phase", json!("Pending")),
        ("/status/qosClass", json!("BestEffort")),
    ] {
        assert_eq!(created.pointer(at), Some(&expected), "{at}: {created}");
    }
    assert_eq!(created["metadata"]["uid"].as_str().map(str::len), Some(36));
    let (_, read) = scene.ask("GET", &format!("{PODS}/web"), "").await;
    assert_eq!(read, created);
    let (code, again) = scene.ask("POST", PODS, POD).await;
    assert_eq!((code, &again["reason"]), (409, &json!("AlreadyExists")));
    for (query, names) in [
        ("/api/v1/pods", vec!["web"]),
        ("/api/v1/namespaces/default/pods?labelSelector=app%3Dweb", vec!["web"]),
        ("/api/v1/namespaces/default/pods?labelSelector=app%3Ddb", vec![]),
        ("/api/v1/namespaces/default/pods?fieldSelector=metadata.name%3Dweb", vec!["web"]),
        ("/api/v1/namespaces/other/pods", vec![]),
    ] {
        let (_, list) = scene.ask("GET", query, "").await;
        let found: Vec<_> = list["items"]
            .as_array()
            .unwrap()
            .iter()
            .map(|pod| pod["metadata"]["name"].as_str().unwrap())
            .collect();
        assert_eq!((found, &list["kind"]), (names, &json!("PodList")), "{query}");
        assert_eq!(list["metadata"]["resourceVersion"], "1");
    }
}

#[tokio::test]
async fn a_dry_run_says_the_same_and_leaves_nothing() {
    let scene = Scene::new();
    let (code, answer) = scene.ask("POST", &format!("{PODS}?dryRun=All"), POD).await;
    assert_eq!((code, &answer["spec"]["restartPolicy"]), (201, &json!("Always")));
    assert_eq!(scene.ask("GET", &format!("{PODS}/web"), "").await.0, 404);
    scene.ask("POST", PODS, POD).await;
    assert_eq!(scene.ask("POST", &format!("{PODS}?dryRun=All"), POD).await.0, 409);
    let (code, answer) = scene.ask("DELETE", &format!("{PODS}/web?dryRun=All"), "").await;
    assert_eq!((code, &answer["metadata"]["deletionGracePeriodSeconds"]), (200, &json!(30)));
    let (_, kept) = scene.ask("GET", &format!("{PODS}/web"), "").await;
    assert_eq!(kept["metadata"].get("deletionTimestamp"), None);
}

#[tokio::test]
async fn yaml_is_taken_and_names_are_made() {
    let scene = Scene::new();
    let yaml = "apiVersion: v1\nkind: Pod\nmetadata: {generateName: job-}\nspec:\n  containers:\n  - {name: c, image: busybox}\n";
    let mut names = Vec::new();
    for _ in 0..2 {
        let response = scene.send("POST", PODS, "application/yaml; charset=utf-8", yaml).await;
        assert_eq!(response.status().as_u16(), 201);
        let body: Value =
            serde_json::from_slice(&response.into_body().collect().await.unwrap().to_bytes()).unwrap();
        names.push(body["metadata"]["name"].as_str().unwrap().to_owned());
    }
    assert!(names.iter().all(|name| name.starts_with("job-") && name.len() == 9), "{names:?}");
    assert_ne!(names[0], names[1]);
}

#[tokio::test]
async fn the_path_says_the_kind_if_the_body_does_not() {
    let scene = Scene::new();
    let bare = POD.replace(r#""apiVersion":"v1","kind":"Pod","#, "");
    let (code, answer) = scene.ask("POST", PODS, &bare).await;
    assert_eq!((code, &answer["kind"]), (201, &json!("Pod")), "{answer}");
}

#[tokio::test]
async fn a_deleted_pod_is_marked_and_waited_for() {
    let scene = Scene::new();
    let (_, created) = scene.ask("POST", PODS, POD).await;
    let uid = created["metadata"]["uid"].as_str().unwrap().to_owned();
    let web = format!("{PODS}/web");
    let (code, _) = scene.ask("DELETE", &web, r#"{"preconditions":{"uid":"another"}}"#).await;
    assert_eq!(code, 409);
    let (code, doomed) = scene.ask("DELETE", &web, r#"{"gracePeriodSeconds":10}"#).await;
    assert_eq!((code, &doomed["metadata"]["deletionTimestamp"]), (200, &json!("2026-11-23T12:00:10Z")));
    assert_eq!(scene.ask("GET", &web, "").await.1, doomed);
    let (_, longer) = scene.ask("DELETE", &format!("{web}?gracePeriodSeconds=60"), "").await;
    assert_eq!(longer, doomed, "a grace period only shrinks");
    let (_, shorter) = scene.ask("DELETE", &format!("{web}?gracePeriodSeconds=1"), "").await;
    assert_eq!(shorter["metadata"]["deletionTimestamp"], "2026-11-23T12:00:01Z");
    let gone = format!("/carob/v1/gone/pods/default/web?uid={uid}");
    let (waited, ()) = tokio::join!(scene.ask("GET", &gone, ""), async {
        scene.store.objects().remove(Kind::Pod, "default", "web", &uid).await.map(drop).unwrap();
    });
    assert_eq!(waited.0, 200);
    assert_eq!(scene.ask("GET", &gone, "").await.0, 200, "what is gone is not waited for");
}

#[tokio::test]
async fn a_pod_of_a_manifest_file_is_deleted_with_its_file() {
    let scene = Scene::new();
    let mut web = object("web", &["c"]);
    web["metadata"]["annotations"] = json!({"carob.dev/manifest": "/etc/carob/manifests/web.yaml"});
    scene.put(&web, Vec::new()).await;
    let (code, answer) = scene.ask("DELETE", &format!("{PODS}/web"), "").await;
    assert_eq!((code, &answer["reason"]), (403, &json!("Forbidden")));
    assert!(answer["message"].as_str().unwrap().contains("/etc/carob/manifests/web.yaml"), "{answer}");
    assert_eq!(
        scene.ask("GET", &format!("{PODS}/web"), "").await.1["metadata"].get("deletionTimestamp"),
        None
    );
    // What is said of it is not the file's.
    let said =
        r#"{"metadata":{"labels":{"a":"b"}},"status":{"conditions":[{"type":"x/y","status":"True"}]}}"#;
    let path = format!("{PODS}/web/status");
    let response = scene.send("PATCH", &path, "application/merge-patch+json", said).await;
    assert_eq!(response.status().as_u16(), 200);
    let (_, web) = scene.ask("GET", &path, "").await;
    let conditions = web["status"]["conditions"].as_array().unwrap();
    assert!(conditions.iter().any(|one| one["type"] == "x/y"), "{web}");
    assert_eq!(
        (
            &web["metadata"]["labels"]["a"],
            web["metadata"]["annotations"].as_object().map(serde_json::Map::len)
        ),
        (&Value::Null, Some(1))
    );
}

#[tokio::test]
async fn claims_are_served_as_pods_are() {
    let scene = Scene::new();
    let claims = "/api/v1/namespaces/shop/persistentvolumeclaims";
    let claim = r#"{"apiVersion":"v1","kind":"PersistentVolumeClaim","metadata":{"name":"data"},
                    "spec":{"accessModes":["ReadWriteOnce"],"resources":{"requests":{"storage":"1Gi"}}}}"#;
    let (code, created) = scene.ask("POST", claims, claim).await;
    assert_eq!((code, &created["status"]["phase"]), (201, &json!("Bound")), "{created}");
    let (_, list) = scene.ask("GET", "/api/v1/persistentvolumeclaims", "").await;
    assert_eq!((&list["kind"], &list["items"][0]), (&json!("PersistentVolumeClaimList"), &created));
    let (_, doomed) = scene.ask("DELETE", &format!("{claims}/data"), "").await;
    assert_eq!(doomed["metadata"]["deletionTimestamp"], "2026-11-23T12:00:00Z");
}
