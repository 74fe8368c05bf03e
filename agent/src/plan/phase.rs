//! `status.phase`, by the kubelet's `getPhase`.

use super::{Observed, order};
use crate::pod::{
    Role, Spec,
    status::{ContainerState, ContainerStatus, Phase},
};

/// What the containers' states add up to.
pub(super) fn phase(spec: &Spec, seen: &Observed, containers: &[ContainerStatus]) -> Phase {
    if seen.init_has_failed(spec) {
        return Phase::Failed;
    }
    let mains = || containers.iter().filter(|each| each.role == Role::Main);
    // A pod whose main containers have all ended before this boot is not initialized again.
    if !order::is_initialized(spec, seen) && !seen.is_over(spec) {
        return Phase::Pending;
    }
    if mains().any(is_new) {
        return Phase::Pending;
    }
    if mains().any(|each| matches!(each.state, ContainerState::Running(_))) {
        return Phase::Running;
    }
    match (seen.is_over(spec), mains().all(has_succeeded)) {
        // At least one is to be started again.
        (false, _) => Phase::Running,
        (true, true) => Phase::Succeeded,
        (true, false) => Phase::Failed,
    }
}

/// It waits for its first attempt.
fn is_new(status: &ContainerStatus) -> bool {
    matches!(status.state, ContainerState::Waiting { .. }) && status.last.is_none()
}

fn has_succeeded(status: &ContainerStatus) -> bool {
    matches!(&status.state, ContainerState::Terminated(ended) if ended.verdict.code == Some(0))
}
