//! What pods and containers use, read from their cgroups when it is asked for, under the names and labels of cAdvisor.
//! <https://github.com/google/cadvisor/blob/master/docs/storage/prometheus.md>

mod cable;
mod devices;
#[cfg(test)]
mod tests;

#[cfg(test)]
pub(super) use self::tests::full_page;

use std::{collections::BTreeMap, path::Path};

use super::{
    family::{Family, Kind, Label, Series},
    summary::pod_cgroup,
};
use crate::{
    cgroup::{Cgroup, Quota},
    picture::{Picture, PodPicture},
    pod::status::{ContainerState, ContainerStatus, Live},
};

const USEC: f64 = 1e6;
const PRESSURES: [&str; 3] = ["cpu.pressure", "memory.pressure", "io.pressure"];

/// Where the figures lie.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Places<'a> {
    /// The cgroup of the whole box: ids are paths below it.
    pub(crate) root: &'a Path,
    /// The cgroup of all pods.
    pub(crate) pods: &'a Path,
    /// The box's network devices, `/sys/class/net`.
    pub(crate) links: &'a Path,
    /// Its disks by their numbers, `/sys/dev/block`.
    pub(crate) blocks: &'a Path,
}

/// What cannot be read is left out: a container may go while it is looked at.
pub(super) fn families(picture: &Picture, places: Places<'_>) -> Vec<Family> {
    let figures: Vec<Figures> = picture.pods.values().flat_map(|pod| of_pod(picture, pod, places)).collect();
    let mut families: Vec<Family> = ROWS.iter().map(|row| row.family(&figures)).collect();
    families.extend(devices::families(&figures, places.blocks));
    families.extend(cable::families(picture, places.links));
    families
}

/// A pod's cgroup, then those of its containers that run.
fn of_pod(picture: &Picture, pod: &PodPicture, places: Places<'_>) -> Vec<Figures> {
    let Some(cgroup) = pod_cgroup(places.pods, pod) else { return Vec::new() };
    let started = |stamp| Some(picture.wall(&picture.boot, stamp)?.div_euclid(1_000_000_000) as f64);
    let own = Part { container: "", image: "", name: String::new() };
    let mut all = vec![Figures {
        started: pod.status.start.and_then(started),
        ..Figures::read(&cgroup, labels(pod, &own, &cgroup, places.root))
    }];
    all.extend(running(pod).map(|(status, live)| {
        let cgroup = Cgroup::at(cgroup.path().join(format!("{}-{}", live.id.container, live.id.attempt)));
        let part = Part { container: &status.name, image: &status.image, name: live.id.to_string() };
        Figures {
            started: started(live.started),
            ..Figures::read(&cgroup, labels(pod, &part, &cgroup, places.root))
        }
    }));
    all
}

fn running(pod: &PodPicture) -> impl Iterator<Item = (&ContainerStatus, &Live)> {
    pod.status.containers.iter().filter_map(|status| match &status.state {
        ContainerState::Running(live) => Some((status, live)),
        _ => None,
    })
}

/// Empty for a pod itself, which is how queries leave it out of a sum over containers.
struct Part<'a> {
    container: &'a str,
    image: &'a str,
    name: String,
}

fn labels(pod: &PodPicture, part: &Part<'_>, cgroup: &Cgroup, root: &Path) -> Vec<Label> {
    let below = cgroup.path().strip_prefix(root).unwrap_or(cgroup.path());
    vec![
        ("namespace", pod.spec.name.namespace.clone()),
        ("pod", pod.spec.name.name.clone()),
        ("container", part.container.to_owned()),
        ("image", part.image.to_owned()),
        ("name", part.name.clone()),
        ("id", format!("/{}", below.display())),
    ]
}

/// What one cgroup's files say; each is read once.
#[derive(Debug)]
struct Figures {
    labels: Vec<Label>,
    started: Option<f64>,
    cpu: BTreeMap<String, u64>,
    quota: Option<Quota>,
    memory: BTreeMap<String, u64>,
    memory_used: Option<u64>,
    memory_peak: Option<u64>,
    /// `Some(None)`: there is none.
    memory_limit: Option<Option<u64>>,
    tasks: Option<u64>,
    processes: Option<usize>,
    /// Processes of it that the OOM killer took.
    oom_kills: Option<u64>,
    /// By what it had to wait for; then `some` and `full`. Nothing where the kernel does not measure it.
    pressure: BTreeMap<&'static str, Nested>,
    /// By the device's number.
    devices: Nested,
}

/// What a cgroup's file of nested figures says.
type Nested = BTreeMap<String, BTreeMap<String, u64>>;

impl Figures {
    fn read(cgroup: &Cgroup, labels: Vec<Label>) -> Self {
        let number = |file| cgroup.number(file).ok().flatten();
        Self {
            labels,
            started: None,
            cpu: cgroup.keyed("cpu.stat").unwrap_or_default(),
            quota: cgroup.quota().ok().flatten(),
            memory: cgroup.keyed("memory.stat").unwrap_or_default(),
            memory_used: number("memory.current"),
            memory_peak: number("memory.peak"),
            memory_limit: cgroup.number("memory.max").ok(),
            tasks: number("pids.current"),
            processes: cgroup.processes().ok(),
            oom_kills: cgroup.keyed("memory.events").ok().and_then(|events| events.get("oom_kill").copied()),
            pressure: PRESSURES.iter().filter_map(|file| Some((*file, cgroup.nested(file).ok()?))).collect(),
            devices: cgroup.nested("io.stat").unwrap_or_default(),
        }
    }

    fn seconds(&self, key: &str) -> Option<f64> {
        Some(*self.cpu.get(key)? as f64 / USEC)
    }

