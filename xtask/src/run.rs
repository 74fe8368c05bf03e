//! `cargo xtask run FILE`: a manifest, the real agent, a real kernel, and all there is to see of them. Everything that
//! happens after "go" is in `tests/src/guest_run.rs`.

use std::{
    fs,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::Stdio,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};

use crate::{
    build, packages,
    place::{HOST, Place},
    progress::took,
    tool::tool,
    vm::{
        guest::Guest,
        machine::{Machine, Saved},
        payload::Payload,
        qemu::Console,
        rundir::RunDir,
    },
    wire::Record,
};

/// The guest speaks while it waits; its own patience ends well before this.
pub(crate) const SILENCE: Duration = Duration::from_secs(300);
const BUSYBOX: &str = "/bin/busybox";

#[derive(clap::Args)]
pub(crate) struct Words {
    /// The manifest: Pods, ConfigMaps, Secrets
    file: PathBuf,
    /// Runs on this machine itself, as root, and removes carob again
    #[arg(long)]
    host: bool,
    /// How long the pods must have been ready before they are shown
    #[arg(long, value_name = "SECONDS", default_value_t = 8)]
    settle: u64,
    /// A `docker save` archive to load beside busybox:1 and carob-work:1
    #[arg(long, value_name = "ARCHIVE")]
    image: Vec<PathBuf>,
}

pub(crate) fn run(place: &Place, words: &Words) -> Result<()> {
    let name = words.file.file_name().unwrap_or_default().to_str().context("the file's name is no text")?;
    ensure!(!name.contains(char::is_whitespace), "the file's name {name:?} has a space in it");
    ensure!(words.file.is_file(), "there is no file {}", words.file.display());
    if words.host { on_this_machine(place, words, name) } else { in_a_guest(place, words, name) }
}

fn in_a_guest(place: &Place, words: &Words, name: &str) -> Result<()> {
    build::all(place)?;
    let machine = Machine::prepared(place)?;
    let saved = Saved::made(place, &machine)?;
    let run = RunDir::new(place, "run")?;
    let disk = payload(place, words, &machine.busybox, run.path())?.disk()?;
    let since = Instant::now();
    let mut guest = Guest::restore(&machine, &saved, &disk, Console::Logged, run.path())?;
    guest.go(&["guest-run", "--settle", &words.settle.to_string(), &format!("/payload/run/{name}")])?;
    follow(&mut guest, since)
}

/// Shows what the guest says until it has done its work.
fn follow(guest: &mut Guest, since: Instant) -> Result<()> {
    let mut heard = Heard::new(since);
    while !heard.done {
        match guest.next(Instant::now() + SILENCE)? {
            Some(record) => heard.take(record),
            None if heard.failed => bail!("the run failed: see above"),
            None => bail!("the guest ended before it was done\n{}", guest.console_tail()),
        }
    }
    Ok(())
}

fn on_this_machine(place: &Place, words: &Words, name: &str) -> Result<()> {
    ensure!(
        Path::new("/sys/fs/cgroup/cgroup.controllers").exists(),
        "this machine has no cgroup v2 at /sys/fs/cgroup, which carob needs: run without --host, in a virtual machine"
    );
    ensure!(
        Path::new("/run/systemd/system").exists(),
        "this machine was not booted with systemd: run without --host"
    );
    ensure!(rustix::process::geteuid().is_root(), "--host needs root");
    for path in ["/usr/local/bin/carob", "/etc/carob", "/var/lib/carob"] {
        ensure!(!Path::new(path).exists(), "{path} exists: carob is installed here, use `carob` itself");
    }
    build::all(place)?;
    packages::ensure(&["busybox-static"])?;
    let run = RunDir::new(place, "host")?;
    let payload = payload(place, words, Path::new(BUSYBOX), run.path())?;
    let file = payload.dir().join("run").join(name);
    let mut command = tool(place.binaries(HOST).join("carob-tests"))
        .args(["guest-run", "--remove", "--settle", &words.settle.to_string()])
        .arg(file)
        .env("CAROB_PAYLOAD", payload.dir())
        .into_command();
    let mut heard = Heard::new(Instant::now());
    let mut child =
        command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().context("start carob-tests")?;
    for line in BufReader::new(child.stdout.take().context("carob-tests has no stdout")?).lines() {
        heard.take(serde_json::from_str(&line?)?);
    }
    let status = child.wait()?;
    ensure!(heard.done && status.success(), "the run failed: see above");
    Ok(())
}

fn payload(place: &Place, words: &Words, busybox: &Path, run: &Path) -> Result<Payload> {
    let payload = Payload::new(place, busybox, run)?;
    let file = fs::canonicalize(&words.file)?;
    payload.add("run", &file)?;
    words.image.iter().try_for_each(|archive| payload.add("images", archive))?;
    Ok(payload)
}

/// What came so far.
struct Heard {
    since: Instant,
    first: bool,
    failed: bool,
    done: bool,
}

impl Heard {
    fn new(since: Instant) -> Self {
        Self { since, first: true, failed: false, done: false }
    }

    fn take(&mut self, record: Record) {
        if std::mem::take(&mut self.first) {
            println!("--- first line after {}", took(self.since.elapsed()));
        }
        match record {
            Record::Say { say } => {
                self.failed |= say.starts_with("error: ");
                println!("{say}");
            }
            Record::Done { .. } => self.done = true,
            other => println!("{other:?}"),
        }
    }
}
