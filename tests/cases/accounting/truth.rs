//! The truth table: how a container ended, who did it and how, and what carob has to say of it. The rows are in
//! `tests/truth.tsv`.
//!
//! Pods are made some at a time, all of a batch at once; then each row's deed is done, then each row's end is read.

use std::{fs, os::unix::process::CommandExt, process::Command};

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};

use crate::{
    pods::{PATIENCE, Pod, ready, sample},
    world::World,
};

const TABLE: &str = include_str!("../../truth.tsv");
const BATCH: usize = 12;
/// A system call costs the life of who makes it.
const PROFILE: &str = "truth.json";
const PROFILES: &str = "/var/lib/carob/seccomp";
/// From this pod others are killed: it sees the processes of the box.
const SENDER: &str = "truth-sender";

/// One row.
#[derive(Debug)]
struct Row<'t> {
    name: &'t str,
    /// What is special about its pod.
    pod: &'t str,
    runs: &'t str,
    /// What is done once it runs.
    then: &'t str,
    code: Option<i64>,
    signal: Option<i64>,
    reason: &'t str,
    cause: &'t str,
    /// What the human line contains.
    says: &'t str,
    /// Who saw it.
    source: &'t str,
    /// Which peer gets it wrong, and where that is reported.
    #[cfg_attr(not(test), expect(dead_code, reason = "only README prints it"))]
    elsewhere: &'t str,
}

fn rows() -> Result<Vec<Row<'static>>> {
    let number = |cell: &str| (cell != "-").then(|| cell.parse()).transpose();
    let row = |line: &'static str| {
        let [name, pod, runs, then, code, signal, reason, cause, says, elsewhere] =
            line.split('\t').collect::<Vec<_>>()[..]
        else {
            bail!("a row has ten cells, not {line:?}");
        };
        let (code, signal) = (number(code)?, number(signal)?);
        let source = if cause == "start_error" { "none" } else { "kernel" };
        Ok(Row { name, pod, runs, then, code, signal, reason, cause, says, source, elsewhere })
    };
    TABLE.lines().skip(1).map(row).collect()
}

pub(super) fn holds(world: &World) -> Result<()> {
    hold(world, "", &rows()?)
}

/// In a guest without kernel programs: every OOM kill, and every fourth of the other rows. What only the programs see is
/// not known then, and nothing is put in its place.
pub(crate) fn holds_as_far_as_it_can_be_seen(world: &World) -> Result<()> {
    let mut rows = rows()?;
    let mut number = 0..;
    // That a signal is ignored is seen by the programs alone.
    rows.retain(|row| !row.pod.contains("deaf"));
    rows.retain(|row| row.cause == "oom" || number.next().is_some_and(|number| number % 4 == 0));
    rows.iter_mut().for_each(Row::see_less);
    hold(world, "", &rows)
}

/// The same of a few rows in a guest whose pods have no network of their own.
pub(crate) fn some_hold(world: &World, names: &[&str]) -> Result<()> {
    let mut rows = rows()?;
    rows.retain(|row| names.contains(&row.name));
    ensure!(rows.len() == names.len(), "of {names:?} the table has only {rows:?}");
    hold(world, "hostnet", &rows)
}

