//! `kill -9` of the agent at seeded moments: while pods run, come and go. A container of every round ends while no agent
//! lives, and the next agent must say how.
//!
//! ```text
//!   round N:  pod N is created, pod N-2 deleted ─ a seeded while ─ KILL ─ pod N-1 ends ─ the next agent
//! ```

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    thread,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context, Result, ensure};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use super::{PODS, await_agent, drop_in, numbered};
use crate::{
    lots::Lots,
    pods::{PATIENCE, Pod, ledger, ready},
    world::World,
};

const ROUNDS: u64 = 20;
const ROUNDS_OF_FULL: u64 = 200;
/// A pod is created and runs within this time.
const SPAN: u64 = 2500;
/// As long as it is there, no new agent starts.
const HOLD: &str = "/run/carob-tests.hold";
const HELD_UNIT: &str = "[Service]\nRestartSec=0\nExecStartPre=/bin/sh -c 'while [ -e /run/carob-tests.hold ]; do sleep 0.05; done'\n";
const BOXES: &str = "/run/carob-tests.boxes";
const API: &str = "/api/v1/namespaces/default/pods";
/// How far the clock of the ledger and ours may be apart.
const SLACK: f64 = 0.5;

const STEADY: &str = r#"
apiVersion: v1
kind: Pod
metadata:
  name: steady
spec:
  containers:
    - name: stay
      image: carob-work:1
      imagePullPolicy: Never
      command: ["/work", "sleep"]
    - name: lines
      image: carob-work:1
      imagePullPolicy: Never
      command: ["sh", "-c", "trap 'exit 0' TERM; n=0; while true; do n=$((n + 1)); echo \"line $n\"; sleep 0.05; done"]
"#;
/// Ends with the code it finds in its box, or by what comes from outside.
const ENDS: &str = "trap 'exit 0' TERM; echo waiting; until [ -e /box/code ]; do sleep 0.05; done; \
                    code=$(cat /box/code); rm /box/code; echo last words; exit $code";

pub(super) fn at_any_moment(world: &World) -> Result<()> {
    world.install()?;
    drop_in(world, "hold.conf", HELD_UNIT)?;
    ready(world)?;
    let steady = Steady::start(world)?;
    let mut moments = Lots::new(0x00ca_20b5);
    let mut pods: Vec<Short<'_>> = Vec::new();
    let rounds = if world.full() { ROUNDS_OF_FULL } else { ROUNDS };
    for round in 0..rounds {
        let moment = Duration::from_millis(moments.below(SPAN));
        one_round(world, round, moment, &mut pods)
            .and_then(|()| steady.unchanged())
            .with_context(|| format!("round {round}, killed {} ms after the order", moment.as_millis()))?;
        pods.drain(..pods.len().saturating_sub(2));
    }
    for pod in &pods {
        pod.delete()?;
    }
    pods.iter().try_for_each(Short::await_gone)?;
    only_steady_is_left(world, &steady)?;
    let lines = numbered(&steady.log())?;
    ensure!(lines > 100, "only {lines} lines were written");
    let ends = each_end_is_there_once(world, rounds)?;
    world.say(&format!(
        "{rounds} kills of the agent at seeded moments: {ends} ends, each recorded once; {} of them while no agent lived, \
         with code, cause and time as they were; {lines} lines of a log without a gap",
        rounds - 1
    ))
}

/// Of the short pods' attempts; how many.
fn each_end_is_there_once(world: &World, rounds: u64) -> Result<usize> {
    let rows = world.read("/carob/v1/ledger")?;
    let rows = rows["items"].as_array().context("the ledger has no items")?;
    let short = rows.iter().filter(|row| row["pod"].as_str().is_some_and(|pod| pod.starts_with("short-")));
    let ended = short.filter(|row| row["end"].is_object());
    let ids: Vec<String> =
        ended.map(|row| format!("{} {} {}", row["uid"], row["container"], row["attempt"])).collect();
    let once: BTreeSet<&String> = ids.iter().collect();
    ensure!(once.len() == ids.len(), "an end is recorded twice: {ids:?}");
    ensure!(ids.len() as u64 >= 2 * rounds - 1, "only {} ends of {rounds} pods are recorded", ids.len());
    Ok(ids.len())
}

