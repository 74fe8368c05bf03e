//! Who starts after whom, who goes after whom: init containers, sidecars, deadlines. Times are the kernel's records.

use std::{fs, time::Instant};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::{manifest, shell};
use crate::{
    pods::{PATIENCE, Pod, sample},
    world::World,
};

pub(super) fn pod_of(name: &str, spec: &str, inits: &[String], mains: &[String]) -> String {
    manifest(name, &format!("{spec}  initContainers:\n{}", inits.concat()), mains)
}

pub(super) const SIDECAR: &str = "      restartPolicy: Always\n";

/// The one row of an attempt.
pub(super) fn row(rows: &[Value], container: &str, attempt: u64) -> Result<Value> {
    let found = rows.iter().find(|row| row["container"] == container && row["attempt"] == attempt);
    found.cloned().with_context(|| format!("no {container}/{attempt} among {rows:?}"))
}

/// Stamps of one ledger compare as text: all are RFC 3339 of one length and zone.
pub(super) fn is_before(one: &Value, other: &Value) -> Result<()> {
    let (one, other) = (one.as_str().context("no stamp")?, other.as_str().context("no stamp")?);
    ensure!(one <= other, "{one} is not before {other}");
    Ok(())
}

pub(super) fn await_phase(world: &World, pod: &Pod<'_>, wanted: &str) -> Result<Value> {
    world.wait_until(&format!("the phase is {wanted}"), PATIENCE, || {
        let status = pod.object()?["status"].clone();
        ensure!(status["phase"] == wanted, "{status}");
        Ok(status)
    })
}

pub(super) fn init_containers(world: &World) -> Result<()> {
    let box_mount = "      volumeMounts: [{ name: box, mountPath: /box }]\n";
    let inits = [
        shell("first", "echo one > /box/word; sleep 1", box_mount),
        shell("second", "cat /box/word; echo two >> /box/word", box_mount),
    ];
    let mains = [shell("main", "cat /box/word", box_mount)];
    let spec = "  restartPolicy: Never\n  volumes: [{ name: box, emptyDir: {} }]\n";
    let pod = Pod::apply(world, "inits", &pod_of("inits", spec, &inits, &mains))?;
    let status = await_phase(world, &pod, "Succeeded")?;
    ensure!(pod.logs("main")? == "one\ntwo\n", "main said {:?}", pod.logs("main")?);
    ensure!(pod.logs("second")? == "one\n", "second said {:?}", pod.logs("second")?);
    for init in status["initContainerStatuses"].as_array().context("no init statuses")? {
        ensure!(init["ready"] == true && init["state"]["terminated"]["reason"] == "Completed", "{init}");
        ensure!(init["restartCount"] == 0, "{init}");
    }
    let initialized =
        status["conditions"].as_array().into_iter().flatten().find(|c| c["type"] == "Initialized");
    ensure!(initialized.is_some_and(|condition| condition["status"] == "True"), "{status}");
    let rows = pod.ledger()?;
    for (before, after) in [("first", "second"), ("second", "main")] {
        is_before(&row(&rows, before, 0)?["end"]["finishedAt"], &row(&rows, after, 0)?["startedAt"])?;
    }
    let page = world.metrics()?;
    let labels = [("pod", "inits"), ("container", "first")];
    ensure!(sample(&page, "kube_pod_init_container_status_ready", &labels)? == 1.0, "first is not ready");
    Ok(())
}

