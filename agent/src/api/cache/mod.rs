//! The watch cache: the objects as the API shows them, stored body and status in one, with a version for each state.
//!
//! It is filled when somebody asks and brought up to date before each answer, so that an idle box pays nothing and a
//! client reads what it has just written. While somebody watches a kind, a keeper follows the store and the picture.

mod collection;
mod shelf;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use serde_json::Value;
use tokio::sync::{self, watch};

use self::shelf::{Id, Shelf};
pub(super) use self::{
    collection::Collection,
    shelf::{Change, Expired, Shown},
};
use super::{Api, refusal::Refusal, resource::Resource};
use crate::picture::Picture;

/// All kinds that anybody has asked for.
#[derive(Debug)]
pub(crate) struct WatchCache {
    /// By root and plural.
    kinds: Mutex<BTreeMap<(&'static str, &'static str), Arc<Kind>>>,
    /// A version that none of the states which this agent shows is older than.
    floor: u64,
}

/// One kind.
#[derive(Debug)]
pub(super) struct Kind {
    of: Collection,
    turn: sync::Mutex<Turn>,
    /// The version of the shelf.
    news: watch::Sender<u64>,
}

/// What one turn leaves to the next.
#[derive(Debug)]
struct Turn {
    shelf: Shelf,
    picture: watch::Receiver<Arc<Picture>>,
    store: watch::Receiver<u64>,
    is_stale: bool,
    /// Somebody follows it already.
    is_kept: bool,
}

/// A list, and the version at which it is whole.
#[derive(Debug)]
pub(super) struct List {
    pub(super) objects: Vec<Arc<Shown>>,
    pub(super) version: u64,
}

impl WatchCache {
    pub(crate) fn new(floor: u64) -> Self {
        Self { kinds: Mutex::default(), floor }
    }

    /// All objects of a kind.
    pub(super) async fn list(api: &Api, of: Collection) -> Result<List, Refusal> {
        Self::kind(api, of).read(api, |shelf| List { objects: shelf.all(), version: shelf.version() }).await
    }

    /// One object, if there is one of that name.
    pub(super) async fn one(
        api: &Api,
        of: Collection,
        namespace: &str,
        name: &str,
    ) -> Result<Option<Arc<Shown>>, Refusal> {
        let id: Id = (namespace.to_owned(), name.to_owned());
        Self::kind(api, of).read(api, |shelf| shelf.one(&id)).await
    }

    /// Whether a client that has read `version` of an object has seen all that people have written of it until `stored`.
    pub(super) async fn has_seen(
        api: &Api,
        resource: Resource,
        version: &str,
        stored: &Value,
    ) -> Result<bool, Refusal> {
        let metadata = &stored["metadata"];
        if metadata["resourceVersion"] == version {
            return Ok(true);
        }
        let text = |field: &str| metadata[field].as_str().unwrap_or_default();
        let shown = Self::one(api, resource.into(), text("namespace"), text("name")).await?;
        let of_it = shown.filter(|shown| shown.object["metadata"]["uid"] == metadata["uid"]);
        Ok(of_it.zip(version.parse().ok()).is_some_and(|(shown, version)| shown.is_covered_by(version)))
    }

    /// A kind to be watched, and what tells that there is news. The kind is kept up to date while that is held.
    pub(super) async fn follow(
        api: &Arc<Api>,
        of: Collection,
    ) -> Result<(Arc<Kind>, watch::Receiver<u64>), Refusal> {
        let kind = Self::kind(api, of);
        let news = kind.news.subscribe();
        kind.read(api, |_| ()).await?;
        let mut turn = kind.turn.lock().await;
        if !std::mem::replace(&mut turn.is_kept, true) {
            tokio::spawn(keep(Arc::clone(api), Arc::clone(&kind)));
        }
        drop(turn);
        Ok((kind, news))
    }

