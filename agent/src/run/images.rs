//! Stands behind the API's image door: does what is asked of the image store, on threads that may block.

#![expect(clippy::disallowed_methods, reason = "leaves a mark that images were checked in this boot")]

use std::{collections::BTreeSet, fs, path::Path, sync::Arc};

use tokio::sync::oneshot;

use super::{Agent, Note, pulls};
use crate::{
    act::{
        self, Tools,
        image::{self, InUse},
        image_volume,
        places::Places,
    },
    api::{Amount, ImageFault, ImageRequest, ImageRow, Outgoing, PruneScope, RoomRow, VerifiedRow},
    pod::{Spec, VolumeSource},
};

/// Once a boot, beside everything else: a power cut may have damaged what was not yet on the disk.
pub(super) fn check_once(tools: &Tools, run: &Path) {
    let (store, mark) = (tools.images.clone(), run.join("images-checked"));
    tokio::task::spawn_blocking(move || {
        if mark.exists() {
            return;
        }
        for image in store.list().unwrap_or_default() {
            if let Err(e) = store.ensure_whole(&image) {
                tracing::error!(image = %image.id, names = image.names.join(" "), error = %act::chain(&e), "image");
            }
        }
        if let Err(e) = fs::write(&mark, "") {
            tracing::warn!(error = %e, "images will be checked again at the next start");
        }
    });
}

impl Agent {
    /// Answers one request, in its own time.
    pub(super) fn serve_images(&self, request: ImageRequest) {
        let request = match request {
            ImageRequest::Pull { name, words } => {
                tokio::spawn(pulls::pull(self.tools.clone(), name, words, self.notes.clone()));
                return;
            }
            request => request,
        };
        let (store, notes, needed) = (self.tools.images.clone(), self.notes.clone(), self.needed_images());
        tokio::spawn(async move {
            let changed = tokio::task::spawn_blocking(move || answer(&store, request, &needed));
            let changed = changed.await;
            if let Ok(Changed::Yes) = changed {
                let _ = notes.send(Note::Images).await;
            }
        });
    }

    /// What no clean-up may take.
    pub(super) fn needed_images(&self) -> Needed {
        let containers = self.pods.values().flat_map(|kept| &kept.seen.containers);
        let made = containers.filter_map(|seen| image::Digest::parse(seen.image_id.as_deref()?));
        let wanted = self.pods.values().filter(|kept| !kept.seen.is_over(&kept.spec));
        Needed {
            made: self.tools.images.in_use(made.collect()),
            wanted: wanted.flat_map(|kept| references(&kept.spec)).collect(),
            places: self.tools.places.clone(),
        }
    }
}

/// The images that pods need.
pub(super) struct Needed {
    /// Those that a pod has containers of.
    made: InUse,
    /// What pods that are not over name: their containers may start, or start again.
    wanted: BTreeSet<String>,
    places: Places,
}

impl Needed {
    /// Of what there is already. Blocks.
    fn made(&self) -> InUse {
        let mut in_use = self.made.clone();
        in_use.add(image_volume::in_use(&self.places));
        in_use
    }

    /// Also of what is still to come. Blocks.
    pub(super) fn all(&self, store: &image::Store) -> InUse {
        let mut in_use = self.made();
        in_use.add(store.named(&self.wanted));
        in_use
    }
}

/// All images that a pod names.
fn references(spec: &Spec) -> impl Iterator<Item = String> {
    let volumes = spec.volumes.iter().filter_map(|volume| match &volume.source {
        VolumeSource::Image { reference, .. } => Some(reference),
        _ => None,
    });
    spec.containers.iter().map(|container| &container.image).chain(volumes).cloned()
}

enum Changed {
    Yes,
    No,
}

