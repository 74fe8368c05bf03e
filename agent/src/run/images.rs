//! Stands behind the API's image door: does what is asked of the image store, on threads that may block.

#![expect(clippy::disallowed_methods, reason = "leaves a mark that images were checked in this boot")]

use std::{collections::BTreeSet, fs, path::Path, sync::Arc};

use tokio::sync::oneshot;

use super::{Agent, Note};
use crate::{
    act::{self, Tools, image, image_volume},
    api::{ImageFault, ImageRequest, ImageRow, Outgoing, VerifiedRow},
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
        let (store, notes) = (self.tools.images.clone(), self.notes.clone());
        let (mut in_use, places) = (self.images_in_use(), self.tools.places.clone());
        tokio::spawn(async move {
            let changed = tokio::task::spawn_blocking(move || {
                in_use.append(&mut image_volume::in_use(&places));
                answer(&store, request, &in_use)
            });
            let changed = changed.await;
            if let Ok(Changed::Yes) = changed {
                let _ = notes.send(Note::Images).await;
            }
        });
    }

    /// Ids of images that a pod has containers of.
    fn images_in_use(&self) -> BTreeSet<image::Digest> {
        let containers = self.pods.values().flat_map(|kept| &kept.seen.containers);
        containers.filter_map(|seen| image::Digest::parse(seen.image_id.as_deref()?)).collect()
    }
}

enum Changed {
    Yes,
    No,
}

fn answer(store: &Arc<image::Store>, request: ImageRequest, in_use: &BTreeSet<image::Digest>) -> Changed {
    match request {
        ImageRequest::Load { archive, reply } => {
            let loaded = store.load(archive).map_err(|e| fault(&e));
            let changed = if loaded.is_ok() { Changed::Yes } else { Changed::No };
            let rows = loaded.map(|loaded| loaded.into_iter().map(loaded_row).collect());
            let _ = reply.send(rows);
            changed
        }
        ImageRequest::List { reply } => {
            let rows = store.list().map(|images| images.into_iter().map(row).collect());
            let _ = reply.send(rows.map_err(|e| fault(&e)));
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
            let removed = store.remove(&name, in_use).map_err(|e| fault(&e));
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
    ImageRow { names: loaded.names, id: loaded.id.to_string(), size: 0, created: None }
}

fn row(image: image::Image) -> ImageRow {
    ImageRow { names: image.names, id: image.id.to_string(), size: image.size, created: image.created }
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
