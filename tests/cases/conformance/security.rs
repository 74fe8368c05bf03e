//! Whose a process is, and what a command in a container cannot do to the agent.

use std::{
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt,
};

use anyhow::{Context, Result, ensure};

use super::{check, line};
use crate::{
    pods::{PATIENCE, Pod, one, ready},
    world::{AGENT, World},
};

const IDS: &str = "echo uid=$(id -u) gid=$(id -g)";

pub(super) fn users(world: &World) -> Result<()> {
    let lines = [
        line(
            "should support container.SecurityContext.RunAsUser And RunAsGroup",
            "      securityContext: { runAsUser: 1001, runAsGroup: 2002 }\n",
            IDS,
            "uid=1001 gid=2002\n",
        ),
        line(
            "should run the container with uid 0",
            "      securityContext: { runAsUser: 0 }\n",
            "id -u",
            "0\n",
        ),
    ];
    check(world, "of-container", "", &lines)?;
    let lines = [line(
        "should support pod.Spec.SecurityContext.RunAsUser And RunAsGroup",
        "",
        IDS,
        "uid=1001 gid=2002\n",
    )];
    check(world, "of-pod", "  securityContext: { runAsUser: 1001, runAsGroup: 2002 }\n", &lines)
}

/// CVE-2019-5736 by way of a command: its program is a script whose interpreter is "the program that executes me", so
/// that the runtime's own runs inside the container, where the attacker waits for it.
pub(super) fn exec(world: &World) -> Result<()> {
    const PLACE: &str = "/tmp/carob-evil-exec";
    const TRIES: u32 = 100;
    ready(world)?;
    let digest = || world.command("sha256sum", &[AGENT]);
    let before = digest()?;
    fs::create_dir_all(PLACE).with_context(|| format!("create {PLACE}"))?;
    let script = format!("{PLACE}/evil");
    fs::write(&script, "#!/proc/self/exe\n").context("write the script")?;
    fs::set_permissions(&script, Permissions::from_mode(0o755)).context("make the script executable")?;
    let spec = format!("  volumes: [{{ name: v, hostPath: {{ path: {PLACE} }} }}]\n");
    let extra = "      volumeMounts: [{ name: v, mountPath: /v }]\n      securityContext: { capabilities: { add: [SYS_PTRACE] } }\n";
    let pod = Pod::apply(world, "evil-exec", &one("evil-exec", "overwrite-runtime /v/evil", extra, &spec))?;
    pod.await_log("main", "waiting")?;
    // Until the attacker has had one in his hands.
    for _ in 0..TRIES {
        if !pod.container("main")?["state"]["running"].is_object() {
            break;
        }
        let said = world.carob(&["exec", "evil-exec", "--", "/v/evil"])?;
        ensure!(said.code != Some(0), "the agent's program did something for the container: {said:?}");
    }
    let end = pod.end("main", 0)?;
    let said = pod.logs("main")?;
    ensure!(end["exitCode"] == 0, "the attacker got hold of nothing: {said:?}");
    // EROFS (30), or ETXTBSY (26) while it runs; 0 would be a success.
    ensure!(said.contains("; after it: 30\n") && !said.contains("{0"), "the attacker says {said:?}");
    ensure!(digest()? == before, "the agent's program is another one");
    world.wait_until("the agent is well", PATIENCE, || world.agent_pid())?;
    pod.delete()?;
    fs::remove_dir_all(PLACE).with_context(|| format!("remove {PLACE}"))
}
