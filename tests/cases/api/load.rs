//! More clients at once than a box ever has: watches, commands, and requests as fast as they are answered, over the socket.
//! Nothing fails, the agent's memory stays within bounds, and the loop is no later at the end than at the beginning.

use std::{
    fs,
    io::Read,
    os::unix::net::UnixStream,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    process::{Resource, Rlimit, setrlimit},
};
use serde_json::json;

use super::PODS;
use crate::{
    pods::{PATIENCE, Pod, one, sample},
    stream::{self, Command},
    world::World,
};

const POD: &str = "loaded";
const MAPS: &str = "/api/v1/namespaces/default/configmaps";
const WATCHES: usize = 1000;
/// Beside what the agent had before, in KiB.
const MOST: u64 = 96 << 10;
/// Of the loop, in seconds: a bound of its histogram that nothing may lie beyond.
const LATEST: &str = "5";
/// Each watch hears it when all is over.
const LAST: &str = "last-word";
/// For a descriptor to have something.
const LOOK: Timespec = Timespec { tv_sec: 0, tv_nsec: 100_000_000 };

/// Its readiness changes all the time: the loop has to be awake.
fn manifest() -> String {
    let changing = "[sh, -c, \"test $(($(date +%s) / 2 % 2)) = 0\"]";
    let probe = format!(
        "      readinessProbe: {{exec: {{command: {changing}}}, periodSeconds: 1, failureThreshold: 1, timeoutSeconds: 60}}\n"
    );
    one(POD, "sleep", &probe, "")
}

pub(super) fn borne(world: &World) -> Result<()> {
    let (commands, half) = if world.full() { (100, 30) } else { (25, 8) };
    let half = Duration::from_secs(half);
    let descriptors = Rlimit { current: Some(4096), maximum: Some(4096) };
    setrlimit(Resource::Nofile, descriptors).context("ask for descriptors")?;
    let pod = Pod::apply(world, POD, &manifest())?;
    pod.await_running("main")?;
    let idle = Moment::now(world)?;
    thread::sleep(half);
    let before = Moment::now(world)?;
    let watches = (0..WATCHES).map(Watch::begin).collect::<Result<Vec<_>>>()?;
    let commands = (0..commands).map(|_| Command::begin(POD, &["cat"])).collect::<Result<Vec<_>>>()?;
    let open = Moment::now(world)?;
    let load =
        Load { world, over: AtomicBool::new(false), done: Default::default(), faults: Mutex::default() };
    let (middle, end) = load.bear(watches, commands, half)?;
    let delays = [before.since(&idle), middle.since(&open), end.since(&middle)];
    thread::sleep(Duration::from_secs(2));
    let after = Moment::now(world)?;
    world.say(&format!("{load}; {}", told(&[before, open, middle, end, after], delays)))?;
    load.check()?;
    let grown = (load.done.peak.load(Relaxed) as u64).saturating_sub(before.resident);
    ensure!(grown <= MOST, "the agent has grown by {grown} KiB");
    ensure!(end.late == idle.late, "the loop was later than {LATEST} s: {} times", end.late - idle.late);
    ensure!(delays[2] <= 2.0 * delays[1] + 0.1, "the loop gets later and later: {delays:?}");
    pod.delete()
}

fn told(moments: &[Moment; 5], [idle, first, second]: [f64; 3]) -> String {
    let sizes = moments.map(|moment| format!("{}/{}", moment.resident >> 10, moment.share >> 10)).join(", ");
    format!(
        "MiB resident/PSS before, with all open, in the middle, at the end, after: {sizes}; the loop's mean delay idle {:.1} ms, then {:.1} and {:.1} ms (emulated)",
        idle * 1e3,
        first * 1e3,
        second * 1e3
    )
}

/// The agent's size in KiB, and what its loop's delays come to so far.
#[derive(Clone, Copy)]
struct Moment {
    resident: u64,
    share: u64,
    delay: f64,
    count: f64,
    /// Beyond `LATEST`.
    late: f64,
}

