//! Makes processes as fast as it can and counts them itself: what somebody else counts has to be the same number.

use std::{
    fs,
    path::Path,
    process::ExitCode,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};

/// It begins when this file is there, together with the others.
const GO: &str = "/box/go";
const MESSAGE: &str = "/dev/termination-log";
/// So many may be on their way at once.
const AT_ONCE: u64 = 8;

/// As process 1 it also waits for its grandchildren: when it ends, all others have ended before.
pub(super) fn storm(seconds: u64, code: u8) -> Result<ExitCode> {
    println!("waiting");
    while !Path::new(GO).exists() {
        thread::sleep(Duration::from_millis(5));
    }
    let end = Instant::now() + Duration::from_secs(seconds);
    let (mut made, mut gone) = (0, 0);
    for turn in 0_u64.. {
        if Instant::now() >= end {
            break;
        }
        made += make(turn)?;
        while made - gone > AT_ONCE {
            gone += wait()?;
        }
    }
    while gone < made {
        gone += wait()?;
    }
    fs::write(MESSAGE, made.to_string()).with_context(|| format!("write {MESSAGE}"))?;
    println!("{made} processes");
    Ok(ExitCode::from(code))
}

/// Makes a process or two that end in one of the ways there are; gives back how many.
#[expect(unsafe_code, reason = "forks: what runs in the child are system calls alone")]
fn make(turn: u64) -> Result<u64> {
    // SAFETY: this process has one thread, and each child only makes system calls until it is gone.
    unsafe {
        match libc::fork() {
            -1 => bail!("fork: {}", std::io::Error::last_os_error()),
            0 => match turn % 4 {
                0 => libc::_exit(0),
                1 => libc::_exit(7),
                2 => {
                    libc::kill(libc::getpid(), libc::SIGKILL);
                }
                _ => {
                    // Its own child is left to process 1.
                    let code = if libc::fork() < 0 { 1 } else { 0 };
                    libc::_exit(code);
                }
            },
            _ => (),
        }
    }
    Ok(if turn % 4 == 3 { 2 } else { 1 })
}

/// One more is gone.
#[expect(unsafe_code, reason = "rustix's wait would do, but for processes it does not know")]
fn wait() -> Result<u64> {
    // SAFETY: a null pointer asks for no status.
    let pid = unsafe { libc::waitpid(-1, std::ptr::null_mut(), 0) };
    if pid < 0 { bail!("wait: {}", std::io::Error::last_os_error()) } else { Ok(1) }
}
