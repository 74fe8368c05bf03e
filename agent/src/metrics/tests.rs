//! The page of a small picture, letter by letter, and what holds for every page.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::Ipv4Addr,
    sync::Arc,
    time::Duration,
};

use serde_json::json;

use super::*;
use crate::{
    picture::{
        Health, ImageDisk, PodPicture, Total,
        counted::{Answered, Delays, Probings},
        meter::Meter,
        stages::{Stage, Stages},
    },
    pod::{
        AttemptId, CgroupId, Container, Pid, PodName, PodUid, Role, Spec, Stamp,
        counts::{Counts, Ran, Tally},
        network::Address,
        probe::ProbeKind,
        status::{
            BootId, Condition, ContainerState, ContainerStatus, Ended, Live, Phase, PodStatus, Readiness,
            Truth,
        },
        storage::{ClaimUse, Filesystem},
        verdict::{Cause, LimitOwner, Source, Verdict, Victim},
    },
};

/// 2026-01-02 03:04:05 in nanoseconds, and a bit.
const BOOTED: i64 = 1_767_323_045_900_000_000;

fn boot() -> BootId {
    BootId("boot".to_owned())
}

fn id(container: &str, attempt: u32) -> AttemptId {
    AttemptId { uid: PodUid("uid-1".to_owned()), container: container.to_owned(), attempt }
}

fn ended(container: &str, attempt: u32, cause: Cause, code: Option<i32>, signal: Option<i32>) -> Ended {
    let verdict = Verdict {
        code,
        signal,
        core: false,
        cause,
        asked: None,
        cpu_ns: None,
        peak_memory: None,
        finished: Stamp(20),
        source: Source::Kernel,
    };
    Ended {
        id: id(container, attempt),
        boot: boot(),
        started: Some(Stamp(10)),
        verdict,
        said: None,
        flight: None,
    }
}

fn oom(container: &str, attempt: u32) -> Ended {
    let cause = Cause::Oom { limit: LimitOwner::Container { bytes: 1 }, victim: Victim::Main };
    ended(container, attempt, cause, Some(137), Some(9))
}

fn status(name: &str, state: ContainerState, last: Option<Ended>) -> ContainerStatus {
    let restarts = last.as_ref().map_or(0, |last| last.id.attempt + 1);
    let ready =
        if matches!(state, ContainerState::Running(_)) { Readiness::Ready } else { Readiness::NotReady };
    ContainerStatus {
        name: name.to_owned(),
        role: Role::Main,
        image: format!("docker.io/library/{name}:1"),
        image_id: Some("sha256:1".to_owned()),
        state,
        last,
        restarts,
        started: ready == Readiness::Ready,
        ready,
    }
}

fn container(status: &ContainerStatus) -> Container {
    let (name, image) = (status.name.clone(), format!("{}:1", status.name));
    Container { name, image, role: status.role, ..Container::default() }
}

fn pod(
    name: PodName,
    phase: Phase,
    metadata: serde_json::Value,
    containers: Vec<ContainerStatus>,
) -> PodPicture {
    let holds = if phase == Phase::Running { Truth::True } else { Truth::False };
    let containers_wanted = containers.iter().map(container).collect();
    let spec =
        Spec { name, uid: PodUid("uid-1".to_owned()), containers: containers_wanted, ..Spec::default() };
    let status = PodStatus {
        phase,
        reason: None,
        message: None,
        conditions: vec![Condition { kind: "Ready", holds, reason: None, message: None }],
        start: Some(Stamp(1_000_000_000)),
        containers,
    };
    let object =
        json!({ "metadata": metadata, "spec": { "priorityClassName": "high", "hostNetwork": false } });
    PodPicture {
        spec: Arc::new(spec),
        object: Arc::new(object),
        address: Some(Address { v4: Ipv4Addr::new(10, 182, 0, 7), v6: "fd00::7".parse().ok() }),
        status,
        turned: BTreeMap::new(),
        tallies: Vec::new(),
        deleting: None,
        probings: Arc::default(),
    }
}

/// What the kernel counts in the cgroup of the one attempt that runs.
fn counts(cgroup: CgroupId) -> Option<Counts> {
    let counts = Counts { main_exits: 0, other_exits: 40, oom_kills: 1, lost_records: 0 };
    (cgroup == CgroupId(8)).then_some(counts)
}

fn name(namespace: &str, name: &str) -> PodName {
    PodName { namespace: namespace.to_owned(), name: name.to_owned() }
}

fn total(pod: PodName, container: &str, (reason, signal, cause): (&str, i32, &str), count: u64) -> Total {
    let (reason, cause) = (reason.to_owned(), cause.to_owned());
    let oom = |word: &str| if cause == "oom" { word.to_owned() } else { String::new() };
    let (limit, victim) = (oom("container"), oom("main"));
    Total { pod, container: container.to_owned(), reason, signal, cause, limit, victim, count }
}

