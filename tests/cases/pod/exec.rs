//! Commands in containers that run: what they are given, under which limits they run, and whose end their end is.

use std::{
    fs,
    io::Write,
    process::{Command, Stdio},
};

use anyhow::{Context, Result, ensure};

use super::{manifest, shell};
use crate::{
    pods::{PATIENCE, Pod},
    world::{AGENT, World},
};

/// Says everything about its own process that must not depend on who started it. (No pipe where it lists its files: the
/// shell holds an end of it for a moment.)
const SELF: &str = "for f in status limits cgroup oom_score_adj; do sed \"s/^/$f /\" /proc/$$/$f; done; \
                    echo fds; ls /proc/$$/fd; for n in /proc/$$/ns/*; do echo ns $(readlink $n); done; \
                    echo umask $(umask); echo pwd $(pwd); env | sort | sed 's/^/env /'; ";
/// Lines of `/proc/PID/status` that differ from process to process.
const OWN: [&str; 24] = [
    "Name",
    "State",
    "Tgid",
    "Ngid",
    "Pid",
    "PPid",
    "TracerPid",
    "FDSize",
    "NStgid",
    "NSpid",
    "NSpgid",
    "NSsid",
    "Vm",
    "Rss",
    "Hugetlb",
    "Threads",
    "SigQ",
    "SigPnd",
    "ShdPnd",
    "SigCgt",
    "voluntary",
    "nonvoluntary",
    "Kthread",
    "x86_",
];

fn stay(name: &str) -> String {
    shell(name, "exec /work sleep", "")
}

pub(super) fn streams(world: &World) -> Result<()> {
    let pod = Pod::apply(world, "exec", &manifest("exec", "", &[stay("a"), stay("b")]))?;
    pod.await_running("a")?;
    pod.await_running("b")?;
    let said = world.carob(&[
        "exec",
        "exec",
        "-c",
        "b",
        "--",
        "sh",
        "-c",
        "echo out; echo err >&2; hostname; exit 3",
    ])?;
    ensure!(said.code == Some(3) && said.stdout == "out\nexec\n" && said.stderr == "err\n", "{said:?}");
    let said = world.carob(&["exec", "exec", "--", "true"])?;
    let first = said.stderr.contains("Defaulted container \"a\" out of: a, b");
    ensure!(said.code == Some(0) && first, "{said:?}");
    let input: String = (0..30_000).map(|n| format!("line {n}\n")).collect();
    let (code, back) = with_input(&["exec", "exec", "-c", "a", "-i", "--", "cat"], input.clone())?;
    ensure!(
        code == Some(0) && back == input,
        "code {code:?}, {} of {} bytes came back",
        back.len(),
        input.len()
    );
    let said = world.carob(&["exec", "exec", "-c", "a", "--", "sh", "-c", "kill -9 $$"])?;
    ensure!(said.code == Some(137), "{said:?}");
    let said = world.carob(&["exec", "exec", "-c", "a", "--", "sh", "-c", "sleep 1000 & echo left"])?;
    ensure!(
        said.code == Some(0) && said.stdout == "left\n",
        "a process that stays holds nobody up: {said:?}"
    );
    no_zombies(world)
}

/// What a command says of its terminal, which is the container's own and of the container's user.
const TERMINAL: &str = "test -t 0 && test -t 1 && test -t 2 && echo all three; tty; \
    stat -c '%u %F' $(tty); stat -c %u /proc/self/fd/0 -L; (echo controlled > /dev/tty); \
    ls -l /proc/$$/ns/mnt > /dev/null; echo $?; read line; echo \"got $line\"; exit 5";

