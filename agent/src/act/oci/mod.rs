//! The OCI runtime spec of one attempt, from plain data. Touches nothing: what it names must exist when the runtime reads it.

mod environment;
mod seccomp;
mod security;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use serde_json::{Value, json};

use crate::pod::{
    Access, Container, Propagation, Streams,
    surroundings::{Processes, Surroundings, Whose},
};

pub(crate) use environment::{argv, environment};
pub(crate) use security::{Confinement, Device, DeviceKind, Filter, Identity};

/// What an image says about running it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ImageDefaults {
    pub(crate) entrypoint: Vec<String>,
    pub(crate) cmd: Vec<String>,
    pub(crate) env: Vec<(String, String)>,
    pub(crate) working_dir: Option<String>,
    /// `USER`: `user[:group]`, by number or by a name of the image's own user database. Empty for root.
    pub(crate) user: String,
    /// `STOPSIGNAL`, as the image writes it. Empty if it says nothing.
    pub(crate) stop_signal: String,
}

/// A directory or file of the box that appears in the container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Bind {
    pub(crate) source: PathBuf,
    pub(crate) target: String,
    pub(crate) access: Access,
    pub(crate) propagation: Propagation,
}

/// Everything the spec is made from.
#[derive(Debug)]
pub(crate) struct Attempt<'a> {
    pub(crate) container: &'a Container,
    pub(crate) image: &'a ImageDefaults,
    pub(crate) identity: &'a Identity,
    pub(crate) confinement: &'a Confinement,
    pub(crate) sysctls: &'a BTreeMap<String, String>,
    /// The container's own variables, nothing left to expand.
    pub(crate) env: &'a BTreeMap<String, String>,
    pub(crate) hostname: &'a str,
    pub(crate) around: &'a Surroundings,
    pub(crate) rootfs: &'a Path,
    /// Below the cgroup mount, starting with a slash.
    pub(crate) cgroup: &'a str,
    /// Where those of `net`, `ipc`, `uts` and `pid` that are the pod's own are pinned.
    pub(crate) namespaces: &'a Path,
    /// Another container's namespace of processes, if it is to see those.
    pub(crate) processes: Option<&'a Path>,
    pub(crate) binds: &'a [Bind],
    pub(crate) oom_score_adj: i32,
}

/// Where the OCI image specification puts an image's STOPSIGNAL (conversion.md). Only carob reads it.
pub(crate) const STOP_SIGNAL: &str = "org.opencontainers.image.stopSignal";

/// The runtime's `config.json`.
pub(crate) fn spec(attempt: &Attempt<'_>) -> Value {
    let mut spec = json!({
        "ociVersion": "1.0.2",
        "root": {"path": attempt.rootfs},
        "process": {
            "terminal": attempt.container.streams == Streams::Terminal,
            "args": argv(attempt.container, attempt.image, attempt.env),
            "env": environment(attempt.env, attempt.image, attempt.hostname, attempt.container.streams),
            "cwd": working_dir(attempt.container, attempt.image),
            "oomScoreAdj": attempt.oom_score_adj,
        },
        "annotations": {STOP_SIGNAL: attempt.image.stop_signal},
        "mounts": mounts(attempt.binds),
        "linux": {
            "namespaces": namespaces(attempt.namespaces, attempt.around, attempt.processes),
            "cgroupsPath": attempt.cgroup,
            "resources": {},
        },
    });
    let Attempt { container, identity, confinement, sysctls, .. } = attempt;
    security::dress(&mut spec, &container.security, identity, confinement, sysctls);
    spec
}

/// Where the process starts: the manifest's word, then the image's, then the root.
pub(crate) fn working_dir<'a>(container: &'a Container, image: &'a ImageDefaults) -> &'a str {
    let given = container.working_dir.as_deref().or(image.working_dir.as_deref());
    given.filter(|dir| !dir.is_empty()).unwrap_or("/")
}

/// Own mount and cgroup namespaces; one of processes as the pod says, or that of `processes`; the pod's for the rest.
/// What is not named is the box's.
fn namespaces(pinned: &Path, around: &Surroundings, processes: Option<&Path>) -> Value {
    let of_pod = |kind: &str, file: &str| json!({"type": kind, "path": pinned.join(file)});
    let processes = match around.pid {
        Processes::None => match processes {
            Some(others) => (Whose::Pods, json!({"type": "pid", "path": others})),
            None => (Whose::Pods, json!({"type": "pid"})),
        },
        Processes::Pods => (Whose::Pods, of_pod("pid", "pid")),
        Processes::Box => (Whose::Box, Value::Null),
    };
    let all = [
        (Whose::Pods, json!({"type": "mount"})),
        processes,
        (Whose::Pods, json!({"type": "cgroup"})),
        (around.net, of_pod("network", "net")),
        (around.ipc, of_pod("ipc", "ipc")),
        // A host's name belongs to its network.
        (around.net, of_pod("uts", "uts")),
    ];
    all.into_iter().filter(|(whose, _)| *whose == Whose::Pods).map(|(_, entry)| entry).collect()
}