    /// Without a quota nothing is throttled, and the kernel's zeros say nothing.
    fn throttling(&self, key: &str) -> Option<f64> {
        self.quota?;
        self.cpu.get(key).map(|count| *count as f64)
    }

    fn memory(&self, key: &str) -> Option<f64> {
        self.memory.get(key).map(|bytes| *bytes as f64)
    }

    /// Seconds in which some or all of its threads had to wait.
    fn pressure(&self, file: &str, whom: &str) -> Option<f64> {
        Some(*self.pressure.get(file)?.get(whom)?.get("total")? as f64 / USEC)
    }

    /// What is used without files that are not in use.
    fn working_set(&self) -> Option<f64> {
        let idle = self.memory.get("inactive_file").copied().unwrap_or_default();
        Some(self.memory_used?.saturating_sub(idle) as f64)
    }
}

/// One family, and where its value comes from.
struct Row(Kind, &'static str, &'static str, fn(&Figures) -> Option<f64>);

const ROWS: &[Row] = &[
    Row(Kind::Counter, "container_cpu_usage_seconds", "CPU time used.", |of| of.seconds("usage_usec")),
    Row(Kind::Counter, "container_cpu_user_seconds", "CPU time used outside the kernel.", |of| {
        of.seconds("user_usec")
    }),
    Row(Kind::Counter, "container_cpu_system_seconds", "CPU time used in the kernel.", |of| {
        of.seconds("system_usec")
    }),
    Row(Kind::Counter, "container_cpu_cfs_periods", "Periods of its CPU quota in which it ran.", |of| {
        of.throttling("nr_periods")
    }),
    Row(Kind::Counter, "container_cpu_cfs_throttled_periods", "Periods in which its quota ran out.", |of| {
        of.throttling("nr_throttled")
    }),
    Row(Kind::Counter, "container_cpu_cfs_throttled_seconds", "How long its threads were held up.", |of| {
        Some(of.throttling("throttled_usec")? / USEC)
    }),
    Row(Kind::Gauge, "container_memory_usage_bytes", "Memory charged, with files.", |of| {
        of.memory_used.map(|bytes| bytes as f64)
    }),
    Row(Kind::Gauge, "container_memory_max_usage_bytes", "The most memory that was charged.", |of| {
        of.memory_peak.map(|bytes| bytes as f64)
    }),
    Row(
        Kind::Gauge,
        "container_memory_working_set_bytes",
        "Memory charged, without files that are not in use.",
        Figures::working_set,
    ),
    Row(Kind::Gauge, "container_memory_rss", "Bytes of memory that are no file's.", |of| of.memory("anon")),
    Row(Kind::Gauge, "container_memory_cache", "Bytes of files in memory.", |of| of.memory("file")),
    Row(
        Kind::Counter,
        "container_oom_events",
        "Processes that the OOM killer took; of a container those of this attempt, of a pod all.",
        |of| of.oom_kills.map(|count| count as f64),
    ),
    Row(
        Kind::Counter,
        "container_pressure_cpu_waiting_seconds",
        "Time in which a thread waited for a CPU.",
        |of| of.pressure("cpu.pressure", "some"),
    ),
    Row(
        Kind::Counter,
        "container_pressure_cpu_stalled_seconds",
        "Time in which all threads waited for a CPU.",
        |of| of.pressure("cpu.pressure", "full"),
    ),
    Row(
        Kind::Counter,
        "container_pressure_memory_waiting_seconds",
        "Time in which a thread waited for memory.",
        |of| of.pressure("memory.pressure", "some"),
    ),
    Row(
        Kind::Counter,
        "container_pressure_memory_stalled_seconds",
        "Time in which all threads waited for memory.",
        |of| of.pressure("memory.pressure", "full"),
    ),
    Row(
        Kind::Counter,
        "container_pressure_io_waiting_seconds",
        "Time in which a thread waited for a disk.",
        |of| of.pressure("io.pressure", "some"),
    ),
    Row(
        Kind::Counter,
        "container_pressure_io_stalled_seconds",
        "Time in which all threads waited for a disk.",
        |of| of.pressure("io.pressure", "full"),
    ),
    Row(Kind::Gauge, "container_processes", "Processes.", |of| of.processes.map(|count| count as f64)),
    Row(Kind::Gauge, "container_threads", "Threads.", |of| of.tasks.map(|count| count as f64)),
    Row(Kind::Gauge, "container_start_time_seconds", "When it was started, seconds since 1970.", |of| {
        of.started
    }),
    Row(Kind::Gauge, "container_spec_memory_limit_bytes", "Its memory limit; 0 is none.", |of| {
        of.memory_limit.map(|limit| limit.unwrap_or_default() as f64)
    }),
    Row(Kind::Gauge, "container_spec_cpu_quota", "Microseconds of CPU time in each period.", |of| {
        of.quota.map(|quota| quota.microseconds as f64)
    }),
    Row(Kind::Gauge, "container_spec_cpu_period", "Microseconds that a period of its quota lasts.", |of| {
        of.quota.map(|quota| quota.period as f64)
    }),
];

impl Row {
    fn family(&self, figures: &[Figures]) -> Family {
        let Self(kind, name, help, value) = *self;
        let one = |figures: &Figures| {
            let mut labels = figures.labels.clone();
            // The sum of all CPUs: cAdvisor also knows each one's.
            labels.extend((name == "container_cpu_usage_seconds").then(|| ("cpu", "total".to_owned())));
            Some(Series { labels, value: value(figures)?.into() })
        };
        Family { name, kind, help, series: figures.iter().filter_map(one).collect() }
    }
}