pub(super) fn terminal(world: &World) -> Result<()> {
    let user = "      securityContext: { runAsUser: 1234, runAsGroup: 1234 }\n";
    let plain = shell("plain", "exec /work sleep", user);
    let pod = Pod::apply(world, "exec-tty", &manifest("exec-tty", "", &[plain]))?;
    pod.await_running("plain")?;
    let words = ["exec", "exec-tty", "-i", "-t", "--", "sh", "-c", TERMINAL];
    let (code, said) = with_input(&words, "a word\n".to_owned())?;
    // What is typed is echoed by the terminal, whenever it comes.
    let lines: Vec<&str> = said.split("\r\n").filter(|line| *line != "a word").collect();
    let expected = [
        "all three",
        "/dev/pts/0",
        "1234 character special file",
        "1234",
        "controlled",
        "0",
        "got a word",
        "",
    ];
    ensure!(code == Some(5) && lines == expected, "{code:?} {said:?}");
    let gone = ["exec", "exec-tty", "-t", "--", "nosuch"];
    let said = world.carob(&gone)?;
    ensure!(said.code == Some(127), "{said:?}");
    no_zombies(world)
}

/// A container's own streams: what it says from now on, what it is told, and the end of an input that is for one only.
pub(super) fn attached(world: &World) -> Result<()> {
    let script =
        "echo before; while read line; do echo got $line; echo err >&2; done; echo over; exec /work sleep";
    let container = shell("main", script, "      stdin: true\n      stdinOnce: true\n");
    let typed = shell(
        "typed",
        "echo before; read line; echo got $line; exec /work sleep",
        "      stdin: true\n      tty: true\n",
    );
    let pod = Pod::apply(world, "attach", &manifest("attach", "", &[container, typed]))?;
    for name in ["main", "typed"] {
        pod.await_log(name, "before")?;
    }
    let attach = |container: &'static str, input: &'static str, until: &'static str| -> Result<String> {
        let tty: &[&str] = if container == "typed" { &["-t"] } else { &[] };
        let words = [&["attach", "attach", "-c", container, "-i"], tty].concat();
        let mut child = Command::new(AGENT)
            .args(words)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("start carob")?;
        child.stdin.take().context("no stdin")?.write_all(input.as_bytes())?;
        let mut said = String::new();
        let mut output = std::io::BufReader::new(child.stdout.take().context("no stdout")?);
        while !said.ends_with(until) {
            ensure!(std::io::BufRead::read_line(&mut output, &mut said)? > 0, "it ends with {said:?}");
        }
        child.kill()?;
        child.wait()?;
        Ok(said)
    };
    let said = attach("main", "one\ntwo\n", "over\n")?;
    ensure!(said == "got one\ngot two\nover\n", "from now on, and to the input's end: {said:?}");
    let said = attach("typed", "three\n", "got three\r\n")?;
    ensure!(said.contains("three\r\n"), "{said:?}");
    // Two streams have no order between them.
    let log = pod.logs("main")?;
    let out: Vec<&str> = log.lines().filter(|line| *line != "err").collect();
    let whole = out == ["before", "got one", "got two", "over"] && log.matches("err\n").count() == 2;
    ensure!(whole, "the log misses nothing for that: {log:?}");
    Ok(())
}

fn with_input(words: &[&str], input: String) -> Result<(Option<i32>, String)> {
    let mut child = Command::new(AGENT)
        .args(words)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .context("start carob")?;
    let mut stdin = child.stdin.take().context("no stdin")?;
    let writer = std::thread::spawn(move || stdin.write_all(input.as_bytes()));
    let output = child.wait_with_output()?;
    writer.join().ok().context("the writer ended badly")??;
    Ok((output.status.code(), String::from_utf8(output.stdout)?))
}

/// Whoever starts a process reaps it.
fn no_zombies(world: &World) -> Result<()> {
    let agent = world.agent_pid()?.to_string();
    world.wait_until("the agent has no zombies", PATIENCE, || {
        for entry in fs::read_dir("/proc")? {
            let stat = fs::read_to_string(entry?.path().join("stat")).unwrap_or_default();
            let rest = stat.rsplit(") ").next().unwrap_or_default();
            let mut fields = rest.split(' ');
            let (state, parent) = (fields.next(), fields.next());
            ensure!(state != Some("Z") || parent != Some(&agent), "{stat}");
        }
        Ok(())
    })
}

