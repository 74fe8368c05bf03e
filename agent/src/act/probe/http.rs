//! `httpGet` as the kubelet does it (`probe/http`): its headers, its redirects, its limit on the body.

use http_body_util::{BodyExt, Empty};
use hyper::{
    Request, Response, Uri,
    body::{Bytes, Incoming},
    client::conn::http1,
    header::{self, HeaderName, HeaderValue},
};
use hyper_util::rt::TokioIo;

use tokio::io::{AsyncRead, AsyncWrite};

use super::{super::tls, Error, Reply, Target, connect};
use crate::pod::probe::{Host, HttpGet, Scheme};

/// Who asks.
pub(super) const PROBE: &str = "kube-probe/1.37";
const HOOK: &str = "kube-lifecycle/1.37";
/// No more of an answer is read.
const BODY_LIMIT: usize = 10 << 10;
/// As Go's client.
const MOST_REDIRECTS: usize = 10;

/// One request, and what its status means.
pub(super) async fn get(target: &Target, get: &HttpGet, agent: &str) -> Result<Reply, Error> {
    let mut place = Place::of(get);
    for _ in 0..=MOST_REDIRECTS {
        let answer = match ask(target, &place, &get.headers, agent).await? {
            Ok(answer) => answer,
            Err(fault) => return Ok(Reply::failure(fault.said(target, &place))),
        };
        let status = answer.status().as_u16();
        let next = redirect(&answer, target, &place);
        read(answer).await?;
        match (status, next) {
            (_, Some(Next::Here(other))) => place = other,
            (_, Some(Next::Elsewhere(location))) => {
                return Ok(Reply::Warning { message: format!("Probe terminated redirects: {location}") });
            }
            (200..400, None) => return Ok(Reply::Success),
            _ => return Ok(Reply::failure(format!("HTTP probe failed with statuscode: {status}"))),
        }
    }
    let url = place.url(target);
    Ok(Reply::failure(format!("Get {url:?}: stopped after {MOST_REDIRECTS} redirects")))
}

/// One request, whose status means nothing: the kubelet's rule for hooks. Of a server that does not encrypt it is asked
/// again in the open, without what may be a secret: the kubelet's rule for hooks, too.
pub(super) async fn call(target: &Target, get: &HttpGet) -> Result<Result<(), String>, Error> {
    let mut place = Place::of(get);
    let mut answer = ask(target, &place, &get.headers, HOOK).await?;
    if matches!(answer, Err(Fault::Encrypt(tls::Fault::Plain))) {
        place.scheme = Scheme::Http;
        let mut headers = get.headers.clone();
        headers.retain(|(name, _)| !name.eq_ignore_ascii_case("authorization"));
        answer = ask(target, &place, &headers, HOOK).await?;
    }
    Ok(answer.map(drop).map_err(|fault| fault.said(target, &place)))
}

/// What is asked for, on whatever host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    scheme: Scheme,
    port: u16,
    path: String,
}

impl Place {
    pub(super) fn of(get: &HttpGet) -> Self {
        Self { scheme: get.scheme, port: get.port, path: get.path.clone() }
    }

    pub(super) fn url(&self, target: &Target) -> String {
        format!("{}://{}{}", self.scheme, target.host().with_port(self.port), self.path)
    }
}

/// Why nobody answers.
#[derive(Debug)]
enum Fault {
    Dial(String),
    Encrypt(tls::Fault),
    Answer(hyper::Error),
}

impl Fault {
    /// As Go's client says it.
    fn said(&self, target: &Target, place: &Place) -> String {
        let reason = match self {
            Self::Dial(message) => message.clone(),
            Self::Encrypt(fault) => fault.to_string(),
            Self::Answer(e) => super::super::chain(e),
        };
        format!("Get {:?}: {reason}", place.url(target))
    }
}

/// The head of the answer.
async fn ask(
    target: &Target,
    place: &Place,
    headers: &[(String, String)],
    agent: &str,
) -> Result<Result<Response<Incoming>, Fault>, Error> {
    let request = request(target, place, headers, agent)
        .map_err(|source| Error::Request { path: place.path.clone(), source })?;
    let stream = match connect(target, place.port).await? {
        Ok(stream) => stream,
        Err(message) => return Ok(Err(Fault::Dial(message))),
    };
    if place.scheme == Scheme::Http {
        return Ok(exchange(stream, request).await);
    }
    match tls::encrypted(stream, target.host()).await {
        Ok(stream) => Ok(exchange(stream, request).await),
        Err(fault) => Ok(Err(Fault::Encrypt(fault))),
    }
}

