//! Namespaces: those that somebody made, and those that are there because an object is in them.
//!
//! An object may be in a namespace that nobody made; whoever changes or deletes such a one makes it first. One that is
//! deleted is marked, and takes nothing new in; the loop ends what is in it, then removes it.

use std::{collections::BTreeMap, sync::Arc};

use axum::{
    Router,
    body::Bytes,
    extract::{Path, State, rejection::BytesRejection},
    http::HeaderMap,
    response::Response,
    routing::get,
};
use serde_json::{Value, json};

use super::{
    Api, OBJECT_LIMIT,
    cache::WatchCache,
    change,
    cluster::uid,
    list::{self, ListQuery},
    objects::{self, Answer, Options, WriteQuery, options},
    refusal::Refusal,
    resource::{self, NAMESPACES, Resource},
    table::Form,
};
use crate::{
    manifest::NAMESPACE_LABEL,
    pod::annotation,
    store::{Error, Kind},
};

/// There without anything in it.
const DEFAULT: &str = "default";
/// As with Kubernetes' own server.
const IMMORTAL: [&str; 3] = [DEFAULT, "kube-public", "kube-system"];

pub(super) fn routes() -> Router<Arc<Api>> {
    let root = NAMESPACES.root() + "/namespaces";
    let one = get(read).put(replace).patch(patch).delete(delete);
    Router::new()
        .route(&root, get(list).post(create))
        .route(&format!("{root}/{{name}}"), one)
        .layer(axum::extract::DefaultBodyLimit::max(OBJECT_LIMIT))
}

/// The path of one as those of other objects are: in no namespace.
fn path(name: String) -> Path<(String, String, String)> {
    Path((String::new(), NAMESPACES.plural.to_owned(), name))
}

async fn list(
    State(api): State<Arc<Api>>,
    query: Options<ListQuery>,
    form: Form,
) -> Result<Response, Refusal> {
    list::list_or_watch(api, NAMESPACES.into(), None, &options(query)?, form).await
}

