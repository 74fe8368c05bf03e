//! Who a container's process is and what it may reach, in the places where the runtime spec has it. From plain data only.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
};

use serde_json::{Value, json};

use super::seccomp;
use crate::pod::{
    Access,
    security::{ALL_CAPABILITIES, Escalation, Privilege, ProcMount, Security},
};

/// Who the container's process is, once the image's user database has been asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    /// The primary group among them. Never empty: the runtime leaves the agent's own groups where none are given.
    pub(crate) groups: Vec<u32>,
    pub(crate) home: String,
}

/// What this box holds ready for a container to be confined by.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Confinement {
    pub(crate) filter: Filter,
    /// The profile that AppArmor is told of.
    pub(crate) app_armor: Option<String>,
    /// All of the box, for a privileged container only.
    pub(crate) devices: Vec<Device>,
}

/// Which system calls a container may make.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) enum Filter {
    #[default]
    RuntimeDefault,
    None,
    /// A profile of this box, as it was written.
    Own(Value),
}

/// A device node of the box.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Device {
    pub(crate) path: PathBuf,
    pub(crate) kind: DeviceKind,
    pub(crate) major: u32,
    pub(crate) minor: u32,
    pub(crate) mode: u32,
    pub(crate) owner: (u32, u32),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DeviceKind {
    Character,
    Block,
}

/// Files of `/proc` and `/sys` that tell too much: the kubelet's and containerd's list.
const MASKED: [&str; 12] = [
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
];
/// Directories of `/proc` that may be read only.
const READ_ONLY: [&str; 5] = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];
/// What a privileged container may write to.
const WRITABLE_IF_PRIVILEGED: [&str; 2] = ["/sys", "/sys/fs/cgroup"];
const UMASK: u32 = 0o022;
/// As systemd gives them to a service. The agent's own must not be inherited: the runtime raises that of locked memory
/// to load a program, and whoever starts the agent by hand has others.
const LIMITS: [(&str, u64, u64); 2] =
    [("RLIMIT_MEMLOCK", 8 << 20, 8 << 20), ("RLIMIT_NOFILE", 1024, 512 << 10)];

/// Writes all of it into a spec.
pub(super) fn dress(
    spec: &mut Value,
    wanted: &Security,
    identity: &Identity,
    confinement: &Confinement,
    sysctls: &BTreeMap<String, String>,
) {
    let capabilities = capabilities(wanted);
    process(&mut spec["process"], wanted, identity, confinement, &capabilities);
    spec["root"]["readonly"] = json!(wanted.root_filesystem == Access::ReadOnly);
    let linux = &mut spec["linux"];
    // Every bind is then the container's own business: nothing mounted on the box later appears in it, unless
    // `runtime::spread` joins it to the box's mount again.
    linux["rootfsPropagation"] = json!("private");
    linux["sysctl"] = json!(sysctls);
    let filter = match &confinement.filter {
        Filter::RuntimeDefault => Some(seccomp::runtime_default(&capabilities)),
        Filter::Own(profile) => Some(seccomp::for_this_runtime(profile.clone())),
        Filter::None => None,
    };
    if let Some(filter) = filter {
        linux["seccomp"] = filter;
    }
    let full = wanted.privilege == Privilege::Full;
    let hides = !full && wanted.proc == ProcMount::Masked;
    linux["maskedPaths"] = if hides { json!(MASKED) } else { json!([]) };
    linux["readonlyPaths"] = if hides { json!(READ_ONLY) } else { json!([]) };
    // The runtime adds the nodes every container has, and refuses all else.
    let rules = if full { json!([{"allow": true, "type": "a", "access": "rwm"}]) } else { json!([]) };
    linux["resources"]["devices"] = rules;
    if full {
        linux["devices"] = confinement.devices.iter().map(device).collect();
        spec["mounts"].as_array_mut().into_iter().flatten().for_each(make_writable);
    }
}

fn capabilities(wanted: &Security) -> BTreeSet<&'static str> {
    match &wanted.privilege {
        Privilege::Full => ALL_CAPABILITIES.into(),
        Privilege::Limited { capabilities, .. } => capabilities.clone(),
    }
}

/// No inheritable and no ambient capabilities: a user other than root has none until a program's file gives it some.
fn process(
    process: &mut Value,
    wanted: &Security,
    identity: &Identity,
    confinement: &Confinement,
    capabilities: &BTreeSet<&str>,
) {
    let Identity { uid, gid, groups, home } = identity;
    process["user"] = json!({"uid": uid, "gid": gid, "additionalGids": groups, "umask": UMASK});
    process["capabilities"] = json!({
        "bounding": capabilities, "effective": capabilities, "permitted": capabilities,
        "inheritable": [], "ambient": [],
    });
    // The key is left out rather than false: with false the runtime loads the filter when it no longer may.
    if matches!(wanted.privilege, Privilege::Limited { escalation: Escalation::Refused, .. }) {
        process["noNewPrivileges"] = json!(true);
    }
    if let Some(profile) = &confinement.app_armor {
        process["apparmorProfile"] = json!(profile);
    }
    process["rlimits"] =
        LIMITS.iter().map(|(kind, soft, hard)| json!({"type": kind, "soft": soft, "hard": hard})).collect();
    let variables = process["env"].as_array_mut();
    if let Some(variables) = variables
        && !variables.iter().any(|variable| variable.as_str().is_some_and(|text| text.starts_with("HOME=")))
    {
        // Without it the runtime would ask the image's own user database, with the image's own libraries.
        variables.push(json!(format!("HOME={home}")));
    }
}

