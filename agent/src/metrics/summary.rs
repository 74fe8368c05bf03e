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
    /// Nanoseconds of cpu a second, up to this reading.
    rate: Option<u64>,
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
    let box_memory = rustix::system::sysinfo();
    let unit = u64::from(box_memory.mem_unit);
    let used = box_memory.totalram.saturating_sub(box_memory.freeram) * unit;
    let root = Cgroup::at(root);
    let node = [
        ("nodeName", Some(json!(picture.node))),
        ("cpu", look.cpu(&root)),
        ("memory", look.memory(&root, Some(used), Some(box_memory.totalram * unit))),
    ];
    let seen = picture.pods.values().filter_map(|pod| Some(look.pod(pod, &pod_cgroup(pods, pod)?)));
    let seen: Vec<Value> = seen.collect();
    readings.forget(moment.now);
    json!({ "node": known(node), "pods": seen })
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
        let container = |status: &ContainerStatus| {
            let ContainerState::Running(live) = &status.state else { return None };
            let cgroup = Cgroup::at(cgroup.path().join(format!("{}-{}", live.id.container, live.id.attempt)));
            let mut entry = self.usage(&cgroup);
            entry.insert("name".to_owned(), json!(status.name));
            entry.extend(self.date(live.started).map(|date| ("startTime".to_owned(), json!(date))));
            Some(Value::Object(entry))
        };
        let mut entry = self.usage(cgroup);
        let name = &pod.spec.name;
        let of = json!({"name": name.name, "namespace": name.namespace, "uid": pod.spec.uid.0});
        let containers: Vec<Value> = pod.status.containers.iter().filter_map(container).collect();
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

    fn cpu(&self, cgroup: &Cgroup) -> Option<Value> {
        let used = cgroup.keyed("cpu.stat").ok()?.get("usage_usec")? * USEC;
        let rate = self.readings.rate(cgroup.path(), self.moment.now, used);
        let fields = [
            ("time", Some(json!(self.moment.date.to_string()))),
            ("usageCoreNanoSeconds", Some(json!(used))),
            ("usageNanoCores", rate.map(|rate| json!(rate))),
        ];
        Some(Value::Object(known(fields)))
    }

    /// The working set is what is used without files that are not in use, as cAdvisor counts.
    fn memory(&self, cgroup: &Cgroup, used: Option<u64>, limit: Option<u64>) -> Option<Value> {
        let used = used?;
        let stat = cgroup.keyed("memory.stat").ok()?;
        let count = |name: &str| stat.get(name).map(|count| json!(count));
        let working = used.saturating_sub(stat.get("inactive_file").copied().unwrap_or_default());
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

fn known<const N: usize>(fields: [(&str, Option<Value>); N]) -> Map<String, Value> {
    fields.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect()
}

impl Readings {
    /// How busy it was since it was last looked at; nothing at the first look.
    fn rate(&self, cgroup: &Path, now: Stamp, used: u64) -> Option<u64> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let before = all.get(cgroup).copied();
        if let Some(before) = before.filter(|before| now.since(before.at) < LEAST) {
            return before.rate;
        }
        let rate = before.map(|before| {
            let passed = now.since(before.at).as_nanos();
            let more = u128::from(used.saturating_sub(before.used)) * Duration::from_secs(1).as_nanos();
            u64::try_from(more / passed).unwrap_or(u64::MAX)
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
            assert_eq!(readings.rate(Path::new("a"), now, used), rate, "{now:?}");
        }
        assert_eq!(readings.rate(Path::new("b"), second(5), 7), None);
        readings.forget(second(5));
        assert_eq!(readings.rate(Path::new("a"), second(6), 1_250_005_000), Some(0));
        readings.forget(second(6));
        assert_eq!(readings.rate(Path::new("b"), second(7), 8), None, "it was not looked at in between");
    }
}
