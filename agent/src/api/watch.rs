//! Watching: what has changed, line by line, for as long as the client listens.
//!
//! ```text
//! begin ─► what is there (ADDED …) ─► [bookmark: that was all] ─┐
//!   └──────────── a version to go on from ──────────────────────┴─► changes ─► wait: news · bookmark due · time is up
//! ```
//!
//! A client that is slower than the changes is not buffered for: it goes on from the version it has, and is told that
//! it expired when that is no longer remembered.

use std::{sync::Arc, time::Duration};

use axum::{
    body::{Body, Bytes},
    http::header::CONTENT_TYPE,
    response::{IntoResponse, Response},
};
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::sync::{mpsc, watch};

use super::{
    Api,
    cache::{Change, Collection, Kind, Shown, WatchCache},
    list::ListQuery,
    piecewise::{Output, Piece},
    refusal::Refusal,
    resource::Listed,
    selector::Selector,
    table::Form,
};
use crate::pod::Stamp;

/// How often a client that wants bookmarks is told how far it has come.
const BOOKMARKS: Duration = Duration::from_secs(60);
/// A client that sets no limit has to ask again after this: as long as at Kubernetes' at least.
const LONGEST: Duration = Duration::from_secs(1800);
/// Says in a bookmark that what was there at the beginning has been told.
const INITIAL_END: &str = "k8s.io/initial-events-end";

/// Which objects a client wants.
#[derive(Clone, Debug)]
pub(super) struct Wanted {
    pub(super) namespace: Option<String>,
    pub(super) selector: Selector,
}

impl Wanted {
    pub(super) fn covers(&self, object: &Value) -> bool {
        let here = self.namespace.as_ref().is_none_or(|name| object["metadata"]["namespace"] == **name);
        here && self.selector.matches(object)
    }
}

/// Where a watch begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Begin {
    /// With all that there is.
    Everything,
    /// The same, with a bookmark where it ends (KEP-3157).
    Listing,
    /// With what has changed after a version.
    After(u64),
}

/// The way to one client.
#[derive(Debug)]
pub(super) struct Listener {
    sender: mpsc::Sender<Piece>,
    /// Of the objects: kind and API version.
    of: (&'static str, &'static str),
    form: Form,
    clock: fn() -> Timestamp,
    bookmarks: bool,
    bookmark_at: Stamp,
    end: Stamp,
}

/// Why waiting is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Woken {
    News,
    /// The client is gone, its time is up, or the agent stops.
    Over,
}

impl Listener {
    /// The way to the client, and the answer that it reads from.
    pub(super) fn new(
        api: &Api,
        query: &ListQuery,
        of: (&'static str, &'static str),
        form: Form,
    ) -> (Self, Response) {
        let (sender, output) = Output::new();
        let now = (api.now)();
        let end = now.after(query.limit_of_time().unwrap_or(LONGEST));
        let (bookmarks, bookmark_at) = (query.wants_bookmarks(), now.after(BOOKMARKS));
        let response = ([(CONTENT_TYPE, "application/json")], Body::new(output)).into_response();
        (Self { sender, of, form, clock: api.clock, bookmarks, bookmark_at, end }, response)
    }

    /// What has become of an object, in the form that the client wants. Whether it still listens.
    pub(super) async fn tell(&self, kind: &str, object: Value) -> bool {
        self.say(kind, &self.form.one(self.of.0, object, (self.clock)())).await
    }

    async fn say(&self, kind: &str, object: &Value) -> bool {
        let line = format!("{}\n", json!({"type": kind, "object": object}));
        self.sender.send(Ok(Bytes::from(line))).await.is_ok()
    }

    pub(super) async fn expired(&self, since: u64) {
        let refusal = Refusal::expired(format!("too old resource version: {since}"));
        self.refuse(&refusal).await;
    }

    async fn refuse(&self, refusal: &Refusal) {
        self.say("ERROR", &refusal.status()).await;
    }

    pub(super) async fn initial_end(&self, version: u64) -> bool {
        self.bookmark(version, json!({INITIAL_END: "true"})).await
    }