fn device(device: &Device) -> Value {
    let kind = match device.kind {
        DeviceKind::Character => "c",
        DeviceKind::Block => "b",
    };
    let (uid, gid) = device.owner;
    json!({
        "path": device.path, "type": kind, "major": device.major, "minor": device.minor,
        "fileMode": device.mode, "uid": uid, "gid": gid,
    })
}

fn make_writable(mount: &mut Value) {
    let named = mount["destination"].as_str().is_some_and(|path| WRITABLE_IF_PRIVILEGED.contains(&path));
    let options = mount["options"].as_array_mut().into_iter().flatten();
    for option in options.filter(|option| named && *option == "ro") {
        *option = json!("rw");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pod::security::{self, AppArmor};

    fn dressed(wanted: &Security, confinement: &Confinement) -> Value {
        let mut spec = json!({
            "root": {}, "linux": {"resources": {}}, "process": {"env": ["A=1"]},
            "mounts": [{"destination": "/sys", "options": ["nosuid", "ro"]}, {"destination": "/x", "options": ["ro"]}],
        });
        let identity = Identity { uid: 7, gid: 8, groups: vec![8, 9], home: "/h".to_owned() };
        let sysctls = BTreeMap::from([("a.b".to_owned(), "1".to_owned())]);
        dress(&mut spec, wanted, &identity, confinement, &sysctls);
        spec
    }

    fn limited(escalation: Escalation) -> Security {
        let capabilities = security::capabilities(&["SYS_TIME".to_owned()], &["ALL".to_owned()]);
        Security { privilege: Privilege::Limited { capabilities, escalation }, ..Security::default() }
    }

    #[test]
    fn a_container_is_confined_unless_it_is_privileged() {
        let spec = dressed(&Security::default(), &Confinement::default());
        assert_eq!(
            spec["process"]["user"],
            json!({"uid": 7, "gid": 8, "additionalGids": [8, 9], "umask": 18})
        );
        assert_eq!(spec["process"]["env"], json!(["A=1", "HOME=/h"]));
        assert_eq!(spec["process"]["capabilities"]["bounding"].as_array().unwrap().len(), 14);
        assert_eq!(spec["linux"]["seccomp"]["defaultAction"], "SCMP_ACT_ERRNO");
        assert_eq!(spec["linux"]["resources"]["devices"], json!([]));
        assert_eq!(spec["linux"]["sysctl"], json!({"a.b": "1"}));
        assert!(spec["linux"]["maskedPaths"].as_array().unwrap().contains(&json!("/proc/kcore")));
        assert_eq!(spec["mounts"][0]["options"], json!(["nosuid", "ro"]));
        assert!(spec["process"].get("noNewPrivileges").is_none() && spec["root"]["readonly"] == false);
        let device = Device {
            path: "/dev/x".into(),
            kind: DeviceKind::Block,
            major: 1,
            minor: 2,
            mode: 0o600,
            owner: (3, 4),
        };
        let full = Security { privilege: Privilege::Full, ..Security::default() };
        let none = Confinement { filter: Filter::None, app_armor: None, devices: vec![device] };
        let spec = dressed(&full, &none);
        assert_eq!(spec["process"]["capabilities"]["effective"].as_array().unwrap().len(), 41);
        assert!(spec["linux"].get("seccomp").is_none());
        assert_eq!(spec["linux"]["resources"]["devices"][0]["type"], "a");
        assert_eq!(
            (&spec["linux"]["maskedPaths"], &spec["linux"]["readonlyPaths"]),
            (&json!([]), &json!([]))
        );
        assert_eq!(spec["mounts"][0]["options"], json!(["nosuid", "rw"]));
        assert_eq!(spec["mounts"][1]["options"], json!(["ro"]), "another mount keeps its word");
        let node = json!({"path": "/dev/x", "type": "b", "major": 1, "minor": 2, "fileMode": 384, "uid": 3, "gid": 4});
        assert_eq!(spec["linux"]["devices"], json!([node]));
    }

    #[test]
    fn each_wish_has_its_place_in_the_spec() {
        let spec = dressed(&limited(Escalation::Refused), &Confinement::default());
        assert_eq!(spec["process"]["noNewPrivileges"], true);
        assert_eq!(spec["process"]["capabilities"]["permitted"], json!(["CAP_SYS_TIME"]));
        let open =
            Security { root_filesystem: Access::ReadOnly, proc: ProcMount::Unmasked, ..Security::default() };
        let profile = json!({"defaultAction": "SCMP_ACT_ALLOW"});
        let own = Confinement {
            filter: Filter::Own(profile),
            app_armor: Some("mine".to_owned()),
            devices: Vec::new(),
        };
        let spec = dressed(&open, &own);
        assert_eq!((&spec["root"]["readonly"], &spec["linux"]["maskedPaths"]), (&json!(true), &json!([])));
        assert_eq!(spec["linux"]["seccomp"]["defaultAction"], "SCMP_ACT_ALLOW");
        assert_eq!(spec["process"]["apparmorProfile"], "mine");
        assert_eq!(Security::default().app_armor, AppArmor::Unset);
    }
}
