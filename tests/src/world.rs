//! What a case works with: carob installed in this guest, its files, its command line, its API, and what the kernel
//! says of it. A case never looks into carob's own code or state.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Command, Output},
    sync::OnceLock,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use crate::{
    channel, http,
    traces::Traces,
    wire::{Next, Record, Told},
};

pub(crate) const AGENT: &str = "/usr/local/bin/carob";
pub(crate) const MANIFESTS: &str = "/etc/carob/manifests";
pub(crate) const SOCKET: &str = "/run/carob/carob.sock";
pub(crate) const METRICS: &str = "http://127.0.0.1:9464/metrics";
/// Texts for the host; the runner sends them off when the case has ended.
pub(crate) const HANDED_OVER: &str = "/run/carob-tests.texts";
pub(crate) const UNIT: &str = "carob.service";
const PODS_UNIT: &str = "carob-pods.service";
/// There if it runs.
const SYSTEMD: &str = "/run/systemd/system";
const UNITS: &str = "/etc/systemd/system";
/// With systemd, and without.
const PODS: [&str; 2] = ["/sys/fs/cgroup/carob.slice/carob-pods.service/pods", "/sys/fs/cgroup/carob/pods"];
/// How long a look at something changing may be late.
const LOOK: Duration = Duration::from_millis(50);

pub(crate) struct World {
    payload: PathBuf,
    told: Told,
    next: OnceLock<Next>,
}

