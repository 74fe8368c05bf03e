//! Just enough HTTP/1.1 to ask a server one thing: one request a connection, the whole answer in memory.

use std::{
    io::{Read, Write},
    net::TcpStream,
    os::unix::net::UnixStream,
    path::Path,
    time::Duration,
};

use anyhow::{Context, Result, bail};

const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: String,
}

impl Answer {
    /// The body of a 2xx answer; anything else is an error that shows it.
    pub(crate) fn body(self) -> Result<String> {
        if (200..300).contains(&self.status) {
            Ok(self.body)
        } else {
            bail!("status {}: {}", self.status, self.body)
        }
    }
}

/// `GET http://HOST[:PORT]/PATH`
pub(crate) fn fetch(url: &str) -> Result<Answer> {
    let rest = url.strip_prefix("http://").with_context(|| format!("{url:?} is no http:// address"))?;
    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
    let address =
        if host.contains(':') && !host.ends_with(']') { host.to_owned() } else { format!("{host}:80") };
    let stream = TcpStream::connect(&address).with_context(|| format!("connect to {address}"))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    ask(stream, "GET", host, &format!("/{path}"), None)
}

/// One request over a unix socket; `body` is sent as JSON, as a merge patch with PATCH.
pub(crate) fn over_socket(socket: &Path, method: &str, path: &str, body: Option<&str>) -> Result<Answer> {
    let stream = UnixStream::connect(socket).with_context(|| format!("connect to {}", socket.display()))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    ask(stream, method, "localhost", path, body)
}

fn ask(
    mut stream: impl Read + Write,
    method: &str,
    host: &str,
    path: &str,
    body: Option<&str>,
) -> Result<Answer> {
    let mut request = format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n");
    if let Some(body) = body {
        let kind = if method == "PATCH" { "merge-patch+json" } else { "json" };
        request += &format!("Content-Type: application/{kind}\r\nContent-Length: {}\r\n", body.len());
    }
    request += "\r\n";
    request += body.unwrap_or_default();
    stream.write_all(request.as_bytes()).with_context(|| format!("send {method} {path}"))?;
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).with_context(|| format!("read the answer to {method} {path}"))?;
    answer(&bytes).with_context(|| format!("understand the answer to {method} {path}"))
}

fn answer(bytes: &[u8]) -> Result<Answer> {
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n").context("it has no end of its head")?;
    let head = String::from_utf8_lossy(&bytes[..end]).to_lowercase();
    let status =
        head.split_whitespace().nth(1).and_then(|code| code.parse().ok()).context("it has no status")?;
    let body = &bytes[end + 4..];
    let chunked = head.lines().any(|line| line.starts_with("transfer-encoding:") && line.contains("chunked"));
    let body = if chunked { joined(body)? } else { body.to_vec() };
    Ok(Answer { status, body: String::from_utf8_lossy(&body).into_owned() })
}

/// Joins the chunks: each is its length in hex, a line end, its bytes, a line end.
fn joined(mut rest: &[u8]) -> Result<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let end = rest.windows(2).position(|two| two == b"\r\n").context("a chunk has no length")?;
        let length = str::from_utf8(&rest[..end])?.split(';').next().unwrap_or_default();
        let length = usize::from_str_radix(length.trim(), 16).context("a chunk's length is no number")?;
        if length == 0 {
            return Ok(body);
        }
        let start = end + 2;
        body.extend_from_slice(rest.get(start..start + length).context("a chunk is cut off")?);
        rest = rest.get(start + length + 2..).context("a chunk has no end")?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(bytes: &str, status: u16, body: &str) {
        let found = answer(bytes.as_bytes()).unwrap();
        assert_eq!((found.status, found.body.as_str()), (status, body));
    }

    #[test]
    fn an_answer_is_read_whole_or_in_chunks() {
        check("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", 200, "hi");
        check("HTTP/1.1 404 Not Found\r\n\r\n", 404, "");
        check(
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n3\r\nabc\r\n2;x\r\nde\r\n0\r\n\r\n",
            200,
            "abcde",
        );
    }

    #[test]
    fn a_cut_off_answer_is_an_error() {
        assert!(answer(b"HTTP/1.1 200 OK\r\n").is_err());
        assert!(answer(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nabc").is_err());
    }
}
