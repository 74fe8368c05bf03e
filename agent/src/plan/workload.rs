//! DECIDES which pods of a workload are to be made or deleted next. Pure and level-triggered, like the planner of one pod.
//!
//! There is one box, so a rollout has no batches: pods are replaced one by one, and the next only when the last is ready.

use std::{ops::Range, time::Duration};

use crate::pod::{
    PodUid, Stamp,
    workload::{Job, Life, Pace, Renewal, Replica, Shape, Workload},
};

/// One change to the pods of a workload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// A pod of the current template. `ordinal`: its place, where that is its name.
    Make {
        ordinal: Option<u32>,
    },
    Delete {
        uid: PodUid,
    },
}

/// What is due.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Changes {
    pub(crate) now: Vec<Change>,
    /// When to ask again, if nothing happens before.
    pub(crate) wake_at: Option<Stamp>,
}

/// What a Job has come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Complete,
    BackoffLimitExceeded,
    DeadlineExceeded,
}

/// What is due now. What is under way already (pods that are going) is waited for.
pub(crate) fn changes(workload: &Workload, pods: &[Replica], now: Stamp) -> Changes {
    let made = |now| Changes { now, wake_at: None };
    match workload.shape {
        Shape::Set { replicas, renewal } => made(of_set(workload, replicas, renewal, pods)),
        Shape::Ordered { replicas, start, pace, renewal } => {
            made(of_ordered(workload, start..start.saturating_add(replicas), pace, renewal, pods))
        }
        Shape::Job(job) => of_job(workload, &job, pods, now),
    }
}

/// How a Job has ended, if it has.
pub(crate) fn verdict(job: &Job, pods: &[Replica], now: Stamp) -> Option<Verdict> {
    let (succeeded, failed) = ends(job, pods);
    let restarts: u32 = pods.iter().filter(|pod| is_alive(pod)).map(|pod| pod.restarts).sum();
    let restarted_too_often = job.restarts_count && restarts >= job.retries.max(1);
    let active = pods.iter().any(|pod| is_alive(pod) || pod.life == Life::Going);
    let complete = match job.completions {
        Some(wanted) => succeeded >= wanted,
        None => succeeded > 0 && !active,
    };
    if complete {
        Some(Verdict::Complete)
    } else if failed > job.retries || restarted_too_often {
        Some(Verdict::BackoffLimitExceeded)
    } else if job.deadline.is_some_and(|deadline| deadline <= now) {
        Some(Verdict::DeadlineExceeded)
    } else {
        None
    }
}

/// How many pods of a Job have succeeded, and failed.
pub(crate) fn ends(job: &Job, pods: &[Replica]) -> (u32, u32) {
    let count = |life| u32::try_from(pods.iter().filter(|pod| pod.life == life).count()).unwrap_or(u32::MAX);
    (job.succeeded + count(Life::Succeeded), job.failed + count(Life::Failed))
}

fn is_alive(pod: &Replica) -> bool {
    matches!(pod.life, Life::Unready | Life::Ready)
}

fn is_over(pod: &Replica) -> bool {
    matches!(pod.life, Life::Succeeded | Life::Failed)
}

fn delete(pod: &Replica) -> Change {
    Change::Delete { uid: pod.uid.clone() }
}

fn make(count: usize) -> impl Iterator<Item = Change> {
    std::iter::repeat_n(Change::Make { ordinal: None }, count)
}

fn of_set(workload: &Workload, replicas: u32, renewal: Renewal, pods: &[Replica]) -> Vec<Change> {
    let wanted = replicas as usize;
    let is_old = |pod: &&Replica| renewal != Renewal::Never && pod.template != workload.template;
    // A pod that has ended for good counts no more, and would only be in the way.
    let mut changes: Vec<Change> = pods.iter().filter(|pod| is_over(pod)).map(delete).collect();
    let (old, new): (Vec<&Replica>, Vec<&Replica>) =
        pods.iter().filter(|pod| is_alive(pod)).partition(is_old);
    let all_new_ready = new.iter().all(|pod| pod.life == Life::Ready);
    let going = pods.iter().filter(|pod| pod.life == Life::Going).count();
    let total = old.len() + new.len();
    if renewal == Renewal::Recreate && !old.is_empty() {
        changes.extend(old.into_iter().map(delete));
    } else if total > wanted + usize::from(renewal == Renewal::Before && !old.is_empty() && wanted > 0) {
        changes.extend(surplus(&old, &new, total - wanted));
    } else if old.is_empty() {
        // Of a workload that never has two in one place, the one that goes must be gone first.
        let one_at_a_time = matches!(renewal, Renewal::After | Renewal::Recreate);
        let room = if one_at_a_time { wanted.saturating_sub(going) } else { wanted };
        changes.extend(make(room.saturating_sub(total)));
    } else if renewal == Renewal::Before {
        match (total > wanted, all_new_ready) {
            (true, true) => changes.extend(old.first().map(|pod| delete(pod))),
            (true, false) => (),
            (false, _) => changes.extend(make(wanted + 1 - total)),
        }
    } else if going == 0 && all_new_ready {
        let missing = wanted - total;
        changes.extend(make(missing));
        if missing == 0 {
            changes.extend(old.first().map(|pod| delete(pod)));
        }
    }
    changes
}