async fn create(
    api: State<Arc<Api>>,
    query: Options<WriteQuery>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> objects::Created {
    let path = Path((String::new(), NAMESPACES.plural.to_owned()));
    objects::create(api, path, query, headers, body).await
}

async fn read(api: State<Arc<Api>>, Path(name): Path<String>, form: Form) -> Answer {
    objects::read(api, path(name), form).await
}

async fn replace(
    api: State<Arc<Api>>,
    Path(name): Path<String>,
    query: Options<WriteQuery>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> change::Changed {
    change::replace(api, path(name), query, headers, body).await
}

async fn patch(
    api: State<Arc<Api>>,
    Path(name): Path<String>,
    query: Options<WriteQuery>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> change::Changed {
    change::patch(api, path(name), query, headers, body).await
}

async fn delete(
    api: State<Arc<Api>>,
    Path(name): Path<String>,
    query: Options<WriteQuery>,
    body: Result<Bytes, BytesRejection>,
) -> Answer {
    may_go(&api, &name).await?;
    objects::delete(api, path(name), query, body).await
}

/// All of them, and the version at which that is so.
pub(super) async fn all(api: &Api) -> Result<(Vec<Value>, u64), Refusal> {
    let (stored, version) = objects_of(api, NAMESPACES, None).await?;
    let mut within = Vec::new();
    // What is told of an object does not make a namespace be there.
    for resource in namespaced().filter(|one| *one != resource::EVENTS) {
        within.extend(objects_of(api, resource, None).await?.0);
    }
    let mut all: BTreeMap<String, Value> = implied(&within);
    for object in stored {
        let name = object["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        all.insert(name, shown(object));
    }
    Ok((all.into_values().collect(), version))
}

/// One that nobody made, if there is one of that name.
pub(super) async fn unmade(api: &Api, name: &str) -> Result<Option<Value>, Refusal> {
    let found = WatchCache::one(api, NAMESPACES.into(), "", name).await?;
    Ok(found.map(|shown| shown.object.clone()))
}

/// What a client has made of one that nobody made is there from then on. `None`: somebody made it.
pub(super) async fn adopt(api: &Api, namespace: &Value) -> Result<Option<Value>, Refusal> {
    let name = namespace["metadata"]["name"].as_str().unwrap_or_default();
    match api.objects.create(Kind::Namespace, namespace.clone()).await {
        Ok(object) => Ok(Some(object)),
        Err(Error::AlreadyExists(_)) => Ok(None),
        Err(error) => Err(Refusal::of_store(&error, NAMESPACES, name)),
    }
}

/// Whether a namespace is on its way out, and takes nothing new in.
pub(super) async fn is_closed(api: &Api, namespace: &str) -> Result<bool, Refusal> {
    let found = api.objects.get(Kind::Namespace, "", namespace).await;
    let found = found.map_err(|error| Refusal::of_store(&error, NAMESPACES, namespace))?;
    Ok(found.is_some_and(|found| found["metadata"]["deletionTimestamp"].is_string()))
}

/// Refuses the end of what stays, or comes again with its file.
async fn may_go(api: &Api, name: &str) -> Result<(), Refusal> {
    if IMMORTAL.contains(&name) {
        return Err(Refusal::forbidden(NAMESPACES, name, "this namespace may not be deleted"));
    }
    for resource in namespaced() {
        let (objects, _) = objects_of(api, resource, Some(name)).await?;
        let from_file = objects.iter().find_map(|object| {
            let metadata = &object["metadata"];
            Some((&metadata["name"], metadata["annotations"][annotation::MANIFEST].as_str()?))
        });
        if let Some((object, file)) = from_file {
            let why =
                format!("{} {object} in it comes from the file {file}: remove that first", resource.singular);
            return Err(Refusal::forbidden(NAMESPACES, name, &why));
        }
    }
    Ok(())
}

fn namespaced() -> impl Iterator<Item = Resource> {
    resource::all().filter(Resource::is_namespaced)
}

async fn objects_of(
    api: &Api,
    resource: Resource,
    namespace: Option<&str>,
) -> Result<(Vec<Value>, u64), Refusal> {
    let listed = api.objects.list(resource.kind, namespace).await;
    listed.map_err(|error| Refusal::of_store(&error, resource, ""))
}

/// The namespaces of these objects, by name. Each is as old as the oldest object in it.
fn implied(objects: &[Value]) -> BTreeMap<String, Value> {
    let mut oldest: BTreeMap<&str, Option<&str>> = BTreeMap::from([(DEFAULT, None)]);
    for object in objects {
        let metadata = &object["metadata"];
        let (Some(name), made) = (metadata["namespace"].as_str(), metadata["creationTimestamp"].as_str())
        else {
            continue;
        };
        let known = oldest.entry(name).or_insert(made);
        // Dates in UTC are in order as texts are.
        *known = [*known, made].into_iter().flatten().min();
    }
    let named = |(name, made): (&str, Option<&str>)| {
        let namespace = json!({
            "kind": "Namespace",
            "apiVersion": "v1",
            "metadata": {"name": name, "uid": uid("Namespace", name), "creationTimestamp": made},
            "spec": {"finalizers": ["kubernetes"]},
        });
        (name.to_owned(), shown(namespace))
    };
    oldest.into_iter().map(named).collect()
}

/// With what only the server says.
pub(super) fn shown(mut namespace: Value) -> Value {
    let goes = namespace["metadata"]["deletionTimestamp"].is_string();
    namespace["metadata"]["labels"][NAMESPACE_LABEL] = namespace["metadata"]["name"].clone();
    namespace["status"]["phase"] = json!(if goes { "Terminating" } else { "Active" });
    namespace
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_namespace_is_there_while_something_is_in_it() {
        let object = |namespace: &str, made: &str| json!({"metadata": {"namespace": namespace, "creationTimestamp": made}});
        let objects = [
            object("shop", "2026-11-23T11:00:00Z"),
            object("shop", "2026-11-23T10:00:00Z"),
            object("shop", "2026-11-23T12:00:00Z"),
        ];
        let found: Vec<_> = implied(&objects)
            .into_values()
            .map(|one| (one["metadata"]["name"].clone(), one["metadata"]["creationTimestamp"].clone()))
            .collect();
        assert_eq!(found, [(json!("default"), Value::Null), (json!("shop"), json!("2026-11-23T10:00:00Z"))]);
    }

    #[test]
    fn what_is_to_go_says_so() {
        for (mark, phase) in [(Value::Null, "Active"), (json!("2026-11-23T10:00:00Z"), "Terminating")] {
            let one = shown(json!({"metadata": {"name": "shop", "deletionTimestamp": mark}}));
            assert_eq!(one["status"]["phase"], phase);
            assert_eq!(one["metadata"]["labels"], json!({"kubernetes.io/metadata.name": "shop"}));
        }
    }
}
