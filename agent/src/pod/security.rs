//! What a container may be and do: `securityContext`, with the pod's words already put below the container's own.
//!
//! Plain data. Who a name of the image's user database stands for is not known here.

use std::collections::{BTreeMap, BTreeSet};

use super::Access;

/// One container's, by Kubernetes' precedence: its own field, else the pod's, else the default.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Security {
    /// `runAsUser`; else the image says.
    pub(crate) user: Option<u32>,
    /// `runAsGroup`; else the image says.
    pub(crate) group: Option<u32>,
    pub(crate) root: RootUser,
    pub(crate) groups: Groups,
    pub(crate) privilege: Privilege,
    /// `readOnlyRootFilesystem`.
    pub(crate) root_filesystem: Access,
    pub(crate) proc: ProcMount,
    pub(crate) seccomp: Seccomp,
    pub(crate) app_armor: AppArmor,
}

impl Default for Security {
    fn default() -> Self {
        Self {
            user: None,
            group: None,
            root: RootUser::Allowed,
            groups: Groups::default(),
            privilege: Privilege::default(),
            root_filesystem: Access::ReadWrite,
            proc: ProcMount::Masked,
            seccomp: Seccomp::RuntimeDefault,
            app_armor: AppArmor::Unset,
        }
    }
}

/// `runAsNonRoot`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RootUser {
    Allowed,
    Refused,
}

/// The groups of a container's processes beside the primary one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Groups {
    pub(crate) policy: GroupsPolicy,
    /// `supplementalGroups`, then `fsGroup`.
    pub(crate) given: Vec<u32>,
}

/// `supplementalGroupsPolicy`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum GroupsPolicy {
    /// Those of the image's `/etc/group` too.
    #[default]
    Merge,
    /// None but the given ones.
    Strict,
}

/// How far a container's power reaches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Privilege {
    /// `privileged`: every capability, every device, nothing masked, no system call filtered.
    Full,
    Limited {
        capabilities: BTreeSet<&'static str>,
        escalation: Escalation,
    },
}

impl Default for Privilege {
    fn default() -> Self {
        Self::Limited { capabilities: capabilities(&[], &[]), escalation: Escalation::Allowed }
    }
}

/// `allowPrivilegeEscalation`: whether a program may have more than the one that starts it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Escalation {
    Allowed,
    /// The kernel's `no_new_privs`.
    Refused,
}

/// `procMount`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ProcMount {
    Masked,
    Unmasked,
}

/// `seccompProfile`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Seccomp {
    RuntimeDefault,
    Unconfined,
    /// A file below the profiles' directory of this box.
    Localhost(String),
}

/// `appArmorProfile`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum AppArmor {
    Unset,
    RuntimeDefault,
    Unconfined,
    /// A profile the kernel has loaded.
    Localhost(String),
}

/// What the pod as a whole asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct PodSecurity {
    pub(crate) fs_group: Option<FsGroup>,
    /// By name, with dots.
    pub(crate) sysctls: BTreeMap<String, String>,
}

/// The group that owns the pod's volumes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FsGroup {
    pub(crate) gid: u32,
    pub(crate) change: FsGroupChange,
}

/// `fsGroupChangePolicy`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FsGroupChange {
    Always,
    /// Only if the volume's top directory is not as it should be.
    OnRootMismatch,
}

/// Every capability of Linux 5.9 and later, in the kernel's order (capabilities(7)).
pub(crate) const ALL_CAPABILITIES: [&str; 41] = [
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_DAC_READ_SEARCH",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SETPCAP",
    "CAP_LINUX_IMMUTABLE",
    "CAP_NET_BIND_SERVICE",
    "CAP_NET_BROADCAST",
    "CAP_NET_ADMIN",
    "CAP_NET_RAW",
    "CAP_IPC_LOCK",
    "CAP_IPC_OWNER",
    "CAP_SYS_MODULE",
    "CAP_SYS_RAWIO",
    "CAP_SYS_CHROOT",
    "CAP_SYS_PTRACE",
    "CAP_SYS_PACCT",
    "CAP_SYS_ADMIN",
    "CAP_SYS_BOOT",
    "CAP_SYS_NICE",
    "CAP_SYS_RESOURCE",
    "CAP_SYS_TIME",
    "CAP_SYS_TTY_CONFIG",
    "CAP_MKNOD",
    "CAP_LEASE",
    "CAP_AUDIT_WRITE",
    "CAP_AUDIT_CONTROL",
    "CAP_SETFCAP",
    "CAP_MAC_OVERRIDE",
    "CAP_MAC_ADMIN",
    "CAP_SYSLOG",
    "CAP_WAKE_ALARM",
    "CAP_BLOCK_SUSPEND",
    "CAP_AUDIT_READ",
    "CAP_PERFMON",
    "CAP_BPF",
    "CAP_CHECKPOINT_RESTORE",
];

