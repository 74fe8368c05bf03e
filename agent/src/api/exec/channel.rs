//! Kubernetes' remote command protocol: one byte for the channel, then its bytes. Pure.

use serde::Deserialize;
use serde_json::{Value, json};

use super::ExecFault;

pub(super) const STDIN: u8 = 0;
pub(super) const STDOUT: u8 = 1;
pub(super) const STDERR: u8 = 2;
const STATUS: u8 = 3;
const RESIZE: u8 = 4;
/// Since v5: the other byte is a channel that is closed.
const CLOSE: u8 = 255;

/// A version of the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Protocol {
    V5,
    V4,
}

impl Protocol {
    /// The better one first.
    pub(super) const ALL: [Self; 2] = [Self::V5, Self::V4];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::V5 => "v5.channel.k8s.io",
            Self::V4 => "v4.channel.k8s.io",
        }
    }

    pub(super) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|protocol| protocol.name() == name)
    }

    /// What a message of the client means.
    pub(super) fn read(self, message: &[u8]) -> Heard<'_> {
        match message {
            [STDIN, bytes @ ..] => Heard::Input(bytes),
            [RESIZE, size @ ..] => read_size(size),
            [CLOSE, STDIN] if self == Self::V5 => Heard::InputEnds,
            _ => Heard::Other,
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Heard<'a> {
    Input(&'a [u8]),
    InputEnds,
    /// The client's window, in characters.
    Size {
        columns: u16,
        rows: u16,
    },
    /// A channel that is not in use, or nothing at all.
    Other,
}

/// As Kubernetes' `TerminalSize` is written.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Size {
    width: u16,
    height: u16,
}

fn read_size(text: &[u8]) -> Heard<'static> {
    match serde_json::from_slice(text) {
        Ok(Size { width, height }) => Heard::Size { columns: width, rows: height },
        Err(_) => Heard::Other,
    }
}

/// A message that carries output.
pub(super) fn output(channel: u8, bytes: &[u8]) -> Vec<u8> {
    [&[channel], bytes].concat()
}

/// The last message: how the command ended.
pub(super) fn status(argv: &[String], ended: &Result<i32, ExecFault>) -> Vec<u8> {
    output(STATUS, status_object(argv, ended).to_string().as_bytes())
}

fn status_object(argv: &[String], ended: &Result<i32, ExecFault>) -> Value {
    let cause = |code: i32| json!({"causes": [{"reason": "ExitCode", "message": code.to_string()}]});
    match ended {
        Ok(0) => json!({"metadata": {}, "status": "Success"}),
        Ok(code) => json!({
            "metadata": {},
            "status": "Failure",
            "message": format!(
                "command terminated with non-zero exit code: error executing command {argv:?}, exit code {code}"
            ),
            "reason": "NonZeroExitCode",
            "details": cause(*code),
        }),
        // The cause is what a shell would say; Kubernetes' clients read it only with NonZeroExitCode.
        Err(ExecFault::Unable { code, message }) => {
            let mut status = failure(message);
            status["details"] = cause(*code);
            status
        }
        Err(ExecFault::TimedOut(message) | ExecFault::Failed(message)) => failure(message),
    }
}

fn failure(message: &str) -> Value {
    json!({
        "metadata": {},
        "status": "Failure",
        "message": format!("Internal error occurred: error executing command in container: {message}"),
        "reason": "InternalError",
        "code": 500,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_v5_can_end_the_input() {
        let rows: [(Protocol, &[u8], Heard<'_>); 8] = [
            (Protocol::V5, b"\0abc", Heard::Input(b"abc")),
            (Protocol::V4, b"\0", Heard::Input(b"")),
            (Protocol::V5, &[255, 0], Heard::InputEnds),
            (Protocol::V4, &[255, 0], Heard::Other),
            (Protocol::V5, b"\x04{\"Width\":80}", Heard::Other),
            (Protocol::V4, b"\x04{\"Width\":80,\"Height\":24}", Heard::Size { columns: 80, rows: 24 }),
            (Protocol::V4, b"\x04{\"Width\":80,\"Height\":-1}", Heard::Other),
            (Protocol::V5, b"", Heard::Other),
        ];
        for (protocol, message, expected) in rows {
            assert_eq!(protocol.read(message), expected, "{protocol:?} {message:?}");
        }
    }

    #[test]
    fn the_exit_code_is_where_kubectl_looks_for_it() {
        let argv = ["sh".to_owned()];
        let unable = ExecFault::Unable { code: 127, message: "exec \"x\": not found".to_owned() };
        let rows = [
            (Ok(0), "Success", None, None),
            (Ok(3), "Failure", Some("NonZeroExitCode"), Some("3")),
            (Err(unable), "Failure", Some("InternalError"), Some("127")),
            (Err(ExecFault::Failed("x".to_owned())), "Failure", Some("InternalError"), None),
        ];
        for (ended, status, reason, code) in rows {
            let object = status_object(&argv, &ended);
            assert_eq!(object["status"], status, "{ended:?}");
            assert_eq!(object["reason"].as_str(), reason, "{ended:?}");
            assert_eq!(object["details"]["causes"][0]["message"].as_str(), code, "{ended:?}");
        }
    }
}
