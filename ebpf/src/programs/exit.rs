//! The end of a process. It writes the death record of a main process and counts the others; it signals
//! nobody.

use aya_ebpf::{macros::btf_tracepoint, programs::BtfTracePointContext};
use carob_ebpf::{
    Death, Owner, Target,
    rules::{self, EventKind},
};

use super::{
    maps::{self, DEATHS, EXISTS, GONE, Gone, NOEXIST, SIGNALS},
    task::{self, Task, layout},
};

/// Why this hook: it is the one place every thread passes on its way out, whatever ended it, after the exit
/// code and the peak of memory are final and before the task leaves its cgroup. The raw BTF form has the task
/// itself and works on arm64 too, where fentry is late to come; the trace event has neither the code nor the
/// process.
#[btf_tracepoint(function = "sched_process_exit")]
fn carob_exit(ctx: BtfTracePointContext) -> i32 {
    let Some(cgroup) = task::current_container() else { return 0 };
    let Some(owner) = maps::owner(cgroup) else { return 0 };
    let task = Task::at(ctx.arg(0));
    if is_last_thread(&ctx, task) && is_first_to_see(task) {
        ended(cgroup, &owner, task);
    }
    0
}

/// Linux 6.16 says which thread is the last. Before, two threads that exit together may both see that none is
/// live.
#[inline(always)]
fn is_last_thread(ctx: &BtfTracePointContext, task: Task) -> bool {
    if layout!(exit_has_group_dead) == 1 { ctx.arg::<u64>(1) & 0xff != 0 } else { task.group().live() == 0 }
}

/// True once for each process: for one of two threads, and for one of two versions of this program.
#[inline(always)]
fn is_first_to_see(task: Task) -> bool {
    let gone = Gone { start_boottime: task.leader().start_boottime(), tgid: u64::from(task.tgid()) };
    !matches!(GONE.insert(gone, 0, NOEXIST), Err(EXISTS))
}

#[inline(always)]
fn ended(cgroup: u64, owner: &Owner, task: Task) {
    let (tgid, leader) = (task.tgid(), task.leader());
    if owner.main_tgid == 0 {
        maps::count(cgroup, |counters| &mut counters.exits_runtime);
    } else if rules::is_main(owner, tgid, leader.start_boottime()) {
        main_died(cgroup, owner, task);
    } else {
        maps::count(cgroup, |counters| &mut counters.exits_other);
    }
}

#[inline(always)]
fn main_died(cgroup: u64, owner: &Owner, task: Task) {
    let mut death = Death::default();
    describe(&mut death, task);
    death.cgroup = cgroup;
    death.why = owner.why;
    join_signal(&mut death);
    match DEATHS.insert(cgroup, &death, NOEXIST) {
        Ok(()) => (),
        // The first record stands.
        Err(EXISTS) => return,
        Err(_) => maps::lose(cgroup),
    }
    maps::join_oom(cgroup, Target { tgid: death.tgid, sig: death.signal.sig });
    maps::count(cgroup, |counters| &mut counters.exits_main);
    maps::wake(EventKind::MainDied, cgroup, death.tgid);
}

/// In place: a BPF stack has 512 bytes, and a record moved is a record twice.
#[inline(always)]
fn describe(death: &mut Death, task: Task) {
    let (leader, group) = (task.leader(), task.group());
    death.at_ns = maps::now();
    death.started_ns = leader.start_boottime();
    death.cpu_ns = group.cpu_ns() + leader.cpu_ns() + if task.is(leader) { 0 } else { task.cpu_ns() };
    death.peak_bytes = group.peak_pages() * u64::from(layout!(page_size));
    death.tgid = task.tgid();
    death.status = rules::wait_status(group.flags(), group.exit_code(), leader.exit_code());
    death.comm = leader.comm();
}

/// The signal it died of was sent under the same lock that made it fatal, so its record is already there.
#[inline(always)]
fn join_signal(death: &mut Death) {
    let sig = rules::status_signal(death.status);
    if sig == 0 {
        return;
    }
    // SAFETY: `get` asks that the value is not used past its removal; it is copied at once.
    if let Some(signal) = unsafe { SIGNALS.get(Target { tgid: death.tgid, sig }) } {
        // One of an earlier process with the same tgid is not it.
        if signal.cgroup == death.cgroup && signal.at_ns >= death.started_ns {
            death.signal = *signal;
        }
    }
}
