//! What the agent knows, published once a turn of the loop. Immutable but for what is `counted` between two turns; `api`
//! and `metrics` read only this, the store and cgroup files.

pub(crate) mod counted;
pub(crate) mod meter;
pub(crate) mod refusals;
pub(crate) mod stages;

use std::{collections::BTreeMap, sync::Arc};

use self::{
    counted::{Delays, Probings},
    meter::Meter,
    refusals::Refusals,
    stages::Stages,
};
use crate::pod::{
    PodName, Spec, Stamp,
    counts::Tally,
    machine::Machine,
    network::Address,
    status::{BootId, PodStatus},
    storage::ClaimUse,
    surroundings::Whose,
};

/// One moment of the whole box.
#[derive(Clone, Debug)]
pub(crate) struct Picture {
    pub(crate) node: String,
    /// The box's own address.
    pub(crate) address: Address,
    pub(crate) capacity: Capacity,
    pub(crate) machine: Arc<Machine>,
    /// This boot.
    pub(crate) boot: BootId,
    /// Wall clock minus `CLOCK_BOOTTIME`, nanoseconds, by boot: what turns a stamp into a date.
    pub(crate) offsets: BTreeMap<BootId, i64>,
    pub(crate) pods: BTreeMap<PodName, Arc<PodPicture>>,
    /// Terminations since the store was made. They never go back while the pod exists.
    pub(crate) totals: Vec<Total>,
    pub(crate) health: Health,
    /// Those that pods use, when they were last looked at.
    pub(crate) claims: Arc<[ClaimUse]>,
    pub(crate) stages: Arc<Stages>,
    pub(crate) delays: Arc<Delays>,
    pub(crate) meter: Meter,
    /// Of the API.
    pub(crate) refusals: Arc<Refusals>,
}

/// What the box has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Capacity {
    /// Thousandths of a CPU.
    pub(crate) cpu: u64,
    /// Bytes.
    pub(crate) memory: u64,
}

/// One pod of the picture.
#[derive(Clone, Debug)]
pub(crate) struct PodPicture {
    pub(crate) spec: Arc<Spec>,
    /// The stored object: metadata and spec as the API shows them (no status).
    pub(crate) object: Arc<serde_json::Value>,
    /// The pod's own address, while it has one.
    pub(crate) address: Option<Address>,
    pub(crate) status: PodStatus,
    /// Since when each condition is as it is. What was before an agent's start is dated by its containers'.
    pub(crate) turned: BTreeMap<&'static str, Stamp>,
    /// Of each container of the spec, in its order.
    pub(crate) tallies: Vec<Tally>,
    /// Set while the pod is being deleted.
    pub(crate) deleting: Option<Stamp>,
    pub(crate) probings: Arc<Probings>,
}

/// How often containers ended in one way.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Total {
    pub(crate) pod: PodName,
    pub(crate) container: String,
    /// Kubernetes' terminated reason.
    pub(crate) reason: String,
    /// `0` if no signal ended it.
    pub(crate) signal: i32,
    pub(crate) cause: String,
    /// Of an OOM kill: whose limit it was. Else empty.
    pub(crate) limit: String,
    /// Of an OOM kill: whom it took. Else empty.
    pub(crate) victim: String,
    pub(crate) count: u64,
}

/// How well the agent hears and remembers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Health {
    /// Why the kernel programs are not in use, if they are not.
    pub(crate) deaf: Option<String>,
    /// Ring records that found no room. Detail is lost, totals are not.
    pub(crate) lost_records: u64,
    /// Deaths on which two sources disagree.
    pub(crate) mismatches: u64,
    /// Log bytes dropped because the disk was full.
    pub(crate) dropped_log_bytes: u64,
    /// The store's last write error, until a write works again.
    pub(crate) store_error: Option<String>,
    pub(crate) images: ImageDisk,
}

/// The filesystem that images are on, when it was last looked at. Zeros before the first look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ImageDisk {
    /// Bytes.
    pub(crate) capacity: u64,
    pub(crate) available: u64,
    /// It is too full, and no image is left that may go.
    pub(crate) pressure: bool,
    /// Images that were removed to make room, since the agent began.
    pub(crate) collected: u64,
}

impl PodPicture {
    /// The address that others reach the pod under: its own, or on the box's network the box's.
    pub(crate) fn reached_at(&self, of_box: Address) -> Option<Address> {
        match self.spec.surroundings.net {
            Whose::Pods => self.address,
            Whose::Box => Some(of_box),
        }
    }
}

impl Picture {
    /// Nanoseconds since 1970 of a stamp taken in `boot`, if that boot is known.
    pub(crate) fn wall(&self, boot: &BootId, stamp: Stamp) -> Option<i64> {
        let offset = self.offsets.get(boot)?;
        i64::try_from(stamp.0).ok()?.checked_add(*offset)
    }
}
