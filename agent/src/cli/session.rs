//! The streams of something in a container, over a WebSocket to our own: the client's half of `exec` and `attach`.

use std::{
    io::{self, Read, Write},
    process::ExitCode,
};

use anyhow::{Context, bail};
use futures_util::{SinkExt, StreamExt, stream::SplitSink};
use hyper::body::Bytes;
use rustix::termios::{OptionalActions, Termios, isatty, tcgetattr, tcgetwinsize, tcsetattr};
use serde_json::{Value, json};
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::mpsc,
};
use tokio_tungstenite::tungstenite::Message;

use super::{
    client::{Client, Socket},
    output::{note, say_bytes},
};

const STDIN: u8 = 0;
const STDOUT: u8 = 1;
const STDERR: u8 = 2;
const STATUS: u8 = 3;
const RESIZE: u8 = 4;
const CLOSE: u8 = 255;
/// Pieces of input that may wait to be sent.
const PIECES: usize = 4;
const PIECE: usize = 32 << 10;

/// Which of our streams take part, and how.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(super) struct Streams {
    /// Pass standard input on
    #[arg(short = 'i', long)]
    pub(super) stdin: bool,
    /// Give it a terminal
    #[arg(short, long)]
    pub(super) tty: bool,
}

impl Streams {
    /// Of the request.
    pub(super) fn query(self) -> Vec<(&'static str, Option<String>)> {
        let flag = |wanted: bool| wanted.then(|| "true".to_owned());
        vec![
            ("stdin", flag(self.stdin)),
            ("stdout", flag(true)),
            // A terminal is one stream.
            ("stderr", flag(!self.tty)),
            ("tty", flag(self.tty)),
        ]
    }

    /// Until the other side says how it ended.
    pub(super) async fn carry(self, client: &Client, path: &str) -> anyhow::Result<ExitCode> {
        let socket = client.upgrade(path, "v5.channel.k8s.io").await?;
        let raw = if self.tty && self.stdin { Raw::begin()? } else { None };
        let (sink, mut messages) = socket.split();
        if self.stdin || self.tty {
            tokio::spawn(pass_input(sink, self));
        }
        while let Some(message) = messages.next().await {
            let Message::Binary(bytes) = message.context("the connection to the agent broke")? else {
                continue;
            };
            match bytes.split_first() {
                Some((&STDOUT, output)) => drop(say_bytes(output)?),
                Some((&STDERR, output)) => io::stderr().write_all(output)?,
                Some((&STATUS, status)) => {
                    let status =
                        serde_json::from_slice(status).context("the agent's last word is not JSON")?;
                    drop(raw);
                    return Ok(ending(&status));
                }
                _ => (),
            }
        }
        bail!("the agent closed the connection before the end")
    }
}

/// Our terminal, while it passes on every key as it is.
struct Raw {
    before: Termios,
}

impl Raw {
    /// Nothing to do if standard input is no terminal.
    fn begin() -> anyhow::Result<Option<Self>> {
        if !isatty(io::stdin()) {
            note("carob: standard input is no terminal: keys and the size of a window are not passed on");
            return Ok(None);
        }
        let before = tcgetattr(io::stdin()).context("cannot read the terminal's settings")?;
        let mut raw = before.clone();
        raw.make_raw();
        tcsetattr(io::stdin(), OptionalActions::Now, &raw)
            .context("cannot change the terminal's settings")?;
        Ok(Some(Self { before }))
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        // There is nobody to be told: the terminal is ours no more.
        let _ = tcsetattr(io::stdin(), OptionalActions::Now, &self.before);
    }
}

/// Sends our standard input until its end, and the size of our window whenever it changes.
async fn pass_input(mut sink: SplitSink<Socket, Message>, streams: Streams) {
    let (sender, mut pieces) = mpsc::channel::<Vec<u8>>(PIECES);
    if streams.stdin {
        let sender = sender.clone();
        std::thread::spawn(move || read_input(&sender));
    }
    if streams.tty && isatty(io::stdout()) {
        tokio::spawn(tell_size(sender));
    } else {
        drop(sender);
    }
    while let Some(piece) = pieces.recv().await {
        if sink.send(Message::Binary(Bytes::from(piece))).await.is_err() {
            return;
        }
    }
    // The connection stays: its other half still listens.
    std::future::pending::<()>().await;
}

/// Runs on a thread of its own, which nobody waits for.
fn read_input(sender: &mpsc::Sender<Vec<u8>>) {
    let mut piece = vec![STDIN; PIECE];
    while let Ok(length @ 1..) = io::stdin().lock().read(&mut piece[1..]) {
        if sender.blocking_send(piece[..=length].to_vec()).is_err() {
            return;
        }
    }
    // If that cannot be sent, the command has ended.
    let _ = sender.blocking_send(vec![CLOSE, STDIN]);
}

async fn tell_size(sender: mpsc::Sender<Vec<u8>>) {
    let Ok(mut changes) = signal(SignalKind::window_change()) else { return };
    loop {
        if let Ok(size) = tcgetwinsize(io::stdout()) {
            let text = json!({"Width": size.ws_col, "Height": size.ws_row}).to_string();
            if sender.send([&[RESIZE], text.as_bytes()].concat()).await.is_err() {
                return;
            }
        }
        if changes.recv().await.is_none() {
            return;
        }
    }
}

/// The command's exit code, or why there is none.
fn ending(status: &Value) -> ExitCode {
    if status["status"] == "Success" {
        return ExitCode::SUCCESS;
    }
    if status["reason"] != "NonZeroExitCode" {
        note(&format!("carob: {}", status["message"].as_str().unwrap_or("the command failed")));
    }
    let causes = status["details"]["causes"].as_array().map(Vec::as_slice).unwrap_or_default();
    let code =
        causes.iter().find(|cause| cause["reason"] == "ExitCode").and_then(|cause| cause["message"].as_str());
    let code = code.and_then(|code| code.parse::<u8>().ok()).filter(|code| *code != 0);
    ExitCode::from(code.unwrap_or(1))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_exit_code_is_the_commands_own() {
        let cause = |code: &str| json!({"causes": [{"reason": "ExitCode", "message": code}]});
        let rows = [
            (json!({"status": "Success"}), 0),
            (json!({"status": "Failure", "reason": "NonZeroExitCode", "details": cause("7")}), 7),
            (json!({"status": "Failure", "reason": "InternalError", "details": cause("127")}), 127),
            (json!({"status": "Failure", "reason": "InternalError"}), 1),
        ];
        for (status, expected) in rows {
            // There is no comparing of exit codes but by how they show.
            assert_eq!(
                format!("{:?}", ending(&status)),
                format!("{:?}", ExitCode::from(expected)),
                "{status}"
            );
        }
    }
}
