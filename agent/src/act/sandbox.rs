//! What the containers of a pod share: cgroup, pinned namespaces, network, `/dev/shm`, volumes, files of `/etc`. No process
//! holds it, except where processes themselves are shared (`pause`).
#![expect(clippy::disallowed_methods, reason = "this is the effect")]

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use rustix::thread::UnshareFlags;

use super::{
    etc, mounts,
    network::{self, Network},
    pause,
    places::{Places, PodPlaces},
    security::ownership,
    volume,
};
use crate::{
    cgroup::{self, Cgroup, Limits},
    config::STACK,
    pod::{MemoryQos, PodUid, Spec, VolumeSource, given::Given, network::Address, qos, surroundings::Whose},
};

/// The pod's own default limit on processes, so that one pod cannot take all pids of the box.
pub(crate) const POD_PIDS: u64 = 4096;

/// What could not be made or taken away.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("the pod's cgroup cannot be set up")]
    Cgroup {
        #[source]
        source: cgroup::Error,
    },
    #[error("the pod's {step} cannot be set up")]
    Namespace {
        step: &'static str,
        #[source]
        source: io::Error,
    },
    #[error("the pod's network cannot be set up")]
    Network {
        #[source]
        source: network::Error,
    },
    #[error("the pod's directories cannot be set up")]
    Mounts {
        #[source]
        source: mounts::Error,
    },
    #[error("the pod's volumes cannot be set up")]
    Volume {
        #[source]
        source: volume::Error,
    },
    #[error("the pod's volumes cannot be set up")]
    Ownership {
        #[source]
        source: ownership::Error,
    },
    #[error("cannot write {}", path.display())]
    Write {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
}

impl Error {
    /// What its containers wait for, in Kubernetes' words.
    pub(crate) fn waiting_reason(&self) -> &'static str {
        match self {
            // The kubelet waits for volumes before it makes anything.
            Self::Volume { source: volume::Error::Missing { .. } } => volume::WAITING,
            _ => "CreatePodSandboxError",
        }
    }
}

/// Makes the sandbox. Idempotent: what is there already stays. Says which address the pod has, if it has one of its own.
pub(crate) fn make(
    places: &Places,
    network: &Network,
    spec: &Spec,
    given: &Given,
) -> Result<Option<Address>, Error> {
    let pod = places.pod(&spec.uid);
    cgroups(places, spec).map_err(|source| Error::Cgroup { source })?;
    shared_memory(&pod).map_err(|source| Error::Mounts { source })?;
    namespaces(&pod.namespaces(), spec)?;
    let address = match spec.surroundings.net {
        Whose::Pods => Some(connect(network, spec, &pod)?),
        Whose::Box => None,
    };
    mounts::make_dir(&pod.run().join("etc")).map_err(|source| Error::Mounts { source })?;
    etc::write(&pod, spec, address).map_err(|(path, source)| Error::Write { path, source })?;
    volume::prepare(places, &pod, spec, given).map_err(|source| Error::Volume { source })?;
    own_volumes(places, &pod, spec)?;
    Ok(address)
}

fn connect(network: &Network, spec: &Spec, pod: &PodPlaces) -> Result<Address, Error> {
    let namespace = pod.namespaces().join("net");
    network.connect(&spec.uid, &namespace, &spec.host_ports).map_err(|source| Error::Network { source })
}

/// Gives the volumes that are the pod's own to its `fsGroup`. What the box only lends stays as it is.
fn own_volumes(places: &Places, pod: &PodPlaces, spec: &Spec) -> Result<(), Error> {
    let Some(group) = spec.security.fs_group else { return Ok(()) };
    for volume in &spec.volumes {
        if let VolumeSource::EmptyDir { .. }
        | VolumeSource::EmptyDirInMemory { .. }
        | VolumeSource::Claim { read_only: false, .. } = volume.source
        {
            let path = volume::path_of(places, pod, &spec.name, volume);
            ownership::give(&path, group).map_err(|source| Error::Ownership { source })?;
        }
    }
    Ok(())
}

/// Takes the sandbox away, disk volumes included. Idempotent. Claims and host paths stay.
pub(crate) fn remove(places: &Places, network: &Network, uid: &PodUid) -> Result<(), Error> {
    let pod = places.pod(uid);
    network.disconnect(uid).map_err(|source| Error::Network { source })?;
    pause::end(places, uid).map_err(|source| Error::Cgroup { source })?;
    let mounts = |source| Error::Mounts { source };
    for dir in [pod.run(), pod.state()] {
        // What a container has mounted in a volume of the pod may be seen here, and goes with the pod.
        mounts::unmount_below(dir).map_err(mounts)?;
        mounts::remove_dir(dir).map_err(mounts)?;
    }
    places.pod_cgroup(uid).remove().map_err(|source| Error::Cgroup { source })
}

/// Hands the controllers down to the pod's children and limits the pod as a whole.
fn cgroups(places: &Places, spec: &Spec) -> Result<(), cgroup::Error> {
    hand_down(places)?;
    let pod = places.pod_cgroup(&spec.uid);
    pod.make()?;
    pod.limit(&limits(spec))?;
    pod.enable()
}

