//! What a client may send once its connection carries a command: frames that are well made come through to the command as
//! they are, and anything else ends the connection. `cargo xtask fuzz` lets it run for a minute.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{UnixStream, unix::pipe},
    runtime::Runtime,
    time::timeout,
};

use super::{PODS, exec::scene, scene::Scene};
use crate::api::*;

/// Nothing here waits for anything but this machine.
const PATIENCE: Duration = Duration::from_secs(20);
const MASK: [u8; 4] = [1, 2, 3, 4];

/// A message: its channel, its bytes, and how it comes; then bytes that nobody has made well.
type Sent = (Vec<(u8, Vec<u8>, u8)>, Vec<u8>);

/// A frame as RFC 6455 has it (5.2), of a client.
fn frame(first: u8, bytes: &[u8]) -> Vec<u8> {
    let length = match bytes.len() {
        short @ 0..126 => vec![0x80 | short as u8],
        long => [&[0x80 | 126], &(long as u16).to_be_bytes()[..]].concat(),
    };
    let masked = bytes.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask);
    [first].into_iter().chain(length).chain(MASK).chain(masked).collect()
}

/// One message in one frame or in two, with something between them that is none of the command's business.
fn frames(message: &[u8], how: u8) -> Vec<u8> {
    let (head, tail) = message.split_at(usize::from(how >> 2).min(message.len()));
    let between = match how & 3 {
        0 => return frame(0x82, message),
        1 => Vec::new(),
        2 => frame(0x89, b"still there?"),
        _ => frame(0x8a, b""),
    };
    [frame(0x02, head), between, frame(0x80, tail)].concat()
}

/// The channel that a number stands for: mostly one that means something.
fn channel(number: u8) -> u8 {
    match number {
        0..=150 => 0,
        151..=180 => 4,
        181..=200 => 255,
        other => other,
    }
}

/// What the command is to read of it.
fn input(messages: &[Vec<u8>]) -> Vec<u8> {
    let open = messages.iter().take_while(|message| message[..] != [255, 0]);
    open.filter_map(|message| message.strip_prefix(&[0])).flatten().copied().collect()
}

async fn upgraded(scene: &Scene) -> UnixStream {
    let mut stream = UnixStream::connect(scene.dir.join("sock")).await.unwrap();
    let request = format!(
        "GET {PODS}/web/exec?container=c&command=cat&stdin=true&stdout=true HTTP/1.1\r\nHost: carob\r\n\
         Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Protocol: v5.channel.k8s.io\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    // The answer's head, and the empty message on channel 1: from here on the command's end is listened to.
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n\x82\x01\x01") {
        answer.push(stream.read_u8().await.unwrap());
    }
    stream
}

async fn try_one(scene: &mut Scene, (sent, noise): &Sent) {
    let messages: Vec<Vec<u8>> =
        sent.iter().map(|(number, bytes, _)| [&[channel(*number)], &bytes[..]].concat()).collect();
    let mut stream = upgraded(scene).await;
    let Some(ExecRequest::Stream { ends, mut reply, .. }) = scene.exec.recv().await else { panic!() };
    let Ends::Pipes { stdin, stdout: _stdout, stderr: _stderr } = ends else { panic!() };
    let bytes = messages.iter().zip(sent).flat_map(|(message, (_, _, how))| frames(message, *how));
    stream.write_all(&bytes.chain(noise.iter().copied()).collect::<Vec<_>>()).await.unwrap();
    stream.shutdown().await.unwrap();
    let (mut read, expected) = (Vec::new(), input(&messages));
    pipe::Receiver::from_owned_fd(stdin.unwrap()).unwrap().read_to_end(&mut read).await.unwrap();
    // Noise may happen to be a frame.
    let right = if noise.is_empty() { read == expected } else { read.starts_with(&expected) };
    assert!(right, "{messages:?} and {noise:?}: {read:?}");
    reply.closed().await;
}

#[test]
fn fuzz_frames_of_commands() {
    let runtime = Runtime::new().unwrap();
    let scene = Mutex::new(runtime.block_on(scene()));
    bolero::check!().with_type::<Sent>().for_each(|sent| {
        let mut scene = scene.lock().unwrap_or_else(PoisonError::into_inner);
        let done = runtime.block_on(async { timeout(PATIENCE, try_one(&mut scene, sent)).await });
        done.unwrap_or_else(|_| panic!("the command is not let go: {sent:?}"));
    });
}
