//! Encrypted connections from this side: to whoever answers, or only to who can prove to be the host.
#![expect(clippy::disallowed_methods, reason = "reads certificates")]

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::{Arc, LazyLock},
};

use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::{
    TlsConnector,
    client::TlsStream,
    rustls::{
        ClientConfig, ConfigBuilder, DigitallySignedStruct, Error, InvalidMessage, RootCertStore,
        SignatureScheme, WantsVerifier,
        client::{
            WantsClientCert,
            danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        },
        crypto::{self, CryptoProvider, verify_tls12_signature, verify_tls13_signature},
        pki_types::{CertificateDer, IpAddr, ServerName, UnixTime, pem::PemObject},
    },
};

use crate::pod::probe::Host;

/// One for all who do not ask for a name: making it is dear.
static ANYBODY: LazyLock<Option<Encryption>> = LazyLock::new(|| Encryption::with_anybody().ok());

/// Where distributions keep the authorities that they trust: Debian and Alpine, Fedora, openSUSE, others.
const AUTHORITIES: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// Why there is no encrypted connection.
#[derive(Debug, thiserror::Error)]
pub(super) enum Fault {
    /// The other side does not speak TLS, but HTTP: a hook then goes on without.
    #[error("http: server gave HTTP response to HTTPS client")]
    Plain,
    #[error("remote error: tls: {0}")]
    Handshake(io::Error),
    #[error("tls: the host's name cannot be said to it")]
    Name,
    #[error("tls: this binary has no usable cipher")]
    NoCipher,
    #[error("tls: no certificate can be read from {}", path.display())]
    Authority {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
}

/// Encrypts a connection to `host`, which may serve several names by one address, whoever it turns out to be.
pub(super) async fn encrypted<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
    host: &Host,
) -> Result<TlsStream<S>, Fault> {
    ANYBODY.as_ref().ok_or(Fault::NoCipher)?.encrypt(stream, host).await
}

/// How connections are encrypted, and who is believed.
#[derive(Clone)]
pub(super) struct Encryption(TlsConnector);

impl Encryption {
    /// As with the kubelet's probes the certificate may be of anybody and for any name: only the handshake must be sound.
    pub(super) fn with_anybody() -> Result<Self, Fault> {
        Self::new(|config, provider| {
            config.dangerous().with_custom_certificate_verifier(Arc::new(Anybody(provider)))
        })
    }

    /// Whoever is vouched for by one of the box's authorities, or by one of `more`.
    pub(super) fn with_known(more: Option<&Path>) -> Result<Self, Fault> {
        let mut roots = RootCertStore::empty();
        // A box without any still trusts what it is told to.
        let own = AUTHORITIES.iter().find_map(|path| fs::read(path).ok()).unwrap_or_default();
        roots.add_parsable_certificates(CertificateDer::pem_slice_iter(&own).flatten());
        if let Some(path) = more {
            let fault = |source| Fault::Authority { path: path.to_owned(), source };
            let bytes = fs::read(path).map_err(fault)?;
            let (added, _) =
                roots.add_parsable_certificates(CertificateDer::pem_slice_iter(&bytes).flatten());
            if added == 0 {
                return Err(fault(io::Error::other("it is no certificate of an authority in PEM")));
            }
        }
        Self::new(|config, _| config.with_root_certificates(roots))
    }

    fn new(
        trust: impl FnOnce(
            ConfigBuilder<ClientConfig, WantsVerifier>,
            Arc<CryptoProvider>,
        ) -> ConfigBuilder<ClientConfig, WantsClientCert>,
    ) -> Result<Self, Fault> {
        let provider = Arc::new(crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider.clone());
        let config = config.with_safe_default_protocol_versions().map_err(|_| Fault::NoCipher)?;
        Ok(Self(TlsConnector::from(Arc::new(trust(config, provider).with_no_client_auth()))))
    }

    pub(super) async fn encrypt<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        stream: S,
        host: &Host,
    ) -> Result<TlsStream<S>, Fault> {
        let name = match host {
            Host::Address(address) => ServerName::IpAddress(IpAddr::from(*address)),
            Host::Name(name) => {
                ServerName::try_from(name.trim_end_matches('.').to_owned()).map_err(|_| Fault::Name)?
            }
        };
        let encrypted = self.0.connect(name, stream).await;
        encrypted.map_err(|e| if is_plain(&e) { Fault::Plain } else { Fault::Handshake(e) })
    }
}

/// What is no TLS record is, of a server that was asked for one, most likely an HTTP error.
fn is_plain(error: &io::Error) -> bool {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>());
    matches!(inner, Some(Error::InvalidMessage(InvalidMessage::InvalidContentType)))
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
