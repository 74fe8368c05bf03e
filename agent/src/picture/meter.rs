//! What the kernel counts while nobody takes a picture: it is read when it is asked for.

use std::{fmt, sync::Arc};

use crate::pod::{
    CgroupId,
    counts::{Counts, Ran},
};

type Programs = dyn Fn() -> Vec<Ran> + Send + Sync;
type Containers = dyn Fn(CgroupId) -> Option<Counts> + Send + Sync;

/// Whoever can read it; nobody, without kernel programs.
#[derive(Clone)]
pub(crate) struct Meter {
    programs: Arc<Programs>,
    containers: Arc<Containers>,
}

impl Meter {
    pub(crate) fn new(
        programs: impl Fn() -> Vec<Ran> + Send + Sync + 'static,
        containers: impl Fn(CgroupId) -> Option<Counts> + Send + Sync + 'static,
    ) -> Self {
        Self { programs: Arc::new(programs), containers: Arc::new(containers) }
    }

    /// Of the kernel programs themselves.
    pub(crate) fn programs(&self) -> Vec<Ran> {
        (self.programs)()
    }

    /// In a container's cgroup. `None`: it is not known any more.
    pub(crate) fn counts(&self, cgroup: CgroupId) -> Option<Counts> {
        (self.containers)(cgroup)
    }
}

impl Default for Meter {
    fn default() -> Self {
        Self::new(Vec::new, |_| None)
    }
}

impl fmt::Debug for Meter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Meter")
    }
}