    /// Has a change of the objects at that path told as such, also to those who watch from here on later: without that,
    /// changes that nobody has looked between would be one.
    pub(super) async fn tell(api: &Api, path: &str) {
        let named = |plural: &str| path.split('/').any(|part| part == plural);
        let kinds: Vec<_> = {
            let kinds = api.cache.kinds.lock().unwrap_or_else(PoisonError::into_inner);
            kinds.iter().filter(|((_, plural), _)| named(plural)).map(|(_, kind)| Arc::clone(kind)).collect()
        };
        for kind in kinds {
            let mut turn = kind.turn.lock().await;
            kind.refreshed(&mut turn, api).await;
        }
    }

    fn kind(api: &Api, of: Collection) -> Arc<Kind> {
        let mut kinds = api.cache.kinds.lock().unwrap_or_else(PoisonError::into_inner);
        let new = || {
            let (picture, store) = (api.picture.clone(), api.objects.changed());
            let turn = sync::Mutex::new(Turn {
                shelf: Shelf::default(),
                picture,
                store,
                is_stale: true,
                is_kept: false,
            });
            Arc::new(Kind { of, turn, news: watch::Sender::default() })
        };
        Arc::clone(kinds.entry((of.listed().version, of.listed().plural)).or_insert_with(new))
    }
}

impl Kind {
    /// What has changed after a version, and the version that this leads to.
    pub(super) async fn after(&self, version: u64) -> Result<(Vec<Change>, u64), Expired> {
        let turn = self.turn.lock().await;
        Ok((turn.shelf.after(version)?, turn.shelf.version()))
    }

    async fn read<T>(&self, api: &Api, look: impl FnOnce(&Shelf) -> T) -> Result<T, Refusal> {
        let mut turn = self.turn.lock().await;
        self.refresh(&mut turn, api).await.map(look)
    }

    /// Brings the shelf up to date. Whoever asked may go away in the middle of it: then it is still stale.
    async fn refresh<'a>(&self, turn: &'a mut Turn, api: &Api) -> Result<&'a Shelf, Refusal> {
        let Turn { shelf, picture, store, is_stale, .. } = turn;
        *is_stale |= picture.has_changed().unwrap_or(false) || store.has_changed().unwrap_or(false);
        if *is_stale {
            // Before looking: what comes meanwhile is another turn's.
            let picture = picture.borrow_and_update().clone();
            store.mark_unchanged();
            if shelf.is_filled() {
                self.fold(shelf, &picture, api).await?;
            } else {
                *shelf = self.fill(&picture, api).await?;
            }
            *is_stale = false;
        }
        self.news.send_if_modified(|known| std::mem::replace(known, shelf.version()) != shelf.version());
        Ok(shelf)
    }

    async fn refreshed(&self, turn: &mut Turn, api: &Api) {
        if let Err(error) = self.refresh(turn, api).await {
            tracing::warn!(kind = self.of.listed().plural, ?error, "watchers are told later");
        }
    }

    async fn fill(&self, picture: &Picture, api: &Api) -> Result<Shelf, Refusal> {
        let (found, version) = self.of.found(picture, api).await?;
        Ok(Shelf::filled(found, version, if self.of.has_status() { api.cache.floor } else { 0 }))
    }

    async fn fold(&self, shelf: &mut Shelf, picture: &Picture, api: &Api) -> Result<(), Refusal> {
        let (found, version) = self.of.found(picture, api).await?;
        let drafts = shelf.drafts(found);
        let needed = drafts.iter().filter(|draft| draft.needs_version()).count() as u64;
        let newest = match needed {
            0 => version,
            _ => api.objects.advance(needed).await.map_err(|error| Refusal::internal(&error))?,
        };
        shelf.fold(drafts, version, newest - needed + 1..);
        Ok(())
    }
}

/// Keeps a kind up to date until nobody watches it any more.
async fn keep(api: Arc<Api>, kind: Arc<Kind>) {
    let (mut picture, mut store) = (api.picture.clone(), api.objects.changed());
    loop {
        let goes_on = tokio::select! {
            () = kind.news.closed() => true,
            changed = picture.changed() => changed.is_ok(),
            changed = store.changed() => changed.is_ok(),
        };
        let mut turn = kind.turn.lock().await;
        if !goes_on || kind.news.receiver_count() == 0 {
            turn.is_kept = false;
            return;
        }
        kind.refreshed(&mut turn, &api).await;
    }
}
