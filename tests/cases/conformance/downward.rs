//! Files about the pod itself.

use std::fs;

use anyhow::{Context, Result};

use super::{check, line};
use crate::world::World;

const RESOURCES: &str =
    "      resources: { requests: { cpu: 250m, memory: 32Mi }, limits: { cpu: 1250m, memory: 64Mi } }\n";

/// Parts of cpus are rounded up, memory is in bytes; without a limit it is the box's.
pub(super) fn files(world: &World) -> Result<()> {
    let memory = fs::read_to_string("/proc/meminfo").context("read the box's memory")?;
    let memory = memory.lines().find_map(|line| line.strip_prefix("MemTotal:")?.strip_suffix("kB"));
    let memory: u64 = memory.context("no MemTotal")?.trim().parse()?;
    let allocatable = (memory * 1024).to_string();
    let of = |n: usize, resource: &str| {
        format!(
            "items: [{{ path: file, resourceFieldRef: {{ containerName: c{n}, resource: {resource} }} }}]"
        )
    };
    let name = "fieldRef: { fieldPath: metadata.name }";
    let projected = |mode: &str, items: &str| {
        format!("projected: {{ {mode} sources: [{{ downwardAPI: {{ {items} }} }}] }}")
    };
    let plain = |items: &str| format!("downwardAPI: {{ {items} }}");
    let all = "-rw-r--r--";
    let rows = [
        ("Downward API volume … cpu request", plain(&of(0, "requests.cpu")), RESOURCES, all, "1"),
        ("Downward API volume … memory limit", plain(&of(1, "limits.memory")), RESOURCES, all, "67108864"),
        (
            "Downward API volume … memory request",
            plain(&of(2, "requests.memory")),
            RESOURCES,
            all,
            "33554432",
        ),
        ("Projected downwardAPI … cpu limit", projected("", &of(3, "limits.cpu")), RESOURCES, all, "2"),
        (
            "Projected downwardAPI … memory limit",
            projected("", &of(4, "limits.memory")),
            RESOURCES,
            all,
            "67108864",
        ),
        (
            "Projected downwardAPI … memory request",
            projected("", &of(5, "requests.memory")),
            RESOURCES,
            all,
            "33554432",
        ),
        (
            "Projected downwardAPI … node allocatable (memory)",
            projected("", &of(6, "limits.memory")),
            "",
            all,
            &allocatable,
        ),
        (
            "Projected downwardAPI should set DefaultMode on files",
            projected("defaultMode: 0400,", &format!("items: [{{ path: file, {name} }}]")),
            "",
            "-r--------",
            "about",
        ),
        (
            "Projected downwardAPI should set mode on item file",
            projected("", &format!("items: [{{ path: file, mode: 0400, {name} }}]")),
            "",
            "-r--------",
            "about",
        ),
    ];
    let mut spec = "  volumes:\n".to_owned();
    let mut lines = Vec::new();
    for (n, (name, source, fields, letters, value)) in rows.into_iter().enumerate() {
        spec += &format!("    - {{ name: v{n}, {source} }}\n");
        let fields = format!("{fields}      volumeMounts: [{{ name: v{n}, mountPath: /v }}]\n");
        let said = format!("perms of file \"/v/file\": {letters}\ncontent of file \"/v/file\": {value}\n");
        lines.push(line(name, &fields, "/work mounttest perms:/v/file content:/v/file; echo", &said));
    }
    check(world, "about", &spec, &lines)
}
