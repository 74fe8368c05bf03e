//! Builds one container with libcontainer, waits for the agent's word, starts it. Keeps no state of its own.
#![expect(clippy::disallowed_methods, reason = "this is the effect")]

use std::{
    fs::File,
    io::{Read, Write},
    os::fd::{AsFd, BorrowedFd},
    path::Path,
    process::ExitCode,
    sync::{Arc, Mutex},
};

use libcontainer::{
    container::{Container, builder::ContainerBuilder},
    syscall::syscall::SyscallType,
};
use rustix::process::{Pid, Signal, kill_process};

use super::{Word, devices, executor::Exec, spread};

/// The socket to the agent, which is our standard input.
#[derive(Debug)]
pub(super) struct Door(File);

impl Door {
    pub(super) fn open() -> std::io::Result<Self> {
        Ok(Self(File::from(rustix::io::fcntl_dupfd_cloexec(rustix::stdio::stdin(), 3)?)))
    }

    pub(super) fn say(&self, word: &Word) {
        let mut line = serde_json::to_vec(word).unwrap_or_default();
        line.push(b'\n');
        // Nobody listens any more: then nobody wants the container either, and the next read sees that.
        let _ = (&self.0).write_all(&line);
    }

    /// `true` for the byte, `false` for the end of file.
    pub(super) fn told_to_go(&self) -> bool {
        matches!((&self.0).read(&mut [0]), Ok(1))
    }
}

impl AsFd for Door {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

pub(super) fn create(root: &Path, id: &str, bundle: &Path) -> ExitCode {
    let Ok(door) = Door::open().map(Arc::new) else { return ExitCode::FAILURE };
    let log = Warnings::install();
    match build(root, id, bundle, &door) {
        Err(message) => {
            door.say(&Word::Error(log.explain(message)));
            ExitCode::FAILURE
        }
        Ok((mut container, pid)) => {
            door.say(&Word::Pid(pid.as_raw_nonzero().get()));
            if !door.told_to_go() {
                let _ = kill_process(pid, Signal::KILL);
                return ExitCode::FAILURE;
            }
            match container.start() {
                Ok(()) => ExitCode::SUCCESS,
                Err(e) => {
                    door.say(&Word::Error(log.explain(chain(&e))));
                    let _ = kill_process(pid, Signal::KILL);
                    ExitCode::FAILURE
                }
            }
        }
    }
}

fn build(root: &Path, id: &str, bundle: &Path, door: &Arc<Door>) -> Result<(Container, Pid), String> {
    let stdin = stdin(bundle).map_err(|e| format!("cannot open the container's standard input: {e}"))?;
    // Where the agent waits for a terminal's master, if there is to be one.
    let console = Some(bundle.join("console")).filter(|console| console.exists());
    let build = || {
        ContainerBuilder::new(id.to_owned(), SyscallType::default())
            .with_root_path(root)?
            .validate_id()?
            .with_executor(Exec::new(door.clone()))
            .with_stdin(stdin)
            .with_console_socket(console)
            .as_init(bundle)
            .with_systemd(false)
            .with_detach(true)
            .as_sibling(false)
            .build()
    };
    let shared = spread::Binds::of(bundle)?;
    let container = build().map_err(|e| chain(&e))?;
    let pid =
        container.pid().and_then(|pid| Pid::from_raw(pid.as_raw())).ok_or("the runtime names no process")?;
    let narrowed = devices::narrow(bundle).map_err(|e| format!("cannot limit the container's devices: {e}"));
    if let Err(message) = narrowed.and_then(|()| shared.join(pid)) {
        let _ = kill_process(pid, Signal::KILL);
        return Err(message);
    }
    Ok((container, pid))
}

/// The pipe that the agent holds the other end of, or nothing to read. Only the opening must not wait.
fn stdin(bundle: &Path) -> std::io::Result<File> {
    use rustix::fs::{Mode, OFlags, fcntl_setfl, open};
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    match open(bundle.join("stdin"), flags | OFlags::NONBLOCK, Mode::empty()) {
        Ok(pipe) => {
            fcntl_setfl(&pipe, OFlags::empty())?;
            Ok(pipe.into())
        }
        Err(rustix::io::Errno::NOENT) => File::open("/dev/null"),
        Err(e) => Err(e.into()),
    }
}

/// An error and its causes in one line, without saying anything twice.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text
}

/// libcontainer's own warnings: often the only place where it says what went wrong.
#[derive(Clone, Default)]
struct Warnings(Arc<Mutex<Vec<u8>>>);

impl Warnings {
    fn install() -> Self {
        let log = Self::default();
        let writer = log.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(tracing::Level::ERROR)
            .with_ansi(false)
            .without_time()
            .with_target(false)
            .with_writer(move || writer.clone());
        subscriber.init();
        log
    }

    fn explain(&self, message: String) -> String {
        let log = self.0.lock().map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default();
        let last = log.lines().rev().find(|line| !line.trim().is_empty()).map(str::trim);
        last.map_or(message.clone(), |last| format!("{message} ({last})"))
    }
}

impl Write for Warnings {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        if let Ok(mut log) = self.0.lock() {
            log.extend_from_slice(bytes);
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