/// One probe that was answered well three times and badly twice, and one that has not been answered.
fn probings() -> Arc<Probings> {
    let probings = Probings::default();
    probings.begin("side", ProbeKind::Startup);
    for milliseconds in [5, 6, 11_000] {
        let took = Duration::from_millis(milliseconds);
        probings.count("app", ProbeKind::Liveness, Answered::Well(took));
    }
    for answered in [Answered::Badly, Answered::Badly, Answered::NotAtAll] {
        probings.count("app", ProbeKind::Liveness, answered);
    }
    Arc::new(probings)
}

/// Two containers that were started, one of them soon ready.
fn delays() -> Arc<Delays> {
    let delays = Delays::default();
    for milliseconds in [2, 2000] {
        delays.add(Duration::from_millis(milliseconds));
    }
    Arc::new(delays)
}

fn stages() -> Arc<Stages> {
    let stages = Stages::default();
    for (stage, milliseconds) in [
        (Stage::Create, 90),
        (Stage::Create, 110),
        (Stage::Record, 10),
        (Stage::Exec, 20),
        (Stage::Ready, 301_000),
        (Stage::Stop, 30_250),
    ] {
        stages.took(stage, Duration::from_millis(milliseconds));
    }
    Arc::new(stages)
}

/// One whose runs are counted, and one of a kernel that counts neither.
fn programs() -> Vec<Ran> {
    let runs = Some((12, Duration::from_micros(1500)));
    vec![
        Ran { program: "carob_exit", runs, misses: Some(1) },
        Ran { program: "carob_signal", runs: None, misses: None },
    ]
}

/// One pod of three containers (running again, waiting after an end nobody saw, done), one that has not begun, and
/// totals of a third.
pub(super) fn picture() -> Picture {
    let live = Live { id: id("app", 1), pid: Pid(7), cgroup: CgroupId(8), started: Stamp(30) };
    let unseen = ended("side", 0, Cause::Unknown { why: "no record".to_owned() }, None, None);
    let done = ended("once", 0, Cause::Completed, Some(0), None);
    let back_off = ContainerState::Waiting { reason: "CrashLoopBackOff", message: None };
    let mut web = pod(
        name("default", "web"),
        Phase::Running,
        json!({
            "creationTimestamp": "2026-01-02T03:04:05Z",
            "ownerReferences": [{ "kind": "Node", "name": "box", "controller": true }],
        }),
        vec![
            status("app", ContainerState::Running(live), Some(oom("app", 0))),
            status("side", back_off, Some(unseen)),
            status("once", ContainerState::Terminated(done), None),
        ],
    );
    web.probings = probings();
    let written = Counts { main_exits: 1, other_exits: 2, oom_kills: 1, lost_records: 3 };
    web.tallies = [Some(CgroupId(8)), Some(CgroupId(9)), None].map(|cgroup| Tally { written, cgroup }).into();
    let fresh = ContainerState::Waiting { reason: "ContainerCreating", message: None };
    let new = pod(name("shop", "new"), Phase::Pending, json!({}), vec![status("app", fresh, None)]);
    let images = ImageDisk { capacity: 8 << 30, available: 1 << 30, pressure: true, collected: 5 };
    let web_name = name("default", "web");
    let disk = Filesystem { bytes: 4 << 30, free_bytes: 1 << 30, inodes: 1000, free_inodes: 990 };
    let claim =
        ClaimUse { namespace: "shop".to_owned(), claim: "till".to_owned(), bytes: 8192, inodes: 2, disk };
    Picture {
        address: Ipv4Addr::new(192, 0, 2, 1).into(),
        node: "a \"box\\\"\nof mine".to_owned(),
        capacity: crate::picture::Capacity { cpu: 4000, memory: 8 << 30 },
        machine: Arc::default(),
        boot: boot(),
        offsets: BTreeMap::from([(boot(), BOOTED)]),
        pods: [web, new].map(|pod| (pod.spec.name.clone(), Arc::new(pod))).into(),
        totals: vec![
            total(web_name.clone(), "app", ("OOMKilled", 9, "oom"), 1),
            total(web_name, "once", ("Completed", 0, "completed"), 1),
            total(name("shop", "ending"), "app", ("Error", 15, "agent"), 3),
        ],
        health: Health { lost_records: 2, mismatches: 3, dropped_log_bytes: 4, images, ..Health::default() },
        claims: [claim].into(),
        stages: stages(),
        delays: delays(),
        meter: Meter::new(programs, counts),
        refusals: Arc::default(),
    }
}

