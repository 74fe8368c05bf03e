//! What kubectl is used for, from its version to the end of a pod; the same for each age of it.

use std::fs;

use anyhow::{Context, Result, ensure};

use super::{grant, open_door};
use crate::{
    client::{Client, Kubectl, STOPPED},
    world::World,
};

/// Says a word, and waits.
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
const TYPO: &str = r#"apiVersion: v1
kind: Pod
metadata: {name: typo}
spec:
  containers: [{name: main, image: "carob-work:1", comand: [x]}]
"#;
const CONFIG: &str = r#"apiVersion: v1
kind: ConfigMap
metadata: {name: settings}
data: {colour: red, size: large}
"#;
const CONFIG_CHANGED: &str = r#"apiVersion: v1
kind: ConfigMap
metadata: {name: settings}
data: {colour: blue}
"#;
/// Ends, and begins again.
const AGAIN: &str = r#"apiVersion: v1
kind: Pod
metadata: {name: again}
spec:
  containers:
    - name: main
      image: carob-work:1
      imagePullPolicy: Never
      command: ["sh", "-c", "echo once more; exit 1"]
"#;
/// Says again what it is told.
const TALKS: &str = r#"apiVersion: v1
kind: Pod
metadata: {name: talks}
spec:
  restartPolicy: Never
  containers:
    - name: main
      image: carob-work:1
      imagePullPolicy: Never
      stdin: true
      stdinOnce: true
      command: ["sh", "-c", "while read line; do echo heard $line; done"]
"#;
const SET: &str = r#"apiVersion: apps/v1
kind: Deployment
metadata: {name: shop}
spec:
  replicas: 1
  selector: {matchLabels: {app: shop}}
  template:
    metadata: {labels: {app: shop}}
    spec:
      containers: [{name: main, image: "carob-work:1", imagePullPolicy: Never, command: [/work, sleep]}]
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

/// What is typed, how it ends, and what it says then, on either stream. `{web}` is the file of that name, `{folder/}` a
/// folder. A line that begins with `tty` is typed at a terminal, one that begins with `<` reads the next word from its
/// stdin, and one that begins with `stopped` is stopped after a while.
type Row = (&'static str, i32, &'static str);

