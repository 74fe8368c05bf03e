//! `securityContext` of a checked Pod → `pod::security`, the pod's words below the container's. Checks nothing.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{
    self, AppArmorProfile, PodSecurityContext, SeccompProfile, SecurityContext,
};

use crate::pod::{
    Access,
    security::{
        AppArmor, Escalation, FsGroup, FsGroupChange, Groups, GroupsPolicy, PodSecurity, Privilege,
        ProcMount, RootUser, Seccomp, Security, capabilities,
    },
};

/// What the pod as a whole asks for.
pub(super) fn of_pod(pod: &PodSecurityContext) -> PodSecurity {
    let change = match pod.fs_group_change_policy.as_deref() {
        Some("OnRootMismatch") => FsGroupChange::OnRootMismatch,
        _ => FsGroupChange::Always,
    };
    let sysctls = pod.sysctls.iter().flatten();
    PodSecurity {
        fs_group: pod.fs_group.and_then(id).map(|gid| FsGroup { gid, change }),
        sysctls: sysctls
            .map(|sysctl| (dotted(&sysctl.name), sysctl.value.clone()))
            .collect::<BTreeMap<_, _>>(),
    }
}

/// One container's: its own field, else the pod's.
pub(super) fn of_container(own: Option<&SecurityContext>, pod: &PodSecurityContext) -> Security {
    let nothing = SecurityContext::default();
    let own = own.unwrap_or(&nothing);
    let non_root = own.run_as_non_root.or(pod.run_as_non_root);
    Security {
        user: own.run_as_user.or(pod.run_as_user).and_then(id),
        group: own.run_as_group.or(pod.run_as_group).and_then(id),
        root: if non_root == Some(true) { RootUser::Refused } else { RootUser::Allowed },
        groups: groups(pod),
        privilege: privilege(own),
        root_filesystem: match own.read_only_root_filesystem {
            Some(true) => Access::ReadOnly,
            _ => Access::ReadWrite,
        },
        proc: match own.proc_mount.as_deref() {
            Some("Unmasked") => ProcMount::Unmasked,
            _ => ProcMount::Masked,
        },
        seccomp: seccomp(own.seccomp_profile.as_ref().or(pod.seccomp_profile.as_ref())),
        app_armor: app_armor(own.app_armor_profile.as_ref().or(pod.app_armor_profile.as_ref())),
    }
}

/// A sysctl's name with dots: it may be written with slashes, as sysctl(8) takes it.
pub(super) fn dotted(name: &str) -> String {
    let swapped = |c| match c {
        '/' => '.',
        '.' => '/',
        other => other,
    };
    match name.find(['.', '/']) {
        Some(at) if name[at..].starts_with('/') => name.chars().map(swapped).collect(),
        _ => name.to_owned(),
    }
}

fn id(number: i64) -> Option<u32> {
    u32::try_from(number).ok()
}

fn groups(pod: &PodSecurityContext) -> Groups {
    let policy = match pod.supplemental_groups_policy.as_deref() {
        Some("Strict") => GroupsPolicy::Strict,
        _ => GroupsPolicy::Merge,
    };
    let supplemental = pod.supplemental_groups.iter().flatten().copied();
    Groups { policy, given: supplemental.chain(pod.fs_group).filter_map(id).collect() }
}

fn privilege(own: &SecurityContext) -> Privilege {
    if own.privileged == Some(true) {
        return Privilege::Full;
    }
    let empty = v1::Capabilities::default();
    let asked = own.capabilities.as_ref().unwrap_or(&empty);
    let names = |names: &Option<Vec<String>>| names.clone().unwrap_or_default();
    Privilege::Limited {
        capabilities: capabilities(&names(&asked.add), &names(&asked.drop)),
        escalation: match own.allow_privilege_escalation {
            Some(false) => Escalation::Refused,
            _ => Escalation::Allowed,
        },
    }
}

