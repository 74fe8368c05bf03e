//! The loops whose cost with and without the kernel programs is compared: processes that come and go, and signals.
//! Each does one thing over and over from a process of one thread.

use std::{
    env,
    mem::MaybeUninit,
    path::PathBuf,
    process::{Command, Stdio},
    ptr,
};

use anyhow::{Context, Result, ensure};
use rustix::process::{Pid, Signal, WaitOptions, getpid, kill_process, waitpid};

/// The part of a slice that comes before it and is not measured.
const WARM_UP: u32 = 4;
const STACK: usize = 64 << 10;

/// One thing done over and over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Loop {
    /// `clone` with the memory shared, `_exit`, `wait`: no process costs less.
    Fork,
    /// The same with the execution of a static binary in between.
    Execute,
    /// SIGUSR1 to a process that handles it.
    Handled,
    /// SIGTERM to a process that handles it.
    HandledTerm,
    /// SIGTERM to a process that ignores it.
    IgnoredTerm,
    /// SIGCHLD, which can kill nobody.
    Child,
}

pub(super) const ALL: [Loop; 6] =
    [Loop::Fork, Loop::Execute, Loop::Handled, Loop::HandledTerm, Loop::IgnoredTerm, Loop::Child];

impl Loop {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Fork => "clone_exit_wait",
            Self::Execute => "spawn_static_binary_wait",
            Self::Handled => "kill_usr1_handled",
            Self::HandledTerm => "kill_term_handled",
            Self::IgnoredTerm => "kill_term_ignored",
            Self::Child => "kill_chld",
        }
    }

    /// How often in one slice: some milliseconds, in which a machine changes little.
    const fn times(self) -> u32 {
        match self {
            Self::Fork => 100,
            Self::Execute => 8,
            _ => 1500,
        }
    }

    /// Processes that end in one slice.
    pub(super) const fn exits(self) -> u32 {
        match self {
            Self::Fork | Self::Execute => self.times(),
            _ => 0,
        }
    }

    /// Nanoseconds of processor time, this process's and its children's, for one time. What others did on the machine
    /// in the meantime is not in it.
    pub(super) fn slice(self) -> Result<f64> {
        self.prepare();
        let program = env::current_exe().context("find this program")?;
        let mut once = self.once(program);
        // What was done last, to the programs or to nothing, is not to be seen.
        for _ in 0..self.times() / WARM_UP {
            once()?;
        }
        let since = processor_time();
        for _ in 0..self.times() {
            once()?;
        }
        let spent = processor_time() - since;
        receive(libc::SIGTERM, libc::SIG_DFL);
        Ok(spent / f64::from(self.times()))
    }

    fn prepare(self) {
        let handler = nothing as *const () as libc::sighandler_t;
        match self {
            Self::Handled => receive(libc::SIGUSR1, handler),
            Self::HandledTerm => receive(libc::SIGTERM, handler),
            Self::IgnoredTerm => receive(libc::SIGTERM, libc::SIG_IGN),
            Self::Fork | Self::Execute | Self::Child => (),
        }
    }

    fn once(self, program: PathBuf) -> Box<dyn FnMut() -> Result<()>> {
        let send = |signal| -> Box<dyn FnMut() -> Result<()>> {
            Box::new(move || kill_process(getpid(), signal).context("send a signal to this process"))
        };
        match self {
            Self::Fork => {
                let mut stack = vec![0_u128; STACK / size_of::<u128>()];
                Box::new(move || come_and_go(&mut stack))
            }
            Self::Execute => Box::new(move || execute(&program)),
            Self::Handled => send(Signal::USR1),
            Self::HandledTerm | Self::IgnoredTerm => send(Signal::TERM),
            Self::Child => send(Signal::CHILD),
        }
    }
}

fn execute(program: &PathBuf) -> Result<()> {
    let mut command = Command::new(program);
    let status =
        command.args(["work", "exit", "0"]).stdin(Stdio::null()).status().context("start a child")?;
    ensure!(status.success(), "the child ended with {status}");
    Ok(())
}

fn come_and_go(stack: &mut [u128]) -> Result<()> {
    let flags = libc::CLONE_VM | libc::CLONE_VFORK | libc::SIGCHLD;
    #[expect(unsafe_code, reason = "no safe call makes a process that does nothing but end")]
    // SAFETY: the child runs on `stack`, which is its own and which it cannot fill; it shares our memory, changes
    // nothing in it and ends at once, and until then this thread stands still (CLONE_VFORK).
    let pid = unsafe { libc::clone(end, stack.as_mut_ptr_range().end.cast(), flags, ptr::null_mut()) };
    let pid = Pid::from_raw(pid).filter(|_| pid > 0).context("make a process")?;
    waitpid(Some(pid), WaitOptions::empty()).context("wait for a child")?;
    Ok(())
}

extern "C" fn end(_: *mut libc::c_void) -> libc::c_int {
    #[expect(unsafe_code, reason = "std's exit would run what belongs to the parent")]
    // SAFETY: it ends the process and touches nothing.
    unsafe {
        libc::_exit(0)
    }
}

/// `handler`: [`nothing`], or one of the kernel's two words.
fn receive(signal: libc::c_int, handler: libc::sighandler_t) {
    #[expect(unsafe_code, reason = "there is no safe call for signal dispositions")]
    // SAFETY: the one handler there is does nothing and so is safe at any moment.
    unsafe {
        libc::signal(signal, handler)
    };
}

/// Nanoseconds of this process and of its children that have ended.
fn processor_time() -> f64 {
    let of = |whose| {
        let mut usage = MaybeUninit::<libc::rusage>::zeroed();
        #[expect(unsafe_code, reason = "rustix has no getrusage")]
        // SAFETY: the kernel fills the structure; all of its bytes zero is a value too.
        let usage = unsafe {
            libc::getrusage(whose, usage.as_mut_ptr());
            usage.assume_init()
        };
        let ns = |time: libc::timeval| time.tv_sec as f64 * 1e9 + time.tv_usec as f64 * 1e3;
        ns(usage.ru_utime) + ns(usage.ru_stime)
    };
    of(libc::RUSAGE_SELF) + of(libc::RUSAGE_CHILDREN)
}

extern "C" fn nothing(_: libc::c_int) {}
