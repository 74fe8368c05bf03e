//! What the test containers do: one small, exact deed each. As process 1 of a container they must see to signals
//! themselves: the kernel gives a first process no default action.

mod deaths;
mod ipc;
mod mounttest;
mod safety;
mod serve;
mod storm;

use std::{
    env, fs,
    os::unix::process::{CommandExt, ExitStatusExt},
    process::{self, Command, ExitCode},
    thread,
    time::Duration,
};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, getpid, kill_process};

use crate::http;

const USAGE: &str = "workloads: exit N | segv | abort | sleep | ignore-term | hog MB | hog-child MB | \
    threads-leader-first CODE | exec-from-thread CODE | exit-from-thread CODE | segv-in-thread | hog-in-thread MB | \
    pause | fault KIND | pipe | alarm | spin | raise SIG | killed-by-child SIG | shm-put KEY TEXT | shm-get KEY | mq-put NAME TEXT | mq-get NAME | http-get URL | \
    kill PID SIG | print-lines N | ids | calls | overwrite-runtime WORD | serve PORT GOOD_SECONDS | storm SECONDS CODE | \
    mounttest fs:PATH new:MODE:PATH mode:PATH perms:PATH content:PATH …";

pub(crate) fn run(words: &[&str]) -> Result<ExitCode> {
    match *words {
        ["exit", code] => Ok(ExitCode::from(code.parse::<u8>()?)),
        ["segv"] => fault(),
        ["abort"] => process::abort(),
        ["sleep"] => until_term(),
        ["ignore-term"] => ignore_term(),
        ["hog", mib] => hog(mib.parse()?),
        ["hog-child", mib] => hog_child(mib),
        ["threads-leader-first", code] => leader_first(code.parse()?),
        ["exec-from-thread", code] => deaths::exec_from_thread(code),
        ["exit-from-thread", code] => deaths::exit_from_thread(code.parse()?),
        ["segv-in-thread"] => deaths::in_thread(fault),
        ["hog-in-thread", mib] => {
            let mib = mib.parse()?;
            deaths::in_thread(move || hog(mib))
        }
        ["pause"] => deaths::pause(),
        ["fault", kind] => deaths::fault(kind),
        ["pipe"] => deaths::pipe(),
        ["alarm"] => deaths::alarm(),
        ["spin"] => deaths::spin(),
        ["raise", signal] => kill(getpid().as_raw_nonzero().get(), signal.parse()?),
        ["killed-by-child", signal] => deaths::killed_by_child(signal),
        ["shm-put", key, text] => ipc::shm_put(key.parse()?, text),
        ["shm-get", key] => ipc::shm_get(key.parse()?),
        ["mq-put", name, text] => ipc::mq_put(name, text),
        ["mq-get", name] => ipc::mq_get(name),
        ["http-get", url] => http_get(url),
        ["kill", pid, signal] => kill(pid.parse()?, signal.parse()?),
        ["print-lines", count] => print_lines(count.parse()?),
        ["ids"] => safety::ids(),
        ["calls"] => safety::calls(),
        ["overwrite-runtime", word] => safety::overwrite_runtime(word),
        ["mounttest", ref words @ ..] => mounttest::look(words),
        ["storm", seconds, code] => storm::storm(seconds.parse()?, code.parse()?),
        ["serve", port, good] => serve_until_term(port.parse()?, good.parse()?),
        _ => bail!(USAGE),
    }
}

/// Touches memory that may not be touched, as a broken program would: the kernel reports a fault at an address.
fn fault() -> Result<ExitCode> {
    #[expect(unsafe_code, reason = "a fault is what this workload is for")]
    // SAFETY: mmap is left to choose an address that nobody uses; the write is not ordinary memory access but the
    // fault itself: the page has no permissions (or the address is mmap's failure, -1), so nothing is ever written.
    unsafe {
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        let page = libc::mmap(std::ptr::null_mut(), 4096, libc::PROT_NONE, flags, -1, 0);
        page.cast::<u8>().write_volatile(1);
    }
    bail!("the fault did not end this process")
}

/// Ends with 0 at SIGTERM: what a well-behaved container does.
fn until_term() -> Result<ExitCode> {
    await_signal(libc::SIGTERM)?;
    println!("terminated");
    Ok(ExitCode::SUCCESS)
}

