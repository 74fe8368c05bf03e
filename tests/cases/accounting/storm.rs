//! More than can be looked at one by one: the kernel's counts have to be the workload's own, also while the kernel programs
//! are replaced, and whatever is lost of the detail is counted too.

use std::{fs, path::PathBuf, time::Duration};

use anyhow::{Context, Result, ensure};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::{
    pods::{PATIENCE, Pod, one, ready, sample},
    world::World,
};

const CONFIG: &str = "/etc/carob/config.json";
const PINS: &str = "/sys/fs/bpf/carob";
const LIMIT: Duration = Duration::from_secs(300);
/// Exit codes from here on: each pod has one of its own.
const CODES: usize = 10;

/// Pods that wait for one word.
struct Storm<'w> {
    world: &'w World,
    place: PathBuf,
    pods: Vec<(String, Pod<'w>)>,
}

impl<'w> Storm<'w> {
    fn brew(world: &'w World, name: &str, pods: usize, seconds: u64) -> Result<Self> {
        let place = PathBuf::from("/tmp").join(name);
        fs::create_dir_all(&place).with_context(|| format!("make {}", place.display()))?;
        let mount = "      volumeMounts: [{ name: box, mountPath: /box }]\n";
        let spec = format!(
            "  volumes: [{{ name: box, hostPath: {{ path: {}, type: Directory }} }}]\n",
            place.display()
        );
        let made = (0..pods).map(|number| {
            let name = format!("{name}-{number}");
            let manifest = one(&name, &format!("storm {seconds} {}", CODES + number), mount, &spec);
            Ok((name.clone(), Pod::apply(world, &name, &manifest)?))
        });
        let storm = Self { world, place, pods: made.collect::<Result<_>>()? };
        for (name, pod) in &storm.pods {
            pod.await_log("main", "waiting").with_context(|| format!("{name} is not ready"))?;
        }
        Ok(storm)
    }

    fn begin(&self) -> Result<()> {
        fs::write(self.place.join("go"), "").context("give the word")
    }

    /// Each main process ended as it was told, and of the others as many as it says. Gives back how many, of all pods.
    fn is_counted(&self) -> Result<u64> {
        let mut all = 0;
        for (number, (name, pod)) in self.pods.iter().enumerate() {
            let row = self.row(pod)?;
            let (end, counts) = (&row["end"], &row["counts"]);
            let right =
                end["exitCode"] == CODES + number && end["source"] == "kernel" && end["cause"] == "error";
            ensure!(right, "{name}: {end}");
            let said = end["said"].as_str().and_then(|said| said.parse::<u64>().ok());
            let said =
                said.with_context(|| format!("{name} does not say how many processes it made: {end}"))?;
            let expected = json!({ "mainExits": 1, "otherExits": said, "oomKills": 0, "lostRecords": 0 });
            ensure!(*counts == expected, "{name} made {said} processes; counted are {counts}");
            let labels = [("pod", name.as_str()), ("container", "main"), ("process", "other")];
            let shown = sample(&self.world.metrics()?, "carob_container_exits_total", &labels)?;
            ensure!(shown == said as f64, "{name} made {said} processes; the metrics page says {shown}");
            all += said;
        }
        Ok(all)
    }

    /// The only attempt's, once it is over and cleared away.
    fn row(&self, pod: &Pod<'_>) -> Result<Value> {
        self.world.wait_until("its counts are written down", LIMIT, || {
            let rows = pod.ledger()?;
            ensure!(rows.len() == 1 && rows[0]["counts"].is_object(), "the ledger has {rows:?}");
            Ok(rows[0].clone())
        })
    }
}

impl Drop for Storm<'_> {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.place);
    }
}

pub(super) fn of_twenty(world: &World) -> Result<()> {
    let seconds = if world.full() { 30 } else { 5 };
    let storm = Storm::brew(world, "storm", 20, seconds)?;
    let before = all_lost(world)?;
    storm.begin()?;
    let all = storm.is_counted()?;
    ensure!(all_lost(world)? == before, "records were lost");
    ensure!(sample(&world.metrics()?, "carob_accounting_mismatch_total", &[])? == 0.0, "sources disagree");
    world.say(&format!(
        "20 pods made {all} processes in {seconds} s (emulated): all of them are counted, none lost"
    ))
}

/// Puts the configuration back however the case ends.
struct Ring<'w>(&'w World);

impl Ring<'_> {
    /// Another size makes other programs of them.
    fn resize(&self, size: &str) -> Result<()> {
        fs::write(CONFIG, json!({ "kernelRingSize": size }).to_string())
            .with_context(|| format!("write {CONFIG}"))?;
        self.0.restart()
    }
}

impl Drop for Ring<'_> {
    fn drop(&mut self) {
        let _ = fs::remove_file(CONFIG);
        let _ = self.0.restart();
    }
}

fn versions() -> Result<Vec<String>> {
    let entries = fs::read_dir(PINS).with_context(|| format!("read {PINS}"))?;
    entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect()
}

