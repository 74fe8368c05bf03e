//! Puts this process under exactly the limits that a container's main process has, in the order of libcontainer's init.
//! All of them come from the container's own `config.json`. Starts nothing.

use std::{fs::File, io::Write, os::fd::OwnedFd};

use libcontainer::{
    apparmor, capabilities,
    oci_spec::runtime::{Process, Spec, User},
    seccomp,
    syscall::{Syscall, syscall::create_syscall},
};
use rustix::{
    fs::{FileType, Gid, Mode, OFlags, Uid, fchown, fstat},
    io::Errno,
    process::{chdir, setsid, umask},
    stdio,
    thread::{
        ThreadNameSpaceType, move_into_thread_name_spaces, set_keep_capabilities, set_no_new_privs,
        set_thread_groups, set_thread_res_gid, set_thread_res_uid,
    },
};

use super::{create::chain, terminal};

/// A container that runs, and the way in.
pub(super) struct Cell {
    pub(super) spec: Spec,
    /// Its main process.
    pub(super) main: OwnedFd,
    /// `cgroup.procs` of its cgroup.
    pub(super) procs: OwnedFd,
    pub(super) streams: Streams,
}

/// What a command in it reads and writes.
pub(super) enum Streams {
    /// The pipes that this process has, and what it is to read; nothing if absent.
    Pipes { stdin: Option<OwnedFd> },
    /// A terminal, whose master goes to this socket.
    Terminal { console: OwnedFd },
}

/// Whether the working directory could be entered before the user was changed.
#[derive(PartialEq)]
enum Directory {
    Entered,
    TryAsUser,
}

impl Cell {
    /// Becomes an inmate. There is no way back: whoever cannot become one must exit.
    pub(super) fn enter(self) -> Result<(), String> {
        let Self { spec, main, procs, streams } = self;
        let process = spec.process().as_ref().ok_or("the container's config.json has no process")?;
        let syscall = create_syscall();
        File::from(procs).write_all(b"0").map_err(|e| format!("cannot join the container's cgroup: {e}"))?;
        for limit in process.rlimits().iter().flatten() {
            syscall.set_rlimit(limit).map_err(|e| format!("cannot set a resource limit: {}", chain(&e)))?;
        }
        join(&main)?;
        setsid().map_err(fault("make a session"))?;
        let console = match streams {
            Streams::Pipes { stdin } => {
                stand(stdin, process.user())?;
                None
            }
            Streams::Terminal { console } => Some(console),
        };
        if process.no_new_privileges() == Some(true) {
            set_no_new_privs(true).map_err(fault("renounce new privileges"))?;
        }
        if let Some(profile) = process.apparmor_profile() {
            let applied = apparmor::apply_profile(profile);
            applied.map_err(|e| format!("cannot take on the AppArmor profile {profile:?}: {}", chain(&e)))?;
        }
        if let Some(mask) = process.user().umask() {
            umask(Mode::from_raw_mode(mask));
        }
        let directory = enter_directory(process)?;
        become_user(process.user(), &*syscall)?;
        if let Some(console) = console {
            terminal::take(&console)?;
        }
        syscall.close_range(0).map_err(|e| format!("cannot mark open files: {}", chain(&e)))?;
        drop_rights(&spec, process, &*syscall)?;
        if directory == Directory::TryAsUser {
            chdir(process.cwd()).map_err(fault("enter the working directory"))?;
        }
        // A directory outside shows as one that is not below the root (CVE-2024-21626).
        std::env::current_dir().map_err(|e| format!("the working directory is not in the container: {e}"))?;
        filter(&spec, Filter::Late)
    }
}

fn fault(what: &'static str) -> impl Fn(Errno) -> String {
    move |e| format!("cannot {what}: {e}")
}

