//! One request to one host: dial, encrypt, ask, follow redirects. Knows HTTP, and nothing of registries.
//!
//! Each request has a connection of its own: a pull makes a handful of them, and what is never kept is never stale.

use std::{net::SocketAddr, time::Duration};

use http_body_util::{BodyExt, Empty};
use hyper::{
    Method, Request, Response, Uri,
    body::{Bytes, Incoming},
    client::conn::http1,
    header::{self, HeaderName, HeaderValue},
};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};

use super::{
    super::{
        log::Pausing,
        lookup,
        tls::{self, Encryption},
    },
    error::Error,
};
use crate::pod::probe::Host;

/// How long a host may take to be reached, and then to begin its answer.
const PATIENCE: Duration = Duration::from_secs(30);
/// In each such time this much has to come, or the rest will not be waited for.
const WINDOW: Duration = Duration::from_secs(30);
const LEAST: u64 = 16 << 10;
const MOST_REDIRECTS: usize = 5;
const AGENT: &str = concat!("carob/", env!("CARGO_PKG_VERSION"));

/// Headers of a request.
pub(super) type Headers = Vec<(HeaderName, HeaderValue)>;

/// Reaches hosts, each as it wants to be.
#[derive(Clone)]
pub(super) struct Line {
    encryption: Encryption,
    insecure: bool,
    pub(super) pause: Pausing,
}

/// An answer, and who gave it in the end.
pub(super) struct Answer {
    pub(super) url: String,
    response: Response<Incoming>,
    pause: Pausing,
}

impl Line {
    pub(super) fn new(encryption: Encryption, insecure: bool, pause: Pausing) -> Self {
        Self { encryption, insecure, pause }
    }

    /// Asks, and follows where it is sent. `Authorization` is for the first host only (CVE-2020-15157).
    pub(super) async fn ask(&self, method: Method, url: &str, headers: &Headers) -> Result<Answer, Error> {
        let mut place = Place::parse(url)?;
        let (first, mut headers) = (place.authority(), headers.clone());
        for _ in 0..=MOST_REDIRECTS {
            let response = self.ask_one(&method, &mut place, &headers).await?;
            let url = place.url();
            let location = response.headers().get(header::LOCATION).and_then(|value| value.to_str().ok());
            let Some(location) = location.filter(|_| response.status().is_redirection()) else {
                return Ok(Answer { url, response, pause: self.pause });
            };
            let next = place.join(location)?;
            if place.secure && !next.secure && !self.insecure {
                return Err(Error::Downgrade { url, to: location.to_owned() });
            }
            if next.authority() != first {
                headers.retain(|(name, _)| *name != header::AUTHORIZATION);
            }
            place = next;
        }
        Err(Error::Redirects { url: url.to_owned(), limit: MOST_REDIRECTS })
    }

    /// A host that may be insecure and speaks no TLS is asked again in the open.
    async fn ask_one(
        &self,
        method: &Method,
        place: &mut Place,
        headers: &Headers,
    ) -> Result<Response<Incoming>, Error> {
        match self.try_to_ask(method, place, headers).await {
            Err(
                Error::Encrypt { source: tls::Fault::Plain | tls::Fault::Handshake(_), .. }
                | Error::Dial { .. },
            ) if self.insecure && place.secure => {
                place.secure = false;
                place.port = place.port.filter(|port| *port != 443);
                self.try_to_ask(method, place, headers).await
            }
            answered => answered,
        }
    }

    async fn try_to_ask(
        &self,
        method: &Method,
        place: &Place,
        headers: &Headers,
    ) -> Result<Response<Incoming>, Error> {
        let url = place.url();
        let request = request(method, place, headers).map_err(|_| Error::Url { text: url.clone() })?;
        let asked = async {
            let stream = self.dial(place).await?;
            let fault = |source| Error::Exchange { url: url.clone(), source };
            if !place.secure {
                return exchange(stream, request).await.map_err(fault);
            }
            let encrypted = self.encryption.encrypt(stream, &place.host()).await;
            let stream = encrypted.map_err(|source| Error::Encrypt { host: place.authority(), source })?;
            exchange(stream, request).await.map_err(fault)
        };
        within(self.pause, PATIENCE, asked, || Error::Silent { url: url.clone(), waited: PATIENCE }).await
    }

    async fn dial(&self, place: &Place) -> Result<TcpStream, Error> {
        let host = place.authority();
        let addresses = match place.host() {
            Host::Address(address) => vec![address],
            Host::Name(name) => {
                let found = lookup::addresses(&name, self.pause).await;
                found.map_err(|source| Error::Lookup { host: host.clone(), source })?
            }
        };
        let mut fault = std::io::ErrorKind::AddrNotAvailable.into();
        for address in addresses {
            match TcpStream::connect(SocketAddr::new(address, place.port())).await {
                Ok(stream) => return Ok(stream),
                Err(e) => fault = e,
            }
        }
        Err(Error::Dial { host, source: fault })
    }
}

impl Answer {
    pub(super) fn status(&self) -> hyper::StatusCode {
        self.response.status()
    }

    pub(super) fn header(&self, name: &HeaderName) -> Option<&str> {
        self.response.headers().get(name)?.to_str().ok()
    }

    /// The whole body, if it is no longer than that.
    pub(super) async fn bytes(mut self, limit: u64) -> Result<Vec<u8>, Error> {
        let mut all = Vec::new();
        let mut pace = Pace::default();
        while let Some(piece) = self.piece(&mut pace).await? {
            if (all.len() + piece.len()) as u64 > limit {
                return Err(Error::TooBig { url: self.url, limit });
            }
            all.extend_from_slice(&piece);
        }
        Ok(all)
    }

