//! Lists: which objects, from where on, how many; and what the same query asks of a watch.

use std::{sync::Arc, time::Duration};

use axum::{
    Json,
    extract::{Path, State},
    response::{IntoResponse, Response},
};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{
    Api,
    cache::{Collection, WatchCache},
    objects::{Options, options},
    refusal::Refusal,
    resource::{EVENTS, Listed, NAMESPACES, PODS, Resource, SECRETS},
    selector::{self, Selector},
    table::Form,
    watch::{self, Begin, Wanted},
};

/// The query of a list or a watch (Kubernetes' `ListOptions`).
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct ListQuery {
    label_selector: String,
    field_selector: String,
    watch: String,
    resource_version: String,
    resource_version_match: String,
    allow_watch_bookmarks: String,
    send_initial_events: String,
    timeout_seconds: Option<u32>,
    limit: Option<usize>,
    r#continue: String,
}

impl ListQuery {
    pub(super) fn watches(&self) -> bool {
        is_set(&self.watch)
    }

    /// Which objects.
    pub(super) fn chosen(&self, fields: &[&str]) -> Result<Selector, Refusal> {
        Selector::parse(&self.label_selector, &self.field_selector, fields).map_err(Refusal::bad_request)
    }

    pub(super) fn wants_bookmarks(&self) -> bool {
        is_set(&self.allow_watch_bookmarks)
    }

    pub(super) fn limit_of_time(&self) -> Option<Duration> {
        let limit = self.timeout_seconds.filter(|seconds| *seconds > 0)?;
        Some(Duration::from_secs(limit.into()))
    }

    /// Where a watch begins.
    pub(super) fn begin(&self) -> Result<Begin, Refusal> {
        if is_set(&self.send_initial_events) {
            if self.resource_version_match != "NotOlderThan" {
                let why =
                    "resourceVersionMatch must be set to \"NotOlderThan\" when sendInitialEvents is true";
                return Err(Refusal::invalid_options("sendInitialEvents", why));
            }
            return Ok(Begin::Listing);
        }
        if !self.resource_version_match.is_empty() {
            let why = "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided";
            return Err(Refusal::invalid_options("resourceVersionMatch", why));
        }
        // Without saying so, an old client begins with what is there unless it says from where it comes.
        Ok(match self.version()? {
            None | Some(0) => Begin::Everything,
            Some(version) => Begin::After(version),
        })
    }

    /// The version that is asked for.
    pub(super) fn version(&self) -> Result<Option<u64>, Refusal> {
        let Some(version) = Some(&self.resource_version).filter(|version| !version.is_empty()) else {
            return Ok(None);
        };
        let unreadable = |_| Refusal::bad_request(format!("resourceVersion: {version:?} is not a number"));
        version.parse().map(Some).map_err(unreadable)
    }

    /// Refuses a list of a moment that is past or never was: only the present is kept.
    fn admits(&self, newest: u64) -> Result<(), Refusal> {
        let asked = self.version()?;
        match self.resource_version_match.as_str() {
            "" | "NotOlderThan" => (),
            "Exact" if asked == Some(newest) => (),
            "Exact" => {
                let asked = asked.unwrap_or_default();
                return Err(Refusal::expired(format!(
                    "The resourceVersion for the provided list is too old: {asked}"
                )));
            }
            other => {
                let why = format!("{other:?} is not supported: use \"Exact\" or \"NotOlderThan\"");
                return Err(Refusal::invalid_options("resourceVersionMatch", &why));
            }
        }
        // From before the store was made anew, perhaps.
        if asked.is_some_and(|asked| asked > newest) {
            let asked = asked.unwrap_or_default();
            return Err(Refusal::expired(format!("Too large resource version: {asked}, current: {newest}")));
        }
        Ok(())
    }

    fn page(&self) -> Result<Option<Page>, Refusal> {
        if self.r#continue.is_empty() {
            return Ok(None);
        }
        Page::read(&self.r#continue)
            .map(Some)
            .ok_or_else(|| Refusal::bad_request("continue: not a token of this server"))
    }
}

