//! The cgroup v2 files, below whatever root they are given. Reads and writes them; decides nothing.
#![expect(clippy::disallowed_methods, reason = "cgroup files are this module's whole purpose")]

use std::{
    collections::BTreeMap,
    fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use crate::pod::{CgroupId, Container, OomScope, Resources, Role};

/// The kernel charges what it keeps of a cgroup to the cgroup above. Without room for that a pod's limit would be
/// hit before that of its only container.
const POD_OVERHEAD: u64 = 8 << 20;
/// The controllers a pod's limits need.
pub(crate) const CONTROLLERS: [&str; 3] = ["cpu", "memory", "pids"];
/// What is good to have: figures, no limits.
const ACCOUNTING: [&str; 1] = ["io"];
/// How far between request and limit a container is slowed down (kubelet, `memoryThrottlingFactor` 0.9).
const THROTTLING_TENTHS: u64 = 9;
/// `cpu.max`'s period, as the kubelet writes it.
const PERIOD_US: u64 = 100_000;
/// The shortest quota the kubelet writes.
const MIN_QUOTA_US: u64 = 1_000;

/// A tenth of what others have who ask for nothing.
const MODEST_WEIGHT: &str = "10";
/// Bytes: what is read and written is taken back from it as it fills up, what it works with fits many times.
const MODEST_MEMORY: &str = "268435456";

/// What went wrong with which file.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("cannot make the cgroup {}", path.display())]
    Make {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("cannot read {}", path.display())]
    Read {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("cannot write {value:?} to {}", path.display())]
    Write {
        path: PathBuf,
        value: String,
        #[source]
        source: io::Error,
    },
    #[error("cannot remove the cgroup {}", path.display())]
    Remove {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
}

/// One cgroup directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Cgroup {
    path: PathBuf,
}

/// What a cgroup may use. Absent means the kernel's default: no limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Limits {
    pub(crate) memory: Option<u64>,
    /// Thousandths of a CPU.
    pub(crate) cpu: Option<u64>,
    /// Thousandths of a CPU that the weight stands for.
    pub(crate) cpu_share: u64,
    pub(crate) pids: Option<u64>,
    pub(crate) oom: OomScope,
    /// Bytes that are not taken from it, whoever else is short of memory.
    pub(crate) memory_min: Option<u64>,
    /// Bytes from which on it is slowed down.
    pub(crate) memory_high: Option<u64>,
}

impl Limits {
    /// What one container asks for. A limit without a request is a request of the same size, as in Kubernetes.
    pub(crate) fn of(resources: &Resources, oom: OomScope, pids: Option<u64>) -> Self {
        let Resources { memory_limit, cpu_limit, cpu_request, .. } = *resources;
        let cpu_share = cpu_request.or(cpu_limit).unwrap_or(0);
        let (memory_min, memory_high) = (None, None);
        Self { memory: memory_limit, cpu: cpu_limit, cpu_share, pids, oom, memory_min, memory_high }
    }

    /// A container's, with its memory protected by KEP-2570. Without a limit of its own the box's memory is its limit.
    pub(crate) fn protecting(self, resources: &Resources, capacity: u64) -> Self {
        let request = resources.memory_request.or(resources.memory_limit);
        let limit = resources.memory_limit.unwrap_or(capacity);
        let page = rustix::param::page_size() as u64;
        let high = |request: u64| {
            let tenths =
                (limit - request) / 10 * THROTTLING_TENTHS + (limit - request) % 10 * THROTTLING_TENTHS / 10;
            (request + tenths) / page * page
        };
        // A request of all there is leaves no room to be slowed down in.
        let memory_high = request.filter(|request| *request < limit).map(high);
        Self { memory_min: request, memory_high, ..self }
    }

    /// A pod's: the sum of its containers' and room for the kernel's bookkeeping, unlimited as soon as one of them is.
    pub(crate) fn sum(of: impl Iterator<Item = Resources>, pids: Option<u64>) -> Self {
        let nothing = Self::of(&Resources::default(), OomScope::Process, pids);
        let start = Self { memory: Some(POD_OVERHEAD), cpu: Some(0), ..nothing };
        of.fold(start, |sum, resources| {
            let one = Self::of(&resources, OomScope::Process, None);
            let add = |a: Option<u64>, b: Option<u64>| Some(a?.saturating_add(b?));
            Self {
                memory: add(sum.memory, one.memory),
                cpu: add(sum.cpu, one.cpu),
                cpu_share: sum.cpu_share.saturating_add(one.cpu_share),
                ..sum
            }
        })
    }