/// The signal is kept back in the server's threads as well: one of them would take it, and drop it.
fn serve_until_term(port: u16, good: u64) -> Result<ExitCode> {
    block(libc::SIGTERM);
    serve::serve(port, Duration::from_secs(good))?;
    until_term()
}

fn ignore_term() -> Result<ExitCode> {
    #[expect(unsafe_code, reason = "rustix does not change signal dispositions")]
    // SAFETY: signal(2) with SIG_IGN installs no code of ours.
    let before = unsafe { libc::signal(libc::SIGTERM, libc::SIG_IGN) };
    if before == libc::SIG_ERR {
        bail!("ignore SIGTERM: {}", std::io::Error::last_os_error());
    }
    println!("ignoring");
    loop {
        thread::park();
    }
}

/// Keeps a signal back in this thread and in those it starts from now on.
fn block(signal: i32) -> libc::sigset_t {
    #[expect(unsafe_code, reason = "rustix does not wait for signals")]
    // SAFETY: sigemptyset initialises the set that the other calls read; all pointers are to live locals, and the
    // old mask, which may be null, is not asked for.
    unsafe {
        let mut set = std::mem::zeroed();
        libc::sigemptyset(&raw mut set);
        libc::sigaddset(&raw mut set, signal);
        libc::sigprocmask(libc::SIG_BLOCK, &raw const set, std::ptr::null_mut());
        set
    }
}

fn await_signal(signal: i32) -> Result<()> {
    let set = block(signal);
    let mut came = 0;
    #[expect(unsafe_code, reason = "rustix does not wait for signals")]
    // SAFETY: the set is initialised, and both pointers are to live locals.
    let waited = unsafe { libc::sigwait(&raw const set, &raw mut came) };
    if waited == 0 && came == signal { Ok(()) } else { bail!("wait for signal {signal}") }
}

/// Fills memory for good and keeps it until SIGTERM.
fn hog(mib: usize) -> Result<ExitCode> {
    let mut kept = Vec::new();
    for _ in 0..mib {
        // Not zeroes: pages that were never written cost nothing.
        kept.push(vec![0xca_u8; 1 << 20]);
    }
    println!("holding {} MiB", kept.len());
    until_term()
}

/// The child fills memory; what becomes of it is not this process's end.
fn hog_child(mib: &str) -> Result<ExitCode> {
    let this = env::current_exe().context("find this program")?;
    let status = Command::new(this).arg0("/work").args(["hog", mib]).status().context("start the hog")?;
    println!("child ended: code {:?} signal {:?}", status.code(), status.signal());
    until_term()
}

/// The thread group's leader ends first, with another code; the process ends later, by another thread. A code read
/// from the leader is then wrong.
fn leader_first(code: i32) -> Result<ExitCode> {
    let leader = getpid();
    thread::spawn(move || {
        let state = format!("/proc/self/task/{}/stat", leader.as_raw_nonzero());
        // The name in the parentheses is this program's: no parenthesis in it.
        let ended = || fs::read_to_string(&state).is_ok_and(|stat| stat.contains(") Z "));
        while !ended() {
            thread::sleep(Duration::from_millis(5));
        }
        process::exit(code)
    });
    #[expect(unsafe_code, reason = "only the bare system call ends one thread")]
    // SAFETY: exit(2) ends the calling thread; no destructor of it is needed by the thread that goes on, which
    // borrows nothing from this one.
    unsafe {
        libc::syscall(libc::SYS_exit, 3);
    }
    bail!("the leader did not end")
}

fn http_get(url: &str) -> Result<ExitCode> {
    let answer = http::fetch(url)?;
    println!("{}", answer.status);
    print!("{}", answer.body()?);
    Ok(ExitCode::SUCCESS)
}

fn kill(pid: i32, signal: i32) -> Result<ExitCode> {
    let pid = Pid::from_raw(pid).with_context(|| format!("{pid} is no process"))?;
    let signal = Signal::from_named_raw(signal).with_context(|| format!("{signal} is no signal"))?;
    kill_process(pid, signal).with_context(|| format!("send {signal:?} to {}", pid.as_raw_nonzero()))?;
    Ok(ExitCode::SUCCESS)
}

/// Numbered, so that a reader sees what is lost, doubled or torn.
fn print_lines(count: u64) -> Result<ExitCode> {
    for number in 1..=count {
        println!("line {number} of {count}");
    }
    Ok(ExitCode::SUCCESS)
}