/// One after the other: each stands on what those before it have left.
const FIRST: &[Row] = &[
    ("version", 0, "carob"),
    ("api-versions", 0, "apps/v1"),
    ("api-resources", 0, "persistentvolumeclaims"),
    ("get pods", 0, "No resources found"),
    ("create -f {web}", 0, "pod/web created"),
    ("create -f {web}", 1, "already exists"),
    ("get pods web", 0, "STATUS"),
    ("get pods web -o wide", 0, "NOMINATED NODE"),
    ("get pods web -o yaml", 0, "kind: Pod"),
    ("get pods web -o jsonpath={.spec.containers[0].image}", 0, "carob-work:1"),
    ("get pods -A", 0, "NAMESPACE"),
    ("get pods -A -l no=such", 0, "No resources found"),
    ("get pods -l app=web -o name", 0, "pod/web"),
    ("get all", 0, "pod/web"),
    ("get nodes", 0, "Ready"),
    ("get namespaces", 0, "default"),
    ("create namespace attic", 0, "namespace/attic created"),
    ("create namespace attic", 1, "already exists"),
    ("create configmap box -n attic --from-literal=a=b", 0, "created"),
    ("label namespace attic floor=3", 0, "labeled"),
    ("get ns -l floor=3 -o name", 0, "namespace/attic"),
    ("delete namespace default", 1, "this namespace may not be deleted"),
    ("delete namespace attic --timeout=60s", 0, "\"attic\" deleted"),
    ("get configmap -n attic", 0, "No resources found"),
    ("get namespace attic", 1, "not found"),
    ("describe node", 0, "Allocatable"),
    ("run two --image=carob-work:1 --image-pull-policy=Never --command -- /work sleep", 0, "pod/two created"),
    ("describe namespace default", 0, "Active"),
    ("auth can-i create pods", 0, "yes"),
    ("auth can-i --list", 0, "*.*"),
    ("delete pod two --wait=false", 0, "\"two\" deleted"),
    ("create -f {other}", 0, "pod/other created"),
    (
        "patch pod other --dry-run=server -p {\"spec\":{\"containers\":[{\"name\":\"main\",\"image\":\"carob-work:2\"}]}}",
        0,
        "patched",
    ),
    ("get pod other -o jsonpath={.spec.containers[0].image}", 0, "carob-work:1"),
    ("replace -f {other-image}", 0, "pod/other replaced"),
    ("get pod other -o jsonpath={.spec.containers[0].image}", 0, "carob-work:2"),
    ("delete pod other --wait=false", 0, "\"other\" deleted"),
    (
        "run ends --image=carob-work:1 --image-pull-policy=Never --restart=Never --command -- sh -c echo${IFS}bye",
        0,
        "created",
    ),
    // Objects that are applied.
    ("apply -f {config}", 0, "configmap/settings created"),
    ("apply -f {config}", 0, "configmap/settings unchanged"),
    ("diff -f {config-2}", 1, "colour: blue"),
    ("apply -f {config-2} --dry-run=server", 0, "configured (server dry run)"),
    ("apply -f {config-2}", 0, "configmap/settings configured"),
    ("get configmap settings -o jsonpath={.data}", 0, "{\"colour\":\"blue\"}"),
    ("edit configmap settings", 0, "configmap/settings edited"),
    ("get configmap settings -o jsonpath={.data.colour}", 0, "green"),
    ("annotate configmap settings a=b", 0, "annotated"),
    ("patch configmap settings -p {\"data\":{\"size\":\"small\"}}", 0, "patched"),
    ("create configmap made --from-literal=a=b", 0, "created"),
    ("create secret generic hidden --from-literal=a=b", 0, "created"),
    ("get secret hidden", 0, "Opaque"),
    ("describe configmap settings", 0, "colour"),
    ("describe secret hidden", 0, "Opaque"),
    ("delete configmap made", 0, "deleted"),
    ("delete configmap made", 1, "not found"),
];

/// Once the pod runs.
const RUNNING: &[Row] = &[
    ("wait --for=condition=Ready pod/web --timeout=60s", 0, "condition met"),
    ("stopped get pods -w", STOPPED, "Running"),
    ("logs web", 0, "hello"),
    ("logs --tail=1 -l app=web", 0, "hello"),
    ("describe pod web", 0, "Started"),
    ("get events", 0, "Started"),
    ("label pod web shelf=top", 0, "labeled"),
    ("get pods -l shelf=top", 0, "web"),
    ("label pod web shelf-", 0, "labeled"),
    ("get pods -l shelf=top", 0, "No resources found"),
    ("apply -f {changed}", 0, "pod/web configured"),
    ("get pod web -o jsonpath={.metadata.labels.tier}", 0, "front"),
    ("replace -f {changed}", 0, "pod/web replaced"),
    ("logs -f ends", 0, "bye"),
    ("delete pod ends", 0, "deleted"),
    ("top pod web", 0, "web"),
    ("top pod web --containers", 0, "main"),
    ("top node", 0, "MEMORY"),
    ("apply -f {set}", 0, "deployment.apps/shop created"),
    ("rollout status deployment/shop --timeout=60s", 0, "successfully rolled out"),
    ("describe deployment shop", 0, "1 desired"),
    ("scale deployment shop --replicas=2", 0, "scaled"),
    ("get deployment shop -o jsonpath={.spec.replicas}", 0, "2"),
    ("delete -f {set}", 0, "\"shop\" deleted"),
];