#[test]
fn the_pages_are_as_they_were_agreed() {
    let check = |written: &dyn Fn(Format) -> String, format, golden: &str| {
        let golden = golden.replace("VERSION", env!("CARGO_PKG_VERSION"));
        let page = written(format);
        let differs = page.lines().zip(golden.lines()).find(|(is, should)| is != should);
        assert_eq!(differs, None, "{format:?}");
        assert_eq!(page, golden, "{format:?}");
    };
    let whole = |format| page(&picture(), format);
    let probes = |format| probes_page(&picture(), format);
    check(&whole, Format::Text, include_str!("golden/page.txt"));
    check(&whole, Format::OpenMetrics, include_str!("golden/page.openmetrics"));
    check(&probes, Format::Text, include_str!("golden/probes.txt"));
    check(&probes, Format::OpenMetrics, include_str!("golden/probes.openmetrics"));
}

#[test]
fn a_pods_probes_go_with_the_pod() {
    let mut picture = picture();
    picture.pods.retain(|name, _| name.name != "web");
    assert_eq!(probes_page(&picture, Format::Text), "");
}

#[test]
fn every_family_says_what_it_is_before_its_series_and_no_series_comes_twice() {
    let check = |page: &str, suffixes: &[&str], least: usize| {
        let (mut families, mut seen, mut current) = (BTreeSet::new(), BTreeSet::new(), None);
        for line in page.lines().filter(|line| *line != "# EOF") {
            if let Some(help) = line.strip_prefix("# HELP ") {
                let (name, text) = help.split_once(' ').unwrap();
                assert!(families.insert(name) && !text.is_empty(), "{line}");
                current = Some((name, false));
            } else if let Some(kind) = line.strip_prefix("# TYPE ") {
                let (name, _) = kind.split_once(' ').unwrap();
                assert_eq!(current, Some((name, false)), "{line}");
                current = Some((name, true));
            } else {
                let (series, value) = line.rsplit_once(' ').unwrap();
                let name = series.split('{').next().unwrap();
                let family = suffixes.iter().find_map(|suffix| name.strip_suffix(suffix)).unwrap_or(name);
                assert_eq!(current, Some((family, true)), "{line}");
                assert!(value.parse::<f64>().is_ok() && seen.insert(series), "{line}");
            }
        }
        assert!(families.len() >= least && seen.len() > families.len(), "{page}");
    };
    let (of_spread, of_kind) = (["_bucket", "_sum", "_count"], ["_total", "_info"]);
    let all = [&of_spread[..], &of_kind].concat();
    check(&page(&picture(), Format::Text), &of_spread, 20);
    check(&page(&picture(), Format::OpenMetrics), &all, 20);
    check(&probes_page(&picture(), Format::Text), &of_spread, 2);
    check(&probes_page(&picture(), Format::OpenMetrics), &all, 2);
}

#[test]
fn without_pods_the_agent_still_speaks_for_itself() {
    let mut picture = picture();
    picture.pods.clear();
    picture.totals.clear();
    picture.health.deaf = Some("no BTF".to_owned());
    let page = page(&picture, Format::Text);
    assert!(
        page.contains("carob_kernel_programs 0\n")
            && page.contains("kube_node_status_condition{")
            && !page.contains("kube_pod_status"),
        "{page}"
    );
}

#[test]
fn a_time_that_is_not_known_is_left_out() {
    let mut picture = picture();
    picture.offsets.clear();
    let page = page(&picture, Format::Text);
    assert!(!page.contains("kube_pod_start_time") && page.contains("kube_pod_created"), "{page}");
}

#[test]
fn openmetrics_is_written_only_for_who_asks_for_it() {
    let check = |accept, expected| assert_eq!(Format::of_accept(accept), expected, "{accept:?}");
    check(None, Format::Text);
    check(Some(""), Format::Text);
    check(Some("*/*"), Format::Text);
    check(Some("text/html,*/*;q=0.8"), Format::Text);
    check(Some("application/openmetrics-text"), Format::OpenMetrics);
    check(Some("Application/OpenMetrics-Text; Version=\"1.0.0\"; charset=utf-8"), Format::OpenMetrics);
    check(Some("application/openmetrics-text;version=0.0.1"), Format::Text);
    check(Some("application/openmetrics-text;q=0"), Format::Text);
    check(Some("application/openmetrics-text;q=nonsense"), Format::Text);
    check(Some("application/openmetrics-text;q=0.3,text/plain;q=0.5"), Format::Text);
    check(Some("text/plain,application/openmetrics-text"), Format::OpenMetrics);
    // Prometheus 2 and 3.
    check(
        Some(
            "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,\
             text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
        ),
        Format::OpenMetrics,
    );
    check(
        Some(
            "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,\
             application/openmetrics-text;version=0.0.1;q=0.4,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.3,\
             text/plain;version=0.0.4;q=0.2,*/*;q=0.1",
        ),
        Format::OpenMetrics,
    );
}
