//! The agent's map: which of its modules may use which, and where a foreign crate may be named. README shows the same.

/// Module, then what it may use of ours. `a::b` allows that part of `a` only.
const MAY_USE: &[(&str, &[&str])] = &[
    ("pod", &[]),
    ("config", &["pod"]),
    ("cgroup", &["pod", "config"]),
    ("picture", &["pod"]),
    ("ready", &[]),
    ("keyfile", &[]),
    ("pki", &["keyfile"]),
    ("columns", &[]),
    ("manifest", &["pod"]),
    ("plan", &["pod"]),
    ("account", &["pod"]),
    ("store", &["pod", "config", "picture::Total", "keyfile"]),
    ("runtime", &["pod", "config", "cgroup"]),
    ("act", &["pod", "plan", "config", "cgroup", "kernel", "ready", "runtime::Word"]),
    ("kernel", &["pod", "config", "cgroup"]),
    ("stream", &["pod", "config", "ready"]),
    (
        "api",
        &[
            "pod", "config", "columns", "manifest", "store", "stream", "picture", "account", "metrics",
            "ready", "pki",
        ],
    ),
    ("metrics", &["pod", "cgroup", "picture", "account"]),
    ("cli", &["pod", "config", "columns", "manifest", "cgroup", "kernel", "account", "keyfile"]),
];

/// What may use everything: the loop that ties all together, and the entry.
const TIES: &[&str] = &["run", "main"];

/// Foreign crate, then the modules that may name it.
const FOREIGN: &[(&str, &[&str])] = &[
    ("aya", &["kernel"]),
    ("axum", &["api"]),
    ("clap_complete", &["cli"]),
    ("clap_mangen", &["cli"]),
    ("carob_ebpf", &["account", "kernel", "run"]),
    ("libcontainer", &["runtime"]),
    ("nftables", &["runtime"]),
    ("oci_spec", &["act", "runtime"]),
    ("prometheus_client", &["metrics"]),
    ("rcgen", &["pki"]),
    ("ring", &["store"]),
    ("rtnetlink", &["runtime"]),
    ("rusqlite", &["store"]),
    ("serde_yaml", &["manifest"]),
];

pub(crate) fn is_known(module: &str) -> bool {
    TIES.contains(&module) || MAY_USE.iter().any(|(name, _)| *name == module)
}

/// `path`: what follows `crate::`, in parts.
pub(crate) fn may_use(module: &str, path: &[String]) -> bool {
    let Some(first) = path.first() else { return true };
    let within = |allowed: &str| {
        allowed.split("::").zip(path).all(|(a, b)| a == b) && allowed.split("::").count() <= path.len()
    };
    TIES.contains(&module)
        || first == module
        || MAY_USE.iter().any(|(name, used)| *name == module && used.iter().any(|allowed| within(allowed)))
}

/// The foreign crates that `module` may not name.
pub(crate) fn not_for(module: &str) -> impl Iterator<Item = &'static str> {
    FOREIGN.iter().filter(move |(_, modules)| !modules.contains(&module)).map(|(name, _)| *name)
}
