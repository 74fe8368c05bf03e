//! What the part of a case works with that runs on the host: programs that reach the guest's agent through a forwarded
//! port, and what the guest's part has handed over.

use std::{
    env,
    ffi::OsStr,
    io::Write,
    path::PathBuf,
    process::{Command, Output, Stdio},
};

use anyhow::{Context, Result, ensure};

use crate::world::Said;

/// Seconds for one command: the agent answers out of an emulated machine.
const PATIENCE: &str = "120";

/// For a program that does much.
const A_PROGRAM: &str = "240";

/// For one that goes on until it is stopped, and the code that `timeout` then ends with.
const A_WHILE: &str = "10";
pub(crate) const STOPPED: i32 = 124;

/// What `kubectl edit` edits with.
const EDITOR: &str = "sed -i s/blue/green/";

pub(crate) struct Client {
    port: u16,
    programs: PathBuf,
    kube: PathBuf,
    handed_over: PathBuf,
}

impl Client {
    /// As the host's runner has told.
    pub(crate) fn of_environment() -> Result<Self> {
        let told = |name: &str| env::var_os(name).with_context(|| format!("{name} is not set"));
        let port = told("CAROB_PORT")?.into_string().ok().and_then(|port| port.parse().ok());
        Ok(Self {
            port: port.context("read CAROB_PORT")?,
            programs: told("CAROB_CLIENTS")?.into(),
            kube: told("CAROB_KUBE")?.into(),
            handed_over: told("CAROB_HANDED_OVER")?.into(),
        })
    }

    /// A file that the guest's part has handed over, or one that this part makes for itself.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.handed_over.join(name)
    }

    /// kubectl of that age, as who holds that kubeconfig.
    pub(crate) fn kubectl(&self, program: &str, config: &str) -> Kubectl<'_> {
        Kubectl { client: self, program: self.programs.join(program), config: self.file(config) }
    }

    /// `tests/kube`, a program with Rust's client, as who holds that kubeconfig.
    pub(crate) fn kube(&self, config: &str) -> Result<String> {
        let mut command = limited(A_PROGRAM, self.kube.join("carob-kube"));
        command.arg(self.port.to_string()).arg(self.file(config));
        let said = output(command, None)?;
        ensure!(said.code == Some(0), "the program with kube-rs: {said:?}");
        Ok(said.stdout)
    }

    /// A Python program, which has Kubernetes' client; it is told the port and the folder of what was handed over.
    pub(crate) fn python(&self, text: &str) -> Result<String> {
        let mut command = limited(PATIENCE, "python3");
        command.args(["-c", text]).arg(self.port.to_string()).arg(&self.handed_over);
        command.env("PYTHONPATH", self.programs.join("python"));
        let said = output(command, None)?;
        ensure!(said.code == Some(0), "the Python program: {said:?}");
        Ok(said.stdout)
    }
}

/// One of them, and whose.
pub(crate) struct Kubectl<'c> {
    client: &'c Client,
    program: PathBuf,
    config: PathBuf,
}

impl Kubectl<'_> {
    /// Runs it, whatever comes of it.
    pub(crate) fn said(&self, words: &[&str], stdin: Option<&str>) -> Result<Said> {
        output(self.command(PATIENCE, words), stdin)
    }

    /// Runs it, which must succeed, and returns its stdout.
    pub(crate) fn ok(&self, words: &[&str]) -> Result<String> {
        let said = self.said(words, None)?;
        ensure!(said.code == Some(0), "kubectl {}: {said:?}", words.join(" "));
        Ok(said.stdout)
    }

    /// Runs it for a while.
    pub(crate) fn stopped(&self, words: &[&str]) -> Result<Said> {
        output(self.command(A_WHILE, words), None)
    }

    /// The same with a terminal of its own. The limit stands outside: `timeout` would take what it starts out of the
    /// terminal's foreground.
    pub(crate) fn on_terminal(&self, words: &[&str]) -> Result<Said> {
        let command = self.asked(Command::new(&self.program), words);
        let quoted = |word: &OsStr| format!("'{}'", word.to_string_lossy().replace('\'', r"'\''"));
        let line = std::iter::once(command.get_program()).chain(command.get_args()).map(quoted);
        let mut script = limited(PATIENCE, "script");
        script
            .args(["-q", "-e", "-c", &line.collect::<Vec<_>>().join(" "), "/dev/null"])
            .env("SHELL", "/bin/sh");
        self.at_home(&mut script);
        output(script, None)
    }

    fn command(&self, seconds: &str, words: &[&str]) -> Command {
        let mut command = self.asked(limited(seconds, &self.program), words);
        command.env("KUBE_EDITOR", EDITOR);
        self.at_home(&mut command);
        command
    }

    fn asked(&self, mut command: Command, words: &[&str]) -> Command {
        let server = format!("https://127.0.0.1:{}", self.client.port);
        command.arg("--kubeconfig").arg(&self.config).args(["--server", &server]).args(words);
        command
    }

    /// Its own cache of what the server offers is kept there.
    fn at_home(&self, command: &mut Command) {
        command.env("HOME", self.client.file("home")).env_remove("KUBECONFIG");
    }
}

fn limited(seconds: &str, program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new("timeout");
    command.arg(seconds).arg(program);
    command
}

fn output(mut command: Command, stdin: Option<&str>) -> Result<Said> {
    command.stdin(if stdin.is_some() { Stdio::piped() } else { Stdio::null() });
    let mut child =
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().context("start a client")?;
    if let (Some(text), Some(mut pipe)) = (stdin, child.stdin.take()) {
        // Short enough for the pipe: nobody waits for the other.
        pipe.write_all(text.as_bytes()).context("write to a client")?;
    }
    let Output { status, stdout, stderr } = child.wait_with_output().context("wait for a client")?;
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    Ok(Said { code: status.code(), stdout: text(stdout), stderr: text(stderr) })
}
