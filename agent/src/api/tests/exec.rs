//! Commands, over the socket: who is refused, and the way of the bytes.

use std::{io::IoSlice, mem::MaybeUninit, os::fd::AsFd};

use futures_util::{SinkExt, StreamExt};
use rustix::{
    net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg},
    pty::{OpenptFlags, ioctl_tiocgptpeer, openpt, unlockpt},
    termios::tcgetwinsize,
};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream, UnixStream, unix::pipe},
    sync::mpsc,
};
use tokio_tungstenite::{
    WebSocketStream, client_async,
    tungstenite::{Message, client::IntoClientRequest},
};

use super::{
    PODS,
    scene::{Scene, attempt, ended, object, running, status},
};
use crate::{
    api::*,
    pod::{status::ContainerState, verdict::Cause},
};

pub(super) async fn scene() -> Scene {
    let scene = Scene::new();
    let waiting = ContainerState::Waiting { reason: "CrashLoopBackOff", message: None };
    let over = ContainerState::Terminated(ended(attempt("web", "e", 0), Some(1), None, Cause::Error));
    let containers = vec![
        status("c", running(attempt("web", "c", 1)), None),
        status("d", waiting, None),
        status("e", over, None),
    ];
    scene.put(&object("web", &["c", "d", "e"]), containers).await;
    scene
}

#[tokio::test]
async fn who_cannot_be_served_is_told_why() {
    let scene = scene().await;
    for (path, code, expected) in [
        ("gone/exec?command=a&stdout=1", 404, "pods \"gone\" not found"),
        ("web/exec?command=a&stdout=1", 400, "a container name must be specified for pod web"),
        ("web/exec?command=a&stdout=1&container=x", 400, "container x is not valid for pod web"),
        ("web/exec?command=a&stdout=1&container=d", 400, "waiting to start: CrashLoopBackOff"),
        ("web/exec?command=a&stdout=1&container=e", 400, "container not found (\"e\"): it has ended"),
        ("web/exec?stdout=1&container=c", 400, "at least one command"),
        ("web/exec?command=a&stdout=1&stderr=1&tty=true&container=c", 400, "tty and stderr cannot both"),
        ("web/exec?command=a&stdout=1&container=c", 400, "a WebSocket is needed"),
        ("web/attach?container=c", 400, "at least one of stdin, stdout, stderr"),
        ("web/attach?container=c&stdin=1", 400, "its spec does not say stdin: true"),
        ("web/attach?container=c&stdout=1&tty=1", 400, "its spec does not say tty: true"),
        ("web/attach?container=c&stdout=1", 400, "a WebSocket is needed"),
        ("web/portforward", 400, "\"ports\" is required"),
        ("web/portforward?ports=http", 400, "\"http\" is no port"),
        ("web/portforward?ports=80", 400, "SPDY is not supported yet"),
        ("gone/portforward?ports=80", 404, "pods \"gone\" not found"),
    ] {
        let (found, body) = scene.ask("GET", &format!("{PODS}/{path}"), "").await;
        let message = body["message"].as_str().unwrap_or_default();
        assert!(found == code && message.contains(expected), "{path}: {found} {body}");
    }
}

async fn connect(scene: &Scene, query: &str, protocols: &'static str) -> WebSocketStream<UnixStream> {
    open(scene, &format!("exec?{query}"), protocols).await
}

async fn open(scene: &Scene, path: &str, protocols: &'static str) -> WebSocketStream<UnixStream> {
    let stream = UnixStream::connect(scene.dir.join("sock")).await.unwrap();
    let mut request = format!("ws://carob{PODS}/web/{path}").into_client_request().unwrap();
    request.headers_mut().insert("sec-websocket-protocol", protocols.parse().unwrap());
    let (socket, answer) = client_async(request, stream).await.unwrap();
    let chosen = answer.headers()["sec-websocket-protocol"].to_str().unwrap();
    assert_eq!(Some(chosen), protocols.split(", ").last(), "the best of those offered");
    socket
}

