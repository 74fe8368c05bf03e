//! Starting other programs: one way to say what was run and what came of it. Never a shell.

use std::{
    ffi::OsStr,
    fs::File,
    path::Path,
    process::{Command, ExitStatus, Stdio},
};

use anyhow::{Context, Result, bail};

pub(crate) struct Tool {
    command: Command,
}

/// Names the program; nothing starts before `run`, `show` or `output`.
pub(crate) fn tool(program: impl AsRef<OsStr>) -> Tool {
    Tool { command: Command::new(program) }
}

impl Tool {
    pub(crate) fn arg(mut self, word: impl AsRef<OsStr>) -> Self {
        self.command.arg(word);
        self
    }

    pub(crate) fn args<W: AsRef<OsStr>>(mut self, words: impl IntoIterator<Item = W>) -> Self {
        self.command.args(words);
        self
    }

    pub(crate) fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    pub(crate) fn without_env(mut self, name: &str) -> Self {
        self.command.env_remove(name);
        self
    }

    pub(crate) fn dir(mut self, dir: &Path) -> Self {
        self.command.current_dir(dir);
        self
    }

    /// Runs it silently; what it printed becomes part of the error.
    pub(crate) fn run(self) -> Result<()> {
        self.output().map(drop)
    }

    /// Runs it silently and returns its stdout.
    pub(crate) fn output(mut self) -> Result<String> {
        let words = self.words();
        let out = self.command.stdin(Stdio::null()).output().with_context(|| format!("start `{words}`"))?;
        let stdout = String::from_utf8_lossy(&out.stdout).into_owned();
        if !out.status.success() {
            let stderr = String::from_utf8_lossy(&out.stderr);
            bail!("`{words}`: {}\n{}{}", out.status, tail(&stdout, 20), tail(&stderr, 20));
        }
        Ok(stdout)
    }

    /// Runs it with its stdout in `file`.
    pub(crate) fn output_to(mut self, file: &Path) -> Result<()> {
        let words = self.words();
        let out = File::create(file).with_context(|| format!("create {}", file.display()))?;
        let status = self.command.stdin(Stdio::null()).stdout(out).status();
        expect_success(&words, status.with_context(|| format!("start `{words}`"))?)
    }

    /// Runs it with our terminal, for long work that shows its own progress.
    pub(crate) fn show(mut self) -> Result<()> {
        let words = self.words();
        let status =
            self.command.stdin(Stdio::null()).status().with_context(|| format!("start `{words}`"))?;
        expect_success(&words, status)
    }

    /// For programs whose failure is an answer; stderr is ours.
    pub(crate) fn status_and_output(mut self) -> Result<(ExitStatus, String)> {
        let words = self.words();
        let command = self.command.stdin(Stdio::null()).stderr(Stdio::inherit());
        let out = command.output().with_context(|| format!("start `{words}`"))?;
        Ok((out.status, String::from_utf8_lossy(&out.stdout).into_owned()))
    }

    /// For programs that are watched while they run.
    pub(crate) fn into_command(self) -> Command {
        self.command
    }

    pub(crate) fn words(&self) -> String {
        let mut words = vec![self.command.get_program().to_string_lossy()];
        words.extend(self.command.get_args().map(OsStr::to_string_lossy));
        words.join(" ")
    }
}

fn expect_success(words: &str, status: ExitStatus) -> Result<()> {
    if status.success() { Ok(()) } else { bail!("`{words}`: {status}") }
}

/// The last `count` lines of a text, each ended.
pub(crate) fn tail(text: &str, count: usize) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(count)..].iter().flat_map(|line| [line, "\n"]).collect()
}