fn one_round<'w>(world: &'w World, round: u64, moment: Duration, pods: &mut Vec<Short<'w>>) -> Result<()> {
    let agent = Pid::from_raw(world.agent_pid()?.cast_signed()).context("the agent has no pid")?;
    if let [.., leaving, _] = &pods[..] {
        leaving.delete()?;
    }
    pods.push(Short::create(world, round)?);
    // Waits for nothing: when the agent is killed is what this case is about.
    thread::sleep(moment);
    fs::write(HOLD, "").with_context(|| format!("write {HOLD}"))?;
    let killed = now()?;
    kill_process(agent, Signal::KILL).context("kill the agent")?;
    let ending = pods.len().checked_sub(2).map(|index| &pods[index]);
    let end = ending.map(|pod| pod.end(round)).transpose()?;
    let gone = now()?;
    fs::remove_file(HOLD).with_context(|| format!("remove {HOLD}"))?;
    await_agent(world)?;
    all_is_recorded(world)?;
    if let (Some(pod), Some(end)) = (ending, end) {
        pod.ended_as(&end, killed, gone)?;
        pod.await_attempt(1)?;
    }
    pods.last().map_or(Ok(()), |pod| pod.await_attempt(0))?;
    if let [.., leaving, _, _] = &pods[..] {
        leaving.await_gone()?;
    }
    Ok(())
}

/// What runs all the time.
struct Steady<'w> {
    pod: Pod<'w>,
    pids: [i32; 2],
}

impl<'w> Steady<'w> {
    const NAMES: [&'static str; 2] = ["stay", "lines"];

    fn start(world: &'w World) -> Result<Self> {
        let pod = Pod::apply(world, "steady", STEADY)?;
        for name in Self::NAMES {
            pod.await_running(name)?;
        }
        let pids = Self::pids(&pod)?;
        Ok(Self { pod, pids })
    }

    fn pids(pod: &Pod<'_>) -> Result<[i32; 2]> {
        let [stay, lines] = Self::NAMES;
        Ok([pod.main_pid(stay, 0)?, pod.main_pid(lines, 0)?])
    }

    fn unchanged(&self) -> Result<()> {
        let pids = Self::pids(&self.pod)?;
        ensure!(pids == self.pids, "the steady pod's processes were {:?} and are {pids:?}", self.pids);
        for name in Self::NAMES {
            let status = self.pod.container(name)?;
            let same = status["restartCount"] == 0 && status["state"]["running"].is_object();
            ensure!(same, "{name} of the steady pod is {status}");
        }
        Ok(())
    }

    fn log(&self) -> PathBuf {
        Path::new("/var/log/pods").join(format!("default_steady_{}", self.pod.uid())).join("lines/0.log")
    }
}

/// A pod that lives for three rounds.
struct Short<'w> {
    world: &'w World,
    name: String,
    uid: String,
    /// Its directory, by which it is told to end.
    told: PathBuf,
}

/// How a container was made to end.
enum End {
    Code(u8),
    /// By that process.
    Killed(u32),
}