#[tokio::test]
async fn bytes_go_both_ways_and_the_code_comes_last() {
    let mut scene = scene().await;
    let query = "container=c&command=cat&command=-&stdin=true&stdout=true&stderr=true";
    let mut socket = connect(&scene, query, "v4.channel.k8s.io, v5.channel.k8s.io").await;
    let Some(ExecRequest::Stream { id, argv, ends, reply }) = scene.exec.recv().await else { panic!() };
    let Ends::Pipes { stdin, stdout, stderr } = ends else { panic!() };
    assert_eq!((id, argv), (attempt("web", "c", 1), vec!["cat".to_owned(), "-".to_owned()]));
    assert_eq!(socket.next().await.unwrap().unwrap(), Message::Binary(vec![1].into()), "it stands");
    for message in [&b"\0in"[..], b"\0", b"\0put", &[255, 0]] {
        socket.send(Message::Binary(message.to_vec().into())).await.unwrap();
    }
    let mut input = String::new();
    pipe::Receiver::from_owned_fd(stdin.unwrap()).unwrap().read_to_string(&mut input).await.unwrap();
    assert_eq!(input, "input", "channel 255 ends it");
    pipe::Sender::from_owned_fd(stdout).unwrap().write_all(b"out").await.unwrap();
    assert_eq!(socket.next().await.unwrap().unwrap(), Message::Binary(b"\x01out"[..].to_vec().into()));
    let mut stderr = pipe::Sender::from_owned_fd(stderr).unwrap();
    stderr.write_all(b"err").await.unwrap();
    reply.send(Ok(7)).unwrap();
    assert_eq!(socket.next().await.unwrap().unwrap(), Message::Binary(b"\x02err"[..].to_vec().into()));
    let Message::Binary(last) = socket.next().await.unwrap().unwrap() else { panic!() };
    let last: serde_json::Value = serde_json::from_slice(last.strip_prefix(&[3]).unwrap()).unwrap();
    assert_eq!(last["details"], json!({"causes": [{"reason": "ExitCode", "message": "7"}]}), "{last}");
    drop(stderr);
    assert!(matches!(socket.next().await, Some(Ok(Message::Close(_)))), "then it closes");
}

#[tokio::test]
async fn a_client_that_goes_is_waited_for_no_more() {
    let mut scene = scene().await;
    let socket = connect(&scene, "container=c&command=a&stdout=true", "v4.channel.k8s.io").await;
    let Some(ExecRequest::Stream { ends, mut reply, .. }) = scene.exec.recv().await else { panic!() };
    assert!(matches!(ends, Ends::Pipes { stdin: None, .. }), "no input was asked for");
    drop(socket);
    reply.closed().await;
}