/// `words`: what is special about the pods here.
fn hold(world: &World, words: &str, rows: &[Row<'_>]) -> Result<()> {
    ready(world)?;
    let profile = r#"{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_KILL_PROCESS"}]}"#;
    fs::create_dir_all(PROFILES).context("create the profiles' directory")?;
    fs::write(format!("{PROFILES}/{PROFILE}"), profile).context("write a profile")?;
    let sender = Pod::apply(world, SENDER, &manifest_of(SENDER, &format!("hostpid {words}"), "sleep"))?;
    sender.await_running("main")?;
    let mut wrong = Vec::new();
    for batch in rows.chunks(BATCH) {
        let made: Vec<_> =
            batch.iter().map(|row| Pod::apply(world, row.name, &row.manifest(words))).collect();
        let pods: Vec<Pod<'_>> = made.into_iter().collect::<Result<_>>()?;
        let done: Vec<Result<()>> = batch.iter().zip(&pods).map(|(row, pod)| row.act(world, pod)).collect();
        for ((row, pod), done) in batch.iter().zip(&pods).zip(done) {
            if let Err(why) = done.and_then(|()| row.check(world, pod)) {
                wrong.push(format!("{}: {why:#}", row.name));
            }
        }
    }
    ensure!(wrong.is_empty(), "{} of {} rows are wrong:\n{}", wrong.len(), rows.len(), wrong.join("\n"));
    let disagreeing = sample(&world.metrics()?, "carob_accounting_mismatch_total", &[])?;
    ensure!(disagreeing == 0.0, "on {disagreeing} of them two sources disagree");
    world.say(&format!("{} deaths, each as the table has it\n", rows.len()))
}

/// The manifest of a pod by the words of the table.
fn manifest_of(name: &str, words: &str, runs: &str) -> String {
    let (mut annotations, mut spec, mut container) = (String::new(), String::new(), String::new());
    let fails = "exec: { command: [/work, exit, \"3\"] }";
    for word in words.split_whitespace() {
        match word.split_once(':').unwrap_or((word, "")) {
            ("share", _) => spec += "  shareProcessNamespace: true\n",
            ("hostpid", _) => spec += "  hostPID: true\n",
            ("hostnet", _) => spec += "  hostNetwork: true\n",
            ("podmem", size) => spec += &format!("  resources: {{ limits: {{ memory: {size} }} }}\n"),
            ("grace", seconds) => spec += &format!("  terminationGracePeriodSeconds: {seconds}\n"),
            ("deadline", seconds) => spec += &format!("  activeDeadlineSeconds: {seconds}\n"),
            ("shm", _) => {
                spec += "  volumes: [{ name: shm, emptyDir: { medium: Memory } }]\n";
                container += "      volumeMounts: [{ name: shm, mountPath: /big }]\n";
            }
            ("disk", size) => {
                spec += &format!("  volumes: [{{ name: disk, emptyDir: {{ sizeLimit: {size} }} }}]\n");
                container += "      volumeMounts: [{ name: disk, mountPath: /big }]\n";
            }
            ("strict", _) => {
                container += &format!(
                    "      securityContext: {{ seccompProfile: {{ type: Localhost, localhostProfile: {PROFILE} }} }}\n"
                );
            }
            ("mem", size) => container += &format!("      resources: {{ limits: {{ memory: {size} }} }}\n"),
            ("group", flag) => {
                annotations = format!("  annotations: {{ carob.dev/oom-group: \"{flag}\" }}\n");
            }
            ("deaf", _) => {
                annotations = "  annotations: { carob.dev/kill-if-sigterm-ignored: \"true\" }\n".to_owned();
            }
            ("user", id) => container += &format!("      securityContext: {{ runAsUser: {id} }}\n"),
            ("privileged", _) => container += "      securityContext: { privileged: true }\n",
            ("poststart", _) => container += &format!("      lifecycle: {{ postStart: {{ {fails} }} }}\n"),
            ("liveness" | "startup", _) => {
                container +=
                    &format!("      {word}Probe: {{ {fails}, periodSeconds: 1, failureThreshold: 1 }}\n");
            }
            _ => (),
        }
    }
    let command = match runs.split_once(' ') {
        Some(("sh", script)) => json!(["sh", "-c", script]),
        Some(("path", path)) => json!([path]),
        _ => json!(["/work"].into_iter().chain(runs.split(' ')).collect::<Vec<_>>()),
    };
    format!(
        "apiVersion: v1\nkind: Pod\nmetadata:\n  name: {name}\n{annotations}spec:\n  restartPolicy: Never\n{spec}  containers:\n    - name: main\n      image: carob-work:1\n      imagePullPolicy: Never\n      command: {command}\n{container}"
    )
}

impl Row<'_> {
    /// As it is told without the programs: memory.events counts an OOM kill, and where all processes go with it, it was the
    /// main one's end; no file says who sent a signal.
    fn see_less(&mut self) {
        let counted = self.cause == "oom" && !self.pod.contains("group:false");
        let unseen = !counted && matches!(self.cause, "oom" | "host" | "container" | "own" | "kernel");
        self.source = if self.cause == "start_error" { "none" } else { "wait" };
        if counted {
            self.says = "OOM: whose limit is not known";
        }
        if unseen {
            (self.reason, self.cause, self.says) = ("Error", "unknown", "sender not known");
        }
    }

    fn manifest(&self, words: &str) -> String {
        manifest_of(self.name, &format!("{} {words}", self.pod), self.runs)
    }

    /// Does what the row says, one thing after the other.
    fn act(&self, world: &World, pod: &Pod<'_>) -> Result<()> {
        for deed in self.then.split("; ").filter(|deed| *deed != "-") {
            self.act_once(world, pod, deed).with_context(|| format!("do {deed:?}"))?;
        }
        Ok(())
    }

    fn act_once(&self, world: &World, pod: &Pod<'_>, deed: &str) -> Result<()> {
        let (verb, object) = deed.split_once(' ').unwrap_or((deed, ""));
        pod.await_running("main")?;
        // Only then has it changed what its signals do.
        match self.runs.rsplit([' ', '/']).next() {
            Some("pause") => pod.await_log("main", "waiting")?,
            Some("ignore-term") => pod.await_log("main", "ignoring")?,
            _ => (),
        }
        let kill = || -> Result<Command> {
            let mut kill = Command::new("/bin/kill");
            kill.args([format!("-{object}"), main_of(world, pod)?]);
            Ok(kill)
        };
        match verb {
            "await" => pod.await_log("main", object)?,
            "host" => drop(kill()?.status().context("run kill")?),
            "host-user" => drop(kill()?.uid(1000).status().context("run kill")?),
            "pod" => {
                let pid = main_of(world, pod)?;
                world.carob_ok(&["exec", SENDER, "--", "kill", &format!("-{object}"), &pid])?;
            }
            // How the command itself ends is not the row's affair.
            "exec" => drop(world.carob(&["exec", self.name, "--", "sh", "-c", object])?),
            "end-pause" => {
                let pause = world.cgroup(&format!("pod{}/pause", pod.uid()), "cgroup.procs")?;
                world.command("/bin/kill", &["-KILL", pause.trim()])?;
            }
            "delete" => drop(world.carob_ok(&["delete", "pod", self.name, "--wait=false"])?),
            "delete-now" => {
                world.carob_ok(&["delete", "pod", self.name, "--wait=false", "--grace-period", "0"])?;
            }
            _ => bail!("nobody knows how"),
        }
        Ok(())
    }

    fn check(&self, world: &World, pod: &Pod<'_>) -> Result<()> {
        let end = pod.end("main", 0)?;
        let found = [&end["exitCode"], &end["signal"], &end["reason"], &end["cause"]];
        let wanted = [json!(self.code), json!(self.signal), json!(self.reason), json!(self.cause)];
        ensure!(found.iter().zip(&wanted).all(|(a, b)| *a == b), "the ledger says {end}, not {wanted:?}");
        let message = end["message"].as_str().unwrap_or_default();
        ensure!(message.contains(self.says), "the message is {message:?}, without {:?}", self.says);
        ensure!(end["source"] == self.source, "the source is {}", end["source"]);
        self.check_status(world, &end)
    }

    /// Pods that were deleted have none any more.
    fn check_status(&self, world: &World, end: &Value) -> Result<()> {
        if self.then.contains("delete") {
            return Ok(());
        }
        let path = format!("/api/v1/namespaces/default/pods/{}", self.name);
        world.wait_until("the status shows the end", PATIENCE, || {
            let status = world.read(&path)?["status"]["containerStatuses"][0].clone();
            let shown = &status["state"]["terminated"];
            let alike = ["signal", "reason"].iter().all(|field| shown[*field] == end[*field]);
            let code = self.code.is_none() || shown["exitCode"] == end["exitCode"];
            ensure!(alike && code, "the status says {status}, the ledger {end}");
            Ok(())
        })
    }
}

