//! carob's kernel programs in this machine's kernel for a while: loaded by the binary itself, then taken off its pins
//! and attached and detached at will. They are gone with this process, however it ends: nothing but it holds them, and
//! the bpffs lies in a mount namespace of its own.

use std::{
    fs,
    os::{fd::OwnedFd, unix::fs::MetadataExt},
    path::{Path, PathBuf},
    process::{self, Command},
    thread,
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use carob_ebpf::{Counters, Owner, map, program};
use rustix::{
    mount::{MountPropagationFlags, UnmountFlags, mount_change, unmount},
    thread::{UnshareFlags, unshare_unsafe},
};

use crate::bpf;

/// Where an attempt's cgroup lies with the configuration as it comes: `carob.slice/carob-pods.service/pods/pod…/…`.
const DEPTH: u32 = 5;
/// The kernel attaches and detaches a program a moment after it was told to. As long for both: a processor that has slept
/// is slower at first.
const SETTLED: Duration = Duration::from_millis(2);
/// Those that need no kprobes.
const TRACEPOINTS: [&str; 3] = [program::EXIT, program::SIGNAL, program::VICTIM];

/// Whom the programs take this machine's processes for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Whose {
    /// Processes of the box: they lie above the level of containers.
    Outside,
    /// Processes of a container that are not its main one: the level of containers is the root's own, and the root
    /// has an owner. No cgroup is touched.
    Inside,
}

impl Whose {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Outside => "outside",
            Self::Inside => "inside",
        }
    }
}

/// A namespace of mounts of this process's own, and a directory in it.
pub(super) struct Place {
    carob: PathBuf,
    bpffs: PathBuf,
}

impl Place {
    pub(super) fn own(carob: &str, bpffs: &str) -> Result<Self> {
        #[expect(unsafe_code, reason = "rustix says so of unsharing descriptors")]
        // SAFETY: descriptors stay as they are; mounts are all that is no longer shared.
        let own = unsafe { unshare_unsafe(UnshareFlags::NEWNS) };
        own.context("leave the machine's mount namespace")?;
        mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)
            .context("keep mounts to this process")?;
        Ok(Self { carob: carob.into(), bpffs: bpffs.into() })
    }

    /// Loads the programs and leaves them detached.
    pub(super) fn load(&self, whose: Whose) -> Result<Loaded> {
        let depth = match whose {
            Whose::Outside => DEPTH,
            Whose::Inside => 0,
        };
        let load = Command::new(&self.carob)
            .args(["kernel", "load", "--ring", "65536", "--depth", &depth.to_string()])
            .arg(&self.bpffs)
            .output()
            .context("start carob")?;
        ensure!(load.status.success(), "carob kernel load: {}", String::from_utf8_lossy(&load.stderr));
        let loaded = Loaded::found(&self.bpffs)?;
        // The pins go with it, and with them all that held the programs to their tracepoints.
        unmount(&self.bpffs, UnmountFlags::empty()).context("unmount the bpffs")?;
        if whose == Whose::Inside {
            loaded.own_the_box()?;
        }
        Ok(loaded)
    }
}

pub(super) struct Loaded {
    owners: OwnedFd,
    counters: OwnedFd,
    root: u64,
    programs: Vec<(&'static str, OwnedFd)>,
}

/// The programs run until this is dropped.
pub(super) struct Attached(Vec<OwnedFd>);

impl Drop for Attached {
    fn drop(&mut self) {
        self.0.clear();
        thread::sleep(SETTLED);
    }
}

/// How often a program has run while its runs were counted, and for how long in all.
#[derive(Clone, Copy, Debug)]
pub(super) struct Runs {
    pub(super) name: &'static str,
    pub(super) count: u64,
    pub(super) ns: u64,
}

impl Loaded {
    fn found(bpffs: &Path) -> Result<Self> {
        let pins = bpf::pins(bpffs);
        let open = |name: &str| {
            let pin = pins.iter().find(|pin| pin.ends_with(name));
            bpf::open(pin.with_context(|| format!("carob has pinned no {name}"))?)
        };
        let program = |name| {
            let id = bpf::said(&open(name)?, "prog_id")?;
            let id = id.with_context(|| format!("the kernel names no program of {name}"))?.parse()?;
            Ok((name, bpf::program(id)?))
        };
        let programs = TRACEPOINTS.into_iter().map(program).collect::<Result<_>>()?;
        Ok(Self {
            owners: open(map::OWNERS)?,
            counters: open(map::COUNTERS)?,
            root: root_cgroup()?,
            programs,
        })
    }

    /// All processes become a container's, whose main process never ends: it is not to be measured.
    fn own_the_box(&self) -> Result<()> {
        let zero = vec![Counters::default(); bpf::possible_processors()?];
        bpf::update(&self.counters, self.root, &zero)?;
        let owner = Owner { main_tgid: process::id(), ..Owner::default() };
        bpf::update(&self.owners, self.root, &[owner])
    }

    pub(super) fn attach(&self) -> Result<Attached> {
        let attached =
            self.programs.iter().map(|(_, program)| bpf::attach(program)).collect::<Result<_>>()?;
        thread::sleep(SETTLED);
        Ok(Attached(attached))
    }

    /// Exits that were counted as a container's. Outside there is nobody to count them for.
    pub(super) fn counted(&self) -> Result<u64> {
        let mut each = vec![Counters::default(); bpf::possible_processors()?];
        bpf::look_up(&self.counters, self.root, &mut each)?;
        Ok(each.iter().map(|counters| counters.exits_other).sum())
    }

    pub(super) fn runs(&self) -> Result<Vec<Runs>> {
        let runs = |(name, program): &(&'static str, OwnedFd)| {
            let number = |field: &str| -> Result<u64> {
                Ok(bpf::said(program, field)?
                    .with_context(|| format!("the kernel tells no {field}"))?
                    .parse()?)
            };
            Ok(Runs { name, count: number("run_cnt")?, ns: number("run_time_ns")? })
        };
        self.programs.iter().map(runs).collect()
    }
}

/// The number of the hierarchy's root, which is its directory's, wherever it is mounted; with the kernel's own counting
/// it is the first.
fn root_cgroup() -> Result<u64> {
    const FIRST: u64 = 1;
    let mounts = fs::read_to_string("/proc/self/mountinfo").context("read the mounts")?;
    // proc_pid_mountinfo(5): root is field 4, the mount point 5; the type follows a lone `-`.
    let mut roots = mounts.lines().filter(|line| line.contains(" - cgroup2 ")).filter_map(|line| {
        let mut fields = line.split(' ').skip(3);
        (fields.next()? == "/").then(|| fields.next())?
    });
    match roots.next() {
        Some(point) => Ok(fs::metadata(point).with_context(|| format!("look at {point}"))?.ino()),
        None => Ok(FIRST),
    }
}
