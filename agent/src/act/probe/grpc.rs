//! `grpc.health.v1.Health/Check` over HTTP/2 without TLS: one connection, one stream, one call.
//!
//! Just enough of RFC 9113 for that. The answer's headers are not decoded: a server that has a health status sends it as
//! a message, one that has none sends only headers, so the message alone tells the two apart.

use std::io;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// `HealthCheckResponse.ServingStatus`.
pub(super) const SERVING: u64 = 1;
const STATUS_NAMES: [&str; 4] = ["UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN"];

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// The only stream of the connection.
const CALL: u32 = 1;
/// No frame is longer, as we ask for nothing else.
const MOST_FRAME: usize = 16 << 10;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;

const END_STREAM: u8 = 0x1;
const ACK: u8 = 0x1;
const END_HEADERS: u8 = 0x4;
const PADDED: u8 = 0x8;

/// Why there is no status.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error("cannot {step}")]
    Connection {
        step: &'static str,
        #[source]
        source: io::Error,
    },
    #[error("the server does not speak HTTP/2")]
    NotHttp2,
    #[error("the server broke the call off with error {code}")]
    BrokenOff { code: u32 },
    #[error(
        "the server answered without a health status: it has no health service, or does not know the service"
    )]
    NoStatus,
}

/// A status as a person reads it.
pub(super) fn name(status: u64) -> &'static str {
    usize::try_from(status).ok().and_then(|status| STATUS_NAMES.get(status)).unwrap_or(&"UNKNOWN")
}

/// Asks for the status of a service; the empty name stands for the server as a whole.
pub(super) async fn check(mut stream: TcpStream, authority: &str, service: &str) -> Result<u64, Error> {
    let mut opening = PREFACE.to_vec();
    opening.extend(frame(SETTINGS, 0, 0, &[]));
    opening.extend(frame(HEADERS, END_HEADERS, CALL, &headers(authority)));
    opening.extend(frame(DATA, END_STREAM, CALL, &message(service)));
    let fault = |step| move |source| Error::Connection { step, source };
    stream.write_all(&opening).await.map_err(fault("ask"))?;
    let mut answer = Vec::new();
    loop {
        let Frame { kind, flags, stream: of, load } = Frame::read(&mut stream).await?;
        match (kind, of) {
            (DATA, CALL) => answer.extend_from_slice(unpadded(&load, flags)),
            (RST_STREAM, CALL) => return Err(Error::BrokenOff { code: number(&load, 0) }),
            (GOAWAY, _) if number(&load, 0) < CALL => {
                return Err(Error::BrokenOff { code: number(&load, 4) });
            }
            (SETTINGS | PING, _) if flags & ACK == 0 => {
                let load: &[u8] = if kind == PING { &load } else { &[] };
                stream.write_all(&frame(kind, ACK, 0, load)).await.map_err(fault("answer"))?;
            }
            // WINDOW_UPDATE, PRIORITY, CONTINUATION and what is new: one small call needs none of them.
            _ => (),
        }
        if of == CALL && matches!(kind, DATA | HEADERS) && flags & END_STREAM != 0 {
            return status(&answer).ok_or(Error::NoStatus);
        }
        if answer.len() > MOST_FRAME {
            return Err(Error::NoStatus);
        }
    }
}

struct Frame {
    kind: u8,
    flags: u8,
    stream: u32,
    load: Vec<u8>,
}

impl Frame {
    async fn read(from: &mut TcpStream) -> Result<Self, Error> {
        let fault = |source| Error::Connection { step: "read the answer", source };
        let mut head = [0; 9];
        from.read_exact(&mut head).await.map_err(fault)?;
        let [a, b, c, kind, flags, stream @ ..] = head;
        let length = u32::from_be_bytes([0, a, b, c]) as usize;
        if length > MOST_FRAME {
            return Err(Error::NotHttp2);
        }
        let mut load = vec![0; length];
        from.read_exact(&mut load).await.map_err(fault)?;
        Ok(Self { kind, flags, stream: u32::from_be_bytes(stream) & 0x7fff_ffff, load })
    }
}

fn frame(kind: u8, flags: u8, stream: u32, load: &[u8]) -> Vec<u8> {
    let length = u32::try_from(load.len()).unwrap_or(u32::MAX).to_be_bytes();
    let mut frame = vec![length[1], length[2], length[3], kind, flags];
    frame.extend(stream.to_be_bytes());
    frame.extend(load);
    frame
}

/// HPACK without a table of its own: names from the static table (RFC 7541, appendix A) where it has them.
fn headers(authority: &str) -> Vec<u8> {
    // `:method: POST` and `:scheme: http` stand there whole.
    let mut block = vec![0x83, 0x86];
    let mut literal = |name: &[u8], value: &str| {
        block.extend(name);
        block.extend(varint(value.len(), 7));
        block.extend(value.as_bytes());
    };
    literal(&[0x04], "/grpc.health.v1.Health/Check");
    literal(&[0x01], authority);
    literal(&[0x0f, 31 - 15], "application/grpc");
    literal(&[0x0f, 58 - 15], super::http::PROBE);
    literal(b"\x00\x02te", "trailers");
    block
}