/// What a command said and how it ended.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl World {
    pub(crate) fn new(told: Told) -> Self {
        let payload = env::var_os("CAROB_PAYLOAD").map_or_else(|| PathBuf::from("/payload"), PathBuf::from);
        Self { payload, told, next: OnceLock::new() }
    }

    /// The long form of long cases is wanted.
    pub(crate) fn full(&self) -> bool {
        self.told.full
    }

    /// How often the guest has been booted for this case before.
    pub(crate) fn boot(&self) -> u32 {
        self.told.boot
    }

    /// For what a case leaves to chance.
    pub(crate) fn seed(&self) -> u64 {
        self.told.seed
    }

    /// What `note` was told in earlier boots, the oldest first.
    pub(crate) fn notes(&self) -> &[String] {
        &self.told.notes
    }

    /// Ends this boot when the case function returns Ok: it is then called again, with `boot` one higher. The first
    /// word counts.
    pub(crate) fn go_on_after(&self, next: Next) {
        let _ = self.next.set(next);
    }

    pub(crate) fn next_boot(&self) -> Option<Next> {
        self.next.get().copied()
    }

    /// Has the host pull the plug at a moment of its own within this time.
    pub(crate) fn expect_cut(&self, within: Duration) -> Result<()> {
        let within = u64::try_from(within.as_millis()).context("too long to wait for a power cut")?;
        channel::send(&Record::Cut { cut_within_ms: within })
    }

    /// One word for the host to keep: it outlives the guest.
    pub(crate) fn note(&self, note: String) -> Result<()> {
        channel::send(&Record::Note { note })
    }

    /// A line for the person who runs the tests.
    pub(crate) fn say(&self, text: &str) -> Result<()> {
        // Also in a case's own process: the runner reads its stdout as plain lines.
        println!("{text}");
        Ok(())
    }

    /// A text for the host to keep and to check as its name says: `.prom` is a metrics page.
    pub(crate) fn hand_over(&self, name: &str, text: &str) -> Result<()> {
        fs::create_dir_all(HANDED_OVER).with_context(|| format!("create {HANDED_OVER}"))?;
        fs::write(Path::new(HANDED_OVER).join(name), text).with_context(|| format!("hand over {name}"))
    }

    // ---- the agent ----

    /// Installs carob as a package would. A second call puts back what the first one put there.
    pub(crate) fn install(&self) -> Result<()> {
        // A running binary cannot be written over, but replaced.
        let new = format!("{AGENT}.new");
        copy(&self.payload.join("bin/carob"), Path::new(&new))?;
        fs::rename(&new, AGENT).with_context(|| format!("name {AGENT}"))?;
        for dir in [MANIFESTS, "/var/lib/carob"] {
            fs::create_dir_all(dir).with_context(|| format!("create {dir}"))?;
        }
        for unit in self.payload_files("systemd")? {
            copy(&unit, &Path::new(UNITS).join(unit.file_name().unwrap_or_default()))?;
        }
        self.command("systemctl", &["daemon-reload"])?;
        Ok(())
    }

    /// Takes carob off the machine with all it kept.
    pub(crate) fn uninstall(&self) -> Result<()> {
        self.drain()?;
        for unit in self.payload_files("systemd")? {
            let unit = Path::new(UNITS).join(unit.file_name().unwrap_or_default());
            fs::remove_file(&unit).with_context(|| format!("remove {}", unit.display()))?;
        }
        self.command("systemctl", &["daemon-reload"])?;
        fs::remove_file(AGENT).with_context(|| format!("remove {AGENT}"))?;
        for dir in ["/etc/carob", "/var/lib/carob"] {
            fs::remove_dir_all(dir).with_context(|| format!("remove {dir}"))?;
        }
        Ok(())
    }

    /// Installs if need be, starts the agent, and comes back when it has said that it is ready. Without systemd the
    /// agent is a child of the case, which has started it already.
    pub(crate) fn start(&self) -> Result<()> {
        if !Path::new(SYSTEMD).exists() {
            return Ok(());
        }
        if !Path::new(AGENT).exists() {
            self.install()?;
        }
        self.command("systemctl", &["start", UNIT]).map(drop)
    }

    pub(crate) fn stop(&self) -> Result<()> {
        self.command("systemctl", &["stop", UNIT]).map(drop)
    }

    pub(crate) fn restart(&self) -> Result<()> {
        self.command("systemctl", &["restart", UNIT]).map(drop)
    }

    /// Stops the agent and, in order, all pods.
    pub(crate) fn drain(&self) -> Result<()> {
        self.command("systemctl", &["stop", UNIT, PODS_UNIT]).map(drop)
    }

    /// The agent's process, while there is one.
    pub(crate) fn agent_pid(&self) -> Result<u32> {
        let pid = self.command("systemctl", &["show", "--value", "--property=MainPID", UNIT])?;
        match pid.trim().parse() {
            Ok(0) => bail!("the agent does not run"),
            Ok(pid) => Ok(pid),
            Err(fault) => Err(fault).with_context(|| format!("read the agent's pid {pid:?}")),
        }
    }

    /// Kills the agent with SIGKILL; systemd starts it again when it likes.
    pub(crate) fn kill(&self) -> Result<()> {
        self.command("systemctl", &["kill", "--kill-who=main", "--signal=KILL", UNIT]).map(drop)
    }

    /// Kills the agent and comes back when another one is ready.
    pub(crate) fn kill_and_await(&self, limit: Duration) -> Result<()> {
        let old = self.agent_pid()?;
        self.kill()?;
        self.wait_until("another agent is ready", limit, || {
            ensure!(self.agent_pid()? != old, "the old agent still runs");
            self.command("systemctl", &["is-active", "--quiet", UNIT])
        })?;
        Ok(())
    }

    // ---- talking to it ----

    /// Runs `carob …`, whatever comes of it.
    pub(crate) fn carob(&self, words: &[&str]) -> Result<Said> {
        output(AGENT, words)
    }

    /// Runs `carob …`, which must succeed, and returns its stdout.
    pub(crate) fn carob_ok(&self, words: &[&str]) -> Result<String> {
        self.command(AGENT, words)
    }

    /// An object or a list of the API, as kubectl would see it.
    pub(crate) fn read(&self, path: &str) -> Result<Value> {
        let body = http::over_socket(Path::new(SOCKET), "GET", path, None)?.body()?;
        serde_json::from_str(&body).with_context(|| format!("read {path} as JSON: {body}"))
    }

    /// Any request to the API.
    pub(crate) fn ask(&self, method: &str, path: &str, body: Option<&Value>) -> Result<http::Answer> {
        let body = body.map(ToString::to_string);
        http::over_socket(Path::new(SOCKET), method, path, body.as_deref())
    }

    /// The metrics page.
    pub(crate) fn metrics(&self) -> Result<String> {
        http::fetch(METRICS)?.body()
    }

    /// Loads the test images; the agent must run.
    pub(crate) fn load_images(&self) -> Result<()> {
        for archive in self.payload_files("images")? {
            self.carob_ok(&["image", "load", &archive.display().to_string()])?;
        }
        Ok(())
    }

    /// Puts a manifest into the watched folder, at once or not at all.
    pub(crate) fn put(&self, name: &str, yaml: &str) -> Result<()> {
        let hidden = Path::new(MANIFESTS).join(format!(".{name}"));
        fs::write(&hidden, yaml).with_context(|| format!("write {}", hidden.display()))?;
        fs::rename(&hidden, Path::new(MANIFESTS).join(name))
            .with_context(|| format!("put the manifest {name}"))
    }

    pub(crate) fn remove(&self, name: &str) -> Result<()> {
        fs::remove_file(Path::new(MANIFESTS).join(name))
            .with_context(|| format!("remove the manifest {name}"))
    }

    // ---- looking at the machine ----

    /// A file of carob's cgroup subtree: `under` is `pod<uid>/<container>-<attempt>`, or empty for its root.
    pub(crate) fn cgroup(&self, under: &str, file: &str) -> Result<String> {
        let root = PODS.iter().find(|pods| Path::new(pods).exists()).context("there is no cgroup of pods")?;
        let path = Path::new(root).join(under).join(file);
        let text = fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
        Ok(text.trim().to_owned())
    }

    /// What the machine holds now, for a look at what is left later.
    pub(crate) fn traces(&self) -> Result<Traces> {
        Traces::now()
    }

    /// What is there now and was not before: one line each.
    pub(crate) fn left_since(&self, before: &Traces) -> Result<Vec<String>> {
        Ok(Traces::now()?.since(before).into_iter().map(str::to_owned).collect())
    }

    /// A file of the payload: `pods/name.yaml`, `images/…`.
    pub(crate) fn payload(&self, path: &str) -> Result<String> {
        let path = self.payload.join(path);
        fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))
    }

    /// Runs any program, which must succeed, and returns its stdout.
    pub(crate) fn command(&self, program: &str, words: &[&str]) -> Result<String> {
        let said = output(program, words)?;
        let Said { code, stdout, stderr } = &said;
        ensure!(*code == Some(0), "{program} {}: code {code:?}\n{stdout}{stderr}", words.join(" "));
        Ok(said.stdout)
    }

    /// Tries until it holds. The error is then the last one met.
    pub(crate) fn wait_until<T>(
        &self,
        what: &str,
        limit: Duration,
        mut look: impl FnMut() -> Result<T>,
    ) -> Result<T> {
        let deadline = Instant::now() + limit;
        loop {
            match look() {
                Ok(found) => return Ok(found),
                Err(fault) if Instant::now() >= deadline => {
                    return Err(fault.context(format!("waited {} s until {what}", limit.as_secs())));
                }
                // Another process's state gives no signal: the one place where time is spent waiting.
                Err(_) => thread::sleep(LOOK),
            }
        }
    }

    pub(crate) fn payload_files(&self, folder: &str) -> Result<Vec<PathBuf>> {
        let dir = self.payload.join(folder);
        if !dir.is_dir() {
            return Ok(Vec::new());
        }
        let entries = fs::read_dir(&dir).with_context(|| format!("read {}", dir.display()))?;
        let mut files = entries.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
        files.sort();
        Ok(files)
    }
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::copy(from, to).with_context(|| format!("copy {} to {}", from.display(), to.display()))?;
    Ok(())
}

fn output(program: &str, words: &[&str]) -> Result<Said> {
    let command = Command::new(program).args(words).output();
    let Output { status, stdout, stderr } =
        command.with_context(|| format!("start {program} {}", words.join(" ")))?;
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    Ok(Said { code: status.code(), stdout: text(stdout), stderr: text(stderr) })
}
