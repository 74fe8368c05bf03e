//! After a start of the agent: what of the ledger's open attempts still runs, what ended meanwhile, and what nobody knows.
//! Nothing that runs is restarted because the agent was.
#![expect(clippy::disallowed_methods, reason = "lists our own directories")]

use std::{collections::BTreeSet, fs, path::Path, sync::Arc};

use anyhow::Context;

use super::{
    Agent, clock,
    ending::RUNTIME_COMM,
    kept::{Kept, Remains},
};
use crate::{
    act::{
        chain,
        remains::{self, Departed},
        sandbox,
    },
    kernel::pidfd::{PidFd, start_ticks},
    plan::{Failure, Hooks, Sandbox, State, resize::Limits, restart},
    pod::{
        AttemptId, CgroupId, Pid, PodUid, Stamp,
        status::{Ended, Live},
        verdict::Why,
    },
    store::{self, Attempt, Keep, Kind, Process},
};

/// How much of the ledger stays for pods that are gone.
const KEEP: Keep = Keep { rows: 10_000, bytes: 16 << 20 };

impl Agent {
    /// Makes the loop's knowledge true again, then sweeps away what belongs to nobody.
    pub(super) async fn adopt(&mut self) -> anyhow::Result<()> {
        let open = self.journal.open_attempts().await.context("cannot read the ledger")?;
        self.read_objects().await;
        for attempt in open {
            self.settle(attempt).await;
        }
        let unread = self.unread().await?;
        let known = self.known();
        self.sweep(&known, &unread).await;
        self.close_strays().await;
        Ok(())
    }

    /// Has systemd close what it holds for attempts that are no more: an agent was killed before it could say so.
    pub(super) fn release_unknown(&self, kept: &BTreeSet<String>) {
        for name in kept.difference(&self.known()) {
            self.tools.release_pipes(name);
        }
    }

    /// Pods that are stored but are not in the loop because they cannot be read: not gone, so nothing of them is swept.
    async fn unread(&self) -> anyhow::Result<BTreeSet<PodUid>> {
        let (stored, _) = self.objects.list(Kind::Pod, None).await.context("cannot read the objects")?;
        let uids = stored.iter().filter_map(|object| object["metadata"]["uid"].as_str());
        Ok(uids.map(|uid| PodUid(uid.to_owned())).filter(|uid| !self.pods.contains_key(uid)).collect())
    }

    /// Keeps the ledger of pods that are gone within bounds.
    pub(super) async fn prune(&self) {
        if let Err(e) = self.journal.prune(KEEP).await {
            tracing::warn!(error = %chain(&e), "the ledger cannot be pruned");
        }
    }

    /// Counts and forgets owners whose cgroup is gone: an agent was killed between the two.
    async fn close_strays(&mut self) {
        let Some(probes) = self.tools.probes.clone() else { return };
        let pods = self.tools.places.pods_cgroup().children().unwrap_or_default();
        let attempts = pods.iter().flat_map(|pod| pod.children().unwrap_or_default());
        let there: BTreeSet<_> = attempts.filter_map(|cgroup| cgroup.id().ok()).collect();
        for cgroup in probes.owned().unwrap_or_default() {
            if !there.contains(&cgroup) {
                self.close_account(Departed { cgroup, oom_kills: None }).await;
            }
        }
    }

    async fn close_account(&mut self, departed: Departed) {
        if let Some(account) = self.desk().close_account(departed).await {
            self.counted(account);
        }
    }

