//! The kubelet's Summary API: what the box, each pod and each container use, read from their cgroups when it is asked for.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use serde_json::{Map, Value, json};

use crate::{
    cgroup::Cgroup,
    picture::{Picture, PodPicture},
    pod::{
        Stamp,
        status::{ContainerState, ContainerStatus},
    },
};

/// A shorter time tells nothing of how busy something is: the rate before is said once more.
const LEAST: Duration = Duration::from_secs(1);
const USEC: u64 = 1000;

/// What was read of each cgroup's cpu time when it was last asked for: a rate takes two looks.
#[derive(Clone, Debug, Default)]
pub(crate) struct Readings(Arc<Mutex<BTreeMap<PathBuf, Reading>>>);

#[derive(Clone, Copy, Debug)]
struct Reading {
    at: Stamp,
    used: u64,
    rate: Option<Rate>,
}

/// How busy something was between two looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Rate {
    /// Nanoseconds of cpu a second.
    cpu: u64,
    window: Duration,
}

/// What a container or the box used of late, as `metrics.k8s.io` has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Use {
    /// Nanoseconds of cpu a second.
    pub(crate) cpu: u64,
    pub(crate) window: Duration,
    /// The working set in bytes.
    pub(crate) memory: u64,
}

/// Uses, by name.
pub(crate) type Named = Vec<(String, Use)>;

/// The uses of one moment. What was not looked at twice yet is not in it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Used {
    pub(crate) node: Option<Use>,
    /// Each with its containers, by name.
    pub(crate) pods: Vec<(Arc<PodPicture>, Named)>,
}

/// When it is asked: for the rates, and as the answer's date.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moment {
    pub(crate) now: Stamp,
    pub(crate) date: jiff::Timestamp,
}

/// `root` is the cgroup of the whole box, below `pods` lie those of the pods. What cannot be read is left out, as in
/// Kubernetes: a container may go while it is looked at.
pub(crate) fn summary(
    picture: &Picture,
    (root, pods): (&Path, &Path),
    moment: Moment,
    readings: &Readings,
) -> Value {
    let look = Look { picture, moment, readings };
    let (used, all) = box_memory();
    let root = Cgroup::at(root);
    let node = [
        ("nodeName", Some(json!(picture.node))),
        ("cpu", look.cpu(&root)),
        ("memory", look.memory(&root, Some(used), Some(all))),
    ];
    let seen = picture.pods.values().filter_map(|pod| Some(look.pod(pod, &pod_cgroup(pods, pod)?)));
    let seen: Vec<Value> = seen.collect();
    readings.forget(moment.now);
    json!({ "node": known(node), "pods": seen })
}

/// What the box and the containers of each pod use. A pod counts once each of its running containers was looked at twice.
pub(crate) fn used(
    picture: &Picture,
    (root, pods): (&Path, &Path),
    moment: Moment,
    readings: &Readings,
) -> Used {
    let look = Look { picture, moment, readings };
    let of_pod = |pod: &Arc<PodPicture>| {
        let cgroup = pod_cgroup(pods, pod)?;
        let of_container = |(status, cgroup): (&ContainerStatus, Cgroup)| {
            let memory = cgroup.number("memory.current").ok().flatten();
            Some((status.name.clone(), look.used(&cgroup, memory)?))
        };
        let all: Option<Vec<_>> = running(pod, &cgroup).map(of_container).collect();
        Some((Arc::clone(pod), all.filter(|all| !all.is_empty())?))
    };
    let node = look.used(&Cgroup::at(root), Some(box_memory().0));
    Used { node, pods: picture.pods.values().filter_map(of_pod).collect() }
}

/// Bytes of memory of the box: used, and all.
fn box_memory() -> (u64, u64) {
    let memory = rustix::system::sysinfo();
    let unit = u64::from(memory.mem_unit);
    (memory.totalram.saturating_sub(memory.freeram) * unit, memory.totalram * unit)
}

/// The containers of a pod that run, each with its cgroup.
fn running<'a>(pod: &'a PodPicture, cgroup: &Cgroup) -> impl Iterator<Item = (&'a ContainerStatus, Cgroup)> {
    let path = cgroup.path().to_owned();
    pod.status.containers.iter().filter_map(move |status| {
        let ContainerState::Running(live) = &status.state else { return None };
        Some((status, Cgroup::at(path.join(format!("{}-{}", live.id.container, live.id.attempt)))))
    })
}

/// A pod's cgroup, whether or not those of its class lie together.
pub(super) fn pod_cgroup(pods: &Path, pod: &PodPicture) -> Option<Cgroup> {
    let name = format!("pod{}", pod.spec.uid);
    let classes = Cgroup::at(pods).children().unwrap_or_default();
    let parents = std::iter::once(pods).chain(classes.iter().map(Cgroup::path));
    parents.map(|parent| Cgroup::at(parent.join(&name))).find(Cgroup::exists)
}

struct Look<'a> {
    picture: &'a Picture,
    moment: Moment,
    readings: &'a Readings,
}

