//! Who may start: init containers one after the other, a sidecar in its turn among them, then all the main ones.
//!
//! ```text
//!   initContainers                                   containers
//!   init ──succeeded──► sidecar ──started──► init ──succeeded──► main, main, …
//! ```
//! Ephemeral containers start whenever there is a sandbox, and nobody waits for one.
//!
//! Once a later container has begun, an earlier one holds nobody up any more: a sidecar that ends is started again
//! beside the others (kubelet `computeInitContainerActions`, KEP-753).

use super::{Observed, Seen};
use crate::pod::{Role, Spec, status::BootId};

/// Whether a container has its turn; when it is due is another question.
pub(super) fn may_start(spec: &Spec, pod: &Observed, container: usize) -> bool {
    let role = spec.containers[container].role;
    if role == Role::Ephemeral {
        return true;
    }
    let is_done = role == Role::Init && lets_others_start(spec, pod, container);
    !is_done && (0..container).all(|before| lets_others_start(spec, pod, before))
}

/// Every init container has succeeded in this boot, and every sidecar was started.
pub(super) fn is_initialized(spec: &Spec, pod: &Observed) -> bool {
    (0..spec.containers.len()).all(|container| lets_others_start(spec, pod, container))
}

/// Whether what comes after this container may start.
pub(super) fn lets_others_start(spec: &Spec, pod: &Observed, container: usize) -> bool {
    let seen = &pod.containers[container];
    let is_past = || {
        let mut later = pod.with(spec).skip(container + 1);
        later.any(|(other, each)| other.role != Role::Ephemeral && each.has_begun(&pod.boot))
    };
    match spec.containers[container].role {
        Role::Main | Role::Ephemeral => true,
        Role::Init => seen.has_succeeded(&pod.boot) || is_past(),
        Role::Sidecar => seen.is_started(&spec.containers[container]) || is_past(),
    }
}

impl Seen {
    fn has_succeeded(&self, boot: &BootId) -> bool {
        let ended = self.last_end().filter(|_| self.is_stopped());
        ended.is_some_and(|last| last.boot == *boot && last.verdict.code == Some(0))
    }
}
