//! A command in a container that runs: forks a process into the container's pid namespace, which then takes on all of the
//! container's limits (`confine`) and becomes the command.
//!
//! libcontainer's own way (its "tenant") loads no seccomp filter, leaves out the rlimits and gives every capability to a
//! process that names none; so only its building blocks are used here, in the order in which its init uses them.
//!
//! ```text
//!   agent                          this process                   its child
//!     │ ──── exec ──────────────────►│                                │
//!     │ ─ main's pidfd, streams ────►│ joins the pid namespace        │
//!     │                              │ ── fork ──────────────────────►│ waits until its parent is gone
//!     │ ◄─── {"pid":N} ──────────────│                                │
//!     │  takes a pidfd               │                                │
//!     │ ──── one byte ──────────────►│ exits                          │
//!     │  reaps it, inherits the child                                 │
//!     │ ──── one byte ───────────────────────────────────────────────►│ cgroup, namespaces, limits, execve
//!     │ ◄─── end of file: it runs, or why it does not ────────────────│
//! ```
//! So the child cannot end before the agent holds it. An end of file instead of a byte: the agent is gone, nothing runs.
#![expect(clippy::disallowed_methods, reason = "this is the effect")]

use std::{
    fs::OpenOptions,
    io::{IoSliceMut, PipeReader, Read},
    mem::MaybeUninit,
    os::fd::{AsFd, OwnedFd},
    path::{Path, PathBuf},
    process::ExitCode,
};

use libcontainer::oci_spec::runtime::{LinuxNamespaceType, Spec};
use rustix::{
    net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg},
    process::{DumpableBehavior, set_dumpable_behavior},
    thread::{ThreadNameSpaceType, move_into_thread_name_spaces},
};

use super::{
    Word,
    confine::{Cell, Streams},
    create::{Door, chain},
    executor::Program,
};

/// What is to be run where.
#[derive(Debug, clap::Args)]
pub(crate) struct Order {
    /// The container's cgroup directory.
    #[arg(long)]
    cgroup: PathBuf,
    /// The directory with the container's `config.json`.
    #[arg(long)]
    bundle: PathBuf,
    /// The command.
    #[arg(last = true, required = true)]
    argv: Vec<String>,
}

/// What this process turns into.
enum Side {
    Parent(i32),
    /// Readable to its end when the parent is gone.
    Child(PipeReader),
}

pub(super) fn exec(order: &Order) -> ExitCode {
    let Ok(door) = Door::open() else { return ExitCode::FAILURE };
    let forked = prepare(order, &door).and_then(|(cell, program)| {
        let side = fork().map_err(|e| format!("cannot fork into the container: {e}"))?;
        Ok((cell, program, side))
    });
    match forked {
        Err(message) => {
            door.say(&Word::Error(message));
            ExitCode::FAILURE
        }
        Ok((_, _, Side::Parent(child))) => {
            door.say(&Word::Pid(child));
            door.told_to_go();
            ExitCode::SUCCESS
        }
        Ok((cell, program, Side::Child(parent))) => inside(&door, cell, &program, parent),
    }
}

/// All that must be had from the box before the container is entered.
fn prepare(order: &Order, door: &Door) -> Result<(Cell, Program), String> {
    let (main, streams) = receive(door)?;
    let config = order.bundle.join("config.json");
    let spec = Spec::load(&config).map_err(|e| format!("cannot read {}: {}", config.display(), chain(&e)))?;
    if has_user_namespace(&spec) {
        return Err("commands in a container with a user namespace of its own are not supported".to_owned());
    }
    let mut program = Program::of(&spec);
    program.args.clone_from(&order.argv);
    let procs = order.cgroup.join("cgroup.procs");
    let open = OpenOptions::new().write(true).open(&procs);
    let procs = open.map_err(|e| format!("cannot open {}: {e}", procs.display()))?;
    let process = spec.process().as_ref().ok_or("the container's config.json has no process")?;
    if let Some(adjustment) = process.oom_score_adj() {
        let path = Path::new("/proc/self/oom_score_adj");
        std::fs::write(path, adjustment.to_string())
            .map_err(|e| format!("cannot set {}: {e}", path.display()))?;
    }
    // Until the command runs, this is a copy of a root process in sight of the container: nobody may look into it.
    set_dumpable_behavior(DumpableBehavior::NotDumpable)
        .map_err(|e| format!("cannot hide from the container: {e}"))?;
    // Takes effect for children only.
    move_into_thread_name_spaces(main.as_fd(), ThreadNameSpaceType::PROCESS_ID)
        .map_err(|e| format!("cannot join the container's pid namespace: {e}"))?;
    Ok((Cell { spec, main, streams, procs: procs.into() }, program))
}

fn has_user_namespace(spec: &Spec) -> bool {
    let namespaces = spec.linux().as_ref().and_then(|linux| linux.namespaces().as_ref());
    namespaces.is_some_and(|all| all.iter().any(|each| each.typ() == LinuxNamespaceType::User))
}

/// The container's main process, and the command's streams.
fn receive(door: &Door) -> Result<(OwnedFd, Streams), String> {
    let mut room = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(2))];
    let mut control = RecvAncillaryBuffer::new(&mut room);
    let mut byte = [0];
    recvmsg(door, &mut [IoSliceMut::new(&mut byte)], &mut control, RecvFlags::CMSG_CLOEXEC)
        .map_err(|e| format!("cannot hear which container is meant: {e}"))?;
    let mut passed = control.drain().flat_map(|message| match message {
        RecvAncillaryMessage::ScmRights(descriptors) => descriptors.collect(),
        _ => Vec::new(),
    });
    let main = passed.next().ok_or("nobody says which container is meant")?;
    let streams = match (byte[0], passed.next()) {
        (b't', Some(console)) => Streams::Terminal { console },
        (b't', None) => return Err("nobody says who is to have the terminal".to_owned()),
        (_, stdin) => Streams::Pipes { stdin },
    };
    Ok((main, streams))
}

#[expect(unsafe_code, reason = "there is no safe call for fork")]
fn fork() -> std::io::Result<Side> {
    let (parent, lives) = std::io::pipe()?;
    // SAFETY: this process has one thread, so the child's memory is whole: no lock is held by a thread that is not there.
    match unsafe { libc::fork() } {
        0 => Ok(Side::Child(parent)),
        -1 => Err(std::io::Error::last_os_error()),
        child => {
            // Held until this process ends: its end is what the child waits for.
            std::mem::forget(lives);
            Ok(Side::Parent(child))
        }
    }
}

fn inside(door: &Door, cell: Cell, program: &Program, mut parent: PipeReader) -> ExitCode {
    let alone = parent.read(&mut [0]).is_ok();
    drop(parent);
    if !alone || !door.told_to_go() {
        return ExitCode::FAILURE;
    }
    let word = match cell.enter() {
        Ok(()) => {
            let unable = program.start();
            Word::Unable { code: unable.code, message: unable.message }
        }
        Err(message) => Word::Error(message),
    };
    door.say(&word);
    ExitCode::FAILURE
}
