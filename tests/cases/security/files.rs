//! Files a container may write, files that are hidden from it, and to whom its volumes belong.

use std::fs;

use anyhow::{Context, Result, ensure};

use super::{check, pod_of};
use crate::{
    pods::{Pod, apply},
    world::World,
};

pub(super) fn read_only(world: &World) -> Result<()> {
    let write = "echo x 2>&1 > /file || echo refused; echo x > /dev/shm/file && echo shared";
    let hidden = "for f in /proc/kcore /proc/keys /proc/interrupts /proc/timer_list; do [ -e $f ] && cat $f | head -c 9; done; \
                  ls /sys/firmware; echo 2 > /proc/sys/kernel/shm_rmid_forced || echo read-only";
    let seen =
        "head -c 3 /proc/interrupts > /dev/null && [ -n \"$(head -c 9 /proc/interrupts)\" ] && echo seen";
    check(
        world,
        "read-only",
        "",
        &[
            ("", "echo x > /file && cat /file", "x\n"),
            (
                "readOnlyRootFilesystem: true",
                write,
                "sh: can't create /file: Read-only file system\nrefused\nshared\n",
            ),
            (
                "",
                hidden,
                "sh: can't create /proc/sys/kernel/shm_rmid_forced: Read-only file system\nread-only\n",
            ),
            ("procMount: Unmasked", seen, "seen\n"),
        ],
    )
}

pub(super) fn sysctls(world: &World) -> Result<()> {
    let host = || fs::read_to_string("/proc/sys/kernel/shm_rmid_forced").context("read the box's own");
    let before = host()?;
    let spec = "  securityContext:\n    sysctls:\n      - { name: kernel.shm_rmid_forced, value: \"1\" }\n      - { name: net/ipv4/ip_unprivileged_port_start, value: \"7\" }\n";
    let script = "cat /proc/sys/kernel/shm_rmid_forced /proc/sys/net/ipv4/ip_unprivileged_port_start";
    check(world, "sysctls", spec, &[("", script, "1\n7\n"), ("runAsUser: 1000", script, "1\n7\n")])?;
    ensure!(before == host()? && before == "0\n", "the box's own was {before:?} and is {:?}", host()?);
    for (name, wanted) in [
        ("kernel.shmmax", "\"kernel.shmmax\" is not a safe sysctl; accepted are kernel.shm_rmid_forced, "),
        ("foo-", "\"foo-\" is not accepted"),
        ("bar..", "\"bar..\" is not accepted"),
    ] {
        let spec = format!(
            "  securityContext: {{ sysctls: [{{ name: kernel.shm_rmid_forced, value: \"0\" }}, {{ name: \"{name}\", value: \"1\" }}] }}\n"
        );
        let said = apply(world, "bad-sysctl", &pod_of("bad-sysctl", &spec, &[("", "true")]))?;
        ensure!(said.code == Some(1) && said.stderr.contains(wanted), "{name}: {said:?}");
    }
    Ok(())
}

const CLAIM: &str = "apiVersion: v1\nkind: PersistentVolumeClaim\nmetadata:\n  name: grouped\nspec:\n  accessModes: [ReadWriteOnce]\n  resources: { requests: { storage: 1Mi } }\n---\n";

pub(super) fn fs_group(world: &World) -> Result<()> {
    let volumes = "  volumes:\n    - { name: disk, emptyDir: {} }\n    - { name: memory, emptyDir: { medium: Memory } }\n    - { name: claim, persistentVolumeClaim: { claimName: grouped } }\n";
    let mounted = |manifest: String| {
        let mounts = "      volumeMounts: [{ name: disk, mountPath: /disk }, { name: memory, mountPath: /memory }, { name: claim, mountPath: /claim }]\n";
        manifest.replace("      securityContext:", &format!("{mounts}      securityContext:"))
    };
    let one = |name: &str, spec: &str, row: (&str, &str)| -> Result<String> {
        let manifest = mounted(pod_of(name, &format!("{volumes}{spec}"), &[row]));
        let pod = Pod::apply(world, name, &format!("{CLAIM}{manifest}"))?;
        pod.end("c0", 0)?;
        pod.logs("c0")
    };
    // What an earlier pod wrote as root belongs to the group of the next one.
    let first = one(
        "group-first",
        "",
        (
            "",
            "mkdir -p /claim/deep; echo seed > /claim/deep/file; chmod -R go= /claim/deep; ln -s /etc/passwd /claim/link; echo written",
        ),
    )?;
    ensure!(first == "written\n", "the first one said {first:?}");
    let script = "stat -c '%a %g' /disk /memory /claim /claim/deep /claim/deep/file; cat /claim/deep/file; \
                  for v in disk memory claim; do echo x > /$v/new && stat -c '%u %g' /$v/new; done; stat -c '%g' /etc/passwd";
    let spec = "  securityContext: { fsGroup: 4004, fsGroupChangePolicy: OnRootMismatch }\n";
    let found = one("group-next", spec, ("runAsUser: 1000, runAsGroup: 1000", script))?;
    let wanted =
        "2777 4004\n3777 4004\n2777 4004\n2770 4004\n660 4004\nseed\n1000 4004\n1000 4004\n1000 4004\n0\n";
    ensure!(found == wanted, "it said {found:?}, not {wanted:?}");
    world.carob_ok(&["delete", "pvc", "grouped"]).map(drop)
}
