//! What a container's processes may do.

use std::fs;

use anyhow::{Context, Result, ensure};

use super::{check, said};
use crate::{
    pods::{Pod, one},
    world::World,
};

/// The capability sets of this very process, and whether it is filtered and may gain anything.
const CAPABILITIES: &str =
    "awk '/^(CapEff|CapBnd|CapInh|CapAmb|NoNewPrivs|Seccomp):/ { printf \"%s \", $2 }' /proc/self/status";
/// Docker's fourteen.
const DEFAULT: &str = "00000000a80425fb";
const NONE: &str = "0000000000000000";
const ALL: &str = "000001ffffffffff";

pub(super) fn capabilities(world: &World) -> Result<()> {
    let row = |inherited: &str, effective: &str, bounding: &str, no_new: u8, seccomp: u8| {
        format!("{inherited} {effective} {bounding} {NONE} {no_new} {seccomp} ")
    };
    let rows = [
        ("", row(NONE, DEFAULT, DEFAULT, 0, 2)),
        ("runAsUser: 1000", row(NONE, NONE, DEFAULT, 0, 2)),
        (
            "capabilities: { drop: [ALL], add: [NET_BIND_SERVICE] }",
            row(NONE, "0000000000000400", "0000000000000400", 0, 2),
        ),
        (
            "capabilities: { add: [CAP_SYS_TIME], drop: [chown] }",
            row(NONE, "00000000aa0425fa", "00000000aa0425fa", 0, 2),
        ),
        ("capabilities: { drop: [ALL] }, allowPrivilegeEscalation: false", row(NONE, NONE, NONE, 1, 2)),
        (
            "seccompProfile: { type: Unconfined }, runAsUser: 1000, allowPrivilegeEscalation: false",
            row(NONE, NONE, DEFAULT, 1, 0),
        ),
        ("privileged: true", row(NONE, ALL, ALL, 0, 0)),
        ("runAsUser: 1000, allowPrivilegeEscalation: false", row(NONE, NONE, DEFAULT, 1, 2)),
    ];
    let rows: Vec<(&str, &str, &str)> =
        rows.iter().map(|(context, wanted)| (*context, CAPABILITIES, wanted.as_str())).collect();
    check(world, "capabilities", "", &rows)
}

/// Nothing of the agent's: no signals ignored or blocked, no files open, no limits.
pub(super) fn clean(world: &World) -> Result<()> {
    let files = "ls /proc/1/fd | tr '\\n' ' '; readlink /proc/1/fd/0";
    let limits = "awk '/^Max (open files|locked memory)/ { print $(NF-2), $(NF-1) }' /proc/self/limits";
    let others = "tr '\\0' '\\n' < /proc/1/environ | sort; cat /proc/1/cgroup";
    let environment = "HOME=/root\nHOSTNAME=clean\nPATH=/bin\n0::/\n";
    check(
        world,
        "clean",
        "",
        &[
            ("", files, "0 1 2 /dev/null\n"),
            ("", limits, "1024 524288\n8388608 8388608\n"),
            ("", others, environment),
        ],
    )?;
    // Seen from the box: a shell would ignore a signal of its own.
    let sleeps =
        one("signals", "x", "", "").replace("command: [\"/work\", \"x\"]", "command: [sleep, \"1000\"]");
    let pod = Pod::apply(world, "signals", &sleeps)?;
    pod.await_running("main")?;
    let status =
        fs::read_to_string(format!("/proc/{}/status", pod.main_pid("main", 0)?)).context("read a status")?;
    for set in ["SigBlk", "SigIgn", "SigCgt"] {
        ensure!(status.contains(&format!("{set}:\t0000000000000000\n")), "of signals it has {status}");
    }
    Ok(())
}

/// Kubernetes' conformance test of allowPrivilegeEscalation, with a program of our own.
pub(super) fn escalation(world: &World) -> Result<()> {
    let volume = "  volumes: [{ name: v, emptyDir: {} }]\n";
    let mount = |manifest: String| {
        manifest.replace(
            "      securityContext:",
            "      volumeMounts: [{ name: v, mountPath: /v }]\n      securityContext:",
        )
    };
    let make = "cp /work /v/made && chown 0:0 /v/made && chmod 4755 /v/made && mv /v/made /v/suid";
    let run = "until [ -e /v/suid ]; do sleep 0.1; done; exec /v/suid work ids";
    let rows = [
        ("", make),
        ("runAsUser: 1000", run),
        ("runAsUser: 1000, allowPrivilegeEscalation: true", run),
        ("runAsUser: 1000, allowPrivilegeEscalation: false", run),
    ];
    let manifest = mount(super::pod_of("escalation", volume, &rows));
    let pod = Pod::apply(world, "escalation", &manifest)?;
    for (container, euid) in [("c1", 0), ("c2", 0), ("c3", 1000)] {
        pod.end(container, 0)?;
        let (found, wanted) = (pod.logs(container)?, format!("uid=1000 euid={euid} gid=1000 egid=1000\n"));
        ensure!(found == wanted, "{container} said {found:?}, not {wanted:?}");
    }
    Ok(())
}

/// Kubernetes' PrivilegedPod: one changes the pod's network, the other may not.
pub(super) fn privileged(world: &World) -> Result<()> {
    let script = "ip link set lo mtu 1400 2>&1 && echo changed; mkdir -p /m; mount -t tmpfs x /m 2>&1 && echo mounted; \
                  echo 3 > /proc/sys/net/ipv4/tcp_retries1 && echo set";
    let found =
        said(world, "privileged", "", &[("privileged: true", script), ("privileged: false", script)])?;
    ensure!(found[0] == "changed\nmounted\nset\n", "the privileged one said {:?}", found[0]);
    let refused = !["changed", "mounted", "set\n"].iter().any(|word| found[1].contains(word));
    ensure!(refused && found[1].contains("Operation not permitted"), "the other one said {:?}", found[1]);
    Ok(())
}
