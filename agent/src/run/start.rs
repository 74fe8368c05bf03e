//! From nothing to a loop that turns: what the agent truly needs, in order, each with one clear line if it is not there.
#![expect(clippy::disallowed_methods, reason = "starts the loader and looks at the box")]

use std::{collections::BTreeMap, fs, os::unix::fs::PermissionsExt, path::Path, process::Command, sync::Arc};

use anyhow::{Context, bail};
use tokio::{
    net::{TcpListener, UnixListener},
    signal::unix::{SignalKind, signal},
    sync::{mpsc, watch},
};

use super::{
    Agent, Wakers,
    archives::Archives,
    claims, clock, exec, folder, garbage, given, heard, images,
    notes::{Note, Notes},
    systemd::{self, Notifier},
    text,
    wake::Wake,
};
use crate::{
    act::{
        self, Tools,
        log::{Keeper, Surroundings},
    },
    api::{self, Api, Door, ExecDoor, ImageDoor, WatchCache},
    cgroup::CONTROLLERS,
    config::Config,
    kernel::{
        figures::Programs,
        load,
        probes::{ProbeError, Probes},
    },
    metrics::Readings,
    picture::{Health, Picture, meter::Meter},
    pod::network::Address,
    store::Store,
};

/// Notes that may wait; a task that has one more waits with it.
const NOTES: usize = 256;

/// `carob agent`: runs until it is told to stop.
pub(crate) async fn agent(config: Config) -> anyhow::Result<()> {
    require(&config)?;
    let notifier = Notifier::new();
    let kept = systemd::take_passed(Config::passed_descriptors());
    rustix::process::set_child_subreaper(Some(rustix::process::getpid()))
        .context("cannot become the reaper of orphans")?;
    let (child, terminate) = (signal(SignalKind::child())?, signal(SignalKind::terminate())?);
    for dir in [&config.run, &config.state] {
        fs::create_dir_all(dir).with_context(|| format!("cannot make {}", dir.display()))?;
    }
    let (probes, deaf) = listen_to_kernel(&config);
    let store = Store::open(&config.database()).context("cannot open the store")?;
    let boot = clock::boot_id().context("cannot read the boot id")?;
    let (dropped, mismatches) = (Arc::default(), Arc::default());
    let keeper = Keeper::new(Config::notify_socket());
    let around = Surroundings {
        wall: clock::wall,
        pause: clock::pausing,
        limits: config.log_limits,
        dropped: Arc::clone(&dropped),
        keeper,
    };
    let tools = Arc::new(Tools::open(&config, probes, around)?);
    tools.inherit(kept.terminals);
    let config = Arc::new(config);
    let (notes, waiting) = Notes::channel(NOTES);
    let mut first = blank(&config, boot.clone());
    first.meter = tools.probes.clone().map_or_else(Meter::default, |probes| meter(&config, probes));
    // The API answers before the first turn, and its dates are right from the beginning.
    first.offsets = store.journal().offsets().await.unwrap_or_default();
    first.offsets.insert(boot.clone(), clock::offset());
    let picture = watch::Sender::new(Arc::new(first));
    let (requests, asked) = mpsc::channel(16);
    let (commands, ordered) = mpsc::channel(16);
    exec::serve(tools.clone(), ordered);
    let doors = (ImageDoor { requests }, ExecDoor { requests: commands });
    serve(&config, &store, &picture, doors).await?;
    let cannot = |dir: &Path| format!("cannot watch {}", dir.display());
    folder::watch(&config.manifests, notes.clone(), |_| Note::Manifests)
        .with_context(|| cannot(&config.manifests))?;
    folder::watch(&config.image_dir, notes.clone(), Note::Archives)
        .with_context(|| cannot(&config.image_dir))?;
    let mut agent = Agent {
        tools,
        objects: store.objects(),
        journal: store.journal(),
        boot,
        pods: BTreeMap::new(),
        probing: BTreeMap::new(),
        picture,
        notes,
        alarm: clock::Alarm::new()?,
        wake: Wake::default(),
        deaf,
        mismatches,
        dropped,
        stages: Arc::default(),
        store_error: None,
        shelf: given::Shelf::default(),
        workloads: Vec::new(),
        node: given::Node::of(&config),
        closed: super::tally::Closed::default(),
        collecting: garbage::Collecting::default(),
        claims: claims::Claims::default(),
        archives: Archives::recall(&config.state),
        news: Vec::new(),
        config,
    };
    if let Some(probes) = &agent.tools.probes {
        heard::listen(probes, agent.notes.clone()).context("cannot listen to the kernel programs")?;
    }
    let changed = agent.objects.changed();
    agent.adopt().await?;
    agent.release_unknown(&kept.names);
    agent.prune().await;
    agent.read_manifests().await;
    agent.look_for_archives();
    act::network::keep_rules(agent.tools.network.clone());
    images::check_once(&agent.tools, &agent.config.run);
    notifier.say("READY=1\nSTATUS=pods are looked after");
    tracing::info!(version = env!("CARGO_PKG_VERSION"), "ready");
    tokio::spawn(text::let_go_of_the_start());
    agent.run(Wakers { notes: waiting, changed, images: asked, child, terminate, notifier }).await
}