/// All but the pid namespace, which a process cannot change for itself.
fn join(main: &OwnedFd) -> Result<(), String> {
    use std::os::fd::AsFd;
    let rest = ThreadNameSpaceType::MOUNT
        | ThreadNameSpaceType::CONTROL_GROUP
        | ThreadNameSpaceType::HOST_NAME_AND_NIS_DOMAIN_NAME
        | ThreadNameSpaceType::INTER_PROCESS_COMMUNICATION
        | ThreadNameSpaceType::NETWORK;
    move_into_thread_name_spaces(main.as_fd(), rest).map_err(fault("join the container's namespaces"))
}

/// Standard input, and pipes that the container's user may open again by name. An empty input is the container's own
/// `/dev/null`: its user could change the mode of the box's.
fn stand(stdin: Option<OwnedFd>, user: &User) -> Result<(), String> {
    let stdin = match stdin {
        Some(stdin) => stdin,
        None => rustix::fs::open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())
            .map_err(fault("open the container's /dev/null"))?,
    };
    stdio::dup2_stdin(&stdin).map_err(fault("set up standard input"))?;
    for fd in [stdio::stdin(), stdio::stdout(), stdio::stderr()] {
        let is_pipe = fstat(fd).is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::Fifo);
        if is_pipe {
            fchown(fd, Some(Uid::from_raw(user.uid())), Some(Gid::from_raw(user.gid())))
                .map_err(fault("give the standard streams to the container's user"))?;
        }
    }
    Ok(())
}

/// Entered as root if that works: the user may have to work in a directory that it could not reach.
fn enter_directory(process: &Process) -> Result<Directory, String> {
    match chdir(process.cwd()) {
        Ok(()) => Ok(Directory::Entered),
        Err(Errno::PERM | Errno::ACCESS) => Ok(Directory::TryAsUser),
        Err(e) => Err(format!("cannot enter the working directory {}: {e}", process.cwd().display())),
    }
}

fn become_user(user: &User, syscall: &dyn Syscall) -> Result<(), String> {
    let groups: Vec<Gid> = user.additional_gids().iter().flatten().map(|gid| Gid::from_raw(*gid)).collect();
    if !groups.is_empty() {
        set_thread_groups(&groups).map_err(fault("take on the supplementary groups"))?;
    }
    let (uid, gid) = (Uid::from_raw(user.uid()), Gid::from_raw(user.gid()));
    set_keep_capabilities(true).map_err(fault("keep capabilities while the user changes"))?;
    set_thread_res_gid(gid, gid, gid).map_err(fault("become the container's group"))?;
    set_thread_res_uid(uid, uid, uid).map_err(fault("become the container's user"))?;
    if !uid.is_root() {
        reset_effective(syscall)?;
    }
    set_keep_capabilities(false).map_err(fault("keep capabilities no longer"))
}

fn reset_effective(syscall: &dyn Syscall) -> Result<(), String> {
    capabilities::reset_effective(syscall).map_err(|e| format!("cannot set capabilities: {}", chain(&e)))
}

/// Loading a filter takes a privilege, unless new privileges were renounced: then it is loaded last of all.
fn drop_rights(spec: &Spec, process: &Process, syscall: &dyn Syscall) -> Result<(), String> {
    filter(spec, Filter::Early)?;
    reset_effective(syscall)?;
    if let Some(wanted) = process.capabilities() {
        let dropped = capabilities::drop_privileges(wanted, syscall);
        dropped.map_err(|e| format!("cannot drop capabilities: {}", chain(&e)))?;
    }
    Ok(())
}

#[derive(PartialEq)]
enum Filter {
    Early,
    Late,
}

/// Loads the container's seccomp filter if now is its time.
fn filter(spec: &Spec, now: Filter) -> Result<(), String> {
    let process = spec.process().as_ref();
    let renounced = process.and_then(Process::no_new_privileges).is_some();
    let due = if renounced { Filter::Late } else { Filter::Early };
    let profile = spec.linux().as_ref().and_then(|linux| linux.seccomp().as_ref());
    let Some(profile) = profile.filter(|_| due == now) else { return Ok(()) };
    let loaded = seccomp::initialize_seccomp(profile);
    loaded.map(drop).map_err(|e| format!("cannot load the seccomp filter: {}", chain(&e)))
}
