//! A server for probes, which sends datagrams back as well: TCP, HTTP and gRPC health on one port, told apart by how a client begins. The least of each
//! protocol that a prober needs, and no more.

use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream, UdpSocket},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const CALL: u8 = 1;
const SERVING: u8 = 1;
const NOT_SERVING: u8 = 2;

/// Serves for ever, in a thread. `/healthz` is good for so long and then answers 500, `/echo…` always; the gRPC service `sick` never is.
pub(super) fn serve(port: u16, good: Duration) -> Result<()> {
    let listener = TcpListener::bind(("::", port)).with_context(|| format!("listen on port {port}"))?;
    let turns_bad = Instant::now() + good;
    let datagrams =
        UdpSocket::bind(("::", port)).with_context(|| format!("take datagrams on port {port}"))?;
    println!("serving on {port}");
    thread::spawn(move || send_back(&datagrams));
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            thread::spawn(move || answer(stream, Instant::now() < turns_bad));
        }
    });
    Ok(())
}

fn send_back(datagrams: &UdpSocket) {
    let mut datagram = [0; 1500];
    while let Ok((length, from)) = datagrams.recv_from(&mut datagram) {
        if let Err(fault) = datagrams.send_to(&datagram[..length], from) {
            println!("{fault:#}");
        }
    }
}

fn answer(mut stream: TcpStream, good: bool) {
    let mut start = [0; 3];
    // A client that only connects says nothing.
    if stream.read_exact(&mut start).is_err() {
        return;
    }
    let answered =
        if start[..] == PREFACE[..3] { grpc(&mut stream) } else { http(&mut stream, &start, good) };
    if let Err(fault) = answered {
        println!("{fault:#}");
    }
}

fn http(stream: &mut TcpStream, start: &[u8], good: bool) -> Result<()> {
    let mut asked = start.to_vec();
    while !asked.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).context("read a request")?;
        asked.push(byte[0]);
    }
    let asked = String::from_utf8_lossy(&asked);
    let path = asked.split(' ').nth(1).unwrap_or_default();
    let status = match path {
        "/healthz" if !good => "500 Internal Server Error",
        "/healthz" => "200 OK",
        // Taken down in the log, for whoever asks what came.
        path if path.starts_with("/echo") => "200 OK",
        _ => "404 Not Found",
    };
    println!("{path} {status}");
    write!(stream, "HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").context("answer")
}

/// Waits for the request's message and answers it; headers are taken as read.
fn grpc(stream: &mut TcpStream) -> Result<()> {
    stream.read_exact(&mut vec![0; PREFACE.len() - 3])?;
    stream.write_all(&frame(4, 0, 0, &[]))?;
    let request = loop {
        let mut head = [0; 9];
        stream.read_exact(&mut head).context("read a frame")?;
        let mut load = vec![0; usize::from(head[1]) << 8 | usize::from(head[2])];
        stream.read_exact(&mut load).context("read a frame")?;
        if head[3] == 0 {
            break load;
        }
    };
    let status = if request.ends_with(b"sick") { NOT_SERVING } else { SERVING };
    println!("grpc {status}");
    // `:status: 200`; the message; `grpc-status: 0` behind it.
    let answer = [
        frame(1, 0x4, CALL, &[0x88]),
        frame(0, 0, CALL, &[0, 0, 0, 0, 2, 8, status]),
        frame(1, 0x5, CALL, b"\x00\x0bgrpc-status\x010"),
    ];
    stream.write_all(&answer.concat()).context("answer")?;
    // Until the client has gone: closed with something unread, the connection would be reset.
    std::io::copy(stream, &mut std::io::sink()).map(drop).context("wait for the client")
}

fn frame(kind: u8, flags: u8, stream: u8, load: &[u8]) -> Vec<u8> {
    let length = u8::try_from(load.len()).unwrap_or(u8::MAX);
    [&[0, 0, length, kind, flags, 0, 0, 0, stream], load].concat()
}
