//! Makes the process that holds a pod's shared namespace of processes: number 1 in it, which reaps what has lost its parent
//! and does nothing else. Only for `shareProcessNamespace`: a namespace of processes lives as long as its first one.
//!
//! Every process of the pod sees it, and one with `CAP_SYS_PTRACE` could look through it. So it has nothing: an empty
//! read-only root, no open file, no capability, a user of its own.
//!
//! ```text
//!   agent                       this process                 its child
//!     │ ──── exec ─────────────►│ ── clone into a new one ──►│ cgroup, namespaces, root, user
//!     │                         │ ◄── "ready", or why not ── │ sleeps for ever
//!     │ ◄─── pinned; exits ─────│
//! ```
#![expect(clippy::disallowed_methods, reason = "this is the effect")]

use std::{
    fs::{self, File},
    io::{PipeWriter, Read, Write},
    os::fd::{AsFd, AsRawFd, OwnedFd},
    path::{Path, PathBuf},
    process::ExitCode,
};

use rustix::{
    fs::{Gid, Mode, OFlags, Uid, open},
    io::Errno,
    mount::{
        MountFlags, MountPropagationFlags, UnmountFlags, mount, mount_bind, mount_change, mount_remount,
        unmount,
    },
    process::{DumpableBehavior, chdir, pivot_root, set_dumpable_behavior, setsid},
    stdio,
    thread::{
        UnshareFlags, move_into_link_name_space, set_name, set_no_new_privs, set_thread_groups,
        set_thread_res_gid, set_thread_res_uid,
    },
};

/// The user of Kubernetes' own pause process.
const NOBODY: u32 = 65535;
/// As the kubelet sets it for a pod's infrastructure: the last to be killed.
const OOM_SCORE_ADJ: &str = "-998";

/// Where things are.
#[derive(Debug, clap::Args)]
pub(crate) struct Order {
    /// The cgroup directory it is to live in.
    #[arg(long)]
    cgroup: PathBuf,
    /// The directory of the pod's pinned namespaces: it enters those that are there, and its own is pinned as `pid`.
    #[arg(long)]
    namespaces: PathBuf,
    /// An empty directory.
    #[arg(long)]
    empty: PathBuf,
}

/// Standard error says why, if it fails.
pub(super) fn pause(order: &Order) -> ExitCode {
    match make(order) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("{message}");
            ExitCode::FAILURE
        }
    }
}

fn fault<E: std::fmt::Display>(what: &'static str) -> impl Fn(E) -> String {
    move |e| format!("cannot {what}: {e}")
}

fn make(order: &Order) -> Result<(), String> {
    let (mut ready, says) = std::io::pipe().map_err(fault("make a pipe"))?;
    unshare(UnshareFlags::NEWPID).map_err(fault("make a namespace of processes"))?;
    let child = fork().map_err(fault("fork into it"))?;
    if child == 0 {
        drop(ready);
        let failed = settle(order).err();
        return sleep(says, failed);
    }
    drop(says);
    let mut said = String::new();
    ready.read_to_string(&mut said).map_err(fault("hear of the pause process"))?;
    if said != READY {
        return Err(if said.is_empty() { "the pause process was killed at once".to_owned() } else { said });
    }
    let pin = order.namespaces.join("pid");
    File::create(&pin).map_err(fault("make the file to pin the namespace to"))?;
    mount_bind(format!("/proc/{child}/ns/pid"), &pin).map_err(fault("pin the namespace of processes"))
}

const READY: &str = "ready";

