//! What the kernel counted in a cgroup, written down when the cgroup is gone: the counts of a container outlive its
//! attempts and the agent.

use std::{
    collections::VecDeque,
    mem,
    sync::{Arc, Weak, atomic::Ordering},
};

use super::{Agent, Desk};
use crate::{
    act::{chain, remains::Departed},
    picture::Picture,
    pod::{CgroupId, PodUid, counts::Counts},
};

/// What was counted in a cgroup that is gone, and of which container. Nobody's: it was counted before, or the container is
/// forgotten.
#[derive(Debug)]
pub(super) struct Account {
    pub(super) whose: Option<(PodUid, String)>,
    pub(super) cgroup: CgroupId,
    pub(super) counts: Counts,
}

/// Cgroups whose counts are written down, and which the kernel may forget once nobody reads a picture that sends its
/// readers there.
#[derive(Debug)]
pub(super) struct Closed<P = Picture> {
    /// Since the newest picture.
    fresh: Vec<CgroupId>,
    /// With each picture that was replaced, oldest first, what its successor has no need of.
    replaced: VecDeque<(Weak<P>, Vec<CgroupId>)>,
}

impl<P> Default for Closed<P> {
    fn default() -> Self {
        Self { fresh: Vec::new(), replaced: VecDeque::new() }
    }
}

impl<P> Closed<P> {
    /// A picture has been replaced by one that counts all that is closed among what is written down.
    pub(super) fn replaced(&mut self, old: &Arc<P>) {
        self.replaced.push_back((Arc::downgrade(old), mem::take(&mut self.fresh)));
    }

    /// Those that only pictures which nobody reads any more know of.
    fn unread(&mut self) -> Vec<CgroupId> {
        let read = self.replaced.iter().position(|(picture, _)| picture.strong_count() > 0);
        let unread = self.replaced.drain(..read.unwrap_or(self.replaced.len()));
        unread.flat_map(|(_, cgroups)| cgroups).collect()
    }
}

impl Desk {
    /// Writes down what was counted in a cgroup that is gone. What cannot be written stays in the kernel's maps, for the
    /// next agent to write. `None`: nothing was.
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
            Ok(whose) => Some(Account { whose, cgroup, counts }),
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
    pub(super) fn counted(&mut self, account: Account) {
        let Account { whose, cgroup, counts } = account;
        if let Some((uid, container)) = whose
            && let Some(kept) = self.pods.get_mut(&uid)
        {
            kept.counted(&container, cgroup, counts);
        }
        self.closed.fresh.push(cgroup);
    }

    /// After the picture.
    pub(super) fn disown_closed(&mut self) {
        for cgroup in self.closed.unread() {
            self.tools.disown(cgroup);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cgroup_is_known_until_nobody_reads_a_picture_that_needs_it() {
        let mut closed = Closed::default();
        let (first, second) = (Arc::new(1), Arc::new(2));
        let reader = first.clone();
        closed.fresh.push(CgroupId(7));
        assert_eq!(closed.unread(), [], "no picture has it as written down");
        closed.replaced(&first);
        drop(first);
        assert_eq!(closed.unread(), [], "the first picture is still read");
        closed.fresh.push(CgroupId(8));
        closed.replaced(&second);
        drop(second);
        assert_eq!(closed.unread(), [], "and whoever reads it needs both");
        drop(reader);
        assert_eq!(closed.unread(), [CgroupId(7), CgroupId(8)]);
        assert_eq!(closed.unread(), []);
    }
}
