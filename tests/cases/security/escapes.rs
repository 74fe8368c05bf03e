//! Ways out of a container that other runtimes had, tried here.

use std::{
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt,
    process::{Command, Stdio},
};

use anyhow::{Context, Result, ensure};

use super::pod_of;
use crate::{
    pods::{PATIENCE, Pod, one},
    world::{AGENT, World},
};

const SECRET: &str = "/carob-outside";

/// CVE-2024-21626: a directory of the box that the runtime had open became the container's working directory.
pub(super) fn leaked_directory(world: &World) -> Result<()> {
    fs::write(SECRET, "the box's own\n").context("write the box's secret")?;
    let mut manifest = pod_of("leaked", "", &[("", "x"); 12]);
    for fd in 0..12 {
        // The shell's own working directory is all that matters: `..` of a host's directory is a host's directory.
        let script = format!(
            "p=.; for i in 1 2 3 4 5 6 7 8 9; do cat $p{SECRET} 2> /dev/null; p=$p/..; done; echo looked from $(pwd -P)"
        );
        let name = format!("    - name: c{fd}\n");
        let at = manifest.find(&name).context("the container is not in the manifest")? + name.len();
        let (before, after) = manifest.split_at(at);
        let after = after.replacen("\"exec 2>&1; x\"", &format!("{script:?}"), 1);
        manifest = format!("{before}      workingDir: /proc/self/fd/{fd}\n{after}");
    }
    let pod = Pod::apply(world, "leaked", &manifest)?;
    for fd in 0..12 {
        let container = format!("c{fd}");
        let end = pod.end(&container, 0)?;
        let said = pod.logs(&container).unwrap_or_default();
        ensure!(!said.contains("the box's own"), "through descriptor {fd} it read {said:?}");
        let refused = end["reason"] == "StartError";
        ensure!(refused || said.contains("looked from"), "descriptor {fd}: {end}, {said:?}");
    }
    fs::remove_file(SECRET).context("remove the box's secret")
}

/// CVE-2019-5736: a container that gets hold of the runtime's program, as it comes in to run something, writes over it.
pub(super) fn runtime_overwritten(world: &World) -> Result<()> {
    let digest = || world.command("sha256sum", &[AGENT]);
    crate::pods::ready(world)?;
    let before = digest()?;
    let extra = "      securityContext: { capabilities: { add: [SYS_PTRACE, DAC_READ_SEARCH] } }\n";
    let pod = Pod::apply(world, "overwrites", &one("overwrites", "overwrite-runtime logs", extra, ""))?;
    pod.await_log("main", "waiting")?;
    // The agent starts its runtime from a copy that it holds open: the same is run here, inside the container's
    // pid namespace, where the attacker can see it.
    let agent = world.agent_pid()?;
    let copy = held_copy(agent)?;
    let target = format!("/proc/{}/ns/pid", pod.main_pid("main", 0)?);
    let mut runtime = Command::new("nsenter")
        .args([&format!("--pid={target}"), "--", &copy, "logs", "-f", "overwrites", "-c", "main"])
        .stdout(Stdio::null())
        .spawn()
        .context("run the runtime in the container's pid namespace")?;
    let end = pod.end("main", 0);
    runtime.wait().context("wait for the runtime")?;
    let said = pod.logs("main")?;
    ensure!(end?["exitCode"] == 0, "the attacker failed: {said:?}");
    // EROFS (30): there is no way to write to it, whether or not it runs (then it could be ETXTBSY, 26).
    let refused = said.contains("; after it: 30\n") && !said.contains("{0");
    ensure!(refused, "the attacker says {said:?}");
    ensure!(digest()? == before, "the agent's program is another one");
    interpreter(world)?;
    ensure!(digest()? == before, "the agent's program is another one");
    Ok(())
}

/// The link of that descriptor of the agent through which it executes its own program.
fn held_copy(agent: u32) -> Result<String> {
    let dir = format!("/proc/{agent}/fd");
    for entry in fs::read_dir(&dir).with_context(|| format!("list {dir}"))?.flatten() {
        let target = fs::read_link(entry.path()).unwrap_or_default();
        if target.file_name().is_some_and(|name| name.to_string_lossy().starts_with("carob"))
            && !target.extension().is_some_and(|kind| kind == "sock" || kind == "db")
            && fs::metadata(entry.path())
                .is_ok_and(|about| about.is_file() && about.permissions().mode() & 0o111 != 0)
        {
            return Ok(entry.path().display().to_string());
        }
    }
    anyhow::bail!("the agent holds no copy of its program")
}

/// A script whose interpreter is "the program that executes me": the runtime's, while it still is the runtime.
fn interpreter(world: &World) -> Result<()> {
    let script = "/tmp/carob-evil/script";
    fs::create_dir_all("/tmp/carob-evil").context("create the script's directory")?;
    fs::write(script, "#!/proc/self/exe\n").context("write the script")?;
    fs::set_permissions(script, Permissions::from_mode(0o755)).context("make the script executable")?;
    let spec = "  volumes: [{ name: v, hostPath: { path: /tmp/carob-evil } }]\n";
    let extra = "      volumeMounts: [{ name: v, mountPath: /v }]\n";
    let manifest =
        one("interpreted", "x", extra, spec).replace("command: [\"/work\", \"x\"]", "command: [/v/script]");
    let pod = Pod::apply(world, "interpreted", &manifest)?;
    let end = pod.end("main", 0)?;
    ensure!(end["exitCode"] != 0, "the runtime did something for the container: {end}");
    world.wait_until("the agent is well", PATIENCE, || world.agent_pid())?;
    pod.delete()?;
    fs::remove_dir_all("/tmp/carob-evil").context("remove the script")
}
