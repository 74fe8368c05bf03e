//! What was around a container when a signal ended it: a recorder that is read after the crash.

use serde::{Deserialize, Serialize};

/// What is not known is absent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Flight {
    /// The most that was ever charged to its cgroup, bytes.
    pub(crate) most_memory: Option<u64>,
    pub(crate) pressure: Pressure,
    /// Its last output.
    pub(crate) output: Option<String>,
}

/// In which part of the last ten seconds some of its threads waited for it, in hundredths of a percent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Pressure {
    pub(crate) cpu: Option<u32>,
    pub(crate) memory: Option<u32>,
    pub(crate) io: Option<u32>,
}
