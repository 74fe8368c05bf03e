//! `securityContext` of the pod and of its containers: ids, names of capabilities and sysctls, profiles, contradictions.

use k8s_openapi::api::core::v1::{PodSecurityContext, PodSpec, SecurityContext, Sysctl};

use super::climbs;
use crate::{
    manifest::{
        fault::{FaultKind, Findings, quoted, suggestion},
        path::Path,
        security::dotted,
    },
    pod::security::{ALL_CAPABILITIES, is_capability},
};

/// Ids above are of no use to the kernel's signed callers (`IsValidUserID` in Kubernetes).
const LARGEST_ID: i64 = i32::MAX as i64;
/// `MaxLocalhostProfileLength` for AppArmor: what a file name path may have.
const LONGEST_PROFILE: usize = 4095;
const LONGEST_SYSCTL: usize = 253;

/// Sysctls that a pod has for itself and that cannot harm its neighbours: `pkg/kubelet/sysctl/safe_sysctls.go`.
const SAFE_SYSCTLS: [&str; 12] = [
    "kernel.shm_rmid_forced",
    "net.ipv4.ip_local_port_range",
    "net.ipv4.ip_local_reserved_ports",
    "net.ipv4.ip_unprivileged_port_start",
    "net.ipv4.ping_group_range",
    "net.ipv4.tcp_fin_timeout",
    "net.ipv4.tcp_keepalive_intvl",
    "net.ipv4.tcp_keepalive_probes",
    "net.ipv4.tcp_keepalive_time",
    "net.ipv4.tcp_rmem",
    "net.ipv4.tcp_syncookies",
    "net.ipv4.tcp_wmem",
];

/// The pod's own context.
pub(super) fn pod(spec: &PodSpec, at: &Path<'_>, findings: &mut Findings) {
    let Some(context) = &spec.security_context else { return };
    let at = at.field("securityContext");
    let PodSecurityContext { run_as_user, run_as_group, fs_group, .. } = *context;
    ids(&[("runAsUser", run_as_user), ("runAsGroup", run_as_group), ("fsGroup", fs_group)], &at, findings);
    let groups = at.field("supplementalGroups");
    for (index, group) in context.supplemental_groups.iter().flatten().enumerate() {
        id(*group, &groups.item(index), findings);
    }
    if let Some(profile) = &context.seccomp_profile {
        seccomp(&profile.type_, profile.localhost_profile.as_deref(), &at.field("seccompProfile"), findings);
    }
    if let Some(profile) = &context.app_armor_profile {
        app_armor(
            &profile.type_,
            profile.localhost_profile.as_deref(),
            &at.field("appArmorProfile"),
            findings,
        );
    }
    sysctls(context.sysctls.as_deref().unwrap_or_default(), spec, &at.field("sysctls"), findings);
}

/// One container's context.
pub(super) fn container(context: &SecurityContext, at: &Path<'_>, findings: &mut Findings) {
    ids(&[("runAsUser", context.run_as_user), ("runAsGroup", context.run_as_group)], at, findings);
    if let Some(profile) = &context.seccomp_profile {
        seccomp(&profile.type_, profile.localhost_profile.as_deref(), &at.field("seccompProfile"), findings);
    }
    if let Some(profile) = &context.app_armor_profile {
        app_armor(
            &profile.type_,
            profile.localhost_profile.as_deref(),
            &at.field("appArmorProfile"),
            findings,
        );
    }
    capability_names(context, &at.field("capabilities"), findings);
    if context.allow_privilege_escalation == Some(false) {
        no_escalation(context, at, findings);
    }
}

fn ids(fields: &[(&str, Option<i64>)], at: &Path<'_>, findings: &mut Findings) {
    for (name, number) in fields {
        if let Some(number) = number {
            id(*number, &at.field(name), findings);
        }
    }
}

fn id(number: i64, at: &Path<'_>, findings: &mut Findings) {
    if !(0..=LARGEST_ID).contains(&number) {
        let message = format!("{number} is out of range; an integer from 0 to {LARGEST_ID} is needed");
        findings.fault(at, FaultKind::Value, message);
    }
}