pub(super) fn while_upgraded(world: &World) -> Result<()> {
    const SIZES: [&str; 4] = ["8Ki", "64Ki", "8Ki", "128Ki"];
    ready(world)?;
    let ring = Ring(world);
    let storm = Storm::brew(world, "upgrade", 3, 20)?;
    let ends = Pod::apply(world, "upgrade-ends", &one("upgrade-ends", "sleep", "", ""))?;
    ends.await_running("main")?;
    storm.begin()?;
    let mut before = versions()?;
    for size in SIZES {
        ring.resize(size)?;
        let now = versions()?;
        ensure!(now.len() == 1 && now != before, "the programs' directories were {before:?} and are {now:?}");
        before = now;
    }
    let over = storm.pods.iter().map(|(_, pod)| pod.ledger()).collect::<Result<Vec<_>>>()?;
    ensure!(over.iter().all(|rows| rows[0]["end"].is_null()), "the storm was over too early: {over:?}");
    // The programs in use are the last ones, and know who was there before them.
    kill_process(pid(ends.main_pid("main", 0)?)?, Signal::KILL).context("kill it")?;
    let end = ends.end("main", 0)?;
    ensure!(end["source"] == "kernel" && end["cause"] == "host", "the ledger says {end}");
    let all = storm.is_counted()?;
    world.say(&format!(
        "{} versions of the kernel programs one after another while {all} processes ended: all of them are counted once",
        SIZES.len() + 1
    ))
}

/// As after an upgrade to another layout, or a start without programs.
pub(super) fn after_programs_went(world: &World) -> Result<()> {
    ready(world)?;
    let pod = Pod::apply(world, "unknown", &one("unknown", "sleep", "", ""))?;
    pod.await_running("main")?;
    world.stop()?;
    fs::remove_dir_all(PINS).with_context(|| format!("remove {PINS}"))?;
    world.start()?;
    kill_process(pid(pod.main_pid("main", 0)?)?, Signal::KILL).context("kill it")?;
    let end = pod.end("main", 0)?;
    ensure!(end["source"] == "kernel" && end["cause"] == "host", "the ledger says {end}");
    Ok(())
}

fn pid(pid: i32) -> Result<Pid> {
    Pid::from_raw(pid).with_context(|| format!("{pid} is no process"))
}

/// What the ring takes of its 4 KiB: 32 bytes a record, and never quite all.
const FITS: u64 = (4096 - 1) / 32;
const SENT: u64 = 300;

pub(super) fn with_a_full_ring(world: &World) -> Result<()> {
    ready(world)?;
    let ring = Ring(world);
    ring.resize("4Ki")?;
    let grace = "  terminationGracePeriodSeconds: 600\n";
    let deaf = Pod::apply(world, "ring-deaf", &one("ring-deaf", "ignore-term", "", grace))?;
    deaf.await_log("main", "ignoring")?;
    let others: Vec<(String, Pod<'_>)> = (0..3)
        .map(|number| {
            let name = format!("ring-{number}");
            let pod = Pod::apply(world, &name, &one(&name, "sleep", "", ""))?;
            pod.await_running("main")?;
            Ok((name, pod))
        })
        .collect::<Result<_>>()?;
    world.carob_ok(&["delete", "pod", "ring-deaf", "--wait=false"])?;
    world.wait_until("it has ignored its SIGTERM", PATIENCE, || ignored(world, 1))?;

    let before = all_lost(world)?;
    world.stop()?;
    let target = pid(deaf.main_pid("main", 0)?)?;
    for _ in 0..SENT {
        kill_process(target, Signal::TERM).context("send SIGTERM")?;
    }
    for (_, pod) in &others {
        kill_process(pid(pod.main_pid("main", 0)?)?, Signal::KILL).context("send SIGKILL")?;
    }
    world.start()?;

    for (name, pod) in &others {
        let end = pod.end("main", 0)?;
        let right = end["exitCode"] == 137 && end["cause"] == "host" && end["source"] == "kernel";
        ensure!(right, "{name} was killed by a process of the box; the ledger says {end}");
        lost(world, name, 1)?;
    }
    world.wait_until("what fitted is told", PATIENCE, || ignored(world, 1 + FITS))?;
    lost(world, "ring-deaf", SENT - FITS)?;
    let all = SENT - FITS + others.len() as u64;
    let shown = all_lost(world)? - before;
    ensure!(shown == all as f64, "{all} records found no room; the metrics page says {shown}");
    kill_process(target, Signal::KILL).context("send SIGKILL")?;
    let end = deaf.end("main", 0)?;
    ensure!(end["exitCode"] == 137 && end["cause"] == "host", "the ledger says {end}");
    world.say(&format!(
        "a ring of {FITS} records, {} written while nobody read: {all} lost and counted, 4 of 4 verdicts right",
        SENT + others.len() as u64
    ))
}

fn all_lost(world: &World) -> Result<f64> {
    sample(&world.metrics()?, "carob_accounting_lost_records_total", &[])
}

fn lost(world: &World, pod: &str, count: u64) -> Result<()> {
    let labels = [("pod", pod), ("container", "main")];
    let shown = sample(&world.metrics()?, "carob_container_lost_records_total", &labels)?;
    ensure!(shown == count as f64, "{count} records of {pod} found no room; the metrics page says {shown}");
    Ok(())
}

fn ignored(world: &World, times: u64) -> Result<()> {
    let events = world.read("/api/v1/namespaces/default/events?fieldSelector=reason=SigtermIgnored")?;
    let events = events["items"].as_array().cloned().unwrap_or_default();
    let of_pod = events.iter().filter(|event| event["involvedObject"]["name"] == "ring-deaf");
    let told: u64 = of_pod.filter_map(|event| event["count"].as_u64()).sum();
    ensure!(told == times, "SigtermIgnored was told {told} times, not {times}");
    Ok(())
}
