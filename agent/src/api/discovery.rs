//! What there is to ask for: the groups, and the kinds in each with their verbs. A client takes them all in one answer
//! (`apidiscovery.k8s.io`) or group by group; both come from the table of kinds.

use axum::{
    Json,
    extract::Path,
    http::{HeaderMap, header::CONTENT_TYPE},
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};

use super::{
    media,
    refusal::Refusal,
    resource::{self, Listed, Scope, Subresource},
};

/// The versions of the one answer.
const AGGREGATED: [&str; 2] = ["v2", "v2beta1"];

/// `GET /api`.
pub(super) async fn versions(headers: HeaderMap) -> Response {
    match aggregated(&headers) {
        Some(version) => all_at_once(version, &[""]),
        None => Json(json!({"kind": "APIVersions", "versions": ["v1"]})).into_response(),
    }
}

/// `GET /apis`.
pub(super) async fn groups(headers: HeaderMap) -> Response {
    let names = group_names();
    match aggregated(&headers) {
        Some(version) => all_at_once(version, &names),
        None => {
            let groups: Vec<Value> = names.into_iter().map(told).collect();
            Json(json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": groups})).into_response()
        }
    }
}

/// `GET /apis/apps`.
pub(super) async fn group(Path(group): Path<String>) -> Result<Json<Value>, Refusal> {
    let name = group_names().into_iter().find(|name| *name == group).ok_or_else(Refusal::unknown_path)?;
    let mut told = told(name);
    told["kind"] = json!("APIGroup");
    told["apiVersion"] = json!("v1");
    Ok(Json(told))
}

/// `GET /api/v1`.
pub(super) async fn core() -> Result<Json<Value>, Refusal> {
    list("v1")
}

/// `GET /apis/apps/v1`.
pub(super) async fn resources(
    Path((group, version)): Path<(String, String)>,
) -> Result<Json<Value>, Refusal> {
    list(&format!("{group}/{version}"))
}

/// Groups with a name, in the order of the table.
fn group_names() -> Vec<&'static str> {
    let mut names: Vec<&str> = Vec::new();
    for (group, _) in resource::listed().map(|kind| kind.group_version()) {
        if !group.is_empty() && !names.contains(&group) {
            names.push(group);
        }
    }
    names
}

/// There is one version of each group.
fn version_of(group: &str) -> Option<&'static str> {
    resource::listed()
        .map(|kind| kind.group_version())
        .find(|(name, _)| *name == group)
        .map(|(_, version)| version)
}

fn told(group: &str) -> Value {
    let version = version_of(group).unwrap_or_default();
    let version = json!({"groupVersion": format!("{group}/{version}"), "version": version});
    json!({"name": group, "versions": [version], "preferredVersion": version})
}

fn list(version: &str) -> Result<Json<Value>, Refusal> {
    let kinds = resource::listed().filter(|kind| kind.version == version);
    let resources: Vec<Value> = kinds.flat_map(|kind| entries(&kind)).collect();
    if resources.is_empty() {
        return Err(Refusal::unknown_path());
    }
    Ok(Json(json!({
        "kind": "APIResourceList", "apiVersion": "v1", "groupVersion": version, "resources": resources,
    })))
}

/// A kind and its parts, one entry each.
fn entries(kind: &Listed) -> Vec<Value> {
    let is_namespaced = kind.scope == Scope::Namespaced;
    let whole = json!({
        "name": kind.plural,
        "singularName": kind.singular,
        "namespaced": is_namespaced,
        "kind": kind.kind,
        "verbs": kind.verbs,
        "shortNames": kind.short,
        "categories": kind.categories,
    });
    let part = |part: &Subresource| {
        let mut entry = json!({
            "name": format!("{}/{}", kind.plural, part.name),
            "singularName": "",
            "namespaced": is_namespaced,
            "kind": part.kind,
            "verbs": part.verbs,
        });
        if let Some((group, version)) = part.group_version {
            entry["group"] = json!(group);
            entry["version"] = json!(version);
        }
        entry
    };
    std::iter::once(whole).chain(kind.parts.iter().map(part)).collect()
}

/// The version of the one answer that the client takes, if it takes any before plain JSON.
fn aggregated(headers: &HeaderMap) -> Option<&'static str> {
    media::accept(headers).split(',').find_map(form).flatten()
}

/// `None`: a form there is not. `Some(None)`: plain JSON.
fn form(media: &str) -> Option<Option<&'static str>> {
    match ["as", "g", "v"].map(|name| media::parameter(media, name)) {
        [Some("APIGroupDiscoveryList"), Some("apidiscovery.k8s.io"), Some(asked)] => {
            AGGREGATED.into_iter().find(|known| *known == asked).map(Some)
        }
        [None, ..] => media::is_json(media).then_some(None),
        _ => None,
    }
}

fn all_at_once(version: &str, groups: &[&str]) -> Response {
    let group = |name: &&str| {
        let kinds = resource::listed().filter(|kind| kind.group_version().0 == *name);
        let resources: Vec<Value> = kinds.map(|kind| whole(&kind)).collect();
        let versions = json!([{
            "version": version_of(name), "freshness": "Current", "resources": resources,
        }]);
        match name.is_empty() {
            true => json!({"metadata": {}, "versions": versions}),
            false => json!({"metadata": {"name": name}, "versions": versions}),
        }
    };
    let items: Vec<Value> = groups.iter().map(group).collect();
    let body = json!({
        "kind": "APIGroupDiscoveryList",
        "apiVersion": format!("apidiscovery.k8s.io/{version}"),
        "metadata": {},
        "items": items,
    });
    let media = format!("application/json;g=apidiscovery.k8s.io;v={version};as=APIGroupDiscoveryList");
    ([(CONTENT_TYPE, media)], body.to_string()).into_response()
}

/// A kind with its parts inside.
fn whole(kind: &Listed) -> Value {
    let own = kind.group_version();
    let response = |(group, version): (&str, &str), kind: &str| json!({"group": group, "version": version, "kind": kind});
    let part = |part: &Subresource| {
        let kind = response(part.group_version.unwrap_or(own), part.kind);
        json!({"subresource": part.name, "responseKind": kind, "verbs": part.verbs})
    };
    let scope = match kind.scope {
        Scope::Namespaced => "Namespaced",
        Scope::Cluster => "Cluster",
    };
    json!({
        "resource": kind.plural,
        "responseKind": response(own, kind.kind),
        "scope": scope,
        "singularResource": kind.singular,
        "verbs": kind.verbs,
        "shortNames": kind.short,
        "categories": kind.categories,
        "subresources": kind.parts.iter().map(part).collect::<Vec<_>>(),
    })
}
