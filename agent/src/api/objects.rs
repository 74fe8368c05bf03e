//! Reading, creating and deleting objects over HTTP. What may be stored is `admission`'s to decide, what a status says
//! `pod`'s.

use std::sync::Arc;

use axum::{
    Json,
    body::Bytes,
    extract::{
        Path, Query, State,
        rejection::{BytesRejection, QueryRejection},
    },
    http::{HeaderMap, StatusCode, header::CONTENT_TYPE},
};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    Api, OBJECT_LIMIT,
    admission::{self, DeleteOptions, Submitted},
    cache::WatchCache,
    claim, events,
    list::{self, ListQuery},
    namespaces, pod, protobuf,
    refusal::Refusal,
    resource::Resource,
    table::Form,
    validation::{Validation, Warnings},
    workload,
};
use crate::{
    picture::Picture,
    pod::PodUid,
    store::{Error, Kind},
};

/// Content types of a body that `manifest` can read: JSON is YAML.
const TEXTS: [&str; 5] =
    ["application/json", "application/yaml", "application/x-yaml", "text/yaml", "text/x-yaml"];

pub(super) type Answer = Result<Json<Value>, Refusal>;
pub(super) type Created = Result<(StatusCode, Warnings, Json<Value>), Refusal>;
pub(super) type Options<T> = Result<Query<T>, QueryRejection>;

/// The query of a create or a delete.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct WriteQuery {
    pub(super) dry_run: Option<String>,
    pub(super) field_validation: Option<String>,
    grace_period_seconds: Option<u32>,
}

/// Whether a write is to leave a trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Writing {
    Real,
    Dry,
}

impl Writing {
    pub(super) fn of(query: &WriteQuery) -> Result<Self, Refusal> {
        Self::asked(query.dry_run.as_deref())
    }

    fn asked(dry_run: Option<&str>) -> Result<Self, Refusal> {
        match dry_run {
            None | Some("") => Ok(Self::Real),
            Some("All") => Ok(Self::Dry),
            Some(other) => {
                Err(Refusal::bad_request(format!("dryRun: {other:?} is not accepted; \"All\" is needed")))
            }
        }
    }
}

/// `GET /api/v1/namespaces/{namespace}/pods/{name}`.
pub(super) async fn read(
    State(api): State<Arc<Api>>,
    Path((namespace, plural, name)): Path<(String, String, String)>,
    form: Form,
) -> Answer {
    let resource = Resource::named(&plural)?;
    let found = WatchCache::one(&api, resource.into(), &namespace, &name).await?;
    let found = found.ok_or_else(|| Refusal::not_found(resource, &name))?;
    Ok(Json(form.one(resource.kind.name(), found.object.clone(), (api.clock)())))
}