impl<'w> Short<'w> {
    fn create(world: &'w World, round: u64) -> Result<Self> {
        let name = format!("short-{round}");
        let told = Path::new(BOXES).join(&name);
        fs::create_dir_all(&told).with_context(|| format!("create {}", told.display()))?;
        let object = json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name},
            "spec": {
                "terminationGracePeriodSeconds": 5,
                "volumes": [{"name": "box", "hostPath": {"path": told}}],
                "containers": [{
                    "name": "ends", "image": "carob-work:1", "imagePullPolicy": "Never",
                    "command": ["sh", "-c", ENDS],
                    "volumeMounts": [{"name": "box", "mountPath": "/box"}],
                }],
            },
        });
        let created: Value = serde_json::from_str(&world.ask("POST", API, Some(&object))?.body()?)?;
        let uid = created["metadata"]["uid"].as_str().context("the pod has no uid")?.to_owned();
        Ok(Self { world, name, uid, told })
    }

    fn delete(&self) -> Result<()> {
        self.world.ask("DELETE", &format!("{API}/{}", self.name), None)?.body().map(drop)
    }

    /// Ends its first attempt, and sees to it that the process is gone.
    fn end(&self, round: u64) -> Result<End> {
        let procs = Path::new(PODS).join(format!("pod{}/ends-0/cgroup.procs", self.uid));
        let pids = fs::read_to_string(&procs).with_context(|| format!("read {}", procs.display()))?;
        let main = pids.lines().next().with_context(|| format!("{} does not run", self.name))?;
        let end = if round.is_multiple_of(2) {
            let code = u8::try_from(round % 100)? + 3;
            fs::write(self.told.join("new"), code.to_string())?;
            fs::rename(self.told.join("new"), self.told.join("code"))?;
            End::Code(code)
        } else {
            let mut kill = std::process::Command::new("/bin/kill").args(["-KILL", main]).spawn()?;
            let sender = kill.id();
            kill.wait()?;
            End::Killed(sender)
        };
        self.world.wait_until(&format!("{} ends", self.name), PATIENCE, || {
            let left = fs::read_to_string(&procs)?;
            ensure!(left.trim().is_empty(), "processes {left:?} are left");
            Ok(())
        })?;
        Ok(end)
    }

    /// The ledger knows the first attempt's end, with all its output.
    fn ended_as(&self, end: &End, killed: f64, gone: f64) -> Result<()> {
        let rows = ledger(self.world, &self.name)?;
        let row = rows.iter().find(|row| row["attempt"] == 0).context("it is not in the ledger")?;
        let said = &row["end"];
        let (code, cause, who) = match end {
            End::Code(code) => (i64::from(*code), "error", Value::Null),
            End::Killed(sender) => (137, "host", json!(format!("host kill[{sender}] uid 0"))),
        };
        let wanted = [json!(code), json!(cause), who, json!("kernel")];
        let found = [&said["exitCode"], &said["cause"], &said["who"], &said["source"]];
        ensure!(found.iter().zip(&wanted).all(|(a, b)| *a == b), "the ledger says {said}, not {wanted:?}");
        let finished = seconds(self.world, said["finishedAt"].as_str().unwrap_or_default())?;
        ensure!(
            (killed - SLACK..=gone + SLACK).contains(&finished),
            "finished at {finished}, but no agent lived from {killed} to {gone}"
        );
        self.said(matches!(end, End::Code(_)))
    }

    /// The log of the first attempt.
    fn said(&self, last_words: bool) -> Result<()> {
        let log = Path::new("/var/log/pods").join(format!("default_{}_{}/ends/0.log", self.name, self.uid));
        let text = fs::read_to_string(&log).with_context(|| format!("read {}", log.display()))?;
        let said: Vec<&str> = text.lines().filter_map(|line| line.splitn(4, ' ').nth(3)).collect();
        let wanted = if last_words { &["waiting", "last words"][..] } else { &["waiting"] };
        ensure!(said == wanted, "its log is {text:?}, not {wanted:?}");
        Ok(())
    }

    /// That attempt runs, and the restarts are as many as the ledger has ends.
    fn await_attempt(&self, attempt: u64) -> Result<()> {
        self.world.wait_until(&format!("attempt {attempt} of {} runs", self.name), PATIENCE, || {
            let status = self.world.read(&format!("{API}/{}", self.name))?["status"].clone();
            let container = &status["containerStatuses"][0];
            ensure!(container["state"]["running"].is_object(), "it is {status}");
            ensure!(container["restartCount"] == attempt, "restarts: {container}");
            let rows = ledger(self.world, &self.name)?;
            let ends: Vec<bool> = rows.iter().map(|row| row["end"].is_object()).collect();
            let right = ends.len() as u64 == attempt + 1 && ends.iter().filter(|end| !**end).count() == 1;
            ensure!(right, "the ledger has {rows:?}");
            // What it says of itself is the sign that it can be told to end.
            let said = self.world.ask("GET", &format!("{API}/{}/log", self.name), None)?.body()?;
            ensure!(said.contains("waiting"), "it has said {said:?}");
            Ok(())
        })
    }

    fn await_gone(&self) -> Result<()> {
        self.world.wait_until(&format!("{} is gone", self.name), PATIENCE, || {
            let status = self.world.ask("GET", &format!("{API}/{}", self.name), None)?.status;
            ensure!(status == 404, "its status is {status}");
            Ok(())
        })
    }
}

