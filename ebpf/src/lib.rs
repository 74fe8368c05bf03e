//! The wire between the kernel programs and the agent, and the kernel's rules that both sides must read
//! alike.
//!
//! Plain data and pure functions, `no_std`, tested on the host. It does not touch the kernel: `main.rs` holds
//! the programs, the agent's `kernel` module loads them and reads their maps.
//!
//! Every record is self-contained, has no padding (`IntoBytes` proves it when compiled) and is all zero when
//! empty.
#![no_std]

pub mod rules;

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Number of this layout. It goes into the name of the pin directory, so that a program never meets a map of
/// another layout: versions with the same number share their maps while one takes over from the other.
pub const WIRE: u32 = 2;

/// The maps by the names they have in the object and in the pin directory.
pub mod map {
    /// Cgroup id → [`crate::Owner`]. Written by the agent, read by the programs.
    pub const OWNERS: &str = "OWNERS";
    /// Cgroup id → [`crate::Death`]. Written by the programs, read and removed by the agent.
    pub const DEATHS: &str = "DEATHS";
    /// Cgroup id → [`crate::Counters`]. Made by the agent, counted up by the programs.
    pub const COUNTERS: &str = "COUNTERS";
    /// [`crate::Target`] → [`crate::Signal`]: the last signal that could have killed. Programs only.
    pub const SIGNALS: &str = "SIGNALS";
    /// Processes that have been seen to end, so that each ends once. Programs only.
    pub const GONE: &str = "GONE";
    /// One `u64`: events and records that did not fit anywhere.
    pub const LOST: &str = "LOST";
    /// Ring of [`crate::Event`].
    pub const EVENTS: &str = "EVENTS";
}

/// The programs by the names they have in the object.
pub mod program {
    /// On `sched_process_exit`.
    pub const EXIT: &str = "carob_exit";
    /// On `signal_generate`.
    pub const SIGNAL: &str = "carob_signal";
    /// On `mark_victim`.
    pub const VICTIM: &str = "carob_victim";
    /// On the entry of `oom_kill_process`.
    pub const OOM_BEGIN: &str = "carob_oom_begin";
    /// On its return.
    pub const OOM_END: &str = "carob_oom_end";
}

/// The read-only global the loader fills: [`Layout`].
pub const LAYOUT: &str = "LAYOUT";

/// An offset the running kernel does not have. A field at it reads as absent.
pub const ABSENT: u32 = u32::MAX;

/// Where the reason for SIGKILL stands in [`Owner::why`].
pub const KILL_SHIFT: u32 = 8;

/// `/proc/PID/stat` counts in units of 1/100 s whatever the kernel's own tick is (`USER_HZ`).
pub const TICK_NS: u64 = 10_000_000;

/// What the agent says of one container's cgroup, beforehand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
pub struct Owner {
    /// The main process. 0: not started yet; whatever exits is the runtime's.
    pub main_tgid: u32,
    /// Why the agent is ending the container. 0: it is not. From bit [`KILL_SHIFT`] on: why it used SIGKILL, once it has.
    pub why: u32,
    /// Start of the main process in `TICK_NS` since boot, as `/proc/PID/stat` says it. With the tgid it names
    /// one process for as long as the box is up.
    pub main_start_ticks: u64,
    /// When the agent will use SIGKILL, `CLOCK_BOOTTIME`. 0: no such time.
    pub deadline_ns: u64,
}

/// A process at which a signal was aimed. The key of [`map::SIGNALS`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
pub struct Target {
    pub tgid: u32,
    pub sig: u32,
}

/// A signal that could have killed, and who sent it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
pub struct Signal {
    /// `CLOCK_BOOTTIME`. 0: no such signal was seen.
    pub at_ns: u64,
    /// The container of the process it was sent to.
    pub cgroup: u64,
    /// The sender's container if it is in one, else its plain cgroup.
    pub sender_cgroup: u64,
    /// Where it faulted; meaningful if [`rules::has_address`].
    pub address: u64,
    pub sig: u32,
    pub si_code: i32,
    /// One of [`rules::Origin`].
    pub origin: u32,
    /// In the host's pid namespace, as all pids here. 0 unless a process sent it.
    pub sender_tgid: u32,
    /// In the host's user namespace.
    pub sender_uid: u32,
    /// 1: its OOM kill has been counted.
    pub counted: u32,
    /// Of the sender's leader, since a thread may carry a name of its own.
    pub sender_comm: [u8; 16],
    /// The OOM kill this signal belongs to.
    pub oom: Oom,
}

/// An OOM kill.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
pub struct Oom {
    /// The cgroup whose limit was hit. 0: none (the box ran out), or not known; see `known`.
    pub limit_cgroup: u64,
    /// The container that cgroup is or is inside of. 0: none.
    pub limit_container: u64,
    /// Bytes the kernel had to give there: the limit and its swap, or all of the box.
    pub total_bytes: u64,
    /// The process the kernel chose; others die with it if `memory.oom.group` says so. 0: not known.
    pub chosen_tgid: u32,
    /// One of [`rules::OomKnown`].
    pub known: u32,
    /// The kernel's `enum oom_constraint`: 0 none, 1 cpuset, 2 memory policy, 3 memory cgroup.
    pub constraint: u32,
    /// Zero: keeps the record free of padding.
    pub reserved: u32,
}

