//! The pinned maps of the running programs, as the agent uses them: owners in, deaths and counters and
//! wake-ups out.
//!
//! It loads nothing and judges nothing. One agent at a time writes; the programs never write an owner.

use std::{
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
};

use aya::maps::{HashMap, Map, MapData, MapError, PerCpuArray, PerCpuHashMap, PerCpuValues, RingBuf};
use carob_ebpf::{Counters, Death, Event, KILL_SHIFT, Owner, map};
use thiserror::Error;
use zerocopy::FromBytes;

use super::inherit::kind_of;
use crate::pod::{CgroupId, Pid, Stamp, counts::Counts, verdict::Why};

/// A map that could not be opened, read or written.
#[derive(Debug, Error)]
pub(crate) enum ProbeError {
    #[error("open pinned map {}", path.display())]
    Open {
        path: PathBuf,
        #[source]
        source: Box<MapError>,
    },
    #[error("watch the event ring")]
    Watch(#[source] io::Error),
    #[error("read {map} of cgroup {cgroup}")]
    Read {
        map: &'static str,
        cgroup: u64,
        #[source]
        source: Box<MapError>,
    },
    #[error("write {map} of cgroup {cgroup}")]
    Write {
        map: &'static str,
        cgroup: u64,
        #[source]
        source: Box<MapError>,
    },
    #[error("change the owner of cgroup {cgroup}: it has none")]
    NoOwner { cgroup: u64 },
    #[error("name process {pid} the main one of cgroup {cgroup}: not a pid")]
    NotAPid { cgroup: u64, pid: i32 },
    #[error("list the cgroups with an owner")]
    List(#[source] Box<MapError>),
    #[error("read the count of lost records")]
    Lost(#[source] Box<MapError>),
    #[error("make room for the counters of cgroup {cgroup}")]
    Room {
        cgroup: u64,
        #[source]
        source: io::Error,
    },
}

/// What the loader pins.
pub(super) const PINNED: [&str; 7] =
    [map::OWNERS, map::DEATHS, map::COUNTERS, map::SIGNALS, map::GONE, map::LOST, map::EVENTS];

type OwnerBytes = [u8; size_of::<Owner>()];
type DeathBytes = [u8; size_of::<Death>()];
type CounterWords = [u64; size_of::<Counters>() / size_of::<u64>()];

/// The programs' maps. All methods take `&self` and none waits: a lock is held for one system call.
pub(crate) struct Probes {
    maps: Mutex<Maps>,
    ring: Mutex<RingBuf<MapData>>,
    ring_fd: OwnedFd,
}

struct Maps {
    owners: HashMap<MapData, u64, OwnerBytes>,
    deaths: HashMap<MapData, u64, DeathBytes>,
    counters: PerCpuHashMap<MapData, u64, CounterWords>,
    lost: PerCpuArray<MapData, u64>,
}

impl Probes {
    /// Opens what `kernel load` has pinned in `pins`.
    pub(crate) fn open(pins: &Path) -> Result<Self, ProbeError> {
        let ring: RingBuf<MapData> = open(pins, map::EVENTS)?;
        let ring_fd = ring.as_fd().try_clone_to_owned().map_err(ProbeError::Watch)?;
        let maps = Maps {
            owners: open(pins, map::OWNERS)?,
            deaths: open(pins, map::DEATHS)?,
            counters: open(pins, map::COUNTERS)?,
            lost: open(pins, map::LOST)?,
        };
        Ok(Self { maps: Mutex::new(maps), ring: Mutex::new(ring), ring_fd })
    }

    /// Makes a cgroup known. Before the first process is in it, so that none exits unseen. Doing it again
    /// changes nothing.
    pub(crate) fn own(&self, cgroup: CgroupId) -> Result<(), ProbeError> {
        let zero = vec![CounterWords::default(); processors(cgroup)?];
        let zero =
            PerCpuValues::try_from(zero).map_err(|source| ProbeError::Room { cgroup: cgroup.0, source })?;
        let mut maps = self.maps();
        let counters = maps.counters.insert(cgroup.0, zero, NOEXIST);
        unless_there(counters).map_err(writing(map::COUNTERS, cgroup))?;
        let nobody: OwnerBytes = zerocopy::transmute!(Owner::default());
        let owner = maps.owners.insert(cgroup.0, nobody, NOEXIST);
        unless_there(owner).map_err(writing(map::OWNERS, cgroup))
    }

    /// Names the main process. Before it is let go, so that its exit makes the record. `start_ticks` is
    /// [`super::pidfd::start_ticks`]'s.
    pub(crate) fn set_main(&self, cgroup: CgroupId, pid: Pid, start_ticks: u64) -> Result<(), ProbeError> {
        let not_a_pid = ProbeError::NotAPid { cgroup: cgroup.0, pid: pid.0 };
        let main_tgid = u32::try_from(pid.0).ok().filter(|tgid| *tgid > 0).ok_or(not_a_pid)?;
        self.change(cgroup, |owner| Owner { main_tgid, main_start_ticks: start_ticks, ..owner })
    }

    /// Leaves word of why the agent is about to signal, and until when it will wait.
    pub(crate) fn intend(&self, cgroup: CgroupId, why: Why, deadline: Stamp) -> Result<(), ProbeError> {
        self.change(cgroup, |owner| Owner { why: why as u32, deadline_ns: deadline.0, ..owner })
    }

    /// Leaves word of why the agent is about to use SIGKILL. Why it was to end at first stays.
    pub(crate) fn condemn(&self, cgroup: CgroupId, why: Why, at: Stamp) -> Result<(), ProbeError> {
        let why = why as u32;
        self.change(cgroup, |owner| {
            let first = if owner.why == 0 { why } else { owner.why };
            Owner { why: first | why << KILL_SHIFT, deadline_ns: at.0, ..owner }
        })
    }

    /// What the agent, or one before it, has said of the cgroup.
    pub(crate) fn owner(&self, cgroup: CgroupId) -> Result<Option<Owner>, ProbeError> {
        let found = found(self.maps().owners.get(&cgroup.0, 0));
        Ok(found.map_err(reading(map::OWNERS, cgroup))?.map(|bytes| zerocopy::transmute!(bytes)))
    }

    /// The record of the main process' end. It stays until [`Probes::disown`].
    pub(crate) fn death(&self, cgroup: CgroupId) -> Result<Option<Death>, ProbeError> {
        let found = found(self.maps().deaths.get(&cgroup.0, 0));
        Ok(found.map_err(reading(map::DEATHS, cgroup))?.map(|bytes| zerocopy::transmute!(bytes)))
    }

    /// What was counted since [`Probes::own`], over all processors.
    pub(crate) fn counts(&self, cgroup: CgroupId) -> Result<Option<Counts>, ProbeError> {
        let found = found(self.maps().counters.get(&cgroup.0, 0));
        let found = found.map_err(reading(map::COUNTERS, cgroup))?;
        Ok(found.map(|values| {
            let mut total = CounterWords::default();
            for value in values.iter() {
                for (sum, word) in total.iter_mut().zip(value) {
                    *sum += word;
                }
            }
            let Counters { exits_main, exits_runtime: _, exits_other, oom_kills, lost } =
                zerocopy::transmute!(total);
            Counts { main_exits: exits_main, other_exits: exits_other, oom_kills, lost_records: lost }
        }))
    }

    /// Records and events that had no room, of all containers since the programs were loaded.
    pub(crate) fn lost(&self) -> Result<u64, ProbeError> {
        let values = self.maps().lost.get(&0, 0).map_err(|source| ProbeError::Lost(Box::new(source)))?;
        Ok(values.iter().sum())
    }

    /// Forgets a cgroup and its record: after the ledger has it. Doing it again changes nothing.
    pub(crate) fn disown(&self, cgroup: CgroupId) -> Result<(), ProbeError> {
        let mut maps = self.maps();
        if_there(maps.owners.remove(&cgroup.0)).map_err(writing(map::OWNERS, cgroup))?;
        if_there(maps.deaths.remove(&cgroup.0)).map_err(writing(map::DEATHS, cgroup))?;
        if_there(maps.counters.remove(&cgroup.0)).map_err(writing(map::COUNTERS, cgroup))
    }

    /// Every cgroup with an owner.
    pub(crate) fn owned(&self) -> Result<Vec<CgroupId>, ProbeError> {
        self.maps()
            .owners
            .keys()
            .map(|key| key.map(CgroupId).map_err(|source| ProbeError::List(Box::new(source))))
            .collect()
    }

    /// Hands out the events that are there. Readable ([`AsFd`]) when there are more. An event of a size this
    /// build does not know is passed over: it only wakes.
    pub(crate) fn drain(&self, mut each: impl FnMut(Event)) {
        let mut ring = held(&self.ring);
        while let Some(item) = ring.next() {
            if let Ok(event) = Event::read_from_bytes(&item) {
                each(event);
            }
        }
    }

    fn change(&self, cgroup: CgroupId, change: impl FnOnce(Owner) -> Owner) -> Result<(), ProbeError> {
        let mut maps = self.maps();
        let found = found(maps.owners.get(&cgroup.0, 0)).map_err(reading(map::OWNERS, cgroup))?;
        let owner = found.ok_or(ProbeError::NoOwner { cgroup: cgroup.0 })?;
        let changed: OwnerBytes = zerocopy::transmute!(change(zerocopy::transmute!(owner)));
        maps.owners.insert(cgroup.0, changed, EXIST).map_err(writing(map::OWNERS, cgroup))
    }

    fn maps(&self) -> MutexGuard<'_, Maps> {
        held(&self.maps)
    }
}

impl AsFd for Probes {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.ring_fd.as_fd()
    }
}

/// `BPF_NOEXIST`: leave what is there.
const NOEXIST: u64 = 1;
/// `BPF_EXIST`: make nothing new.
const EXIST: u64 = 2;

/// A panic elsewhere leaves the maps as they are: they are the kernel's.
fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn open<M: TryFrom<Map, Error = MapError>>(pins: &Path, name: &str) -> Result<M, ProbeError> {
    let path = pins.join(name);
    let map = MapData::from_pin(&path).and_then(Map::from_map_data).and_then(M::try_from);
    map.map_err(|source| ProbeError::Open { path, source: Box::new(source) })
}

fn found<V>(read: Result<V, MapError>) -> Result<Option<V>, MapError> {
    match read {
        Ok(value) => Ok(Some(value)),
        Err(MapError::KeyNotFound) => Ok(None),
        Err(error) => Err(error),
    }
}

fn unless_there(written: Result<(), MapError>) -> Result<(), MapError> {
    pass(written, io::ErrorKind::AlreadyExists)
}

fn if_there(removed: Result<(), MapError>) -> Result<(), MapError> {
    pass(removed, io::ErrorKind::NotFound)
}

fn pass(done: Result<(), MapError>, kind: io::ErrorKind) -> Result<(), MapError> {
    match done {
        Err(error) if kind_of(&error) == Some(kind) => Ok(()),
        other => other,
    }
}

fn reading(map: &'static str, cgroup: CgroupId) -> impl FnOnce(MapError) -> ProbeError {
    move |source| ProbeError::Read { map, cgroup: cgroup.0, source: Box::new(source) }
}

fn writing(map: &'static str, cgroup: CgroupId) -> impl FnOnce(MapError) -> ProbeError {
    move |source| ProbeError::Write { map, cgroup: cgroup.0, source: Box::new(source) }
}

fn processors(cgroup: CgroupId) -> Result<usize, ProbeError> {
    aya::util::nr_cpus().map_err(|(_, source)| ProbeError::Room { cgroup: cgroup.0, source })
}
