//! The way in: who speaks, whether they may, and a line for each change. What is asked for is the router's business.
//!
//! ```text
//! socket  peer's uid ──────────────────────────────┐
//! TLS     place ─► handshake ─► Origin, Host ─► certificate ─► Speaker ─► access ─► router ─► audit
//! ```
//! Whoever is turned away is counted, by the reason.

mod access;
mod asked;
mod audit;
mod connection;
mod credentials;
mod few;
mod identity;
mod names;
mod network;
mod patient;
mod review;
mod tls;
mod visit;

use std::{io, sync::Arc};

use axum::{
    Extension, Router,
    extract::{ConnectInfo, Request, State, connect_info::Connected},
    http::StatusCode,
    middleware::{Next, from_fn_with_state},
    response::{IntoResponse, Response},
    routing::post,
    serve::IncomingStream,
};
use tokio::net::{TcpListener, UnixListener};

pub(crate) use self::network::Door;
use self::{
    asked::Asked,
    few::{Few, PLACES},
    identity::Speaker,
};
use super::{Api, refusal::Refusal};
use crate::picture::refusals::{Refusals, Turned};

/// Credentials, and Kubernetes' questions about oneself.
pub(super) fn routes() -> Router<Arc<Api>> {
    let reviews = "/apis/authorization.k8s.io/v1";
    Router::new()
        .route(credentials::PATH, post(credentials::grant).delete(credentials::disown))
        .route(&format!("{reviews}/selfsubjectaccessreviews"), post(review::access))
        .route(&format!("{reviews}/selfsubjectrulesreviews"), post(review::rules))
        .route("/apis/authentication.k8s.io/v1/selfsubjectreviews", post(review::identity))
}

/// Serves root and the agent's own user on the socket. Ends only with the runtime.
pub(super) async fn serve_socket(
    router: Router,
    refusals: Arc<Refusals>,
    listener: UnixListener,
) -> io::Result<()> {
    let listener = Few::new(listener, PLACES, refusals.clone());
    let service = guarded(router, &refusals).layer(from_fn_with_state(refusals, admit_peer));
    axum::serve(listener, service.into_make_service_with_connect_info::<Peer>()).await
}

/// Serves whoever has a certificate of this box's. Ends only with the runtime.
pub(super) async fn serve_network(
    router: Router,
    refusals: Arc<Refusals>,
    door: Arc<Door>,
    listener: TcpListener,
) {
    let router = guarded(router, &refusals);
    visit::serve(door, refusals, router, listener).await;
}

/// Lets those pass who may do what they ask for. Somebody else has said who they are.
fn guarded(router: Router, refusals: &Arc<Refusals>) -> Router {
    router.layer(from_fn_with_state(refusals.clone(), pass))
}

async fn pass(
    State(refusals): State<Arc<Refusals>>,
    Extension(speaker): Extension<Speaker>,
    request: Request,
    next: Next,
) -> Response {
    let asked = Asked::of(request.method(), request.uri());
    let response = if access::may(speaker.standing, &asked) {
        next.run(request).await
    } else {
        refusals.count(Turned::Forbidden);
        Refusal::not_allowed(asked.denied(), &access::denial(&speaker, &asked)).into_response()
    };
    if response.status() == StatusCode::PAYLOAD_TOO_LARGE {
        refusals.count(Turned::LargeBody);
    }
    if audit::is_change(&asked) {
        audit::write(&speaker, &asked, response.status());
    }
    response
}

/// The user at the other end of the socket, as the kernel tells it.
#[derive(Clone, Copy, Debug)]
struct Peer {
    uid: Option<u32>,
}

impl Connected<IncomingStream<'_, Few>> for Peer {
    fn connect_info(stream: IncomingStream<'_, Few>) -> Self {
        Self { uid: stream.io().stream().peer_cred().ok().map(|peer| peer.uid()) }
    }
}

/// The socket's mode keeps others out already; a mode can be changed by mistake, this cannot.
async fn admit_peer(
    State(refusals): State<Arc<Refusals>>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    mut request: Request,
    next: Next,
) -> Response {
    let Some(speaker) = Speaker::on_socket(peer.uid, rustix::process::geteuid().as_raw()) else {
        refusals.count(Turned::Stranger);
        return Refusal::stranger(peer.uid).into_response();
    };
    request.extensions_mut().insert(speaker);
    next.run(request).await
}
