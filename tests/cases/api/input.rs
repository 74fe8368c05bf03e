//! Bad input: refused whole, with file, line, column, field path and what would be accepted.

use anyhow::{Context, Result, ensure};
use serde_json::json;

use super::PODS;
use crate::{
    pods::{apply, ready},
    world::World,
};

const GOOD: &str = "\
apiVersion: v1
kind: Pod
metadata:
  name: input
spec:
  restartPolicy: Never
  containers:
    - name: main
      image: busybox:1
      imagePullPolicy: Never
";

/// What is changed in the good manifest, and what is said of it after the file's name. An empty first word appends.
const ROWS: [(&str, &str, &str); 9] = [
    (
        "",
        "      comand: [sh]\n",
        "11:7: spec.containers[0].comand: Kubernetes knows no such field, did you mean \"command\"?",
    ),
    (
        "",
        "      image: other:1\n",
        "11:7: spec.containers[0].image: given twice; the first is in line 9, column 7",
    ),
    (
        "",
        "      ports: [{ containerPort: \"80\" }]\n",
        "11:32: spec.containers[0].ports[0].containerPort: \"80\" is a string; an integer from 1 to 65535 is needed",
    ),
    (
        "restartPolicy: Never",
        "restartPolicy: Sometimes",
        "6:18: spec.restartPolicy: \"Sometimes\" is not accepted; one of Always, OnFailure, Never is needed",
    ),
    (
        "",
        "      resources: { limits: { memory: banana } }\n",
        "11:38: spec.containers[0].resources.limits.memory: \"banana\" is not accepted; a quantity like 250m, 0.5, 64Mi or 1G, not negative, is needed",
    ),
    ("  name: input", "  labels: {}", "4:3: metadata.name: missing; a name of lower case letters"),
    (
        "      image: busybox:1\n",
        "",
        "8:7: spec.containers[0].image: missing; the name of an image is needed",
    ),
    ("kind: Pod", "kind: CronJob", "2:1: kind: \"CronJob\" is not supported yet; accepted are Pod"),
    ("", "      command: [sh\n", "11:16: unclosed bracket '['"),
];

fn changed(from: &str, to: &str) -> String {
    if from.is_empty() { format!("{GOOD}{to}") } else { GOOD.replacen(from, to, 1) }
}

pub(super) fn refused(world: &World) -> Result<()> {
    ready(world)?;
    for (from, to, wanted) in ROWS {
        let said = apply(world, "input", &changed(from, to))?;
        let line = format!("carob: /tmp/input.yaml:{wanted}");
        let right = said.code == Some(1) && said.stdout.is_empty() && said.stderr.starts_with(&line);
        ensure!(right, "{to:?}: {said:?}, not {line:?}");
        absent(world, "input")?;
    }
    // All at once: nobody has to come back for the next one.
    let all = format!("{}      comand: [sh]\n", GOOD.replace("Never\n  con", "Sometimes\n  con"));
    let said = apply(world, "input", &all)?;
    let lines: Vec<&str> = said.stderr.lines().collect();
    ensure!(
        lines.len() == 2 && lines[0].contains(":6:18:") && lines[1].contains(":11:7:"),
        "it said {lines:?}"
    );
    posted(world)
}

/// The same judge behind the API.
fn posted(world: &World) -> Result<()> {
    let pod = |container| {
        json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "input"},
               "spec": {"containers": [container]}})
    };
    let image = "busybox:1";
    let rows = [
        (
            json!({"name": "c", "image": image, "comand": []}),
            400,
            "BadRequest",
            "Pod in version \"v1\" cannot be handled as a Pod: strict decoding error: unknown field \"spec.containers[0].comand\"",
        ),
        (
            json!({"name": "c", "image": image, "ports": [{"containerPort": "80"}]}),
            400,
            "BadRequest",
            "spec.containers[0].ports[0].containerPort: \"80\" is a string",
        ),
        (
            json!({"name": "c", "image": image, "resources": {"limits": {"memory": "banana"}}}),
            422,
            "Invalid",
            "Pod \"input\" is invalid: spec.containers[0].resources.limits.memory: \"banana\" is not accepted",
        ),
        (json!({"name": "c"}), 422, "Invalid", "spec.containers[0].image: missing"),
    ];
    for (container, code, reason, wanted) in rows {
        let answer = world.ask("POST", &format!("{PODS}?fieldValidation=Strict"), Some(&pod(container)))?;
        let status: serde_json::Value = serde_json::from_str(&answer.body)?;
        let message = status["message"].as_str().unwrap_or_default();
        let right = answer.status == code && status["reason"] == reason && message.contains(wanted);
        ensure!(right, "{} {status}, not {code} {reason} with {wanted:?}", answer.status);
    }
    absent(world, "input")
}

fn absent(world: &World, name: &str) -> Result<()> {
    let status = world.ask("GET", &format!("{PODS}/{name}"), None)?.status;
    ensure!(status == 404, "the status of pod {name} is {status}");
    Ok(())
}

pub(super) fn whole_or_not(world: &World) -> Result<()> {
    ready(world)?;
    let named = |name: &str| GOOD.replace("name: input", &format!("name: {name}"));
    let (good, bad) = (named("whole-good"), named("whole-bad").replace("Never\n  con", "Sometimes\n  con"));
    let rows = [
        (format!("{good}---\n{bad}"), "/tmp/whole.yaml:17:18: spec.restartPolicy"),
        (
            format!("{good}---\n{good}"),
            "/tmp/whole.yaml:15:9: metadata.name: the file has this Pod already, in line 1",
        ),
    ];
    for (text, wanted) in rows {
        let said = apply(world, "whole", &text)?;
        ensure!(said.code == Some(1) && said.stderr.contains(wanted), "{said:?}, without {wanted:?}");
        absent(world, "whole-good")?;
        absent(world, "whole-bad")?;
    }
    // The name is taken by a pod that is not the same: the file's other pod is not created either.
    apply(world, "whole", &good)?;
    let other = good.replace("name: main", "name: other");
    let said = apply(world, "whole", &format!("{}---\n{other}", named("whole-new")))?;
    let wanted = "cannot be changed in place: delete it first (carob delete pod whole-good -n default)";
    ensure!(said.code == Some(1) && said.stderr.contains(wanted), "{said:?}, without {wanted:?}");
    absent(world, "whole-new")?;
    world.carob_ok(&["delete", "pod", "whole-good"]).map(drop)
}

pub(super) fn dry_run(world: &World) -> Result<()> {
    ready(world)?;
    let path = "/tmp/dry.yaml";
    std::fs::write(path, GOOD.replace("name: input", "name: dry")).context("write the manifest")?;
    let said = world.carob_ok(&["apply", "--dry-run=server", "-f", path])?;
    ensure!(said == "pod/dry created (server dry run)\n", "the server's dry run says {said:?}");
    absent(world, "dry")?;
    world.stop()?;
    let said = world.carob_ok(&["apply", "--dry-run=client", "-f", path])?;
    ensure!(said == "pod/dry created (dry run)\n", "the client's dry run says {said:?}");
    let said = world.carob(&["apply", "-f", path])?;
    let wanted = "carob: the agent does not answer on /run/carob/carob.sock (is carob.service running?)";
    ensure!(said.code == Some(1) && said.stderr.starts_with(wanted), "without an agent: {said:?}");
    world.start()?;
    absent(world, "dry")
}
