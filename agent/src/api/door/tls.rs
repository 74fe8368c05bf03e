//! The handshake: TLS 1.3 and HTTP/1.1, with what the box shows of itself and whom it believes. Says in one word why a
//! handshake came to nothing.

use std::{io, sync::Arc, time::Duration};

use jiff::Timestamp;
use tokio_rustls::rustls::{
    CertificateError, Error, RootCertStore, ServerConfig, crypto,
    pki_types::UnixTime,
    server::{NoServerSessionStorage, VerifierBuilderError, WebPkiClientVerifier},
    time_provider::TimeProvider,
    version::TLS13,
};

use crate::{
    picture::refusals::Turned,
    pki::{Authorities, Shown},
};

/// Why nobody can come in.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Fault {
    #[error("the box's certificate cannot be used")]
    Server(#[source] Error),
    #[error("the authority of clients cannot be used")]
    Clients(#[source] VerifierBuilderError),
}

/// A first byte that begins a handshake (RFC 8446, 5.1: the content type).
pub(super) const HANDSHAKE: u8 = 22;

pub(super) fn terms(
    shown: Shown,
    authorities: &Authorities,
    clock: fn() -> Timestamp,
) -> Result<ServerConfig, Fault> {
    let provider = Arc::new(crypto::ring::default_provider());
    let mut roots = RootCertStore::empty();
    roots.add(authorities.of_clients().clone()).map_err(Fault::Server)?;
    let clients = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone());
    // Who has no certificate is told so in HTTP, which clients show to their users.
    let clients = clients.allow_unauthenticated().build().map_err(Fault::Clients)?;
    let terms = ServerConfig::builder_with_details(provider, Arc::new(Clock(clock)));
    let terms = terms.with_protocol_versions(&[&TLS13]).map_err(Fault::Server)?;
    let terms = terms.with_client_cert_verifier(clients);
    let mut terms =
        terms.with_single_cert(vec![shown.certificate], shown.key.into()).map_err(Fault::Server)?;
    terms.alpn_protocols = vec![b"http/1.1".to_vec()];
    // A session that is taken up again would not be asked for its certificate again.
    terms.session_storage = Arc::new(NoServerSessionStorage {});
    terms.send_tls13_tickets = 0;
    Ok(terms)
}

/// When a certificate is looked at.
#[derive(Debug)]
struct Clock(fn() -> Timestamp);

impl TimeProvider for Clock {
    fn current_time(&self) -> Option<UnixTime> {
        let seconds = (self.0)().as_second().try_into().ok()?;
        Some(UnixTime::since_unix_epoch(Duration::from_secs(seconds)))
    }
}

/// What a failed handshake says of the client.
pub(super) fn why(fault: &io::Error) -> Turned {
    let inner = fault.get_ref().and_then(|inner| inner.downcast_ref::<Error>());
    let Some(Error::InvalidCertificate(fault)) = inner else { return Turned::Handshake };
    match fault {
        CertificateError::UnknownIssuer | CertificateError::BadSignature => Turned::UnknownAuthority,
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => Turned::Expired,
        _ => Turned::Handshake,
    }
}
