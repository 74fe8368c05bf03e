//! What fails on the way up, and who waits for it: the order of starts and ends when something goes wrong. Times are the
//! kernel's records.

use anyhow::{Result, ensure};

use super::{
    order::{SIDECAR, await_phase, is_before, pod_of, row},
    shell,
};
use crate::{
    pods::{PATIENCE, Pod},
    world::World,
};

const BOX: &str = "      volumeMounts: [{ name: box, mountPath: /box }]\n";
const VOLUME: &str = "  volumes: [{ name: box, emptyDir: {} }]\n";
const STAYS: &str = "exec /work sleep";

/// Fails the first time, and does `then` after that.
fn second_time(name: &str, then: &str) -> String {
    format!("if [ -e /box/{name} ]; then {then}; fi; touch /box/{name}; exit 1")
}

/// An init container that fails is tried again, and nothing after it begins before it has succeeded; what has succeeded
/// before it is not repeated, not even when a main container is.
pub(super) fn init_repeated(world: &World) -> Result<()> {
    let inits = [
        shell("first", "exit 0", ""),
        shell("second", &second_time("second", "exit 0"), BOX),
        shell("third", "exit 0", ""),
    ];
    let mains = [shell("main", &second_time("main", STAYS), BOX)];
    let pod = Pod::apply(world, "init-again", &pod_of("init-again", VOLUME, &inits, &mains))?;
    pod.end("main", 0)?;
    world.wait_until("the main container is back", PATIENCE, || row(&pod.ledger()?, "main", 1).map(drop))?;
    pod.await_running("main")?;
    let rows = pod.ledger()?;
    let counts = |name: &str| rows.iter().filter(|row| row["container"] == name).count();
    let found = ["first", "second", "third", "main"].map(counts);
    ensure!(found == [1, 2, 1, 2], "attempts of each: {found:?}");
    let ended =
        |name, attempt| Ok::<_, anyhow::Error>(row(&rows, name, attempt)?["end"]["finishedAt"].clone());
    let started = |name, attempt| Ok::<_, anyhow::Error>(row(&rows, name, attempt)?["startedAt"].clone());
    is_before(&ended("first", 0)?, &started("second", 0)?)?;
    is_before(&ended("second", 0)?, &started("second", 1)?)?;
    is_before(&ended("second", 1)?, &started("third", 0)?)?;
    is_before(&ended("third", 0)?, &started("main", 0)?)?;
    ensure!(pod.object()?["status"]["phase"] == "Running", "{}", pod.object()?["status"]);
    Ok(())
}

/// A sidecar whose startup probe fails is ended and started again, and the main container waits until it has come up.
pub(super) fn sidecar_startup(world: &World) -> Result<()> {
    // Only the second attempt ever says that it has come up.
    let script = "if [ -e /box/been ]; then touch /box/up; fi; touch /box/been; exec /work sleep";
    let probe = "      startupProbe: { exec: { command: [cat, /box/up] }, periodSeconds: 1, timeoutSeconds: 10, failureThreshold: 6 }\n";
    let inits = [shell("side", script, &format!("{SIDECAR}{BOX}{probe}"))];
    let mains = [shell("main", STAYS, "")];
    let spec = format!("  terminationGracePeriodSeconds: 2\n{VOLUME}");
    let pod = Pod::apply(world, "side-late", &pod_of("side-late", &spec, &inits, &mains))?;
    let end = pod.end("side", 0)?;
    let message = end["message"].as_str().unwrap_or_default();
    ensure!(message.contains("startup probe failed"), "the sidecar ended with {end}");
    pod.await_running("main")?;
    let rows = pod.ledger()?;
    is_before(&end["finishedAt"], &row(&rows, "side", 1)?["startedAt"])?;
    is_before(&row(&rows, "side", 1)?["startedAt"], &row(&rows, "main", 0)?["startedAt"])?;
    ensure!(rows.len() == 3, "something was started needlessly: {rows:?}");
    Ok(())
}

/// A main container that fails for good ends the pod: its sidecars go after it, the last one first.
pub(super) fn main_fails(world: &World) -> Result<()> {
    let inits = [shell("one", STAYS, SIDECAR), shell("two", STAYS, SIDECAR)];
    let mains = [shell("main", "exit 4", "")];
    let pod =
        Pod::apply(world, "main-fails", &pod_of("main-fails", "  restartPolicy: Never\n", &inits, &mains))?;
    await_phase(world, &pod, "Failed")?;
    let (two, one) = (pod.end("two", 0)?, pod.end("one", 0)?);
    let rows = pod.ledger()?;
    ensure!(row(&rows, "main", 0)?["end"]["exitCode"] == 4 && rows.len() == 3, "{rows:?}");
    is_before(&row(&rows, "main", 0)?["end"]["finishedAt"], &two["finishedAt"])?;
    is_before(&two["finishedAt"], &one["finishedAt"])?;
    ensure!(one["exitCode"] == 0 && two["exitCode"] == 0, "they were not asked: {one} {two}");
    Ok(())
}
