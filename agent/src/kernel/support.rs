//! What this box offers the kernel programs, and what is lost where it does not: for `carob check`.
//!
//! It tries things and changes nothing that lasts.
#![expect(clippy::disallowed_methods, reason = "looks at the kernel's files")]

use std::{fs, path::Path};

use aya::maps::{HashMap, MapData};

use super::{
    btf::Btf,
    load::{self, KERNEL_TYPES},
    offsets::{self, OOM_KILL, TRACEPOINTS, VICTIM},
};

/// Everything asked of the kernel, each with its answer.
#[derive(Debug)]
pub(crate) struct Support {
    pub(crate) answers: Vec<Answer>,
}

/// One thing asked.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) what: &'static str,
    pub(crate) found: Found,
    /// What carob cannot do without it.
    pub(crate) without: &'static str,
}

/// Whether it is there.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Found {
    Yes,
    /// There, but less than there could be.
    Partly(String),
    No(String),
}

const FALLBACK: &str = "exits are seen through pidfds and memory.events only: no sender of a signal, \
                        no limit of an OOM kill, and no exit code of a container that ended while no \
                        agent ran";

/// Looks at the box. `bpffs` is where the programs would be pinned.
pub(crate) fn support(bpffs: &Path) -> Support {
    let types = types();
    let answers = vec![
        Answer { what: "kernel programs in this build", found: built_in(), without: FALLBACK },
        Answer { what: "bpf() system call", found: bpf_call(), without: FALLBACK },
        Answer { what: "bpf file system", found: bpf_file_system(bpffs), without: FALLBACK },
        Answer { what: "kernel type information (BTF)", found: type_information(&types), without: FALLBACK },
        Answer { what: "tracepoints", found: tracepoints(&types), without: FALLBACK },
        Answer {
            what: "kprobe on oom_kill_process",
            found: kprobe(&types),
            without: "an OOM kill is known as one, but not whose limit was hit and whom the kernel chose",
        },
    ];
    Support { answers }
}

type Types = Result<Btf, String>;

fn types() -> Types {
    let bytes = fs::read(KERNEL_TYPES).map_err(|error| format!("read {KERNEL_TYPES}: {error}"))?;
    Btf::parse(bytes).map_err(|error| error.to_string())
}

fn built_in() -> Found {
    if load::has_programs() { Found::Yes } else { Found::No("built without CAROB_BPF_OBJECT".to_owned()) }
}

/// The smallest thing the call can do: a map that is gone at once.
fn bpf_call() -> Found {
    match HashMap::<MapData, u32, u32>::create(1, 0) {
        Ok(_) => Found::Yes,
        Err(error) => Found::No(load::one_line(&error)),
    }
}

fn bpf_file_system(bpffs: &Path) -> Found {
    if load::is_bpffs(bpffs) {
        return Found::Yes;
    }
    match fs::read_to_string("/proc/filesystems") {
        Ok(list) if list.lines().any(|line| line.split_whitespace().last() == Some("bpf")) => Found::Yes,
        Ok(_) => Found::No("this kernel has none".to_owned()),
        Err(error) => Found::No(format!("read /proc/filesystems: {error}")),
    }
}

fn type_information(types: &Types) -> Found {
    let fits = types.as_ref().map_err(Clone::clone);
    let fits = fits.and_then(|btf| offsets::layout(btf, 0, 0).map_err(|error| error.to_string()));
    fits.map_or_else(Found::No, |_| Found::Yes)
}

fn tracepoints(types: &Types) -> Found {
    let Ok(btf) = types else { return Found::No("not known without type information".to_owned()) };
    if let Some(name) = TRACEPOINTS.into_iter().find(|name| btf.tracepoint(name).is_none()) {
        return Found::No(format!("this kernel has no {name}"));
    }
    let victim = btf.tracepoint(VICTIM).unwrap_or_default();
    if victim.first().is_some_and(|id| btf.points_to(*id, "task_struct")) {
        Found::Yes
    } else {
        Found::Partly(format!(
            "{VICTIM} names a thread, not a process: a victim whose first thread has gone is missed"
        ))
    }
}

fn kprobe(types: &Types) -> Found {
    const KPROBES: &str = "/sys/bus/event_source/devices/kprobe/type";
    let Ok(btf) = types else { return Found::No("not known without type information".to_owned()) };
    if let Err(error) = fs::metadata(KPROBES) {
        return Found::No(format!("this kernel has no kprobes: {KPROBES}: {error}"));
    }
    match offsets::layout(btf, 0, 0) {
        Ok(layout) if offsets::has_oom_limit(btf, &layout) => Found::Yes,
        Ok(_) => Found::No(format!("this kernel does not describe {OOM_KILL}")),
        Err(error) => Found::No(error.to_string()),
    }
}