/// The main process of a pod by its number on the box. In a namespace that is shared it is not the first one there.
fn main_of(world: &World, pod: &Pod<'_>) -> Result<String> {
    let cgroup = pod.cgroup_name("main", 0);
    let all = match world.cgroup(&format!("{cgroup}/below"), "cgroup.procs") {
        Ok(below) => below,
        Err(_) => world.cgroup(&cgroup, "cgroup.procs")?,
    };
    Ok(all.lines().next().context("it has no process")?.to_owned())
}

#[test]
fn the_table_is_whole() {
    let rows = rows().unwrap();
    let mut names = std::collections::BTreeMap::new();
    for row in &rows {
        assert!(names.insert(row.name, row).is_none(), "{} is there twice", row.name);
        assert_eq!(row.signal.map(|signal| signal + 128), row.code.filter(|_| row.signal.is_some()));
    }
    assert!(rows.len() >= 60, "{} rows", rows.len());
}

/// README prints the table as it is tested.
#[test]
fn readme_has_the_table() {
    let mut table =
        "| pod | runs | then | code | cause | carob says | elsewhere |\n|---|---|---|---|---|---|---|\n"
            .to_owned();
    for row in rows().unwrap() {
        let Row { pod, runs, then, code, reason, cause, says, elsewhere, .. } = row;
        let code = code.map_or_else(|| "-".to_owned(), |code| code.to_string());
        let quoted =
            |text: &str| if text == "-" { String::new() } else { format!("`{}`", text.replace('|', "\\|")) };
        let elsewhere = if elsewhere == "-" { "" } else { elsewhere };
        let (pod, runs, then) = (quoted(pod), quoted(runs), quoted(then));
        table +=
            &format!("| {pod} | {runs} | {then} | {code} | {reason}, {cause} | {says} | {elsewhere} |\n");
    }
    let readme = include_str!("../../../README.md");
    assert!(readme.contains(&table), "README is to have this table:\n{table}");
}
