//! What the agent and the child that pulls tell each other: one JSON object a line.

use std::{path::PathBuf, time::Duration};

use serde::{Deserialize, Serialize};

use super::super::image::{Digest, pulled::Prepared};
use crate::pod::registry::{Credential, Endpoint};

/// The child's first line. Its input stays open after that: its end says that nobody wants the image any more.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Order {
    /// As it is written in a manifest.
    pub(super) image: String,
    /// The manifest that the image came with that has the name now; none if there is no such image, or not whole.
    pub(super) known: Option<Digest>,
    /// The first to be asked first.
    pub(super) endpoints: Vec<Endpoint>,
    pub(super) credentials: Vec<Credential>,
    pub(super) store: PathBuf,
    pub(super) scratch: PathBuf,
    /// The cgroup that pulls are in, so that they take nothing from pods.
    pub(super) cgroup: PathBuf,
}

/// What the child says.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Said {
    /// So much of a blob has come.
    Progress(Progress),
    /// Then it ends.
    Last(Last),
}

/// What came of the order.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Last {
    /// The name stands for what is here already.
    Same,
    Prepared(Box<Prepared>),
    Failed {
        message: String,
        /// That no registry could be asked.
        unreachable: bool,
        /// How long it wants not to be asked again.
        wait: Duration,
    },
}

/// How far a blob has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Progress {
    pub(crate) blob: Digest,
    /// Bytes.
    pub(crate) done: u64,
    pub(crate) size: u64,
}
