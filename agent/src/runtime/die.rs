//! Deaths to order, for `carob check --autopsy`: this very program, as a container's main process, ends in a way that is
//! known beforehand.

use std::{
    process::{Command, ExitCode},
    thread,
};

use rustix::process::{Pid, Resource, Rlimit, Signal, getpid, getppid, kill_process, setrlimit};

/// How to end.
#[derive(Clone, Copy, Debug, clap::Subcommand)]
pub(crate) enum Death {
    Exit {
        code: u8,
    },
    /// A thread ends the process.
    Thread {
        code: u8,
    },
    /// An instruction that there is not.
    Fault,
    Abort,
    /// SIGKILL to itself.
    Kill,
    /// A child sends it SIGKILL.
    Killed,
    /// Fills memory without end.
    Hog,
    /// A child fills memory; then it exits.
    HogChild {
        code: u8,
    },
    /// Uses up the CPU time that it may have.
    Spin,
    /// Lives until it is killed; SIGTERM ends it.
    Wait,
    /// Lives until it is killed; SIGTERM does not end it.
    Ignore,
    /// Sends its parent SIGKILL.
    KillParent,
}

pub(super) fn die(death: Death) -> ExitCode {
    match death {
        Death::Exit { code } => return code.into(),
        Death::Thread { code } => {
            thread::spawn(move || std::process::exit(i32::from(code)));
        }
        Death::Fault => fault(),
        Death::Abort => std::process::abort(),
        Death::Kill => send(Some(getpid())),
        Death::KillParent => {
            send(getppid());
            return ExitCode::SUCCESS;
        }
        Death::Killed => drop(child("kill-parent")),
        Death::Hog => hog(),
        Death::HogChild { code } => {
            drop(child("hog"));
            return code.into();
        }
        Death::Spin => spin(),
        Death::Wait => (),
        Death::Ignore => ignore_term(),
    }
    loop {
        thread::park();
    }
}

fn send(to: Option<Pid>) {
    if let Some(pid) = to {
        let _ = kill_process(pid, Signal::KILL);
    }
}

#[expect(clippy::disallowed_methods, reason = "the child is the death")]
fn child(how: &str) -> std::io::Result<std::process::ExitStatus> {
    Command::new("/proc/self/exe").args(["runtime", "die", how]).status()
}

fn hog() {
    let mut kept = Vec::new();
    loop {
        // Not zeroes: pages that were never written cost nothing.
        kept.push(vec![0xca_u8; 1 << 20]);
        std::hint::black_box(&kept);
    }
}

fn spin() {
    let _ = setrlimit(Resource::Cpu, Rlimit { current: Some(1), maximum: None });
    loop {
        std::hint::spin_loop();
    }
}

#[expect(unsafe_code, reason = "rustix does not change signal dispositions")]
fn ignore_term() {
    // SAFETY: signal(2) with SIG_IGN installs no code of ours.
    unsafe { libc::signal(libc::SIGTERM, libc::SIG_IGN) };
}

#[expect(unsafe_code, reason = "a fault is what it is for")]
fn fault() {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: never returns: the instruction is undefined for good.
    unsafe {
        std::arch::asm!("ud2");
    }
    #[cfg(target_arch = "aarch64")]
    // SAFETY: as above.
    unsafe {
        std::arch::asm!("udf #0");
    }
}