    /// The next piece of the body; none at its end.
    pub(super) async fn piece(&mut self, pace: &mut Pace) -> Result<Option<Bytes>, Error> {
        loop {
            let wait = pace.wait.get_or_insert_with(|| (self.pause)(WINDOW));
            tokio::select! {
                biased;
                frame = self.response.body_mut().frame() => {
                    let Some(frame) = frame else { return Ok(None) };
                    let fault = |source| Error::Exchange { url: self.url.clone(), source };
                    // Trailers say nothing of the content.
                    let Ok(data) = frame.map_err(fault)?.into_data() else { continue };
                    pace.bytes += data.len() as u64;
                    return Ok(Some(data));
                }
                waited = wait => {
                    waited.map_err(|source| Error::Clock { source })?;
                    let bytes = std::mem::take(&mut pace.bytes);
                    pace.wait = None;
                    if bytes < LEAST {
                        return Err(Error::Slow { url: self.url.clone(), bytes, waited: WINDOW });
                    }
                }
            }
        }
    }
}

/// How much has come since when.
#[derive(Default)]
pub(super) struct Pace {
    wait: Option<super::super::log::Pause>,
    bytes: u64,
}

/// Whatever comes first.
async fn within<T>(
    pause: Pausing,
    time: Duration,
    work: impl Future<Output = Result<T, Error>>,
    late: impl FnOnce() -> Error,
) -> Result<T, Error> {
    tokio::select! {
        biased;
        done = work => done,
        waited = pause(time) => match waited {
            Ok(()) => Err(late()),
            Err(source) => Err(Error::Clock { source }),
        },
    }
}

async fn exchange<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    stream: S,
    request: Request<Empty<Bytes>>,
) -> Result<Response<Incoming>, hyper::Error> {
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    // Ends with the sender and the body.
    tokio::spawn(connection);
    sender.send_request(request).await
}

fn request(
    method: &Method,
    place: &Place,
    headers: &Headers,
) -> Result<Request<Empty<Bytes>>, hyper::http::Error> {
    let mut request = Request::builder().method(method).uri(&place.path).body(Empty::new())?;
    let own = request.headers_mut();
    own.insert(header::HOST, HeaderValue::from_str(&place.authority())?);
    own.insert(header::USER_AGENT, HeaderValue::from_static(AGENT));
    for (name, value) in headers {
        own.append(name, value.clone());
    }
    Ok(request)
}

/// Where something is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Place {
    secure: bool,
    /// IPv6 addresses in brackets.
    host: String,
    port: Option<u16>,
    path: String,
}

impl Place {
    fn parse(text: &str) -> Result<Self, Error> {
        let fault = || Error::Url { text: text.to_owned() };
        let uri: Uri = text.parse().map_err(|_| fault())?;
        let secure = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => return Err(fault()),
        };
        let host = uri.host().ok_or_else(fault)?.to_owned();
        let path = uri.path_and_query().map_or("/", |path| path.as_str()).to_owned();
        Ok(Self { secure, host, port: uri.port_u16(), path })
    }

    /// Where a `Location` leads from here.
    fn join(&self, location: &str) -> Result<Self, Error> {
        if location.contains("://") {
            return Self::parse(location);
        }
        match location.strip_prefix("//") {
            Some(rest) => Self::parse(&format!("{}://{rest}", self.scheme())),
            None if location.starts_with('/') => Ok(Self { path: location.to_owned(), ..self.clone() }),
            None => Err(Error::Url { text: location.to_owned() }),
        }
    }

    fn scheme(&self) -> &'static str {
        if self.secure { "https" } else { "http" }
    }

    fn port(&self) -> u16 {
        self.port.unwrap_or(if self.secure { 443 } else { 80 })
    }

    fn host(&self) -> Host {
        let bare = self.host.trim_start_matches('[').trim_end_matches(']');
        bare.parse().map_or_else(|_| Host::Name(bare.to_owned()), Host::Address)
    }

    fn authority(&self) -> String {
        self.port.map_or_else(|| self.host.clone(), |port| format!("{}:{port}", self.host))
    }

    fn url(&self) -> String {
        format!("{}://{}{}", self.scheme(), self.authority(), self.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_redirect_leads_where_a_browser_would_go() {
        let rows = [
            ("https://r:5000/v2/a", "/v2/b?c=1", Some("https://r:5000/v2/b?c=1")),
            ("https://r:5000/v2/a", "http://s/x", Some("http://s/x")),
            ("https://r:5000/v2/a", "//s/x", Some("https://s/x")),
            ("http://[::1]:5000/v2/a", "/b", Some("http://[::1]:5000/b")),
            ("https://r/v2/a", "ftp://s/x", None),
            ("https://r/v2/a", "b", None),
        ];
        for (from, location, expected) in rows {
            let joined = Place::parse(from).unwrap().join(location).ok().map(|place| place.url());
            assert_eq!(joined.as_deref(), expected, "{from} {location}");
        }
    }

    #[test]
    fn a_place_is_a_host_and_a_port() {
        let rows = [
            ("https://r", Host::Name("r".to_owned()), 443, "r"),
            ("http://r", Host::Name("r".to_owned()), 80, "r"),
            ("https://127.0.0.1:5000/v2/", Host::Address([127, 0, 0, 1].into()), 5000, "127.0.0.1:5000"),
            ("https://[::1]:5000/", Host::Address("::1".parse().unwrap()), 5000, "[::1]:5000"),
        ];
        for (text, host, port, authority) in rows {
            let place = Place::parse(text).unwrap();
            assert_eq!(
                (place.host(), place.port(), place.authority().as_str()),
                (host, port, authority),
                "{text}"
            );
        }
        assert!(Place::parse("r:5000").is_err());
    }
}
