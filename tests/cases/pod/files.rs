//! Files that a pod leaves where others find them: logs, host paths, claims.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail, ensure};

use super::{manifest, shell};
use crate::{
    pods::{PATIENCE, Pod, sample},
    world::World,
};

const LOGS: &str = "/var/log/pods";
const LINKS: &str = "/var/log/containers";

pub(super) fn logs(world: &World) -> Result<()> {
    let says = shell("main", "echo out; echo err >&2; printf open", "");
    let pod = Pod::apply(world, "logs", &manifest("logs", "  restartPolicy: Never\n", &[says]))?;
    pod.end("main", 0)?;
    let path = format!("{LOGS}/default_logs_{}/main/0.log", pod.uid());
    let text = fs::read_to_string(&path).with_context(|| format!("read {path}"))?;
    let mut lines = text.lines().map(cri).collect::<Result<Vec<_>>>()?;
    // One stream keeps its order; what two streams said at the same time has none.
    lines.sort_by_key(|(stream, ..)| *stream);
    let wanted = [("stderr", "F", "err"), ("stdout", "F", "out"), ("stdout", "P", "open")];
    ensure!(lines == wanted, "the log is\n{text}");
    let links = links("logs_default_main-")?;
    let [link] = &links[..] else { bail!("one attempt has the links {links:?}") };
    let target = fs::canonicalize(link).with_context(|| format!("follow {}", link.display()))?;
    ensure!(target == Path::new(&path), "{} leads to {}", link.display(), target.display());
    let said = pod.logs("main")?;
    ensure!(said.len() == "out\nerr\nopen".len(), "carob logs says {said:?}");
    pod.delete()?;
    ensure!(!fs::exists(&path)?, "the log outlives its pod");
    ensure!(fs::symlink_metadata(link).is_err(), "the link outlives its pod");
    Ok(())
}

/// Stream, tag and content of `TIME STREAM TAG CONTENT`.
fn cri(line: &str) -> Result<(&str, &str, &str)> {
    let parts: Vec<&str> = line.splitn(4, ' ').collect();
    let [time, stream, tag, content] = parts[..] else { bail!("{line:?} is no CRI line") };
    let shape: String = time.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
    ensure!(shape == "0000-00-00T00:00:00.000000000Z", "{time:?} is no time of a CRI line");
    Ok((stream, tag, content))
}

fn links(prefix: &str) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(LINKS).with_context(|| format!("read {LINKS}"))?;
    let paths = entries.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
    let named =
        |path: &PathBuf| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(prefix));
    Ok(paths.into_iter().filter(named).collect())
}

pub(super) fn host_path(world: &World) -> Result<()> {
    let place = "/var/tmp/carob-case/made";
    let spec = format!(
        "  restartPolicy: Never\n  volumes: [{{ name: host, hostPath: {{ path: {place}, type: DirectoryOrCreate }} }}]\n"
    );
    let mounts = "      volumeMounts: [{ name: host, mountPath: /rw }, { name: host, mountPath: /ro, readOnly: true }]\n";
    let script = "echo written > /rw/file; cat /ro/file; if echo no > /ro/file; then echo not refused; fi";
    let pod =
        Pod::apply(world, "host-path", &manifest("host-path", &spec, &[shell("main", script, mounts)]))?;
    pod.end("main", 0)?;
    let said = pod.logs("main")?;
    // In any order: one is written to standard output, the other to standard error.
    ensure!(said.contains("written\n") && said.contains("Read-only file system"), "it said {said:?}");
    ensure!(!said.contains("not refused"), "it said {said:?}");
    pod.delete()?;
    let written = fs::read_to_string(format!("{place}/file")).context("the host's file went with the pod")?;
    ensure!(written == "written\n", "the host's file is {written:?}");
    fs::remove_dir_all("/var/tmp/carob-case").context("remove the host's directory")
}