/// The end of a main process: everything the kernel knew of it, in one record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
pub struct Death {
    /// The container.
    pub cgroup: u64,
    /// `CLOCK_BOOTTIME` of the exit.
    pub at_ns: u64,
    /// `CLOCK_BOOTTIME` of the process' start.
    pub started_ns: u64,
    /// Processor time of all its threads.
    pub cpu_ns: u64,
    /// Peak resident memory, as `ru_maxrss`.
    pub peak_bytes: u64,
    pub tgid: u32,
    /// As `wait` gives it: see [`rules::wait_status`].
    pub status: u32,
    /// The owner's `why` at that instant.
    pub why: u32,
    /// Zero: keeps the record free of padding.
    pub reserved: u32,
    pub comm: [u8; 16],
    /// The signal it died of; empty if it exited, or if the sending was not seen.
    pub signal: Signal,
}

/// What happened in one container since its owner was written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
pub struct Counters {
    /// Exits of the main process: 0 or 1.
    pub exits_main: u64,
    /// Exits before the main process was named: the runtime's own.
    pub exits_runtime: u64,
    /// Exits of any other process: children, probes, execs.
    pub exits_other: u64,
    /// Processes killed by the OOM killer, the main one included.
    pub oom_kills: u64,
    /// Records or events of this container that were dropped.
    pub lost: u64,
}

/// A wake-up. What it says is also in the maps, where it stays if the ring overflows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
pub struct Event {
    pub cgroup: u64,
    pub at_ns: u64,
    pub tgid: u32,
    /// One of [`rules::EventKind`].
    pub kind: u32,
}

/// Where the running kernel keeps what the programs read, in bytes from the start of the named structure;
/// [`ABSENT`] where it has no such thing. Taken from the kernel's BTF by the loader.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
pub struct Layout {
    /// The cgroup level at which containers are: the root has 0.
    pub depth: u32,
    pub page_size: u32,
    /// 1: `sched_process_exit` says whether the thread is the last of its process (6.16).
    pub exit_has_group_dead: u32,
    /// 1: `mark_victim` carries the task (6.8 and stable kernels), 0: only its pid.
    pub victim_is_task: u32,
    /// 1: a tracing program may ask for the running task's ancestor among cgroups (not in 5.10). No type says so:
    /// the loader tries.
    pub tracing_has_ancestor_helper: u32,

    pub task_tgid: u32,
    pub task_flags: u32,
    pub task_comm: u32,
    pub task_signal: u32,
    pub task_cgroups: u32,
    pub task_exit_code: u32,
    pub task_group_leader: u32,
    pub task_start_boottime: u32,
    pub task_sum_exec_runtime: u32,

    pub signal_live: u32,
    pub signal_flags: u32,
    pub signal_maxrss: u32,
    pub signal_group_exit_code: u32,
    pub signal_sum_sched_runtime: u32,

    pub css_set_dfl_cgrp: u32,
    pub cgroup_kn: u32,
    pub cgroup_level: u32,
    /// `struct cgroup *ancestors[]` (6.1), by level.
    pub cgroup_ancestors: u32,
    /// `u64 ancestor_ids[]` (before 6.1), by level.
    pub cgroup_ancestor_ids: u32,
    pub kernfs_node_id: u32,

    pub siginfo_code: u32,
    pub siginfo_address: u32,

    pub oom_memcg: u32,
    pub oom_chosen: u32,
    pub oom_totalpages: u32,
    pub oom_constraint: u32,
    pub memcg_cgroup: u32,
    /// The register of a function's first argument in `pt_regs`.
    pub pt_regs_first: u32,
}

impl Layout {
    /// Nothing is known: every field reads as absent.
    pub const UNKNOWN: Self = zerocopy::transmute!([ABSENT; size_of::<Self>() / size_of::<u32>()]);
}

/// A `comm` as text: up to the first zero.
#[must_use]
pub fn comm(bytes: &[u8; 16]) -> &[u8] {
    bytes.split(|byte| *byte == 0).next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_record_has_the_size_the_other_side_expects() {
        let sizes = [
            ("owner", size_of::<Owner>(), 24),
            ("target", size_of::<Target>(), 8),
            ("signal", size_of::<Signal>(), 112),
            ("oom", size_of::<Oom>(), 40),
            ("death", size_of::<Death>(), 184),
            ("counters", size_of::<Counters>(), 40),
            ("event", size_of::<Event>(), 24),
        ];
        for (name, size, expected) in sizes {
            assert_eq!(size, expected, "{name}: a change of layout needs a new WIRE number");
        }
    }

    #[test]
    fn a_record_survives_the_wire_and_a_torn_one_is_refused() {
        let death = Death { cgroup: 42, tgid: 7, status: 9, ..Death::default() };
        assert_eq!(Death::read_from_bytes(death.as_bytes()), Ok(death));
        assert!(Death::read_from_bytes(&death.as_bytes()[1..]).is_err());
    }

    #[test]
    fn an_unknown_layout_has_no_field() {
        assert!(Layout::UNKNOWN.as_bytes().iter().all(|byte| *byte == 0xff));
    }

    #[test]
    fn a_comm_ends_at_its_first_zero() {
        let rows: [(&[u8; 16], &[u8]); 3] = [
            (b"sh\0\0\0\0\0\0\0\0\0\0\0\0\0\0", b"sh"),
            (b"sixteen-letters!", b"sixteen-letters!"),
            (b"\0hidden\0\0\0\0\0\0\0\0\0", b""),
        ];
        for (bytes, text) in rows {
            assert_eq!(comm(bytes), text);
        }
    }
}
