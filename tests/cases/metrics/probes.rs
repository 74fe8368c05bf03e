//! The page of probes: its counts are those that the probes' own commands keep, and it forgets a pod with the pod.

use anyhow::{Context, Result, ensure};

use crate::{
    http,
    pods::{PATIENCE, Pod, one, sample},
    world::{METRICS, World},
};

const POD: &str = "probed";
/// Emulated, a command takes its time.
const PACE: &str = "periodSeconds: 1, timeoutSeconds: 30, failureThreshold: 1000";
/// What is good and what is bad: probe, its type on the page, the file with a byte for each time, the result's name.
const PROBES: [(&str, &str, &str, &str); 2] =
    [("liveness", "Liveness", "/good", "successful"), ("readiness", "Readiness", "/bad", "failed")];
const RESULTS: [&str; 3] = ["successful", "failed", "unknown"];

pub(super) fn counted(world: &World) -> Result<()> {
    let probe = |(name, _, file, result): (&str, &str, &str, &str)| {
        let code = u8::from(result == "failed");
        format!(
            "      {name}Probe: {{exec: {{command: [sh, -c, \"echo -n x >> {file}; exit {code}\"]}}, {PACE}}}\n"
        )
    };
    let pod = Pod::apply(world, POD, &one(POD, "sleep", &PROBES.map(probe).concat(), ""))?;
    for (_, kind, file, result) in PROBES {
        world.wait_until(&format!("three {result} probings are counted"), PATIENCE, || {
            let count = count(&page()?, &pod, kind, result)?;
            ensure!(count >= 3.0, "{count}");
            Ok(())
        })?;
        // A probing is counted after its command has left its byte, and before the next begins.
        let before = count(&page()?, &pod, kind, result)?;
        let asked = world.carob_ok(&["exec", POD, "--", "cat", file])?.trim().len() as f64;
        let after = count(&page()?, &pod, kind, result)?;
        ensure!(before <= asked && asked <= after + 1.0, "{kind}: {before}, asked {asked}, {after}");
        others_are_zero(&page()?, &pod, kind, result)?;
    }
    durations(&page()?)?;
    let over_socket = world.ask("GET", "/metrics/probes", None)?.body()?;
    ensure!(count(&over_socket, &pod, "Liveness", "successful")? >= 3.0, "{over_socket}");
    world.hand_over("probes.prom", &page()?)?;
    pod.delete()?;
    world.wait_until("its probes are gone like the pod", PATIENCE, || {
        let page = page()?;
        ensure!(!page.contains(&format!("pod=\"{POD}\"")), "they are still there:\n{page}");
        Ok(())
    })
}

fn page() -> Result<String> {
    http::fetch(&format!("{METRICS}/probes"))?.body()
}

fn count(page: &str, pod: &Pod<'_>, kind: &str, result: &str) -> Result<f64> {
    let labels = [
        ("probe_type", kind),
        ("result", result),
        ("container", "main"),
        ("pod", POD),
        ("namespace", "default"),
        ("pod_uid", pod.uid()),
    ];
    sample(page, "prober_probe_total", &labels)
}

fn others_are_zero(page: &str, pod: &Pod<'_>, kind: &str, result: &str) -> Result<()> {
    for other in RESULTS.iter().filter(|other| **other != result) {
        let count = count(page, pod, kind, other)?;
        ensure!(count == 0.0, "{kind}, {other}: {count}");
    }
    Ok(())
}

/// Of what went well only: each in a bucket, and no less time than it takes to start a command.
fn durations(page: &str) -> Result<()> {
    let of = |name: &str, more: &[(&str, &str)]| {
        let labels = [&[("pod", POD), ("container", "main"), ("namespace", "default")], more].concat();
        sample(page, &format!("prober_probe_duration_seconds_{name}"), &labels)
            .with_context(|| format!("the page:\n{page}"))
    };
    let good = [("probe_type", "Liveness")];
    let count = of("count", &good)?;
    let well = sample(page, "prober_probe_total", &[("pod", POD), good[0], ("result", "successful")])?;
    ensure!(count == well && of("bucket", &[good[0], ("le", "+Inf")])? == count, "{well} in:\n{page}");
    ensure!(
        of("bucket", &[good[0], ("le", "0.005")])? <= count && of("sum", &good)? > 0.001 * count,
        "{page}"
    );
    let bad = of("count", &[("probe_type", "Readiness")])?;
    ensure!(bad == 0.0, "{bad} durations of what did not go well:\n{page}");
    Ok(())
}
