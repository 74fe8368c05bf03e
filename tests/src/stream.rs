//! Connections to the API that stay: a watch, and a command over a WebSocket. What is sent on them may be as wrong as a
//! case likes.

use std::{
    io::{self, Read, Write},
    os::unix::net::UnixStream,
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};

use crate::world::SOCKET;

const PATIENCE: Duration = Duration::from_secs(60);
/// Of a frame, with FIN (RFC 6455, 5.2).
const BINARY: u8 = 0x82;
const CLOSE: u8 = 0x88;
const MASKED: u8 = 0x80;
const MASK: [u8; 4] = [1, 2, 3, 4];
/// A fixed key is as good as any: nobody caches these answers.
const UPGRADE: &str = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
    Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Protocol: v5.channel.k8s.io\r\n";

/// Asks for what goes on, and comes back when that was promised.
fn begin(path: &str, headers: &str, status: &str) -> Result<UnixStream> {
    let mut stream = UnixStream::connect(SOCKET).context("connect to the agent")?;
    stream.set_read_timeout(Some(PATIENCE))?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n")
        .with_context(|| format!("ask for {path}"))?;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(byte(&mut stream).with_context(|| format!("read the answer to {path}"))?);
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    ensure!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{path} is answered with {head}");
    Ok(stream)
}

fn byte(stream: &mut UnixStream) -> io::Result<u8> {
    let mut byte = [0];
    stream.read_exact(&mut byte)?;
    Ok(byte[0])
}

/// A watch; what it says is read from the stream.
pub(crate) fn watch(path: &str) -> Result<UnixStream> {
    begin(path, "", "200")
}

/// A command of a container, with stdin and stdout.
pub(crate) struct Command(UnixStream);

impl Command {
    pub(crate) fn begin(pod: &str, words: &[&str]) -> Result<Self> {
        let words: String = words.iter().map(|word| format!("&command={word}")).collect();
        let path = format!("/api/v1/namespaces/default/pods/{pod}/exec?stdin=true&stdout=true{words}");
        let mut command = Self(begin(&path, UPGRADE, "101")?);
        let stands = command.read().context("hear that it stands")?;
        ensure!(stands == [1], "its first message is {stands:?}");
        Ok(command)
    }

    /// Gives the command that text, and reads as much: for one that sends back what it reads.
    pub(crate) fn echo(&mut self, text: &str) -> Result<()> {
        self.send(&frame(BINARY, &[&[0], text.as_bytes()].concat()))?;
        let mut back = Vec::new();
        while back.len() < text.len() {
            let message = self.read()?;
            let [1, bytes @ ..] = &message[..] else { bail!("it says {message:?}") };
            back.extend_from_slice(bytes);
        }
        ensure!(back == text.as_bytes(), "it sent back {:?}", String::from_utf8_lossy(&back));
        Ok(())
    }

    /// Any bytes.
    pub(crate) fn send(&mut self, bytes: &[u8]) -> Result<()> {
        self.0.write_all(bytes).context("write to the command")
    }

    /// Comes back when the other side has closed the connection, whatever it still had to say.
    pub(crate) fn await_end(mut self) -> Result<()> {
        match self.0.read_to_end(&mut Vec::new()) {
            Err(fault) if fault.kind() != io::ErrorKind::ConnectionReset => {
                Err(fault).context("wait for the connection's end")
            }
            _ => Ok(()),
        }
    }

    pub(crate) fn close(mut self) -> Result<()> {
        self.send(&frame(CLOSE, b""))
    }

    /// The next message; ours are short.
    fn read(&mut self) -> Result<Vec<u8>> {
        let first = byte(&mut self.0)?;
        let length = match byte(&mut self.0)? {
            126 => u16::from_be_bytes([byte(&mut self.0)?, byte(&mut self.0)?]),
            short @ 0..126 => u16::from(short),
            long => bail!("a message of length {long}"),
        };
        let mut bytes = vec![0; usize::from(length)];
        self.0.read_exact(&mut bytes)?;
        ensure!(first == BINARY, "a frame that begins with {first:#x}: {bytes:?}");
        Ok(bytes)
    }
}

/// A client's frame of less than 64 KiB.
pub(crate) fn frame(first: u8, bytes: &[u8]) -> Vec<u8> {
    let length = match u16::try_from(bytes.len()) {
        Ok(short @ 0..126) => vec![MASKED | short.to_be_bytes()[1]],
        Ok(long) => [&[MASKED | 126], &long.to_be_bytes()[..]].concat(),
        Err(_) => unreachable!("frames of a case are short"),
    };
    let masked = bytes.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask);
    [first].into_iter().chain(length).chain(MASK).chain(masked).collect()
}
