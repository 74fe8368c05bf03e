//! One attempt at a container: build it, hold it until it is recorded, let it go; signal it; clear away what it left.
//!
//! The other end of the handshake is `runtime` (there is the diagram). A container is never left running without the
//! caller's record: dropping `Created` closes the door, and the child kills what it built.
#![expect(clippy::disallowed_methods, reason = "this is the effect")]

mod error;

use std::{
    fs, io,
    os::{
        fd::OwnedFd,
        unix::net::{UnixListener, UnixStream as StdUnixStream},
    },
    path::PathBuf,
    process::{Child, Stdio},
    sync::Arc,
};

use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::UnixStream,
};

pub(crate) use self::error::Error;
use super::{
    Tools, children::Awaited, env_file, etc, image_volume, input, last_words, lock, log, mounts, oci, pause,
    rootfs, security, stage, terminal,
};
use crate::{
    cgroup::{self, Limits},
    kernel::pidfd::{PidFd, start_ticks},
    pod::{
        AttemptId, CgroupId, Container, MemoryQos, Pid, PodUid, Spec, Stdin, Streams, given::Given, qos,
        surroundings,
    },
    runtime::Word,
};

/// Which attempt of which container.
#[derive(Clone, Debug)]
pub(crate) struct Order {
    pub(crate) spec: Arc<Spec>,
    pub(crate) container: usize,
    pub(crate) attempt: u32,
    pub(crate) given: Given,
}

impl Order {
    pub(crate) fn wanted(&self) -> &Container {
        &self.spec.containers[self.container]
    }

    pub(crate) fn id(&self) -> AttemptId {
        AttemptId { uid: self.spec.uid.clone(), container: self.wanted().name.clone(), attempt: self.attempt }
    }
}

/// A container that is built and waits.
#[derive(Debug)]
pub(crate) struct Created {
    pub(crate) id: AttemptId,
    pub(crate) pid: Pid,
    pub(crate) start_ticks: u64,
    pub(crate) cgroup: CgroupId,
    pub(crate) image_id: String,
    pidfd: Arc<PidFd>,
    door: BufReader<UnixStream>,
    main: Awaited,
    child: (Child, Awaited),
}

/// What is ready before there is a process.
struct Prepared {
    cgroup: CgroupId,
    image_id: String,
    bundle: PathBuf,
    writers: log::Writers,
    console: Option<UnixListener>,
}

/// Builds the container up to the point where only the word is missing.
pub(crate) async fn create(tools: &Arc<Tools>, order: &Order) -> Result<Created, Error> {
    let prepared = {
        let (tools, order) = (tools.clone(), order.clone());
        let prepared = tokio::task::spawn_blocking(move || prepare(&tools, &order)).await;
        prepared.map_err(|e| Error::Child { step: "prepare the container", source: e.into() })??
    };
    let Prepared { cgroup, image_id, bundle, writers, console } = prepared;
    let id = order.id();
    tools.own(cgroup).map_err(|source| Error::Owner { source })?;
    tools.collect_output(&order.spec.name, &id).map_err(|source| Error::Log { source })?;
    let (child, door) = spawn(tools, &id, &bundle, writers)?;
    match meet(tools, &id, cgroup, console, door).await {
        Ok(Met { pid, start_ticks, pidfd, door, main }) => {
            Ok(Created { id, pid, start_ticks, cgroup, image_id, pidfd, door, main, child })
        }
        Err(e) => {
            // Until then the runtime is clearing away itself, and two would be in each other's way.
            reap(child).await;
            if !tools.places.attempt_cgroup(&id).exists() {
                tools.disown(cgroup);
            }
            Err(e)
        }
    }
}

/// The main process of a container that is built, as far as the runtime's child has got.
struct Met {
    pid: Pid,
    start_ticks: u64,
    pidfd: Arc<PidFd>,
    door: BufReader<UnixStream>,
    main: Awaited,
}

/// Hears whether there is a container, and takes hold of it. If not, the door is closed.
async fn meet(
    tools: &Tools,
    id: &AttemptId,
    cgroup: CgroupId,
    console: Option<UnixListener>,
    mut door: BufReader<UnixStream>,
) -> Result<Met, Error> {
    let pid = match listen(&mut door).await? {
        Some(Word::Pid(pid)) => Pid(pid),
        Some(Word::Error(message) | Word::Unable { message, .. }) => return Err(Error::Start(message)),
        None => return Err(Error::Start("the runtime said nothing".to_owned())),
    };
    let main = tools.children.adopt(pid);
    if let Some(console) = console {
        take_terminal(tools, id, &console)
            .map_err(|source| Error::Child { step: "take the container's terminal", source })?;
    }
    let held = PidFd::open(pid).and_then(|pidfd| Ok((Arc::new(pidfd), start_ticks(pid)?)));
    let (pidfd, start_ticks) = held.map_err(|source| Error::Process { source })?;
    tools.set_main(cgroup, pid, start_ticks).map_err(|source| Error::Owner { source })?;
    Ok(Met { pid, start_ticks, pidfd, door, main })
}