fn is_set(flag: &str) -> bool {
    matches!(flag, "true" | "1")
}

/// Where the next page of a list begins. Later pages show what is so then; a watch from the version of the first one
/// tells of all that has changed meanwhile.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Page {
    version: u64,
    /// Namespace and name of the last object of the page before.
    after: (String, String),
}

impl Page {
    fn token(&self) -> String {
        BASE64_URL_SAFE_NO_PAD.encode(json!(self).to_string())
    }

    fn read(token: &str) -> Option<Self> {
        serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(token).ok()?).ok()
    }
}

/// `GET /api/v1/pods`.
pub(super) async fn list_all(
    State(api): State<Arc<Api>>,
    Path(plural): Path<String>,
    query: Options<ListQuery>,
    form: Form,
) -> Result<Response, Refusal> {
    list_or_watch(api, Resource::named(&plural)?.into(), None, &options(query)?, form).await
}

/// `GET /api/v1/namespaces/{namespace}/pods`.
pub(super) async fn list_namespace(
    State(api): State<Arc<Api>>,
    Path((namespace, plural)): Path<(String, String)>,
    query: Options<ListQuery>,
    form: Form,
) -> Result<Response, Refusal> {
    list_or_watch(api, Resource::named(&plural)?.into(), Some(namespace), &options(query)?, form).await
}

/// Of one namespace or of all.
pub(super) async fn list_or_watch(
    api: Arc<Api>,
    of: Collection,
    namespace: Option<String>,
    query: &ListQuery,
    form: Form,
) -> Result<Response, Refusal> {
    let wanted = wanted(of, namespace, query)?;
    if query.watches() {
        return watch::answer(api, of, wanted, query, form).await;
    }
    let (items, metadata) = list(&api, of, &wanted, query).await?;
    let Listed { kind, version, .. } = of.listed();
    Ok(Json(form.list((kind, version), &items, metadata, (api.clock)())).into_response())
}

pub(super) fn wanted(
    of: Collection,
    namespace: Option<String>,
    query: &ListQuery,
) -> Result<Wanted, Refusal> {
    let fields = match of {
        Collection::Stored(PODS) => selector::POD_FIELDS,
        Collection::Stored(EVENTS) => selector::EVENT_FIELDS,
        Collection::Stored(NAMESPACES) => selector::NAMESPACE_FIELDS,
        Collection::Stored(SECRETS) => selector::SECRET_FIELDS,
        _ => selector::FIELDS,
    };
    Ok(Wanted { namespace, selector: query.chosen(fields)? })
}

/// The objects as they are now, a page of them if a limit is set, and the list's metadata.
pub(super) async fn list(
    api: &Api,
    of: Collection,
    wanted: &Wanted,
    query: &ListQuery,
) -> Result<(Vec<Value>, Value), Refusal> {
    let page = query.page()?;
    let list = WatchCache::list(api, of).await?;
    query.admits(list.version)?;
    let is_later = |object: &Value| page.as_ref().is_none_or(|page| key(object) > page.after);
    let mut objects = list.objects;
    if of == EVENTS.into() && query.limit.is_none() {
        // The last told last.
        objects.sort_by_key(|shown| shown.version);
    }
    let mut chosen: Vec<&Value> = objects
        .iter()
        .map(|shown| &shown.object)
        .filter(|object| is_later(object) && wanted.covers(object))
        .collect();
    let version = page.as_ref().map_or(list.version, |page| page.version);
    let mut metadata = json!({"resourceVersion": version.to_string()});
    if let Some(limit) = query.limit.filter(|limit| (1..chosen.len()).contains(limit)) {
        metadata["remainingItemCount"] = json!(chosen.len() - limit);
        chosen.truncate(limit);
        metadata["continue"] = json!(Page { version, after: key(chosen[limit - 1]) }.token());
    }
    Ok((chosen.into_iter().cloned().collect(), metadata))
}

fn key(object: &Value) -> (String, String) {
    let text = |field: &str| object["metadata"][field].as_str().unwrap_or_default().to_owned();
    (text("namespace"), text("name"))
}