/// What only newer ones can do, or do over a WebSocket.
const MANY: &[Row] = &[
    ("apply -f {typo}", 1, "unknown field \"spec.containers[0].comand\""),
    ("explain pod.spec.containers", 0, "image"),
    ("events", 0, "Started"),
    ("exec web -- /work exit 3", 3, "exit code 3"),
    ("exec web -- sh -c echo${IFS}inside", 0, "inside"),
    ("tty exec -i -t web -- sh -c tty", 0, "/dev/pts/0"),
    ("< {config} exec -i web -- cat", 0, "colour: red"),
    ("create -f {talks}", 0, "created"),
    ("wait --for=condition=Ready pod/talks --timeout=60s", 0, "condition met"),
    ("< {config} attach -i talks", 0, "heard kind: ConfigMap"),
    ("delete pod talks --now", 0, "deleted"),
    (
        "< {config} run once --rm -i --quiet --image=carob-work:1 --image-pull-policy=Never --restart=Never --command -- cat",
        0,
        "colour: red",
    ),
    ("auth whoami", 0, "alice"),
    ("wait --for=delete pod/two --timeout=60s", 0, ""),
    ("create -f {again}", 0, "created"),
    (
        "wait --for=jsonpath={.status.containerStatuses[0].restartCount}=1 pod/again --timeout=60s",
        0,
        "condition met",
    ),
    ("logs again --previous", 0, "once more"),
    ("delete pod again --now", 0, "deleted"),
    ("cp {config} web:/tmp/copied", 0, ""),
    ("exec web -- cat /tmp/copied", 0, "colour: red"),
    ("cp web:/tmp/copied {back}", 0, ""),
    ("create --dry-run=client -f {back}", 0, "configmap/settings created (dry run)"),
    ("cp {folder/} web:/tmp/folder", 0, ""),
    ("exec web -- cat /tmp/folder/inside.yaml", 0, "colour: red"),
    ("cp web:/tmp/folder {folder-back/}", 0, ""),
    ("create --dry-run=client -f {folder-back/inside}", 0, "configmap/settings created (dry run)"),
    ("debug web --image=carob-work:1 --container=look --target=main -- sh -c true", 0, ""),
    ("get pod web -o jsonpath={.spec.ephemeralContainers[0].name}", 0, "look"),
    ("apply --server-side -f {config}", 1, "Server-side apply not available"),
];

const LAST: &[Row] = &[
    ("delete pod web --grace-period=1", 0, "\"web\" deleted"),
    ("get pod web", 1, "not found"),
    ("create -f {web}", 0, "pod/web created"),
    ("delete -f {web} --force --grace-period=0", 0, "\"web\" force deleted"),
];

