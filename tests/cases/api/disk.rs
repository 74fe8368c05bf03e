//! A state folder without room, and one that is read-only: said clearly, running pods untouched, and every end is
//! written down as soon as that is possible again.

use std::{
    fs::{self, File},
    io::{ErrorKind, Write},
    path::Path,
};

use anyhow::{Context, Result, bail, ensure};

use crate::{
    pods::{PATIENCE, Pod, apply, one, ready},
    world::{UNIT, World},
};

const STATE: &str = "/var/lib/carob";
const FILLER: &str = "/var/lib/carob/filler";
const TOLD: &str = "/run/carob-tests.told";
/// One ends with 5 when it is told to, the other one stays.
const MANIFEST: &str = r#"
apiVersion: v1
kind: Pod
metadata:
  name: room
spec:
  restartPolicy: Never
  terminationGracePeriodSeconds: 5
  volumes:
    - name: told
      hostPath: { path: /run/carob-tests.told, type: Directory }
  containers:
    - name: ends
      image: carob-work:1
      imagePullPolicy: Never
      command: ["sh", "-c", "until [ -e /told/end ]; do sleep 0.1; done; exit 5"]
      volumeMounts:
        - { name: told, mountPath: /told }
    - name: stays
      image: carob-work:1
      imagePullPolicy: Never
      command: ["/work", "sleep"]
"#;

pub(super) fn full(world: &World) -> Result<()> {
    world.install()?;
    fs::create_dir_all(TOLD)?;
    world.command("mount", &["-t", "tmpfs", "-o", "size=96m", "state", STATE])?;
    ready(world)?;
    let pod = Pod::apply(world, "room", MANIFEST)?;
    pod.await_running("ends")?;
    pod.await_running("stays")?;
    let pid = pod.main_pid("stays", 0)?;
    fill()?;
    let said = apply(world, "room-more", &one("room-more", "exit 0", "", ""))?;
    let clear = said.code == Some(1) && said.stderr.contains("full");
    ensure!(clear, "apply without room says {said:?}");
    fs::write(Path::new(TOLD).join("end"), "")?;
    world.wait_until("the container has ended", PATIENCE, || {
        let left = world.cgroup(&pod.cgroup_name("ends", 0), "cgroup.procs").unwrap_or_default();
        ensure!(left.is_empty(), "it still runs: {left}");
        Ok(())
    })?;
    untouched(&pod, pid)?;
    // Whether the end is known already depends on a page that was free: what counts is that it is not lost.
    fs::remove_file(FILLER)?;
    let end = pod.end("ends", 0)?;
    ensure!(end["exitCode"] == 5 && end["source"] == "kernel", "its end is {end}");
    untouched(&pod, pid)?;
    Pod::apply(world, "room-more", &one("room-more", "exit 0", "", ""))?.end("main", 0)?;
    read_only(world, &pod, pid)
}

/// An agent that finds its folder read-only says so in one line, and comes up when it no longer is.
fn read_only(world: &World, pod: &Pod<'_>, pid: i32) -> Result<()> {
    world.stop()?;
    world.command("mount", &["-o", "remount,ro", STATE])?;
    // It fails, or systemd is just trying again: the journal tells.
    let _ = world.start();
    let words = ["--unit", UNIT, "--output=cat", "--quiet", "--no-pager"];
    let line = world.wait_until("the agent says what is wrong", PATIENCE, || {
        let log = world.command("journalctl", &words)?;
        let line =
            log.lines().find(|line| line.starts_with("carob: ") && line.to_lowercase().contains("read"));
        line.map(str::to_owned).with_context(|| format!("its log is {log}"))
    })?;
    ensure!(line.contains(STATE) || line.contains("the store"), "it says {line:?}");
    ensure!(Path::new("/proc").join(pid.to_string()).exists(), "the pod's process is gone");
    world.command("mount", &["-o", "remount,rw", STATE])?;
    world.wait_until("the agent is back", PATIENCE, || {
        world.command("systemctl", &["is-active", "--quiet", UNIT])
    })?;
    pod.await_running("stays")?;
    untouched(pod, pid)
}

fn untouched(pod: &Pod<'_>, pid: i32) -> Result<()> {
    let now = pod.main_pid("stays", 0)?;
    let status = pod.container("stays")?;
    let same = now == pid && status["restartCount"] == 0 && status["state"]["running"].is_object();
    ensure!(same, "process {pid} is {now}, and its container {status}");
    Ok(())
}

fn fill() -> Result<()> {
    let mut file = File::create(FILLER).with_context(|| format!("create {FILLER}"))?;
    for size in [1 << 20, 4096] {
        loop {
            match file.write(&vec![1; size]) {
                Ok(_) => (),
                Err(e) if e.kind() == ErrorKind::StorageFull => break,
                Err(e) => bail!("fill the state folder: {e}"),
            }
        }
    }
    Ok(())
}