/// What a mount says of propagation libcontainer 0.7.0 ignores (youki#3604); `runtime::spread` does it.
fn mounts(binds: &[Bind]) -> Value {
    let own = |target: &str, kind: &str, options: &[&str]| json!({"destination": target, "type": kind, "source": kind, "options": options});
    let mut mounts = vec![
        own("/proc", "proc", &["nosuid", "noexec", "nodev"]),
        own("/dev", "tmpfs", &["nosuid", "strictatime", "mode=755", "size=65536k"]),
        own(
            "/dev/pts",
            "devpts",
            &["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"],
        ),
        own("/dev/mqueue", "mqueue", &["nosuid", "noexec", "nodev"]),
        own("/sys", "sysfs", &["nosuid", "noexec", "nodev", "ro"]),
        own("/sys/fs/cgroup", "cgroup", &["nosuid", "noexec", "nodev", "relatime", "ro"]),
    ];
    // A mount below another must come after it.
    let mut binds: Vec<&Bind> = binds.iter().collect();
    binds.sort_by_key(|bind| bind.target.matches('/').count());
    mounts.extend(binds.into_iter().map(|bind| {
        let access = match bind.access {
            Access::ReadWrite => "rw",
            Access::ReadOnly => "ro",
            Access::AllReadOnly => "rro",
        };
        let propagation = match bind.propagation {
            Propagation::None => "rprivate",
            Propagation::HostToContainer => "rslave",
            Propagation::Bidirectional => "rshared",
        };
        let options = ["rbind", access, propagation];
        json!({"destination": bind.target, "type": "bind", "source": bind.source, "options": options})
    }));
    Value::Array(mounts)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn container() -> Container {
        Container { name: "c".to_owned(), image: "i".to_owned(), ..Container::default() }
    }

    #[test]
    fn the_spec_joins_the_pods_namespaces_and_makes_its_own() {
        let image = ImageDefaults { cmd: vec!["/x".to_owned()], ..ImageDefaults::default() };
        let bind = |target: &str| Bind {
            source: "/s".into(),
            target: target.to_owned(),
            access: Access::ReadOnly,
            propagation: Propagation::Bidirectional,
        };
        let (container, binds) = (container(), [bind("/a/b/c"), bind("/a")]);
        let spec = spec(&Attempt {
            container: &container,
            image: &image,
            identity: &Identity { uid: 0, gid: 0, groups: vec![0], home: "/root".to_owned() },
            confinement: &Confinement::default(),
            sysctls: &BTreeMap::new(),
            env: &BTreeMap::new(),
            hostname: "h",
            around: &Surroundings::default(),
            rootfs: Path::new("/r"),
            cgroup: "/pods/p/c-0",
            namespaces: Path::new("/ns"),
            processes: None,
            binds: &binds,
            oom_score_adj: 3,
        });
        let kinds: Vec<(&str, Option<&str>)> = spec["linux"]["namespaces"]
            .as_array()
            .unwrap()
            .iter()
            .map(|ns| (ns["type"].as_str().unwrap(), ns["path"].as_str()))
            .collect();
        assert_eq!(
            kinds,
            [
                ("mount", None),
                ("pid", None),
                ("cgroup", None),
                ("network", Some("/ns/net")),
                ("ipc", Some("/ns/ipc")),
                ("uts", Some("/ns/uts"))
            ]
        );
        let targets: Vec<&str> =
            spec["mounts"].as_array().unwrap().iter().map(|m| m["destination"].as_str().unwrap()).collect();
        assert_eq!(targets[targets.len() - 2..], ["/a", "/a/b/c"], "the outer mount comes first");
        assert_eq!(spec["mounts"][targets.len() - 1]["options"], json!(["rbind", "ro", "rshared"]));
        assert_eq!(spec["process"]["oomScoreAdj"], 3);
    }

    #[test]
    fn a_namespace_of_the_box_is_left_out() {
        let kinds = |net, ipc, pid| -> Vec<String> {
            let around = Surroundings { net, ipc, pid, ..Surroundings::default() };
            let all = namespaces(Path::new("/ns"), &around, None);
            all.as_array().unwrap().iter().map(|entry| entry["type"].as_str().unwrap().to_owned()).collect()
        };
        assert_eq!(kinds(Whose::Box, Whose::Pods, Processes::None), ["mount", "pid", "cgroup", "ipc"]);
        assert_eq!(
            kinds(Whose::Pods, Whose::Box, Processes::Pods),
            ["mount", "pid", "cgroup", "network", "uts"]
        );
        assert_eq!(
            kinds(Whose::Pods, Whose::Pods, Processes::Box),
            ["mount", "cgroup", "network", "ipc", "uts"]
        );
    }

    #[test]
    fn the_working_directory_has_an_order() {
        let rows = [
            (None, None, "/"),
            (None, Some("/i"), "/i"),
            (Some("/m"), Some("/i"), "/m"),
            (None, Some(""), "/"),
        ];
        for (manifest, image, expected) in rows {
            let container = Container { working_dir: manifest.map(str::to_owned), ..container() };
            let image = ImageDefaults { working_dir: image.map(str::to_owned), ..ImageDefaults::default() };
            assert_eq!(working_dir(&container, &image), expected);
        }
    }
}