fn answer(store: &Arc<image::Store>, request: ImageRequest, needed: &Needed) -> Changed {
    match request {
        ImageRequest::Load { archive, reply } => {
            let loaded = store.load(archive).map_err(|e| fault(&e));
            let changed = if loaded.is_ok() { Changed::Yes } else { Changed::No };
            let rows = loaded.map(|loaded| loaded.into_iter().map(loaded_row).collect());
            let _ = reply.send(rows);
            changed
        }
        // Takes its time, and is served beside the others.
        ImageRequest::Pull { .. } => Changed::No,
        ImageRequest::List { reply } => {
            let rows = store.list().map(|images| images.into_iter().map(|image| row(store, image)).collect());
            let _ = reply.send(rows.map_err(|e| fault(&e)));
            Changed::No
        }
        ImageRequest::Prune { scope, reply } => {
            let which = match scope {
                PruneScope::Nameless => image::Which::Nameless,
                PruneScope::All => image::Which::All,
            };
            let gone = store.prune(which, &needed.all(store));
            let changed = if gone.is_ok() { Changed::Yes } else { Changed::No };
            let rows = gone.map(|gone| gone.into_iter().map(gone_row).collect());
            let _ = reply.send(rows.map_err(|e| fault(&e)));
            changed
        }
        ImageRequest::Room { reply } => {
            let _ = reply.send(store.room(&needed.all(store)).map(room).map_err(|e| fault(&e)));
            Changed::No
        }
        ImageRequest::Verify { name, reply } => {
            let rows =
                store.verify(name.as_deref()).map(|images| images.into_iter().map(verified_row).collect());
            let _ = reply.send(rows.map_err(|e| fault(&e)));
            Changed::No
        }
        ImageRequest::Export { names, reply } => {
            export(store, &names, reply);
            Changed::No
        }
        ImageRequest::Remove { name, reply } => {
            let removed = store.remove(&name, &needed.made()).map_err(|e| fault(&e));
            let changed = if removed.is_ok() { Changed::Yes } else { Changed::No };
            let _ = reply.send(removed.map(drop));
            changed
        }
    }
}

/// What is wrong is said before anything is sent: a client that has half an archive can only be cut off.
fn export(store: &image::Store, names: &[String], reply: oneshot::Sender<Result<Outgoing, ImageFault>>) {
    let export = match store.export(names) {
        Ok(export) => export,
        Err(e) => return drop(reply.send(Err(fault(&e)))),
    };
    let (mut sending, outgoing) = Outgoing::new();
    if reply.send(Ok(outgoing)).is_err() {
        return;
    }
    match store
        .send(&export, &mut sending)
        .and_then(|()| sending.end().map_err(|source| image::Error::Send { source }))
    {
        Ok(()) => (),
        // The client went away.
        Err(image::Error::Send { .. }) => tracing::debug!(?names, "an export was broken off"),
        Err(e) => tracing::error!(error = %act::chain(&e), "an export is cut off"),
    }
}

fn verified_row(verified: image::Verified) -> VerifiedRow {
    let image::Verified { id, names, damage, counted } = verified;
    let counted = counted.iter().map(image::Digest::to_string).collect();
    VerifiedRow { names, id: id.to_string(), damage, counted }
}

fn loaded_row(loaded: image::Loaded) -> ImageRow {
    ImageRow { names: loaded.names, id: loaded.id.to_string(), size: 0, created: None, used: None }
}

fn row(store: &image::Store, image: image::Image) -> ImageRow {
    let used = store.last_used(image.id).and_then(|used| jiff::Timestamp::try_from(used).ok());
    let used = used.map(|used| used.strftime("%Y-%m-%dT%H:%M:%SZ").to_string());
    let image::Image { id, names, size, created, .. } = image;
    ImageRow { names, id: id.to_string(), size, created, used }
}

/// Its size is what went with it.
fn gone_row(gone: image::Gone) -> ImageRow {
    let image::Gone { id, names, bytes } = gone;
    ImageRow { names, id: id.to_string(), size: bytes, created: None, used: None }
}

fn room(room: image::Room) -> RoomRow {
    let amount = |image::Amount { count, bytes }| Amount { count, bytes };
    RoomRow {
        images: amount(room.images),
        reclaimable: amount(room.reclaimable),
        layers: amount(room.layers),
        shared: amount(room.shared),
        leftovers: amount(room.leftovers),
    }
}

fn fault(error: &image::Error) -> ImageFault {
    use image::Error;
    let text = act::chain(error);
    match error {
        Error::NotFound { .. } => ImageFault::Absent(text),
        Error::InUse { .. } => ImageFault::InUse(text),
        Error::Disk { .. } | Error::Damaged { .. } | Error::NoRecipe { .. } => ImageFault::Failed(text),
        _ => ImageFault::Refused(text),
    }
}
