//! DOES. The parent side of each effect, one file a kind. Decides nothing: every step says all there is to know.

pub(crate) mod attach;
mod binary;
pub(crate) mod children;
pub(crate) mod container;
mod env_file;
mod etc;
pub(crate) mod exec;
mod firewall;
pub(crate) mod hook;
mod host_address;
pub(crate) mod image;
pub(crate) mod image_volume;
mod input;
pub(crate) mod last_words;
mod leases;
pub(crate) mod limits;
pub(crate) mod log;
mod lookup;
pub(crate) mod machine;
pub(crate) mod mounts;
pub(crate) mod network;
mod oci;
mod pause;
pub(crate) mod places;
pub(crate) mod probe;
pub(crate) mod projection;
pub(crate) mod pull;
mod registry;
pub(crate) mod remains;
mod rootfs;
pub(crate) mod sandbox;
mod security;
mod stage;
pub(crate) mod stop;
mod terminal;
mod tls;
mod tools;
pub(crate) mod usage;
pub(crate) mod volume;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::{
    cgroup,
    kernel::pidfd::PidFd,
    plan::Step,
    pod::{AttemptId, CgroupId, Pid, Stamp, given::Given, network::Address, probe::HookKind},
};
use container::{Created, Order};
use pull::Fetched;
pub(crate) use tools::Tools;

/// What became of a step.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// The pod's own address, if it has one.
    SandboxMade(Result<Option<Address>, sandbox::Error>),
    SandboxRemoved(Result<(), sandbox::Error>),
    /// Of this spec.
    Limited {
        spec: Arc<crate::pod::Spec>,
        result: Result<(), limits::Error>,
    },
    /// How each image came, in order; up to the first that did not.
    Pulled {
        container: usize,
        attempt: u32,
        since: Stamp,
        images: Vec<(String, Fetched)>,
        result: Result<(), pull::Error>,
    },
    PullStopped,
    Started {
        container: usize,
        attempt: u32,
        result: Result<Started, container::Error>,
    },
    Killed {
        container: usize,
        result: Result<(), cgroup::Error>,
    },
    Hooked {
        container: usize,
        attempt: u32,
        hook: HookKind,
        result: Result<(), String>,
    },
    Terminated,
    Cleared {
        container: usize,
        result: Result<Option<remains::Departed>, container::Error>,
    },
    Forgotten(Result<(), mounts::Error>),
}

/// An attempt that runs.
#[derive(Clone, Debug)]
pub(crate) struct Started {
    /// As the manifest named it when it was started.
    pub(crate) image: String,
    pub(crate) pid: Pid,
    pub(crate) cgroup: CgroupId,
    pub(crate) image_id: String,
    pub(crate) pidfd: Arc<PidFd>,
    pub(crate) at: Stamp,
}

/// A step of one pod, with what is known of the container it is about.
#[derive(Clone, Debug)]
pub(crate) struct Job {
    pub(crate) spec: Arc<crate::pod::Spec>,
    pub(crate) step: Step,
    /// The attempt that runs in the container of the step, and its cgroup.
    pub(crate) live: Option<(AttemptId, CgroupId)>,
    pub(crate) now: Stamp,
    /// What was found for the pod's sources when the step was sent off.
    pub(crate) given: Given,
}

