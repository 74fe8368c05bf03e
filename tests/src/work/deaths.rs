//! Ways to die, each exactly one. As process 1 of its own namespace a process has no default actions: what needs them says so.

use std::{
    io,
    os::fd::AsRawFd,
    os::unix::process::CommandExt,
    process::{self, ExitCode},
    thread,
};

use anyhow::{Context, Result, bail};

/// Waits for ever, with the default action for every signal that Rust or a parent has changed.
pub(super) fn pause() -> Result<ExitCode> {
    for signal in 1..32 {
        set_default(signal);
    }
    println!("waiting");
    loop {
        thread::park();
    }
}

#[expect(unsafe_code, reason = "rustix does not change signal dispositions")]
fn set_default(signal: i32) {
    // SAFETY: signal(2) with SIG_DFL installs no code of ours; it fails for those that cannot be changed.
    unsafe { libc::signal(signal, libc::SIG_DFL) };
}

/// A fault of that kind, as the processor reports it.
pub(super) fn fault(kind: &str) -> Result<ExitCode> {
    match kind {
        "ill" => illegal(),
        "trap" => trap(),
        "fpe" => divide(),
        "bus" => beyond_the_file().context("make a file that shrinks")?,
        _ => bail!("faults: ill | trap | fpe | bus"),
    }
    bail!("the fault did not end this process")
}

#[expect(unsafe_code, reason = "a fault is what this workload is for")]
fn illegal() {
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

#[expect(unsafe_code, reason = "a trap is what this workload is for")]
fn trap() {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: changes nothing but this process, which ends.
    unsafe {
        std::arch::asm!("int3");
    }
    #[cfg(target_arch = "aarch64")]
    // SAFETY: as above.
    unsafe {
        std::arch::asm!("brk #0");
    }
}

/// arm64 has no such fault: there a division by zero is 0.
#[cfg_attr(target_arch = "x86_64", expect(unsafe_code, reason = "a fault is what this workload is for"))]
fn divide() {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: only registers that are named here are changed.
    unsafe {
        std::arch::asm!("xor edx, edx", "xor ecx, ecx", "div ecx", out("eax") _, out("ecx") _, out("edx") _);
    }
}

#[expect(unsafe_code, reason = "a fault is what this workload is for")]
fn beyond_the_file() -> io::Result<()> {
    let file = rustix::fs::memfd_create("shrinks", rustix::fs::MemfdFlags::empty())?;
    rustix::fs::ftruncate(&file, 4096)?;
    // SAFETY: a new mapping at an address of the kernel's choice; the file is then cut below it, so that the read is not
    // ordinary memory access but the fault itself.
    unsafe {
        let page =
            libc::mmap(std::ptr::null_mut(), 4096, libc::PROT_READ, libc::MAP_SHARED, file.as_raw_fd(), 0);
        rustix::fs::ftruncate(&file, 0)?;
        page.cast::<u8>().read_volatile();
    }
    Ok(())
}

/// Writes to a pipe that nobody reads any more. Rust has its programs ignore SIGPIPE: not here.
pub(super) fn pipe() -> Result<ExitCode> {
    set_default(libc::SIGPIPE);
    let (read, write) = rustix::pipe::pipe().context("make a pipe")?;
    drop(read);
    let written = rustix::io::write(&write, b"x");
    bail!("the write came back: {written:?}")
}

#[expect(unsafe_code, reason = "rustix has no alarm")]
pub(super) fn alarm() -> Result<ExitCode> {
    // SAFETY: alarm(2) takes a number and has no other precondition.
    unsafe { libc::alarm(1) };
    pause()
}

/// Uses more processor time than it may.
pub(super) fn spin() -> Result<ExitCode> {
    let limit = rustix::process::Rlimit { current: Some(1), maximum: Some(30) };
    rustix::process::setrlimit(rustix::process::Resource::Cpu, limit).context("set the limit")?;
    loop {
        std::hint::spin_loop();
    }
}

/// Runs in another thread than the first, which waits.
pub(super) fn in_thread(deed: impl FnOnce() -> Result<ExitCode> + Send + 'static) -> Result<ExitCode> {
    let result = thread::spawn(deed).join();
    result.unwrap_or_else(|_| bail!("the thread has panicked"))
}

/// Ends the whole process from a thread that is not the first.
pub(super) fn exit_from_thread(code: i32) -> Result<ExitCode> {
    in_thread(move || process::exit(code))
}

/// A child kills this process; nobody else could.
pub(super) fn killed_by_child(signal: &str) -> Result<ExitCode> {
    let this = std::env::current_exe().context("find this program")?;
    let own = process::id().to_string();
    let mut child = process::Command::new(this)
        .arg0("/work")
        .args(["kill", &own, signal])
        .spawn()
        .context("start the child")?;
    child.wait().context("wait for the child")?;
    // The signal is on its way.
    loop {
        thread::park();
    }
}

/// Becomes another program, not from its first thread.
pub(super) fn exec_from_thread(code: &str) -> Result<ExitCode> {
    let this = std::env::current_exe().context("find this program")?;
    let code = code.to_owned();
    in_thread(move || {
        Err(process::Command::new(this).arg0("/work").args(["exit", &code]).exec())
            .context("become another program")
    })
}
