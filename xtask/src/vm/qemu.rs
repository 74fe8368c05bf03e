//! One QEMU process: its channels, its console, its end. What machine it is, others say. Emulation only: a /dev/kvm
//! that exists may still fail late, and results must not depend on the machine.

use std::{
    ffi::OsString,
    fs::{self, File},
    io::Read,
    os::{
        fd::{AsRawFd, OwnedFd},
        unix::net::UnixStream,
    },
    path::{Path, PathBuf},
    process::{Child, Stdio},
};

use anyhow::{Context, Result};
use rustix::io::{FdFlags, fcntl_setfd};

use super::qmp::Qmp;
use crate::tool::{tail, tool};

pub(crate) const CONSOLE: &str = "console.log";

pub(crate) enum Console {
    Logged,
    /// The guest's console is our terminal.
    Terminal,
}

pub(crate) enum Start {
    Boot,
    /// Waits for `Qmp::restore`.
    Restore,
}

pub(crate) struct Setup<'a> {
    /// QEMU has a program for each architecture.
    pub(crate) program: &'static str,
    /// The machine, its disks, and the kernel it enters.
    pub(crate) words: Vec<OsString>,
    pub(crate) console: Console,
    pub(crate) start: Start,
    /// The run's own directory: console log and scratch files.
    pub(crate) dir: &'a Path,
}

pub(crate) struct Qemu {
    child: Child,
    console: PathBuf,
}

/// The machine's other ends.
pub(crate) struct Lines {
    pub(crate) qmp: Qmp,
    pub(crate) control: UnixStream,
}

impl Qemu {
    /// The words of the machine may name the channels `control` and `qmp` and the `console`.
    pub(crate) fn start(setup: &Setup<'_>) -> Result<(Self, Lines)> {
        fs::create_dir_all(setup.dir).with_context(|| format!("create {}", setup.dir.display()))?;
        let console = setup.dir.join(CONSOLE);
        let (qmp, qemus_qmp) = channel()?;
        let (control, qemus_control) = channel()?;
        let socket = |name: &str, end: &OwnedFd| format!("socket,id={name},fd={}", end.as_raw_fd());
        let mut command = tool(setup.program).args(&setup.words).into_command();
        command.args(["-chardev", &socket("qmp", &qemus_qmp)]);
        command.args(["-chardev", &socket("control", &qemus_control), "-chardev"]);
        match setup.console {
            Console::Logged => command.arg(format!("file,id=console,path={}", word(&console))),
            Console::Terminal => command.arg("stdio,id=console,signal=off"),
        };
        if matches!(setup.start, Start::Restore) {
            command.args(["-incoming", "defer"]);
        }
        if matches!(setup.console, Console::Logged) {
            command.stdin(Stdio::null()).stdout(Stdio::null());
        }
        let errors = setup.dir.join("qemu.log");
        command.stderr(File::create(&errors)?).env("TMPDIR", setup.dir);
        let child = command.spawn().with_context(|| format!("start {}", setup.program))?;
        // QEMU's ends must be its own alone: else its end is not seen at ours.
        drop((qemus_qmp, qemus_control));
        let qemu = Self { child, console };
        let qmp = Qmp::new(qmp).with_context(|| fs::read_to_string(&errors).unwrap_or_default())?;
        Ok((qemu, Lines { qmp, control }))
    }

    /// What the guest's console said last.
    pub(crate) fn console_tail(&self) -> String {
        let mut bytes = Vec::new();
        let read = File::open(&self.console).and_then(|mut file| file.read_to_end(&mut bytes));
        match read {
            Ok(_) => tail(&String::from_utf8_lossy(&bytes), 60),
            Err(fault) => format!("(no console: {fault})\n"),
        }
    }

    /// Waits for a machine that ends by itself.
    pub(crate) fn wait(mut self) -> Result<()> {
        self.child.wait().context("wait for qemu")?;
        Ok(())
    }
}

/// Ends the machine, as pulling its plug would. A state that was saved and disks that were flushed stay.
impl Drop for Qemu {
    fn drop(&mut self) {
        // Both fail only if it has ended and was waited for already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Two connected ends: ours, and one that a child inherits.
fn channel() -> Result<(UnixStream, OwnedFd)> {
    let (ours, theirs) = UnixStream::pair().context("make a channel to qemu")?;
    let theirs = OwnedFd::from(theirs);
    fcntl_setfd(&theirs, FdFlags::empty()).context("hand a channel to qemu")?;
    Ok((ours, theirs))
}

/// A file's name in qemu's option language, where a comma is doubled.
pub(crate) fn word(file: &Path) -> String {
    file.display().to_string().replace(',', ",,")
}