async fn exchange<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    stream: S,
    request: Request<Empty<Bytes>>,
) -> Result<Response<Incoming>, Fault> {
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(Fault::Answer)?;
    // Ends with the sender and the body, both of which end with the probing.
    tokio::spawn(connection);
    sender.send_request(request).await.map_err(Fault::Answer)
}

fn request(
    target: &Target,
    place: &Place,
    more: &[(String, String)],
    agent: &str,
) -> Result<Request<Empty<Bytes>>, hyper::http::Error> {
    let mut request = Request::get(&place.path).body(Empty::new())?;
    let own = [
        (header::HOST, target.host().with_port(place.port)),
        (header::USER_AGENT, agent.to_owned()),
        (header::ACCEPT, "*/*".to_owned()),
        (header::CONNECTION, "close".to_owned()),
    ];
    let headers = request.headers_mut();
    for (name, value) in more {
        headers.append(HeaderName::from_bytes(name.as_bytes())?, HeaderValue::from_bytes(value.as_bytes())?);
    }
    for (name, value) in own {
        if !headers.contains_key(&name) {
            headers.insert(name, HeaderValue::from_str(&value)?);
        }
    }
    // Said with nothing in it, the field is not to be sent at all.
    if headers.get(header::ACCEPT).is_some_and(HeaderValue::is_empty) {
        headers.remove(header::ACCEPT);
    }
    Ok(request)
}

/// A body that breaks off is no answer; one that is too long is long enough.
async fn read(answer: Response<Incoming>) -> Result<(), Error> {
    let (mut body, mut length) = (answer.into_body(), 0);
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|source| Error::Body { source })?;
        length += frame.data_ref().map_or(0, Bytes::len);
        if length >= BODY_LIMIT {
            break;
        }
    }
    Ok(())
}

/// Where an answer points to.
#[derive(Debug, PartialEq, Eq)]
enum Next {
    /// The same host, perhaps another port.
    Here(Place),
    Elsewhere(String),
}

fn redirect(answer: &Response<Incoming>, target: &Target, place: &Place) -> Option<Next> {
    let follows = matches!(answer.status().as_u16(), 301..=303 | 307 | 308);
    let location = answer.headers().get(header::LOCATION)?.to_str().ok()?;
    follows.then(|| next(location, target.host(), place))
}

/// `http://HOST:PORT/PATH`, `//HOST:PORT/PATH`, `/PATH` or a path beside the last one.
fn next(location: &str, host: &Host, last: &Place) -> Next {
    let here = |path: String| Next::Here(Place { path, ..last.clone() });
    let elsewhere = || Next::Elsewhere(location.to_owned());
    if location.starts_with('/') && !location.starts_with("//") {
        return here(location.to_owned());
    }
    if !location.starts_with("//") && !location.contains("://") {
        let folder = last.path.split('?').next().unwrap_or_default().rsplit_once('/').map_or("", |(f, _)| f);
        return here(format!("{folder}/{location}"));
    }
    let absolute =
        if location.starts_with("//") { format!("{}:{location}", last.scheme) } else { location.to_owned() };
    let Ok(uri) = absolute.parse::<Uri>() else { return elsewhere() };
    let named = uri.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
    let (scheme, port) = match uri.scheme_str() {
        Some("http") => (Scheme::Http, 80),
        Some("https") => (Scheme::Https, 443),
        _ => return elsewhere(),
    };
    if !host.is(named) {
        return elsewhere();
    }
    let path = uri.path_and_query().map_or("/", |path| path.as_str()).to_owned();
    Next::Here(Place { scheme, port: uri.port_u16().unwrap_or(port), path })
}

#[cfg(test)]
mod tests {
    use std::{
        io::{Read, Write},
        net::TcpListener,
        sync::Arc,
    };

    use tokio_rustls::rustls;

    use super::*;

