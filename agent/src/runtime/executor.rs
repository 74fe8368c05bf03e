//! The last steps inside the container before its own program: find it, reset what was inherited, `execve`.
//!
//! Runs in the container's init after `pivot_root`, with the container's user and capabilities. It replaces libcontainer's
//! default executor, which refuses programs without the execute bit for others and an environment without PATH.
#![expect(clippy::disallowed_methods, reason = "this is where the program is started")]

use std::{
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
};

use libcontainer::{
    oci_spec::runtime::{PosixRlimitType, Spec},
    workload::{Executor, ExecutorError, ExecutorSetEnvsError, ExecutorValidationError},
};
use rustix::{
    fs::{Access, access},
    process::{Resource, Rlimit, getrlimit, setrlimit},
};

use super::{Word, create::Door};

#[derive(Clone)]
pub(super) struct Exec {
    door: Arc<Door>,
    /// libcontainer raises it for the device program, and does not take that back.
    locked_memory: Rlimit,
}

impl Exec {
    pub(super) fn new(door: Arc<Door>) -> Self {
        Self { door, locked_memory: getrlimit(Resource::Memlock) }
    }

    fn refuse(&self, message: &str) -> String {
        self.door.say(&Word::Error(message.to_owned()));
        message.to_owned()
    }
}

impl Executor for Exec {
    /// A program that cannot be found is known before anything is recorded as started.
    fn validate(&self, spec: &Spec) -> Result<(), ExecutorValidationError> {
        match Program::of(spec).find() {
            Ok(_) => Ok(()),
            Err(unable) => Err(ExecutorValidationError::ArgValidationError(self.refuse(&unable.message))),
        }
    }

    /// The environment is given to `execve` itself: the init's own is left alone.
    fn setup_envs(&self, _: std::collections::HashMap<String, String>) -> Result<(), ExecutorSetEnvsError> {
        Ok(())
    }

    fn exec(&self, spec: &Spec) -> Result<(), ExecutorError> {
        if !names_locked_memory(spec)
            && let Err(e) = setrlimit(Resource::Memlock, self.locked_memory)
        {
            let message = format!("cannot set the limit of locked memory back: {e}");
            return Err(ExecutorError::Other(self.refuse(&message)));
        }
        let unable = Program::of(spec).start();
        Err(ExecutorError::Other(self.refuse(&unable.message)))
    }
}

fn names_locked_memory(spec: &Spec) -> bool {
    let limits = spec.process().as_ref().and_then(|process| process.rlimits().as_ref());
    limits.is_some_and(|limits| limits.iter().any(|limit| limit.typ() == PosixRlimitType::RlimitMemlock))
}

/// Why there is no program to run, with the exit code that shells give for it.
pub(super) struct Unable {
    pub(super) code: i32,
    pub(super) message: String,
}

impl Unable {
    /// A shell's code for a program that is not there.
    const ABSENT: i32 = 127;
    /// A shell's code for a program that is there and cannot be executed.
    const REFUSED: i32 = 126;

    fn absent(message: String) -> Self {
        Self { code: Self::ABSENT, message }
    }

    fn of(name: &str, error: &std::io::Error) -> Self {
        let gone = matches!(error.raw_os_error(), Some(libc::ENOENT | libc::ENOTDIR));
        let code = if gone { Self::ABSENT } else { Self::REFUSED };
        Self { code, message: format!("exec {name:?}: {error}") }
    }
}

/// What is to be executed.
pub(super) struct Program {
    pub(super) args: Vec<String>,
    env: Vec<(String, String)>,
}

impl Program {
    pub(super) fn of(spec: &Spec) -> Self {
        let process = spec.process().as_ref();
        let args = process.and_then(|p| p.args().clone()).unwrap_or_default();
        let env = process.and_then(|p| p.env().clone()).unwrap_or_default();
        let env = env
            .iter()
            .filter_map(|pair| pair.split_once('='))
            .map(|(k, v)| (k.to_owned(), v.to_owned()))
            .collect();
        Self { args, env }
    }

    /// Becomes the program. Comes back only if that is not possible.
    pub(super) fn start(&self) -> Unable {
        let path = match self.find() {
            Ok(path) => path,
            Err(unable) => return unable,
        };
        reset_signals();
        let error = Command::new(path)
            .arg0(&self.args[0])
            .args(&self.args[1..])
            .env_clear()
            .envs(self.env.iter().map(|(key, value)| (key, value)))
            .exec();
        Unable::of(&self.args[0], &error)
    }

    /// The program's path: as given if it has a slash, else the first hit on the container's PATH.
    fn find(&self) -> Result<PathBuf, Unable> {
        let name = self
            .args
            .first()
            .filter(|name| !name.is_empty())
            .ok_or_else(|| Unable::absent("neither the pod nor the image names a command".to_owned()))?;
        if name.contains('/') {
            let path = Path::new(name);
            access(path, Access::EXEC_OK).map_err(|e| Unable::of(name, &e.into()))?;
            return Ok(path.to_owned());
        }
        let search = self.env.iter().find(|(key, _)| key == "PATH").map_or("", |(_, value)| value.as_str());
        let mut candidates =
            search.split(':').map(|dir| Path::new(if dir.is_empty() { "." } else { dir }).join(name));
        let found = candidates.find(|path| path.is_file() && access(path, Access::EXEC_OK).is_ok());
        found.ok_or_else(|| Unable::absent(format!("exec {name:?}: executable file not found in $PATH")))
    }
}

/// Every disposition back to its default and nothing blocked: a container must not inherit that Rust ignores SIGPIPE.
#[expect(unsafe_code, reason = "there is no safe call for signal dispositions")]
fn reset_signals() {
    // The kernel's own structure, whose zeroes are SIG_DFL without flags; signal(3) would leave out the two signals that
    // the C library keeps for itself, and those may come ignored.
    let default = [0_u64; 4];
    for signal in 1..=64 {
        // SAFETY: the kernel reads a sigaction with a mask of 8 bytes from an array that is long enough for it, and refuses
        // SIGKILL and SIGSTOP.
        unsafe {
            libc::syscall(libc::SYS_rt_sigaction, signal, default.as_ptr(), std::ptr::null::<u64>(), 8_usize)
        };
    }
    // SAFETY: the set is initialised by sigemptyset before sigprocmask reads it; the old mask is not asked for.
    unsafe {
        let mut none = std::mem::MaybeUninit::<libc::sigset_t>::uninit();
        libc::sigemptyset(none.as_mut_ptr());
        libc::sigprocmask(libc::SIG_SETMASK, none.as_ptr(), std::ptr::null_mut());
    }
}
