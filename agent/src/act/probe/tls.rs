//! Encryption without trust: a probe asks whether a container answers, not who it is. As with the kubelet the
//! certificate may be of anybody and for any name, only the handshake must be sound.

use std::sync::{Arc, LazyLock};

use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::{
    TlsConnector,
    client::TlsStream,
    rustls::{
        ClientConfig, DigitallySignedStruct, Error, InvalidMessage, SignatureScheme,
        client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature},
        pki_types::{CertificateDer, IpAddr, ServerName, UnixTime},
    },
};

use crate::pod::probe::Host;

/// One for all probes: making it is dear.
static CONNECTOR: LazyLock<Option<TlsConnector>> = LazyLock::new(connector);

/// Why there is no encrypted connection.
#[derive(Debug, thiserror::Error)]
pub(super) enum Fault {
    /// The other side does not speak TLS, but HTTP: a hook then goes on without.
    #[error("http: server gave HTTP response to HTTPS client")]
    Plain,
    #[error("remote error: tls: {0}")]
    Handshake(std::io::Error),
    #[error("tls: the host's name cannot be said to it")]
    Name,
    #[error("tls: this binary has no usable cipher")]
    NoCipher,
}

/// Encrypts a connection to `host`, which may serve several names by one address.
pub(super) async fn encrypted<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
    host: &Host,
) -> Result<TlsStream<S>, Fault> {
    let connector = CONNECTOR.as_ref().ok_or(Fault::NoCipher)?;
    let name = match host {
        Host::Address(address) => ServerName::IpAddress(IpAddr::from(*address)),
        Host::Name(name) => {
            ServerName::try_from(name.trim_end_matches('.').to_owned()).map_err(|_| Fault::Name)?
        }
    };
    connector
        .connect(name, stream)
        .await
        .map_err(|e| if is_plain(&e) { Fault::Plain } else { Fault::Handshake(e) })
}

/// What is no TLS record is, of a server that was asked for one, most likely an HTTP error.
fn is_plain(error: &std::io::Error) -> bool {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>());
    matches!(inner, Some(Error::InvalidMessage(InvalidMessage::InvalidContentType)))
}

fn connector() -> Option<TlsConnector> {
    let provider = Arc::new(ring::default_provider());
    let config =
        ClientConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions().ok()?;
    let config = config.dangerous().with_custom_certificate_verifier(Arc::new(Anybody(provider)));
    Some(TlsConnector::from(Arc::new(config.with_no_client_auth())))
}

/// Takes every certificate.
#[derive(Debug)]
struct Anybody(Arc<CryptoProvider>);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
