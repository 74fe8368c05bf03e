//! What kubectl is used for, from its version to the end of a pod; the same for each age of it.

use std::{
    fs, thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};

use super::{grant, open_door};
use crate::{
    client::{Client, Kubectl},
    pods::PATIENCE,
    world::World,
};

/// Says a word, and what it is told.
const WEB: &str = r#"apiVersion: v1
kind: Pod
metadata:
  name: web
  labels: {app: web}
spec:
  containers:
    - name: main
      image: carob-work:1
      imagePullPolicy: Never
      command: ["sh", "-c", "echo hello; exec /work sleep"]
"#;

pub(super) fn open(world: &World) -> Result<()> {
    open_door(world)?;
    grant(world, "admin", &["--user", "alice"])
}

pub(super) fn newest(client: &Client) -> Result<()> {
    all(client, "kubectl-1.37", MANY)
}

pub(super) fn older(client: &Client) -> Result<()> {
    all(client, "kubectl-1.32", MANY)
}

/// Its `exec` speaks SPDY.
pub(super) fn oldest(client: &Client) -> Result<()> {
    all(client, "kubectl-1.20", &[])
}

/// What is typed, how it ends, and what it says then, on either stream. `{file}` is the pod's manifest.
type Row = (&'static str, i32, &'static str);

/// One after the other: each stands on what those before it have left.
const FIRST: &[Row] = &[
    ("version", 0, "carob"),
    ("get pods", 0, "No resources found"),
    ("create --validate=false -f {file}", 0, "pod/web created"),
    ("create --validate=false -f {file}", 1, "already exists"),
    ("get pods web", 0, "web"),
    ("get pods web -o jsonpath={.spec.containers[0].image}", 0, "carob-work:1"),
    ("get pods -A -l no=such", 0, "No resources found"),
    ("run two --image=carob-work:1 --image-pull-policy=Never --command -- /work sleep", 0, "pod/two created"),
    ("auth can-i create pods", 0, "yes"),
    ("delete pod two --wait=false", 0, "\"two\" deleted"),
];

/// Once the pod runs.
const RUNNING: &[Row] = &[("logs web", 0, "hello"), ("logs --tail=1 -l app=web", 0, "hello")];

/// Where exec is a WebSocket.
const MANY: &[Row] =
    &[("exec web -- /work exit 3", 3, "exit code 3"), ("exec web -- sh -c echo${IFS}inside", 0, "inside")];

const LAST: &[Row] = &[("delete pod web --wait=false --grace-period=1", 0, "\"web\" deleted")];

fn all(client: &Client, program: &str, more: &[Row]) -> Result<()> {
    let kubectl = client.kubectl(program, "admin.kubeconfig");
    let file = client.file("web.yaml");
    fs::write(&file, WEB).with_context(|| format!("write {}", file.display()))?;
    let file = file.display().to_string();
    let mut faults = Vec::new();
    let mut check = |rows: &[Row]| {
        for row in rows {
            faults.extend(try_one(&kubectl, &file, *row).err().map(|fault| format!("{fault:#}")));
        }
    };
    check(FIRST);
    await_running(&kubectl)?;
    check(RUNNING);
    check(more);
    check(LAST);
    ensure!(faults.is_empty(), "{program}:\n{}", faults.join("\n"));
    Ok(())
}

fn try_one(kubectl: &Kubectl<'_>, file: &str, (line, code, says): Row) -> Result<()> {
    let words: Vec<&str> = line.split(' ').map(|word| if word == "{file}" { file } else { word }).collect();
    let said = kubectl.said(&words, None)?;
    let heard = said.stdout.contains(says) || said.stderr.contains(says);
    ensure!(said.code == Some(code) && heard, "kubectl {line}: not {code} and {says:?} but {said:?}");
    Ok(())
}

fn await_running(kubectl: &Kubectl<'_>) -> Result<()> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let phase = kubectl.ok(&["get", "pod", "web", "-o", "jsonpath={.status.phase}"])?;
        if phase == "Running" {
            return Ok(());
        }
        ensure!(Instant::now() < deadline, "the pod is still {phase}");
        thread::sleep(Duration::from_millis(200));
    }
}
