//! Who comes by the TLS listener: places, handshakes and their limits, and what a request must bring to be heard.

use std::{
    convert::Infallible,
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use axum::{
    Router,
    http::{
        HeaderMap, HeaderValue, Request,
        header::{CONNECTION, HOST, ORIGIN, UPGRADE},
    },
    response::{IntoResponse, Response},
};
use hyper::{
    body::Incoming,
    server::conn::http1,
    service::{Service, service_fn},
};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{sleep, timeout},
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

use super::{Door, connection::Placed, few, identity::Speaker, patient::Patient, tls};
use crate::{
    api::refusal::Refusal,
    picture::refusals::{Refusals, Turned},
    pki,
};

/// Connections of those who are known.
const KNOWN: usize = few::PLACES;
/// Of those who have still to say who they are, and of those who never will.
const UNKNOWN: usize = 64;
/// For a handshake, and for the first request of who remains unknown.
const PATIENCE: Duration = Duration::from_secs(10);
/// For the head of a request, between two requests, and before the first of a body has to be there.
const IDLE: Duration = Duration::from_secs(60);
/// Bytes of a request's head: kubectl's have less than 1000.
const HEAD: usize = 16 << 10;
const HEAD_LINES: usize = 64;
/// Bytes on their way in or out of one connection, beside the head.
const BUFFER: usize = 64 << 10;
/// When descriptors are used up, the next accept would fail as well.
const BREATH: Duration = Duration::from_millis(100);
/// As Go's server says it.
const PLAIN_ANSWER: &[u8] = b"HTTP/1.0 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\n\
Connection: close\r\n\r\nClient sent an HTTP request to an HTTPS server.\n";

/// Serves whoever can say who they are. Ends only with the runtime.
pub(super) async fn serve(door: Arc<Door>, refusals: Arc<Refusals>, router: Router, listener: TcpListener) {
    let unknown = Arc::new(Semaphore::new(UNKNOWN));
    let visit = Arc::new(Visit { door, refusals, router, known: Arc::new(Semaphore::new(KNOWN)) });
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(e) => {
                tracing::warn!(error = %e, "a connection cannot be accepted");
                sleep(BREATH).await;
                continue;
            }
        };
        let Ok(place) = unknown.clone().try_acquire_owned() else {
            visit.refusals.count(Turned::Crowd);
            continue;
        };
        let visit = visit.clone();
        tokio::spawn(async move {
            if let Err(why) = visit.receive(stream, place).await {
                visit.refusals.count(why);
            }
        });
    }
}

/// What all connections are judged by.
struct Visit {
    door: Arc<Door>,
    refusals: Arc<Refusals>,
    router: Router,
    known: Arc<Semaphore>,
}

impl Visit {
    /// One connection to its end, in a place among the unknown until it is known.
    async fn receive(&self, stream: TcpStream, place: OwnedSemaphorePermit) -> Result<(), Turned> {
        let stream = timeout(PATIENCE, self.greet(stream)).await.map_err(|_| Turned::Slow)??;
        let speaker = speaker(&stream);
        let place = match speaker {
            Some(_) => {
                drop(place);
                self.known.clone().try_acquire_owned().map_err(|_| Turned::Crowd)?
            }
            None => place,
        };
        self.serve(Placed::new(stream, place, &self.door.ends), speaker).await
    }

    /// The handshake.
    async fn greet(&self, mut stream: TcpStream) -> Result<TlsStream<TcpStream>, Turned> {
        let mut first = [0];
        match stream.peek(&mut first).await {
            Ok(1) if first[0] == tls::HANDSHAKE => {}
            Ok(1) if first[0].is_ascii_alphabetic() => {
                explain(&mut stream).await;
                return Err(Turned::PlainHttp);
            }
            _ => return Err(Turned::Handshake),
        }
        let tls = self.door.tls().map_err(|e| {
            tracing::error!(error = &e as &dyn std::error::Error, "the box has no certificate to show");
            Turned::Handshake
        })?;
        TlsAcceptor::from(tls).accept(stream).await.map_err(|fault| tls::why(&fault))
    }