    /// A pod's: what it says of itself, and enough for whatever of it may run at the same time, which is the main containers with all sidecars, or one
    /// init container with the sidecars before it (KEP-753).
    pub(crate) fn of_pod(containers: &[Container], own: Resources, pids: Option<u64>) -> Self {
        let sums = Self::of_containers(containers, pids);
        Self {
            memory: own.memory_limit.or(sums.memory),
            cpu: own.cpu_limit.or(sums.cpu),
            cpu_share: own.cpu_request.or(own.cpu_limit).unwrap_or(sums.cpu_share),
            ..sums
        }
    }

    /// What the containers add up to.
    fn of_containers(containers: &[Container], pids: Option<u64>) -> Self {
        let with = |end: usize, others: Role| {
            let beside =
                containers[..end].iter().filter(move |other| [Role::Sidecar, others].contains(&other.role));
            beside.map(|other| other.resources)
        };
        let mains = Self::sum(with(containers.len(), Role::Main), pids);
        let inits = containers.iter().enumerate().filter(|(_, container)| container.role == Role::Init);
        inits.fold(mains, |most, (index, init)| {
            let own = std::iter::once(init.resources);
            most.or_more(Self::sum(with(index, Role::Sidecar).chain(own), pids))
        })
    }

    /// The larger of each; unlimited if either is.
    fn or_more(self, other: Self) -> Self {
        let more = |a: Option<u64>, b: Option<u64>| Some(a?.max(b?));
        Self {
            memory: more(self.memory, other.memory),
            cpu: more(self.cpu, other.cpu),
            cpu_share: self.cpu_share.max(other.cpu_share),
            ..self
        }
    }

    /// File name and content of each, in the order they are written.
    fn files(&self) -> Vec<(&'static str, String)> {
        let number = |limit: Option<u64>| limit.map_or("max".to_owned(), |n| n.to_string());
        let cpu_max = match self.cpu {
            Some(milli) => format!("{} {PERIOD_US}", (milli * PERIOD_US / 1000).max(MIN_QUOTA_US)),
            None => format!("max {PERIOD_US}"),
        };
        let group = match self.oom {
            OomScope::Container => "1",
            OomScope::Process => "0",
        };
        let soft = [("memory.min", self.memory_min), ("memory.high", self.memory_high)];
        let soft = soft.into_iter().filter_map(|(file, bytes)| Some((file, bytes?.to_string())));
        let mut files = vec![
            ("memory.max", number(self.memory)),
            ("memory.oom.group", group.to_owned()),
            ("cpu.max", cpu_max),
            ("cpu.weight", weight(self.cpu_share).to_string()),
            ("pids.max", number(self.pids)),
        ];
        files.extend(soft);
        files
    }
}

/// `cpu.weight` for a request in thousandths of a CPU: shares of 1024 a CPU, then the quadratic fit that runc 1.3.2 and
/// crun 1.23 agree on (1024 shares are weight 100, 2 are 1, 262144 are 10000).
pub(crate) fn weight(milli: u64) -> u64 {
    let shares = (milli.saturating_mul(1024) / 1000).clamp(2, 262_144);
    if shares == 2 {
        return 1;
    }
    #[expect(clippy::cast_precision_loss, reason = "at most 262144")]
    let log = (shares as f64).log2();
    let exponent = (log * log + 125.0 * log) / 612.0 - 7.0 / 34.0;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 1 and 10000")]
    let weight = 10_f64.powf(exponent).ceil() as u64;
    weight.clamp(1, 10_000)
}

/// `cpu.max` with a limit in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Quota {
    /// Of CPU time in each period.
    pub(crate) microseconds: u64,
    /// Microseconds.
    pub(crate) period: u64,
}

/// `memory.events` or `memory.events.local`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct MemoryEvents {
    /// How often the limit of this cgroup was hit and the OOM killer called.
    pub(crate) oom: u64,
    /// Processes of this cgroup that an OOM kill took.
    pub(crate) oom_kill: u64,
}

