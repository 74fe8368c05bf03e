//! DOES. The parent side of each effect, one file a kind. Decides nothing: every step says all there is to know.

mod binary;
pub(crate) mod children;
pub(crate) mod container;
mod env_file;
mod etc;
pub(crate) mod exec;
pub(crate) mod firewall;
mod hook;
mod host_address;
pub(crate) mod image;
pub(crate) mod image_volume;
mod input;
pub(crate) mod last_words;
mod leases;
pub(crate) mod limits;
pub(crate) mod log;
mod lookup;
pub(crate) mod mounts;
pub(crate) mod network;
mod oci;
mod pause;
pub(crate) mod places;
pub(crate) mod probe;
pub(crate) mod projection;
pub(crate) mod remains;
mod rootfs;
pub(crate) mod sandbox;
mod security;
mod stage;
pub(crate) mod stop;
mod terminal;
pub(crate) mod usage;
pub(crate) mod volume;

use std::{
    collections::BTreeMap,
    io,
    os::fd::OwnedFd,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use crate::{
    cgroup,
    config::Config,
    kernel::{
        pidfd::PidFd,
        probes::{ProbeError, Probes},
    },
    plan::Step,
    pod::{
        AttemptId, CgroupId, Pid, PodName, Stamp,
        flight::{Flight, Pressure},
        given::Given,
        network::Address,
        probe::HookKind,
        verdict::Sent,
    },
};
use binary::Binary;
use children::Children;
use container::{Created, Order};
use log::{Pump, Surroundings};
use network::{Network, Ranges};
use places::Places;
use terminal::Terminal;

/// What every effect needs: where things lie, and what is open.
pub(crate) struct Tools {
    pub(crate) places: Places,
    pub(crate) images: Arc<image::Store>,
    pub(crate) children: Arc<Children>,
    /// Absent if this kernel cannot run our programs.
    pub(crate) probes: Option<Arc<Probes>>,
    pub(crate) network: Arc<Network>,
    binary: Arc<Binary>,
    around: Surroundings,
    /// Bytes of memory the box has.
    memory: u64,
    held: Mutex<BTreeMap<AttemptId, Arc<PidFd>>>,
    /// The last signal to each attempt, for a box without kernel programs.
    sent: Mutex<BTreeMap<AttemptId, Sent>>,
    pumps: Mutex<BTreeMap<AttemptId, Pump>>,
    /// Terminals that are read.
    terminals: Mutex<BTreeMap<AttemptId, Terminal>>,
    /// Terminals that the agent before us has left, by the names of their attempts.
    left: Mutex<BTreeMap<String, OwnedFd>>,
    /// Standard inputs that are held open.
    inputs: Mutex<BTreeMap<AttemptId, OwnedFd>>,
    /// Pods' pause processes are started one after the other.
    pauses: Mutex<()>,
    /// Volumes of images are mounted one after the other.
    image_mounts: Mutex<()>,
}

/// Why the agent cannot do anything.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("the binary cannot be protected")]
    Binary {
        #[source]
        source: binary::Error,
    },
    #[error("the image store in {} cannot be used", path.display())]
    Images {
        path: PathBuf,
        #[source]
        source: image::Error,
    },
}

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
/// together with the moment from which the attempt counts.
pub(crate) async fn carry_out<Record, Recorded>(tools: Arc<Tools>, job: Job, record: Record) -> Outcome
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

impl Tools {
    pub(crate) fn open(
        config: &Config,
        probes: Option<Arc<Probes>>,
        around: Surroundings,
    ) -> Result<Self, Error> {
        let images = config.images();
        let memory = rustix::system::sysinfo();
        let (places, children) = (Places::of(config), Arc::<Children>::default());
        let binary = Binary::seal(&config.run.join("empty")).map_err(|source| Error::Binary { source })?;
        let binary = Arc::new(binary);
        let network = Network::new(Ranges::of(config), places.addresses(), binary.clone(), children.clone());
        Ok(Self {
            places,
            images: Arc::new(
                image::Store::open(&images).map_err(|source| Error::Images { path: images, source })?,
            ),
            children,
            network: Arc::new(network),
            probes,
            binary,
            around,
            memory: memory.totalram * u64::from(memory.mem_unit),
            held: Mutex::default(),
            sent: Mutex::default(),
            pumps: Mutex::default(),
            terminals: Mutex::default(),
            left: Mutex::default(),
            inputs: Mutex::default(),
            pauses: Mutex::default(),
            image_mounts: Mutex::default(),
        })
    }