pub(super) fn claim(world: &World) -> Result<()> {
    let claim = "apiVersion: v1\nkind: PersistentVolumeClaim\nmetadata:\n  name: kept\nspec:\n  accessModes: [ReadWriteOnce]\n  resources: { requests: { storage: 1Mi } }\n";
    let spec =
        "  restartPolicy: Never\n  volumes: [{ name: data, persistentVolumeClaim: { claimName: kept } }]\n";
    let mounts = "      volumeMounts: [{ name: data, mountPath: /data }]\n";
    let script = "cat /data/word 2> /dev/null || echo nothing yet; echo kept > /data/word";
    let pod = manifest("claims", spec, &[shell("main", script, mounts)]);
    let both = format!("{claim}---\n{pod}");
    let mut before = String::new();
    for wanted in ["nothing yet\n", "kept\n"] {
        let pod = Pod::apply(world, "claims", &both)?;
        ensure!(pod.uid() != before, "the pod that was deleted is there again");
        before = pod.uid().to_owned();
        pod.end("main", 0)?;
        let said = pod.logs("main")?;
        ensure!(said.ends_with(wanted), "it found {said:?} in its claim, not {wanted:?}");
        pod.delete()?;
    }
    let directory = "/var/lib/carob/claims/default/kept";
    ensure!(fs::exists(format!("{directory}/word"))?, "{directory} is not where the claim is kept");
    world.carob_ok(&["delete", "pvc", "kept"])?;
    world.wait_until("the claim's directory is gone", PATIENCE, || {
        ensure!(!fs::exists(directory)?, "{directory} is still there");
        Ok(())
    })
}

/// What lies in it is told while a pod uses it, and stays when the claim goes.
pub(super) fn retained(world: &World) -> Result<()> {
    let directory = Path::new("/var/lib/carob/claims/default/retained");
    fs::create_dir_all(directory).context("make the claim's directory")?;
    fs::write(directory.join("big"), vec![7; 2 << 20])?;
    let claim = "apiVersion: v1\nkind: PersistentVolumeClaim\nmetadata:\n  name: retained\n  annotations: { carob.dev/reclaim-policy: Retain }\nspec:\n  accessModes: [ReadWriteOnce]\n  resources: { requests: { storage: 1Mi } }\n";
    let spec = "  volumes: [{ name: data, persistentVolumeClaim: { claimName: retained } }]\n";
    let mounts = "      volumeMounts: [{ name: data, mountPath: /data }]\n";
    let pod = manifest("retains", spec, &[shell("main", "exec /work sleep", mounts)]);
    let pod = Pod::apply(world, "retains", &format!("{claim}---\n{pod}"))?;
    world.wait_until("it is told what lies in the claim", PATIENCE, || {
        let page = world.metrics()?;
        let labels = [("namespace", "default"), ("persistentvolumeclaim", "retained")];
        let figure = |name: &str| sample(&page, &format!("kubelet_volume_stats_{name}"), &labels);
        let (used, free, all) =
            (figure("used_bytes")?, figure("available_bytes")?, figure("capacity_bytes")?);
        let room = free > 0.0 && free + used <= all;
        ensure!((2e6..3e6).contains(&used) && room, "{used} are used, {free} of {all} are free");
        let (used, free, all) = (figure("inodes_used")?, figure("inodes_free")?, figure("inodes")?);
        ensure!(used == 2.0 && free > 0.0 && free + used <= all, "{used} files, {free} of {all} more");
        Ok(())
    })?;
    pod.delete()?;
    world.wait_until("nobody uses it any more", PATIENCE, || {
        let told = world.metrics()?.contains("persistentvolumeclaim=\"retained\"");
        ensure!(!told, "it is still told of");
        Ok(())
    })?;
    world.carob_ok(&["delete", "pvc", "retained"])?;
    world.wait_until("the claim is gone", PATIENCE, || {
        let path = "/api/v1/namespaces/default/persistentvolumeclaims/retained";
        let status = world.ask("GET", path, None)?.status;
        ensure!(status == 404, "it is answered with {status}");
        Ok(())
    })?;
    ensure!(directory.join("big").exists(), "what lay in it went with the claim");
    fs::remove_dir_all(directory).context("remove the claim's directory")
}