impl Cgroup {
    /// Names a cgroup; it need not exist.
    pub(crate) fn at(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Makes the directory and its parents. Fine if it is there.
    pub(crate) fn make(&self) -> Result<(), Error> {
        fs::create_dir_all(&self.path).map_err(|source| Error::Make { path: self.path.clone(), source })
    }

    /// For work that has time: all others come first, and it may not take much memory.
    pub(crate) fn limit_modestly(&self) -> Result<(), Error> {
        self.write("cpu.weight", MODEST_WEIGHT)?;
        self.write("memory.max", MODEST_MEMORY)?;
        // Only where the disk's scheduler knows of weights.
        if self.path.join("io.weight").exists() {
            self.write("io.weight", MODEST_WEIGHT)?;
        }
        Ok(())
    }

    /// Whether the directory is there.
    pub(crate) fn exists(&self) -> bool {
        self.path.is_dir()
    }

    /// The id that eBPF programs know it by: the directory's inode.
    pub(crate) fn id(&self) -> Result<CgroupId, Error> {
        let meta =
            fs::metadata(&self.path).map_err(|source| Error::Read { path: self.path.clone(), source })?;
        Ok(CgroupId(meta.ino()))
    }

    /// Gives the controllers to the children, one write each so that the error names the missing one. A kernel
    /// without those that only count is good enough.
    pub(crate) fn enable(&self) -> Result<(), Error> {
        let (have, given) = (self.read("cgroup.controllers")?, self.read("cgroup.subtree_control")?);
        let lists = |list: &str, name: &str| list.split_whitespace().any(|word| word == name);
        let counting = ACCOUNTING.iter().filter(|name| lists(&have, name));
        for name in CONTROLLERS.iter().chain(counting).filter(|name| !lists(&given, name)) {
            self.write("cgroup.subtree_control", &format!("+{name}"))?;
        }
        Ok(())
    }

    /// Writes all limits, or says which one could not be written.
    pub(crate) fn limit(&self, limits: &Limits) -> Result<(), Error> {
        for (file, value) in limits.files() {
            self.write(file, &value)?;
        }
        // Without swap in the kernel the file is absent, and so is what it would limit.
        if self.path.join("memory.swap.max").exists() {
            self.write("memory.swap.max", "0")?;
        }
        Ok(())
    }

    /// SIGKILL for every process in it and below.
    pub(crate) fn kill(&self) -> Result<(), Error> {
        self.write("cgroup.kill", "1")
    }

    /// Whether any process is left in it or below.
    pub(crate) fn populated(&self) -> Result<bool, Error> {
        Ok(self.read("cgroup.events")?.lines().any(|line| line == "populated 1"))
    }

    /// Kills and limits that concern this cgroup itself.
    pub(crate) fn memory_events(&self) -> Result<MemoryEvents, Error> {
        Ok(parse_memory_events(&self.read("memory.events.local")?))
    }

    /// How much CPU time it may use; `None` is as much as there is.
    pub(crate) fn quota(&self) -> Result<Option<Quota>, Error> {
        Ok(parse_quota(&self.read("cpu.max")?))
    }

    /// A file with one number or `max` in it (`None`).
    pub(crate) fn number(&self, file: &str) -> Result<Option<u64>, Error> {
        Ok(self.read(file)?.trim().parse().ok())
    }

    /// A file of lines `name number`.
    pub(crate) fn keyed(&self, file: &str) -> Result<BTreeMap<String, u64>, Error> {
        let text = self.read(file)?;
        let line =
            |line: &str| line.split_once(' ').and_then(|(name, n)| Some((name.to_owned(), n.parse().ok()?)));
        Ok(text.lines().filter_map(line).collect())
    }

    /// In which part of the last ten seconds some thread in it waited for `cpu`, `memory` or `io`, in hundredths of a
    /// percent. <https://docs.kernel.org/accounting/psi.html>
    pub(crate) fn pressure(&self, resource: &str) -> Result<Option<u32>, Error> {
        Ok(parse_pressure(&self.read(&format!("{resource}.pressure"))?))
    }

    /// A file of lines `name key=number key=number …`. What is no whole number is left out.
    pub(crate) fn nested(&self, file: &str) -> Result<BTreeMap<String, BTreeMap<String, u64>>, Error> {
        Ok(parse_nested(&self.read(file)?))
    }

    /// How many processes are in it and below.
    pub(crate) fn processes(&self) -> Result<usize, Error> {
        let own = match self.read("cgroup.procs") {
            Ok(text) => text.lines().count(),
            // Of a threaded cgroup they are counted further up, where its domain is.
            Err(Error::Read { source, .. }) if source.kind() == io::ErrorKind::Unsupported => 0,
            Err(e) => return Err(e),
        };
        let below = self.children()?;
        below.iter().try_fold(own, |sum, child| Ok(sum + child.processes()?))
    }

    /// The cgroups directly below, by name.
    pub(crate) fn children(&self) -> Result<Vec<Self>, Error> {
        let read = |source| Error::Read { path: self.path.clone(), source };
        let mut found = Vec::new();
        for entry in fs::read_dir(&self.path).map_err(read)? {
            let entry = entry.map_err(read)?;
            if entry.file_type().map_err(read)?.is_dir() {
                found.push(Self::at(entry.path()));
            }
        }
        found.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(found)
    }

    /// The last component of its path.
    pub(crate) fn name(&self) -> &str {
        self.path.file_name().and_then(|name| name.to_str()).unwrap_or_default()
    }

    /// Removes it and everything below. Fine if it is gone; fails while a process is left.
    pub(crate) fn remove(&self) -> Result<(), Error> {
        if !self.exists() {
            return Ok(());
        }
        for child in self.children()? {
            child.remove()?;
        }
        match fs::remove_dir(&self.path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
            other => other.map_err(|source| Error::Remove { path: self.path.clone(), source }),
        }
    }

    fn read(&self, file: &str) -> Result<String, Error> {
        let path = self.path.join(file);
        fs::read_to_string(&path).map_err(|source| Error::Read { path, source })
    }

    fn write(&self, file: &str, value: &str) -> Result<(), Error> {
        let path = self.path.join(file);
        let result = fs::OpenOptions::new()
            .write(true)
            .open(&path)
            .and_then(|mut f| io::Write::write_all(&mut f, value.as_bytes()));
        result.map_err(|source| Error::Write { path, value: value.to_owned(), source })
    }
}

fn parse_quota(text: &str) -> Option<Quota> {
    let (quota, period) = text.trim().split_once(' ')?;
    Some(Quota { microseconds: quota.parse().ok()?, period: period.parse().ok()? })
}

fn parse_pressure(text: &str) -> Option<u32> {
    let some = text.lines().find_map(|line| line.strip_prefix("some avg10="))?;
    let (whole, hundredths) = some.split_whitespace().next()?.split_once('.')?;
    whole.parse::<u32>().ok()?.checked_mul(100)?.checked_add(hundredths.parse().ok()?)
}

fn parse_nested(text: &str) -> BTreeMap<String, BTreeMap<String, u64>> {
    let number =
        |word: &str| word.split_once('=').and_then(|(key, n)| Some((key.to_owned(), n.parse().ok()?)));
    let line = |line: &str| {
        let mut words = line.split_whitespace();
        Some((words.next()?.to_owned(), words.filter_map(number).collect()))
    };
    text.lines().filter_map(line).collect()
}

fn parse_memory_events(text: &str) -> MemoryEvents {
    let field = |name: &str| {
        text.lines()
            .filter_map(|line| line.split_once(' '))
            .find(|(key, _)| *key == name)
            .and_then(|(_, n)| n.parse().ok())
            .unwrap_or(0)
    };
    MemoryEvents { oom: field("oom"), oom_kill: field("oom_kill") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_are_those_of_other_runtimes() {
        for (milli, expected) in [
            (0, 1),
            (1, 1),
            (2, 1),
            (500, 59),
            (1000, 100),
            (2000, 174),
            (256_000, 10_000),
            (u64::MAX, 10_000),
        ] {
            assert_eq!(weight(milli), expected, "{milli}m");
        }
    }

    #[test]
    fn limits_become_the_kernels_words() {
        let resources =
            Resources { memory_limit: Some(64 << 20), cpu_limit: Some(500), ..Resources::default() };
        let files = Limits::of(&resources, OomScope::Container, Some(100)).files();
        let expected = [
            ("memory.max", "67108864"),
            ("memory.oom.group", "1"),
            ("cpu.max", "50000 100000"),
            ("cpu.weight", "59"),
            ("pids.max", "100"),
        ];
        assert_eq!(files.iter().map(|(f, v)| (*f, v.as_str())).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn a_pod_with_one_unlimited_container_is_unlimited() {
        let limited = Resources {
            memory_limit: Some(10),
            cpu_limit: Some(5),
            cpu_request: Some(3),
            ..Resources::default()
        };
        let free = Resources { cpu_limit: Some(7), ..Resources::default() };
        let both = Limits::sum([limited, free].into_iter(), None);
        assert_eq!((both.memory, both.cpu, both.cpu_share), (None, Some(12), 10));
        let twice = Limits::sum([limited, limited].into_iter(), None);
        assert_eq!((twice.memory, twice.cpu, twice.cpu_share), (Some(POD_OVERHEAD + 20), Some(10), 6));
    }

    #[test]
    fn a_pod_has_room_for_what_runs_at_the_same_time() {
        let container = |role, bytes| Container {
            role,
            resources: Resources { memory_limit: bytes, cpu_limit: Some(1), ..Resources::default() },
            ..Container::default()
        };
        let (init, side, main) = (Role::Init, Role::Sidecar, Role::Main);
        let rows = [
            (vec![container(main, Some(5)), container(main, Some(6))], Some(11)),
            (vec![container(init, Some(20)), container(main, Some(5))], Some(20)),
            (vec![container(init, Some(3)), container(side, Some(4)), container(main, Some(5))], Some(9)),
            (vec![container(side, Some(4)), container(init, Some(7)), container(main, Some(5))], Some(11)),
            (vec![container(init, None), container(main, Some(5))], None),
        ];
        for (containers, bytes) in rows {
            let limits = Limits::of_pod(&containers, Resources::default(), None);
            assert_eq!(limits.memory, bytes.map(|bytes| bytes + POD_OVERHEAD), "{containers:?}");
        }
    }

    #[test]
    fn a_pods_own_budget_goes_before_the_sum_of_its_containers() {
        let containers = [Container {
            resources: Resources { memory_limit: Some(10), cpu_request: Some(100), ..Resources::default() },
            ..Container::default()
        }];
        let none = Resources::default();
        let rows = [
            (none, (Some(10 + POD_OVERHEAD), None, 100)),
            (Resources { memory_limit: Some(64), ..none }, (Some(64), None, 100)),
            (Resources { cpu_limit: Some(500), ..none }, (Some(10 + POD_OVERHEAD), Some(500), 500)),
            (
                Resources { cpu_limit: Some(500), cpu_request: Some(200), ..none },
                (Some(10 + POD_OVERHEAD), Some(500), 200),
            ),
        ];
        for (own, expected) in rows {
            let limits = Limits::of_pod(&containers, own, None);
            assert_eq!((limits.memory, limits.cpu, limits.cpu_share), expected, "{own:?}");
        }
    }

    #[test]
    fn protected_memory_follows_request_and_limit() {
        const MIB: u64 = 1 << 20;
        let capacity = 1000 * MIB;
        // Request, limit; memory.min, memory.high (to be cut to whole pages).
        let rows = [
            (None, None, None, None),
            (Some(100), Some(200), Some(100), Some(190)),
            (Some(100), None, Some(100), Some(910)),
            (Some(100), Some(100), Some(100), None),
            (None, Some(100), Some(100), None),
        ];
        for (request, limit, min, high) in rows {
            let bytes = |mib: Option<u64>| mib.map(|mib| mib * MIB);
            let resources = Resources {
                memory_request: bytes(request),
                memory_limit: bytes(limit),
                ..Resources::default()
            };
            let limits = Limits::of(&resources, OomScope::Container, None).protecting(&resources, capacity);
            assert_eq!((limits.memory_min, limits.memory_high), (bytes(min), bytes(high)), "{resources:?}");
        }
        let odd = Resources { memory_request: Some(1), memory_limit: Some(100_001), ..Resources::default() };
        let limits = Limits::of(&odd, OomScope::Container, None).protecting(&odd, capacity);
        assert_eq!(limits.memory_high, Some(90_001 / 4096 * 4096));
        assert!(limits.files().contains(&("memory.min", "1".to_owned())), "{:?}", limits.files());
    }

    #[test]
    fn memory_events_are_read_by_name() {
        let text = "low 0\nhigh 2\nmax 31\noom 4\noom_kill 3\noom_group_kill 1\n";
        assert_eq!(parse_memory_events(text), MemoryEvents { oom: 4, oom_kill: 3 });
        assert_eq!(parse_memory_events(""), MemoryEvents::default());
    }

    #[test]
    fn pressure_is_that_of_the_last_ten_seconds() {
        let rows = [
            ("some avg10=1.50 avg60=0.00 avg300=0.00 total=12\nfull avg10=9.00 total=3\n", Some(150)),
            ("some avg10=100.00 avg60=0.00\n", Some(10_000)),
            ("full avg10=9.00 total=3\n", None),
            ("", None),
        ];
        for (text, expected) in rows {
            assert_eq!(parse_pressure(text), expected, "{text:?}");
        }
    }

    #[test]
    fn nested_figures_are_read_by_both_names() {
        let map = |pairs: &[(&str, u64)]| pairs.iter().map(|(key, n)| ((*key).to_owned(), *n)).collect();
        let text = "some avg10=1.50 avg60=0.00 total=12\nfull avg10=0.00 total=3\n\n8:0 \n";
        let expected = [("some", &[("total", 12)][..]), ("full", &[("total", 3)]), ("8:0", &[])];
        let expected = expected.map(|(name, pairs)| (name.to_owned(), map(pairs)));
        assert_eq!(parse_nested(text), BTreeMap::from(expected));
    }

    #[test]
    fn a_quota_is_read_as_it_was_written() {
        assert_eq!(parse_quota("max 100000\n"), None);
        assert_eq!(parse_quota("50000 100000\n"), Some(Quota { microseconds: 50_000, period: 100_000 }));
    }
}
