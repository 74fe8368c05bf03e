//! The runner inside the guest: each case is a process of its own with a time limit, and its result one record.
//! Which cases run in which guest is the host's choice.

use std::{
    env,
    fs::{self, File},
    io::Read,
    os::unix::process::CommandExt,
    process::{Child, ChildStdout, Command, ExitCode, ExitStatus, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use rustix::{
    event::{PollFd, PollFlags, poll},
    fs::Timespec,
    process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open},
};

use crate::{
    cases::{self, Case},
    channel,
    wire::{Mode, Next, Record, Told},
    world::{HANDED_OVER, World},
};

/// Exit codes by which a case's process says that it goes on after the next boot.
const REBOOT: u8 = 75;
const CUT: u8 = 76;
const STDERR: &str = "/run/carob-tests.stderr";
const NOTE_LINES: usize = 60;

/// What follows the verb: `[--full] [--boot=N] [--seed=N] [--note=WORD]… CASE…`.
struct Words<'a> {
    told: Told,
    names: Vec<&'a str>,
}

impl<'a> Words<'a> {
    fn read(words: &[&'a str]) -> Result<Self> {
        let mut read = Self { told: Told::default(), names: Vec::new() };
        for word in words {
            match word.split_once('=') {
                Some(("--boot", number)) => read.told.boot = number.parse().context("read --boot")?,
                Some(("--seed", number)) => read.told.seed = number.parse().context("read --seed")?,
                Some(("--note", note)) => read.told.notes.push(note.to_owned()),
                _ if *word == "--full" => read.told.full = true,
                _ => read.names.push(word),
            }
        }
        Ok(read)
    }
}

/// Runs the named cases (`area::name`, or `area::` for all of an area) one after the other.
pub(crate) fn run(words: &[&str]) -> Result<ExitCode> {
    let words = Words::read(words)?;
    reseed()?;
    for (name, case) in cases::named(&words.names)? {
        channel::send(&Record::Start { start: name.clone() })?;
        let since = Instant::now();
        let ended = watch(&name, &case, &words)?;
        let (ok, note) = match ended {
            Ended::Boot(next) => return leave(next),
            Ended::Passed => (true, String::new()),
            Ended::Failed(note) => (false, note + &agents_log()),
        };
        let seconds = since.elapsed().as_secs_f64();
        send_texts()?;
        let goes_on_outside = ok && case.mode == Mode::Client;
        channel::send(&Record::Case { case: name, ok, seconds, note })?;
        if goes_on_outside {
            // The host ends this machine when it is done.
            loop {
                std::thread::park();
            }
        }
    }
    channel::send(&Record::Done { done: true })?;
    Ok(ExitCode::SUCCESS)
}

/// One case, in this process. Its error is this process's last words.
pub(crate) fn run_one(words: &[&str]) -> Result<ExitCode> {
    let words = Words::read(words)?;
    let Ok([(_, case)]) = <[_; 1]>::try_from(cases::named(&words.names)?) else { bail!("name one case") };
    let world = World::new(words.told);
    (case.run)(&world)?;
    Ok(match world.next_boot() {
        None => ExitCode::SUCCESS,
        Some(Next::Reboot) => ExitCode::from(REBOOT),
        Some(Next::Cut) => ExitCode::from(CUT),
    })
}

enum Ended {
    Passed,
    Failed(String),
    Boot(Next),
}

fn watch(name: &str, case: &Case, words: &Words<'_>) -> Result<Ended> {
    let mut child = start(name, words)?;
    let late = follow(&mut child, case.limit)?;
    // What it left running goes with it. Fails only if nothing is left.
    let _ = kill_process_group(Pid::from_child(&child), Signal::KILL);
    let status = child.wait().context("wait for the case")?;
    Ok(match (late, status.code().map(u8::try_from)) {
        (true, _) => failed(&format!("not done within {} s", case.limit.as_secs())),
        (false, Some(Ok(0))) => Ended::Passed,
        (false, Some(Ok(REBOOT))) => Ended::Boot(Next::Reboot),
        (false, Some(Ok(CUT))) => Ended::Boot(Next::Cut),
        (false, _) => failed(&describe(status)),
    })
}

fn start(name: &str, words: &Words<'_>) -> Result<Child> {
    let mut command = Command::new(env::current_exe().context("find this program")?);
    command.args(["case", name]).args(words.told.words());
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(File::create(STDERR)?).process_group(0);
    command.spawn().with_context(|| format!("start the case {name}"))
}

/// Passes on what the case says until it ends; true if it did not end in time.
fn follow(child: &mut Child, limit: Duration) -> Result<bool> {
    let deadline = Instant::now() + limit;
    let end = pidfd_open(Pid::from_child(child), PidfdFlags::empty()).context("watch the case")?;
    let mut said =
        Lines { pipe: child.stdout.take().context("the case has no stdout")?, pending: Vec::new() };
    let mut open = true;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(true);
        }
        let left = Timespec::try_from(left).context("the limit is too long")?;
        let mut fds = vec![PollFd::new(&end, PollFlags::IN)];
        if open {
            fds.push(PollFd::new(&said.pipe, PollFlags::IN));
        }
        poll(&mut fds, Some(&left)).context("watch the case")?;
        let ended = !fds[0].revents().is_empty();
        let speaks = fds.get(1).is_some_and(|pipe| !pipe.revents().is_empty());
        drop(fds);
        if speaks {
            open = said.pass_on()?;
        } else if ended {
            return Ok(false);
        }
    }
}

