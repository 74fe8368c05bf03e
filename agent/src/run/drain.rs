//! The ordered drain of a box that shuts down: pods go one after the other, the newest first, each with its own grace
//! period. Runs without the agent, which systemd has stopped before.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use anyhow::Context;

use super::{Desk, adopt, clock, notes::Notes, start, systemd::Notifier};
use crate::{
    act::{
        Tools, chain,
        log::{Keeper, Surroundings},
        stop,
    },
    config::Config,
    kernel::pidfd::PidFd,
    manifest::{self, allocation},
    plan::MIN_GRACE,
    pod::{PodUid, Spec, Stamp, verdict::Why},
    ready,
    store::{Attempt, Kind, Process, Store},
};

/// How much time beyond the grace period systemd is asked for.
const SLACK: Duration = Duration::from_secs(10);

/// `carob drain`.
pub(crate) async fn drain(config: Config) -> anyhow::Result<()> {
    let store = Store::open(&config.database()).context("cannot open the store")?;
    let boot = clock::boot_id().context("cannot read the boot id")?;
    let around = Surroundings {
        wall: clock::wall,
        pause: clock::pausing,
        limits: config.log_limits,
        dropped: Arc::default(),
        keeper: Keeper::new(None),
    };
    let tools = Arc::new(Tools::open(&config, start::open_probes(&config).ok().map(Arc::new), around)?);
    let (notes, _unheard) = Notes::channel(1);
    let journal = store.journal();
    let (mismatches, stages) = (Arc::default(), Arc::default());
    let desk = Desk { tools, journal: journal.clone(), boot: boot.clone(), notes, mismatches, stages };
    let specs = specs(&store).await;
    let notifier = Notifier::new();
    let open = journal.open_attempts().await.context("cannot read the ledger")?;
    for (uid, attempts) in newest_first(open.into_iter().filter(|attempt| attempt.boot == boot)) {
        let spec = specs.get(&uid);
        let grace = spec.map_or(Duration::from_secs(30), |spec| spec.grace).max(MIN_GRACE);
        notifier.say(&format!("EXTEND_TIMEOUT_USEC={}\nSTATUS=draining", (grace + SLACK).as_micros()));
        stop_pod(&desk, &attempts, spec, grace).await;
    }
    Ok(())
}

async fn specs(store: &Store) -> BTreeMap<PodUid, Spec> {
    let Ok((pods, _)) = store.objects().list(Kind::Pod, None).await else { return BTreeMap::new() };
    let spec = |object: &serde_json::Value| {
        let uid = PodUid(object["metadata"]["uid"].as_str()?.to_owned());
        Some((uid.clone(), manifest::spec(&allocation::in_force(object), uid).ok()?))
    };
    pods.iter().filter_map(spec).collect()
}

/// By pod, the pod that was started last first.
fn newest_first(attempts: impl Iterator<Item = Attempt>) -> Vec<(PodUid, Vec<(Attempt, Process)>)> {
    let mut pods: BTreeMap<PodUid, Vec<(Attempt, Process)>> = BTreeMap::new();
    for attempt in attempts {
        if let Some(process) = attempt.process {
            pods.entry(attempt.id.uid.clone()).or_default().push((attempt, process));
        }
    }
    let mut pods: Vec<_> = pods.into_iter().collect();
    pods.sort_by_key(|(_, attempts)| {
        std::cmp::Reverse(attempts.iter().map(|(_, process)| process.started).min())
    });
    pods
}

async fn stop_pod(desk: &Desk, attempts: &[(Attempt, Process)], spec: Option<&Spec>, grace: Duration) {
    let kill_at = clock::now().after(grace);
    let held: Vec<_> = attempts.iter().map(|(_, process)| adopt::still_runs(process).map(Arc::new)).collect();
    for ((attempt, process), pidfd) in attempts.iter().zip(&held) {
        if let Err(e) = desk.tools.collect_output(&attempt.pod, &attempt.id) {
            tracing::warn!(error = %chain(&e), attempt = %attempt.id, "its last output is not collected");
        }
        if let Some(pidfd) = pidfd {
            desk.tools.hold(&attempt.id, pidfd.clone());
            let mut containers = spec.into_iter().flat_map(|spec| &spec.containers);
            let wanted = containers.find(|wanted| wanted.name == attempt.id.container);
            stop::terminate(&desk.tools, &attempt.id, process.cgroup, wanted, Why::Shutdown, kill_at);
        }
    }
    for ((attempt, process), pidfd) in attempts.iter().zip(held) {
        if let Some(pidfd) = pidfd
            && !exits_before(&pidfd, kill_at).await
        {
            let _ = stop::kill(&desk.tools, &attempt.id, process.cgroup, Why::GraceExpired, kill_at);
            exits_before(&pidfd, Stamp(u64::MAX)).await;
        }
        desk.tools.finish_output(&attempt.id).await;
        let ended = desk.examine(&attempt.id, process.cgroup, process.started, None).await;
        desk.write_down(&ended).await;
    }
}

/// Whether the process ends in time.
async fn exits_before(pidfd: &PidFd, limit: Stamp) -> bool {
    use std::os::fd::AsFd;
    let (Ok(copy), Ok(alarm)) = (pidfd.as_fd().try_clone_to_owned(), clock::Alarm::new()) else {
        return true;
    };
    let Ok(exit) = ready::readable(copy) else { return true };
    let _ = alarm.set((limit.0 < u64::MAX).then_some(limit));
    tokio::select! {
        _ = exit.readable() => true,
        _ = alarm.rang() => false,
    }
}