    /// What the ledger knows of a pod's earlier attempts.
    pub(super) async fn recall(&self, kept: &mut Kept) -> Result<(), store::Error> {
        let places = &self.tools.places;
        let address = self.tools.network.address(&kept.spec.uid);
        let place = places.pod(&kept.spec.uid);
        let of_this_boot = place.run().is_dir();
        // An address and files outlive the boot, each without the other if the power went while they were taken away, and
        // have to go even if the pod is not wanted any more.
        if of_this_boot || address.is_some() || place.state().is_dir() {
            kept.seen.sandbox = unsure();
            kept.seen.limits = Limits::Unsure;
        }
        if let Some(first) = self.journal.first_start(&kept.spec.uid, &self.boot).await? {
            kept.seen.since = kept.seen.since.min(first);
        }
        kept.address = address.filter(|_| of_this_boot);
        self.recall_early_end(kept).await?;
        self.recall_round(kept).await?;
        let counted = self.journal.counted(&kept.spec.uid).await?;
        for (container, tally) in kept.spec.containers.iter().zip(&mut kept.tallies) {
            tally.written = counted.get(&container.name).copied().unwrap_or_default();
        }
        for (container, seen) in kept.spec.containers.iter().zip(&mut kept.seen.containers) {
            let last = u32::try_from(restart::HISTORY).unwrap_or(u32::MAX);
            let rows = self.journal.history(&kept.spec.uid, &container.name, last).await?;
            seen.next_attempt = rows.last().map_or(0, |row| row.attempt.id.attempt + 1);
            seen.image_id = rows.last().map(|row| row.attempt.image_id.clone()).filter(|id| !id.is_empty());
            let replaced = rows.last().filter(|row| was_replaced(row, &container.image));
            seen.replaced = replaced.map(|row| row.attempt.id.attempt);
            seen.ended = rows.into_iter().filter_map(|row| row.end.map(|end| end.ended)).collect();
            let changed = seen.ended.iter().rfind(|ended| ended.verdict.asked == Some(Why::Changed));
            seen.counts_from = changed.map_or(0, |ended| ended.id.attempt + 1);
        }
        Ok(())
    }

    /// One attempt that the ledger has no end of.
    async fn settle(&mut self, attempt: Attempt) {
        let Some(process) = attempt.process.as_ref().filter(|_| attempt.boot == self.boot) else {
            let ended = self.desk().lost_to_reboot(&attempt);
            return self.close(ended, Remains::Nothing).await;
        };
        let pidfd = still_runs(process);
        let never_ran = match pidfd {
            Some(_) => waits_for_its_word(process.pid),
            None => self.desk().never_ran(process.cgroup),
        };
        match pidfd {
            _ if never_ran => self.withdraw(&attempt.id).await,
            Some(pidfd) => self.take_over(&attempt, process, Arc::new(pidfd)).await,
            None => {
                self.collect_rest(&attempt);
                self.goes_on_counting(&attempt.id, process.cgroup);
                let desk = self.desk();
                let mut ended = desk.examine(&attempt.id, process.cgroup, process.started, None).await;
                self.tools.finish_output(&attempt.id).await;
                desk.remember(&mut ended).await;
                self.close(ended, Remains::All).await;
            }
        }
    }

    /// The agent before us ended between the record and the word: no program ran that could have failed, so it was no
    /// attempt, and its number is free again. What was built is a stray, which the sweep clears away.
    async fn withdraw(&mut self, id: &AttemptId) {
        tracing::info!(attempt = %id, "withdrawn: the agent ended before the container was let go");
        self.desk().withdraw(id).await;
        if let Some(seen) = self.seen(id) {
            seen.next_attempt = id.attempt;
        }
    }

    /// It runs: hold it, collect its output, wait for its end.
    async fn take_over(&mut self, attempt: &Attempt, process: &Process, pidfd: Arc<PidFd>) {
        let id = attempt.id.clone();
        tracing::info!(pod = %attempt.pod, container = id.container, attempt = id.attempt, pid = process.pid.0, "adopted");
        self.collect_rest(attempt);
        if let Err(e) = self.tools.hold_input(&id) {
            tracing::warn!(error = %e, attempt = %id, "its standard input is not held open");
        }
        self.tools.hold(&id, pidfd.clone());
        self.make_known(process);
        self.goes_on_counting(&id, process.cgroup);
        let live =
            Live { id: id.clone(), pid: process.pid, cgroup: process.cgroup, started: process.started };
        let state = match self.deadline(process) {
            Some(kill_at) => State::Stopping { live, kill_at },
            None => State::Running(live),
        };
        if let Some(kept) = self.pods.get_mut(&id.uid) {
            kept.seen.sandbox = Sandbox::Ready;
        }
        if let Some(seen) = self.seen(&id) {
            seen.state = state;
            seen.next_attempt = id.attempt + 1;
            seen.image_id = Some(attempt.image_id.clone());
            seen.hooks = Hooks::adopted();
        }
        if let Some(kept) = self.pods.get_mut(&id.uid)
            && let Some(container) = kept.spec.containers.iter().position(|c| c.name == id.container)
        {
            kept.compare_image(container, &attempt.image, clock::now());
        }
        let desk = self.desk();
        let Process { cgroup, pid, started, .. } = *process;
        tokio::spawn(async move { desk.watch(id, cgroup, pid, started, pidfd).await });
    }