struct Lines {
    pipe: ChildStdout,
    pending: Vec<u8>,
}

impl Lines {
    /// Sends the complete lines of one read; false at the end of the pipe.
    fn pass_on(&mut self) -> Result<bool> {
        let mut bytes = [0; 4096];
        let count = self.pipe.read(&mut bytes).context("read what the case says")?;
        self.pending.extend_from_slice(&bytes[..count]);
        let complete = match self.pending.iter().rposition(|byte| *byte == b'\n') {
            Some(end) => end + 1,
            None if count == 0 => self.pending.len(),
            None => 0,
        };
        let lines: Vec<u8> = self.pending.drain(..complete).collect();
        String::from_utf8_lossy(&lines).lines().try_for_each(pass_on)?;
        Ok(count > 0)
    }
}

/// A case speaks in plain lines; only what `World` says for it is a record already.
fn pass_on(line: &str) -> Result<()> {
    match serde_json::from_str(line) {
        Ok(record @ (Record::Note { .. } | Record::Cut { .. })) => channel::send(&record),
        _ => channel::say(line),
    }
}

/// Sends what the case has handed over.
fn send_texts() -> Result<()> {
    for entry in fs::read_dir(HANDED_OVER).into_iter().flatten() {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().display().to_string();
        let text = fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
        channel::send(&Record::Text { name, text })?;
        fs::remove_file(&path)?;
    }
    Ok(())
}

fn describe(status: ExitStatus) -> String {
    match status.code() {
        // The error itself follows from the case's stderr.
        Some(1) => String::new(),
        _ => status.to_string(),
    }
}

fn failed(what: &str) -> Ended {
    let said = fs::read_to_string(STDERR).unwrap_or_default();
    Ended::Failed(format!("{what}\n{}", last_lines(&said)).trim().to_owned())
}

/// The agent's own account, if there is an agent.
fn agents_log() -> String {
    let words = ["--unit=carob.service", "--no-pager", "--output=cat", "--quiet", "--lines=40"];
    let log = Command::new("journalctl").args(words).output();
    let log = log.map(|out| String::from_utf8_lossy(&out.stdout).into_owned()).unwrap_or_default();
    if log.trim().is_empty() { String::new() } else { format!("\nthe agent's log:\n{}", last_lines(&log)) }
}

fn last_lines(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(NOTE_LINES)..].join("\n")
}

/// Says how this boot ends; for a reboot also ends it, and stays until that kills us.
fn leave(next: Next) -> Result<ExitCode> {
    channel::send(&Record::Boot { boot: next })?;
    if next == Next::Reboot {
        let status = Command::new("systemctl").args(["--no-block", "poweroff"]).status();
        status.context("shut the guest down")?;
    }
    loop {
        std::thread::park();
    }
}

/// A restored guest repeats the random numbers of every other one until its kernel takes up the host's seed, which
/// the boot script has written to /dev/urandom.
fn reseed() -> Result<()> {
    /// RNDRESEEDCRNG, linux/random.h; Linux ≥ 4.14.
    const RESEED: rustix::ioctl::Opcode = rustix::ioctl::opcode::none(b'R', 7);
    let random = File::open("/dev/urandom").context("open /dev/urandom")?;
    #[expect(unsafe_code, reason = "an ioctl that rustix has no function for")]
    // SAFETY: NoArg's contract is that the opcode takes no argument; random(4) says so of RNDRESEEDCRNG.
    let reseeded = unsafe { rustix::ioctl::ioctl(&random, rustix::ioctl::NoArg::<RESEED>::new()) };
    reseeded.context("reseed the kernel's random numbers")
}
