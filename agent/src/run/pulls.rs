//! What comes of the steps that get images, and of pulls that somebody has asked for.

use std::sync::Arc;

use tokio::sync::mpsc;

use super::{
    Desk,
    kept::Kept,
    notes::{Note, Notes},
};
use crate::{
    act::{
        Tools, chain,
        pull::{self, Error, Fetched, Progress, Told, Wanted},
    },
    api::PullWord,
    plan::{Failure, Step, Supply},
    pod::{PodUid, PullPolicy, Stamp},
};

impl Desk {
    /// It is no news any more when there are too many others: an event is all that is lost.
    pub(super) fn tell_pulling(&self, uid: &PodUid, step: &Step, image: &str) {
        if let Step::Pull { container, .. } = *step {
            let _ =
                self.notes.try_send(Note::Pulling { uid: uid.clone(), container, image: image.to_owned() });
        }
    }
}

impl Kept {
    /// The images of an attempt are here, or one of them is not.
    pub(super) fn pulled(
        &mut self,
        (container, attempt): (usize, u32),
        since: Stamp,
        images: &[(String, Fetched)],
        result: Result<(), Error>,
        now: Stamp,
    ) {
        for (image, fetched) in images {
            self.tell_fetched(container, image, fetched, now.since(since));
        }
        let pod = self.spec.name.clone();
        let seen = &mut self.seen.containers[container];
        seen.busy = None;
        match result {
            Ok(()) => seen.supply = Supply::Fetched { attempt },
            Err(Error::Stopped) => (),
            Err(e) => {
                let (reason, message) = (e.waiting_reason(), chain(&e));
                tracing::info!(%pod, container, reason, message, "images");
                self.not_started(
                    container,
                    Failure { wait: e.wait(), ..Failure::first(reason, message, now) },
                );
            }
        }
    }
}

/// Pulls an image for somebody who listens, until nobody does.
pub(super) async fn pull(tools: Arc<Tools>, image: String, words: mpsc::Sender<PullWord>, notes: Notes) {
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
            Err(e) => PullWord::Failed(chain(&e)),
        },
    };
    if let PullWord::Done { .. } = last {
        let _ = notes.send(Note::Images).await;
    }
    let _ = words.send(last).await;
}
