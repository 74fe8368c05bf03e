//! `carob exec`: a command in a container that runs; its exit code becomes ours.

use std::{
    io::{self, Read, Write},
    process::ExitCode,
};

use anyhow::{Context, bail};
use futures_util::{SinkExt, StreamExt, stream::SplitSink};
use hyper::body::Bytes;
use serde_json::Value;
use tokio::sync::mpsc;
use tokio_tungstenite::tungstenite::Message;

use super::{
    Scope,
    client::{Client, Kind, Socket, query},
    get::one,
    logs::default_container,
    output::{note, say_bytes},
};

const STDIN: u8 = 0;
const STDOUT: u8 = 1;
const STDERR: u8 = 2;
const STATUS: u8 = 3;
const CLOSE: u8 = 255;
/// Pieces of input that may wait to be sent.
const PIECES: usize = 4;
const PIECE: usize = 32 << 10;

/// Run a command in a container
#[derive(Debug, clap::Args)]
pub(crate) struct Exec {
    #[arg(value_name = "POD")]
    pod: String,
    #[command(flatten)]
    scope: Scope,
    /// The container, if the pod has several
    #[arg(short, long)]
    container: Option<String>,
    /// Pass standard input on to the command
    #[arg(short = 'i', long)]
    stdin: bool,
    /// The command and its arguments
    #[arg(last = true, required = true, value_name = "COMMAND")]
    command: Vec<String>,
}

impl Exec {
    pub(super) async fn run(self, client: &Client) -> anyhow::Result<ExitCode> {
        let pod = one(client, Kind::Pod, &self.scope.namespace, &self.pod).await?;
        let container = self.container.clone().or_else(|| default_container(&pod));
        let socket = client.upgrade(&self.path(container), "v5.channel.k8s.io").await?;
        let (sink, mut messages) = socket.split();
        if self.stdin {
            tokio::spawn(pass_input(sink));
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
                    return Ok(ending(&status));
                }
                _ => (),
            }
        }
        bail!("the agent closed the connection before the command ended")
    }

    fn path(&self, container: Option<String>) -> String {
        let yes = || Some("true".to_owned());
        let mut pairs = vec![
            ("container", container),
            ("stdin", self.stdin.then(|| "true".to_owned())),
            ("stdout", yes()),
            ("stderr", yes()),
        ];
        pairs.extend(self.command.iter().map(|word| ("command", Some(word.clone()))));
        format!("{}/exec{}", Kind::Pod.one(&self.scope.namespace, &self.pod), query(&pairs))
    }
}

/// Sends our standard input until its end. It is read on a thread of its own, which nobody waits for.
async fn pass_input(mut sink: SplitSink<Socket, Message>) {
    let (sender, mut pieces) = mpsc::channel::<Vec<u8>>(PIECES);
    std::thread::spawn(move || {
        let mut piece = vec![STDIN; PIECE];
        while let Ok(length @ 1..) = io::stdin().lock().read(&mut piece[1..]) {
            if sender.blocking_send(piece[..=length].to_vec()).is_err() {
                return;
            }
        }
    });
    while let Some(piece) = pieces.recv().await {
        if sink.send(Message::Binary(Bytes::from(piece))).await.is_err() {
            return;
        }
    }
    // If that cannot be sent, the command has ended.
    let _ = sink.send(Message::Binary(Bytes::from_static(&[CLOSE, STDIN]))).await;
    // The connection stays: its other half still listens.
    std::future::pending::<()>().await;
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
