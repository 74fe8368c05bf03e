//! The sending of a signal. It remembers, for the victim, who sent what could kill it; it does not know yet
//! whether it will.

use aya_ebpf::{
    EbpfContext,
    helpers::{bpf_get_current_pid_tgid, bpf_get_current_uid_gid, generated::bpf_get_current_cgroup_id},
    macros::btf_tracepoint,
    programs::BtfTracePointContext,
};
use carob_ebpf::{
    Owner, Signal, Target,
    rules::{self, EventKind, Info, Origin, SIGKILL, SIGTERM},
};

use super::{
    maps::{self, SIGNALS},
    oom,
    task::{self, Task, layout, read},
};

/// `TRACE_SIGNAL_DELIVERED`: queued for the victim.
const DELIVERED: u32 = 0;
/// `TRACE_SIGNAL_IGNORED`.
const IGNORED: u32 = 1;
/// `TRACE_SIGNAL_LOSE_INFO`: queued, but the victim will not see by whom. Here the sender is known all the
/// same.
const LOSE_INFO: u32 = 4;

/// Why this hook: it runs in the sender, under the victim's signal lock, before the victim can act on the
/// signal. So `current` is the sender where there is one, and the record is in place before the exit that
/// looks for it. `signal_deliver` comes too late for that: what kills arrives as SIGKILL without details in
/// every thread.
#[btf_tracepoint(function = "signal_generate")]
fn carob_signal(ctx: BtfTracePointContext) -> i32 {
    let sig = ctx.arg::<u32>(0);
    if rules::can_kill(sig) {
        let _not_ours = sent(&ctx, sig);
    }
    0
}

/// The arguments: `int sig, struct kernel_siginfo *info, struct task_struct *task, int group, int result`.
#[inline(always)]
fn sent(ctx: &BtfTracePointContext, sig: u32) -> Option<()> {
    let victim = Task::at(ctx.arg(2));
    let cgroup = victim.container()?;
    let owner = maps::owner(cgroup)?;
    match ctx.arg::<u32>(4) {
        DELIVERED | LOSE_INFO => remember(info_of(ctx), cgroup, Target { tgid: victim.tgid(), sig }),
        IGNORED if sig == SIGTERM => ignored(cgroup, &owner, victim),
        // Pending already: the first sender stays the one who did it.
        _ => (),
    }
    Some(())
}

#[inline(always)]
fn remember(info_address: u64, cgroup: u64, target: Target) {
    let info = info_at(info_address);
    let sender = Task::current();
    let sender_tgid = (bpf_get_current_pid_tgid() >> 32) as u32;
    let mut signal = Signal::default();
    signal.at_ns = maps::now();
    signal.cgroup = cgroup;
    signal.sig = target.sig;
    signal.si_code = info.si_code();
    let origin = match info.origin(target, sender_tgid) {
        Origin::Kernel if rules::is_teardown(target.sig, info, sender.flags()) => Origin::Teardown,
        origin => origin,
    };
    signal.origin = origin as u32;
    if matches!(origin, Origin::Process) {
        signal.sender_tgid = sender_tgid;
        signal.sender_uid = bpf_get_current_uid_gid() as u32;
        signal.sender_comm = sender.leader().comm();
        signal.sender_cgroup = sender_cgroup();
    }
    if rules::has_address(target.sig, signal.si_code) {
        signal.address = read(info_address, layout!(siginfo_address)).unwrap_or(0);
    }
    if target.sig == SIGKILL && matches!(info, Info::Privileged) {
        oom::under_way(&mut signal.oom);
    }
    // An LRU makes room by itself; it fails only if every slot is being written at once.
    if SIGNALS.insert(&target, &signal, 0).is_err() {
        maps::lose(cgroup);
    }
}

/// The `info` argument as a plain number. Read as an argument the verifier would take it for a pointer that
/// is never null, and drop the very branches that tell the special values.
#[inline(always)]
fn info_of(ctx: &BtfTracePointContext) -> u64 {
    read(ctx.as_ptr() as u64, 8).unwrap_or(1)
}

/// The kernel passes two special values where there are no details: they are not pointers.
#[inline(always)]
fn info_at(address: u64) -> Info {
    match address {
        0 => Info::Absent,
        1 => Info::Privileged,
        _ => Info::Code(read(address, layout!(siginfo_code)).unwrap_or(rules::SI_KERNEL)),
    }
}

/// The sender's container, or its own cgroup if it is in none.
#[inline(always)]
fn sender_cgroup() -> u64 {
    if let Some(container) = task::current_container() {
        if maps::owner(container).is_some() {
            return container;
        }
    }
    // SAFETY: the helper has no precondition.
    unsafe { bpf_get_current_cgroup_id() }
}

/// Tells the agent at once that the main process will not heed its SIGTERM. Only while the agent wants it to
/// end, so that a process cannot keep the agent awake; and not if it is dying, when every signal is ignored.
#[inline(always)]
fn ignored(cgroup: u64, owner: &Owner, victim: Task) {
    let asked = owner.why != 0;
    let dying = victim.group().flags() & rules::GROUP_EXIT != 0;
    if asked && !dying && rules::is_main(owner, victim.tgid(), victim.leader().start_boottime()) {
        maps::wake(EventKind::TermIgnored, cgroup, owner.main_tgid);
    }
}
