//! Whether and when a container starts again, by the kubelet's rules.
//!
//! Back-off (kubelet `doBackOff` over client-go `flowcontrol.Backoff`): the first restart is immediate, then 10 s, 20 s,
//! 40 s … at most 300 s after the exit; a run of more than 600 s makes the next restart immediate again. It follows
//! from the ended attempts alone, so nothing has to be remembered beside the ledger.

use std::time::Duration;

use super::Failure;
use crate::pod::{
    Container, Stamp,
    restart::{Action, BackOff, Failing, OnFailing},
    status::{BootId, Ended},
    verdict::{Cause, Sender, Verdict, Why},
};

const FIRST: Duration = Duration::from_secs(10);
const CAP: Duration = Duration::from_secs(300);
/// A run this long is a fresh start (twice the cap).
const FORGIVEN: Duration = Duration::from_secs(600);
/// After so many short runs the delay is at its cap: older attempts say nothing more.
pub(crate) const HISTORY: usize = 12;

/// Whether there is to be another attempt after this end: the policy's affair, unless it was ended only to run another
/// image or its cause has a word of its own.
pub(crate) fn wanted(container: &Container, last: &Ended) -> bool {
    if last.verdict.asked == Some(Why::Changed) {
        return true;
    }
    let own = on_failing(container, last).and_then(|own| own.again);
    own.unwrap_or_else(|| container.restart.wants_another(last.verdict.code))
}

/// Whether this end asks for all containers of the pod to run again. What the agent has done to it asks for nothing.
pub(crate) fn asks_for_all(container: &Container, last: &Ended) -> bool {
    let by_itself = matches!(last.verdict.asked, None | Some(Why::Liveness | Why::Startup | Why::PostStart));
    by_itself && container.restart.action(last.verdict.code) == Some(Action::RestartAllContainers)
}

/// How it has failed, if it has and the failure was not carob's own doing.
fn failing(verdict: &Verdict) -> Option<Failing> {
    match (verdict.asked, &verdict.cause) {
        (_, Cause::Completed | Cause::NodeReboot) => None,
        (Some(Why::Liveness | Why::Startup | Why::PostStart), _) => Some(Failing::Probe),
        (_, Cause::Oom { .. }) => Some(Failing::Oom),
        (_, Cause::Signalled(Sender::Container { .. } | Sender::Host { .. })) => Some(Failing::Kill),
        (_, Cause::Signalled(Sender::Agent(_))) => None,
        (_, Cause::Signalled(_) | Cause::Error | Cause::StartError { .. } | Cause::Unknown { .. }) => {
            Some(Failing::Crash)
        }
    }
}

fn on_failing(container: &Container, last: &Ended) -> Option<OnFailing> {
    container.restart.on_failing.get(&failing(&last.verdict)?).copied()
}

/// When the attempt after these (newest last) may start. `None`: at once, as the last one ended in an earlier boot,
/// whose stamps mean nothing in this one.
pub(crate) fn due(container: &Container, ended: &[Ended], boot: &BootId) -> Option<Stamp> {
    let last = ended.last().filter(|last| last.boot == *boot)?;
    Some(last.verdict.finished.after(delay(container, ended)))
}

/// How long after the last exit the next attempt waits. Attempts of earlier boots do not count.
pub(crate) fn delay(container: &Container, ended: &[Ended]) -> Duration {
    let Some(last) = ended.last() else { return Duration::ZERO };
    match on_failing(container, last).and_then(|own| own.backoff) {
        Some(own) => own_delay(own, ended),
        None => kubelets_delay(ended, &last.boot),
    }
}

/// Doubled for each failure of the same kind right before it.
fn own_delay(BackOff { first, most }: BackOff, ended: &[Ended]) -> Duration {
    let kind = |each: &Ended| (failing(&each.verdict), each.boot.clone());
    let last = ended.last().map(kind);
    let again = |each: &&Ended| Some(kind(each)) == last && ran(each) <= FORGIVEN;
    let before = ended.iter().rev().take_while(again).count().saturating_sub(1);
    let doublings = u32::try_from(before).unwrap_or(u32::MAX).min(31);
    first.saturating_mul(1 << doublings).min(most)
}

fn ran(each: &Ended) -> Duration {
    each.started.map_or(Duration::ZERO, |started| each.verdict.finished.since(started))
}

fn kubelets_delay(ended: &[Ended], boot: &BootId) -> Duration {
    let mut current = Duration::ZERO;
    let mut grown = Duration::ZERO;
    for each in ended.iter().filter(|each| each.boot == *boot) {
        let fresh = grown.is_zero() || ran(each) > FORGIVEN;
        current = if fresh { Duration::ZERO } else { grown };
        grown = if fresh { FIRST } else { (grown * 2).min(CAP) };
    }
    current
}

/// When something that could not be made is tried again: 10 s, 20 s, 40 s … after it failed, or as much later as is asked
/// for; at most 300 s.
pub(crate) fn retry_at(failure: &Failure) -> Stamp {
    let doublings = failure.count.saturating_sub(1).min(5);
    failure.at.after((FIRST * (1 << doublings)).max(failure.wait).min(CAP))
}