impl Moment {
    fn now(world: &World) -> Result<Self> {
        let page = world.metrics()?;
        let family = "carob_reconcile_delay_seconds";
        let count = sample(&page, &format!("{family}_count"), &[])?;
        Ok(Self {
            resident: resident(world)?,
            share: of_agent(world, "smaps_rollup", "Pss:")?,
            delay: sample(&page, &format!("{family}_sum"), &[])?,
            count,
            late: count - sample(&page, &format!("{family}_bucket"), &[("le", LATEST)])?,
        })
    }

    /// The mean delay meanwhile.
    fn since(&self, earlier: &Self) -> f64 {
        (self.delay - earlier.delay) / (self.count - earlier.count).max(1.0)
    }
}

pub(super) fn resident(world: &World) -> Result<u64> {
    of_agent(world, "status", "VmRSS:")
}

fn of_agent(world: &World, file: &str, key: &str) -> Result<u64> {
    let path = format!("/proc/{}/{file}", world.agent_pid()?);
    let text = fs::read_to_string(&path).with_context(|| format!("read {path}"))?;
    let line = text.lines().find_map(|line| line.strip_prefix(key));
    let number = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
    number.with_context(|| format!("{path} has no {key}"))
}

/// Every other one of pods.
struct Watch {
    stream: UnixStream,
    /// The end of what it has said: a word may come in two pieces.
    tail: Vec<u8>,
    has_heard: bool,
}

impl Watch {
    fn begin(number: usize) -> Result<Self> {
        let path = [MAPS, PODS][number % 2];
        let stream = stream::watch(&format!("{path}?watch=true&allowWatchBookmarks=true"))?;
        Ok(Self { stream, tail: Vec::new(), has_heard: false })
    }

    /// Takes what there is and says how much that was, and whether the last word is in it.
    fn read(&mut self, piece: &mut [u8]) -> Result<(usize, bool)> {
        let read = self.stream.read(piece).context("read a watch")?;
        ensure!(read > 0, "a watch has ended");
        self.tail.extend_from_slice(&piece[..read]);
        let hears = !self.has_heard && self.tail.windows(LAST.len()).any(|word| word == LAST.as_bytes());
        self.has_heard |= hears;
        self.tail.drain(..self.tail.len().saturating_sub(LAST.len()));
        Ok((read, hears))
    }
}

/// How often it was well.
#[derive(Default)]
struct Done {
    reads: AtomicUsize,
    changes: AtomicUsize,
    echoes: AtomicUsize,
    /// Bytes that watches have said.
    said: AtomicUsize,
    /// Watches that have heard the last word.
    heard: AtomicUsize,
    /// KiB resident.
    peak: AtomicUsize,
}

struct Load<'w> {
    world: &'w World,
    over: AtomicBool,
    done: Done,
    faults: Mutex<Vec<String>>,
}

