//! What the kernel counted in a cgroup, written down when the cgroup is gone: the counts of a container outlive its
//! attempts and the agent.

use std::sync::atomic::Ordering;

use super::{Agent, Desk};
use crate::{
    act::{chain, remains::Departed},
    pod::{CgroupId, PodUid, counts::Counts},
};

/// What was counted of a container, in a cgroup that is gone.
#[derive(Debug)]
pub(super) struct Account {
    pub(super) uid: PodUid,
    pub(super) container: String,
    pub(super) cgroup: CgroupId,
    pub(super) counts: Counts,
}

impl Desk {
    /// Writes down what was counted in a cgroup that is gone. What cannot be written stays in the kernel's maps, for the
    /// next agent to write. `None`: nothing was, or it is nobody's any more.
    pub(super) async fn close_account(&self, departed: Departed) -> Option<Account> {
        let cgroup = departed.cgroup;
        let counts = match self.tools.probes.as_ref()?.counts(cgroup) {
            Ok(counts) => counts?,
            Err(e) => {
                tracing::error!(error = %chain(&e), "what was counted cannot be read");
                return None;
            }
        };
        self.compare(departed, counts);
        match self.journal.count(&self.boot, cgroup, counts).await {
            Ok(Some((uid, container))) => Some(Account { uid, container, cgroup, counts }),
            Ok(None) => {
                self.tools.disown(cgroup);
                None
            }
            Err(e) => {
                tracing::error!(error = %chain(&e), ?counts, "what was counted cannot be recorded");
                None
            }
        }
    }

    /// The kernel's own count of OOM kills is another source. It counts the first victim twice where all processes go
    /// (`oom_kill_process` kills it, then the whole group with it in it), but none where there was none.
    fn compare(&self, Departed { cgroup, oom_kills }: Departed, counts: Counts) {
        let agree = |kills: u64| counts.oom_kills <= kills && (kills == 0) == (counts.oom_kills == 0);
        if oom_kills.is_some_and(|kills| !agree(kills)) {
            tracing::error!(cgroup = cgroup.0, ?counts, ?oom_kills, "two sources disagree on OOM kills");
            self.mismatches.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Agent {
    /// From the next picture on it is among what is written down, and only then forgotten by the kernel: whoever reads both
    /// never finds it in neither.
    pub(super) fn counted(&mut self, account: &Account) {
        if let Some(kept) = self.pods.get_mut(&account.uid) {
            kept.counted(account);
        }
        self.closed.push(account.cgroup);
    }

    /// After the picture.
    pub(super) fn disown_closed(&mut self) {
        for cgroup in self.closed.drain(..) {
            self.tools.disown(cgroup);
        }
    }
}
