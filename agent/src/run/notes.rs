//! What tasks have to tell the loop, and since when each word waits to be heard.

use std::{collections::BTreeSet, sync::Arc};

use tokio::sync::mpsc;

use super::{archives, clock, kept::Remains, tally};
use crate::{
    act::{self, Outcome},
    plan::probe::Answer,
    pod::{AttemptId, PodUid, Stamp, probe::ProbeKind, status::Ended, storage::ClaimUse},
};

/// What a task has to tell the loop.
#[derive(Debug)]
pub(super) enum Note {
    /// A step is done, well or badly.
    Done { uid: PodUid, outcome: Outcome },
    /// An attempt is over, and that is on disk.
    Ended { ended: Ended, remains: Remains },
    /// What the kernel counted in a cgroup that is gone is on disk.
    Counted(tally::Account),
    /// The pod's object is gone.
    Gone { uid: PodUid },
    /// A probe has come to another verdict.
    Probed { id: AttemptId, kind: ProbeKind, verdict: Answer },
    /// The kernel programs have something to say.
    Heard,
    /// A registry is asked for an image that a container needs.
    Pulling { uid: PodUid, container: usize, image: String },
    /// Images were loaded or removed.
    Images,
    /// The images' disk was looked at, and images removed if need be.
    Collected(Result<act::image::Collected, String>),
    /// A pod's use of the disk was measured; why it has to go, if it has to.
    Measured { uid: PodUid, excess: Option<String> },
    /// The claims that pods use were measured.
    Claims(Arc<[ClaimUse]>),
    /// Something in the manifest folder has changed.
    Manifests,
    /// These files of the folder of image archives have changed.
    Archives(BTreeSet<String>),
    /// One of them was read.
    Archive(archives::Loaded),
    /// The files of a pod's volumes are as they should be, or it was said why not.
    Refreshed { uid: PodUid },
}

/// A note on its way.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) note: Note,
    pub(super) since: Stamp,
}

/// The loop is gone: nobody hears it any more.
#[derive(Debug)]
pub(super) struct Unheard;

/// Where notes go.
#[derive(Clone, Debug)]
pub(super) struct Notes(mpsc::Sender<Waiting>);

impl Notes {
    /// As many may wait as `room` says.
    pub(super) fn channel(room: usize) -> (Self, mpsc::Receiver<Waiting>) {
        let (sender, receiver) = mpsc::channel(room);
        (Self(sender), receiver)
    }

    pub(super) async fn send(&self, note: Note) -> Result<(), Unheard> {
        self.0.send(waiting(note)).await.map_err(|_| Unheard)
    }

    /// From a thread that may wait.
    pub(super) fn blocking_send(&self, note: Note) -> Result<(), Unheard> {
        self.0.blocking_send(waiting(note)).map_err(|_| Unheard)
    }

    /// Not if it would have to wait for room.
    pub(super) fn try_send(&self, note: Note) -> Result<(), Unheard> {
        self.0.try_send(waiting(note)).map_err(|_| Unheard)
    }
}

fn waiting(note: Note) -> Waiting {
    Waiting { note, since: clock::now() }
}
