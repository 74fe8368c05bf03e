//! What a container tries in order to find its borders: forbidden system calls, a program that is not its own.

use std::{
    collections::BTreeSet,
    fs::{self, File, OpenOptions},
    io,
    os::fd::AsRawFd,
    path::PathBuf,
    process::ExitCode,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, getegid, geteuid, getgid, getpid, getuid, kill_process};

/// As long as an attacker gets to find what he wants to write over.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often he tries while the program runs.
const TRIES: u32 = 100;

/// Real and effective ids of this process.
pub(super) fn ids() -> Result<ExitCode> {
    let (uid, gid) = (getuid().as_raw(), getgid().as_raw());
    println!("uid={uid} euid={} gid={gid} egid={}", geteuid().as_raw(), getegid().as_raw());
    Ok(ExitCode::SUCCESS)
}

/// One line a system call: its name, and the number of the error it ended with (0 for none).
pub(super) fn calls() -> Result<ExitCode> {
    const VSOCK: libc::c_long = 40;
    const NO_SUCH_CALL: libc::c_long = 4000;
    const PER_LINUX_WITHOUT_ASLR: libc::c_long = 0x004_0000;
    let rows: [(&str, libc::c_long, [libc::c_long; 2]); 8] = [
        ("getpid", libc::SYS_getpid, [0, 0]),
        ("keyctl", libc::SYS_keyctl, [0, -3]),
        ("io_uring_setup", libc::SYS_io_uring_setup, [0, 0]),
        ("clone3", libc::SYS_clone3, [0, 0]),
        ("unknown", NO_SUCH_CALL, [0, 0]),
        ("vsock", libc::SYS_socket, [VSOCK, libc::SOCK_STREAM as libc::c_long]),
        ("personality", libc::SYS_personality, [PER_LINUX_WITHOUT_ASLR, 0]),
        ("unshare", libc::SYS_unshare, [libc::CLONE_NEWUSER as libc::c_long, 0]),
    ];
    for (name, number, [first, second]) in rows {
        println!("{name}: {}", attempt(number, first, second));
    }
    Ok(ExitCode::SUCCESS)
}

#[expect(unsafe_code, reason = "these calls are to be refused, no library makes them")]
fn attempt(number: libc::c_long, first: libc::c_long, second: libc::c_long) -> i32 {
    // SAFETY: none of the calls above is given memory: clone3 and io_uring_setup get a null pointer, which the kernel
    // refuses; the others take numbers and change nothing but this process.
    match unsafe { libc::syscall(number, first, second, 0, 0, 0) } {
        -1 => io::Error::last_os_error().raw_os_error().unwrap_or_default(),
        _ => 0,
    }
}

/// CVE-2019-5736: holds the program of another process in this pid namespace, one with `word` in its command line, and
/// writes over it as soon as it can.
pub(super) fn overwrite_runtime(word: &str) -> Result<ExitCode> {
    println!("waiting");
    let (pid, held) = found(word)?;
    let path = format!("/proc/self/fd/{}", held.as_raw_fd());
    let write =
        || OpenOptions::new().write(true).open(&path).map_err(|e| e.raw_os_error().unwrap_or_default());
    let mut errors = BTreeSet::new();
    for _ in 0..TRIES {
        errors.insert(write().err().unwrap_or_default());
    }
    // While it runs the kernel refuses anyway ("text file busy"): so it must go.
    kill_process(pid, Signal::KILL).context("kill the runtime")?;
    let deadline = Instant::now() + PATIENCE;
    while PathBuf::from(format!("/proc/{}", pid.as_raw_nonzero())).exists() {
        if Instant::now() > deadline {
            bail!("the process does not go");
        }
        thread::sleep(Duration::from_millis(10));
    }
    let after = write().err().unwrap_or_default();
    println!("while it ran: {errors:?}; after it: {after}");
    Ok(ExitCode::SUCCESS)
}

/// Another process than the first and this one, and its program held open: the agent's, not that of whoever is about to
/// execute it.
fn found(word: &str) -> Result<(Pid, File)> {
    let deadline = Instant::now() + PATIENCE;
    while Instant::now() < deadline {
        for entry in fs::read_dir("/proc").context("list /proc")?.flatten() {
            let pid = entry.file_name().to_str().and_then(|name| name.parse().ok()).and_then(Pid::from_raw);
            let Some(pid) = pid.filter(|pid| *pid != getpid() && pid.as_raw_nonzero().get() != 1) else {
                continue;
            };
            let is_runtime =
                fs::read_to_string(entry.path().join("cmdline")).is_ok_and(|line| line.contains(word));
            if is_runtime
                && let Ok(held) = File::open(entry.path().join("exe"))
                && is_agents(&held)
            {
                return Ok((pid, held));
            }
        }
        thread::sleep(Duration::from_millis(1));
    }
    bail!("no other process came")
}

fn is_agents(program: &File) -> bool {
    fs::read_link(format!("/proc/self/fd/{}", program.as_raw_fd()))
        .is_ok_and(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("carob")))
}
