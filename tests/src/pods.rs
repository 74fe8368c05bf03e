//! A pod that a case made: applied through the command line, looked at through API, ledger, metrics and cgroup files.
//! It is taken away when it is dropped; a case that looks at the way it goes deletes it itself.

use std::{fs, path::PathBuf, time::Duration};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use crate::world::{Said, World};

/// Emulated machines are slow: nothing here waits longer for one thing.
pub(crate) const PATIENCE: Duration = Duration::from_secs(90);
const PODS: &str = "/api/v1/namespaces/default/pods";

pub(crate) struct Pod<'w> {
    world: &'w World,
    name: String,
    uid: String,
}

/// The manifest of a pod of one container `main` that runs a workload of the test image.
pub(crate) fn one(name: &str, work: &str, container_extra: &str, spec_extra: &str) -> String {
    let words: Vec<String> = work.split(' ').map(|word| format!("\"{word}\"")).collect();
    format!(
        "apiVersion: v1\nkind: Pod\nmetadata:\n  name: {name}\nspec:\n  restartPolicy: Never\n{spec_extra}  containers:\n    - name: main\n      image: carob-work:1\n      imagePullPolicy: Never\n      command: [\"/work\", {}]\n{container_extra}",
        words.join(", ")
    )
}

impl<'w> Pod<'w> {
    /// Starts the agent and loads the images if need be, then applies the manifest of one pod.
    pub(crate) fn apply(world: &'w World, name: &str, manifest: &str) -> Result<Self> {
        ready(world)?;
        let said = apply(world, name, manifest)?;
        ensure!(said.code == Some(0), "apply {name}: {said:?}\n{manifest}");
        let object = world.read(&format!("{PODS}/{name}"))?;
        let uid = object["metadata"]["uid"].as_str().context("the pod has no uid")?.to_owned();
        Ok(Self { world, name: name.to_owned(), uid })
    }

    pub(crate) fn uid(&self) -> &str {
        &self.uid
    }

    pub(crate) fn object(&self) -> Result<Value> {
        self.world.read(&format!("{PODS}/{}", self.name))
    }

    /// One entry of `status.containerStatuses`.
    pub(crate) fn container(&self, name: &str) -> Result<Value> {
        let object = self.object()?;
        let all = object["status"]["containerStatuses"].as_array().cloned().unwrap_or_default();
        let found = all.into_iter().find(|each| each["name"] == name);
        found.with_context(|| format!("no status of {name} in {object}"))
    }

    pub(crate) fn await_running(&self, container: &str) -> Result<()> {
        self.world.wait_until(&format!("{} runs", self.name), PATIENCE, || {
            let state = self.container(container)?["state"].clone();
            ensure!(state["running"].is_object(), "it is {state}");
            Ok(())
        })
    }

    /// Rows of the ledger, the oldest first. Those of an earlier pod of this name are not its own.
    pub(crate) fn ledger(&self) -> Result<Vec<Value>> {
        let mut rows = ledger(self.world, &self.name)?;
        rows.retain(|row| row["uid"] == self.uid);
        Ok(rows)
    }

    /// The end of an attempt as the ledger has it.
    pub(crate) fn end(&self, container: &str, attempt: u64) -> Result<Value> {
        self.world.wait_until(&format!("{container}/{attempt} of {} ends", self.name), PATIENCE, || {
            let rows = self.ledger()?;
            let row = rows.iter().find(|row| row["container"] == container && row["attempt"] == attempt);
            let end = row.map(|row| row["end"].clone()).filter(Value::is_object);
            end.with_context(|| format!("the ledger says {rows:?}; status {:?}", self.container(container)))
        })
    }

    pub(crate) fn cgroup_name(&self, container: &str, attempt: u64) -> String {
        format!("pod{}/{container}-{attempt}", self.uid)
    }

    /// The process that is 1 in the container, by its number on the host.
    pub(crate) fn main_pid(&self, container: &str, attempt: u64) -> Result<i32> {
        let all = self.world.cgroup(&self.cgroup_name(container, attempt), "cgroup.procs")?;
        let first = |pid: &&str| {
            let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
            let inner = status.lines().find(|line| line.starts_with("NSpid:")).unwrap_or_default();
            inner.split_whitespace().next_back() == Some("1")
        };
        let pid = all.lines().find(first).with_context(|| format!("no process 1 among {all:?}"))?;
        Ok(pid.parse()?)
    }

    /// What a container has written.
    pub(crate) fn logs(&self, container: &str) -> Result<String> {
        self.world.carob_ok(&["logs", &self.name, "-c", container])
    }

    pub(crate) fn await_log(&self, container: &str, text: &str) -> Result<()> {
        self.world.wait_until(&format!("{container} says {text:?}"), PATIENCE, || {
            let logs = self.logs(container)?;
            ensure!(logs.contains(text), "it said {logs:?}");
            Ok(())
        })
    }

    /// Deletes it through the command line, which waits until it is gone.
    pub(crate) fn delete(&self) -> Result<()> {
        self.world.carob_ok(&["delete", "pod", &self.name]).map(drop)
    }
}

impl Drop for Pod<'_> {
    fn drop(&mut self) {
        // Best effort: a case that has failed is not made better by a second complaint.
        drop(self.world.carob(&["delete", "pod", &self.name, "--grace-period", "0"]));
    }
}

/// The agent runs and has the test images.
pub(crate) fn ready(world: &World) -> Result<()> {
    world.start()?;
    if world.carob_ok(&["image", "ls"])?.contains("carob-work") {
        return Ok(());
    }
    world.load_images()
}

/// `carob apply -f FILE`, whatever comes of it.
pub(crate) fn apply(world: &World, name: &str, manifest: &str) -> Result<Said> {
    let path = PathBuf::from(format!("/tmp/{name}.yaml"));
    fs::write(&path, manifest).with_context(|| format!("write {}", path.display()))?;
    world.carob(&["apply", "-f", &path.display().to_string()])
}

pub(crate) fn ledger(world: &World, pod: &str) -> Result<Vec<Value>> {
    let rows = world.read(&format!("/carob/v1/ledger?namespace=default&pod={pod}"))?;
    Ok(rows["items"].as_array().cloned().unwrap_or_default())
}

/// The value of the one sample of a metrics page that has this name and all of these labels.
pub(crate) fn sample(page: &str, name: &str, labels: &[(&str, &str)]) -> Result<f64> {
    let has = |line: &&str| {
        let of_family = line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' ']));
        of_family && labels.iter().all(|(key, value)| line.contains(&format!("{key}=\"{value}\"")))
    };
    let found: Vec<&str> = page.lines().filter(has).collect();
    match found[..] {
        [line] => Ok(line.rsplit(' ').next().unwrap_or_default().parse()?),
        _ => bail!("{} samples of {name} with {labels:?}: {found:?}", found.len()),
    }
}
