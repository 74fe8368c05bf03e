//! What a container is told from outside: through its standard input, and by the signal that asks it to end.

use std::{fs, io::Write};

use anyhow::{Context, Result, ensure};

use super::{manifest, shell};
use crate::{
    pods::{Pod, ready},
    world::{AGENT, World},
};

pub(super) fn stdin(world: &World) -> Result<()> {
    let script = "echo before; cat; echo ended";
    let containers =
        [shell("open", script, "      stdin: true\n      stdinOnce: true\n"), shell("empty", script, "")];
    let pod = Pod::apply(world, "stdin", &manifest("stdin", "  restartPolicy: Never\n", &containers))?;
    pod.end("empty", 0)?;
    ensure!(pod.logs("empty")? == "before\nended\n", "it said {:?}", pod.logs("empty"));
    pod.await_log("open", "before\n")?;
    ensure!(pod.logs("open")? == "before\n", "its input has ended: {:?}", pod.logs("open"));
    let input = format!("/proc/{}/fd/0", pod.main_pid("open", 0)?);
    let mut input =
        fs::OpenOptions::new().write(true).open(&input).with_context(|| format!("open {input}"))?;
    input.write_all(b"a word\n").context("write to the container's input")?;
    drop(input);
    pod.await_log("open", "a word\n")?;
    let state = pod.container("open")?["state"].clone();
    ensure!(state["running"].is_object(), "one writer's end was the input's end: {state}");
    Ok(())
}

const IMAGE: &str = "carob-signal:1";
const DIR: &str = "/tmp/carob-signal";

/// The workloads' image with a STOPSIGNAL.
const MAKE: &str = r#"
set -e
rm -rf "$1"; mkdir -p "$1"; cd "$1"
tar -xzf "$2"
mv [0-9a-f]*.json config
sed -i 's/"config":{/"config":{"StopSignal":"USR1",/' config
printf '[{"Config":"config","RepoTags":["%s"],"Layers":["layer.tar"]}]' "$4" > manifest.json
tar -cf - config layer.tar manifest.json | "$3" image load -
"#;

pub(super) fn signal(world: &World) -> Result<()> {
    ready(world)?;
    let files = world.payload_files("images")?;
    let archive = files.iter().find(|file| file.ends_with("carob-work.tar.gz")).context("no work image")?;
    world.command("sh", &["-c", MAKE, "sh", DIR, &archive.display().to_string(), AGENT, IMAGE])?;
    let script = "trap 'exit 7' USR1; trap 'exit 8' USR2; trap 'exit 9' TERM; echo ready; \
        while :; do sleep 0.1; done";
    let container = |name: &str, more: &str| shell(name, script, more);
    let containers = [
        container("by-image", "").replace("carob-work:1", IMAGE),
        container("by-pod", "      lifecycle: { stopSignal: SIGUSR2 }\n").replace("carob-work:1", IMAGE),
        container("by-default", ""),
    ];
    let pod = Pod::apply(world, "signals", &manifest("signals", "  os: { name: linux }\n", &containers))?;
    let rows = [("by-image", 7), ("by-pod", 8), ("by-default", 9)];
    for (name, _) in rows {
        pod.await_log(name, "ready\n")?;
    }
    pod.delete()?;
    for (name, code) in rows {
        let end = pod.end(name, 0)?;
        ensure!(end["exitCode"] == code, "the end of {name} is {end}");
    }
    world.carob_ok(&["image", "rm", IMAGE])?;
    fs::remove_dir_all(DIR).context("remove the image's folder")
}

pub(super) fn terminal(world: &World) -> Result<()> {
    let script = "if [ -t 0 ] && [ -t 1 ] && [ -t 2 ]; then echo all three; fi; echo $TERM; \
        echo controlled > /dev/tty; echo console > /dev/console; exec /work sleep";
    let containers = [shell("main", script, "      stdin: true\n      tty: true\n")];
    let pod = Pod::apply(world, "terminal", &manifest("terminal", "", &containers))?;
    pod.await_log("main", "all three\r\nxterm\r\ncontrolled\r\nconsole\r\n")?;
    let path = format!("/var/log/pods/default_terminal_{}/main/0.log", pod.uid());
    let log = fs::read_to_string(&path).with_context(|| format!("read {path}"))?;
    ensure!(log.lines().all(|line| line.contains(" stdout F ")), "the log is\n{log}");
    pod.delete()?;
    let end = pod.end("main", 0)?;
    ensure!(end["exitCode"] == 0, "its end is {end}");
    Ok(())
}