async fn said(socket: &mut WebSocketStream<UnixStream>) -> Vec<u8> {
    match socket.next().await {
        Some(Ok(Message::Binary(bytes))) => bytes.to_vec(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_terminal_is_typed_to_and_has_a_size() {
    let mut scene = scene().await;
    let query = "container=c&command=sh&stdin=true&stdout=true&tty=true";
    let mut socket = connect(&scene, query, "v4.channel.k8s.io").await;
    let Some(ExecRequest::Stream { ends: Ends::Terminal { console }, reply, .. }) = scene.exec.recv().await
    else {
        panic!()
    };
    assert_eq!(said(&mut socket).await, [1], "it stands");
    let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    unlockpt(&master).unwrap();
    let end = ioctl_tiocgptpeer(&master, OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    let mut room = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut room);
    let passed = [master.as_fd()];
    control.push(SendAncillaryMessage::ScmRights(&passed));
    sendmsg(&console, &[IoSlice::new(b"t")], &mut control, SendFlags::empty()).unwrap();
    let size = b"\x04{\"Width\":100,\"Height\":30}";
    for message in [&size[..], b"\0one\n"] {
        socket.send(Message::Binary(message.to_vec().into())).await.unwrap();
    }
    let mut echoed = Vec::new();
    while echoed != b"one\r\n" {
        echoed.extend_from_slice(&said(&mut socket).await[1..]);
    }
    let found = tcgetwinsize(&end).unwrap();
    assert_eq!((found.ws_col, found.ws_row), (100, 30), "it was set before what was typed later");
    let mut typed = [0; 16];
    assert_eq!(rustix::io::read(&end, &mut typed[..]).unwrap(), 4);
    rustix::io::write(&end, b"last").unwrap();
    reply.send(Ok(0)).unwrap();
    assert_eq!(said(&mut socket).await, b"\x01last");
    assert!(said(&mut socket).await.starts_with(b"\x03"), "the status comes last");
}

#[tokio::test]
async fn whoever_attaches_hears_the_container_to_its_end() {
    let mut scene = Scene::new();
    let mut pod = object("web", &["c"]);
    pod["spec"]["containers"][0]["stdin"] = json!(true);
    pod["spec"]["containers"][0]["stdinOnce"] = json!(true);
    scene.put(&pod, vec![status("c", running(attempt("web", "c", 1)), None)]).await;
    let path = "attach?container=c&stdin=1&stdout=1&stderr=1";
    let mut socket = open(&scene, path, "v4.channel.k8s.io, v5.channel.k8s.io").await;
    let Some(ExecRequest::Attach { id, reply }) = scene.exec.recv().await else { panic!() };
    assert_eq!(id, attempt("web", "c", 1));
    let (sender, output) = mpsc::channel(4);
    let (mut ours, theirs) = io::pipe().unwrap();
    reply.send(Ok(Hand { output, input: Some(theirs.into()) })).unwrap();
    assert_eq!(said(&mut socket).await, [1], "it stands");
    sender.send((false, b"out".to_vec().into())).await.unwrap();
    sender.send((true, b"err".to_vec().into())).await.unwrap();
    assert_eq!(said(&mut socket).await, b"\x01out");
    assert_eq!(said(&mut socket).await, b"\x02err");
    socket.send(Message::Binary(b"\0in".to_vec().into())).await.unwrap();
    let mut typed = [0; 2];
    tokio::task::spawn_blocking(move || {
        io::Read::read_exact(&mut ours, &mut typed).unwrap();
        assert_eq!(&typed, b"in");
    })
    .await
    .unwrap();
    socket.send(Message::Binary(vec![255, 0].into())).await.unwrap();
    let Some(ExecRequest::EndInput { id }) = scene.exec.recv().await else { panic!() };
    assert_eq!(id, attempt("web", "c", 1), "nobody else gets to it");
    drop(sender);
    let last = said(&mut socket).await;
    assert_eq!(last[0], 3);
    assert!(String::from_utf8_lossy(&last).contains("Success"), "{last:?}");
}

#[tokio::test]
async fn ports_are_carried_side_by_side() {
    let mut scene = scene().await;
    let mut socket = open(&scene, "portforward?ports=80&ports=81", "v4.channel.k8s.io").await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut doors = Vec::new();
    for _ in 0..2 {
        let Some(ExecRequest::Dial { pod, port, reply }) = scene.exec.recv().await else { panic!() };
        assert_eq!(pod.0, "uid-web");
        doors.push((port, reply));
    }
    doors.sort_by_key(|(port, _)| *port);
    let mut heads: Vec<_> = Vec::new();
    for _ in 0..4 {
        heads.push(said(&mut socket).await);
    }
    heads.sort();
    assert_eq!(heads, [[0, 80, 0], [1, 80, 0], [2, 81, 0], [3, 81, 0]]);
    let (_, refused) = doors.pop().unwrap();
    refused.send(Err(ExecFault::Failed("connection refused".to_owned()))).unwrap();
    assert_eq!(said(&mut socket).await, b"\x03error forwarding port 81: connection refused");
    let (_, reply) = doors.pop().unwrap();
    reply.send(Ok(TcpStream::connect(listener.local_addr().unwrap()).await.unwrap())).unwrap();
    let (mut pod, _) = listener.accept().await.unwrap();
    for message in [&b"\0hello"[..], b"", b"\x02lost", b"\xfe"] {
        socket.send(Message::Binary(message.to_vec().into())).await.unwrap();
    }
    let mut heard = [0; 5];
    pod.read_exact(&mut heard).await.unwrap();
    assert_eq!(&heard, b"hello");
    pod.write_all(b"bye").await.unwrap();
    drop(pod);
    assert_eq!(said(&mut socket).await, b"\0bye");
    assert!(matches!(socket.next().await, Some(Ok(Message::Close(_)))), "no port has more to say");
}

#[tokio::test]
async fn a_script_is_answered_in_one_piece() {
    let mut scene = scene().await;
    let (_, nobody) = mpsc::channel(1);
    let mut commands = std::mem::replace(&mut scene.exec, nobody);
    let unable = || ExecFault::Unable { code: 127, message: "no".to_owned() };
    let rows = [
        (Ok((3, b"both".to_vec())), 200, json!({"code": 3, "output": "both"})),
        (Err(unable()), 200, json!({"code": 127, "output": "", "message": "no"})),
        (Err(ExecFault::TimedOut("late".to_owned())), 504, json!("late")),
    ];
    for (answer, code, expected) in rows {
        let path = "/carob/v1/exec/default/web?container=c&command=a&timeoutSeconds=5";
        let asked = scene.ask("POST", path, "");
        let answered = async {
            let Some(ExecRequest::Collect { limit, reply, .. }) = commands.recv().await else { panic!() };
            assert_eq!(limit, Some(Duration::from_secs(5)));
            reply.send(answer).unwrap();
        };
        let ((found, body), ()) = tokio::join!(asked, answered);
        assert_eq!(found, code, "{body}");
        assert!(body == expected || body["message"] == expected, "{body}");
    }
}

#[tokio::test]
async fn a_log_goes_over_a_websocket_too() {
    let scene = scene().await;
    scene.write_log("web", &attempt("web", "c", 1), "2026-11-23T10:00:01.000000000Z stdout F hello\n");
    for (protocols, expected) in [
        ("base64.binary.k8s.io, binary.k8s.io", Message::binary("hello\n")),
        ("base64.binary.k8s.io", Message::text("aGVsbG8K")),
    ] {
        let mut socket = open(&scene, "log?container=c", protocols).await;
        assert_eq!(socket.next().await.unwrap().unwrap(), expected);
        assert!(socket.next().await.unwrap().unwrap().is_close(), "it has an end");
    }
}
