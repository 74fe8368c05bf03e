//! What a program leaves as the reason of its end, and what carob adds.

use anyhow::{Result, ensure};

use super::{manifest, shell};
use crate::{
    pods::{PATIENCE, Pod},
    world::World,
};

const FALLBACK: &str = "      terminationMessagePolicy: FallbackToLogsOnError\n";

pub(super) fn messages(world: &World) -> Result<()> {
    let elsewhere = "      terminationMessagePath: /some/where/why\n";
    // Name, script, fields, and the message; the first five as Kubernetes' conformance tests have them.
    let rows = [
        ("file", "printf DONE > /dev/termination-log; exit 3", "", "DONE"),
        ("elsewhere", "printf DONE > /some/where/why", elsewhere, "DONE"),
        ("log", "printf DONE; exit 1", FALLBACK, "DONE"),
        ("success", "echo DONE", FALLBACK, ""),
        ("filled", "echo no; printf OK > /dev/termination-log", FALLBACK, "OK"),
        ("filled-bad", "echo no; printf OK > /dev/termination-log; exit 1", FALLBACK, "OK"),
        ("only-file", "echo no; exit 1", "", ""),
    ];
    let mut containers: Vec<String> =
        rows.iter().map(|(name, script, more, _)| shell(name, script, more)).collect();
    let long =
        "n=0; while [ $n -lt 1000 ]; do n=$((n + 1)); echo 123456789; done > /dev/termination-log; exit 1";
    containers.push(shell("long", long, ""));
    let limit = "      resources: { limits: { memory: 32Mi } }\n";
    containers.push(shell("oom", "echo eating > /dev/termination-log; exec /work hog 200", limit));
    let manifest = manifest("last-words", "  restartPolicy: Never\n", &containers);
    let pod = Pod::apply(world, "last-words", &manifest)?;
    for (name, _, _, wanted) in rows {
        let said = message(world, &pod, name)?;
        ensure!(said == wanted, "{name} says {said:?}, not {wanted:?}");
    }
    let said = message(world, &pod, "long")?;
    ensure!(said.len() == 4096 && said.ends_with("9\n123456789\n"), "{} bytes: {said:?}", said.len());
    let said = message(world, &pod, "oom")?;
    ensure!(said.starts_with("eating\nOOM: container limit 32Mi"), "{said:?}");
    Ok(())
}

fn message(world: &World, pod: &Pod<'_>, container: &str) -> Result<String> {
    world.wait_until(&format!("{container} has ended"), PATIENCE, || {
        let state = pod.container(container)?["state"].clone();
        ensure!(state["terminated"].is_object(), "it is {state}");
        Ok(state["terminated"]["message"].as_str().unwrap_or_default().to_owned())
    })
}