    #[test]
    fn a_redirect_is_followed_on_the_same_host_only() {
        let place = |scheme, port, path: &str| Place { scheme, port, path: path.to_owned() };
        let here = |port, path| Next::Here(place(Scheme::Http, port, path));
        let away = |location: &str| Next::Elsewhere(location.to_owned());
        let rows = [
            ("/b?c", here(8080, "/b?c")),
            ("b", here(8080, "/a/b")),
            ("http://127.0.0.1/", here(80, "/")),
            ("http://127.0.0.1:81/b", here(81, "/b")),
            ("//127.0.0.1:81", here(81, "/")),
            ("http://shop.example/", away("http://shop.example/")),
            ("https://127.0.0.1/b", Next::Here(place(Scheme::Https, 443, "/b"))),
            ("ftp://127.0.0.1/", away("ftp://127.0.0.1/")),
        ];
        for (location, expected) in rows {
            let last = place(Scheme::Http, 8080, "/a/x?y");
            let host = Host::Address([127, 0, 0, 1].into());
            assert_eq!(next(location, &host, &last), expected, "{location}");
        }
        let (host, location) = (Host::Name("shop.example".to_owned()), "http://Shop.example:81/b");
        assert_eq!(next(location, &host, &place(Scheme::Http, 8080, "/")), here(81, "/b"));
    }