/// systemd has it before anybody writes to it.
fn take_terminal(tools: &Tools, id: &AttemptId, console: &UnixListener) -> io::Result<()> {
    let master = terminal::receive(console)?;
    tools.around.keeper.keep_terminal(id, &master);
    tools.read_terminal(id, master)
}

impl Created {
    /// Gives the word, and waits until the container's own program runs and the runtime's child is gone.
    pub(crate) async fn go(self, tools: &Tools) -> Result<Arc<PidFd>, Error> {
        let Self { id, pidfd, mut door, main, child, .. } = self;
        let said = give_word(&mut door).await;
        drop(door);
        reap(child).await;
        match said? {
            None => {
                main.keep();
                tools.hold(&id, pidfd.clone());
                Ok(pidfd)
            }
            Some(Word::Error(message) | Word::Unable { message, .. }) => Err(Error::Start(message)),
            Some(Word::Pid(_)) => Err(Error::Start("the runtime spoke out of turn".to_owned())),
        }
    }
}

async fn give_word(door: &mut BufReader<UnixStream>) -> Result<Option<Word>, Error> {
    let step = "let the container start";
    door.get_mut().write_all(b"g").await.map_err(|source| Error::Child { step, source })?;
    listen(door).await
}

/// Where the namespace of another container's processes is found, as long as it runs.
fn processes_of(tools: &Tools, pod: &PodUid, target: &str) -> Result<PathBuf, Error> {
    let held = lock(&tools.held);
    let mut all = held.iter().rev().filter(|(id, _)| id.uid == *pod && id.container == target);
    let (_, main) = all.next().ok_or_else(|| Error::Target { target: target.to_owned() })?;
    Ok(PathBuf::from(format!("/proc/{}/ns/pid", main.pid().0)))
}

fn prepare(tools: &Tools, order: &Order) -> Result<Prepared, Error> {
    let (id, places) = (order.id(), &tools.places);
    let image = stage::find_image(tools, &order.wanted().image)?;
    let (defaults, layers) = (stage::defaults(&image), tools.images.layers(&image));
    image_volume::mount(tools, &order.spec, order.wanted())?;
    if order.spec.surroundings.pid == surroundings::Processes::Pods {
        pause::ensure(tools, &id.uid).map_err(|source| Error::Pause { source })?;
    }
    let settings = order.given.env.as_ref().map_err(|missing| Error::Missing { missing: missing.clone() })?;
    let env = &env_file::variables(tools, order, settings).map_err(|missing| Error::Missing { missing })?;
    let mount_fault = |source| Error::Mounts { source };
    let bundle = places.attempt(&id);
    let target = bundle.join("rootfs");
    for dir in [&target, &places.upper(&id), &places.runtime()] {
        mounts::make_dir(dir).map_err(mount_fault)?;
    }
    let cgroup = make_cgroup(tools, order).map_err(|source| Error::Cgroup { source })?;
    rootfs::mount(&layers, &places.upper(&id), &target).map_err(|source| Error::Rootfs { source })?;
    let identity = stage::identity(order, &defaults, &target)?;
    let seccomp = places.seccomp();
    let confinement = security::confinement(&order.wanted().security, &seccomp).map_err(Error::Security)?;
    let cwd = oci::working_dir(order.wanted(), &defaults);
    stage::make_working_dir(&target, cwd)
        .map_err(|e| Error::WorkingDir { dir: cwd.to_owned(), source: e.into() })?;
    let mut binds = stage::binds(tools, order, env)?;
    binds.extend(
        last_words::prepare(places, &order.spec.name, &id, order.wanted())
            .map_err(|source| Error::Child { step: "make the termination message's file", source })?,
    );
    let processes = order.wanted().target.as_deref().map(|target| processes_of(tools, &id.uid, target));
    let processes = processes.transpose()?;
    let config = oci::spec(&oci::Attempt {
        container: order.wanted(),
        image: &defaults,
        identity: &identity,
        confinement: &confinement,
        sysctls: &order.spec.security.sysctls,
        env,
        hostname: &etc::hostname(&order.spec),
        around: &order.spec.surroundings,
        rootfs: &target,
        cgroup: &places.in_hierarchy(&places.attempt_cgroup(&id)),
        namespaces: &places.pod(&id.uid).namespaces(),
        processes: processes.as_deref(),
        binds: &binds,
        oom_score_adj: qos::oom_score_adj(&order.spec, order.wanted(), tools.memory),
    });
    let write = fs::write(bundle.join("config.json"), config.to_string());
    write.map_err(|source| Error::Child { step: "write the runtime's config.json", source })?;
    if let Some(stale) = order.attempt.checked_sub(2) {
        let stale = AttemptId { attempt: stale, ..order.id() };
        log::remove(&places.log(&order.spec.name, &stale), &places.log_link(&order.spec.name, &stale));
    }
    let writers = log::make(&bundle, (identity.uid, identity.gid)).map_err(|source| Error::Log { source })?;
    let owner = (identity.uid, identity.gid);
    let input = match order.wanted().stdin {
        Stdin::Empty => None,
        Stdin::Open | Stdin::OpenOnce => {
            let made = input::make(&bundle, owner);
            Some(made.map_err(|source| Error::Child { step: "make the container's standard input", source })?)
        }
    };
    tools.around.keeper.keep(&id, &writers, input.as_ref());
    if let Some(input) = input {
        lock(&tools.inputs).insert(id, input);
    }
    let console = match order.wanted().streams {
        Streams::Pipes => None,
        Streams::Terminal => Some(
            terminal::listen(&bundle)
                .map_err(|source| Error::Child { step: "listen for the container's terminal", source })?,
        ),
    };
    Ok(Prepared { cgroup, image_id: image.id.to_string(), bundle, writers, console })
}

