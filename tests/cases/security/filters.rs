//! Which system calls a container can make, and what else confines it.

use std::fs;

use anyhow::{Context, Result, ensure};

use super::{check, pod_of, said, waiting};
use crate::{pods::Pod, world::World};

const PROFILES: &str = "/var/lib/carob/seccomp";

pub(super) fn calls(world: &World) -> Result<()> {
    let script = "exec /work calls";
    let rows = [
        ("", script),
        ("seccompProfile: { type: RuntimeDefault }", script),
        ("seccompProfile: { type: Unconfined }", script),
    ];
    let found = said(world, "calls", "", &rows)?;
    // EPERM for what is forbidden, ENOSYS for what is unknown and for clone3, whose flags no filter can see.
    let filtered = "getpid: 0\nkeyctl: 1\nio_uring_setup: 1\nclone3: 38\nunknown: 38\nvsock: 1\npersonality: 38\nunshare: 1\n";
    ensure!(found[0] == filtered, "by default it said {:?}, not {filtered:?}", found[0]);
    ensure!(found[1] == filtered, "with RuntimeDefault it said {:?}", found[1]);
    // The kernel itself would let a container make a user namespace.
    let open = found[2].contains("unshare: 0\n") && found[2].contains("personality: 0\n");
    ensure!(open && found[2].contains("unknown: 38\n"), "unconfined it said {:?}", found[2]);
    Ok(())
}

pub(super) fn localhost(world: &World) -> Result<()> {
    fs::create_dir_all(PROFILES).context("create the profiles' directory")?;
    // As other runtimes take it: the mask stands in `value`.
    let profile = r#"{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
        {"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 13},
        {"names": ["personality"], "action": "SCMP_ACT_ERRNO", "errnoRet": 7,
         "args": [{"index": 0, "value": 262144, "valueTwo": 262144, "op": "SCMP_CMP_MASKED_EQ"}]}]}"#;
    fs::write(format!("{PROFILES}/no-directories.json"), profile).context("write a profile")?;
    let own = "seccompProfile: { type: Localhost, localhostProfile: no-directories.json }";
    let rows = [
        (
            own,
            "mkdir /x 2>&1; touch /y && echo touched",
            "mkdir: can't create directory '/x': Permission denied\ntouched\n",
        ),
        (own, "/work calls | grep personality", "personality: 7\n"),
    ];
    check(world, "own-profile", "", &rows)?;
    let missing = "seccompProfile: { type: Localhost, localhostProfile: sub/none.json }";
    let pod = Pod::apply(world, "no-profile", &pod_of("no-profile", "", &[(missing, "echo ran")]))?;
    let waits = waiting(world, &pod, "c0")?;
    ensure!(waits["reason"] == "CreateContainerError", "it waits for {waits}");
    let message = waits["message"].as_str().unwrap_or_default();
    let wanted = format!("cannot load seccomp profile \"{PROFILES}/sub/none.json\": ");
    ensure!(message.starts_with(&wanted), "it waits with {message:?}");
    pod.delete()?;
    // The administrator's file is there at last: nobody has to touch the pod.
    fs::remove_file(format!("{PROFILES}/no-directories.json")).context("remove the profile")
}

/// No profile is loaded in the test machine, whether its kernel has AppArmor or not.
pub(super) fn app_armor(world: &World) -> Result<()> {
    let rows = [
        ("appArmorProfile: { type: RuntimeDefault }", "echo ran"),
        ("appArmorProfile: { type: Localhost, localhostProfile: carob-none }", "echo ran"),
        ("appArmorProfile: { type: Unconfined }", "echo ran"),
    ];
    let pod = Pod::apply(world, "app-armor", &pod_of("app-armor", "", &rows))?;
    pod.end("c2", 0)?;
    ensure!(pod.logs("c2")? == "ran\n", "unconfined it did not run");
    for container in ["c0", "c1"] {
        let waits = waiting(world, &pod, container)?;
        let message = waits["message"].as_str().unwrap_or_default();
        let named = message.starts_with("cannot enforce AppArmor");
        ensure!(waits["reason"] == "CreateContainerError" && named, "{container} waits for {waits}");
    }
    Ok(())
}
