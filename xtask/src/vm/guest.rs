//! A guest that waits for "go": booted or restored, sent on its way, and listened to. What its records mean for a
//! test is decided elsewhere.

use std::{
    fs::File,
    io::{BufRead, BufReader, ErrorKind, Read, Write},
    net::SocketAddrV4,
    os::unix::net::UnixStream,
    path::Path,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context, Result, bail};

use super::{
    machine::{Machine, Saved},
    qemu::{Console, Qemu, Setup, Start},
    qmp::Qmp,
    x86::{self, Disk},
};
use crate::wire::Record;

/// A cold boot takes ten seconds on an idle machine.
const BOOT: Duration = Duration::from_secs(300);

/// What came of listening to a guest for a while.
pub(crate) enum Heard {
    Record(Record),
    /// The machine has ended.
    End,
    /// Nothing. A line that had begun is lost.
    Silence,
}

pub(crate) struct Guest {
    qemu: Qemu,
    qmp: Qmp,
    records: BufReader<UnixStream>,
}

impl Guest {
    /// Boots cold: nothing of an earlier boot is left but what is on the disk. `more` words are for the kernel.
    pub(crate) fn boot(
        machine: &Machine,
        disk: Disk<'_>,
        payload: &Path,
        more: &str,
        console: Console,
        dir: &Path,
    ) -> Result<Self> {
        let words = x86::words(&machine.kernel, &disk, payload, more);
        Self::booted(&Setup { program: x86::PROGRAM, words, console, start: Start::Boot, dir })
    }

    /// Boots whatever machine and comes back when it says that it is ready.
    pub(crate) fn booted(setup: &Setup<'_>) -> Result<Self> {
        let mut guest = Self::start(setup)?;
        match guest.next(Instant::now() + BOOT).context("boot the guest")? {
            Some(Record::Ready { .. }) => Ok(guest),
            other => bail!("boot the guest: it said {other:?}\n{}", guest.qemu.console_tail()),
        }
    }

    /// Goes on from a saved state.
    pub(crate) fn restore(
        machine: &Machine,
        saved: &Saved,
        payload: &Path,
        console: Console,
        dir: &Path,
    ) -> Result<Self> {
        let disk = saved.disk();
        let words = x86::words(&machine.kernel, &Disk::Forgotten(&disk), payload, "");
        let setup = Setup { program: x86::PROGRAM, words, console, start: Start::Restore, dir };
        let mut guest = Self::start(&setup)?;
        guest.qmp.restore(&saved.state()).context("restore the guest")?;
        Ok(guest)
    }

    fn start(setup: &Setup<'_>) -> Result<Self> {
        let (qemu, lines) = Qemu::start(setup)?;
        Ok(Self { qemu, qmp: lines.qmp, records: BufReader::new(lines.control) })
    }

    /// Leads a port of this machine's loopback to one of the guest's, and says which.
    pub(crate) fn lead(&mut self, to: SocketAddrV4) -> Result<u16> {
        self.qmp.lead(to).with_context(|| format!("lead a port to the guest's {to}"))
    }

    /// Writes the guest's state to `file` and ends it.
    pub(crate) fn save(mut self, file: &Path) -> Result<()> {
        self.qmp.save(file).context("save the guest")
    }

    /// Tells the waiting guest what to become: a verb of carob-tests with its words, or `shell`.
    pub(crate) fn go(&mut self, words: &[&str]) -> Result<()> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).context("the clock is before 1970")?;
        let line = format!("go {} {} {}\n", now.as_secs(), seed()?, words.join(" "));
        self.records.get_mut().write_all(line.as_bytes()).context("tell the guest to go")
    }

    /// The next record; `None` when the machine has ended.
    pub(crate) fn next(&mut self, deadline: Instant) -> Result<Option<Record>> {
        match self.hear(deadline)? {
            Heard::Record(record) => Ok(Some(record)),
            Heard::End => Ok(None),
            Heard::Silence => {
                bail!("the guest said nothing more before its time was over\n{}", self.console_tail())
            }
        }
    }

    /// The next record, if there is one before the deadline.
    pub(crate) fn hear(&mut self, deadline: Instant) -> Result<Heard> {
        let left = deadline.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
        self.records.get_ref().set_read_timeout(Some(left))?;
        let mut line = String::new();
        match self.records.read_line(&mut line) {
            Ok(0) => Ok(Heard::End),
            Ok(_) => serde_json::from_str(&line)
                .with_context(|| format!("read the guest's record {line:?}"))
                .map(Heard::Record),
            // A machine that is killed resets the channel.
            Err(fault) if fault.kind() == ErrorKind::ConnectionReset => Ok(Heard::End),
            Err(fault) if fault.kind() == ErrorKind::WouldBlock => Ok(Heard::Silence),
            Err(fault) => Err(fault).context("listen to the guest"),
        }
    }

    pub(crate) fn console_tail(&self) -> String {
        format!("the guest's console:\n{}", self.qemu.console_tail())
    }

    /// Waits until the guest has switched itself off.
    pub(crate) fn wait(self) -> Result<()> {
        self.qemu.wait()
    }
}

/// Randomness for a guest that otherwise repeats what every restored guest draws.
fn seed() -> Result<String> {
    let mut bytes = [0; 32];
    File::open("/dev/urandom").and_then(|mut source| source.read_exact(&mut bytes)).context("draw a seed")?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}
