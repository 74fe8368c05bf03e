//! What the kernel counts of the kernel programs. It is read when it is asked for: the programs run between two pictures too.

use std::{fmt, sync::Arc, time::Duration};

/// One program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ran {
    pub(crate) program: &'static str,
    /// How often and how long, while the kernel counts that.
    pub(crate) runs: Option<(u64, Duration)>,
    /// How often it was passed over because one was at work already.
    pub(crate) misses: Option<u64>,
}

/// Whoever can read it; nobody, without kernel programs.
#[derive(Clone)]
pub(crate) struct Meter(Arc<dyn Fn() -> Vec<Ran> + Send + Sync>);

impl Meter {
    pub(crate) fn new(read: impl Fn() -> Vec<Ran> + Send + Sync + 'static) -> Self {
        Self(Arc::new(read))
    }

    pub(crate) fn read(&self) -> Vec<Ran> {
        (self.0)()
    }
}

impl Default for Meter {
    fn default() -> Self {
        Self::new(Vec::new)
    }
}

impl fmt::Debug for Meter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Meter")
    }
}
