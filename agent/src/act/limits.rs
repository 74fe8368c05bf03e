//! New limits for a pod that runs.

use std::sync::Arc;

use super::{Tools, container, sandbox};
use crate::{
    cgroup::{self, Cgroup, Limits},
    pod::{AttemptId, Spec},
};

/// Why limits are not written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The kernel would take it from the container by killing it.
    #[error("container {container} uses {used} bytes of memory, more than the new limit of {limit}")]
    InUse { container: String, used: u64, limit: u64 },
    #[error(transparent)]
    Cgroup(#[from] cgroup::Error),
}

/// Writes the pod's limits and those of these attempts. Nothing is written if a container uses more memory than it is to
/// have.
pub(super) fn write(tools: &Arc<Tools>, spec: &Spec, attempts: &[(usize, u32)]) -> Result<(), Error> {
    let of = |(container, attempt): &(usize, u32)| {
        let wanted = spec.containers.get(*container)?;
        let id = AttemptId { uid: spec.uid.clone(), container: wanted.name.clone(), attempt: *attempt };
        let limits = container::limits(spec, wanted, tools.memory);
        Some((wanted.name.as_str(), tools.places.attempt_cgroup(&id), limits))
    };
    let all: Vec<(&str, Cgroup, Limits)> = attempts.iter().filter_map(of).collect();
    for (name, cgroup, limits) in &all {
        let used = cgroup.number("memory.current")?.unwrap_or(0);
        if let Some(limit) = limits.memory.filter(|limit| used > *limit) {
            return Err(Error::InUse { container: (*name).to_owned(), used, limit });
        }
    }
    let (pod, whole) = (tools.places.pod_cgroup(&spec.uid), sandbox::limits(spec));
    // A pod grows before its containers do, and shrinks after them.
    let now = pod.number("memory.max")?;
    let shrinks = now.is_none_or(|now| whole.memory.is_some_and(|then| then < now));
    if !shrinks {
        pod.limit(&whole)?;
    }
    for (_, cgroup, limits) in &all {
        cgroup.limit(limits)?;
    }
    if shrinks {
        pod.limit(&whole)?;
    }
    Ok(())
}
