//! The API over TLS, as clients with and without a certificate meet it.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use http_body_util::{BodyExt, Full};
use hyper::{Request, body::Bytes};
use hyper_util::rt::TokioIo;
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::{
    TlsConnector,
    client::TlsStream,
    rustls::{
        ClientConfig, RootCertStore,
        crypto::ring,
        pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime, pem::PemObject},
        time_provider::TimeProvider,
        version::{TLS12, TLS13},
    },
};

use super::{
    POD, PODS,
    scene::{Scene, object},
};
use crate::pki::{Authorities, Subject};

const CREDENTIALS: &str = "/carob/v1/credentials";

/// What a client has: the box's authority, and a certificate with its key if any.
#[derive(Clone)]
struct Pass {
    authority: String,
    own: Option<(String, String)>,
}

/// What a client does otherwise than it should.
#[derive(Clone, Copy, Default)]
struct Manner {
    headers: &'static [(&'static str, &'static str)],
    alpn: &'static [&'static [u8]],
    old: bool,
}

async fn granted(scene: &Scene, role: &str) -> Pass {
    let wanted = json!({"role": role, "user": "alice", "days": 2});
    let (code, answer) = scene.ask("POST", CREDENTIALS, &wanted.to_string()).await;
    assert_eq!(code, 200, "{answer}");
    let part = |key: &str| answer[key].as_str().unwrap().to_owned();
    Pass { authority: part("authority"), own: Some((part("certificate"), part("key"))) }
}

/// The client's clock: that of the scene.
#[derive(Debug)]
struct SameDay;

impl TimeProvider for SameDay {
    fn current_time(&self) -> Option<UnixTime> {
        let now = now().as_second().unsigned_abs();
        Some(UnixTime::since_unix_epoch(Duration::from_secs(now)))
    }
}

fn now() -> Timestamp {
    "2026-11-23T12:00:00Z".parse().unwrap()
}

fn connector(pass: &Pass, manner: Manner) -> TlsConnector {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(pass.authority.as_bytes()).unwrap()).unwrap();
    let versions = if manner.old { [&TLS12] } else { [&TLS13] };
    let config = ClientConfig::builder_with_details(Arc::new(ring::default_provider()), Arc::new(SameDay));
    let config = config.with_protocol_versions(&versions).unwrap().with_root_certificates(roots);
    let mut config = match &pass.own {
        None => config.with_no_client_auth(),
        Some((certificate, key)) => {
            let chain = vec![CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap()];
            let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
            config.with_client_auth_cert(chain, key).unwrap()
        }
    };
    config.alpn_protocols = manner.alpn.iter().map(|name| name.to_vec()).collect();
    TlsConnector::from(Arc::new(config))
}

async fn connect(at: SocketAddr, pass: &Pass, manner: Manner) -> std::io::Result<TlsStream<TcpStream>> {
    let name = ServerName::try_from("localhost").unwrap();
    connector(pass, manner).connect(name, TcpStream::connect(at).await?).await
}

/// Code and body of an answer; the error, if the connection comes to nothing.
async fn ask(
    at: SocketAddr,
    pass: &Pass,
    manner: Manner,
    (method, path, body): (&str, &str, &str),
) -> Result<(u16, Value), String> {
    let text = |fault: &dyn std::error::Error| format!("{fault}: {:?}", fault.source());
    let stream = connect(at, pass, manner).await.map_err(|fault| text(&fault))?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(|fault| text(&fault))?;
    tokio::spawn(connection);
    let mut request = Request::builder().method(method).uri(path).header("content-type", "application/json");
    if !manner.headers.iter().any(|(name, _)| *name == "host") {
        request = request.header("host", "localhost:1");
    }
    for (name, value) in manner.headers.iter().filter(|(_, value)| !value.is_empty()) {
        request = request.header(*name, *value);
    }
    let request = request.body(Full::<Bytes>::from(body.to_owned())).unwrap();
    let response = sender.send_request(request).await.map_err(|fault| text(&fault))?;
    let code = response.status().as_u16();
    let body = response.into_body().collect().await.map_err(|fault| text(&fault))?.to_bytes();
    let plain = Value::String(String::from_utf8_lossy(&body).into_owned());
    Ok((code, serde_json::from_slice(&body).unwrap_or(plain)))
}

fn counted(scene: &Scene) -> Vec<(&'static str, u64)> {
    scene.picture.borrow().refusals.now().filter(|(_, count)| *count > 0).collect()
}