pub(super) fn refusals(world: &World) -> Result<()> {
    let ends = shell("ends", "exit 0", "");
    let pod =
        Pod::apply(world, "exec-no", &manifest("exec-no", "  restartPolicy: Never\n", &[stay("a"), ends]))?;
    pod.await_running("a")?;
    pod.end("ends", 0)?;
    let noexec = "echo text > /tmp/text; exec /tmp/text";
    let rows: [(&[&str], i32, &str); 6] = [
        (&["exec", "nobody", "--", "true"], 1, "pod \"nobody\" not found"),
        (&["exec", "exec-no", "-c", "x", "--", "true"], 1, "container x is not valid for pod exec-no"),
        (&["exec", "exec-no", "-c", "ends", "--", "true"], 1, "container not found (\"ends\")"),
        (
            &["exec", "exec-no", "-c", "a", "--", "nosuch"],
            127,
            "exec \"nosuch\": executable file not found in $PATH",
        ),
        (
            &["exec", "exec-no", "-c", "a", "--", "/no/such"],
            127,
            "exec \"/no/such\": No such file or directory",
        ),
        (
            &["exec", "exec-no", "-c", "a", "--", "/etc/hostname"],
            126,
            "exec \"/etc/hostname\": Permission denied",
        ),
    ];
    for (words, code, text) in rows {
        let said = world.carob(words)?;
        ensure!(said.code == Some(code) && said.stderr.contains(text), "{words:?}: {said:?}");
    }
    let said = world.carob(&["exec", "exec-no", "-c", "a", "--", "sh", "-c", noexec])?;
    ensure!(said.code == Some(126), "{said:?}");
    let said = world.carob(&["attach", "exec-no", "-c", "a", "-i"])?;
    let told = said.stderr.contains("has no standard input: its spec does not say stdin: true");
    ensure!(said.code == Some(1) && told, "{said:?}");
    no_zombies(world)
}

pub(super) fn confinement(world: &World) -> Result<()> {
    let limits = "      workingDir: /tmp\n      env: [{ name: GREETING, value: \"good day\" }]\n      resources: { limits: { cpu: 500m, memory: 64Mi } }\n";
    // In a manifest two dollars are one.
    let script = format!("{}echo END; exec /work sleep", SELF.replace("$$", "$$$$"));
    let pod = Pod::apply(world, "exec-in", &manifest("exec-in", "", &[shell("main", &script, limits)]))?;
    pod.await_log("main", "END")?;
    let main = comparable(&pod.logs("main")?);
    let command =
        comparable(&world.carob_ok(&["exec", "exec-in", "--", "sh", "-c", &format!("{SELF}echo END")])?);
    ensure!(main.len() > 60, "too little was said: {main:?}");
    let only = |a: &[String], b: &[String]| -> Vec<String> {
        a.iter().filter(|line| !b.contains(line)).cloned().collect()
    };
    let (missing, more) = (only(&main, &command), only(&command, &main));
    ensure!(missing.is_empty() && more.is_empty(), "only main: {missing:#?}\nonly the command: {more:#?}");
    let inside = world.cgroup(&pod.cgroup_name("main", 0), "cgroup.procs")?;
    ensure!(inside.lines().count() == 1, "nothing stays in the cgroup: {inside}");
    Ok(())
}

fn comparable(said: &str) -> Vec<String> {
    let own = |line: &str| {
        line.strip_prefix("status ").is_some_and(|rest| OWN.iter().any(|key| rest.starts_with(key)))
    };
    said.lines().filter(|line| !own(line)).map(str::to_owned).collect()
}