/// What container runtimes have given by default since Docker; all others are dropped.
const DEFAULT_CAPABILITIES: [&str; 14] = [
    "CAP_AUDIT_WRITE",
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_MKNOD",
    "CAP_NET_BIND_SERVICE",
    "CAP_NET_RAW",
    "CAP_SETFCAP",
    "CAP_SETGID",
    "CAP_SETPCAP",
    "CAP_SETUID",
    "CAP_SYS_CHROOT",
];

const ALL: &str = "ALL";

/// The kernel's name of a capability that is written with or without `CAP_`, in any case.
pub(crate) fn capability(written: &str) -> Option<&'static str> {
    let upper = written.to_ascii_uppercase();
    let bare = upper.strip_prefix("CAP_").unwrap_or(&upper);
    ALL_CAPABILITIES.into_iter().find(|name| &name["CAP_".len()..] == bare)
}

/// Whether a manifest may write this in a list of capabilities.
pub(crate) fn is_capability(written: &str) -> bool {
    written.eq_ignore_ascii_case(ALL) || capability(written).is_some()
}

/// The default with what is added and dropped, as containerd has it: `ALL` first, added then dropped; single names after
/// it, added then dropped. So `drop: [ALL], add: [CHOWN]` leaves one.
pub(crate) fn capabilities(add: &[String], drop: &[String]) -> BTreeSet<&'static str> {
    let has_all = |names: &[String]| names.iter().any(|name| name.eq_ignore_ascii_case(ALL));
    let mut set: BTreeSet<&'static str> = match (has_all(add), has_all(drop)) {
        (_, true) => BTreeSet::new(),
        (true, false) => ALL_CAPABILITIES.into(),
        (false, false) => DEFAULT_CAPABILITIES.into(),
    };
    set.extend(add.iter().filter_map(|name| capability(name)));
    for name in drop.iter().filter_map(|name| capability(name)) {
        set.remove(name);
    }
    set
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        text.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn capabilities_are_added_and_dropped_as_containerd_does() {
        let default = DEFAULT_CAPABILITIES.len();
        let check = |add: &str, drop: &str, count: usize, has: &str, has_not: &str| {
            let set = capabilities(&words(add), &words(drop));
            assert_eq!(set.len(), count, "{add:?} {drop:?}: {set:?}");
            assert!(words(has).iter().all(|name| set.contains(name.as_str())), "{add:?} {drop:?}: {set:?}");
            assert!(!words(has_not).iter().any(|name| set.contains(name.as_str())), "{add:?} {drop:?}");
        };
        check("", "", default, "CAP_CHOWN CAP_MKNOD", "CAP_SYS_ADMIN CAP_NET_ADMIN");
        check("SYS_TIME", "", default + 1, "CAP_SYS_TIME", "");
        check("CAP_SYS_TIME", "CAP_CHOWN", default, "CAP_SYS_TIME", "CAP_CHOWN");
        check("sys_time", "chown", default, "CAP_SYS_TIME", "CAP_CHOWN");
        check("ALL", "", 41, "CAP_SYS_ADMIN", "");
        check("", "ALL", 0, "", "CAP_CHOWN");
        check("NET_BIND_SERVICE", "ALL", 1, "CAP_NET_BIND_SERVICE", "");
        check("all", "NET_RAW", 40, "CAP_SYS_ADMIN", "CAP_NET_RAW");
        check("ALL", "all", 0, "", "CAP_CHOWN");
        check("NET_RAW", "NET_RAW", default - 1, "", "CAP_NET_RAW");
    }

    #[test]
    fn a_capability_is_known_with_and_without_its_prefix() {
        for known in ["NET_ADMIN", "CAP_NET_ADMIN", "net_admin", "ALL", "all", "CHECKPOINT_RESTORE"] {
            assert!(is_capability(known), "{known}");
        }
        for unknown in ["", "CAP_", "CAP_CAP_CHOWN", "NET", "CAP_ALL", "SYS ADMIN"] {
            assert!(!is_capability(unknown), "{unknown}");
        }
    }
}