impl Load<'_> {
    /// The moments at half time and at the end. All is closed then.
    fn bear(
        &self,
        mut watches: Vec<Watch>,
        commands: Vec<Command>,
        half: Duration,
    ) -> Result<(Moment, Moment)> {
        let listens = AtomicBool::new(true);
        thread::scope(|scope| {
            let listener = scope.spawn(|| self.note(listen(&listens, &self.done, &mut watches)));
            let mut busy = vec![
                scope.spawn(|| self.note(self.echo(commands))),
                scope.spawn(|| self.note(self.change())),
            ];
            busy.extend((0..2).map(|_| scope.spawn(|| self.note(self.ask()))));
            let moments = self.pass(half).and_then(|middle| Ok((middle, self.pass(half)?)));
            self.over.store(true, Relaxed);
            let joined = busy.into_iter().all(|thread| thread.join().is_ok());
            let heard = self.say_last_word();
            listens.store(false, Relaxed);
            let joined = listener.join().is_ok() && joined;
            ensure!(joined, "a thread has panicked");
            heard.and(moments)
        })
    }

    fn note(&self, result: Result<()>) {
        if let Err(fault) = result {
            self.faults.lock().unwrap_or_else(PoisonError::into_inner).push(format!("{fault:#}"));
        }
    }

    /// Looks how large the agent gets meanwhile.
    fn pass(&self, time: Duration) -> Result<Moment> {
        let end = Instant::now() + time;
        while Instant::now() < end {
            let resident = usize::try_from(resident(self.world)?)?;
            self.done.peak.fetch_max(resident, Relaxed);
            thread::sleep(Duration::from_millis(500));
        }
        Moment::now(self.world)
    }

    fn is_on(&self) -> bool {
        !self.over.load(Relaxed)
    }

    /// Each command in turn, again and again.
    fn echo(&self, mut commands: Vec<Command>) -> Result<()> {
        while self.is_on() {
            for command in &mut commands {
                command.echo("and back again").context("a command")?;
                self.done.echoes.fetch_add(1, Relaxed);
            }
        }
        commands.into_iter().try_for_each(Command::close)
    }

    fn ask(&self) -> Result<()> {
        let paths = [PODS, MAPS, "/version", "/api/v1/nodes"];
        for path in paths.iter().cycle().take_while(|_| self.is_on()) {
            self.world.read(path)?;
            self.done.reads.fetch_add(1, Relaxed);
        }
        Ok(())
    }

    fn change(&self) -> Result<()> {
        let path = format!("{MAPS}/changing");
        let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "changing"}, "data": {"a": "b"}});
        while self.is_on() {
            self.changed("POST", MAPS, Some(&map))?;
            self.changed("PATCH", &path, Some(&json!({"data": {"a": "c"}})))?;
            self.changed("DELETE", &path, None)?;
        }
        Ok(())
    }

    fn changed(&self, method: &str, path: &str, body: Option<&serde_json::Value>) -> Result<()> {
        self.world.ask(method, path, body)?.body().with_context(|| format!("{method} {path}"))?;
        self.done.changes.fetch_add(1, Relaxed);
        Ok(())
    }

    /// Nobody who watches is lost.
    fn say_last_word(&self) -> Result<()> {
        let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": LAST}});
        self.changed("POST", MAPS, Some(&map))?;
        let label = json!({"metadata": {"labels": {LAST: "said"}}});
        self.changed("PATCH", &format!("{PODS}/{POD}"), Some(&label))?;
        self.world.wait_until("each watch has heard the last word", PATIENCE, || {
            let heard = self.done.heard.load(Relaxed);
            ensure!(heard == WATCHES, "{heard} have; {:?}", self.faults);
            Ok(())
        })
    }

    fn check(&self) -> Result<()> {
        let faults = self.faults.lock().unwrap_or_else(PoisonError::into_inner);
        ensure!(faults.is_empty(), "{} faults: {}", faults.len(), faults.join("; "));
        let Done { reads, changes, echoes, .. } = &self.done;
        let idle = [reads, changes, echoes].map(|count| count.load(Relaxed)).contains(&0);
        ensure!(!idle, "not all were served: {self}");
        Ok(())
    }
}

impl std::fmt::Display for Load<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Done { reads, changes, echoes, said, peak, .. } = &self.done;
        let [reads, changes, echoes, said, peak] =
            [reads, changes, echoes, said, peak].map(|count| count.load(Relaxed));
        write!(
            f,
            "{reads} reads, {changes} changes, {echoes} echoes, {} MB from {WATCHES} watches; at most {} MiB resident",
            said / 1_000_000,
            peak >> 10
        )
    }
}

/// Reads what watches say as long as it is wanted.
fn listen(wanted: &AtomicBool, done: &Done, watches: &mut [Watch]) -> Result<()> {
    let mut piece = vec![0; 64 << 10];
    while wanted.load(Relaxed) {
        let mut asked: Vec<PollFd<'_>> =
            watches.iter().map(|watch| PollFd::new(&watch.stream, PollFlags::IN)).collect();
        poll(&mut asked, Some(&LOOK)).context("wait for watches")?;
        let ready: Vec<bool> = asked.iter().map(|asked| !asked.revents().is_empty()).collect();
        for (watch, _) in watches.iter_mut().zip(ready).filter(|(_, ready)| *ready) {
            let (read, hears) = watch.read(&mut piece)?;
            done.said.fetch_add(read, Relaxed);
            done.heard.fetch_add(usize::from(hears), Relaxed);
        }
    }
    Ok(())
}
