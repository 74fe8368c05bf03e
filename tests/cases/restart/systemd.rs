//! What systemd may do to the agent's unit: pods keep their processes and their limits through all of it.

use anyhow::{Context, Result, ensure};

use super::{await_agent, drop_in};
use crate::{
    pods::Pod,
    world::{UNIT, World},
};

const LIMITS: [&str; 7] = [
    "memory.max",
    "memory.swap.max",
    "memory.oom.group",
    "cpu.max",
    "cpu.weight",
    "pids.max",
    "cgroup.controllers",
];
const LIMITED: &str = r#"
apiVersion: v1
kind: Pod
metadata:
  name: limited
spec:
  terminationGracePeriodSeconds: 5
  containers:
    - name: one
      image: carob-work:1
      imagePullPolicy: Never
      command: ["/work", "sleep"]
      resources:
        requests: { cpu: 100m, memory: 16Mi }
        limits: { cpu: 500m, memory: 48Mi }
    - name: two
      image: carob-work:1
      imagePullPolicy: Never
      command: ["/work", "sleep"]
      resources: { limits: { memory: 32Mi } }
"#;

/// What is done, in words for a failure, and how.
type Deed = (&'static str, fn(&World) -> Result<()>);

const DEEDS: [Deed; 6] = [
    ("restart", World::restart),
    ("stop and start", |world| world.stop().and_then(|()| world.start())),
    ("daemon-reload", |world| systemctl(world, "daemon-reload")),
    ("daemon-reexec", |world| systemctl(world, "daemon-reexec")),
    ("a changed unit", |world| {
        let settings = "[Service]\nMemoryMax=300M\nCPUWeight=50\nEnvironment=CAROB_LOG=debug\n";
        drop_in(world, "changed.conf", settings).and_then(|()| world.restart())
    }),
    ("daemon-reload after that", |world| systemctl(world, "daemon-reload")),
];

pub(super) fn does_what_it_likes(world: &World) -> Result<()> {
    world.install()?;
    let pod = Pod::apply(world, "limited", LIMITED)?;
    pod.await_running("one")?;
    pod.await_running("two")?;
    let before = State::of(world, &pod)?;
    for limit in ["one: memory.max 50331648", "one: cpu.max 50000 100000", "two: memory.max 33554432"] {
        ensure!(before.limits.iter().any(|line| line == limit), "no {limit:?} in {:?}", before.limits);
    }
    for (what, deed) in DEEDS {
        deed(world).with_context(|| format!("do it: {what}"))?;
        await_agent(world)?;
        unchanged(world, &pod, &before).with_context(|| format!("after {what}"))?;
    }
    pod.delete()
}

/// What has to stay as it is.
#[derive(Debug, PartialEq, Eq)]
struct State {
    pids: Vec<i32>,
    limits: Vec<String>,
}

impl State {
    fn of(world: &World, pod: &Pod<'_>) -> Result<Self> {
        let names = ["one", "two"];
        let pids = names.iter().map(|name| pod.main_pid(name, 0)).collect::<Result<_>>()?;
        let places = names.map(|name| (name, pod.cgroup_name(name, 0)));
        let places = places.into_iter().chain([("pod", format!("pod{}", pod.uid()))]);
        let mut limits = Vec::new();
        for (name, cgroup) in places {
            for file in LIMITS {
                limits.push(format!("{name}: {file} {}", world.cgroup(&cgroup, file)?));
            }
        }
        Ok(Self { pids, limits })
    }
}

fn unchanged(world: &World, pod: &Pod<'_>, before: &State) -> Result<()> {
    let state = State::of(world, pod)?;
    ensure!(state == *before, "it was {before:?}, and is {state:?}");
    for name in ["one", "two"] {
        pod.await_running(name)?;
        let status = pod.container(name)?;
        ensure!(status["restartCount"] == 0, "{name} has been started again: {status}");
    }
    let rows = pod.ledger()?;
    ensure!(rows.len() == 2 && rows.iter().all(|row| row["end"].is_null()), "the ledger says {rows:?}");
    let active = world.command("systemctl", &["is-active", UNIT, "carob-pods.service"])?;
    ensure!(active.lines().all(|line| line == "active"), "the units are {active:?}");
    Ok(())
}

fn systemctl(world: &World, verb: &str) -> Result<()> {
    world.command("systemctl", &[verb]).map(drop)
}