fn make_cgroup(tools: &Tools, order: &Order) -> Result<CgroupId, cgroup::Error> {
    let cgroup = tools.places.attempt_cgroup(&order.id());
    cgroup.make()?;
    cgroup.limit(&limits(&order.spec, order.wanted(), tools.memory))?;
    cgroup.id()
}

/// The limits of one container; `capacity` is the box's memory in bytes.
pub(super) fn limits(spec: &Spec, wanted: &Container, capacity: u64) -> Limits {
    let resources = wanted.resources.within(spec.resources);
    let limits = Limits::of(&resources, wanted.oom, None);
    match spec.memory_qos {
        MemoryQos::Off => limits,
        MemoryQos::On => limits.protecting(&resources, capacity),
    }
}

fn spawn(
    tools: &Tools,
    id: &AttemptId,
    bundle: &std::path::Path,
    writers: log::Writers,
) -> Result<((Child, Awaited), BufReader<UnixStream>), Error> {
    let fault = |step| move |source| Error::Child { step, source };
    let (ours, theirs) = StdUnixStream::pair().map_err(fault("make the door to the runtime"))?;
    ours.set_nonblocking(true).map_err(fault("make the door to the runtime"))?;
    let mut command = tools.binary.command();
    command.args(["runtime", "create", "--root"]).arg(tools.places.runtime()).arg(id.to_string()).arg(bundle);
    command.stdin(Stdio::from(OwnedFd::from(theirs))).stdout(writers.out).stderr(writers.err);
    let child = tools.children.spawn(&mut command).map_err(fault("start the runtime"))?;
    // The command holds the child's ends: as long as it lives, the end of file does not come.
    drop(command);
    let ours = UnixStream::from_std(ours).map_err(fault("listen to the runtime"))?;
    Ok((child, BufReader::new(ours)))
}

/// The next word, or `None` when the last holder of the other end is gone.
pub(super) async fn listen(door: &mut BufReader<UnixStream>) -> Result<Option<Word>, Error> {
    let mut line = String::new();
    // Longer than any message; a container's own program never holds this socket.
    let read = door.take(64 << 10).read_line(&mut line).await;
    read.map_err(|source| Error::Child { step: "listen to the runtime", source })?;
    if line.is_empty() {
        return Ok(None);
    }
    let word = serde_json::from_str(&line);
    word.map(Some).map_err(|e| Error::Child { step: "understand the runtime", source: e.into() })
}

/// Waits for the child that has said its last word: only then is what it built a child of the agent.
pub(super) async fn reap((mut child, awaited): (Child, Awaited)) {
    let waited = tokio::task::spawn_blocking(move || child.wait()).await;
    if let Ok(Err(e)) = waited {
        tracing::warn!(error = %e, "the runtime's child cannot be waited for");
    }
    drop(awaited);
}