fn say(words: &'static [(&'static str, &'static str)]) -> Manner {
    Manner { headers: words, ..Manner::default() }
}

#[tokio::test]
async fn a_role_may_what_its_rules_say() {
    let (scene, at) = Scene::with_door().await;
    scene.put(&object("web", &["c"]), Vec::new()).await;
    let pod = POD.replace("\"web\",", "\"new\",");
    // Method, path, body; code for admin, view and metrics.
    let rows: [(&str, &str, &str, [u16; 3]); 9] = [
        ("GET", "/healthz", "", [200, 200, 200]),
        ("GET", "/metrics", "", [200, 200, 200]),
        ("GET", "/version", "", [200, 200, 403]),
        ("GET", "/api/v1/namespaces/default/pods/web", "", [200, 200, 403]),
        ("GET", "/api/v1/secrets", "", [200, 403, 403]),
        ("GET", "/api/v1/%73ecrets", "", [404, 403, 403]),
        ("POST", PODS, &pod, [201, 403, 403]),
        ("DELETE", "/api/v1/namespaces/default/pods/web?dryRun=All", "", [200, 403, 403]),
        ("POST", CREDENTIALS, r#"{"role":"admin","user":"eve","days":9}"#, [403, 403, 403]),
    ];
    for (index, role) in ["admin", "view", "metrics"].into_iter().enumerate() {
        let pass = granted(&scene, role).await;
        for (method, path, body, codes) in rows {
            let (code, answer) = ask(at, &pass, Manner::default(), (method, path, body)).await.unwrap();
            assert_eq!(code, codes[index], "{role}: {method} {path}: {answer}");
        }
    }
    let view = granted(&scene, "view").await;
    let (_, status) = ask(at, &view, Manner::default(), ("POST", PODS, &pod)).await.unwrap();
    let message = r#"pods is forbidden: User "alice" cannot create resource "pods" in API group "" in the namespace "default""#;
    assert_eq!((&status["message"], &status["reason"]), (&json!(message), &json!("Forbidden")));
    assert_eq!(status["details"], json!({"kind": "pods"}));
    let refused = rows.iter().flat_map(|row| row.3).filter(|code| *code == 403).count() as u64 + 1;
    assert_eq!(counted(&scene), [("forbidden", refused)]);
}

#[tokio::test]
async fn whoever_should_not_come_in_is_turned_away_and_counted() {
    let (scene, at) = Scene::with_door().await;
    let pass = granted(&scene, "admin").await;
    let nobody = Pass { own: None, ..pass.clone() };
    let alice = Subject { user: "alice".to_owned(), group: "carob:admin".to_owned() };
    let elsewhere = Authorities::open(&scene.dir.join("elsewhere")).unwrap();
    let strange = elsewhere.grant(&alice, 9, now()).unwrap();
    let own = Authorities::open(&scene.dir.join("var/lib/carob/pki")).unwrap();
    let over = own.grant(&alice, 9, "2020-01-01T00:00:00Z".parse().unwrap()).unwrap();
    let no_role = own.grant(&Subject { group: "system:masters".to_owned(), ..alice }, 9, now()).unwrap();
    let with =
        |granted: crate::pki::Granted| Pass { own: Some((granted.certificate, granted.key)), ..pass.clone() };
    let (strange, over, no_role) = (with(strange), with(over), with(no_role));
    let h2 = Manner { alpn: &[b"h2"], ..Manner::default() };
    let old = Manner { old: true, ..Manner::default() };
    let both = Manner { alpn: &[b"h2", b"http/1.1"], ..Manner::default() };
    let plain = Manner::default();
    const LONG: &str = match str::from_utf8(&[b'x'; 17 << 10]) {
        Ok(text) => text,
        Err(_) => "",
    };
    // Who, how; the code, or a word of the failure; the reason that is counted.
    let rows: [(&Pass, Manner, Result<u16, &str>, &str); 14] = [
        (&pass, plain, Ok(200), ""),
        (&pass, both, Ok(200), ""),
        (&pass, say(&[("host", "127.0.0.1:6443")]), Ok(200), ""),
        (&nobody, plain, Ok(401), "no_certificate"),
        (&no_role, plain, Ok(401), "no_certificate"),
        (&strange, plain, Err("UnknownCA"), "unknown_authority"),
        (&over, plain, Err("CertificateExpired"), "expired_certificate"),
        (&pass, h2, Err("NoApplicationProtocol"), "handshake"),
        (&pass, old, Err("ProtocolVersion"), "handshake"),
        (&pass, say(&[("host", "evil.example")]), Ok(403), "host"),
        (&pass, say(&[("host", "")]), Ok(403), "host"),
        (&pass, say(&[("host", "localhost"), ("host", "evil.example")]), Ok(403), "host"),
        (&pass, say(&[("origin", "https://localhost:1")]), Ok(403), "origin"),
        (&pass, say(&[("x-long", LONG)]), Ok(431), "head_too_long"),
    ];
    let mut before = counted(&scene);
    for (number, (pass, manner, expected, reason)) in rows.into_iter().enumerate() {
        let found = ask(at, pass, manner, ("GET", "/api/v1/pods", "")).await;
        match (&found, expected) {
            (Ok((code, _)), Ok(expected)) => assert_eq!(*code, expected, "row {number}: {found:?}"),
            (Err(fault), Err(word)) => assert!(fault.contains(word), "row {number}: {fault}"),
            _ => panic!("row {number}: {found:?}"),
        }
        let new: Vec<_> = changed(&scene, &mut before, usize::from(!reason.is_empty())).await;
        assert_eq!(new.concat(), reason, "row {number}");
    }
}

/// The reasons whose counts have grown since `before`, once so many have.
async fn changed(scene: &Scene, before: &mut Vec<(&'static str, u64)>, number: usize) -> Vec<&'static str> {
    loop {
        let now = counted(scene);
        let grown: Vec<_> = now.iter().filter(|entry| !before.contains(entry)).map(|(why, _)| *why).collect();
        if grown.len() >= number {
            *before = now;
            return grown;
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn plain_http_is_told_so_and_garbage_is_not_answered() {
    let (scene, at) = Scene::with_door().await;
    for (sent, answer, reason) in [
        (&b"GET /api/v1/pods HTTP/1.1\r\nHost: localhost\r\n\r\n"[..], "HTTP/1.0 400", "plain_http"),
        (b"\x00\x01", "", "handshake"),
        (b"\x16\x03\x01\x00\x05hello", "", "handshake"),
    ] {
        let mut before = counted(&scene);
        let mut stream = TcpStream::connect(at).await.unwrap();
        stream.write_all(sent).await.unwrap();
        let mut found = Vec::new();
        // Garbage may also be answered by a reset.
        let _ = timeout(Duration::from_secs(5), stream.read_to_end(&mut found)).await.unwrap();
        let found = String::from_utf8_lossy(&found).into_owned();
        assert!(found.starts_with(answer), "{sent:?}: {found:?}");
        assert_eq!(found.contains("Client sent an HTTP request to an HTTPS server"), !answer.is_empty());
        assert_eq!(changed(&scene, &mut before, 1).await, [reason]);
    }
}

#[tokio::test]
async fn who_says_nothing_takes_a_place_from_strangers_only() {
    let (scene, at) = Scene::with_door().await;
    let pass = granted(&scene, "view").await;
    let known = connect(at, &pass, Manner::default()).await.unwrap();
    let mut silent = Vec::new();
    for _ in 0..64 {
        silent.push(TcpStream::connect(at).await.unwrap());
    }
    let mut one_more = TcpStream::connect(at).await.unwrap();
    assert_eq!(one_more.read(&mut [0]).await.unwrap_or(0), 0, "it is closed at once");
    assert_eq!(counted(&scene), [("too_many", 1)]);
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake::<_, Full<Bytes>>(TokioIo::new(known)).await.unwrap();
    tokio::spawn(connection);
    let request = Request::get("/version").header("host", "localhost").body(Full::default()).unwrap();
    assert_eq!(sender.send_request(request).await.unwrap().status().as_u16(), 200);
    silent.clear();
    while connect(at, &pass, Manner::default()).await.is_err() {}
}

#[tokio::test]
async fn who_is_disowned_has_to_go_at_once() {
    let (scene, at) = Scene::with_door().await;
    let pass = granted(&scene, "admin").await;
    let mut stream = connect(at, &pass, Manner::default()).await.unwrap();
    let watch = "GET /api/v1/events?watch=true HTTP/1.1\r\nHost: localhost\r\n\r\n";
    stream.write_all(watch.as_bytes()).await.unwrap();
    assert!(stream.read(&mut [0; 512]).await.unwrap() > 0, "the watch is answered");
    assert_eq!(scene.ask("DELETE", CREDENTIALS, "").await.0, 200);
    let mut rest = Vec::new();
    let ended = timeout(Duration::from_secs(5), stream.read_to_end(&mut rest)).await;
    assert!(ended.is_ok(), "it goes on");
    let fault = ask(at, &pass, Manner::default(), ("GET", "/version", "")).await.unwrap_err();
    assert!(fault.contains("UnknownCA"), "{fault}");
    let again = granted(&scene, "admin").await;
    assert_eq!(again.authority, pass.authority, "whom clients believe stays");
    assert_eq!(ask(at, &again, Manner::default(), ("GET", "/version", "")).await.unwrap().0, 200);
}

#[tokio::test]
async fn certificates_are_made_for_names_that_are_names() {
    let (scene, at) = Scene::with_door().await;
    let rows = [
        (json!({"role": "admin", "user": "a", "days": 1}), Ok(format!("https://{at}"))),
        (
            json!({"role": "view", "user": "a", "days": 3650, "server": "https://localhost:7"}),
            Ok("https://localhost:7".to_owned()),
        ),
        (json!({"role": "root", "user": "a", "days": 1}), Err("role")),
        (json!({"role": "view", "user": "", "days": 1}), Err("user: ")),
        (json!({"role": "view", "user": "a\nb", "days": 1}), Err("user: ")),
        (json!({"role": "view", "user": "x".repeat(65), "days": 1}), Err("user: ")),
        (json!({"role": "view", "user": "a", "days": 0}), Err("days: ")),
        (json!({"role": "view", "user": "a", "days": 3651}), Err("days: ")),
        (
            json!({"role": "view", "user": "a", "days": 1, "server": "http://localhost"}),
            Err("https://box.example"),
        ),
        (
            json!({"role": "view", "user": "a", "days": 1, "server": "https://till.example:7"}),
            Err("add it to apiNames"),
        ),
        (json!({"role": "view", "user": "a", "days": 1, "server": "nonsense here"}), Err("server: ")),
        (json!({"user": "a", "days": 1}), Err("role")),
    ];
    for (wanted, expected) in rows {
        let (code, answer) = scene.ask("POST", CREDENTIALS, &wanted.to_string()).await;
        match expected {
            Ok(server) => assert_eq!((code, &answer["server"]), (200, &json!(server)), "{wanted}"),
            Err(word) => {
                let message = answer["message"].as_str().unwrap();
                assert!((400..500).contains(&code) && message.contains(word), "{wanted}: {code} {message}");
            }
        }
    }
    let closed = Scene::new();
    let wanted = json!({"role": "admin", "user": "a", "days": 1}).to_string();
    let (code, answer) = closed.ask("POST", CREDENTIALS, &wanted).await;
    assert!(code == 503 && answer["message"].as_str().unwrap().contains("apiAddress"), "{answer}");
}

#[tokio::test]
async fn reviews_say_what_would_hold() {
    let (scene, at) = Scene::with_door().await;
    let view = granted(&scene, "view").await;
    let path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";
    let pods = |verb: &str| json!({"spec": {"resourceAttributes": {"verb": verb, "resource": "pods", "namespace": "a"}}});
    let version = json!({"spec": {"nonResourceAttributes": {"verb": "get", "path": "/version"}}});
    for (review, root, viewer) in [
        (pods("get"), true, true),
        (pods("create"), true, false),
        (version, true, true),
        (json!({"spec": {"resourceAttributes": {"verb": "get", "resource": "secrets"}}}), true, false),
        (json!({"spec": {"resourceAttributes": {"verb": "*", "resource": "*", "group": "*"}}}), true, false),
    ] {
        let review = review.to_string();
        for (expected, found) in [
            (root, scene.ask("POST", path, &review).await),
            (viewer, ask(at, &view, Manner::default(), ("POST", path, &review)).await.unwrap()),
        ] {
            let (code, answer) = found;
            assert_eq!((code, &answer["status"]["allowed"]), (201, &json!(expected)), "{answer}");
        }
    }
    assert_eq!(scene.ask("POST", path, r#"{"spec":{}}"#).await.0, 400);
    assert_eq!(scene.ask("POST", path, "[]").await.0, 400);
    let rules = "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews";
    let (_, answer) = scene.ask("POST", rules, r#"{"spec":{"namespace":"a"}}"#).await;
    assert_eq!(answer["status"]["resourceRules"][0]["verbs"], json!(["*"]));
    let who = "/apis/authentication.k8s.io/v1/selfsubjectreviews";
    let (_, answer) = ask(at, &view, Manner::default(), ("POST", who, "{}")).await.unwrap();
    let groups = json!(["carob:view", "system:authenticated"]);
    assert_eq!(answer["status"]["userInfo"], json!({"username": "alice", "groups": groups}));
}