/// Only what nothing works without.
fn require(config: &Config) -> anyhow::Result<()> {
    if !rustix::process::geteuid().is_root() {
        bail!("carob agent must run as root: it makes namespaces, mounts and cgroups");
    }
    let controllers = config.cgroup_fs.join("cgroup.controllers");
    let Ok(have) = fs::read_to_string(&controllers) else {
        bail!(
            "{} is not a cgroup v2 hierarchy: carob needs cgroup v2 alone (boot with systemd.unified_cgroup_hierarchy=1 or cgroup_no_v1=all)",
            config.cgroup_fs.display()
        );
    };
    for wanted in CONTROLLERS {
        if !have.split_whitespace().any(|name| name == wanted) {
            bail!("the cgroup controller {wanted} is not available below {}", config.cgroup_fs.display());
        }
    }
    Ok(())
}

/// Has the programs loaded by a process of its own, and opens what it pinned. Without them the agent still works, and says so.
fn listen_to_kernel(config: &Config) -> (Option<Arc<Probes>>, Option<String>) {
    let load::Fit { depth, ring } = fit(config);
    let load = Command::new("/proc/self/exe")
        .args(["kernel", "load", "--depth", &depth.to_string(), "--ring", &ring.to_string()])
        .arg(&config.bpffs)
        .output();
    let why = match load {
        Ok(output) if output.status.success() => match open_probes(config) {
            Ok(probes) => return (Some(Arc::new(probes)), None),
            Err(e) => act::chain(&e),
        },
        Ok(output) => String::from_utf8_lossy(&output.stderr).trim().to_owned(),
        Err(e) => format!("the loader cannot be started: {e}"),
    };
    tracing::warn!(why, "without kernel programs: exit codes come from waitid, causes are inferred");
    (None, Some(why))
}

/// Opens what a loader has pinned.
pub(super) fn open_probes(config: &Config) -> Result<Probes, ProbeError> {
    Probes::open(&load::pins(&config.bpffs, fit(config)))
}

fn fit(config: &Config) -> load::Fit {
    load::Fit { depth: config.attempt_depth(), ring: config.ring }
}

/// Who reads what the kernel counts. If the programs themselves cannot be looked at, only their figures are missing.
fn meter(config: &Config, probes: Arc<Probes>) -> Meter {
    let programs = match Programs::open(&load::pins(&config.bpffs, fit(config))) {
        Ok(programs) => Some(programs),
        Err(e) => {
            tracing::warn!(error = %act::chain(&e), "no figures of the kernel programs");
            None
        }
    };
    Meter::new(
        move || programs.as_ref().map_or_else(Vec::new, Programs::figures),
        move |cgroup| probes.counts(cgroup).ok().flatten(),
    )
}

