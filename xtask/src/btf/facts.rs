//! What the kernel programs must know of a kernel, read from its type information: where fields are, what tracepoints
//! hand over. That this list is the agent's is for the agent's test of the fixtures to see.

use std::collections::BTreeSet;

use anyhow::{Context, Result, bail, ensure};

use super::types::{FUNC, FUNC_PROTO, POINTER, STRUCT, TYPEDEF, Types, UNION, WRAPPERS};

/// Structure and members; a member of an anonymous structure counts as the outer one's.
const FIELDS: &[&str] = &[
    "task_struct.tgid",
    "task_struct.signal",
    "task_struct.cgroups",
    "task_struct.exit_code",
    "task_struct.group_leader",
    "task_struct.start_boottime",
    "task_struct.flags",
    "task_struct.comm",
    "task_struct.se.sum_exec_runtime",
    "signal_struct.live",
    "signal_struct.flags",
    "signal_struct.group_exit_code",
    "signal_struct.maxrss",
    "signal_struct.sum_sched_runtime",
    "css_set.dfl_cgrp",
    "cgroup.kn",
    "cgroup.level",
    "cgroup.ancestors",
    "cgroup.ancestor_ids",
    "kernfs_node.id",
    "kernel_siginfo.si_code",
    "kernel_siginfo._sifields._sigfault._addr",
    "oom_control.memcg",
    "oom_control.chosen",
    "oom_control.totalpages",
    "oom_control.constraint",
    "mem_cgroup.css.cgroup",
    "pt_regs.regs",
    "pt_regs.di",
];
const TRACEPOINTS: &[&str] = &["sched_process_exit", "signal_generate", "mark_victim"];
const FUNCTIONS: &[&str] = &["oom_kill_process"];

/// Types nest a handful deep; what nests more goes round in a circle.
const DEEPEST: usize = 32;

/// What a kernel does not have.
const ABSENT: &str = "-";

/// A question and the kernel's answer, as text.
pub(super) type Fact = (String, String);

pub(super) fn facts(types: &Types) -> Result<Vec<Fact>> {
    let mut facts = Vec::new();
    for path in FIELDS {
        let offset = field(types, path)?.map(|field| field.offset.to_string());
        facts.push(((*path).to_owned(), offset));
    }
    for name in TRACEPOINTS {
        facts.push((format!("tracepoint {name}"), arguments(types, name)?));
    }
    for name in FUNCTIONS {
        let found = find(types, FUNC, name).map(|_| "there".to_owned());
        facts.push((format!("function {name}"), found));
    }
    Ok(facts.into_iter().map(|(what, found)| (what, found.unwrap_or_else(|| ABSENT.to_owned()))).collect())
}

/// What the facts are read from.
pub(super) struct Sources {
    /// The types that are asked for by name.
    pub(super) types: BTreeSet<u32>,
    /// The members on the way to a field: structure and place in it.
    pub(super) members: BTreeSet<(u32, usize)>,
}

pub(super) fn sources(types: &Types) -> Result<Sources> {
    let structures = FIELDS.iter().filter_map(|path| find(types, STRUCT, path.split('.').next()?));
    let tracepoints = TRACEPOINTS.iter().filter_map(|name| find(types, TYPEDEF, &typedef(name)));
    let functions = FUNCTIONS.iter().filter_map(|name| find(types, FUNC, name));
    let mut members = BTreeSet::new();
    for path in FIELDS {
        members.extend(field(types, path)?.into_iter().flat_map(|field| field.way));
    }
    Ok(Sources { types: structures.chain(tracepoints).chain(functions).collect(), members })
}

struct Field {
    /// Bytes from the start of the structure.
    offset: u32,
    of: u32,
    way: Vec<(u32, usize)>,
}

fn find(types: &Types, kind: u32, name: &str) -> Option<u32> {
    let mut all = types.all();
    all.find(|(_, ty)| ty.kind() == kind && types.name(ty) == name.as_bytes()).map(|(id, _)| id)
}

fn field(types: &Types, path: &str) -> Result<Option<Field>> {
    let mut names = path.split('.');
    let structure = names.next().and_then(|name| find(types, STRUCT, name));
    let Some(of) = structure else { return Ok(None) };
    let mut outer = Field { offset: 0, of, way: Vec::new() };
    for name in names {
        let Some(inner) = member(types, outer.of, name, DEEPEST)? else { return Ok(None) };
        let way = [outer.way, inner.way].concat();
        outer = Field { offset: outer.offset + inner.offset, of: inner.of, way };
    }
    Ok(Some(outer))
}

fn member(types: &Types, of: u32, name: &str, deepest: usize) -> Result<Option<Field>> {
    ensure!(deepest > 0, "anonymous structures nest deeper than {DEEPEST}, at type {of}");
    let of = plain(types, of)?;
    let outer = types.at(of)?;
    if ![STRUCT, UNION].contains(&outer.kind()) {
        return Ok(None);
    }
    for (at, entry) in outer.entries()?.into_iter().enumerate() {
        let (member_name, member_type, place) = (types.text(entry[0]), entry[1], entry[2]);
        let (bits, bit_size) =
            if outer.has_bit_sizes() { (place & 0xff_ffff, place >> 24) } else { (place, 0) };
        if member_name.is_empty() {
            if let Some(inner) = member(types, member_type, name, deepest - 1)? {
                let way = [vec![(of, at)], inner.way].concat();
                return Ok(Some(Field { offset: bits / 8 + inner.offset, of: inner.of, way }));
            }
        } else if member_name == name.as_bytes() && bit_size == 0 {
            return Ok(Some(Field { offset: bits / 8, of: member_type, way: vec![(of, at)] }));
        }
    }
    Ok(None)
}

/// The number of the type behind typedefs and qualifiers; 0, `void`, stays 0.
fn plain(types: &Types, mut id: u32) -> Result<u32> {
    for _ in 0..DEEPEST {
        if id == 0 || !WRAPPERS.contains(&types.at(id)?.kind()) {
            return Ok(id);
        }
        id = types.at(id)?.size_or_type;
    }
    bail!("typedefs and qualifiers nest deeper than {DEEPEST}, at type {id}")
}

fn typedef(tracepoint: &str) -> String {
    format!("btf_trace_{tracepoint}")
}

/// The types of a tracepoint's arguments, from `typedef void (*btf_trace_NAME)(void *, …)`. The first is the tracer's.
fn arguments(types: &Types, name: &str) -> Result<Option<String>> {
    let Some(typedef) = find(types, TYPEDEF, &typedef(name)) else { return Ok(None) };
    let pointer = types.at(plain(types, typedef)?)?;
    let proto = types.at(plain(types, pointer.size_or_type)?)?;
    ensure!((pointer.kind(), proto.kind()) == (POINTER, FUNC_PROTO), "{name} is no pointer to a function");
    let arguments: Result<Vec<String>> =
        proto.entries()?.into_iter().skip(1).map(|entry| argument(types, entry[1])).collect();
    Ok(Some(arguments?.join(", ")))
}

/// `int`, or `*task_struct`.
fn argument(types: &Types, id: u32) -> Result<String> {
    let ty = types.at(plain(types, id)?).context("an argument is void")?;
    if ty.kind() != POINTER {
        return Ok(String::from_utf8_lossy(types.name(ty)).into_owned());
    }
    let target = plain(types, ty.size_or_type)?;
    let name = if target == 0 { b"void" } else { types.name(types.at(target)?) };
    Ok(format!("*{}", String::from_utf8_lossy(name)))
}
