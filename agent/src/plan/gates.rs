//! What people outside may hold up: a pod's start, by scheduling gates (KEP-3521), and its readiness, by readiness gates
//! (KEP-580).

use super::Observed;
use crate::pod::Spec;

/// Why a pod is not let in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Held {
    /// Its scheduling gates are still there.
    Gated,
    /// The box has no room for it; why, in the scheduler's words.
    NoRoom(String),
}

impl Held {
    /// Reason and message of `PodScheduled`.
    pub(super) fn said(&self) -> (&'static str, String) {
        match self {
            Self::Gated => {
                ("SchedulingGated", "Scheduling is blocked due to non-empty scheduling gates".to_owned())
            }
            Self::NoRoom(why) => ("Unschedulable", why.clone()),
        }
    }
}

/// Why a pod whose containers are ready is not, in the kubelet's words (`GeneratePodReadyCondition`).
pub(super) fn not_ready(spec: &Spec, seen: &Observed) -> Option<(&'static str, Option<String>)> {
    let why = |kind: &String| match seen.gates.get(kind).map(String::as_str) {
        Some("True") => None,
        Some(status) => {
            Some(format!("the status of pod readiness gate {kind:?} is not \"True\", but {status}"))
        }
        None => Some(format!("corresponding condition of pod readiness gate {kind:?} does not exist.")),
    };
    let all: Vec<String> = spec.readiness_gates.iter().filter_map(why).collect();
    (!all.is_empty()).then(|| ("ReadinessGatesNotReady", Some(all.join(", "))))
}