/// The limits of a pod as a whole.
pub(super) fn limits(spec: &Spec) -> Limits {
    let limits = Limits::of_pod(&spec.containers, spec.resources, Some(spec.pids.unwrap_or(POD_PIDS)));
    // What a container is to keep its pod has to keep first.
    let memory_min = match spec.memory_qos {
        MemoryQos::Off => None,
        MemoryQos::On => Some(qos::memory_asked(spec)),
    };
    Limits { memory_min, ..limits }
}

fn hand_down(places: &Places) -> Result<(), cgroup::Error> {
    let pods = places.pods_cgroup();
    reach(places, &pods)?;
    pods.enable()
}

/// Makes a cgroup and enables the controllers on the way down to it, each time anew: whatever manages the cgroups above
/// may have taken them away while nothing was there. Without systemd nobody else does it.
pub(super) fn reach(places: &Places, cgroup: &Cgroup) -> Result<(), cgroup::Error> {
    cgroup.make()?;
    places.above(cgroup).iter().rev().try_for_each(Cgroup::enable)
}

fn shared_memory(pod: &PodPlaces) -> Result<(), mounts::Error> {
    if mounts::is_mounted(&pod.shm())? { Ok(()) } else { mounts::tmpfs(&pod.shm(), Some(64 << 20), 0o1777) }
}

/// The kinds of namespace that the containers share among them and with nobody else, by the names of their files.
/// A host's name belongs to its network: on the box's, it is the box's.
pub(super) fn own(spec: &Spec) -> Vec<(&'static str, UnshareFlags)> {
    let around = &spec.surroundings;
    let kinds = [
        ("net", around.net, UnshareFlags::NEWNET),
        ("ipc", around.ipc, UnshareFlags::NEWIPC),
        ("uts", around.net, UnshareFlags::NEWUTS),
    ];
    kinds
        .into_iter()
        .filter(|(_, whose, _)| *whose == Whose::Pods)
        .map(|(name, _, flag)| (name, flag))
        .collect()
}

/// Makes the pod's own namespaces in a thread of their own and pins each as a file. The thread is thrown away;
/// the files keep the namespaces alive, whoever dies.
fn namespaces(dir: &Path, spec: &Spec) -> Result<(), Error> {
    let own = own(spec);
    let pinned = |name| mounts::is_mounted(&dir.join(name)).map_err(|source| Error::Mounts { source });
    let missing = own.iter().map(|(name, _)| pinned(name)).collect::<Result<Vec<_>, _>>()?.contains(&false);
    if !missing {
        return Ok(());
    }
    mounts::unmount_below(dir).map_err(|source| Error::Mounts { source })?;
    mounts::make_dir(dir).map_err(|source| Error::Mounts { source })?;
    let fault = |source| Error::Namespace { step: "namespaces", source };
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().stack_size(STACK);
        let born =
            thread.spawn_scoped(scope, || unshare_and_pin(dir, &own, &spec.hostname)).map_err(fault)?;
        born.join().unwrap_or_else(|_| Err(fault(io::Error::other("the thread panicked"))))
    })
}

fn unshare_and_pin(dir: &Path, own: &[(&'static str, UnshareFlags)], hostname: &str) -> Result<(), Error> {
    let fault = |step| move |source: rustix::io::Errno| Error::Namespace { step, source: source.into() };
    let has = |name: &str| own.iter().any(|(own, _)| *own == name);
    unshare(own.iter().map(|(_, flag)| *flag).collect()).map_err(fault("namespaces"))?;
    if has("uts") {
        rustix::system::sethostname(hostname.as_bytes()).map_err(fault("hostname"))?;
    }
    if has("net") {
        loopback_up().map_err(|source| Error::Namespace { step: "loopback device", source })?;
    }
    for (name, _) in own {
        let pin = dir.join(name);
        fs::File::create(&pin).map_err(|source| Error::Write { path: pin.clone(), source })?;
        mounts::bind(&Path::new("/proc/thread-self/ns").join(name), &pin)
            .map_err(|source| Error::Mounts { source })?;
    }
    Ok(())
}

#[expect(unsafe_code, reason = "unshare is unsafe where a thread shares files with others")]
fn unshare(flags: UnshareFlags) -> rustix::io::Result<()> {
    // SAFETY: neither the file table nor the memory is unshared, so no I/O-safety guarantee changes; the thread ends after this.
    unsafe { rustix::thread::unshare_unsafe(flags) }
}

/// `lo` gets its addresses from the kernel as soon as it is up.
#[expect(unsafe_code, reason = "interface flags are set by ioctl")]
fn loopback_up() -> io::Result<()> {
    use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};
    use std::os::fd::AsRawFd;

    let socket = socket_with(AddressFamily::INET, SocketType::DGRAM, SocketFlags::CLOEXEC, None)?;
    // SAFETY: ifreq is plain data for which zeroes are valid.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(b"lo") {
        // Signed on x86, unsigned on ARM.
        *to = libc::c_char::from_ne_bytes([*from]);
    }
    let fd = socket.as_raw_fd();
    // SAFETY: SIOCGIFFLAGS writes into the ifreq it is given, which lives until the call returns.
    if unsafe { libc::ioctl(fd, libc::SIOCGIFFLAGS as _, &raw mut request) } < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: after SIOCGIFFLAGS the union holds the flags.
    unsafe { request.ifr_ifru.ifru_flags |= libc::IFF_UP as i16 };
    // SAFETY: SIOCSIFFLAGS only reads the ifreq.
    if unsafe { libc::ioctl(fd, libc::SIOCSIFFLAGS as _, &raw const request) } < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}
