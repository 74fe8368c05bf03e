//! What a cgroup may use, by what a container or a pod asks for, as the kubelet computes it. Pure.

use crate::pod::{Container, OomScope, Resources, Role};

/// The kernel charges what it keeps of a cgroup to the cgroup above. Without room for that a pod's limit would be
/// hit before that of its only container.
pub(super) const POD_OVERHEAD: u64 = 8 << 20;
/// How far between request and limit a container is slowed down (kubelet, `memoryThrottlingFactor` 0.9).
const THROTTLING_TENTHS: u64 = 9;
/// `cpu.max`'s period, as the kubelet writes it.
const PERIOD_US: u64 = 100_000;
/// The shortest quota the kubelet writes.
const MIN_QUOTA_US: u64 = 1_000;

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
    pub(super) fn files(&self) -> Vec<(&'static str, String)> {
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
