//! ConfigMaps and secrets over HTTP: made, changed in place, refused, and gone at once.

use serde_json::{Value, json};

use super::{PODS, scene::Scene};
use crate::store::Kind;

const MAPS: &str = "/api/v1/namespaces/default/configmaps";
const MAP: &str = "/api/v1/namespaces/default/configmaps/m";

async fn patch(scene: &Scene, path: &str, patch: Value) -> u16 {
    let response = scene.send("PATCH", path, "application/merge-patch+json", &patch.to_string()).await;
    response.status().as_u16()
}

#[tokio::test]
async fn an_object_changes_in_place_unless_its_version_or_its_own_word_forbids_it() {
    let scene = Scene::new();
    let (code, first) = scene.ask("POST", MAPS, r#"{"metadata":{"name":"m"},"data":{"a":"1"}}"#).await;
    assert_eq!(code, 201, "{first}");
    let mut next = first.clone();
    next["data"]["a"] = json!("2");
    let (code, second) = scene.ask("PUT", MAP, &next.to_string()).await;
    assert_eq!((code, &second["data"]["a"]), (200, &json!("2")), "{second}");
    assert_eq!(second["metadata"]["uid"], first["metadata"]["uid"]);
    let (code, answer) = scene.ask("PUT", MAP, &next.to_string()).await;
    assert_eq!((code, answer["reason"].as_str()), (409, Some("Conflict")), "{answer}");
    assert_eq!(patch(&scene, MAP, json!({"data": {"b": "3", "a": null}})).await, 200);
    let (_, third) = scene.ask("GET", MAP, "").await;
    assert_eq!(third["data"], json!({"b": "3"}));
    assert_eq!(patch(&scene, &format!("{MAP}?dryRun=All"), json!({"data": {"b": "4"}})).await, 200);
    assert_eq!(patch(&scene, MAP, json!({"metadata": {"name": "other"}})).await, 400);
    assert_eq!(patch(&scene, MAP, json!({"metadata": {"resourceVersion": "1"}})).await, 409);
    assert_eq!(patch(&scene, MAP, json!({"data": {"b": 4}})).await, 400);
    assert_eq!(patch(&scene, MAP, json!([])).await, 400);
    assert_eq!(patch(&scene, MAP, json!({"immutable": true})).await, 200);
    assert_eq!(patch(&scene, MAP, json!({"data": {"b": "4"}})).await, 422);
    assert_eq!(patch(&scene, MAP, json!({"metadata": {"labels": {"x": "y"}}})).await, 200);
    assert_eq!(scene.ask("GET", MAP, "").await.1["data"], json!({"b": "3"}));
    for (media, body, code) in [
        ("strategic-merge-patch+json", r#"{"data":{"b":"3"}}"#, 200),
        ("json-patch+json", r#"[{"op":"test","path":"/data/b","value":"3"}]"#, 200),
        ("json-patch+json", r#"[{"op":"test","path":"/data/b","value":"4"}]"#, 422),
        ("json-patch+json", r#"[{"op":"test","path":"/metadata/resourceVersion","value":"1"}]"#, 422),
        ("json-patch+json", r#"{}"#, 400),
        ("apply-patch+yaml", r#"{}"#, 415),
        ("json", r#"{}"#, 415),
    ] {
        let answer = scene.send("PATCH", MAP, &format!("application/{media}"), body).await;
        assert_eq!(answer.status().as_u16(), code, "{media} {body}");
    }
    let (code, gone) = scene.ask("DELETE", MAP, "").await;
    assert_eq!((code, &gone["details"]["uid"]), (200, &first["metadata"]["uid"]), "{gone}");
    assert_eq!(scene.ask("GET", MAP, "").await.0, 404);
    assert_eq!(patch(&scene, MAP, json!({})).await, 404);
}

#[tokio::test]
async fn of_pods_and_claims_only_labels_and_annotations_change() {
    let scene = Scene::new();
    let pod = r#"{"metadata":{"name":"p"},"spec":{"containers":[{"name":"c","image":"i:1"}]}}"#;
    let claim = r#"{"metadata":{"name":"p"},"spec":{"accessModes":["ReadWriteOnce"],"resources":{"requests":{"storage":"1Gi"}}}}"#;
    for (plural, object, spec) in [
        ("pods", pod, json!({"restartPolicy": "Never"})),
        ("persistentvolumeclaims", claim, json!({"accessModes": ["ReadWriteMany"]})),
    ] {
        let list = format!("/api/v1/namespaces/default/{plural}");
        let one = format!("{list}/p");
        assert_eq!(scene.ask("POST", &list, object).await.0, 201);
        assert_eq!(patch(&scene, &one, json!({"metadata": {"labels": {"a": "b"}}})).await, 200, "{plural}");
        assert_eq!(patch(&scene, &one, json!({"spec": spec})).await, 422, "{plural}");
        let marked = json!({"metadata": {"annotations": {"carob.dev/manifest": "/x"}}});
        assert_eq!(patch(&scene, &one, marked).await, 403, "{plural}");
        assert_eq!(scene.ask("GET", &one, "").await.1["metadata"]["labels"], json!({"a": "b"}));
    }
}

#[tokio::test]
async fn a_collection_is_deleted_as_far_as_it_is_chosen() {
    let scene = Scene::new();
    let names = |list: &Value| -> Vec<String> {
        let items = list["items"].as_array().into_iter().flatten();
        items.map(|item| item["metadata"]["name"].as_str().unwrap().to_owned()).collect()
    };
    for (name, labels) in [("a", r#"{"x":"1"}"#), ("b", r#"{"x":"1"}"#), ("c", "{}")] {
        let map = format!(r#"{{"metadata":{{"name":"{name}","labels":{labels}}}}}"#);
        assert_eq!(scene.ask("POST", MAPS, &map).await.0, 201);
    }
    let rows: [(&str, u16, &[&str], &[&str]); 5] = [
        ("labelSelector=x%3D2", 200, &[], &["a", "b", "c"]),
        ("labelSelector=x%3D1&dryRun=All", 200, &["a", "b"], &["a", "b", "c"]),
        ("labelSelector=x%20within%20(1)", 400, &[], &["a", "b", "c"]),
        ("labelSelector=x%3D1", 200, &["a", "b"], &["c"]),
        ("", 200, &["c"], &[]),
    ];
    for (query, code, deleted, left) in rows {
        let (found, answer) = scene.ask("DELETE", &format!("{MAPS}?{query}"), "").await;
        assert_eq!(
            (found, names(&answer)),
            (code, deleted.iter().map(ToString::to_string).collect()),
            "{query}"
        );
        assert_eq!(names(&scene.ask("GET", MAPS, "").await.1), left, "{query}");
    }
}

#[tokio::test]
async fn a_pod_gets_another_image_and_a_deadline_in_place() {
    let scene = Scene::new();
    let list = "/api/v1/namespaces/default/pods";
    let one = format!("{list}/p");
    let pod = r#"{"metadata":{"name":"p"},"spec":{"containers":[{"name":"c","image":"i:1"}]}}"#;
    assert_eq!(scene.ask("POST", list, pod).await.0, 201);
    let (_, mut read) = scene.ask("GET", &one, "").await;
    // As a client does that reads, changes and writes back: the node's name comes back too.
    read["spec"]["containers"][0]["image"] = json!("i:2");
    let (code, changed) = scene.ask("PUT", &one, &read.to_string()).await;
    assert_eq!((code, &changed["metadata"]["generation"]), (200, &json!(2)), "{changed}");
    assert_eq!(patch(&scene, &one, json!({"spec": {"activeDeadlineSeconds": 30}})).await, 200);
    assert_eq!(patch(&scene, &one, json!({"spec": {"activeDeadlineSeconds": 31}})).await, 422);
    assert_eq!(patch(&scene, &one, json!({"metadata": {"labels": {"a": "b"}}})).await, 200);
    let (_, pod) = scene.ask("GET", &one, "").await;
    assert_eq!(pod["metadata"]["generation"], json!(3), "labels are no new generation: {pod}");
    assert_eq!(pod["spec"]["containers"][0]["image"], json!("i:2"));
    let (code, refused) = scene
        .ask("PUT", &one, &{
            let mut pod = pod.clone();
            pod["spec"]["containers"][0]["command"] = json!(["x"]);
            pod.to_string()
        })
        .await;
    let message = refused["message"].as_str().unwrap_or_default();
    assert!(
        code == 422 && message.contains("spec: Forbidden: pod updates may not change fields other"),
        "{refused}"
    );
}

#[tokio::test]
async fn of_a_pods_status_only_conditions_that_are_not_the_agents_stay() {
    let scene = Scene::new();
    let pod = r#"{"metadata":{"name":"p"},"spec":{"containers":[{"name":"c","image":"i:1"}]}}"#;
    let (_, made) = scene.ask("POST", PODS, pod).await;
    let path = format!("{PODS}/p/status");
    let gate = json!({"type": "example.com/gate", "status": "True"});
    let written = json!({
        "metadata": {"labels": {"by": "client"}},
        "spec": {"activeDeadlineSeconds": 5},
        "status": {
            "phase": "Failed", "message": "said",
            "allocated": {"c": {}},
            "conditions": [gate, {"type": "Ready", "status": "True"}],
        },
    });
    let media = "application/merge-patch+json";
    assert_eq!(scene.send("PATCH", &path, media, &written.to_string()).await.status(), 200);
    let (_, shown) = scene.ask("GET", &format!("{PODS}/p"), "").await;
    assert_eq!(
        (&shown["status"]["phase"], &shown["status"]["conditions"]),
        (&json!("Pending"), &json!([gate]))
    );
    assert_eq!((&shown["spec"], &shown["metadata"]["labels"]["by"]), (&made["spec"], &json!("client")));
    assert_eq!(shown["metadata"]["generation"], 1);
    let (stored, _) = scene.store.objects().list(Kind::Pod, None).await.unwrap();
    assert_eq!(stored[0]["status"], json!({"conditions": [gate]}));
    // A change of something else leaves them.
    assert_eq!(patch(&scene, &format!("{PODS}/p"), json!({"metadata": {"labels": {"a": "b"}}})).await, 200);
    let (_, mut read) = scene.ask("GET", &path, "").await;
    assert_eq!(read["status"]["conditions"], json!([gate]));
    // The answer to a write is what was written.
    read["status"]["message"] = json!("said");
    read["status"]["conditions"] = json!([{"type": "Ready", "status": "False"}]);
    let (code, told) = scene.ask("PUT", &path, &read.to_string()).await;
    assert_eq!((code, &told["status"]), (200, &read["status"]));
    let (_, shown) = scene.ask("GET", &path, "").await;
    assert_eq!(shown["status"].get("conditions"), None);
}