impl Look<'_> {
    fn pod(&self, pod: &PodPicture, cgroup: &Cgroup) -> Value {
        let container = |(status, cgroup): (&ContainerStatus, Cgroup)| {
            let mut entry = self.usage(&cgroup);
            entry.insert("name".to_owned(), json!(status.name));
            if let ContainerState::Running(live) = &status.state {
                entry.extend(self.date(live.started).map(|date| ("startTime".to_owned(), json!(date))));
            }
            Value::Object(entry)
        };
        let mut entry = self.usage(cgroup);
        let name = &pod.spec.name;
        let of = json!({"name": name.name, "namespace": name.namespace, "uid": pod.spec.uid.0});
        let containers: Vec<Value> = running(pod, cgroup).map(container).collect();
        entry.insert("podRef".to_owned(), of);
        entry.insert("containers".to_owned(), json!(containers));
        let started = pod.status.start.and_then(|start| self.date(start));
        entry.extend(started.map(|date| ("startTime".to_owned(), json!(date))));
        if let Some(count) = cgroup.number("pids.current").ok().flatten() {
            entry.insert("process_stats".to_owned(), json!({"process_count": count}));
        }
        Value::Object(entry)
    }

    fn date(&self, stamp: Stamp) -> Option<String> {
        let nanoseconds = self.picture.wall(&self.picture.boot, stamp)?;
        jiff::Timestamp::from_nanosecond(nanoseconds.into()).ok().map(|date| date.to_string())
    }

    fn usage(&self, cgroup: &Cgroup) -> Map<String, Value> {
        let number = |file: &str| cgroup.number(file).ok().flatten();
        let memory = self.memory(cgroup, number("memory.current"), number("memory.max"));
        known([("cpu", self.cpu(cgroup)), ("memory", memory)])
    }

    fn used(&self, cgroup: &Cgroup, memory: Option<u64>) -> Option<Use> {
        let (_, rate) = self.rate(cgroup)?;
        let stat = cgroup.keyed("memory.stat").ok()?;
        let (Rate { cpu, window }, memory) = (rate?, working_set(memory?, &stat));
        Some(Use { cpu, window, memory })
    }

    /// Nanoseconds of cpu since it was made, and how busy it was of late.
    fn rate(&self, cgroup: &Cgroup) -> Option<(u64, Option<Rate>)> {
        let used = cgroup.keyed("cpu.stat").ok()?.get("usage_usec")? * USEC;
        Some((used, self.readings.rate(cgroup.path(), self.moment.now, used)))
    }

    fn cpu(&self, cgroup: &Cgroup) -> Option<Value> {
        let (used, rate) = self.rate(cgroup)?;
        let fields = [
            ("time", Some(json!(self.moment.date.to_string()))),
            ("usageCoreNanoSeconds", Some(json!(used))),
            ("usageNanoCores", rate.map(|rate| json!(rate.cpu))),
        ];
        Some(Value::Object(known(fields)))
    }

    fn memory(&self, cgroup: &Cgroup, used: Option<u64>, limit: Option<u64>) -> Option<Value> {
        let used = used?;
        let stat = cgroup.keyed("memory.stat").ok()?;
        let count = |name: &str| stat.get(name).map(|count| json!(count));
        let working = working_set(used, &stat);
        let fields = [
            ("time", Some(json!(self.moment.date.to_string()))),
            ("usageBytes", Some(json!(used))),
            ("workingSetBytes", Some(json!(working))),
            ("availableBytes", limit.map(|limit| json!(limit.saturating_sub(working)))),
            ("rssBytes", count("anon")),
            ("pageFaults", count("pgfault")),
            ("majorPageFaults", count("pgmajfault")),
        ];
        Some(Value::Object(known(fields)))
    }
}

/// What is used without files that are not in use, as cAdvisor counts.
fn working_set(used: u64, stat: &BTreeMap<String, u64>) -> u64 {
    used.saturating_sub(stat.get("inactive_file").copied().unwrap_or_default())
}

fn known<const N: usize>(fields: [(&str, Option<Value>); N]) -> Map<String, Value> {
    fields.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect()
}

impl Readings {
    /// How busy it was since it was last looked at; nothing at the first look.
    fn rate(&self, cgroup: &Path, now: Stamp, used: u64) -> Option<Rate> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let before = all.get(cgroup).copied();
        if let Some(before) = before.filter(|before| now.since(before.at) < LEAST) {
            return before.rate;
        }
        let rate = before.map(|before| {
            let window = now.since(before.at);
            let more = u128::from(used.saturating_sub(before.used)) * Duration::from_secs(1).as_nanos();
            Rate { cpu: u64::try_from(more / window.as_nanos()).unwrap_or(u64::MAX), window }
        });
        all.insert(cgroup.to_owned(), Reading { at: now, used, rate });
        rate
    }

    /// Those of cgroups that are no more: at this look they were not read again.
    fn forget(&self, now: Stamp) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|_, reading| now.since(reading.at) < LEAST);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_takes_two_looks_a_second_apart() {
        let readings = Readings::default();
        let second = |n: u64| Stamp(n * 1_000_000_000);
        // When, cpu time so far, and the rate.
        let rows = [
            (second(1), 5_000, None),
            (second(3), 1_000_005_000, Some(500_000_000)),
            (Stamp(second(3).0 + 1), 2_000_000_000, Some(500_000_000)),
            (second(4), 1_250_005_000, Some(250_000_000)),
            (second(5), 1_250_005_000, Some(0)),
        ];
        for (now, used, rate) in rows {
            let found = readings.rate(Path::new("a"), now, used);
            assert_eq!(found.map(|rate| rate.cpu), rate, "{now:?}");
        }
        assert_eq!(readings.rate(Path::new("b"), second(5), 7), None);
        readings.forget(second(5));
        let idle = Rate { cpu: 0, window: Duration::from_secs(1) };
        assert_eq!(readings.rate(Path::new("a"), second(6), 1_250_005_000), Some(idle));
        readings.forget(second(6));
        assert_eq!(readings.rate(Path::new("b"), second(7), 8), None, "it was not looked at in between");
    }
}
