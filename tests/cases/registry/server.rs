//! A registry that does to each repository what the repository is called after.

use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::Duration,
};

use anyhow::{Context, Result};

/// Content by digest, manifests by `repository:tag` and by digest.
#[derive(Default)]
pub(super) struct Shelf {
    pub(super) blobs: BTreeMap<String, Vec<u8>>,
    pub(super) manifests: BTreeMap<String, Vec<u8>>,
}

/// What a repository's name makes of its answers; all others are served as they should be.
const REFUSALS: [(&str, &str, &str); 6] = [
    ("denied", "403 Forbidden", r#"{"errors":[{"code":"DENIED","message":"not for you"}]}"#),
    ("absent", "404 Not Found", r#"{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]}"#),
    (
        "busy",
        "429 Too Many Requests\r\nRetry-After: 3600",
        r#"{"errors":[{"code":"TOOMANYREQUESTS","message":"slow down"}]}"#,
    ),
    ("broken", "500 Internal Server Error", "out of order"),
    ("html", "200 OK", "<html>Log in to the hotel's network</html>"),
    ("locked", "401 Unauthorized\r\nWWW-Authenticate: Basic realm=\"x\"", "{}"),
];

/// Serves until the case ends. Remembers what it was asked.
pub(super) struct Server {
    pub(super) address: SocketAddr,
    shelf: Arc<Mutex<Shelf>>,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Server {
    pub(super) fn start(shelf: Shelf) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").context("listen as a registry")?;
        let address = listener.local_addr()?;
        let (shelf, asked) = (Arc::new(Mutex::new(shelf)), Arc::<Mutex<Vec<String>>>::default());
        let (of_all, log) = (shelf.clone(), asked.clone());
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (shelf, asked) = (of_all.clone(), log.clone());
                thread::spawn(move || drop(serve(stream, &shelf, &asked)));
            }
        });
        Ok(Self { address, shelf, asked })
    }

    pub(super) fn put(&self, name: &str, manifest: Vec<u8>) {
        self.shelf.lock().unwrap_or_else(PoisonError::into_inner).manifests.insert(name.to_owned(), manifest);
    }

    pub(super) fn forget(&self, name: &str) {
        self.shelf.lock().unwrap_or_else(PoisonError::into_inner).manifests.remove(name);
    }

    /// The requests for a repository, each with its `Range`.
    pub(super) fn asked(&self, repository: &str) -> Vec<String> {
        let asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        asked.iter().filter(|line| line.contains(&format!("/v2/{repository}/"))).cloned().collect()
    }
}

struct Request {
    method: String,
    repository: String,
    what: String,
    from: usize,
}

fn serve(mut stream: TcpStream, shelf: &Mutex<Shelf>, asked: &Mutex<Vec<String>>) -> Result<()> {
    let Some(request) = read(&stream, asked)? else { return Ok(()) };
    let repository = request.repository.as_str();
    if let Some((_, status, body)) = REFUSALS.iter().find(|(name, ..)| *name == repository) {
        return answer(&mut stream, status, body.as_bytes(), &request.method);
    }
    if repository == "loop" {
        let status = format!("307 Temporary Redirect\r\nLocation: /v2/loop/manifests/{}", request.what);
        return answer(&mut stream, &status, b"", &request.method);
    }
    let shelf = shelf.lock().unwrap_or_else(PoisonError::into_inner);
    let manifest = shelf
        .manifests
        .get(&format!("{repository}:{}", request.what))
        .or_else(|| shelf.manifests.get(&request.what));
    let found = manifest.or_else(|| shelf.blobs.get(&request.what)).cloned();
    let is_blob = manifest.is_none();
    drop(shelf);
    let Some(content) = found else {
        return answer(&mut stream, "404 Not Found", b"{}", &request.method);
    };
    if is_blob && content.len() > 1000 {
        blob(&mut stream, &request, content)
    } else {
        answer(&mut stream, "200 OK", &content, &request.method)
    }
}

/// A layer, as the repository has it.
fn blob(stream: &mut TcpStream, request: &Request, mut content: Vec<u8>) -> Result<()> {
    let (half, all) = (content.len() / 2, content.len());
    match request.repository.as_str() {
        "liar" => content[half] ^= 1,
        "short" => content.truncate(half),
        "long" => content.extend(vec![0; 1000]),
        _ => (),
    }
    let rest = &content[request.from.min(content.len())..];
    let status = match request.from {
        0 => "200 OK".to_owned(),
        from => format!("206 Partial Content\r\nContent-Range: bytes {from}-{}/{all}", all - 1),
    };
    write!(stream, "HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n", rest.len())?;
    match request.repository.as_str() {
        // A third of what is left, each time.
        "cut" if rest.len() > 1000 => stream.write_all(&rest[..rest.len() / 3])?,
        "slow" => {
            for byte in rest {
                stream.write_all(&[*byte])?;
                thread::sleep(Duration::from_secs(1));
            }
        }
        _ => stream.write_all(rest)?,
    }
    Ok(())
}

fn answer(stream: &mut TcpStream, status: &str, body: &[u8], method: &str) -> Result<()> {
    write!(stream, "HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len())?;
    if method != "HEAD" {
        stream.write_all(body)?;
    }
    Ok(())
}

/// `None`: it is no request for a registry, as TLS is none.
fn read(stream: &TcpStream, asked: &Mutex<Vec<String>>) -> Result<Option<Request>> {
    let mut lines = BufReader::new(stream);
    let mut first = Vec::new();
    lines.read_until(b'\n', &mut first)?;
    let Ok(first) = String::from_utf8(first) else { return Ok(None) };
    let mut from = 0;
    loop {
        let mut line = String::new();
        if lines.read_line(&mut line)? <= 2 {
            break;
        }
        if let Some(range) = line.to_ascii_lowercase().strip_prefix("range: bytes=") {
            from = range.trim().trim_end_matches('-').parse()?;
        }
    }
    let mut words = first.split(' ');
    let (Some(method), Some(path)) = (words.next(), words.next()) else { return Ok(None) };
    let parts: Vec<_> = path.trim_start_matches("/v2/").rsplitn(3, '/').collect();
    let [what, _, repository] = parts[..] else { return Ok(None) };
    asked.lock().unwrap_or_else(PoisonError::into_inner).push(format!("{method} {path} {from}"));
    let [method, repository, what] = [method, repository, what].map(str::to_owned);
    Ok(Some(Request { method, repository, what, from }))
}
