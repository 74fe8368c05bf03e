//! What can be listed and watched: kinds that are stored, and those that nobody wrote.

use serde_json::Value;

use crate::{
    api::{
        Api,
        cluster::Shown,
        events, namespaces, objects,
        refusal::Refusal,
        resource::{EVENTS, Listed, NAMESPACES, Resource},
    },
    picture::Picture,
    store::Kind,
};

/// All objects of one kind.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::api) enum Collection {
    Stored(Resource),
    Shown(Shown),
}

impl From<Resource> for Collection {
    fn from(resource: Resource) -> Self {
        Self::Stored(resource)
    }
}

impl From<Shown> for Collection {
    fn from(shown: Shown) -> Self {
        Self::Shown(shown)
    }
}

impl Collection {
    pub(in crate::api) fn listed(self) -> Listed {
        match self {
            Self::Stored(resource) => resource.listed(),
            Self::Shown(shown) => *shown.listed(),
        }
    }

    /// Whether the objects change though nobody writes them.
    pub(super) fn has_status(self) -> bool {
        match self {
            Self::Stored(resource) => resource.has_status(),
            Self::Shown(_) => true,
        }
    }

    /// All that there is now, as it is shown, and the version at which that is so. What was never written has no version.
    pub(super) async fn found(self, picture: &Picture, api: &Api) -> Result<(Vec<Value>, u64), Refusal> {
        match self {
            Self::Stored(EVENTS) => {
                let mut all = events::all(api, picture).await?;
                let listed = api.objects.list(Kind::Event, None).await;
                let (written, version) = listed.map_err(|error| Refusal::of_store(&error, EVENTS, ""))?;
                // What a client is just taking over is there twice.
                let is_written = |event: &Value| {
                    written.iter().any(|other| other["metadata"]["uid"] == event["metadata"]["uid"])
                };
                all.retain(|event| !is_written(event));
                all.extend(written);
                Ok((all, version))
            }
            Self::Stored(NAMESPACES) => namespaces::all(api).await,
            Self::Stored(resource) => {
                let listed = api.objects.list(resource.kind, None).await;
                let (objects, version) = listed.map_err(|error| Refusal::of_store(&error, resource, ""))?;
                let shown = objects.into_iter().map(|object| objects::shown_in(picture, resource, object));
                Ok((shown.collect(), version))
            }
            Self::Shown(shown) => {
                let version = *api.objects.changed().borrow();
                Ok((shown.all(api).await?, version))
            }
        }
    }
}
