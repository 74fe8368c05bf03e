//! The manifest folder: a pod lives as long as its file, is replaced when it changes, and is left alone by a file that
//! cannot be read.

use std::{
    fs::{self, File},
    io::Write,
    path::Path,
};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::PODS;
use crate::{
    pods::{PATIENCE, one, ready},
    world::{MANIFESTS, World},
};

const FILE: &str = "folder.yaml";

pub(super) fn follow_the_folder(world: &World) -> Result<()> {
    ready(world)?;
    let manifest = |code: &str| {
        one("folder", "sleep", &format!("      env: [{{ name: CODE, value: \"{code}\" }}]\n"), "")
    };
    world.put(FILE, &manifest("1"))?;
    let first = await_running(world, None)?;
    not_the_apis(world)?;
    last_good_stays(world, &first, &manifest("2"))?;
    world.put(FILE, &manifest("3"))?;
    let second = await_running(world, Some(&first))?;
    let rows = crate::pods::ledger(world, "folder")?;
    let end = rows.iter().find(|row| row["uid"] == first["metadata"]["uid"]).map(|row| &row["end"]);
    ensure!(
        end.is_some_and(|end| end["exitCode"] == 0 && end["cause"] == "completed"),
        "the replaced pod was not asked to go: {rows:?}"
    );
    // Written once more with the same words: nothing to do.
    world.put(FILE, &format!("# a remark\n{}", manifest("3")))?;
    same_after_a_look(world, &second)?;
    world.remove(FILE)?;
    world.wait_until("the pod is gone", PATIENCE, || {
        let status = world.ask("GET", &format!("{PODS}/folder"), None)?.status;
        ensure!(status == 404, "its status is {status}");
        Ok(())
    })
}

fn pod(world: &World) -> Result<Value> {
    world.read(&format!("{PODS}/folder"))
}

/// The pod, running; another one than `before`.
fn await_running(world: &World, before: Option<&Value>) -> Result<Value> {
    world.wait_until("the file's pod runs", PATIENCE, || {
        let pod = pod(world)?;
        ensure!(
            before.is_none_or(|old| old["metadata"]["uid"] != pod["metadata"]["uid"]),
            "it is the old one"
        );
        ensure!(pod["status"]["phase"] == "Running", "it is {}", pod["status"]);
        Ok(pod)
    })
}

/// What comes from a file is changed in the file.
fn not_the_apis(world: &World) -> Result<()> {
    let answer = world.ask("DELETE", &format!("{PODS}/folder"), None)?;
    let names_it = answer.body.contains("/etc/carob/manifests/folder.yaml");
    ensure!(answer.status == 403 && names_it, "DELETE: {} {}", answer.status, answer.body);
    let said = world.carob(&["delete", "pod", "folder"])?;
    ensure!(said.code == Some(1) && said.stderr.contains("folder.yaml"), "delete said {said:?}");
    let said = crate::pods::apply(world, "folder", &one("folder", "exit 0", "", ""))?;
    ensure!(said.code == Some(1) && said.stderr.contains("folder.yaml"), "apply said {said:?}");
    Ok(())
}

/// A file that is being written, one that is wrong, and one that no longer is YAML.
fn last_good_stays(world: &World, good: &Value, next: &str) -> Result<()> {
    let path = Path::new(MANIFESTS).join(FILE);
    let mut file = File::create(&path).with_context(|| format!("open {}", path.display()))?;
    file.write_all(&next.as_bytes()[..next.len() / 2])?;
    same_after_a_look(world, good).context("half written")?;
    drop(file);
    same_after_a_look(world, good).context("half written, and closed")?;
    for (what, text) in [
        ("a wrong value", next.replace("Never\n", "Sometimes\n")),
        ("no YAML", "kind: [Pod\n".to_owned()),
        ("an unknown field", next.replace("spec:\n", "spec:\n  replicas: 2\n")),
    ] {
        fs::write(&path, text)?;
        same_after_a_look(world, good).context(what)?;
    }
    Ok(())
}

/// Another file's pod comes and goes: by then the agent has looked at the whole folder.
fn same_after_a_look(world: &World, good: &Value) -> Result<()> {
    world.put("folder-beside.yaml", &one("folder-beside", "exit 0", "", ""))?;
    let beside = format!("{PODS}/folder-beside");
    world.wait_until("the other file's pod is there", PATIENCE, || world.read(&beside))?;
    world.remove("folder-beside.yaml")?;
    world.wait_until("the other file's pod is gone", PATIENCE, || {
        ensure!(world.ask("GET", &beside, None)?.status == 404, "it is still there");
        Ok(())
    })?;
    let found = pod(world)?;
    let metadata =
        |pod: &Value| [pod["metadata"]["uid"].clone(), pod["metadata"]["deletionTimestamp"].clone()];
    ensure!(metadata(&found) == metadata(good), "the pod is now {}", found["metadata"]);
    ensure!(found["status"]["phase"] == "Running", "it is {}", found["status"]);
    Ok(())
}