    /// Programs that were loaded anew, or were not there when it was started, do not know it yet.
    fn make_known(&self, process: &Process) {
        let Some(probes) = &self.tools.probes else { return };
        let Process { cgroup, pid, start_ticks, .. } = *process;
        if !matches!(probes.owner(cgroup), Ok(None)) {
            return;
        }
        let known = probes.own(cgroup).and_then(|()| probes.set_main(cgroup, pid, start_ticks));
        if let Err(e) = known {
            tracing::warn!(error = %chain(&e), cgroup = cgroup.0, "the kernel programs cannot be told of a container");
        }
    }

    /// The kernel still counts in the attempt's cgroup.
    fn goes_on_counting(&mut self, id: &AttemptId, cgroup: CgroupId) {
        let Some(kept) = self.pods.get_mut(&id.uid) else { return };
        if let Some(container) = kept.spec.containers.iter().position(|c| c.name == id.container) {
            kept.tallies[container].cgroup = Some(cgroup);
        }
    }

    /// When the agent before us meant to use SIGKILL, if it had asked the container to go.
    fn deadline(&self, process: &Process) -> Option<Stamp> {
        let owner = self.tools.probes.as_ref()?.owner(process.cgroup).ok()??;
        Why::of(owner.why).map(|_| Stamp(owner.deadline_ns))
    }

    fn collect_rest(&self, attempt: &Attempt) {
        let dir = self.tools.places.attempt(&attempt.id);
        let collected =
            if dir.is_dir() { self.tools.collect_output(&attempt.pod, &attempt.id) } else { Ok(()) };
        if let Err(e) = collected {
            tracing::warn!(error = %chain(&e), attempt = %attempt.id, "output is not collected");
        }
        if let Err(e) = self.tools.resume_terminal(&attempt.id) {
            tracing::warn!(error = %e, attempt = %attempt.id, "its terminal is not read");
        }
    }

    async fn close(&mut self, ended: Ended, remains: Remains) {
        self.desk().write_down(&ended).await;
        if let Some(kept) = self.pods.get_mut(&ended.id.uid) {
            kept.ended(ended, remains, clock::now());
        }
    }

    fn seen(&mut self, id: &AttemptId) -> Option<&mut crate::plan::Seen> {
        let kept = self.pods.get_mut(&id.uid)?;
        let container = kept.spec.containers.iter().position(|c| c.name == id.container)?;
        kept.seen.containers.get_mut(container)
    }

    /// Attempts that have an owner in the loop.
    fn known(&self) -> BTreeSet<String> {
        let states = self.pods.values().flat_map(|kept| {
            kept.spec.containers.iter().zip(&kept.seen.containers).map(move |pair| (kept, pair))
        });
        let ids = states.filter_map(|(kept, (container, seen))| {
            let attempt = match &seen.state {
                State::Running(live) | State::Stopping { live, .. } | State::Killed(live) => live.id.attempt,
                State::Dead { attempt, .. } => *attempt,
                State::Idle | State::Failed(_) => return None,
            };
            Some(
                AttemptId { uid: kept.spec.uid.clone(), container: container.name.clone(), attempt }
                    .to_string(),
            )
        });
        ids.collect()
    }

    /// Ends and clears away whatever is on the box but not in the loop: built but never recorded, or of a pod that is gone.
    async fn sweep(&mut self, known: &BTreeSet<String>, unread: &BTreeSet<PodUid>) {
        for id in self.strays(known).into_iter().filter(|id| !unread.contains(&id.uid)) {
            tracing::info!(attempt = %id, "clearing away an attempt that nobody owns");
            match remains::clear(&self.tools, &id).await {
                Ok(None) => (),
                Ok(Some(departed)) => self.close_account(departed).await,
                Err(e) => tracing::warn!(error = %chain(&e), attempt = %id, "a stray attempt is left"),
            }
        }
        for uid in self.stray_pods().into_iter().filter(|uid| !unread.contains(uid)) {
            let (places, network) = (self.tools.places.clone(), self.tools.network.clone());
            let name = uid.clone();
            let removed = tokio::task::spawn_blocking(move || sandbox::remove(&places, &network, &uid)).await;
            if let Ok(Err(e)) = removed {
                tracing::warn!(error = %chain(&e), uid = %name, "the remains of a pod are left");
            }
        }
    }