/// Leaves the box behind.
fn settle(order: &Order) -> Result<(), String> {
    let procs = order.cgroup.join("cgroup.procs");
    fs::write(&procs, "0").map_err(fault("join the pod's cgroup"))?;
    fs::write("/proc/self/oom_score_adj", OOM_SCORE_ADJ).map_err(fault("set its oom_score_adj"))?;
    setsid().map_err(fault("make a session"))?;
    set_name(c"pause").map_err(fault("name it"))?;
    for name in ["net", "ipc", "uts"] {
        enter(&order.namespaces.join(name)).map_err(fault("enter the pod's namespaces"))?;
    }
    let null =
        open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty()).map_err(fault("open /dev/null"))?;
    for stream in [stdio::dup2_stdin, stdio::dup2_stdout, stdio::dup2_stderr] {
        stream(&null).map_err(fault("leave the agent's streams"))?;
    }
    unshare(UnshareFlags::NEWNS | UnshareFlags::NEWCGROUP).map_err(fault("make namespaces of its own"))?;
    empty_root(&order.empty).map_err(fault("change to an empty root"))?;
    drop_rights().map_err(fault("give up its rights"))
}

/// One that is not there is the box's, in which it already is.
fn enter(pinned: &Path) -> Result<(), Errno> {
    match open(pinned, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()) {
        Ok(namespace) => move_into_link_name_space(namespace.as_fd(), None),
        Err(Errno::NOENT) => Ok(()),
        Err(e) => Err(e),
    }
}

fn empty_root(at: &Path) -> Result<(), Errno> {
    mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)?;
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    mount("tmpfs", at, "tmpfs", flags, c"size=4k,mode=555")?;
    mount_remount(at, flags | MountFlags::RDONLY, c"")?;
    chdir(at)?;
    // The old root comes to lie on the new one, and is taken off it.
    pivot_root(".", ".")?;
    unmount(".", UnmountFlags::DETACH)?;
    chdir("/")
}

/// A change of the user from root to another takes all capabilities along.
fn drop_rights() -> Result<(), Errno> {
    let (uid, gid) = (Uid::from_raw(NOBODY), Gid::from_raw(NOBODY));
    set_thread_groups(&[])?;
    set_thread_res_gid(gid, gid, gid)?;
    set_thread_res_uid(uid, uid, uid)?;
    set_no_new_privs(true)?;
    set_dumpable_behavior(DumpableBehavior::NotDumpable)
}

/// Never comes back if all is well. The kernel reaps the children of a process that ignores their end, and lets nothing
/// but SIGKILL from outside reach the first process of a namespace that handles no signal.
fn sleep(says: PipeWriter, failed: Option<String>) -> Result<(), String> {
    let mut says = File::from(OwnedFd::from(says));
    if let Some(message) = failed {
        let _ = says.write_all(message.as_bytes());
        return Err(message);
    }
    ignore_children();
    let _ = says.write_all(READY.as_bytes());
    close_all();
    loop {
        wait();
    }
}

#[expect(unsafe_code, reason = "rustix calls it unsafe, as files could be unshared")]
fn unshare(flags: UnshareFlags) -> Result<(), Errno> {
    // SAFETY: the table of open files is not among the flags.
    unsafe { rustix::thread::unshare_unsafe(flags) }
}

#[expect(unsafe_code, reason = "there is no safe call for fork")]
fn fork() -> std::io::Result<i32> {
    // SAFETY: this process has one thread, so the child's memory is whole: no lock is held by a thread that is not there.
    match unsafe { libc::fork() } {
        -1 => Err(std::io::Error::last_os_error()),
        child => Ok(child),
    }
}

#[expect(unsafe_code, reason = "there is no safe call for signal dispositions")]
fn ignore_children() {
    // SAFETY: signal(2) with SIG_IGN installs no code of ours.
    unsafe { libc::signal(libc::SIGCHLD, libc::SIG_IGN) };
}

/// The pipe's end among them: that is what tells the parent.
#[expect(
    unsafe_code,
    reason = "closes descriptors that are still owned by values; none of them is used or dropped again"
)]
fn close_all() {
    let first = stdio::stderr().as_raw_fd() + 1;
    // SAFETY: close_range only closes; after it this process does nothing but wait.
    unsafe { libc::syscall(libc::SYS_close_range, first, u32::MAX, 0) };
}

#[expect(unsafe_code, reason = "rustix has no pause")]
fn wait() {
    // SAFETY: pause has no precondition.
    unsafe { libc::pause() };
}