/// Files by their names; `{name}` stands for one in a line.
fn files() -> [(&'static str, String); 11] {
    let other = WEB.replace("name: web", "name: other").replace("app: web", "app: other");
    [
        ("other-image", other.replace("carob-work:1", "carob-work:2")),
        ("other", other),
        ("web", WEB.to_owned()),
        ("changed", WEB.replace("{app: web}", "{app: web, tier: front}")),
        ("typo", TYPO.to_owned()),
        ("config", CONFIG.to_owned()),
        ("config-2", CONFIG_CHANGED.to_owned()),
        ("set", SET.to_owned()),
        ("again", AGAIN.to_owned()),
        ("talks", TALKS.to_owned()),
        ("folder/inside", CONFIG.to_owned()),
    ]
}

fn all(client: &Client, program: &str, more: &[Row]) -> Result<()> {
    let kubectl = client.kubectl(program, "admin.kubeconfig");
    fs::create_dir_all(client.file("folder")).context("make a folder")?;
    for (name, text) in files() {
        let file = client.file(&format!("{name}.yaml"));
        fs::write(&file, text).with_context(|| format!("write {}", file.display()))?;
    }
    let mut faults = Vec::new();
    let mut check = |rows: &[Row]| {
        for row in rows {
            faults.extend(try_one(client, &kubectl, *row).err().map(|fault| format!("{fault:#}")));
        }
    };
    check(FIRST);
    check(RUNNING);
    check(more);
    check(LAST);
    ensure!(faults.is_empty(), "{program}:\n{}", faults.join("\n"));
    Ok(())
}

fn try_one(client: &Client, kubectl: &Kubectl<'_>, (line, code, says): Row) -> Result<()> {
    let file = |word: &str| {
        let name = word.strip_prefix('{')?.strip_suffix('}').filter(|name| !name.contains('"'))?;
        let folder = name.strip_suffix('/');
        let path = folder.map_or_else(|| client.file(&format!("{name}.yaml")), |folder| client.file(folder));
        Some(path.display().to_string())
    };
    let words: Vec<String> =
        line.split(' ').map(|word| file(word).unwrap_or_else(|| word.to_owned())).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let said = match words.as_slice() {
        ["tty", words @ ..] => kubectl.on_terminal(words)?,
        ["stopped", words @ ..] => kubectl.stopped(words)?,
        ["<", file, words @ ..] => {
            let text = fs::read_to_string(file).with_context(|| format!("read {file}"))?;
            kubectl.said(words, Some(&text))?
        }
        words => kubectl.said(words, None)?,
    };
    let heard = said.stdout.contains(says) || said.stderr.contains(says);
    ensure!(said.code == Some(code) && heard, "kubectl {line}: not {code} and {says:?} but {said:?}");
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// As the table's columns are.
    const ASKED: [&[&[Row]]; 3] = [&NEWER, &NEWER, &[FIRST, RUNNING, LAST]];
    const NEWER: [&[Row]; 4] = [FIRST, RUNNING, MANY, LAST];
    const HEAD: &str = "| kubectl | 1.37 | 1.32 | 1.20 |";

    /// Without what stands for a terminal or for stdin.
    fn typed(line: &str) -> Vec<&str> {
        let words: Vec<&str> = line.split(' ').collect();
        match words[..] {
            ["tty" | "stopped", ref words @ ..] | ["<", _, ref words @ ..] => words.to_vec(),
            _ => words,
        }
    }

    /// Whether a line is of what an entry names: the same verb, and all its other words, of which one may go on.
    fn is_of(entry: &str, line: &str) -> bool {
        let (line, mut entry) = (typed(line), entry.split(' '));
        let begins = |word: &str| {
            line.iter().any(|typed| typed == &word || word.ends_with('=') && typed.starts_with(word))
        };
        entry.next() == Some(line[0]) && entry.all(begins)
    }

    /// The names between backticks in a row's first cell, and the other cells.
    fn rows() -> Vec<(Vec<&'static str>, Vec<&'static str>)> {
        let readme = include_str!("../../../README.md");
        let table = readme.lines().map(str::trim).skip_while(|line| *line != HEAD).skip(2);
        let table = table.take_while(|line| line.starts_with('|'));
        table
            .map(|line| {
                let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
                (cells[0].split('`').skip(1).step_by(2).collect(), cells[1..].to_vec())
            })
            .collect()
    }

    #[test]
    fn readme_says_of_each_kubectl_what_it_is_asked_here() {
        let rows = rows();
        assert!(rows.len() > 5, "{rows:?}");
        for (column, asked) in ASKED.iter().enumerate() {
            let done = asked.iter().copied().flatten().filter(|(.., says)| !says.contains("not available"));
            let lines: Vec<&str> = done.map(|(line, ..)| *line).collect();
            let mut told = BTreeSet::new();
            for (entries, cells) in &rows {
                let can = cells[column] == "yes";
                for entry in entries {
                    let asked = lines.iter().any(|line| is_of(entry, line));
                    assert_eq!(asked, can, "{entry}, column {column}");
                    told.extend(can.then(|| entry.split(' ').next().unwrap()));
                }
            }
            for line in lines {
                assert!(told.contains(typed(line)[0]), "README does not tell of {line}");
            }
        }
    }
}
