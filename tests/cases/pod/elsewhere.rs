//! Probes and hooks of which another host is asked, by its name. Both the name server and the host asked are this case's
//! own threads, on the box's loopback.

use std::{
    fs,
    io::Read,
    net::{TcpListener, UdpSocket},
    sync::mpsc,
    thread,
};

use anyhow::{Context, Result, ensure};

use super::{manifest, shell};
use crate::{
    pods::{PATIENCE, Pod},
    world::World,
};

const RESOLV: &str = "/etc/resolv.conf";
const HOSTS: &str = "/etc/hosts";
const SERVER: &str = "127.0.0.9";

/// Knows `shop.example`, which is 127.0.0.1, and that there is nothing else.
fn name_server() -> Result<()> {
    let socket = UdpSocket::bind((SERVER, 53)).context("serve names")?;
    thread::spawn(move || {
        let mut bytes = [0; 512];
        while let Ok((length, from)) = socket.recv_from(&mut bytes) {
            let mut answer = bytes[..length].to_vec();
            // The question stays; QR, RD and RA are set (RFC 1035 §4.1.1).
            answer[2..4].copy_from_slice(&[0x81, 0x80]);
            if answer[12..].starts_with(b"\x04shop\x07example\x00\x00\x01") {
                answer[7] = 1;
                answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 127, 0, 0, 1]);
            } else {
                answer[3] |= 3;
            }
            drop(socket.send_to(&answer, from));
        }
    });
    Ok(())
}

/// Answers every request with 200, and passes on its head.
fn web_server() -> Result<(u16, mpsc::Receiver<String>)> {
    let listener = TcpListener::bind("127.0.0.1:0").context("serve pages")?;
    let port = listener.local_addr()?.port();
    let (tell, told) = mpsc::channel();
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let (mut head, mut byte) = (Vec::new(), [0]);
            while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|length| length == 1) {
                head.push(byte[0]);
            }
            drop(std::io::Write::write_all(&mut stream, b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"));
            drop(tell.send(String::from_utf8_lossy(&head).into_owned()));
        }
    });
    Ok((port, told))
}

pub(super) fn named(world: &World) -> Result<()> {
    // It may be a link to a file that is not there. The machine is this case's alone: nothing is put back.
    drop(fs::remove_file(RESOLV));
    fs::write(RESOLV, format!("nameserver {SERVER}\nsearch example\n"))?;
    let hosts = fs::read_to_string(HOSTS)?;
    fs::write(HOSTS, format!("{hosts}127.0.0.1\tbackroom till\n"))?;
    name_server()?;
    let (port, asked) = web_server()?;
    let easy = "periodSeconds: 2, timeoutSeconds: 30";
    let readiness = |action: &str| format!("      readinessProbe: {{{action}, {easy}}}\n");
    let sleep = "exec /work sleep";
    let containers = [
        shell("by-server", sleep, &readiness(&format!("httpGet: {{host: shop, port: {port}}}"))),
        shell("by-file", sleep, &readiness(&format!("tcpSocket: {{host: till, port: {port}}}"))),
        shell("unknown", sleep, &readiness(&format!("tcpSocket: {{host: nobody.example, port: {port}}}"))),
        shell(
            "hooked",
            sleep,
            &format!("      lifecycle: {{postStart: {{httpGet: {{host: nobody.example, port: {port}}}}}}}\n"),
        ),
    ];
    let pod = Pod::apply(world, "elsewhere", &manifest("elsewhere", "", &containers))?;
    for container in ["by-server", "by-file"] {
        world.wait_until(&format!("{container} is ready"), PATIENCE, || {
            let status = pod.container(container)?;
            ensure!(status["ready"] == true, "{status}");
            Ok(())
        })?;
    }
    let head = asked.recv_timeout(PATIENCE).context("nobody was asked")?;
    let host = format!("host: shop:{port}\r\n");
    let mut heads = std::iter::once(head).chain(asked.try_iter());
    ensure!(heads.any(|head| head.contains(&host)), "nobody asked for {host:?}");
    world.wait_until("the hook has failed for want of an address", PATIENCE, || {
        let events = world.carob_ok(&["events", "--for", "pod/elsewhere"])?;
        ensure!(events.contains("lookup nobody.example: no such host"), "{events}");
        Ok(())
    })?;
    let status = pod.container("unknown")?;
    ensure!(status["ready"] == false && status["restartCount"] == 0, "{status}");
    Ok(())
}
