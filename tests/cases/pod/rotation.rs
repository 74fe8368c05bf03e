//! Logs that are rotated while they are written, followed and left without an agent.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::{Context, Result, ensure};

use super::{manifest, shell};
use crate::{
    pods::{Pod, ready},
    world::{AGENT, World},
};

const LINES: usize = 3000;
const PATIENCE: Duration = Duration::from_secs(120);

/// Bursts that fill more than a file each, a second apart: rotated files are told apart by the second.
fn writer() -> String {
    let burst = "[ $((n % 250)) -ne 0 ] || sleep 1";
    shell(
        "main",
        &format!("n=0; while [ $n -lt {LINES} ]; do n=$((n + 1)); echo \"line $n\"; {burst}; done"),
        "",
    )
}

pub(super) fn whole(world: &World) -> Result<()> {
    ready(world)?;
    let config = r#"{"containerLogMaxSize": "8Ki", "containerLogMaxFiles": 100}"#;
    fs::write("/etc/carob/config.json", config).context("write the configuration")?;
    world.restart()?;
    let pod = Pod::apply(world, "rotated", &manifest("rotated", "  restartPolicy: Never\n", &[writer()]))?;
    pod.await_running("main")?;
    let follower = Command::new(AGENT)
        .args(["logs", "rotated", "-f"])
        .stdout(Stdio::piped())
        .spawn()
        .context("start carob logs")?;
    let followed = follower.wait_with_output()?;
    pod.end("main", 0)?;
    complete(world, &pod)?;
    let followed = String::from_utf8(followed.stdout)?;
    // It may miss a file that was rotated away before it had read the one before, as with the kubelet.
    let numbers: Vec<usize> =
        followed.lines().filter_map(|line| line.strip_prefix("line ")?.parse().ok()).collect();
    let goes_on =
        numbers.is_sorted_by(|a, b| a < b) && numbers.last() == Some(&LINES) && numbers.len() > LINES / 2;
    ensure!(goes_on, "the follower saw {} of {LINES} lines, the last {:?}", numbers.len(), numbers.last());
    pod.delete()?;
    killed(world)?;
    few(world)
}

/// The agent is killed while logs are rotated.
fn killed(world: &World) -> Result<()> {
    let pod = Pod::apply(world, "killed", &manifest("killed", "  restartPolicy: Never\n", &[writer()]))?;
    pod.await_running("main")?;
    for line in [600, 1500] {
        world.wait_until("it has written", PATIENCE, || {
            let (text, _) = all(world, &pod)?;
            ensure!(text.contains(&format!("line {line}\n")), "not that far");
            Ok(())
        })?;
        world.kill_and_await(PATIENCE)?;
    }
    pod.end("main", 0)?;
    complete(world, &pod)
}

fn complete(world: &World, pod: &Pod<'_>) -> Result<()> {
    let (text, old) = all(world, pod)?;
    ensure!(old.len() > 5, "rotated were only {old:?}");
    for (number, line) in text.lines().enumerate() {
        let said = line.splitn(4, ' ').nth(3).unwrap_or_default();
        let expected = format!("line {}", number + 1);
        ensure!(said == expected, "{said:?} stands where {expected:?} should");
    }
    ensure!(text.lines().count() == LINES, "{} of {LINES} lines", text.lines().count());
    let newest = old.len() - 1;
    for (number, path) in old.iter().enumerate() {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let shape: String = name.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
        let wanted = if number == newest { "0.log.00000000-000000" } else { "0.log.00000000-000000.gz" };
        ensure!(shape == wanted, "{name} is no name of a rotated log");
    }
    Ok(())
}

/// Only so many files are kept, and the newest lines are in them.
fn few(world: &World) -> Result<()> {
    let config = r#"{"containerLogMaxSize": "8Ki", "containerLogMaxFiles": 3}"#;
    fs::write("/etc/carob/config.json", config).context("write the configuration")?;
    world.restart()?;
    let pod = Pod::apply(world, "few", &manifest("few", "  restartPolicy: Never\n", &[writer()]))?;
    pod.end("main", 0)?;
    let (text, old) = all(world, &pod)?;
    ensure!(old.len() == 2, "kept are {old:?}");
    ensure!(text.ends_with(&format!("line {LINES}\n")), "the newest line is not there");
    let dir = directory(&pod);
    pod.delete()?;
    ensure!(!dir.exists(), "{} is left", dir.display());
    fs::remove_file("/etc/carob/config.json").context("remove the configuration")
}

fn directory(pod: &Pod<'_>) -> PathBuf {
    let object = pod.object().unwrap_or_default();
    let name = object["metadata"]["name"].as_str().unwrap_or_default();
    Path::new("/var/log/pods").join(format!("default_{name}_{}", pod.uid())).join("main")
}

/// All there is of a log, and the files of it that were rotated.
fn all(world: &World, pod: &Pod<'_>) -> Result<(String, Vec<PathBuf>)> {
    let dir = directory(pod);
    let entries = fs::read_dir(&dir).with_context(|| format!("read {}", dir.display()))?;
    let mut old: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    old.retain(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("0.log.2")));
    old.sort();
    let mut text = String::new();
    for path in &old {
        text += &world.command("zcat", &["-f", &path.display().to_string()])?;
    }
    text += &fs::read_to_string(dir.join("0.log"))?;
    Ok((text, old))
}
