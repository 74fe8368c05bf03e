//! A log over a WebSocket (Kubernetes' `wsstream`): each piece is one message, as bytes or in base64.

use axum::{
    extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade, close_code},
    response::Response,
};
use base64::{Engine, prelude::BASE64_STANDARD};

use crate::api::piecewise::Output;

const BINARY: &str = "binary.k8s.io";
const BASE64: &str = "base64.binary.k8s.io";

/// A client that offers no subprotocol gets bytes.
pub(super) fn answer(upgrade: WebSocketUpgrade, output: Output) -> Response {
    let upgrade = upgrade.protocols([BINARY, BASE64]);
    let is_text = upgrade.selected_protocol().is_some_and(|protocol| protocol == BASE64);
    upgrade.on_upgrade(move |socket| send(socket, output, is_text))
}

/// Until the log ends or the client goes.
async fn send(mut socket: WebSocket, mut output: Output, is_text: bool) {
    loop {
        let piece = tokio::select! {
            piece = output.next() => piece,
            heard = socket.recv() => match heard {
                None | Some(Err(_) | Ok(Message::Close(_))) => return,
                Some(Ok(_)) => continue,
            },
        };
        let Some(Ok(bytes)) = piece else { break };
        let message = match is_text {
            true => Message::Text(BASE64_STANDARD.encode(bytes).into()),
            false => Message::Binary(bytes),
        };
        if socket.send(message).await.is_err() {
            return;
        }
    }
    let normal = CloseFrame { code: close_code::NORMAL, reason: "".into() };
    // A client that has gone misses nothing it asked for.
    drop(socket.send(Message::Close(Some(normal))).await);
}
