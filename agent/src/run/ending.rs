//! From the end of a main process to a row of the ledger: waits for it, gathers what is known, has `account` judge it.

use std::{
    collections::BTreeMap,
    os::fd::AsFd,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use super::{Desk, Note, Remains, clock};
use crate::{
    account::{self, Ancestor, Evidence, Limited, Neighbour},
    act::{chain, last_words::Ending},
    cgroup::Cgroup,
    kernel::pidfd::PidFd,
    pod::{
        AttemptId, CgroupId, OomScope, Pid, Stamp,
        status::Ended,
        verdict::{Verdict, Waited},
    },
    ready,
    store::{self, Attempt, Selector},
};

/// How long to wait before what failed is tried again.
pub(super) const STORE_AGAIN: Duration = Duration::from_secs(5);
/// What libcontainer calls the processes that build a container (`youki:[1:INTER]`, `youki:[2:INIT]`).
pub(super) const RUNTIME_COMM: &[u8] = b"youki:[";
/// How many ledger rows are searched for the sender of a signal.
const NEIGHBOURS: u32 = 512;

impl Desk {
    /// Waits for the end of an attempt, writes it down, tells the loop.
    pub(super) async fn watch(
        self,
        id: AttemptId,
        cgroup: CgroupId,
        pid: Pid,
        started: Stamp,
        pidfd: Arc<PidFd>,
    ) {
        while let Err(e) = exit_of(&pidfd).await {
            tracing::error!(error = %e, attempt = %id, "the exit cannot be waited for; trying again");
            // It runs, for all we know: an end that nobody saw must not be made up. The next agent adopts it.
            if clock::pause(STORE_AGAIN).await.is_err() {
                return;
            }
        }
        let mut ended = self.examine(&id, cgroup, started, Some(&pidfd)).await;
        self.tools.children.release(pid);
        // Whoever follows the log stops when the attempt is over: by then all of it must be there.
        self.tools.finish_output(&id).await;
        self.remember(&mut ended).await;
        self.write_down(&ended).await;
        let _ = self.notes.send(Note::Ended { ended, remains: Remains::All }).await;
    }

    /// All that is known of an attempt whose main process is gone.
    pub(super) async fn examine(
        &self,
        id: &AttemptId,
        cgroup: CgroupId,
        started: Stamp,
        pidfd: Option<&PidFd>,
    ) -> Ended {
        let waited = pidfd.and_then(|pidfd| match pidfd.wait() {
            Ok(waited) => waited,
            Err(e) => {
                tracing::warn!(error = %chain(&e), attempt = %id, "no wait status");
                None
            }
        });
        let verdict = self.judge(id, cgroup, waited).await;
        Ended {
            id: id.clone(),
            boot: self.boot.clone(),
            started: Some(started),
            verdict,
            said: None,
            flight: None,
        }
    }

    /// What the program says itself, and what was around it if it was killed. Once all its output is in the log.
    pub(super) async fn remember(&self, ended: &mut Ended) {
        let ending = if ended.verdict.code == Some(0) { Ending::Well } else { Ending::Badly };
        ended.said = self.tools.last_words(&ended.id, ending).await;
        if ended.verdict.signal.is_some() {
            ended.flight = Some(Box::new(self.tools.flight(&ended.id).await));
        }
    }

    /// Writes an end to the ledger, as often as it takes: it must not be lost, and running pods do not wait for it.
    pub(super) async fn write_down(&self, ended: &Ended) {
        let (reason, cause) = (account::reason(&ended.verdict), account::cause(&ended.verdict));
        tracing::info!(attempt = %ended.id, reason, cause, code = ended.verdict.code, message = account::message(&ended.verdict), "ended");
        while let Err(e) = self.journal.end(ended, reason, cause).await {
            tracing::error!(error = %chain(&e), attempt = %ended.id, "the end cannot be recorded");
            // The pod is gone, and its attempt never began: there is nobody whose history this could be.
            if matches!(e, store::Error::Stranger(_)) || clock::pause(STORE_AGAIN).await.is_err() {
                return;
            }
        }
    }

    /// The box went down under it. The end is dated to the start: nobody saw more of it.
    pub(super) fn lost_to_reboot(&self, attempt: &Attempt) -> Ended {
        let started = attempt.process.as_ref().map(|process| process.started);
        let verdict = account::lost_to_reboot(started.unwrap_or_default());
        Ended {
            id: attempt.id.clone(),
            boot: attempt.boot.clone(),
            started,
            verdict,
            said: None,
            flight: None,
        }
    }

    async fn judge(&self, id: &AttemptId, cgroup: CgroupId, waited: Option<Waited>) -> Verdict {
        let death = self.death(cgroup);
        if let (Some(death), Some(waited)) = (&death, waited)
            && account::mismatch(death, waited)
        {
            tracing::error!(attempt = %id, ?death, ?waited, "two sources disagree on a death");
            self.mismatches.fetch_add(1, Ordering::Relaxed);
        }
        let attempt = self.tools.places.attempt_cgroup(id);
        let whole = attempt.number("memory.oom.group").ok().flatten() == Some(1);
        account::verdict(&Evidence {
            death: death.as_ref(),
            waited,
            sent: self.tools.sent(id),
            oom_kills: attempt.memory_events().ok().map(|events| events.oom_kill),
            oom: if whole { OomScope::Container } else { OomScope::Process },
            places: &self.places(id, cgroup).await,
            agent: &[Pid(rustix::process::getpid().as_raw_nonzero().get())],
            now: clock::now(),
        })
    }

    /// Which cgroup is what, seen from an attempt.
    async fn places(&self, id: &AttemptId, cgroup: CgroupId) -> account::Places {
        let places = &self.tools.places;
        let pod = places.pod_cgroup(&id.uid);
        let above = places.above(&pod);
        let ancestors = above.iter().filter_map(|each| {
            let limited = limited(each, each.id().ok()?);
            Some(Ancestor { id: limited.id, path: places.in_hierarchy(each), bytes: limited.bytes })
        });
        account::Places {
            container: limited(&places.attempt_cgroup(id), cgroup),
            pod: limited(&pod, pod.id().unwrap_or(CgroupId(0))),
            ancestors: ancestors.collect(),
            others: self.neighbours(cgroup).await,
        }
    }

    /// The containers of this boot by their cgroups, those that have just ended included: they may have sent a signal.
    async fn neighbours(&self, cgroup: CgroupId) -> BTreeMap<CgroupId, Neighbour> {
        let recent = Selector { namespace: None, pod: None, last: Some(NEIGHBOURS) };
        let rows = self.journal.ledger(recent).await.unwrap_or_default();
        let of_this_boot =
            rows.into_iter().map(|row| row.attempt).filter(|attempt| attempt.boot == self.boot);
        let named = of_this_boot.filter_map(|attempt| {
            let id = attempt.process.as_ref()?.cgroup;
            Some((id, Neighbour { pod: attempt.pod.to_string(), container: attempt.id.container }))
        });
        named.filter(|(id, _)| *id != cgroup).collect()
    }

    /// The process that died was still the runtime's: the container's own program never began.
    pub(super) fn never_ran(&self, cgroup: CgroupId) -> bool {
        self.death(cgroup).is_some_and(|death| carob_ebpf::comm(&death.comm).starts_with(RUNTIME_COMM))
    }

    fn death(&self, cgroup: CgroupId) -> Option<carob_ebpf::Death> {
        let probes = self.tools.probes.as_ref()?;
        match probes.death(cgroup) {
            Ok(death) => death,
            Err(e) => {
                tracing::error!(error = %chain(&e), "the death record cannot be read");
                None
            }
        }
    }
}

fn limited(cgroup: &Cgroup, id: CgroupId) -> Limited {
    Limited { id, bytes: cgroup.number("memory.max").ok().flatten() }
}

/// Comes back when the process is gone.
async fn exit_of(pidfd: &PidFd) -> std::io::Result<()> {
    let exit = ready::readable(pidfd.as_fd().try_clone_to_owned()?)?;
    exit.readable().await.map(drop)
}
