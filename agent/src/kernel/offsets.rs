//! Which kernel fields the programs need, by path, and the layout that follows from a kernel's BTF.
//!
//! Decided by what the BTF says, never by a version. Pure: it reads no file.

use carob_ebpf::{ABSENT, Layout};
use thiserror::Error;

use super::btf::{Btf, Kind};

/// What the running kernel does not have.
#[derive(Debug, Error, PartialEq, Eq)]
pub(crate) enum OffsetError {
    #[error("find kernel field {path}: this kernel has none")]
    Field { path: &'static str },
    #[error("find kernel tracepoint {name}: this kernel has none")]
    Tracepoint { name: &'static str },
}

/// The tracepoints, by the names the kernel gives them.
pub(crate) const TRACEPOINTS: [&str; 3] = [EXIT, SIGNAL, VICTIM];
pub(crate) const EXIT: &str = "sched_process_exit";
pub(crate) const SIGNAL: &str = "signal_generate";
pub(crate) const VICTIM: &str = "mark_victim";
/// The function whose entry names the limit of an OOM kill.
pub(crate) const OOM_KILL: &str = "oom_kill_process";

pub(super) type Slot = fn(&mut Layout) -> &mut u32;

/// Without these no record could be right.
pub(super) const REQUIRED: [(Slot, &str); 15] = [
    (|l| &mut l.task_tgid, "task_struct.tgid"),
    (|l| &mut l.task_signal, "task_struct.signal"),
    (|l| &mut l.task_cgroups, "task_struct.cgroups"),
    (|l| &mut l.task_exit_code, "task_struct.exit_code"),
    (|l| &mut l.task_group_leader, "task_struct.group_leader"),
    (|l| &mut l.task_start_boottime, "task_struct.start_boottime"),
    (|l| &mut l.signal_live, "signal_struct.live"),
    (|l| &mut l.signal_flags, "signal_struct.flags"),
    (|l| &mut l.signal_group_exit_code, "signal_struct.group_exit_code"),
    (|l| &mut l.css_set_dfl_cgrp, "css_set.dfl_cgrp"),
    (|l| &mut l.cgroup_kn, "cgroup.kn"),
    (|l| &mut l.cgroup_level, "cgroup.level"),
    (|l| &mut l.kernfs_node_id, "kernfs_node.id"),
    (|l| &mut l.siginfo_code, "kernel_siginfo.si_code"),
    (|l| &mut l.siginfo_address, "kernel_siginfo._sifields._sigfault._addr"),
];

/// Without one of these its fact is missing from the record, and no other.
pub(super) const OPTIONAL: [(Slot, &str); 13] = [
    (|l| &mut l.task_flags, "task_struct.flags"),
    (|l| &mut l.task_comm, "task_struct.comm"),
    (|l| &mut l.task_sum_exec_runtime, "task_struct.se.sum_exec_runtime"),
    (|l| &mut l.signal_maxrss, "signal_struct.maxrss"),
    (|l| &mut l.signal_sum_sched_runtime, "signal_struct.sum_sched_runtime"),
    (|l| &mut l.cgroup_ancestors, "cgroup.ancestors"),
    (|l| &mut l.cgroup_ancestor_ids, "cgroup.ancestor_ids"),
    (|l| &mut l.oom_memcg, "oom_control.memcg"),
    (|l| &mut l.oom_chosen, "oom_control.chosen"),
    (|l| &mut l.oom_totalpages, "oom_control.totalpages"),
    (|l| &mut l.oom_constraint, "oom_control.constraint"),
    (|l| &mut l.memcg_cgroup, "mem_cgroup.css.cgroup"),
    // arm64; x86-64 is asked for next, as `di`.
    (|l| &mut l.pt_regs_first, "pt_regs.regs"),
];

/// The layout of the kernel that `btf` describes, for containers at cgroup level `depth`.
pub(crate) fn layout(btf: &Btf, depth: u32, page_size: u32) -> Result<Layout, OffsetError> {
    let mut layout = Layout { depth, page_size, ..Layout::UNKNOWN };
    for (slot, path) in REQUIRED {
        *slot(&mut layout) = btf.field(path).ok_or(OffsetError::Field { path })?.offset;
    }
    for (slot, path) in OPTIONAL {
        *slot(&mut layout) = btf.field(path).map_or(ABSENT, |field| field.offset);
    }
    if let Some(field) = btf.field("pt_regs.di") {
        layout.pt_regs_first = field.offset;
    }
    if layout.cgroup_ancestors == ABSENT && layout.cgroup_ancestor_ids == ABSENT {
        return Err(OffsetError::Field { path: "cgroup.ancestors" });
    }
    let arguments = |name| btf.tracepoint(name).ok_or(OffsetError::Tracepoint { name });
    arguments(SIGNAL)?;
    layout.exit_has_group_dead = u32::from(arguments(EXIT)?.len() >= 2);
    let victim = arguments(VICTIM)?;
    layout.victim_is_task = u32::from(victim.first().is_some_and(|id| btf.points_to(*id, "task_struct")));
    Ok(layout)
}

/// Whether the BTF has all that the record of an OOM limit needs.
pub(crate) fn has_oom_limit(btf: &Btf, layout: &Layout) -> bool {
    let fields = [layout.oom_memcg, layout.oom_chosen, layout.memcg_cgroup, layout.pt_regs_first];
    btf.find(Kind::Func, OOM_KILL).is_some() && !fields.contains(&ABSENT)
}

#[cfg(test)]
mod tests {
    #![expect(
        clippy::disallowed_methods,
        reason = "the running kernel's own types are the best sample there is"
    )]

    use super::*;

    #[test]
    fn the_running_kernel_has_every_field_if_it_has_type_information() {
        let Ok(bytes) = std::fs::read("/sys/kernel/btf/vmlinux") else {
            eprintln!("SKIPPED: this kernel has no /sys/kernel/btf/vmlinux");
            return;
        };
        let btf = Btf::parse(bytes).unwrap();
        let layout = layout(&btf, 5, 4096).unwrap();
        let exact = [layout.depth, layout.page_size, layout.signal_live];
        assert_eq!(exact, [5, 4096, 4], "`live` has followed `sigcnt` since 2.6");
        for (slot, path) in OPTIONAL {
            let found = *slot(&mut layout.clone()) != ABSENT;
            let other = ["cgroup.ancestors", "cgroup.ancestor_ids"].contains(&path);
            assert!(found || other, "{path}");
        }
    }
}
