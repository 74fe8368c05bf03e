//! Bytes that are no frames, on the connection of a command that runs: the connection ends, the command with it, and
//! nothing else.

use anyhow::{Context, Result, ensure};

use crate::{
    pods::{PATIENCE, Pod, one},
    stream::{Command, frame},
    world::World,
};

const POD: &str = "framed";

/// What is sent, and what it is.
fn rows() -> Vec<(&'static str, Vec<u8>)> {
    let huge = |length: u64| [&[0x82, 0xff], &length.to_be_bytes()[..], &[1, 2, 3, 4]].concat();
    vec![
        ("no frame at all", b"GET / HTTP/1.1\r\n\r\n".to_vec()),
        ("one that is not masked", vec![0x82, 2, 0, b'a']),
        ("one with reserved bits", frame(0xf2, b"\0a")),
        ("one of no known kind", frame(0x83, b"\0a")),
        ("the rest of a message that has not begun", frame(0x80, b"\0a")),
        ("a ping in two pieces", frame(0x09, b"a")),
        ("a ping that is too long", frame(0x89, &[b'a'; 126])),
        ("words that are no text", frame(0x81, &[0xff, 0xfe])),
        ("a close of one byte", frame(0x88, &[3])),
        ("one of all the bytes there are", huge(u64::MAX)),
        ("one of 1 GiB", huge(1 << 30)),
        ("a message without an end", [frame(0x02, b"\0"), frame(0x00, &[b'a'; 60_000]).repeat(20)].concat()),
    ]
}

pub(super) fn end_the_connection(world: &World) -> Result<()> {
    let pod = Pod::apply(world, POD, &one(POD, "sleep", "", ""))?;
    pod.await_running("main")?;
    let agent = world.agent_pid()?;
    for (what, bytes) in rows() {
        let ended = Command::begin(POD, &["cat"]).and_then(|mut command| {
            command.echo("before")?;
            // It may be gone before all is written.
            let _ = command.send(&bytes);
            command.await_end()
        });
        ended.with_context(|| format!("{what} is sent"))?;
    }
    let processes = || world.cgroup(&pod.cgroup_name("main", 0), "cgroup.procs");
    world.wait_until("no command is left", PATIENCE, || {
        let left = processes()?;
        ensure!(left.lines().count() == 1, "in the container run {left:?}");
        Ok(())
    })?;
    let mut command = Command::begin(POD, &["cat"])?;
    command.echo("after")?;
    command.close()?;
    ensure!(world.agent_pid()? == agent, "it is another agent");
    pod.delete()
}
