//! The API's description of itself, as far as clients read it: which verbs check fields (kubectl then leaves that to the
//! server), and for `kubectl explain` which fields there are. kubectl before 1.29 reads only version 2, in protobuf.

mod proto;

use axum::{
    Json,
    extract::Path,
    http::{HeaderMap, header::CONTENT_TYPE},
    response::{IntoResponse, Response},
};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use super::{
    media,
    refusal::Refusal,
    resource::{self, Listed, Scope},
};
use crate::manifest;

/// The parameters of a write that clients look for.
const PARAMETERS: [&str; 2] = ["dryRun", "fieldValidation"];
/// What clients ask for has an `@` in it that Go's own parser of media types refuses in an answer.
const SECOND: &str = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf";

/// `GET /openapi/v2`.
pub(super) async fn second(headers: HeaderMap) -> Result<Response, Refusal> {
    let accept = media::accept(&headers);
    if !accept.contains("proto-openapi.spec.v2") {
        return Err(Refusal::not_acceptable(accept));
    }
    Ok(([(CONTENT_TYPE, SECOND)], proto::document(resource::listed())).into_response())
}

/// `GET /openapi/v3`.
pub(super) async fn index() -> Json<Value> {
    let entry = |version: &'static str| {
        let root = path(version);
        // A client may keep the document as long as its address stays.
        let digest = Sha256::digest(document(version).to_string());
        let hash: String = digest.iter().take(8).map(|byte| format!("{byte:02X}")).collect();
        let address = format!("/openapi/v3/{root}?hash={hash}");
        (root, json!({ "serverRelativeURL": address }))
    };
    let paths: Map<String, Value> = versions().into_iter().map(entry).collect();
    Json(json!({ "paths": paths }))
}

/// `GET /openapi/v3/api/v1`, `/openapi/v3/apis/apps/v1`.
pub(super) async fn third(Path(path): Path<String>) -> Result<Json<Value>, Refusal> {
    let version = versions().into_iter().find(|version| self::path(version) == path);
    version.map(|version| Json(document(version))).ok_or_else(Refusal::unknown_path)
}

fn versions() -> Vec<&'static str> {
    let mut versions: Vec<&str> = Vec::new();
    for kind in resource::listed() {
        if !versions.contains(&kind.version) {
            versions.push(kind.version);
        }
    }
    versions
}

/// `api/v1`, `apis/apps/v1`.
fn path(version: &str) -> String {
    resource::root(version).trim_start_matches('/').to_owned()
}

/// The paths of a kind: of all its objects, and of one.
fn paths(kind: &Listed) -> [String; 2] {
    let within = if kind.scope == Scope::Namespaced { "namespaces/{namespace}/" } else { "" };
    let list = format!("{}/{within}{}", kind.root(), kind.plural);
    let one = format!("{list}/{{name}}");
    [list, one]
}

fn document(version: &str) -> Value {
    let (mut described, mut schemas) = (Map::new(), Map::new());
    for kind in resource::listed().filter(|kind| kind.version == version) {
        let [list, one] = paths(&kind);
        described.insert(list, operations(&kind, &[("create", "post")]));
        described.insert(one, operations(&kind, &[("update", "put"), ("patch", "patch")]));
        schemas.insert(format!("{}.{}", version.replace('/', "."), kind.kind), schema(&kind));
    }
    json!({
        "openapi": "3.0.0",
        "info": {"title": "carob", "version": env!("CARGO_PKG_VERSION")},
        "paths": described,
        "components": {"schemas": schemas},
    })
}

fn operations(kind: &Listed, verbs: &[(&str, &str)]) -> Value {
    let parameter = |name: &&str| json!({"name": name, "in": "query", "schema": {"type": "string"}});
    let operation = |(verb, method): &(&str, &str)| {
        let operation = json!({
            "parameters": PARAMETERS.iter().map(parameter).collect::<Vec<_>>(),
            "responses": {"200": {"description": "OK"}},
            "x-kubernetes-action": method,
            "x-kubernetes-group-version-kind": named(kind),
        });
        kind.verbs.contains(verb).then(|| ((*method).to_owned(), operation))
    };
    Value::Object(verbs.iter().filter_map(operation).collect())
}

fn named(kind: &Listed) -> Value {
    let (group, version) = kind.group_version();
    json!({"group": group, "version": version, "kind": kind.kind})
}

/// Of what clients write all fields, of the rest only the name.
fn schema(kind: &Listed) -> Value {
    let stored = resource::all().find(|stored| stored.kind.name() == kind.kind);
    let stored = stored.and_then(|stored| stored.manifest());
    let mut schema = stored.map_or_else(|| json!({"type": "object"}), manifest::schema);
    schema["x-kubernetes-group-version-kind"] = json!([named(kind)]);
    schema
}