pub(super) fn init_fails(world: &World) -> Result<()> {
    let inits = [shell("first", "exit 5", ""), shell("second", "exit 0", "")];
    let mains = [shell("main", "exec /work sleep", "")];
    let never =
        Pod::apply(world, "init-never", &pod_of("init-never", "  restartPolicy: Never\n", &inits, &mains))?;
    let always = Pod::apply(world, "init-always", &pod_of("init-always", "", &inits, &mains))?;
    let status = await_phase(world, &never, "Failed")?;
    ensure!(status["containerStatuses"][0]["state"]["waiting"]["reason"] == "PodInitializing", "{status}");
    world.wait_until("the init container crash-loops", PATIENCE, || {
        let status = always.object()?["status"].clone();
        let first = &status["initContainerStatuses"][0];
        ensure!(
            first["state"]["waiting"]["reason"] == "CrashLoopBackOff" && first["restartCount"] == 1,
            "{first}"
        );
        ensure!(status["phase"] == "Pending", "{status}");
        let shown = world.carob_ok(&["get", "pod", "init-always"])?;
        ensure!(shown.contains("Init:CrashLoopBackOff"), "{shown}");
        Ok(())
    })?;
    for pod in [&never, &always] {
        let others = pod.ledger()?.into_iter().filter(|row| row["container"] != "first").count();
        ensure!(others == 0, "something else has begun: {:?}", pod.ledger()?);
    }
    Ok(())
}

pub(super) fn sidecars(world: &World) -> Result<()> {
    let stays = "exec /work sleep";
    let inits = [shell("one", stays, SIDECAR), shell("between", "exit 0", ""), shell("two", stays, SIDECAR)];
    let mains = [shell("main", stays, "")];
    let pod = Pod::apply(world, "sidecars", &pod_of("sidecars", "", &inits, &mains))?;
    await_phase(world, &pod, "Running")?;
    let shown = world.carob_ok(&["get", "pod", "sidecars"])?;
    ensure!(shown.contains("3/3"), "{shown}");
    // One that is killed comes back beside the others, though the pod's own policy is as good.
    let pid = pod.main_pid("one", 0)?;
    world.command("/bin/kill", &["-KILL", &pid.to_string()])?;
    world.wait_until("the sidecar is back", PATIENCE, || {
        let rows = pod.ledger()?;
        row(&rows, "one", 1).map(drop)
    })?;
    world.wait_until("it runs", PATIENCE, || {
        let status = pod.object()?["status"].clone();
        let one = &status["initContainerStatuses"][0];
        ensure!(
            one["state"]["running"].is_object() && one["started"] == true && one["restartCount"] == 1,
            "{one}"
        );
        ensure!(status["initContainerStatuses"][1]["restartCount"] == 0, "{status}");
        ensure!(status["containerStatuses"][0]["restartCount"] == 0, "{status}");
        Ok(())
    })?;
    pod.delete()?;
    let rows = pod.ledger()?;
    let ended =
        |name, attempt| Ok::<_, anyhow::Error>(row(&rows, name, attempt)?["end"]["finishedAt"].clone());
    let started = |name| Ok::<_, anyhow::Error>(row(&rows, name, 0)?["startedAt"].clone());
    is_before(&started("one")?, &started("between")?)?;
    is_before(&ended("between", 0)?, &started("two")?)?;
    is_before(&started("two")?, &started("main")?)?;
    is_before(&ended("main", 0)?, &ended("two", 0)?)?;
    is_before(&ended("two", 0)?, &ended("one", 1)?)?;
    for (name, attempt) in [("main", 0), ("two", 0), ("one", 1)] {
        let end = row(&rows, name, attempt)?["end"].clone();
        ensure!(end["exitCode"] == 0, "{name} was not asked to go: {end}");
    }
    Ok(())
}

pub(super) fn over(world: &World) -> Result<()> {
    let inits = [shell("side", "exec /work sleep", SIDECAR)];
    let mains = [shell("main", "exit 0", "")];
    let pod = Pod::apply(world, "over", &pod_of("over", "  restartPolicy: OnFailure\n", &inits, &mains))?;
    await_phase(world, &pod, "Succeeded")?;
    let end = pod.end("side", 0)?;
    let message = end["message"].as_str().unwrap_or_default();
    ensure!(
        end["exitCode"] == 0 && message.contains("main containers have ended"),
        "the sidecar ended with {end}"
    );
    let rows = pod.ledger()?;
    is_before(&row(&rows, "main", 0)?["end"]["finishedAt"], &end["finishedAt"])?;
    ensure!(rows.len() == 2, "something has begun again: {rows:?}");
    Ok(())
}