/// `POST /api/v1/namespaces/{namespace}/pods`.
pub(super) async fn create(
    State(api): State<Arc<Api>>,
    Path((namespace, plural)): Path<(String, String)>,
    query: Options<WriteQuery>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Created {
    let resource = Resource::named(&plural)?;
    let query = options(query)?;
    let (writing, validation) = (Writing::of(&query)?, Validation::of(&query)?);
    let body = readable(resource, &headers, whole(body)?)?;
    let Submitted { object, warnings } = admission::submitted(resource, &namespace, &body, validation)?;
    let uid = PodUid(uuid::Uuid::new_v4().to_string());
    let object = admission::admit(resource, object, &uid, (api.clock)())?;
    let name = object["metadata"]["name"].as_str().unwrap_or_default().to_owned();
    let failed = |error: Error| Refusal::of_store(&error, resource, &name);
    if unwritten(&api, resource, &namespace, &name).await?.is_some() {
        return Err(Refusal::already_exists(resource, &name));
    }
    let object = match writing {
        Writing::Real => api.objects.create(resource.kind, object).await.map_err(failed)?,
        Writing::Dry if namespaces::is_closed(&api, &namespace).await? => {
            return Err(Refusal::closed(resource, &name, &namespace));
        }
        Writing::Dry => match api.objects.get(resource.kind, &namespace, &name).await.map_err(failed)? {
            Some(_) => return Err(Refusal::already_exists(resource, &name)),
            None => object,
        },
    };
    Ok((StatusCode::CREATED, warnings, Json(shown(&api, resource, object))))
}

/// `DELETE /api/v1/namespaces/{namespace}/pods/{name}`: marks the object. The loop ends what runs, then removes it.
pub(super) async fn delete(
    State(api): State<Arc<Api>>,
    Path((namespace, plural, name)): Path<(String, String, String)>,
    query: Options<WriteQuery>,
    body: Result<Bytes, BytesRejection>,
) -> Answer {
    let resource = Resource::named(&plural)?;
    let (asked, writing) = deletion(options(query)?, body)?;
    end(&api, resource, (&namespace, &name), &asked, writing).await
}

/// `DELETE /api/v1/namespaces/{namespace}/pods`: all that the selectors choose, and answers with what they were.
pub(super) async fn delete_collection(
    State(api): State<Arc<Api>>,
    Path((namespace, plural)): Path<(String, String)>,
    chosen: Options<ListQuery>,
    query: Options<WriteQuery>,
    body: Result<Bytes, BytesRejection>,
) -> Answer {
    let resource = Resource::named(&plural)?;
    let (asked, writing) = deletion(options(query)?, body)?;
    let chosen = options(chosen)?;
    let wanted = list::wanted(resource.into(), Some(namespace.clone()), &chosen)?;
    let (items, metadata) = list::list(&api, resource.into(), &wanted, &chosen).await?;
    for object in &items {
        let name = object["metadata"]["name"].as_str().unwrap_or_default();
        match end(&api, resource, (&namespace, name), &asked, writing).await {
            // Somebody else was quicker.
            Err(refusal) if refusal.is_not_found() => {}
            ended => drop(ended?),
        }
    }
    let of = (resource.kind.name(), resource.api_version());
    Ok(Json(Form::Object.list(of, &items, metadata, (api.clock)())))
}

fn deletion(
    query: WriteQuery,
    body: Result<Bytes, BytesRejection>,
) -> Result<(DeleteOptions, Writing), Refusal> {
    let mut asked = DeleteOptions::of_body(&whole(body)?)?;
    asked.grace_period_seconds = asked.grace_period_seconds.or(query.grace_period_seconds);
    let dry_run = query.dry_run.or_else(|| asked.dry_run.first().cloned());
    let writing = Writing::asked(dry_run.as_deref())?;
    Ok((asked, writing))
}

async fn end(
    api: &Api,
    resource: Resource,
    (namespace, name): (&str, &str),
    asked: &DeleteOptions,
    writing: Writing,
) -> Answer {
    loop {
        let (object, is_stored) = found(api, resource, namespace, name).await?;
        meant(api, resource, name, &object, asked.preconditions.resource_version.as_deref()).await?;
        let Some(doomed) = admission::doomed(resource, &object, asked, (api.clock)())? else {
            return Ok(Json(shown(api, resource, object)));
        };
        if writing == Writing::Dry {
            return Ok(Json(shown(api, resource, doomed)));
        }
        if matches!(resource.kind, Kind::ConfigMap | Kind::Secret | Kind::Event) {
            return remove(api, resource, &object).await;
        }
        if resource.kind == Kind::Namespace
            && !is_stored
            && let Some(object) = namespaces::adopt(api, &doomed).await?
        {
            return Ok(Json(shown(api, resource, object)));
        }
        let read = object["metadata"]["resourceVersion"].as_str().and_then(|version| version.parse().ok());
        match api.objects.replace(resource.kind, doomed, read).await {
            Ok(object) => return Ok(Json(shown(api, resource, object))),
            // Somebody else was quicker: look again. Each turn here is another's finished write.
            Err(Error::Conflict { .. }) => {}
            Err(error) => return Err(Refusal::of_store(&error, resource, name)),
        }
    }
}

/// Refuses what was meant for another state of the object.
async fn meant(
    api: &Api,
    resource: Resource,
    name: &str,
    object: &Value,
    version: Option<&str>,
) -> Result<(), Refusal> {
    let Some(version) = version else { return Ok(()) };
    if WatchCache::has_seen(api, resource, version, object).await? {
        return Ok(());
    }
    let found = &object["metadata"]["resourceVersion"];
    Err(Refusal::precondition(resource, name, "resourceVersion", version, found))
}

/// `GET /carob/v1/gone/{plural}/{namespace}/{name}?uid=…`: answers once that object is no more.
pub(super) async fn gone(
    State(api): State<Arc<Api>>,
    Path((plural, namespace, name)): Path<(String, String, String)>,
    query: Options<UidQuery>,
) -> Answer {
    until_gone(&api, &plural, (&namespace, &name), query).await
}

/// `GET /carob/v1/gone/{plural}/{name}?uid=…`: the same of what is in no namespace.
pub(super) async fn gone_of_none(
    State(api): State<Arc<Api>>,
    Path((plural, name)): Path<(String, String)>,
    query: Options<UidQuery>,
) -> Answer {
    until_gone(&api, &plural, ("", &name), query).await
}

async fn until_gone(
    api: &Api,
    plural: &str,
    (namespace, name): (&str, &str),
    query: Options<UidQuery>,
) -> Answer {
    let resource = Resource::named(plural)?;
    let UidQuery { uid } = options(query)?;
    let mut changed = api.objects.changed();
    loop {
        changed.mark_unchanged();
        let found = api.objects.get(resource.kind, namespace, name).await;
        let found = found.map_err(|error| Refusal::of_store(&error, resource, name))?;
        if found.is_none_or(|object| object["metadata"]["uid"] != json!(uid)) {
            return Ok(Json(json!({})));
        }
        if changed.changed().await.is_err() {
            return Err(Refusal::unavailable("the agent is stopping"));
        }
    }
}

/// The query of `gone`.
#[derive(Debug, Deserialize)]
pub(super) struct UidQuery {
    uid: String,
}

/// Nothing has to end first: it is gone at once.
async fn remove(api: &Api, resource: Resource, object: &Value) -> Answer {
    let text = |field: &str| object["metadata"][field].as_str().unwrap_or_default();
    let (name, uid) = (text("name"), text("uid"));
    let told = resource.kind == Kind::Event && events::forget(api, object).await?;
    match api.objects.remove(resource.kind, text("namespace"), name, uid).await {
        Err(Error::NotFound(_)) if told => (),
        removed => drop(removed.map_err(|error| Refusal::of_store(&error, resource, name))?),
    }
    Ok(Json(json!({
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Success",
        "details": {"name": name, "kind": resource.plural, "uid": uid},
    })))
}

/// The stored object, or 404.
pub(super) async fn find(
    api: &Api,
    resource: Resource,
    namespace: &str,
    name: &str,
) -> Result<Value, Refusal> {
    found(api, resource, namespace, name).await.map(|(object, _)| object)
}

/// The same, and whether it is there because somebody wrote it.
pub(super) async fn found(
    api: &Api,
    resource: Resource,
    namespace: &str,
    name: &str,
) -> Result<(Value, bool), Refusal> {
    let stored = api.objects.get(resource.kind, namespace, name).await;
    if let Some(stored) = stored.map_err(|error| Refusal::of_store(&error, resource, name))? {
        return Ok((stored, true));
    }
    let unwritten = unwritten(api, resource, namespace, name).await?;
    Ok((unwritten.ok_or_else(|| Refusal::not_found(resource, name))?, false))
}

/// An object that is there though no client wrote it.
async fn unwritten(
    api: &Api,
    resource: Resource,
    namespace: &str,
    name: &str,
) -> Result<Option<Value>, Refusal> {
    match resource.kind {
        Kind::Event => events::told(api, namespace, name).await,
        Kind::Namespace => namespaces::unmade(api, name).await,
        _ => Ok(None),
    }
}

pub(super) fn shown(api: &Api, resource: Resource, object: Value) -> Value {
    shown_in(&api.picture.borrow(), resource, object)
}

/// A stored object with the status it has in a picture.
pub(super) fn shown_in(picture: &Picture, resource: Resource, object: Value) -> Value {
    match resource.kind {
        Kind::Pod => pod::shown(object, picture),
        Kind::PersistentVolumeClaim => claim::shown(object),
        Kind::ConfigMap | Kind::Secret | Kind::Event => object,
        Kind::Namespace => namespaces::shown(object),
        Kind::Workload(kind) => workload::shown(kind, object, picture),
    }
}

/// The query, or why it cannot be read.
pub(super) fn options<T>(query: Options<T>) -> Result<T, Refusal> {
    query.map(|Query(options)| options).map_err(|rejection| Refusal::bad_request(rejection.body_text()))
}

pub(super) fn whole(body: Result<Bytes, BytesRejection>) -> Result<Bytes, Refusal> {
    body.map_err(|rejection| match rejection.status() {
        StatusCode::PAYLOAD_TOO_LARGE => Refusal::too_large(OBJECT_LIMIT),
        _ => Refusal::bad_request(rejection.body_text()),
    })
}

/// The body in JSON or YAML. One without a content type is taken as JSON; of those in protobuf a few kinds can be read.
pub(super) fn readable(resource: Resource, headers: &HeaderMap, body: Bytes) -> Result<Bytes, Refusal> {
    let Some(found) = headers.get(CONTENT_TYPE) else { return Ok(body) };
    let found = String::from_utf8_lossy(found.as_bytes());
    let media = found.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let read = match media.as_str() {
        protobuf::MEDIA => {
            protobuf::object(resource.kind.name(), &body).map(|object| object.to_string().into())
        }
        text => TEXTS.contains(&text).then_some(body),
    };
    read.ok_or_else(|| Refusal::media_type(&found))
}
