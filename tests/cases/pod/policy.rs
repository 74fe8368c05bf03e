//! Whether and when a container starts again. The planner's own tests have every row; here are those a kernel can show.

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::{manifest, shell};
use crate::{
    pods::{PATIENCE, Pod, sample},
    world::World,
};

/// A main process cannot be ended by a signal it sends itself; a fault it cannot refuse.
const EXITS: [(&str, &str, i64); 3] =
    [("zero", "exit 0", 0), ("one", "exit 1", 1), ("fault", "exec /work segv", 139)];

/// A policy, the containers it starts again, and the phase when each has ended.
struct Row {
    pod: &'static str,
    policy: &'static str,
    again: &'static [&'static str],
    phase: &'static str,
}

const ROWS: [Row; 3] = [
    Row { pod: "always", policy: "Always", again: &["zero", "one", "fault"], phase: "Running" },
    Row { pod: "on-failure", policy: "OnFailure", again: &["one", "fault"], phase: "Running" },
    Row { pod: "never", policy: "Never", again: &[], phase: "Failed" },
];

pub(super) fn each_meets_each(world: &World) -> Result<()> {
    let containers = EXITS.map(|(name, script, _)| shell(name, script, ""));
    let pods =
        ROWS.iter().map(|row| Pod::apply(world, row.pod, &restarting(row.pod, row.policy, &containers)));
    let pods = pods.collect::<Result<Vec<_>>>()?;
    let calm = restarting("calm", "OnFailure", &containers[..1]);
    let calm = Pod::apply(world, "calm", &calm)?;
    for (row, pod) in ROWS.iter().zip(&pods) {
        for (container, _, code) in EXITS {
            let again = row.again.contains(&container);
            let end = pod.end(container, u64::from(again))?;
            ensure!(end["exitCode"] == code, "{}: {container} ended with {end}", row.pod);
        }
    }
    calm.end("zero", 0)?;
    // By now the policy has had its say on every first end.
    for (row, pod) in ROWS.iter().zip(&pods) {
        let ledger = pod.ledger()?;
        for (container, ..) in EXITS {
            let attempts = ledger.iter().filter(|attempt| attempt["container"] == container).count();
            let again = row.again.contains(&container);
            ensure!((attempts > 1) == again, "{}: {attempts} attempts at {container}", row.pod);
        }
        await_phase(world, pod, row.phase)?;
    }
    await_phase(world, &calm, "Succeeded")
}

fn restarting(name: &str, policy: &str, containers: &[String]) -> String {
    manifest(name, &format!("  restartPolicy: {policy}\n"), containers)
}

fn await_phase(world: &World, pod: &Pod<'_>, wanted: &str) -> Result<()> {
    world.wait_until(&format!("the phase is {wanted}"), PATIENCE, || {
        let object = pod.object()?;
        ensure!(object["status"]["phase"] == wanted, "{}", object["status"]);
        Ok(())
    })
}

pub(super) fn back_off(world: &World) -> Result<()> {
    let containers = [shell("main", "exit 1", "")];
    let pod = Pod::apply(world, "back-off", &restarting("back-off", "Always", &containers))?;
    world.wait_until("the second restart waits", PATIENCE, || {
        let status = pod.container("main")?;
        ensure!(status["state"]["waiting"]["reason"] == "CrashLoopBackOff", "the status is {status}");
        ensure!(status["restartCount"] == 1, "the status is {status}");
        ensure!(status["lastState"]["terminated"]["exitCode"] == 1, "the status is {status}");
        Ok(())
    })?;
    let page = world.metrics()?;
    for (name, more) in [
        ("kube_pod_container_status_restarts_total", None),
        ("kube_pod_container_status_waiting_reason", Some(("reason", "CrashLoopBackOff"))),
    ] {
        let labels: Vec<_> = [("pod", "back-off"), ("container", "main")].into_iter().chain(more).collect();
        let value = sample(&page, name, &labels)?;
        ensure!(value == 1.0, "{name} is {value}");
    }
    pod.end("main", 2)?;
    let ledger = pod.ledger()?;
    // Beside the delay there is the time to build a container, long on an emulated machine.
    for (attempt, least) in [(1, 0.0), (2, 10.0)] {
        let waited = seconds_between(
            &row(&ledger, attempt - 1)?["end"]["finishedAt"],
            &row(&ledger, attempt)?["startedAt"],
        )?;
        ensure!(
            (least..least + 8.0).contains(&waited),
            "attempt {attempt} began after {waited} s, not {least}"
        );
    }
    Ok(())
}

fn row(ledger: &[Value], attempt: u64) -> Result<&Value> {
    ledger.iter().find(|row| row["attempt"] == attempt).with_context(|| format!("no attempt {attempt}"))
}

/// Two stamps less than a day apart.
fn seconds_between(from: &Value, to: &Value) -> Result<f64> {
    const DAY: f64 = 86_400.0;
    let of_day = |stamp: &Value| {
        let time = stamp.as_str().and_then(|text| text.split_once('T')?.1.strip_suffix('Z'));
        let time = time.with_context(|| format!("{stamp} is no stamp"))?;
        time.split(':').try_fold(0.0, |sum, part| Ok::<_, anyhow::Error>(sum * 60.0 + part.parse::<f64>()?))
    };
    Ok((of_day(to)? - of_day(from)?).rem_euclid(DAY))
}