pub(super) fn limit(world: &World) -> Result<()> {
    let pod = Pod::apply(world, "exec-late", &manifest("exec-late", "", &[stay("main")]))?;
    pod.await_running("main")?;
    let script = "sleep%20997%20%26%20(sleep%20998%20%26%20sleep%20999)%20%26%20sleep%20996";
    let path =
        format!("/carob/v1/exec/default/exec-late?command=sh&command=-c&command={script}&timeoutSeconds=2");
    let answer = world.ask("POST", &path, None)?;
    let timed_out = answer.status == 504 && answer.body.contains("has not ended within 2 s");
    ensure!(timed_out, "{}: {}", answer.status, answer.body);
    let cgroup = pod.cgroup_name("main", 0);
    world.wait_until("nothing of the command is left", PATIENCE, || {
        let procs = world.cgroup(&cgroup, "cgroup.procs")?;
        let alive = |pid: &&str| {
            !fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default().contains(") Z ")
        };
        let left: Vec<&str> = procs.lines().filter(alive).collect();
        ensure!(left.len() == 1, "{left:?}");
        Ok(())
    })?;
    let answer = world.ask("POST", "/carob/v1/exec/default/exec-late?command=sh&command=-c&command=echo%20o;echo%20e%20%3E%262;exit%209&timeoutSeconds=60", None)?;
    ensure!(answer.body == r#"{"code":9,"output":"o\ne\n"}"#, "{}", answer.body);
    ensure!(pod.container("main")?["restartCount"] == 0, "the container was touched");
    no_zombies(world)
}

/// The ends of commands, also by the OOM killer and by hand, are not the container's.
pub(super) fn ends(world: &World) -> Result<()> {
    let annotated = "  name: exec-oom\n  annotations: { carob.dev/oom-group: \"false\" }\n";
    let limits = "      resources: { limits: { memory: 48Mi } }\n";
    let manifest = manifest("exec-oom", "", &[shell("main", "exec /work sleep", limits)])
        .replace("  name: exec-oom\n", annotated);
    let pod = Pod::apply(world, "exec-oom", &manifest)?;
    pod.await_running("main")?;
    let main = pod.main_pid("main", 0)?;
    let said = world.carob(&["exec", "exec-oom", "--", "/work", "hog", "200"])?;
    ensure!(said.code == Some(137), "{said:?}");
    let said = world.carob(&["exec", "exec-oom", "--", "/work", "segv"])?;
    ensure!(said.code == Some(139), "{said:?}");
    let status = pod.container("main")?;
    let lives = status["state"]["running"].is_object() && status["restartCount"] == 0;
    ensure!(lives && pod.main_pid("main", 0)? == main, "{status}");
    ensure!(pod.ledger()?.iter().all(|row| row["end"].is_null()), "{:?}", pod.ledger()?);
    no_zombies(world)
}

pub(super) fn deletion(world: &World) -> Result<()> {
    let pod = Pod::apply(world, "exec-gone", &manifest("exec-gone", "", &[stay("main")]))?;
    pod.await_running("main")?;
    let words = ["exec", "exec-gone", "--", "sh", "-c", "echo here; exec sleep 1000"];
    let mut child = Command::new(AGENT).args(words).stdout(Stdio::piped()).spawn().context("start carob")?;
    let cgroup = pod.cgroup_name("main", 0);
    world.wait_until("the command runs", PATIENCE, || {
        ensure!(world.cgroup(&cgroup, "cgroup.procs")?.lines().count() == 2, "it does not");
        Ok(())
    })?;
    pod.delete()?;
    let status = world.wait_until("the client ends", PATIENCE, || child.try_wait()?.context("it waits"))?;
    ensure!(status.code() == Some(137), "{status:?}");
    no_zombies(world)
}

/// A client that goes takes its command with it.
pub(super) fn client_gone(world: &World) -> Result<()> {
    let pod = Pod::apply(world, "exec-left", &manifest("exec-left", "", &[stay("main")]))?;
    pod.await_running("main")?;
    let words = ["exec", "exec-left", "--", "sleep", "1000"];
    let mut child = Command::new(AGENT).args(words).spawn().context("start carob")?;
    let cgroup = pod.cgroup_name("main", 0);
    let count = |wanted: usize| {
        world.wait_until(&format!("{wanted} processes are in the container"), PATIENCE, || {
            let procs = world.cgroup(&cgroup, "cgroup.procs")?;
            ensure!(procs.lines().count() == wanted, "{procs}");
            Ok(())
        })
    };
    count(2)?;
    child.kill()?;
    child.wait()?;
    count(1)?;
    no_zombies(world)
}
