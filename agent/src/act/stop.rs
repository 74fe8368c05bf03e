//! Asking a container to end, and making it: each signal leaves word of its reason first, where it outlives the agent.
#![expect(clippy::disallowed_methods, reason = "reads the attempt's own config")]

use std::fs;

use super::{Tools, chain, lock, oci};
use crate::{
    cgroup,
    kernel::probes::{ProbeError, Probes},
    pod::{
        AttemptId, CgroupId, Container, Stamp, signal,
        verdict::{Sent, Why},
    },
};

/// The container's stop signal for the main process.
pub(crate) fn terminate(
    tools: &Tools,
    id: &AttemptId,
    cgroup: CgroupId,
    wanted: Option<&Container>,
    why: Why,
    kill_at: Stamp,
) {
    tools.leave_word(|probes| probes.intend(cgroup, why, kill_at));
    let Some(pidfd) = tools.held(id) else { return };
    let signal = stop_signal(tools, id, wanted);
    tools.note_signal(id, signal, why);
    if let Err(e) = pidfd.signal(signal) {
        tracing::warn!(error = %chain(&e), attempt = %id, "the stop signal is not sent");
    }
}

/// The signal that asks a container to end: the manifest's word, then the image's, then SIGTERM.
fn stop_signal(tools: &Tools, id: &AttemptId, wanted: Option<&Container>) -> i32 {
    let of_image = || {
        let config = fs::read(tools.places.attempt(id).join("config.json")).ok()?;
        let config: serde_json::Value = serde_json::from_slice(&config).ok()?;
        signal::of_image(config["annotations"][oci::STOP_SIGNAL].as_str()?)
    };
    let own = wanted.and_then(|wanted| wanted.lifecycle.stop_signal);
    own.or_else(of_image).unwrap_or(libc::SIGTERM)
}

/// SIGKILL for everything in the container.
pub(crate) fn kill(
    tools: &Tools,
    id: &AttemptId,
    cgroup: CgroupId,
    why: Why,
    at: Stamp,
) -> Result<(), cgroup::Error> {
    tools.leave_word(|probes| probes.condemn(cgroup, why, at));
    tools.note_signal(id, libc::SIGKILL, why);
    tools.places.attempt_cgroup(id).kill()
}

impl Tools {
    /// The last signal that was sent to an attempt.
    pub(crate) fn sent(&self, id: &AttemptId) -> Option<Sent> {
        lock(&self.sent).get(id).copied()
    }

    fn note_signal(&self, id: &AttemptId, signal: i32, why: Why) {
        let mut sent = lock(&self.sent);
        let first = sent.get(id).map(|before| before.first.unwrap_or(before.why));
        sent.insert(id.clone(), Sent { signal, why, first });
    }

    /// A signal is sent all the same if this fails.
    fn leave_word(&self, word: impl FnOnce(&Probes) -> Result<(), ProbeError>) {
        let told = self.probes.as_ref().map_or(Ok(()), |probes| word(probes));
        if let Err(e) = told {
            tracing::warn!(error = %chain(&e), "the intent is not recorded");
        }
    }
}