/// Whatever runs a container's own program has an open row in the ledger.
fn all_is_recorded(world: &World) -> Result<()> {
    let running = running()?;
    let rows = world.read("/carob/v1/ledger")?;
    let rows = rows["items"].as_array().context("the ledger has no items")?;
    for (uid, attempt, pid) in running {
        let is_it = |row: &&Value| {
            let name = format!("{}-{}", row["container"].as_str().unwrap_or_default(), row["attempt"]);
            row["uid"] == json!(uid) && name == attempt
        };
        let row = rows.iter().find(is_it);
        let row = row.with_context(|| format!("process {pid} of {attempt} in pod {uid} is not recorded"))?;
        let alive = Path::new("/proc").join(&pid).exists();
        ensure!(row["end"].is_null() || !alive, "process {pid} runs, and its attempt has ended: {row}");
    }
    Ok(())
}

/// Processes in the attempts' cgroups that are past the runtime: pod uid, attempt, pid.
fn running() -> Result<Vec<(String, String, String)>> {
    let mut found = Vec::new();
    for pod in folders(Path::new(PODS))? {
        for attempt in folders(&pod)? {
            let pids = fs::read_to_string(attempt.join("cgroup.procs")).unwrap_or_default();
            for pid in pids.lines() {
                let name = fs::read_to_string(Path::new("/proc").join(pid).join("comm")).unwrap_or_default();
                let of_runtime = ["youki:", "carob"].iter().any(|start| name.starts_with(start));
                if !name.is_empty() && !of_runtime {
                    found.push((
                        last(&pod).trim_start_matches("pod").to_owned(),
                        last(&attempt),
                        pid.to_owned(),
                    ));
                }
            }
        }
    }
    Ok(found)
}

/// Neither a cgroup nor a directory nor a held pipe is there of any other pod.
fn only_steady_is_left(world: &World, steady: &Steady<'_>) -> Result<()> {
    let uid = steady.pod.uid();
    world.wait_until("only the steady pod is left", PATIENCE, || {
        let pods: Vec<String> = folders(Path::new(PODS))?.iter().map(|pod| last(pod)).collect();
        ensure!(pods == [format!("pod{uid}")], "there are cgroups {pods:?}");
        for place in ["/run/carob/attempts", "/run/carob/pods", "/run/carob/runtime", "/var/lib/carob/pods"] {
            let strange: Vec<PathBuf> =
                folders(Path::new(place))?.into_iter().filter(|dir| !last(dir).starts_with(uid)).collect();
            ensure!(strange.is_empty(), "{strange:?} are left");
        }
        let kept = world.command(
            "systemctl",
            &["show", "--value", "--property=NFileDescriptorStore", crate::world::UNIT],
        )?;
        ensure!(kept.trim() == "4", "systemd holds {kept} pipes for two containers");
        Ok(())
    })
}

fn folders(dir: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(dir).with_context(|| format!("read {}", dir.display()))?;
    Ok(entries.flatten().map(|entry| entry.path()).filter(|path| path.is_dir()).collect())
}

fn last(path: &Path) -> String {
    path.file_name().unwrap_or_default().display().to_string()
}

/// Seconds since 1970.
fn now() -> Result<f64> {
    Ok(SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs_f64())
}

fn seconds(world: &World, date: &str) -> Result<f64> {
    Ok(world.command("date", &["--date", date, "+%s.%N"])?.trim().parse()?)
}
