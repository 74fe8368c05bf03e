//! Where on the box the things of a pod lie. Only names paths; touches nothing.
//!
//! ```text
//! <run>/pods/<uid>/{ns/{net,ipc,uts,pid}, shm, volumes/, images/, subpaths/, etc/}  gone with the boot
//! <run>/attempts/<attempt>/{config.json, last-words.json, rootfs, stdout, stderr, *.spool}  gone with the attempt
//! <run>/runtime/<attempt>/                                                libcontainer's own
//! <state>/pods/<uid>/{volumes/, attempts/<container>-<n>/{upper,work,termination-log}}  gone with the pod
//! <state>/seccomp/                                                        an administrator's
//! <state>/claims/<namespace>/<claim>/                                     stays
//! <state>/addresses/<address>                                             gone with the pod
//! <logs>/pods/<ns>_<pod>_<uid>/<container>/<n>.log[.<time>[.gz]]          stays with the pod's object
//! ```

use std::path::{Path, PathBuf};

use super::mounts::Links;
use crate::{
    cgroup::Cgroup,
    config::Config,
    pod::{AttemptId, PodName, PodUid},
};

/// All of the box.
#[derive(Clone, Debug)]
pub(crate) struct Places {
    run: PathBuf,
    state: PathBuf,
    logs: PathBuf,
    pods: PathBuf,
    cgroup_fs: PathBuf,
}

impl Places {
    pub(crate) fn of(config: &Config) -> Self {
        Self {
            run: config.run.clone(),
            state: config.state.clone(),
            logs: config.logs.clone(),
            pods: config.pods_cgroup(),
            cgroup_fs: config.cgroup_fs.clone(),
        }
    }

    pub(crate) fn pod(&self, uid: &PodUid) -> PodPlaces {
        PodPlaces { run: self.run.join("pods").join(&uid.0), state: self.state.join("pods").join(&uid.0) }
    }

    pub(crate) fn attempt(&self, id: &AttemptId) -> PathBuf {
        self.run.join("attempts").join(id.to_string())
    }

    /// All attempts that have a directory.
    pub(crate) fn attempts(&self) -> PathBuf {
        self.run.join("attempts")
    }

    pub(crate) fn pod_dirs(&self) -> [PathBuf; 2] {
        [self.run.join("pods"), self.state.join("pods")]
    }

    pub(crate) fn runtime(&self) -> PathBuf {
        self.run.join("runtime")
    }

    pub(crate) fn claim(&self, namespace: &str, name: &str) -> PathBuf {
        self.state.join("claims").join(namespace).join(name)
    }

    /// This box's own seccomp profiles: an administrator puts them there.
    pub(crate) fn seccomp(&self) -> PathBuf {
        self.state.join("seccomp")
    }

    /// Which pod has which address.
    pub(crate) fn addresses(&self) -> PathBuf {
        self.state.join("addresses")
    }

    /// The writable layer of an attempt.
    pub(crate) fn upper(&self, id: &AttemptId) -> PathBuf {
        self.state
            .join("pods")
            .join(&id.uid.0)
            .join("attempts")
            .join(format!("{}-{}", id.container, id.attempt))
    }

    /// The cgroup of what pulls images, beside that of all pods.
    pub(crate) fn pulls_cgroup(&self) -> Cgroup {
        Cgroup::at(self.pods.with_file_name("pulls"))
    }

    /// The cgroup that holds all pods.
    pub(crate) fn pods_cgroup(&self) -> Cgroup {
        Cgroup::at(self.pods.clone())
    }

    pub(crate) fn pod_cgroup(&self, uid: &PodUid) -> Cgroup {
        Cgroup::at(self.pods.join(format!("pod{uid}")))
    }

    /// Of the process that holds a shared namespace of processes. No attempt's has such a name.
    pub(crate) fn pause_cgroup(&self, uid: &PodUid) -> Cgroup {
        Cgroup::at(self.pod_cgroup(uid).path().join("pause"))
    }

    pub(crate) fn attempt_cgroup(&self, id: &AttemptId) -> Cgroup {
        Cgroup::at(self.pod_cgroup(&id.uid).path().join(format!("{}-{}", id.container, id.attempt)))
    }

    /// The cgroups above one, the nearest first, the root of the hierarchy last.
    pub(crate) fn above(&self, cgroup: &Cgroup) -> Vec<Cgroup> {
        let inside = cgroup.path().ancestors().skip(1).take_while(|dir| dir.starts_with(&self.cgroup_fs));
        inside.map(Cgroup::at).collect()
    }

    /// A cgroup's path as the runtime wants it: from the root of the hierarchy.
    pub(crate) fn in_hierarchy(&self, cgroup: &Cgroup) -> String {
        let inside = cgroup.path().strip_prefix(&self.cgroup_fs).unwrap_or(cgroup.path());
        format!("/{}", inside.display())
    }

    /// The directory of a pod's log files.
    pub(crate) fn pod_logs(&self, pod: &PodName, uid: &PodUid) -> PathBuf {
        self.logs.join("pods").join(format!("{}_{}_{uid}", pod.namespace, pod.name))
    }

    pub(crate) fn log(&self, pod: &PodName, id: &AttemptId) -> PathBuf {
        self.pod_logs(pod, &id.uid).join(&id.container).join(format!("{}.log", id.attempt))
    }

    /// Where log shippers look: `<pod>_<namespace>_<container>-<id>.log`.
    pub(crate) fn log_link(&self, pod: &PodName, id: &AttemptId) -> PathBuf {
        let file = format!("{}_{}_{}-{id}.log", pod.name, pod.namespace, id.container);
        self.logs.join("containers").join(file)
    }

    /// All links to a pod's logs.
    pub(crate) fn log_links(&self, pod: &PodName, uid: &PodUid) -> Links {
        let prefix = format!("{}_{}_", pod.name, pod.namespace);
        Links { dir: self.logs.join("containers"), prefix, infix: format!("-{uid}_") }
    }
}

/// One pod's own.
#[derive(Clone, Debug)]
pub(crate) struct PodPlaces {
    run: PathBuf,
    state: PathBuf,
}

impl PodPlaces {
    pub(crate) fn run(&self) -> &Path {
        &self.run
    }

    pub(crate) fn state(&self) -> &Path {
        &self.state
    }

    pub(crate) fn namespaces(&self) -> PathBuf {
        self.run.join("ns")
    }

    pub(crate) fn shm(&self) -> PathBuf {
        self.run.join("shm")
    }

    /// A generated file of `/etc`.
    pub(crate) fn etc(&self, name: &str) -> PathBuf {
        self.run.join("etc").join(name)
    }

    pub(crate) fn volume_on_disk(&self, name: &str) -> PathBuf {
        self.state.join("volumes").join(name)
    }

    pub(crate) fn volume_in_memory(&self, name: &str) -> PathBuf {
        self.run.join("volumes").join(name)
    }

    /// Which image a volume is made of.
    pub(crate) fn volume_image(&self, name: &str) -> PathBuf {
        self.run.join("images").join(name)
    }

    /// A directory that stays empty.
    pub(crate) fn empty(&self) -> PathBuf {
        self.run.join("empty")
    }

    pub(crate) fn sub_path(&self, container: &str, mount: usize) -> PathBuf {
        self.run.join("subpaths").join(format!("{container}-{mount}"))
    }
}