/// Opens the doors.
async fn serve(
    config: &Arc<Config>,
    store: &Store,
    picture: &watch::Sender<Arc<Picture>>,
    (images, exec): (ImageDoor, ExecDoor),
) -> anyhow::Result<()> {
    let socket = config.socket();
    let listener = listen(&socket).with_context(|| format!("cannot listen on {}", socket.display()))?;
    let wall = || jiff::Timestamp::from_nanosecond(i128::from(clock::wall())).unwrap_or_default();
    let (objects, journal) = (store.objects(), store.journal());
    let (picture_now, config_now) = (picture.subscribe(), config.clone());
    let network = open_door(config, picture.borrow().address, wall).await;
    let api = Api {
        objects,
        journal,
        picture: picture_now,
        images,
        exec,
        config: config_now,
        clock: wall,
        now: clock::now,
        readings: Readings::default(),
        pause: clock::pausing,
        cache: Arc::new(WatchCache::new(leap(store).await)),
        door: network.as_ref().map(|(door, _)| door.clone()),
    };
    if let Some((door, listener)) = network {
        tokio::spawn(api::serve_network(api.clone(), door, listener));
    }
    tokio::spawn(async move {
        if let Err(e) = api::serve_socket(api, listener).await {
            tracing::error!(error = %e, "the API has stopped");
        }
    });
    if let Some(address) = config.metrics {
        let listener =
            TcpListener::bind(address).await.with_context(|| format!("cannot serve metrics on {address}"))?;
        let (mut picture, config) = (picture.subscribe(), config.clone());
        tokio::spawn(async move {
            // Series that are missing from one page only would be gaps in every graph.
            let _first = picture.changed().await;
            if let Err(e) = api::serve_metrics(picture, config, listener).await {
                tracing::error!(error = %e, "metrics have stopped");
            }
        });
    }
    Ok(())
}

/// Without a store that can be written the newest version has to do: then nothing else is written either.
async fn leap(store: &Store) -> u64 {
    let objects = store.objects();
    objects.leap().await.unwrap_or_else(|error| {
        tracing::warn!(%error, "watchers of before may miss a change");
        *objects.changed().borrow()
    })
}

/// The API for the network, if that is wanted. Pods are looked after without it, too.
async fn open_door(
    config: &Config,
    of_box: Address,
    wall: fn() -> jiff::Timestamp,
) -> Option<(Arc<Door>, TcpListener)> {
    let address = config.api?;
    let door = match Door::new(config, address, of_box, wall) {
        Ok(door) => door,
        Err(e) => {
            tracing::error!(error = %act::chain(&e), %address, "the API is not served over TLS");
            return None;
        }
    };
    match TcpListener::bind(address).await {
        Ok(listener) => Some((Arc::new(door), listener)),
        Err(e) => {
            tracing::error!(error = %e, %address, "the API is not served over TLS");
            None
        }
    }
}

/// A socket for root alone. One that a killed agent left is replaced.
fn listen(path: &Path) -> std::io::Result<UnixListener> {
    match fs::remove_file(path) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(e),
        _ => (),
    }
    let listener = UnixListener::bind(path)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

pub(super) fn blank(config: &Config, boot: crate::pod::status::BootId) -> Picture {
    Picture {
        node: config.node.clone(),
        address: act::network::host_address(),
        capacity: crate::picture::Capacity::default(),
        machine: Arc::new(act::machine::read()),
        boot,
        offsets: BTreeMap::new(),
        pods: BTreeMap::new(),
        totals: Vec::new(),
        health: Health::default(),
        claims: Arc::default(),
        stages: Arc::default(),
        delays: Arc::default(),
        meter: Meter::default(),
        refusals: Arc::default(),
    }
}