/// Old ones first, then those that are not ready: as a ReplicaSet chooses.
fn surplus(old: &[&Replica], new: &[&Replica], count: usize) -> Vec<Change> {
    let mut order: Vec<(&Replica, bool)> = old.iter().map(|pod| (*pod, true)).collect();
    order.extend(new.iter().map(|pod| (*pod, false)));
    order.sort_by_key(|(pod, is_old)| (!is_old, pod.life == Life::Ready));
    order.into_iter().take(count).map(|(pod, _)| delete(pod)).collect()
}

fn of_ordered(
    workload: &Workload,
    places: Range<u32>,
    pace: Pace,
    renewal: Renewal,
    pods: &[Replica],
) -> Vec<Change> {
    let named = |place: u32| format!("{}-{place}", workload.name);
    let at = |place: u32| pods.iter().find(|pod| pod.name == named(place));
    let mut changes: Vec<Change> = pods.iter().filter(|pod| is_over(pod)).map(delete).collect();
    // Surplus pods go from the last place down, in order one at a time.
    let mut outside: Vec<&Replica> = pods
        .iter()
        .filter(|pod| !is_over(pod) && !places.clone().any(|place| named(place) == pod.name))
        .collect();
    outside.sort_by_key(|pod| std::cmp::Reverse((pod.name.len(), &pod.name)));
    let leaving = if pace == Pace::Parallel { outside.len() } else { 1 };
    changes.extend(outside.iter().take(leaving).filter(|pod| is_alive(pod)).map(|pod| delete(pod)));
    for place in places.clone() {
        match at(place) {
            None => changes.push(Change::Make { ordinal: Some(place) }),
            Some(pod) if pod.life == Life::Ready || pace == Pace::Parallel => continue,
            // An unready one of an old template is not waited for: its new template may be what mends it.
            Some(pod) if is_alive(pod) && is_old(workload, renewal, pod) => changes.push(delete(pod)),
            Some(_) => (),
        }
        if pace == Pace::InOrder {
            return changes;
        }
    }
    // All are there and ready: the last of an old template goes, and comes again as a new one.
    let settled = places.clone().all(|place| at(place).is_some_and(|pod| pod.life == Life::Ready));
    let old = places.rev().filter_map(at).find(|pod| is_old(workload, renewal, pod));
    if settled {
        changes.extend(old.map(delete));
    }
    changes
}

fn is_old(workload: &Workload, renewal: Renewal, pod: &Replica) -> bool {
    renewal != Renewal::Never && pod.template != workload.template
}

fn of_job(workload: &Workload, job: &Job, pods: &[Replica], now: Stamp) -> Changes {
    let alive = || pods.iter().filter(|pod| is_alive(pod));
    if job.over || verdict(job, pods, now).is_some() {
        return Changes { now: alive().map(delete).collect(), wake_at: None };
    }
    let busy = alive().count() + pods.iter().filter(|pod| pod.life == Life::Going).count();
    let parallelism = job.parallelism as usize;
    let (succeeded, _) = ends(job, pods);
    let left = match job.completions {
        Some(wanted) => wanted.saturating_sub(succeeded) as usize,
        None if succeeded > 0 => busy,
        None => parallelism,
    };
    if alive().count() > parallelism {
        let surplus = alive().count() - parallelism;
        return Changes { now: alive().take(surplus).map(delete).collect(), wake_at: job.deadline };
    }
    let missing = left.min(parallelism).saturating_sub(busy);
    match rest_until(pods).filter(|until| *until > now && missing > 0) {
        Some(until) => {
            let wake_at = [Some(until), job.deadline].into_iter().flatten().min();
            Changes { now: Vec::new(), wake_at }
        }
        None if job.indexed => {
            Changes { now: at_places(workload, job, pods, missing), wake_at: job.deadline }
        }
        None => Changes { now: make(missing).collect(), wake_at: job.deadline },
    }
}

/// Pods for the first places that have none, and have not succeeded.
fn at_places(workload: &Workload, job: &Job, pods: &[Replica], count: usize) -> Vec<Change> {
    let is_taken = |place: &u32| {
        let holds = |pod: &Replica| pod.place == Some(*place) && pod.life != Life::Failed;
        workload.done.contains(place) || pods.iter().any(holds)
    };
    let free = (0..job.completions.unwrap_or(0)).filter(|place| !is_taken(place));
    free.take(count).map(|place| Change::Make { ordinal: Some(place) }).collect()
}

/// After a failure a Job waits, longer with each in a row. Failures of an earlier boot have had their rest.
fn rest_until(pods: &[Replica]) -> Option<Stamp> {
    let last_success =
        pods.iter().filter(|pod| pod.life == Life::Succeeded).filter_map(|pod| pod.ended).max();
    let failed = pods.iter().filter(|pod| pod.life == Life::Failed).filter_map(|pod| pod.ended);
    let failed: Vec<Stamp> = failed.filter(|at| last_success.is_none_or(|good| *at > good)).collect();
    let failures = u32::try_from(failed.len()).unwrap_or(u32::MAX);
    failed.into_iter().max().map(|last| last.after(back_off(failures)))
}

/// How long a Job waits after so many failures in a row: 10 s, doubled up to 10 min.
/// Source: Kubernetes 1.37, `pkg/controller/job/job_controller.go`.
fn back_off(failures: u32) -> Duration {
    const FIRST: Duration = Duration::from_secs(10);
    const LAST: Duration = Duration::from_mins(10);
    match failures {
        0 => Duration::ZERO,
        n => FIRST.saturating_mul(2_u32.saturating_pow(n.min(16) - 1)).min(LAST),
    }
}