    /// Requests, until there are no more.
    async fn serve(
        &self,
        stream: Placed<TlsStream<TcpStream>>,
        speaker: Option<Speaker>,
    ) -> Result<(), Turned> {
        let patience = if speaker.is_some() { IDLE } else { PATIENCE };
        let heard = AtomicBool::new(false);
        let router = TowerToHyperService::new(self.router.clone());
        let answer = service_fn(|mut request: Request<Incoming>| {
            heard.store(true, Ordering::Relaxed);
            let admitted = self.admit(&request, speaker.as_ref());
            let (router, refusals) = (router.clone(), self.refusals.clone());
            async move {
                match admitted {
                    Err(refusal) => Ok::<_, Infallible>(last(refusal)),
                    Ok(speaker) => {
                        request.extensions_mut().insert(speaker);
                        router.call(request.map(|body| Patient::new(body, IDLE, refusals))).await
                    }
                }
            }
        });
        let mut connection = http1::Builder::new();
        connection.timer(TokioTimer::new()).header_read_timeout(patience);
        connection.max_header_size(HEAD).max_headers(HEAD_LINES).max_buf_size(BUFFER);
        match connection.serve_connection(TokioIo::new(stream), answer).with_upgrades().await {
            Err(fault) if fault.is_parse_too_large() => Err(Turned::LongHead),
            // Later it is but a connection that is no longer used.
            Err(fault) if fault.is_timeout() && !heard.load(Ordering::Relaxed) => Err(Turned::Slow),
            _ => Ok(()),
        }
    }

    /// Whether a request is for this box, from a program, and of somebody who is known.
    fn admit(&self, request: &Request<Incoming>, speaker: Option<&Speaker>) -> Result<Speaker, Refusal> {
        let turned = |why: Turned, refusal: Refusal| {
            self.refusals.count(why);
            refusal
        };
        let headers = request.headers();
        if headers.contains_key(ORIGIN) && !is_own_stream(headers) {
            let message = "requests of web pages are refused: there is an Origin header";
            return Err(turned(Turned::Origin, Refusal::unwelcome(message)));
        }
        // One, and the same in both places.
        let mut hosts = headers.get_all(HOST).iter().map(HeaderValue::to_str).collect::<Vec<_>>();
        hosts.extend(request.uri().authority().map(|authority| Ok(authority.as_str())));
        let ours = |host: &Result<&str, _>| host.as_ref().is_ok_and(|host| self.door.names.contain(host));
        if hosts.is_empty() || headers.get_all(HOST).iter().count() > 1 || !hosts.iter().all(ours) {
            let message = "the request is for another host: this box goes by the names in its certificate";
            return Err(turned(Turned::Host, Refusal::unwelcome(message)));
        }
        speaker.cloned().ok_or_else(|| turned(Turned::Nameless, Refusal::unauthorized()))
    }
}

/// Whether it asks for a WebSocket and says that it comes from this very server, as Python's client does. No page comes
/// from here, so no browser says that.
fn is_own_stream(headers: &HeaderMap) -> bool {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let is_stream = text(UPGRADE).eq_ignore_ascii_case("websocket");
    is_stream && text(ORIGIN).strip_prefix("https://") == Some(text(HOST))
}

/// Whom the certificate is for that the handshake has verified.
fn speaker(stream: &TlsStream<TcpStream>) -> Option<Speaker> {
    let certificate = stream.get_ref().1.peer_certificates()?.first()?;
    Speaker::of_certificate(pki::subject(certificate)?)
}

/// An answer after which there is no other on its connection.
fn last(refusal: Refusal) -> Response {
    let mut response = refusal.into_response();
    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    response
}

/// Tells who speaks HTTP that this is no place for it. What it sent is taken first: a connection that is closed with
/// something unread is reset, and the answer lost.
async fn explain(stream: &mut TcpStream) {
    let mut sent = [0; HEAD];
    let answered: io::Result<()> = async {
        let _some = stream.read(&mut sent).await?;
        stream.write_all(PLAIN_ANSWER).await?;
        stream.shutdown().await
    }
    .await;
    // Nobody is there any more to be told.
    drop(answered);
}
