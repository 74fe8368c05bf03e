//! Namespaces, made by somebody or not.

use serde_json::{Value, json};

use super::scene::Scene;
use crate::store::Kind;

const SPACES: &str = "/api/v1/namespaces";
const MAP: &str = r#"{"metadata":{"name":"scales"},"data":{"a":"b"}}"#;

fn named(name: &str) -> String {
    json!({"metadata": {"name": name}}).to_string()
}

async fn names(scene: &Scene) -> Vec<String> {
    let (_, list) = scene.ask("GET", SPACES, "").await;
    assert_eq!(list["kind"], "NamespaceList");
    let name = |one: &Value| one["metadata"]["name"].as_str().unwrap().to_owned();
    list["items"].as_array().unwrap().iter().map(name).collect()
}

#[tokio::test]
async fn what_is_made_is_there_without_anything_in_it() {
    let scene = Scene::new();
    assert_eq!(names(&scene).await, ["default"]);
    let (code, dry) = scene.ask("POST", "/api/v1/namespaces?dryRun=All", &named("shop")).await;
    assert_eq!((code, &dry["metadata"]["name"]), (201, &json!("shop")));
    let (code, made) = scene.ask("POST", SPACES, &named("shop")).await;
    assert_eq!((code, &made["status"]["phase"]), (201, &json!("Active")), "{made}");
    assert_eq!(made["metadata"]["labels"], json!({"kubernetes.io/metadata.name": "shop"}));
    assert_eq!(made["metadata"].get("namespace"), None);
    assert_eq!(
        scene.ask("GET", "/api/v1/namespaces/shop", "").await.1["metadata"]["uid"],
        made["metadata"]["uid"]
    );
    let (code, generated) = scene.ask("POST", SPACES, r#"{"metadata":{"generateName":"car-"}}"#).await;
    assert_eq!(code, 201, "{generated}");
    assert_eq!(names(&scene).await.len(), 3);
}

#[tokio::test]
async fn one_that_nobody_made_becomes_somebodys_by_what_is_done_to_it() {
    let scene = Scene::new();
    assert_eq!(scene.ask("POST", "/api/v1/namespaces/till/configmaps", MAP).await.0, 201);
    let till = "/api/v1/namespaces/till";
    let (code, found) = scene.ask("GET", till, "").await;
    assert_eq!((code, &found["status"]["phase"]), (200, &json!("Active")));
    let response = scene
        .send("PATCH", till, "application/merge-patch+json", r#"{"metadata":{"labels":{"floor":"1"}}}"#)
        .await;
    assert_eq!(response.status().as_u16(), 200);
    assert_eq!(scene.ask("DELETE", "/api/v1/namespaces/till/configmaps/scales", "").await.0, 200);
    let (code, labelled) = scene.ask("GET", till, "").await;
    assert_eq!(code, 200, "it stays though nothing is in it");
    let labels = json!({"floor": "1", "kubernetes.io/metadata.name": "till"});
    assert_eq!(
        (&labelled["metadata"]["labels"], &labelled["metadata"]["uid"]),
        (&labels, &found["metadata"]["uid"])
    );
    assert_eq!(
        scene.ask("GET", "/api/v1/namespaces?labelSelector=floor%3D1", "").await.1["items"],
        json!([labelled])
    );
}

#[tokio::test]
async fn nothing_new_comes_into_one_that_goes() {
    let scene = Scene::new();
    let (_, made) = scene.ask("POST", SPACES, &named("shop")).await;
    for (space, uid) in [("shop", made["metadata"]["uid"].clone()), ("till", Value::Null)] {
        let maps = format!("/api/v1/namespaces/{space}/configmaps");
        assert_eq!(scene.ask("POST", &maps, MAP).await.0, 201);
        let path = format!("/api/v1/namespaces/{space}");
        let dry = scene.ask("DELETE", &format!("{path}?dryRun=All"), "").await.1;
        assert_eq!(dry["status"]["phase"], "Terminating");
        assert_eq!(scene.ask("GET", &path, "").await.1["status"]["phase"], "Active");
        let (code, doomed) = scene.ask("DELETE", &path, "").await;
        assert_eq!((code, &doomed["status"]["phase"]), (200, &json!("Terminating")), "{doomed}");
        assert!(uid.is_null() || doomed["metadata"]["uid"] == uid);
        let (code, answer) = scene.ask("POST", &maps, &MAP.replace("scales", "more")).await;
        let said = format!(
            "configmaps \"more\" is forbidden: unable to create new content in namespace {space} because it is being terminated"
        );
        assert_eq!((code, answer["message"].as_str()), (403, Some(said.as_str())));
        assert_eq!(answer["details"]["causes"][0]["reason"], "NamespaceTerminating");
        let dry = format!("{maps}?dryRun=All");
        assert_eq!(scene.ask("POST", &dry, &MAP.replace("scales", "more")).await, (403, answer));
        let going = format!("{SPACES}?fieldSelector=status.phase%3DTerminating,metadata.name%3D{space}");
        assert_eq!(
            scene.ask("GET", &going, "").await.1["items"],
            json!([scene.ask("GET", &path, "").await.1])
        );
        let stored = scene.store.objects().get(Kind::Namespace, "", space).await.unwrap().unwrap();
        assert!(stored["metadata"]["deletionTimestamp"].is_string(), "{stored}");
    }
}

#[tokio::test]
async fn what_may_not_be_is_refused() {
    let scene = Scene::new();
    let mut web = super::object("web", &["c"]);
    web["metadata"]["annotations"] = json!({"carob.dev/manifest": "/etc/carob/manifests/web.yaml"});
    web["metadata"]["namespace"] = json!("shop");
    scene.store.objects().create(Kind::Pod, web).await.unwrap();
    let rows = [
        ("POST", SPACES, named("default"), 409, "already exists"),
        ("POST", SPACES, named("shop"), 409, "already exists"),
        ("POST", SPACES, named("a.b"), 422, "metadata.name"),
        (
            "POST",
            SPACES,
            r#"{"metadata":{"name":"b","namespace":"c"}}"#.to_owned(),
            422,
            "not allowed on this type",
        ),
        (
            "POST",
            SPACES,
            r#"{"metadata":{"name":"b"},"spec":{"finalizers":["mine"]}}"#.to_owned(),
            422,
            "spec.finalizers",
        ),
        ("DELETE", SPACES, String::new(), 405, "method"),
        ("DELETE", "/api/v1/namespaces/default", String::new(), 403, "may not be deleted"),
        ("DELETE", "/api/v1/namespaces/shop", String::new(), 403, "/etc/carob/manifests/web.yaml"),
        ("DELETE", "/api/v1/namespaces/none", String::new(), 404, "not found"),
        ("GET", "/api/v1/namespaces/none", String::new(), 404, "not found"),
        ("GET", "/api/v1/namespaces/shop/namespaces", String::new(), 404, "could not find"),
        ("PUT", "/api/v1/namespaces/shop", named("till"), 400, "does not match"),
    ];
    for (method, path, body, code, word) in rows {
        let (found, answer) = scene.ask(method, path, &body).await;
        assert_eq!(found, code, "{method} {path}: {answer}");
        assert!(answer["message"].as_str().unwrap().contains(word), "{method} {path}: {answer}");
    }
}
