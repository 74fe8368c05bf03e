//! What every effect needs, and what the agent holds open for its containers.

use std::{
    collections::BTreeMap,
    io,
    os::fd::OwnedFd,
    path::PathBuf,
    sync::{Arc, Mutex},
};

use super::{
    binary::{self, Binary},
    blocking, chain,
    children::Children,
    image, input, last_words, lock,
    log::{self, Pump, Surroundings},
    network::{Network, Ranges},
    places::Places,
    pull::Pulls,
    terminal::Terminal,
};
use crate::{
    config::Config,
    kernel::{
        pidfd::PidFd,
        probes::{ProbeError, Probes},
    },
    pod::{
        AttemptId, CgroupId, Pid, PodName,
        flight::{Flight, Pressure},
        verdict::Sent,
    },
};

/// What every effect needs: where things lie, and what is open.
pub(crate) struct Tools {
    pub(crate) places: Places,
    pub(crate) images: Arc<image::Store>,
    pub(crate) children: Arc<Children>,
    /// Absent if this kernel cannot run our programs.
    pub(crate) probes: Option<Arc<Probes>>,
    pub(crate) network: Arc<Network>,
    pub(crate) pulls: Pulls,
    pub(super) binary: Arc<Binary>,
    pub(super) around: Surroundings,
    /// Bytes of memory the box has.
    pub(super) memory: u64,
    pub(super) held: Mutex<BTreeMap<AttemptId, Arc<PidFd>>>,
    /// The last signal to each attempt, for a box without kernel programs.
    pub(super) sent: Mutex<BTreeMap<AttemptId, Sent>>,
    pub(super) pumps: Mutex<BTreeMap<AttemptId, Pump>>,
    /// Terminals that are read.
    pub(super) terminals: Mutex<BTreeMap<AttemptId, Terminal>>,
    /// Terminals that the agent before us has left, by the names of their attempts.
    pub(super) left: Mutex<BTreeMap<String, OwnedFd>>,
    /// Standard inputs that are held open.
    pub(super) inputs: Mutex<BTreeMap<AttemptId, OwnedFd>>,
    /// Pods' pause processes are started one after the other.
    pub(super) pauses: Mutex<()>,
    /// Volumes of images are mounted one after the other.
    pub(super) image_mounts: Mutex<()>,
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
            pulls: Pulls::new(config.registries.clone(), config.auth_file.clone(), config.pulls_at_once),
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

    pub(super) fn read_terminal(&self, id: &AttemptId, master: OwnedFd) -> io::Result<()> {
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

    pub(super) fn held(&self, id: &AttemptId) -> Option<Arc<PidFd>> {
        lock(&self.held).get(id).cloned()
    }

    pub(super) fn let_go(&self, id: &AttemptId) {
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

    pub(super) fn own(&self, cgroup: CgroupId) -> Result<(), ProbeError> {
        self.probes.as_ref().map_or(Ok(()), |probes| probes.own(cgroup))
    }

    pub(super) fn set_main(&self, cgroup: CgroupId, pid: Pid, start_ticks: u64) -> Result<(), ProbeError> {
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