    /// A server that gives one answer to each connection, and says what it was asked.
    fn server(answers: &[&str]) -> (u16, std::thread::JoinHandle<Vec<String>>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let answers: Vec<String> = answers.iter().map(ToString::to_string).collect();
        let serve = move |answer: String| {
            let mut stream = listener.accept().unwrap().0;
            let mut asked = Vec::new();
            while !asked.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                stream.read_exact(&mut byte).unwrap();
                asked.push(byte[0]);
            }
            // A client that has read enough hangs up.
            let _ = stream.write_all(answer.as_bytes());
            String::from_utf8(asked).unwrap()
        };
        (port, std::thread::spawn(move || answers.into_iter().map(serve).collect()))
    }

    #[tokio::test]
    async fn a_status_from_200_to_399_is_a_success() {
        let long = format!("HTTP/1.1 200 OK\r\nContent-Length: 20000\r\n\r\n{}", "x".repeat(20_000));
        let failed = |status| Reply::failure(format!("HTTP probe failed with statuscode: {status}"));
        let warning = Reply::Warning { message: "Probe terminated redirects: http://a.b/".to_owned() };
        let rows: [(&[&str], Option<Reply>); 10] = [
            (&["HTTP/1.1 200 OK\r\n\r\nok"], Some(Reply::Success)),
            (&["HTTP/1.1 204 None\r\nContent-Length: 0\r\n\r\n"], Some(Reply::Success)),
            (&["HTTP/1.1 399 Odd\r\n\r\n"], Some(Reply::Success)),
            (&["HTTP/1.1 400 Bad\r\n\r\n"], Some(failed(400))),
            (&["HTTP/1.1 500 Bad\r\n\r\n"], Some(failed(500))),
            (&["HTTP/1.1 302 Go\r\nLocation: http://a.b/\r\n\r\n"], Some(warning)),
            (&["HTTP/1.1 302 Go\r\nLocation: /b\r\n\r\n", "HTTP/1.1 503 Bad\r\n\r\n"], Some(failed(503))),
            (&["HTTP/1.1 302 Go\r\n\r\n"], Some(Reply::Success)),
            (&[&long], Some(Reply::Success)),
            (&["HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nbroken"], None),
        ];
        for (answers, expected) in rows {
            let (port, served) = server(answers);
            let path = "/a?b".to_owned();
            let wanted = HttpGet { host: None, scheme: Scheme::Http, port, path, headers: Vec::new() };
            let reply = get(&Target::here(), &wanted, PROBE).await;
            assert_eq!(reply.ok(), expected, "{answers:?}");
            assert_eq!(served.join().unwrap().len(), answers.len());
        }
    }

    #[tokio::test]
    async fn a_request_has_the_kubelets_headers_unless_the_manifest_has_others() {
        let header = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let own = vec![header("Host", "shop"), header("X-A", "1"), header("X-A", "2"), header("Accept", "")];
        for (headers, expected) in [
            (
                Vec::new(),
                vec!["accept: */*", "connection: close", "host: 127.0.0.1:P", "user-agent: kube-probe/1.37"],
            ),
            (own, vec!["connection: close", "host: shop", "user-agent: kube-probe/1.37", "x-a: 1", "x-a: 2"]),
        ] {
            let (port, served) = server(&["HTTP/1.1 200 OK\r\n\r\n"]);
            let wanted = HttpGet { host: None, scheme: Scheme::Http, port, path: "/a?b".to_owned(), headers };
            assert_eq!(get(&Target::here(), &wanted, PROBE).await.unwrap(), Reply::Success);
            let asked = served.join().unwrap().remove(0).replace(&port.to_string(), "P");
            let mut lines = asked.trim_end().lines();
            assert_eq!(lines.next(), Some("GET /a?b HTTP/1.1"));
            let mut lines: Vec<&str> = lines.collect();
            lines.sort_unstable();
            assert_eq!(lines, expected);
        }
    }

    /// A server whose certificate nobody has signed, for a name nobody has asked for; it answers one request.
    fn encrypted_server() -> (u16, std::thread::JoinHandle<String>) {
        let key = rcgen::generate_simple_self_signed(["nobody.example".to_owned()]).unwrap();
        let (certificate, key) = (key.cert.der().clone(), key.signing_key.serialize_der());
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config =
            rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let config = config.unwrap().with_no_client_auth();
        let config = config.with_single_cert(vec![certificate], key.try_into().unwrap()).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let serve = move || {
            let mut connection = rustls::ServerConnection::new(Arc::new(config)).unwrap();
            let mut tcp = listener.accept().unwrap().0;
            let mut stream = rustls::Stream::new(&mut connection, &mut tcp);
            let mut asked = vec![0; 1000];
            let length = stream.read(&mut asked).unwrap();
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").unwrap();
            String::from_utf8_lossy(&asked[..length]).into_owned()
        };
        (port, std::thread::spawn(serve))
    }

    fn secretly(port: u16) -> HttpGet {
        let headers = vec![("Authorization".to_owned(), "secret".to_owned())];
        HttpGet { host: None, scheme: Scheme::Https, port, path: "/a".to_owned(), headers }
    }

    #[tokio::test]
    async fn https_asks_whoever_is_there() {
        let (port, served) = encrypted_server();
        assert_eq!(get(&Target::here(), &secretly(port), PROBE).await.unwrap(), Reply::Success);
        let asked = served.join().unwrap();
        assert!(asked.starts_with("GET /a HTTP/1.1\r\nauthorization: secret\r\n"), "{asked}");
    }

    #[tokio::test]
    async fn where_https_is_not_spoken_a_probe_fails_and_a_hook_asks_in_the_open() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let served = std::thread::spawn(move || {
            let answers = ["HTTP/1.1 400 Bad\r\n\r\n", "HTTP/1.1 400 Bad\r\n\r\n", "HTTP/1.1 200 OK\r\n\r\n"];
            answers.map(|answer| {
                let mut stream = listener.accept().unwrap().0;
                let mut asked = vec![0; 1000];
                let length = stream.read(&mut asked).unwrap();
                stream.write_all(answer.as_bytes()).unwrap();
                String::from_utf8_lossy(&asked[..length]).into_owned()
            })
        });
        let url = format!("https://127.0.0.1:{port}/a");
        let why = "http: server gave HTTP response to HTTPS client";
        let reply = get(&Target::here(), &secretly(port), PROBE).await.unwrap();
        assert_eq!(reply, Reply::failure(format!("Get {url:?}: {why}")));
        assert_eq!(call(&Target::here(), &secretly(port)).await.unwrap(), Ok(()));
        let [.., asked] = served.join().unwrap();
        assert!(asked.starts_with("GET /a HTTP/1.1") && !asked.contains("secret"), "{asked}");
    }

    #[tokio::test]
    async fn nobody_there_is_a_failure() {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let wanted =
            HttpGet { host: None, scheme: Scheme::Http, port, path: "/".to_owned(), headers: Vec::new() };
        let reply = get(&Target::here(), &wanted, PROBE).await.unwrap();
        let url = format!("http://127.0.0.1:{port}/");
        let why = format!("dial tcp 127.0.0.1:{port}: connect: connection refused");
        assert_eq!(reply, Reply::failure(format!("Get {url:?}: {why}")));
    }
}
