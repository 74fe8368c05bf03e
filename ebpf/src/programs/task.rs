//! What the programs read of tasks and cgroups, at the offsets of the running kernel. No decisions.

use aya_ebpf::helpers::{
    bpf_probe_read_kernel,
    generated::{bpf_get_current_ancestor_cgroup_id, bpf_get_current_task},
};
use carob_ebpf::{ABSENT, Layout};
use zerocopy::FromBytes;

/// Overwritten by the loader and frozen, so that the verifier sees constants.
#[unsafe(no_mangle)]
pub(super) static LAYOUT: Layout = Layout::UNKNOWN;

/// Reads one field of [`LAYOUT`] as the loader left it, not as the compiler knows it.
macro_rules! layout {
    ($field:ident) => {
        // SAFETY: a field of a static is valid and aligned.
        unsafe { core::ptr::read_volatile(&raw const $crate::programs::task::LAYOUT.$field) }
    };
}
pub(super) use layout;

/// Reads a `T` of kernel memory. `None`: no such field, a null pointer, or memory that is not there.
#[inline(always)]
pub(super) fn read<T: FromBytes>(base: u64, offset: u32) -> Option<T> {
    if base == 0 || offset == ABSENT {
        return None;
    }
    // SAFETY: the helper checks the address itself; any bytes make a `T`.
    unsafe { bpf_probe_read_kernel((base + u64::from(offset)) as *const T) }.ok()
}

/// A `struct task_struct`, that is a thread.
#[derive(Clone, Copy)]
pub(super) struct Task(u64);

impl Task {
    #[inline(always)]
    pub(super) const fn at(address: u64) -> Self {
        Self(address)
    }

    #[inline(always)]
    pub(super) fn current() -> Self {
        // SAFETY: the helper has no precondition.
        Self(unsafe { bpf_get_current_task() })
    }

    #[inline(always)]
    pub(super) fn tgid(self) -> u32 {
        read(self.0, layout!(task_tgid)).unwrap_or(0)
    }

    /// `PF_…`.
    #[inline(always)]
    pub(super) fn flags(self) -> u32 {
        read(self.0, layout!(task_flags)).unwrap_or(0)
    }

    #[inline(always)]
    pub(super) fn leader(self) -> Self {
        Self(read(self.0, layout!(task_group_leader)).unwrap_or(0))
    }

    #[inline(always)]
    pub(super) fn comm(self) -> [u8; 16] {
        read(self.0, layout!(task_comm)).unwrap_or([0; 16])
    }

    #[inline(always)]
    pub(super) fn start_boottime(self) -> u64 {
        read(self.0, layout!(task_start_boottime)).unwrap_or(0)
    }

    #[inline(always)]
    pub(super) fn exit_code(self) -> i32 {
        read(self.0, layout!(task_exit_code)).unwrap_or(0)
    }

    /// Processor time of this thread.
    #[inline(always)]
    pub(super) fn cpu_ns(self) -> u64 {
        read(self.0, layout!(task_sum_exec_runtime)).unwrap_or(0)
    }

    /// Its `struct signal_struct`, which all threads of the process share.
    #[inline(always)]
    pub(super) fn group(self) -> Group {
        Group(read(self.0, layout!(task_signal)).unwrap_or(0))
    }

    /// The cgroup at the level of containers that it is in or below.
    #[inline(always)]
    pub(super) fn container(self) -> Option<u64> {
        let css_set = read(self.0, layout!(task_cgroups))?;
        container_of(read(css_set, layout!(css_set_dfl_cgrp))?)
    }

    #[inline(always)]
    pub(super) fn is(self, other: Self) -> bool {
        self.0 == other.0
    }
}

/// A `struct signal_struct`, that is a process.
#[derive(Clone, Copy)]
pub(super) struct Group(u64);

impl Group {
    /// Threads that have not begun to exit.
    #[inline(always)]
    pub(super) fn live(self) -> i32 {
        read(self.0, layout!(signal_live)).unwrap_or(-1)
    }

    #[inline(always)]
    pub(super) fn flags(self) -> u32 {
        read(self.0, layout!(signal_flags)).unwrap_or(0)
    }

    #[inline(always)]
    pub(super) fn exit_code(self) -> i32 {
        read(self.0, layout!(signal_group_exit_code)).unwrap_or(0)
    }

    /// Peak resident pages. The kernel sets it when the last thread exits, before the tracepoint.
    #[inline(always)]
    pub(super) fn peak_pages(self) -> u64 {
        read(self.0, layout!(signal_maxrss)).unwrap_or(0)
    }

    /// Processor time of the threads that are already gone.
    #[inline(always)]
    pub(super) fn cpu_ns(self) -> u64 {
        read(self.0, layout!(signal_sum_sched_runtime)).unwrap_or(0)
    }
}

/// The container the running task is in or below. The kernel's own answer is the faster.
#[inline(always)]
pub(super) fn current_container() -> Option<u64> {
    if layout!(tracing_has_ancestor_helper) != 1 {
        return Task::current().container();
    }
    let depth = layout!(depth);
    // SAFETY: the helper has no precondition; it answers 0 if the task is not that deep.
    Some(unsafe { bpf_get_current_ancestor_cgroup_id(depth as i32) })
}

/// The id of a `struct cgroup`.
#[inline(always)]
pub(super) fn cgroup_id(cgroup: u64) -> Option<u64> {
    read(read(cgroup, layout!(cgroup_kn))?, layout!(kernfs_node_id))
}

/// The id of the cgroup at the level of containers that this one is or is below. Each cgroup carries its
/// ancestors by level: the cgroups themselves since Linux 6.1, before that their ids.
#[inline(always)]
pub(super) fn container_of(cgroup: u64) -> Option<u64> {
    let depth = layout!(depth);
    let level: i32 = read(cgroup, layout!(cgroup_level))?;
    if level < depth as i32 {
        return None;
    }
    if layout!(cgroup_ancestors) != ABSENT {
        cgroup_id(read(cgroup, layout!(cgroup_ancestors) + 8 * depth)?)
    } else if layout!(cgroup_ancestor_ids) != ABSENT {
        read(cgroup, layout!(cgroup_ancestor_ids) + 8 * depth)
    } else {
        None
    }
}
