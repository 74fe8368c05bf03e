//! The OOM killer. It completes the record of the SIGKILL that a victim gets; whose exit that was is for
//! others to say.

use aya_ebpf::{
    EbpfContext,
    helpers::bpf_get_current_pid_tgid,
    macros::{btf_tracepoint, kprobe, kretprobe, map},
    maps::Array,
    programs::{BtfTracePointContext, ProbeContext, RetProbeContext},
};
use carob_ebpf::{
    Oom, Target,
    rules::{EventKind, OomKnown, SI_KERNEL, SIGKILL},
};

use super::{
    maps::{self, SIGNALS},
    task::{self, Task, layout, read},
};

/// A run of the OOM killer.
#[derive(Clone, Copy)]
#[repr(C)]
struct Run {
    /// The thread that ran out of memory and does the killing. 0: none.
    invoker: u64,
    oom: Oom,
}

/// One slot is enough: the kernel holds `oom_lock` around every run.
#[map]
static RUN: Array<Run> = Array::with_max_entries(1, 0);

/// Why this hook: every victim passes here, the ones `memory.oom.group` adds included, on every kernel, with
/// or without kprobes. It comes after the victim's SIGKILL and says that this SIGKILL was an OOM kill; the
/// exit may have come in between.
#[btf_tracepoint(function = "mark_victim")]
fn carob_victim(ctx: BtfTracePointContext) -> i32 {
    let tgid = if layout!(victim_is_task) == 1 { Task::at(ctx.arg(0)).tgid() } else { ctx.arg::<u32>(0) };
    let _not_ours = marked(tgid);
    0
}

#[inline(always)]
fn marked(tgid: u32) -> Option<()> {
    let target = Target { tgid, sig: SIGKILL };
    // Only victims in our containers have a record.
    let signal = SIGNALS.get_ptr_mut(target)?;
    // SAFETY: the pointer is to a live map value for as long as the program runs.
    let cgroup = unsafe {
        // A process that was dying of something else is marked too, to let it use the reserves. It was not
        // killed.
        if (*signal).si_code != SI_KERNEL {
            return None;
        }
        // While one version of this program takes over from another, both see each kill.
        if (*signal).counted != 0 {
            return None;
        }
        (*signal).counted = 1;
        if (*signal).oom.known == OomKnown::Nothing as u32 {
            (*signal).oom.known = OomKnown::Victim as u32;
        }
        (*signal).cgroup
    };
    let owner = maps::owner(cgroup)?;
    maps::count(cgroup, |counters| &mut counters.oom_kills);
    if owner.main_tgid == tgid {
        maps::join_oom(cgroup, target);
    } else {
        maps::wake(EventKind::OomKilledOther, cgroup, tgid);
    }
    Some(())
}

/// Why this hook: it is the only place that knows whose limit was hit and whom the kernel chose. It comes
/// before all the signals of the run, so each of them can take that along. A kprobe, because fentry is absent
/// on arm64 in 6.1; optional, because a kernel may have no kprobes.
#[kprobe]
fn carob_oom_begin(ctx: ProbeContext) -> u32 {
    if let Some(run) = RUN.get_ptr_mut(0) {
        let control = read(ctx.as_ptr() as u64, layout!(pt_regs_first)).unwrap_or(0);
        // SAFETY: the pointer is to a live map value, and `oom_lock` keeps other writers out.
        unsafe {
            (*run).oom = describe(control);
            (*run).invoker = bpf_get_current_pid_tgid();
        }
    }
    0
}

/// Why this hook: without it a later SIGKILL from the same thread would pass for an OOM kill.
#[kretprobe]
fn carob_oom_end(_ctx: RetProbeContext) -> u32 {
    if let Some(run) = RUN.get_ptr_mut(0) {
        // SAFETY: as above.
        unsafe { (*run).invoker = 0 };
    }
    0
}

/// Reads a `struct oom_control`.
#[inline(always)]
fn describe(control: u64) -> Oom {
    let mut oom = Oom::default();
    let memcg = read(control, layout!(oom_memcg)).unwrap_or(0);
    let cgroup = read(memcg, layout!(memcg_cgroup)).unwrap_or(0);
    oom.limit_cgroup = task::cgroup_id(cgroup).unwrap_or(0);
    oom.limit_container = task::container_of(cgroup).unwrap_or(0);
    oom.total_bytes =
        read::<u64>(control, layout!(oom_totalpages)).unwrap_or(0) * u64::from(layout!(page_size));
    oom.chosen_tgid = Task::at(read(control, layout!(oom_chosen)).unwrap_or(0)).tgid();
    oom.constraint = read(control, layout!(oom_constraint)).unwrap_or(0);
    oom.known = OomKnown::Limit as u32;
    oom
}

/// Fills in the OOM kill that the running thread is in the middle of, if it is.
#[inline(always)]
pub(super) fn under_way(oom: &mut Oom) {
    if let Some(run) = RUN.get(0) {
        if run.invoker == bpf_get_current_pid_tgid() {
            *oom = run.oom;
        }
    }
}