/// Carries one step out. `record` is called when a container is built and waits, and returns once that is on disk
/// together with the moment from which the attempt counts. `pulling` is told each image that a registry is asked for.
pub(crate) async fn carry_out<Record, Recorded>(
    tools: Arc<Tools>,
    job: Job,
    record: Record,
    pulling: impl Fn(&str),
) -> Outcome
where
    Record: FnOnce(Attempted) -> Recorded,
    Recorded: Future<Output = Result<Stamp, String>>,
{
    let Job { spec, step, live, now, given } = job;
    match step {
        Step::MakeSandbox => {
            let (places, network) = (tools.places.clone(), tools.network.clone());
            Outcome::SandboxMade(blocking(move || sandbox::make(&places, &network, &spec, &given)).await)
        }
        Step::RemoveSandbox => {
            let (places, network) = (tools.places.clone(), tools.network.clone());
            Outcome::SandboxRemoved(blocking(move || sandbox::remove(&places, &network, &spec.uid)).await)
        }
        Step::Limit { attempts } => {
            let (tools, pod) = (tools.clone(), spec.clone());
            let result = blocking(move || limits::write(&tools, &pod, &attempts)).await;
            Outcome::Limited { spec, result }
        }
        Step::Pull { container, attempt } => {
            let mut images = Vec::new();
            let all = pull::all(&tools, &spec, container, &given, &mut images, pulling);
            let result = tools.pulls.unless_stopped(&spec.uid, container, all).await;
            Outcome::Pulled { container, attempt, since: now, images, result }
        }
        Step::StopPull { container } => {
            tools.pulls.stop(&spec.uid, container);
            Outcome::PullStopped
        }
        Step::Start { container, attempt } => {
            let order = Order { spec, container, attempt, given };
            let result = start(&tools, &order, record).await;
            if result.is_err() {
                remains::clear_failed(&tools, &order.id()).await;
            }
            Outcome::Started { container, attempt, result }
        }
        Step::Hook { container, hook, until } => {
            let Some((id, _)) = live else {
                return Outcome::Hooked { container, attempt: 0, hook, result: Ok(()) };
            };
            let limit = until.map(|until| until.since(now));
            let result = hook::run(&tools, &spec, &id, hook, limit).await;
            Outcome::Hooked { container, attempt: id.attempt, hook, result }
        }
        Step::Terminate { container, why, kill_at } => {
            if let Some((id, cgroup)) = live {
                stop::terminate(&tools, &id, cgroup, spec.containers.get(container), why, kill_at);
            }
            Outcome::Terminated
        }
        Step::Kill { container, why } => {
            let killed = live.map(|(id, cgroup)| stop::kill(&tools, &id, cgroup, why, now));
            Outcome::Killed { container, result: killed.unwrap_or(Ok(())) }
        }
        Step::Clear { container, attempt } => {
            let id = Order { spec, container, attempt, given }.id();
            Outcome::Cleared { container, result: remains::clear(&tools, &id).await }
        }
        Step::Forget => {
            let logs = tools.places.pod_logs(&spec.name, &spec.uid);
            let links = tools.places.log_links(&spec.name, &spec.uid);
            Outcome::Forgotten(
                blocking(move || mounts::remove_dir(&logs).and_then(|()| mounts::remove_links(&links))).await,
            )
        }
    }
}

/// What is to be recorded before a container may start.
#[derive(Clone, Debug)]
pub(crate) struct Attempted {
    pub(crate) id: AttemptId,
    pub(crate) pid: Pid,
    pub(crate) start_ticks: u64,
    pub(crate) cgroup: CgroupId,
    pub(crate) image_id: String,
}

async fn start<Record, Recorded>(
    tools: &Arc<Tools>,
    order: &Order,
    record: Record,
) -> Result<Started, container::Error>
where
    Record: FnOnce(Attempted) -> Recorded,
    Recorded: Future<Output = Result<Stamp, String>>,
{
    let created = container::create(tools, order).await?;
    let Created { pid, start_ticks, cgroup, .. } = created;
    let image_id = created.image_id.clone();
    let attempted =
        Attempted { id: created.id.clone(), pid, start_ticks, cgroup, image_id: image_id.clone() };
    let at = record(attempted).await.map_err(container::Error::Unrecorded)?;
    // From here on there is an attempt, so whatever goes wrong is its end.
    let pidfd = created.go(tools).await.map_err(|e| container::Error::Start(chain(&e)))?;
    Ok(Started { image: order.wanted().image.clone(), pid, cgroup, image_id, pidfd, at })
}

/// Runs a blocking effect where it blocks nobody.
async fn blocking<T: Send + 'static>(effect: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(effect).await {
        Ok(done) => done,
        // The runtime shuts down, or the effect panicked: either way there is no value to go on with.
        Err(e) => std::panic::resume_unwind(
            e.try_into_panic().unwrap_or_else(|_| Box::new("the runtime is shutting down")),
        ),
    }
}

/// An error and its causes in one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