pub(super) fn deadline(world: &World) -> Result<()> {
    let spec = "  activeDeadlineSeconds: 3\n";
    let pod =
        Pod::apply(world, "deadline", &manifest("deadline", spec, &[shell("main", "exec /work sleep", "")]))?;
    let status = await_phase(world, &pod, "Failed")?;
    ensure!(status["reason"] == "DeadlineExceeded", "{status}");
    let end = pod.end("main", 0)?;
    ensure!(
        end["message"].as_str().is_some_and(|message| message.contains("activeDeadlineSeconds")),
        "{end}"
    );
    let rows = pod.ledger()?;
    ensure!(rows.len() == 1, "it was started again: {rows:?}");
    Ok(())
}

pub(super) fn rules(world: &World) -> Result<()> {
    let rule = "      restartPolicy: Never\n      restartPolicyRules: [{ action: Restart, exitCodes: { operator: In, values: [42] } }]\n      volumeMounts: [{ name: box, mountPath: /box }]\n";
    let script = "if [ -e /box/ran ]; then exit 1; fi; touch /box/ran; exit 42";
    let spec = "  restartPolicy: Never\n  volumes: [{ name: box, emptyDir: {} }]\n";
    let pod = Pod::apply(world, "rules", &manifest("rules", spec, &[shell("main", script, rule)]))?;
    await_phase(world, &pod, "Failed")?;
    let codes: Vec<_> = pod.ledger()?.iter().map(|row| row["end"]["exitCode"].clone()).collect();
    ensure!(codes.len() == 2 && codes.contains(&42.into()) && codes.contains(&1.into()), "{codes:?}");
    Ok(())
}

/// A postStart that fails ends its container. preStop is over before SIGTERM; one that hangs has the grace period, not
/// twice that.
pub(super) fn hooks(world: &World) -> Result<()> {
    const SAID: &str = "/tmp/hooks-said";
    let hook = |script: &str| format!("{{ exec: {{ command: [sh, -c, {script:?}] }} }}");
    let good = format!(
        "      volumeMounts: [{{ name: box, mountPath: /box }}]\n      lifecycle: {{ postStart: {}, preStop: {} }}\n",
        hook("echo started >> /box/said"),
        hook("echo stopping >> /box/said")
    );
    let bad = format!("      lifecycle: {{ postStart: {} }}\n", hook("exit 3"));
    let hangs = format!("      lifecycle: {{ preStop: {} }}\n", hook("sleep 1000"));
    let stays = "exec /work sleep";
    let mains = [shell("good", stays, &good), shell("bad", stays, &bad), shell("hangs", stays, &hangs)];
    let spec = format!(
        "  restartPolicy: Never\n  terminationGracePeriodSeconds: 10\n  volumes: [{{ name: box, hostPath: {{ path: {SAID}, type: DirectoryOrCreate }} }}]\n"
    );
    let pod = Pod::apply(world, "hooks", &manifest("hooks", &spec, &mains))?;
    let end = pod.end("bad", 0)?;
    ensure!(
        end["message"].as_str().is_some_and(|message| message.contains("postStart")),
        "bad ended with {end}"
    );
    world.wait_until("postStart has run", PATIENCE, || {
        ensure!(
            pod.container("good")?["started"] == true && pod.container("hangs")?["started"] == true,
            "not yet"
        );
        Ok(())
    })?;
    let since = Instant::now();
    pod.delete()?;
    let took = since.elapsed();
    ensure!((10..20).contains(&took.as_secs()), "the pod was gone after {took:?}");
    let said = fs::read_to_string(format!("{SAID}/said")).context("the hooks have said nothing")?;
    fs::remove_dir_all(SAID).context("remove what the hooks have said")?;
    ensure!(said == "started\nstopping\n", "the hooks said {said:?}");
    let rows = pod.ledger()?;
    let (good, hangs) = (row(&rows, "good", 0)?["end"].clone(), row(&rows, "hangs", 0)?["end"].clone());
    ensure!(good["exitCode"] == 0, "good ended with {good}");
    is_before(&good["finishedAt"], &hangs["finishedAt"])
}
