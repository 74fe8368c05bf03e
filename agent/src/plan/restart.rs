//! Whether and when a container starts again, by the kubelet's rules.
//!
//! Back-off (kubelet `doBackOff` over client-go `flowcontrol.Backoff`): the first restart is immediate, then 10 s, 20 s,
//! 40 s … at most 300 s after the exit; a run of more than 600 s makes the next restart immediate again. It follows
//! from the ended attempts alone, so nothing has to be remembered beside the ledger.

use std::time::Duration;

use super::Failure;
use crate::pod::{
    Container, Stamp,
    status::{BootId, Ended},
    verdict::Why,
};

const FIRST: Duration = Duration::from_secs(10);
const CAP: Duration = Duration::from_secs(300);
/// A run this long is a fresh start (twice the cap).
const FORGIVEN: Duration = Duration::from_secs(600);
/// After so many short runs the delay is at its cap: older attempts say nothing more.
pub(crate) const HISTORY: usize = 8;

/// Whether there is to be another attempt after this end: the policy's affair, unless it was ended only to run another
/// image.
pub(crate) fn wanted(container: &Container, last: &Ended) -> bool {
    last.verdict.asked == Some(Why::Changed) || container.restart.wants_another(last.verdict.code)
}

/// When the attempt after these (newest last) may start. `None`: at once, as the last one ended in an earlier boot,
/// whose stamps mean nothing in this one.
pub(crate) fn due(ended: &[Ended], boot: &BootId) -> Option<Stamp> {
    let last = ended.last().filter(|last| last.boot == *boot)?;
    Some(last.verdict.finished.after(delay(ended)))
}

/// How long after the last exit the next attempt waits. Attempts of earlier boots do not count.
pub(crate) fn delay(ended: &[Ended]) -> Duration {
    let Some(boot) = ended.last().map(|last| &last.boot) else { return Duration::ZERO };
    let mut current = Duration::ZERO;
    let mut grown = Duration::ZERO;
    for each in ended.iter().filter(|each| each.boot == *boot) {
        let ran = each.started.map_or(Duration::ZERO, |started| each.verdict.finished.since(started));
        let fresh = grown.is_zero() || ran > FORGIVEN;
        current = if fresh { Duration::ZERO } else { grown };
        grown = if fresh { FIRST } else { (grown * 2).min(CAP) };
    }
    current
}

/// When something that could not be made is tried again: 10 s, 20 s, 40 s … at most 300 s after it failed.
pub(crate) fn retry_at(failure: &Failure) -> Stamp {
    let doublings = failure.count.saturating_sub(1).min(5);
    failure.at.after((FIRST * (1 << doublings)).min(CAP))
}
