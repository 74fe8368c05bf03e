//! What the kernel counts of a container's processes, and of the programs that count them. Plain numbers.

use std::{
    ops::{Add, AddAssign},
    time::Duration,
};

use serde::Serialize;

use super::CgroupId;

/// Totals of one attempt, or of several.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Counts {
    /// Main processes that ended: of one attempt at most one.
    pub(crate) main_exits: u64,
    /// Other processes that ended: children, probes, commands.
    pub(crate) other_exits: u64,
    /// Processes that the OOM killer took, main ones included.
    pub(crate) oom_kills: u64,
    /// Records and events that found no room.
    pub(crate) lost_records: u64,
}

impl Add for Counts {
    type Output = Self;

    fn add(self, more: Self) -> Self {
        Self {
            main_exits: self.main_exits + more.main_exits,
            other_exits: self.other_exits + more.other_exits,
            oom_kills: self.oom_kills + more.oom_kills,
            lost_records: self.lost_records + more.lost_records,
        }
    }
}

impl AddAssign for Counts {
    fn add_assign(&mut self, more: Self) {
        *self = *self + more;
    }
}

/// What the kernel says of one of its programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ran {
    pub(crate) program: &'static str,
    /// How often it ran and how long that took, since it was loaded and while the kernel counted. Absent when it does not.
    pub(crate) runs: Option<(u64, Duration)>,
    /// How often it was passed over because one was at work on that processor. Always counted, from Linux 5.12.
    pub(crate) misses: Option<u64>,
}

/// What is counted of one container of a pod: written down of the attempts that are gone, and still counted in a cgroup.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) written: Counts,
    /// Of the attempt that runs, or that has ended and is not cleared away yet.
    pub(crate) cgroup: Option<CgroupId>,
}
