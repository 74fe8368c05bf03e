//! Looks from time to time, and when an image has come, whether the disk has room, and has images removed if not. Nobody's
//! pod ends for it.

use std::time::Duration;

use super::{Agent, Note};
use crate::{
    act::{chain, image},
    picture::ImageDisk,
    pod::{Stamp, event::Weight},
};

/// As often as the kubelet looks (`ImageGCPeriod`).
const EVERY: Duration = Duration::from_mins(5);

/// When the images' disk is looked at, and what was seen.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Collecting {
    due: Stamp,
    busy: bool,
    pub(super) disk: ImageDisk,
}

impl Collecting {
    /// An image has come or gone.
    pub(super) fn hasten(&mut self) {
        self.due = Stamp::default();
    }
}

impl Agent {
    /// Has looked if it is time; gives back when to come again.
    pub(super) fn tend_images(&mut self, now: Stamp) -> Option<Stamp> {
        if self.collecting.busy {
            return None;
        }
        if self.collecting.due > now {
            return Some(self.collecting.due);
        }
        self.collecting = Collecting { due: now.after(EVERY), busy: true, ..self.collecting };
        let (store, notes, needed) = (self.tools.images.clone(), self.notes.clone(), self.needed_images());
        let rule = self.config.image_gc;
        tokio::task::spawn_blocking(move || {
            let collected = store.collect(&rule, &needed.all(&store), now).map_err(|e| chain(&e));
            // The loop is gone only when the agent stops.
            let _ = notes.blocking_send(Note::Collected(collected));
        });
        None
    }

    pub(super) fn collected(&mut self, collected: Result<image::Collected, String>) {
        self.collecting.busy = false;
        let image::Collected { gone, disk, pressure, short } = match collected {
            Ok(collected) => collected,
            Err(message) => {
                return self.announce(self.node_about(), Weight::Warning, "ImageGCFailed", message);
            }
        };
        for gone in &gone {
            tracing::info!(image = %gone.id, names = gone.names.join(" "), bytes = gone.bytes, "removed to make room");
        }
        let seen = &mut self.collecting.disk;
        *seen = ImageDisk {
            capacity: disk.capacity,
            available: disk.available,
            pressure,
            collected: seen.collected + gone.len() as u64,
        };
        if let Some((wanted, freed)) = short {
            // In the kubelet's words.
            let message = format!(
                "Failed to garbage collect required amount of images. Attempted to free {wanted} bytes, but only found {freed} bytes eligible to free."
            );
            self.announce(self.node_about(), Weight::Warning, "FreeDiskSpaceFailed", message);
        }
    }
}
