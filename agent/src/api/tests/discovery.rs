//! What clients discover, in each form they ask for it, and the description of the API.

use http_body_util::BodyExt;
use serde_json::{Value, json};

use super::scene::Scene;

async fn ask(scene: &Scene, path: &str, accept: &str) -> (u16, String, Vec<u8>) {
    let response = scene.send_with(("accept", accept), "GET", path, "").await;
    let media = response.headers()["content-type"].to_str().unwrap().to_owned();
    (response.status().as_u16(), media, response.into_body().collect().await.unwrap().to_bytes().to_vec())
}

fn find<'a>(list: &'a Value, field: &str, name: &str) -> &'a Value {
    let found = list.as_array().unwrap().iter().find(|entry| entry[field] == name);
    found.unwrap_or_else(|| panic!("no {name} in {list}"))
}

#[tokio::test]
async fn kinds_are_discovered_group_by_group() {
    let scene = Scene::new();
    let (_, core) = scene.ask("GET", "/api/v1", "").await;
    assert_eq!((&core["kind"], &core["groupVersion"]), (&json!("APIResourceList"), &json!("v1")));
    let pods = find(&core["resources"], "name", "pods");
    assert_eq!(
        *pods,
        json!({
            "name": "pods", "singularName": "pod", "namespaced": true, "kind": "Pod", "shortNames": ["po"],
            "categories": ["all"],
            "verbs": ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"],
        })
    );
    let log = find(&core["resources"], "name", "pods/log");
    assert_eq!((&log["kind"], &log["verbs"]), (&json!("Pod"), &json!(["get"])));
    assert_eq!(find(&core["resources"], "name", "events")["shortNames"], json!(["ev"]));
    let (_, groups) = scene.ask("GET", "/apis", "").await;
    for group in ["apps", "batch"] {
        let entry = find(&groups["groups"], "name", group);
        assert_eq!(entry["preferredVersion"]["groupVersion"], json!(format!("{group}/v1")));
        let (_, alone) = scene.ask("GET", &format!("/apis/{group}"), "").await;
        assert_eq!((&alone["kind"], &alone["versions"]), (&json!("APIGroup"), &entry["versions"]));
        assert_eq!(scene.ask("GET", &format!("/apis/{group}/v1"), "").await.0, 200);
    }
    for path in ["/apis/apps/v2", "/apis/extensions", "/apis/extensions/v1"] {
        assert_eq!(scene.ask("GET", path, "").await.0, 404, "{path}");
    }
}

#[tokio::test]
async fn kinds_are_discovered_all_at_once() {
    let scene = Scene::new();
    let form = |version: &str| {
        format!("application/json;g=apidiscovery.k8s.io;v={version};as=APIGroupDiscoveryList")
    };
    let (v2, beta) = (form("v2"), form("v2beta1"));
    for (accept, version) in [
        (format!("{v2},{beta},application/json"), "v2"),
        (format!("{beta},application/json"), "v2beta1"),
        (format!("{},{beta}", form("v3")), "v2beta1"),
    ] {
        let (code, media, body) = ask(&scene, "/apis", &accept).await;
        let body: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!((code, media), (200, form(version)));
        assert_eq!(body["apiVersion"], json!(format!("apidiscovery.k8s.io/{version}")));
        let apps =
            body["items"].as_array().unwrap().iter().find(|item| item["metadata"]["name"] == "apps").unwrap();
        let deployments = find(&apps["versions"][0]["resources"], "resource", "deployments");
        assert_eq!(
            deployments["responseKind"],
            json!({"group": "apps", "version": "v1", "kind": "Deployment"})
        );
    }
    let (_, _, core) = ask(&scene, "/api", &v2).await;
    let core: Value = serde_json::from_slice(&core).unwrap();
    let pods = find(&core["items"][0]["versions"][0]["resources"], "resource", "pods");
    assert_eq!((&pods["scope"], &pods["singularResource"]), (&json!("Namespaced"), &json!("pod")));
    assert_eq!(find(&pods["subresources"], "subresource", "exec")["responseKind"]["kind"], "PodExecOptions");
    let (_, _, legacy) = ask(&scene, "/api", "application/json").await;
    assert!(String::from_utf8_lossy(&legacy).contains("APIVersions"));
}