    /// Starts or resumes collecting an attempt's output. Only once per attempt.
    pub(crate) fn collect_output(&self, pod: &PodName, id: &AttemptId) -> Result<(), log::Error> {
        let dir = self.places.attempt(id);
        let (log, link) = (self.places.log(pod, id), self.places.log_link(pod, id));
        let pump = Pump::start(&dir, &log, &link, self.around.clone())?;
        lock(&self.pumps).insert(id.clone(), pump);
        Ok(())
    }

    /// Holds the standard input of an attempt that is taken over open, if it has one.
    pub(crate) fn hold_input(&self, id: &AttemptId) -> io::Result<()> {
        if let Some(held) = input::hold(&self.places.attempt(id))? {
            lock(&self.inputs).insert(id.clone(), held);
        }
        Ok(())
    }

    /// Takes terminals that were left, each under the name of its attempt.
    pub(crate) fn inherit(&self, terminals: BTreeMap<String, OwnedFd>) {
        *lock(&self.left) = terminals;
    }

    /// Goes on reading the terminal of an attempt that is taken over, if it has one.
    pub(crate) fn resume_terminal(&self, id: &AttemptId) -> io::Result<()> {
        let left = lock(&self.left).remove(&id.to_string());
        left.map_or(Ok(()), |master| self.read_terminal(id, master))
    }

    fn read_terminal(&self, id: &AttemptId, master: OwnedFd) -> io::Result<()> {
        let terminal = Terminal::read(master, &self.places.attempt(id))?;
        lock(&self.terminals).insert(id.clone(), terminal);
        Ok(())
    }

    /// Nobody needs the pipes of that attempt any more.
    pub(crate) fn release_pipes(&self, name: &str) {
        self.around.keeper.release(name);
    }

    /// Holds the main process of an attempt, so that it can be signalled.
    pub(crate) fn hold(&self, id: &AttemptId, pidfd: Arc<PidFd>) {
        lock(&self.held).insert(id.clone(), pidfd);
    }

    fn held(&self, id: &AttemptId) -> Option<Arc<PidFd>> {
        lock(&self.held).get(id).cloned()
    }

    fn let_go(&self, id: &AttemptId) {
        lock(&self.held).remove(id);
        lock(&self.sent).remove(id);
        lock(&self.inputs).remove(id);
    }

    /// Moves the last output of an attempt whose processes are gone to its log.
    pub(crate) async fn finish_output(&self, id: &AttemptId) {
        let terminal = lock(&self.terminals).remove(id);
        if let Some(terminal) = terminal {
            blocking(move || terminal.finish()).await;
        }
        let pump = lock(&self.pumps).remove(id);
        if let Some(pump) = pump {
            pump.finish().await;
        }
    }

    /// What the program of an attempt has left as the reason of its end.
    pub(crate) async fn last_words(&self, id: &AttemptId, ending: last_words::Ending) -> Option<String> {
        let (places, id) = (self.places.clone(), id.clone());
        blocking(move || match last_words::read(&places, &id, ending) {
            Ok(words) => words,
            Err(e) => {
                tracing::warn!(error = %e, attempt = %id, "the termination message cannot be read");
                None
            }
        })
        .await
    }

    /// What is known of the surroundings of an attempt that has just ended. Its cgroup must still be there.
    pub(crate) async fn flight(&self, id: &AttemptId) -> Flight {
        let (cgroup, places, id) = (self.places.attempt_cgroup(id), self.places.clone(), id.clone());
        blocking(move || {
            let pressure = |resource| cgroup.pressure(resource).ok().flatten();
            Flight {
                most_memory: cgroup.number("memory.peak").ok().flatten(),
                pressure: Pressure { cpu: pressure("cpu"), memory: pressure("memory"), io: pressure("io") },
                output: last_words::output(&places, &id).ok().flatten(),
            }
        })
        .await
    }

    fn own(&self, cgroup: CgroupId) -> Result<(), ProbeError> {
        self.probes.as_ref().map_or(Ok(()), |probes| probes.own(cgroup))
    }

    fn set_main(&self, cgroup: CgroupId, pid: Pid, start_ticks: u64) -> Result<(), ProbeError> {
        self.probes.as_ref().map_or(Ok(()), |probes| probes.set_main(cgroup, pid, start_ticks))
    }

    /// Has the kernel programs forget a cgroup, and all that they recorded in it.
    pub(crate) fn disown(&self, cgroup: CgroupId) {
        let told = self.probes.as_ref().map_or(Ok(()), |probes| probes.disown(cgroup));
        if let Err(e) = told {
            tracing::warn!(error = %chain(&e), "the kernel programs still know a cgroup that is gone");
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