fn capability_names(context: &SecurityContext, at: &Path<'_>, findings: &mut Findings) {
    let Some(asked) = &context.capabilities else { return };
    for (field, names) in [("add", &asked.add), ("drop", &asked.drop)] {
        let list = at.field(field);
        for (index, name) in names.iter().flatten().enumerate().filter(|(_, name)| !is_capability(name)) {
            let known: Vec<&str> = ALL_CAPABILITIES.iter().map(|name| &name["CAP_".len()..]).collect();
            let bare = name.to_ascii_uppercase();
            let hint = suggestion(bare.strip_prefix("CAP_").unwrap_or(&bare), &known);
            let message = format!(
                "{} is no capability of Linux; one like NET_ADMIN, or ALL, is needed{hint}",
                quoted(name)
            );
            findings.fault(&list.item(index), FaultKind::Value, message);
        }
    }
}

/// Kubernetes compares the one capability as it is spelled, and takes `SYS_ADMIN` without its prefix: so must we.
fn no_escalation(context: &SecurityContext, at: &Path<'_>, findings: &mut Findings) {
    let added = context.capabilities.iter().flat_map(|asked| asked.add.iter().flatten());
    let mut against = Vec::new();
    if context.privileged == Some(true) {
        against.push("`privileged` to true");
    }
    if added.into_iter().any(|name| name == "CAP_SYS_ADMIN") {
        against.push("`capabilities.add` CAP_SYS_ADMIN");
    }
    for other in against {
        let message = format!("cannot set `allowPrivilegeEscalation` to false and {other}");
        findings.fault(&at.field("allowPrivilegeEscalation"), FaultKind::Value, message);
    }
}

/// The values of `type` are in the table of rules; here only whether there is one, and what belongs to it.
fn seccomp(kind: &str, file: Option<&str>, at: &Path<'_>, findings: &mut Findings) {
    const NEEDED: &str = "a relative path without \"..\" below the directory of seccomp profiles";
    let named = profile(kind, file, NEEDED, at, findings);
    if let Some(file) = named.filter(|file| file.starts_with('/') || climbs(file)) {
        findings.rejected(&at.field("localhostProfile"), file, NEEDED);
    }
}

fn app_armor(kind: &str, name: Option<&str>, at: &Path<'_>, findings: &mut Findings) {
    const NEEDED: &str = "the name of a profile that the kernel has loaded";
    let named = profile(kind, name, NEEDED, at, findings);
    if let Some(name) = named.filter(|name| name.trim() != *name || name.len() > LONGEST_PROFILE) {
        findings.rejected(&at.field("localhostProfile"), name, NEEDED);
    }
}

/// The local profile's name, if there must be one and there is.
fn profile<'a>(
    kind: &str,
    local: Option<&'a str>,
    needed: &str,
    at: &Path<'_>,
    findings: &mut Findings,
) -> Option<&'a str> {
    let local = local.filter(|name| !name.is_empty());
    let named = at.field("localhostProfile");
    match (kind, local) {
        ("", _) => findings.missing(&at.field("type"), "one of RuntimeDefault, Localhost, Unconfined"),
        ("Localhost", None) => findings.missing(&named, needed),
        ("Localhost", Some(name)) => return Some(name),
        (other, Some(name)) => {
            let message = format!("{} goes with type Localhost only; type is {other}", quoted(name));
            findings.fault(&named, FaultKind::Value, message);
        }
        _ => (),
    }
    None
}

fn sysctls(sysctls: &[Sysctl], spec: &PodSpec, at: &Path<'_>, findings: &mut Findings) {
    let names: Vec<String> = sysctls.iter().map(|sysctl| dotted(&sysctl.name)).collect();
    super::unique(&names.iter().map(String::as_str).collect::<Vec<_>>(), at, "name", findings);
    for (index, name) in names.iter().enumerate() {
        let item = at.item(index);
        let at = item.field("name");
        if name.is_empty() {
            findings.missing(&at, "the name of a sysctl");
        } else if !is_sysctl(name) {
            findings.rejected(&at, &sysctls[index].name, "the name of a sysctl like net.ipv4.tcp_syncookies");
        } else if !SAFE_SYSCTLS.contains(&name.as_str()) {
            let message =
                format!("{} is not a safe sysctl; accepted are {}", quoted(name), SAFE_SYSCTLS.join(", "));
            findings.fault(&at, FaultKind::Unsupported, message);
        } else if let Some(shared) = of_the_box(name, spec) {
            let message = format!("{} would be the box's own: it may not be set with {shared}", quoted(name));
            findings.fault(&at, FaultKind::Value, message);
        }
    }
}