#[tokio::test]
async fn the_description_says_that_fields_are_checked() {
    let scene = Scene::new();
    let (_, index) = scene.ask("GET", "/openapi/v3", "").await;
    for (path, one, kind) in [
        ("api/v1", "/api/v1/namespaces/{namespace}/pods/{name}", "Pod"),
        ("apis/apps/v1", "/apis/apps/v1/namespaces/{namespace}/deployments/{name}", "Deployment"),
        ("apis/batch/v1", "/apis/batch/v1/namespaces/{namespace}/jobs/{name}", "Job"),
    ] {
        let address = index["paths"][path]["serverRelativeURL"].as_str().unwrap();
        let (code, document) = scene.ask("GET", address, "").await;
        let patch = &document["paths"][one]["patch"];
        assert_eq!((code, &patch["x-kubernetes-group-version-kind"]["kind"]), (200, &json!(kind)), "{path}");
        assert!(patch["parameters"].as_array().unwrap().iter().any(|one| one["name"] == "fieldValidation"));
    }
    assert_eq!(scene.ask("GET", "/openapi/v3/apis/none/v1", "").await.0, 404);
    let protobuf = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf";
    let (code, media, body) = ask(&scene, "/openapi/v2", protobuf).await;
    assert_eq!((code, media.contains('@')), (200, false));
    // Field 1 of the document, a text of three bytes.
    assert_eq!(&body[..5], b"\x0a\x032.0");
    let text = String::from_utf8_lossy(&body);
    assert!(
        text.contains("fieldValidation") && text.contains("group: \"apps\"\nkind: Deployment\nversion: v1\n")
    );
    assert_eq!(ask(&scene, "/openapi/v2", "application/json").await.0, 406);
}

#[tokio::test]
async fn the_box_and_its_namespaces_can_be_read() {
    let scene = Scene::new();
    scene.put(&super::scene::object("web", &["c"]), Vec::new()).await;
    let table = "application/json;as=Table;v=v1;g=meta.k8s.io";
    for (path, code, kind) in [
        ("/api/v1/nodes", 200, "NodeList"),
        ("/api/v1/nodes/box", 200, "Node"),
        ("/api/v1/nodes/other", 404, "Status"),
        ("/api/v1/nodes?labelSelector=kubernetes.io/os%3Dlinux", 200, "NodeList"),
        ("/api/v1/namespaces", 200, "NamespaceList"),
        ("/api/v1/namespaces/default", 200, "Namespace"),
        ("/api/v1/namespaces/other", 404, "Status"),
        ("/apis/metrics.k8s.io/v1beta1/pods", 200, "PodMetricsList"),
        ("/apis/metrics.k8s.io/v1beta1/namespaces/default/pods", 200, "PodMetricsList"),
        ("/apis/metrics.k8s.io/v1beta1/namespaces/default/pods/web", 404, "Status"),
        ("/apis/metrics.k8s.io/v1beta1/nodes", 200, "NodeMetricsList"),
    ] {
        let (found, answer) = scene.ask("GET", path, "").await;
        assert_eq!((found, &answer["kind"]), (code, &json!(kind)), "{path}: {answer}");
    }
    for (path, names) in [
        ("/api/v1/nodes", vec!["box"]),
        ("/api/v1/namespaces", vec!["default"]),
        ("/api/v1/namespaces/default/pods/web", vec!["web"]),
    ] {
        let (_, _, body) = ask(&scene, path, table).await;
        let answer: Value = serde_json::from_slice(&body).unwrap();
        let rows = answer["rows"].as_array().unwrap().iter();
        let found: Vec<&str> = rows.map(|row| row["object"]["metadata"]["name"].as_str().unwrap()).collect();
        assert_eq!((found, &answer["kind"]), (names, &json!("Table")), "{path}");
    }
    assert_eq!(ask(&scene, "/api/v1/nodes", "application/vnd.kubernetes.protobuf").await.0, 406);
}