fn seccomp(profile: Option<&SeccompProfile>) -> Seccomp {
    match profile.map(|profile| (profile.type_.as_str(), &profile.localhost_profile)) {
        Some(("Unconfined", _)) => Seccomp::Unconfined,
        Some(("Localhost", Some(file))) => Seccomp::Localhost(file.clone()),
        _ => Seccomp::RuntimeDefault,
    }
}

fn app_armor(profile: Option<&AppArmorProfile>) -> AppArmor {
    match profile.map(|profile| (profile.type_.as_str(), &profile.localhost_profile)) {
        Some(("RuntimeDefault", _)) => AppArmor::RuntimeDefault,
        Some(("Unconfined", _)) => AppArmor::Unconfined,
        Some(("Localhost", Some(name))) => AppArmor::Localhost(name.clone()),
        _ => AppArmor::Unset,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn container(own: Value, pod: Value) -> Security {
        let own: SecurityContext = serde_json::from_value(own).unwrap();
        of_container(Some(&own), &serde_json::from_value(pod).unwrap())
    }

    #[test]
    fn the_containers_own_word_goes_before_the_pods() {
        let pod = json!({
            "runAsUser": 1, "runAsGroup": 2, "runAsNonRoot": true,
            "seccompProfile": {"type": "Unconfined"},
            "appArmorProfile": {"type": "Unconfined"},
            "supplementalGroups": [7, 8], "fsGroup": 9, "supplementalGroupsPolicy": "Strict",
        });
        let inherited = container(json!({}), pod.clone());
        assert_eq!((inherited.user, inherited.group, inherited.root), (Some(1), Some(2), RootUser::Refused));
        assert_eq!((inherited.seccomp, inherited.app_armor), (Seccomp::Unconfined, AppArmor::Unconfined));
        assert_eq!(inherited.groups, Groups { policy: GroupsPolicy::Strict, given: vec![7, 8, 9] });
        let own = json!({
            "runAsUser": 0, "runAsGroup": 0, "runAsNonRoot": false,
            "seccompProfile": {"type": "Localhost", "localhostProfile": "a.json"},
            "appArmorProfile": {"type": "Localhost", "localhostProfile": "b"},
        });
        let own = container(own, pod);
        assert_eq!((own.user, own.group, own.root), (Some(0), Some(0), RootUser::Allowed));
        assert_eq!(own.seccomp, Seccomp::Localhost("a.json".to_owned()));
        assert_eq!(own.app_armor, AppArmor::Localhost("b".to_owned()));
    }

    #[test]
    fn without_a_word_a_container_is_confined_by_default() {
        assert_eq!(container(json!({}), json!({})), Security::default());
        assert_eq!(of_container(None, &PodSecurityContext::default()).seccomp, Seccomp::RuntimeDefault);
    }

    #[test]
    fn a_privileged_container_has_no_list_of_capabilities() {
        let full = container(json!({"privileged": true, "capabilities": {"drop": ["ALL"]}}), json!({}));
        assert_eq!(full.privilege, Privilege::Full);
        let limited = container(json!({"allowPrivilegeEscalation": false}), json!({}));
        let Privilege::Limited { capabilities, escalation } = limited.privilege else { panic!("it is full") };
        assert_eq!((capabilities.len(), escalation), (14, Escalation::Refused));
    }

    #[test]
    fn a_sysctls_name_may_have_slashes() {
        let rows = [
            ("net.ipv4.tcp_syncookies", "net.ipv4.tcp_syncookies"),
            ("net/ipv4/tcp_syncookies", "net.ipv4.tcp_syncookies"),
            ("net/ipv4/conf/eth0.1/x", "net.ipv4.conf.eth0/1.x"),
            ("net.ipv4.conf.eth0/1.x", "net.ipv4.conf.eth0/1.x"),
            ("kernel", "kernel"),
        ];
        for (written, dots) in rows {
            assert_eq!(dotted(written), dots, "{written}");
        }
    }
}
