//! Something worth telling of an object: the plain data of a Kubernetes Event. Says nothing of where it is kept.

use super::{Stamp, status::BootId};

/// `type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Weight {
    Normal,
    Warning,
}

impl Weight {
    /// As the API spells it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Normal => "Normal",
            Self::Warning => "Warning",
        }
    }
}

/// What becomes of an event that has been told before in the same words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Again {
    /// It is counted, and its last time moves.
    Counts,
    /// Nothing: it was true once and for all.
    IsKnown,
}

/// `involvedObject`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct About {
    pub(crate) kind: String,
    /// Empty for what has none.
    pub(crate) namespace: String,
    pub(crate) name: String,
    pub(crate) uid: String,
    /// `spec.containers{main}`; empty if it is about the whole object.
    pub(crate) field: String,
}

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Event {
    pub(crate) about: About,
    pub(crate) weight: Weight,
    /// One word in CamelCase.
    pub(crate) reason: String,
    pub(crate) message: String,
    pub(crate) boot: BootId,
    pub(crate) at: Stamp,
}

/// An event as it is kept: how often it was told, and since when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Told {
    /// `metadata.name` without the object's.
    pub(crate) seq: u64,
    /// `metadata.uid`.
    pub(crate) id: String,
    pub(crate) revision: u64,
    pub(crate) count: u64,
    pub(crate) first: (BootId, Stamp),
    /// With the time it was last told.
    pub(crate) event: Event,
}