    /// Attempts that have a directory or a cgroup, and no owner.
    fn strays(&self, known: &BTreeSet<String>) -> Vec<AttemptId> {
        let places = &self.tools.places;
        let mut found: BTreeSet<AttemptId> =
            names(&places.attempts()).iter().filter_map(|name| parse_attempt(name)).collect();
        for pod in places.pods_cgroup().children().unwrap_or_default() {
            let Some(uid) = pod.name().strip_prefix("pod").map(|uid| PodUid(uid.to_owned())) else {
                continue;
            };
            let attempts = pod.children().unwrap_or_default();
            found.extend(attempts.iter().filter_map(|cgroup| {
                let (container, attempt) = cgroup.name().rsplit_once('-')?;
                Some(AttemptId {
                    uid: uid.clone(),
                    container: container.to_owned(),
                    attempt: attempt.parse().ok()?,
                })
            }));
        }
        found.retain(|id| !known.contains(&id.to_string()));
        found.into_iter().collect()
    }

    fn stray_pods(&self) -> BTreeSet<PodUid> {
        let places = &self.tools.places;
        let dirs = places.pod_dirs();
        let mut found: BTreeSet<PodUid> = dirs.iter().flat_map(|dir| names(dir)).map(PodUid).collect();
        let cgroups = places.pods_cgroup().children().unwrap_or_default();
        found.extend(
            cgroups.iter().filter_map(|pod| pod.name().strip_prefix("pod").map(|uid| PodUid(uid.to_owned()))),
        );
        found.extend(self.tools.network.owners().unwrap_or_default().into_values());
        found.retain(|uid| !self.pods.contains_key(uid));
        found
    }
}

/// It ran another image than it is to run now, and is or was being ended for that by an agent before us.
fn was_replaced(row: &store::Row, image: &str) -> bool {
    let by_agent = row
        .end
        .as_ref()
        .is_none_or(|end| matches!(end.ended.verdict.asked, Some(Why::Changed | Why::GraceExpired)));
    row.attempt.image != image && by_agent
}

/// A sandbox that the agent before us may not have finished: made again, which changes nothing if it was whole.
fn unsure() -> Sandbox {
    let message = "the agent was restarted while the sandbox was being made".to_owned();
    Sandbox::Failed(Failure::first("CreatePodSandboxError", message, Stamp(0)))
}

/// The process of the ledger, if that very one is still there and running.
pub(super) fn still_runs(process: &Process) -> Option<PidFd> {
    let pidfd = PidFd::open(process.pid).ok()?;
    let same = start_ticks(process.pid).ok()? == process.start_ticks;
    (same && !pidfd.has_exited().ok()?).then_some(pidfd)
}

/// Built and recorded, but its agent and the runtime's child were killed before it was let go: its own program never will
/// run.
fn waits_for_its_word(pid: Pid) -> bool {
    fs::read(format!("/proc/{}/comm", pid.0)).is_ok_and(|comm| comm.starts_with(RUNTIME_COMM))
}

/// `<uid>_<container>_<attempt>`: neither part of a name has an underscore in it.
fn parse_attempt(name: &str) -> Option<AttemptId> {
    let mut parts = name.split('_');
    let (uid, container, attempt) = (parts.next()?, parts.next()?, parts.next()?);
    let attempt = attempt.parse().ok()?;
    parts.next().is_none().then(|| AttemptId {
        uid: PodUid(uid.to_owned()),
        container: container.to_owned(),
        attempt,
    })
}

fn names(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().into_string().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_attempt_is_read_back_from_its_name() {
        let id = AttemptId { uid: PodUid("a-b".to_owned()), container: "web-1".to_owned(), attempt: 12 };
        assert_eq!(parse_attempt(&id.to_string()), Some(id));
        for other in ["", "a", "a_b", "a_b_c", "a_b_1_2", "a_b_-1"] {
            assert_eq!(parse_attempt(other), None, "{other:?}");
        }
    }
}
