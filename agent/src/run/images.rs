//! Stands behind the API's image door: does what is asked of the image store, on threads that may block.

#![expect(clippy::disallowed_methods, reason = "leaves a mark that images were checked in this boot")]

use std::{collections::BTreeSet, fs, path::Path, sync::Arc};

use super::{Agent, Note};
use tokio::sync::mpsc;

use crate::{
    act::{
        self, Tools, image, image_volume,
        pull::{self, Fetched, Progress, Told, Wanted},
    },
    api::{ImageFault, ImageRequest, ImageRow, PullWord},
    pod::PullPolicy,
};

/// Once a boot, beside everything else: a power cut may have damaged what was not yet on the disk.
pub(super) fn check_once(tools: &Tools, run: &Path) {
    let (store, mark) = (tools.images.clone(), run.join("images-checked"));
    tokio::task::spawn_blocking(move || {
        if mark.exists() {
            return;
        }
        for image in store.list().unwrap_or_default() {
            if let Err(e) = store.verify(&image) {
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
                tokio::spawn(pull(self.tools.clone(), name, words, self.notes.clone()));
                return;
            }
            request => request,
        };
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

/// Pulls an image for somebody who listens, until nobody does.
async fn pull(tools: Arc<Tools>, image: String, words: mpsc::Sender<PullWord>, notes: mpsc::Sender<Note>) {
    let mut tell = |told| {
        if let Told::Progress(Progress { blob, done, size }) = told {
            // The next one says more.
            let _ = words.try_send(PullWord::Progress { blob: blob.to_string(), done, size });
        }
    };
    let wanted = Wanted { image, policy: PullPolicy::Always, credentials: Vec::new() };
    let last = tokio::select! {
        () = words.closed() => return,
        fetched = pull::ensure(&tools, wanted, &mut tell) => match fetched {
            Ok(Fetched::Pulled { size }) => PullWord::Done { size },
            Ok(Fetched::Unchecked { why }) => PullWord::Failed(why),
            Ok(Fetched::Present) => PullWord::Done { size: 0 },
            Err(e) => PullWord::Failed(act::chain(&e)),
        },
    };
    if let PullWord::Done { .. } = last {
        let _ = notes.send(Note::Images).await;
    }
    let _ = words.send(last).await;
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
        // Takes its time, and is served beside the others.
        ImageRequest::Pull { .. } => Changed::No,
        ImageRequest::List { reply } => {
            let rows = store.list().map(|images| images.into_iter().map(row).collect());
            let _ = reply.send(rows.map_err(|e| fault(&e)));
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
        Error::Disk { .. } | Error::Damaged { .. } => ImageFault::Failed(text),
        _ => ImageFault::Refused(text),
    }
}
