//! EmptyDir and hostPath: modes, media, parts.

use std::{
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt,
};

use anyhow::{Context, Result, ensure};

use super::{Line, check, line};
use crate::world::World;

const ROOT: &str = "";
const USER: &str = "      securityContext: { runAsUser: 1001 }\n";
const MEMORY: &str = "medium: Memory";

/// "EmptyDir volumes should support (…)": user, mode, its letters, medium.
pub(super) fn empty_dirs(world: &World) -> Result<()> {
    let rows = [
        ("(root,0644,tmpfs)", ROOT, "0644", "-rw-r--r--", MEMORY),
        ("(root,0666,tmpfs)", ROOT, "0666", "-rw-rw-rw-", MEMORY),
        ("(root,0644,default)", ROOT, "0644", "-rw-r--r--", ""),
        ("(root,0666,default)", ROOT, "0666", "-rw-rw-rw-", ""),
        ("(non-root,0644,tmpfs)", USER, "0644", "-rw-r--r--", MEMORY),
        ("(non-root,0666,default)", USER, "0666", "-rw-rw-rw-", ""),
        ("(non-root,0777,default)", USER, "0777", "-rwxrwxrwx", ""),
    ];
    let mut spec = "  volumes:\n    - { name: plain, emptyDir: {} }\n".to_owned();
    let mut lines = Vec::new();
    for (n, (name, user, mode, letters, medium)) in rows.into_iter().enumerate() {
        spec += &format!("    - {{ name: v{n}, emptyDir: {{ {medium} }} }}\n");
        let fields = format!("{user}      volumeMounts: [{{ name: v{n}, mountPath: /v }}]\n");
        let kind = if medium == MEMORY { "tmpfs" } else { "another" };
        let script = format!("/work mounttest new:{mode}:/v/f fs:/v perms:/v/f content:/v/f");
        let said = format!(
            "mount type of \"/v\": {kind}\nperms of file \"/v/f\": {letters}\ncontent of file \"/v/f\": mount-tester new file\n"
        );
        lines.push(line(name, &fields, &script, &said));
    }
    lines.push(line(
        "volume on default medium should have the correct mode",
        "      volumeMounts: [{ name: plain, mountPath: /v }]\n",
        "/work mounttest perms:/v",
        "perms of file \"/v\": -rwxrwxrwx\n",
    ));
    check(world, "empty-dirs", &spec, &lines)
}

/// "HostPath should give a volume the correct mode", "HostPath should support subPath".
pub(super) fn host_paths(world: &World) -> Result<()> {
    const PLACE: &str = "/var/tmp/carob-conformance";
    fs::create_dir_all(PLACE).with_context(|| format!("create {PLACE}"))?;
    fs::set_permissions(PLACE, Permissions::from_mode(0o1777)).context("set its mode")?;
    let spec = format!("  volumes: [{{ name: host, hostPath: {{ path: {PLACE} }} }}]\n");
    let whole = "      volumeMounts: [{ name: host, mountPath: /v }]\n";
    let part = "      volumeMounts: [{ name: host, mountPath: /v, subPath: sub/path }]\n";
    let lines: [Line; 3] = [
        line(
            "should give a volume the correct mode",
            whole,
            "/work mounttest mode:/v",
            "mode of file \"/v\": dtrwxrwxrwx\n",
        ),
        line("should support subPath", part, "/work mounttest new:0644:/v/.f; mv /v/.f /v/f", ""),
        line(
            "should support subPath",
            whole,
            "until [ -e /v/sub/path/f ]; do sleep 0.1; done; /work mounttest content:/v/sub/path/f",
            "content of file \"/v/sub/path/f\": mount-tester new file\n",
        ),
    ];
    check(world, "host-paths", &spec, &lines)?;
    let said = fs::read_to_string(format!("{PLACE}/sub/path/f")).context("read it on the box")?;
    ensure!(said == "mount-tester new file\n", "on the box it is {said:?}");
    fs::remove_dir_all(PLACE).with_context(|| format!("remove {PLACE}"))
}