/// The setting by which the pod has no namespace of its own that the sysctl belongs to.
fn of_the_box(name: &str, spec: &PodSpec) -> Option<&'static str> {
    let rows =
        [("net.", spec.host_network, "hostNetwork: true"), ("kernel.shm", spec.host_ipc, "hostIPC: true")];
    rows.into_iter().find(|(start, host, _)| name.starts_with(start) && *host == Some(true)).map(|row| row.2)
}

/// `[a-z0-9]([-_a-z0-9]*[a-z0-9])?`, any number of them, joined by dots or slashes.
fn is_sysctl(name: &str) -> bool {
    let letter = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let part = |part: &str| {
        let ends = part.bytes().next().is_some_and(letter) && part.bytes().next_back().is_some_and(letter);
        ends && part.bytes().all(|byte| letter(byte) || matches!(byte, b'-' | b'_'))
    };
    name.len() <= LONGEST_SYSCTL && name.split(['.', '/']).all(part)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    /// What is said of a pod with these contexts; empty if it is accepted without a word.
    fn said(spec: Value, container: Value) -> Vec<String> {
        let mut whole = json!({"containers": [{"name": "c", "image": "i", "securityContext": container}]});
        for (name, value) in spec.as_object().unwrap() {
            whole[name] = value.clone();
        }
        let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": whole});
        match crate::manifest::pod(&pod) {
            Ok(checked) => checked.notes,
            Err(faults) => faults.0.iter().map(ToString::to_string).collect(),
        }
    }

    fn pod(context: Value) -> Vec<String> {
        said(json!({"securityContext": context}), json!({}))
    }

    fn container(context: Value) -> Vec<String> {
        said(json!({}), context)
    }

    #[test]
    fn every_field_of_a_context_is_accepted() {
        let none: Vec<String> = Vec::new();
        let whole = json!({
            "runAsUser": 2147483647, "runAsGroup": 0, "runAsNonRoot": true, "fsGroup": 3,
            "fsGroupChangePolicy": "OnRootMismatch", "supplementalGroups": [1, 2],
            "supplementalGroupsPolicy": "Strict", "seccompProfile": {"type": "RuntimeDefault"},
            "appArmorProfile": {"type": "Unconfined"},
            "sysctls": [{"name": "kernel.shm_rmid_forced", "value": "1"},
                        {"name": "net/ipv4/ip_local_port_range", "value": "1024 65535"}],
        });
        assert_eq!(pod(whole), none);
        let whole = json!({
            "runAsUser": 0, "runAsGroup": 1, "runAsNonRoot": false, "privileged": false,
            "allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true, "procMount": "Unmasked",
            "capabilities": {"add": ["NET_ADMIN", "CAP_SYS_TIME", "SYS_ADMIN"], "drop": ["ALL"]},
            "seccompProfile": {"type": "Localhost", "localhostProfile": "a/b.json"},
            "appArmorProfile": {"type": "Localhost", "localhostProfile": "mine"},
        });
        assert_eq!(container(whole), none);
        assert_eq!(container(json!({"privileged": true, "allowPrivilegeEscalation": true})), none);
    }

    #[test]
    fn a_wrong_value_is_refused_by_name() {
        let pod_row = |context: Value, wanted: &[&str]| assert_eq!(pod(context), wanted);
        pod_row(
            json!({"runAsUser": -1, "fsGroup": 2147483648_i64, "supplementalGroups": [1, -7]}),
            &[
                "spec.securityContext.runAsUser: -1 is out of range; an integer from 0 to 2147483647 is needed",
                "spec.securityContext.fsGroup: 2147483648 is out of range; an integer from 0 to 2147483647 is needed",
                "spec.securityContext.supplementalGroups[1]: -7 is out of range; an integer from 0 to 2147483647 is needed",
            ],
        );
        pod_row(
            json!({"fsGroupChangePolicy": "Sometimes"}),
            &[
                "spec.securityContext.fsGroupChangePolicy: \"Sometimes\" is not accepted; one of Always, OnRootMismatch is needed",
            ],
        );
        pod_row(
            json!({"seccompProfile": {"localhostProfile": "a"}}),
            &[
                "spec.securityContext.seccompProfile.type: missing; one of RuntimeDefault, Localhost, Unconfined is needed",
            ],
        );
        let row = |context: Value, wanted: &str| {
            assert_eq!(container(context), [format!("spec.containers[0].securityContext.{wanted}")]);
        };
        row(
            json!({"capabilities": {"add": ["NET_ADMN"]}}),
            "capabilities.add[0]: \"NET_ADMN\" is no capability of Linux; one like NET_ADMIN, or ALL, is needed, did you mean \"NET_ADMIN\"?",
        );
        row(
            json!({"capabilities": {"drop": ["ALL", "CAP_EVERYTHING"]}}),
            "capabilities.drop[1]: \"CAP_EVERYTHING\" is no capability of Linux; one like NET_ADMIN, or ALL, is needed",
        );
        row(
            json!({"allowPrivilegeEscalation": false, "privileged": true}),
            "allowPrivilegeEscalation: cannot set `allowPrivilegeEscalation` to false and `privileged` to true",
        );
        row(
            json!({"allowPrivilegeEscalation": false, "capabilities": {"add": ["CAP_SYS_ADMIN"]}}),
            "allowPrivilegeEscalation: cannot set `allowPrivilegeEscalation` to false and `capabilities.add` CAP_SYS_ADMIN",
        );
        row(
            json!({"seccompProfile": {"type": "Localhost"}}),
            "seccompProfile.localhostProfile: missing; a relative path without \"..\" below the directory of seccomp profiles is needed",
        );
        row(
            json!({"seccompProfile": {"type": "Localhost", "localhostProfile": "../a"}}),
            "seccompProfile.localhostProfile: \"../a\" is not accepted; a relative path without \"..\" below the directory of seccomp profiles is needed",
        );
        row(
            json!({"seccompProfile": {"type": "Unconfined", "localhostProfile": "a"}}),
            "seccompProfile.localhostProfile: \"a\" goes with type Localhost only; type is Unconfined",
        );
        row(
            json!({"appArmorProfile": {"type": "Localhost", "localhostProfile": " a"}}),
            "appArmorProfile.localhostProfile: \" a\" is not accepted; the name of a profile that the kernel has loaded is needed",
        );
        row(
            json!({"procMount": "default"}),
            "procMount: \"default\" is not accepted; one of Default, Unmasked is needed, did you mean \"Default\"?",
        );
    }

    #[test]
    fn a_sysctl_that_is_no_name_or_not_safe_or_not_the_pods_own_is_refused() {
        let sysctls = |names: &[&str]| {
            let list: Vec<Value> = names.iter().map(|name| json!({"name": name, "value": "1"})).collect();
            json!({"sysctls": list})
        };
        // As Kubernetes' conformance test writes it: one good name, two bad ones.
        let found = pod(sysctls(&["kernel.shm_rmid_forced", "foo-", "bar.."]));
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(
            found[0].starts_with("spec.securityContext.sysctls[1].name: \"foo-\" is not accepted"),
            "{found:?}"
        );
        assert!(
            found[1].starts_with("spec.securityContext.sysctls[2].name: \"bar..\" is not accepted"),
            "{found:?}"
        );
        let found = pod(sysctls(&["kernel.shmmax"]));
        assert!(found[0].contains("sysctls[0].name: \"kernel.shmmax\" is not a safe sysctl"), "{found:?}");
        let twice = pod(sysctls(&["net.ipv4.tcp_rmem", "net/ipv4/tcp_rmem"]));
        assert!(twice[0].contains("sysctls[1].name: \"net.ipv4.tcp_rmem\" is taken by"), "{twice:?}");
        let spec = json!({"hostNetwork": true, "securityContext": sysctls(&["net.ipv4.tcp_rmem"])});
        let found = said(spec, json!({})).join("\n");
        assert!(found.contains("may not be set with hostNetwork: true"), "{found}");
    }

    #[test]
    fn what_this_box_cannot_do_is_refused_and_what_it_need_not_is_told() {
        let found = said(json!({"hostUsers": false}), json!({}));
        assert!(
            found[0].contains("spec.hostUsers: false is not supported (accepted is true): "),
            "{found:?}"
        );
        let noted = container(json!({"seLinuxOptions": {"level": "s0"}}));
        assert!(noted[0].contains("seLinuxOptions: accepted, but has no effect"), "{noted:?}");
    }
}