/// An integer with so many bits in its first byte (RFC 7541, 5.1).
fn varint(number: usize, bits: u32) -> Vec<u8> {
    let full = (1 << bits) - 1;
    if number < full {
        return vec![number.to_le_bytes()[0]];
    }
    let mut bytes = vec![full.to_le_bytes()[0]];
    bytes.extend(base128(number - full));
    bytes
}

/// Seven bits a byte, the lowest first: protobuf's numbers, and the rest of HPACK's.
fn base128(mut number: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    while number > 0x7f {
        bytes.push(number.to_le_bytes()[0] | 0x80);
        number >>= 7;
    }
    bytes.push(number.to_le_bytes()[0]);
    bytes
}

/// A `HealthCheckRequest` with gRPC's prefix: not compressed, and how long it is.
fn message(service: &str) -> Vec<u8> {
    let mut request = Vec::new();
    if !service.is_empty() {
        request.push(0x0a);
        request.extend(base128(service.len()));
        request.extend(service.as_bytes());
    }
    let mut message = vec![0];
    message.extend(u32::try_from(request.len()).unwrap_or(u32::MAX).to_be_bytes());
    message.extend(request);
    message
}

fn unpadded(load: &[u8], flags: u8) -> &[u8] {
    match load {
        [padding, rest @ ..] if flags & PADDED != 0 => {
            &rest[..rest.len().saturating_sub(usize::from(*padding))]
        }
        load => load,
    }
}

fn number(load: &[u8], at: usize) -> u32 {
    load.get(at..at + 4).and_then(|bytes| bytes.try_into().ok()).map_or(0, u32::from_be_bytes)
}

/// Field 1 of a `HealthCheckResponse`; a message without it says UNKNOWN. `None`: there is no whole message.
fn status(answer: &[u8]) -> Option<u64> {
    let [0, a, b, c, d, message @ ..] = answer else { return None };
    let length = usize::try_from(u32::from_be_bytes([*a, *b, *c, *d])).ok()?;
    match message.get(..length)? {
        [] => Some(0),
        [0x08, status, ..] => Some(u64::from(*status)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    #[test]
    fn numbers_are_written_as_hpack_and_protobuf_want_them() {
        let rows =
            [(10, 5, vec![10]), (1337, 5, vec![31, 154, 10]), (126, 7, vec![126]), (127, 7, vec![127, 0])];
        for (number, bits, bytes) in rows {
            assert_eq!(varint(number, bits), bytes, "{number} in {bits} bits");
        }
        assert_eq!(base128(300), [0xac, 0x02]);
    }

    #[test]
    fn a_request_names_its_service() {
        assert_eq!(message(""), [0, 0, 0, 0, 0]);
        assert_eq!(message("ab"), [0, 0, 0, 0, 4, 0x0a, 2, b'a', b'b']);
    }

    /// What a server sends, after its settings, and what that means.
    #[tokio::test]
    async fn the_message_alone_decides() {
        let answer = |load: &[u8]| frame(DATA, 0, CALL, load);
        let head = || frame(HEADERS, END_HEADERS, CALL, &[0x88]);
        let end = || frame(HEADERS, END_HEADERS | END_STREAM, CALL, &[]);
        let serving = [0, 0, 0, 0, 2, 8, 1];
        let rows = [
            (vec![head(), answer(&serving), end()], "1"),
            (vec![head(), answer(&[0, 0, 0, 0, 2, 8, 2]), end()], "2"),
            (vec![head(), answer(&[0, 0, 0, 0, 0]), end()], "0"),
            (vec![head(), answer(&serving[..3]), answer(&serving[3..]), end()], "1"),
            (vec![frame(PING, 0, 0, &[7; 8]), head(), frame(DATA, END_STREAM, CALL, &serving)], "1"),
            (vec![head(), frame(DATA, PADDED, CALL, &[2, 0, 0, 0, 0, 2, 8, 1, 0, 0]), end()], "1"),
            (vec![end()], "without a health status"),
            (vec![head(), answer(&serving[..6]), end()], "without a health status"),
            (vec![frame(RST_STREAM, 0, CALL, &[0, 0, 0, 7])], "error 7"),
            (vec![frame(GOAWAY, 0, 0, &[0, 0, 0, 0, 0, 0, 0, 2])], "error 2"),
            (vec![b"HTTP/1.1 400 Bad Request\r\n".to_vec()], "does not speak HTTP/2"),
            (vec![], "cannot read the answer"),
        ];
        for (frames, expected) in rows {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = listener.local_addr().unwrap();
            let served = tokio::spawn(async move {
                let mut stream = listener.accept().await.unwrap().0;
                let mut preface = [0; PREFACE.len()];
                stream.read_exact(&mut preface).await.unwrap();
                assert_eq!(preface, PREFACE);
                stream.write_all(&frame(SETTINGS, 0, 0, &[])).await.unwrap();
                stream.write_all(&frames.concat()).await.unwrap();
                stream.shutdown().await.unwrap();
                // Until the client hangs up: what is left unread would reset the connection under its eyes.
                let _ = tokio::io::copy(&mut stream, &mut tokio::io::sink()).await;
            });
            let stream = TcpStream::connect(address).await.unwrap();
            let said = match check(stream, "a", "s").await {
                Ok(status) => status.to_string(),
                Err(e) => e.to_string(),
            };
            assert!(said.contains(expected), "{said:?} is not {expected:?}");
            served.await.unwrap();
        }
    }
}