    async fn bookmark(&self, version: u64, annotations: Value) -> bool {
        let (kind, api_version) = self.of;
        let mut metadata = json!({"resourceVersion": version.to_string(), "creationTimestamp": null});
        if annotations.as_object().is_some_and(|annotations| !annotations.is_empty()) {
            metadata["annotations"] = annotations;
        }
        self.say("BOOKMARK", &json!({"kind": kind, "apiVersion": api_version, "metadata": metadata})).await
    }

    /// Waits for news. Meanwhile the client, which is at `version`, gets its bookmarks; the last one when its time is up.
    pub(super) async fn wait(&mut self, api: &Api, news: &mut watch::Receiver<u64>, version: u64) -> Woken {
        loop {
            let now = (api.now)();
            if now >= self.end {
                if self.bookmarks {
                    self.bookmark(version, Value::Null).await;
                }
                return Woken::Over;
            }
            if self.bookmarks && now >= self.bookmark_at {
                self.bookmark_at = now.after(BOOKMARKS);
                if !self.bookmark(version, Value::Null).await {
                    return Woken::Over;
                }
            }
            let due = if self.bookmarks { self.end.min(self.bookmark_at) } else { self.end };
            tokio::select! {
                () = self.sender.closed() => return Woken::Over,
                changed = news.changed() => return if changed.is_ok() { Woken::News } else { Woken::Over },
                rang = (api.pause)(due.since(now)) => if rang.is_err() { return Woken::Over },
            }
        }
    }
}

/// Answers with the changes of a kind.
pub(super) async fn answer(
    api: Arc<Api>,
    of: Collection,
    wanted: Wanted,
    query: &ListQuery,
    form: Form,
) -> Result<Response, Refusal> {
    let begin = query.begin()?;
    let (kind, news) = WatchCache::follow(&api, of).await?;
    let Listed { kind: name, version, .. } = of.listed();
    let (listener, response) = Listener::new(&api, query, (name, version), form);
    tokio::spawn(tell(api, of, Watch { kind, news, wanted, begin, listener }));
    Ok(response)
}

struct Watch {
    kind: Arc<Kind>,
    news: watch::Receiver<u64>,
    wanted: Wanted,
    begin: Begin,
    listener: Listener,
}

async fn tell(api: Arc<Api>, of: Collection, watch: Watch) {
    let Watch { kind, mut news, wanted, begin, mut listener } = watch;
    let Some(mut at) = begun(&api, of, &wanted, begin, &listener).await else { return };
    loop {
        news.mark_unchanged();
        let Ok((changes, version)) = kind.after(at).await else { return listener.expired(at).await };
        for change in &changes {
            let Some((kind, object)) = seen(change, &wanted) else { continue };
            if !listener.tell(kind, object).await {
                return;
            }
        }
        at = version;
        if listener.wait(&api, &mut news, at).await == Woken::Over {
            return;
        }
    }
}

/// The version to go on from, once what comes before it is told.
async fn begun(api: &Api, of: Collection, wanted: &Wanted, begin: Begin, listener: &Listener) -> Option<u64> {
    if let Begin::After(version) = begin {
        return Some(version);
    }
    let list = match WatchCache::list(api, of).await {
        Ok(list) => list,
        Err(refusal) => {
            listener.refuse(&refusal).await;
            return None;
        }
    };
    // In the order in which they became so.
    let mut objects = list.objects;
    objects.sort_by_key(|shown| shown.version);
    for shown in objects.iter().filter(|shown| wanted.covers(&shown.object)) {
        if !listener.tell("ADDED", shown.object.clone()).await {
            return None;
        }
    }
    let goes_on = begin != Begin::Listing || listener.initial_end(list.version).await;
    goes_on.then_some(list.version)
}

/// What a change is to somebody who sees only what is wanted. What is so no longer is gone, for them, as it was last seen.
fn seen(change: &Change, wanted: &Wanted) -> Option<(&'static str, Value)> {
    let visible = |shown: &Option<Arc<Shown>>| shown.clone().filter(|shown| wanted.covers(&shown.object));
    match (visible(&change.before), visible(&change.after)) {
        (None, None) => None,
        (None, Some(after)) => Some(("ADDED", after.object.clone())),
        (Some(_), Some(after)) => Some(("MODIFIED", after.object.clone())),
        (Some(before), None) => {
            let mut object = before.object.clone();
            object["metadata"]["resourceVersion"] = json!(change.version.to_string());
            Some(("DELETED", object))
        }
    }
}
