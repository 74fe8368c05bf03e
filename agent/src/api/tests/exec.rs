//! Commands, over the socket: who is refused, and the way of the bytes.

use futures_util::{SinkExt, StreamExt};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{UnixStream, unix::pipe},
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

async fn scene() -> Scene {
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
        ("web/exec?command=a&stdout=1&tty=true&container=c", 400, "terminals are not supported yet"),
        ("web/exec?command=a&stdout=1&container=c", 400, "a WebSocket is needed"),
    ] {
        let (found, body) = scene.ask("GET", &format!("{PODS}/{path}"), "").await;
        let message = body["message"].as_str().unwrap_or_default();
        assert!(found == code && message.contains(expected), "{path}: {found} {body}");
    }
}

async fn connect(scene: &Scene, query: &str, protocols: &'static str) -> WebSocketStream<UnixStream> {
    let stream = UnixStream::connect(scene.dir.join("sock")).await.unwrap();
    let mut request = format!("ws://carob{PODS}/web/exec?{query}").into_client_request().unwrap();
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
    assert_eq!((id, argv), (attempt("web", "c", 1), vec!["cat".to_owned(), "-".to_owned()]));
    assert_eq!(socket.next().await.unwrap().unwrap(), Message::Binary(vec![1].into()), "it stands");
    for message in [&b"\0in"[..], b"\0", b"\0put", &[255, 0]] {
        socket.send(Message::Binary(message.to_vec().into())).await.unwrap();
    }
    let mut input = String::new();
    pipe::Receiver::from_owned_fd(ends.stdin.unwrap()).unwrap().read_to_string(&mut input).await.unwrap();
    assert_eq!(input, "input", "channel 255 ends it");
    pipe::Sender::from_owned_fd(ends.stdout).unwrap().write_all(b"out").await.unwrap();
    assert_eq!(socket.next().await.unwrap().unwrap(), Message::Binary(b"\x01out"[..].to_vec().into()));
    let mut stderr = pipe::Sender::from_owned_fd(ends.stderr).unwrap();
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
    assert!(ends.stdin.is_none(), "no input was asked for");
    drop(socket);
    reply.closed().await;
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
