//! Who may not come in, or may not what they ask for: refused whatever they try, and each counted under its reason.

use std::{fs, os::unix::fs::PermissionsExt, os::unix::process::CommandExt, process::Command};

use anyhow::{Context, Result, ensure};

use super::{grant, open_door};
use crate::{
    client::Client,
    world::{AGENT, SOCKET, UNIT, World},
};

/// Nobody's.
const STRANGER: u32 = 65534;
const PROGRAM: &str = "kubectl-1.37";

pub(super) fn open(world: &World) -> Result<()> {
    open_door(world)?;
    grant(world, "revoked", &[])?;
    world.carob_ok(&["kubeconfig", "--revoke-all"])?;
    grant(world, "expired", &["--days", "1"])?;
    for role in ["admin", "view", "metrics"] {
        grant(world, role, &["--role", role, "--user", role])?;
    }
    ask_as_stranger(world)?;
    leave_a_line(world)?;
    // A certificate of one day ends meanwhile.
    world.command("date", &["--set", "+2 days"]).map(drop)
}

/// A change is in the agent's log, with who asked for it and what came of it.
fn leave_a_line(world: &World) -> Result<()> {
    let said = world.carob(&["delete", "pod", "nosuch"])?;
    ensure!(said.code != Some(0), "{said:?}");
    world.ask("DELETE", "/api/v1/namespaces/default/pods/nosuch", None)?;
    let log = world.command("journalctl", &["--unit", UNIT, "--no-pager", "--output=cat"])?;
    let line = "audit: change user=\"root\" verb=\"delete\" group=\"\" resource=\"pods\" namespace=\"default\" name=\"nosuch\" code=404";
    ensure!(log.contains(line), "the log has no line of it: {log}");
    Ok(())
}

/// Another user of the box, who can open the socket because somebody was careless.
fn ask_as_stranger(world: &World) -> Result<()> {
    for (path, mode) in [(SOCKET, 0o666), ("/run/carob", 0o755)] {
        fs::set_permissions(path, fs::Permissions::from_mode(mode))
            .with_context(|| format!("open {path}"))?;
    }
    let asked = Command::new(AGENT).args(["get", "pods"]).uid(STRANGER).gid(STRANGER).output();
    let asked = asked.context("ask as another user")?;
    let said = String::from_utf8_lossy(&asked.stderr).into_owned();
    ensure!(!asked.status.success() && said.contains("not uid 65534"), "{asked:?}");
    let page = world.metrics()?;
    ensure!(page.contains("carob_api_refusals_total{reason=\"socket_user\"} 1\n"), "it is not counted");
    Ok(())
}

/// Whose kubeconfig, what is typed, how it ends, what it says, and the reason that is counted for it.
type Row = (&'static str, &'static str, i32, &'static str, &'static str);

const ROWS: &[Row] = &[
    ("admin", "get pods", 0, "", ""),
    ("view", "get pods", 0, "", ""),
    (
        "view",
        "get secrets",
        1,
        "User \"view\" cannot list resource \"secrets\" in API group \"\"",
        "forbidden",
    ),
    ("view", "run x --image=x", 1, "User \"view\" cannot create resource \"pods\"", "forbidden"),
    ("view", "delete pod x", 1, "User \"view\" cannot delete resource \"pods\"", "forbidden"),
    ("view", "auth can-i get pods", 0, "yes", ""),
    ("view", "auth can-i create pods", 1, "no", ""),
    ("view", "auth can-i get pods --subresource=exec", 1, "no", ""),
    ("metrics", "get --raw /metrics", 0, "carob_build_info", ""),
    ("metrics", "get --raw /version", 1, "User \"metrics\" cannot get path \"/version\"", "forbidden"),
    ("admin", "create --raw /carob/v1/credentials -f -", 1, "User \"admin\" cannot post path", "forbidden"),
    ("revoked", "get --raw /version", 1, "unknown certificate authority", "unknown_authority"),
    ("expired", "get --raw /version", 1, "expired certificate", "expired_certificate"),
];

pub(super) fn try_all(client: &Client) -> Result<()> {
    for (whose, line, code, says, reason) in ROWS {
        let before = counted(client)?;
        let kubectl = client.kubectl(PROGRAM, &format!("{whose}.kubeconfig"));
        let words: Vec<&str> = line.split(' ').collect();
        let said = kubectl.said(&words, Some("{}"))?;
        let heard = said.stdout.contains(says) || said.stderr.contains(says);
        ensure!(said.code == Some(*code) && heard, "{whose}: {line}: not {code} and {says:?} but {said:?}");
        grown(client, &before, reason).with_context(|| format!("{whose}: {line}"))?;
    }
    let before = counted(client)?;
    client.python(TRICKS)?;
    let after = counted(client)?;
    for (reason, tricks) in
        [("no_certificate", 1), ("host", 3), ("origin", 1), ("plain_http", 1), ("head_too_long", 1)]
    {
        let more = count(&after, reason) - count(&before, reason);
        ensure!(more == tricks, "{tricks} tried {reason}, {more} were counted");
    }
    Ok(())
}

/// One by this reason, or more (a client may try again), and none by another.
fn grown(client: &Client, before: &str, reason: &str) -> Result<()> {
    let after = counted(client)?;
    for line in after.lines().filter(|line| !before.contains(*line)) {
        ensure!(!reason.is_empty() && line.contains(&format!("{reason:?}")), "also counted: {line}");
    }
    ensure!(reason.is_empty() || after != before, "not counted as {reason}");
    Ok(())
}

/// The lines of refusals.
fn counted(client: &Client) -> Result<String> {
    let page = client.kubectl(PROGRAM, "metrics.kubeconfig").ok(&["get", "--raw", "/metrics"])?;
    let lines: Vec<&str> = page.lines().filter(|line| line.starts_with("carob_api_refusals_total")).collect();
    ensure!(lines.len() > 10, "there are no refusals in the metrics");
    Ok(lines.join("\n") + "\n")
}

fn count(page: &str, reason: &str) -> u64 {
    let line = page.lines().find(|line| line.contains(&format!("{reason:?}")));
    line.and_then(|line| line.rsplit(' ').next()?.parse().ok()).unwrap_or_default()
}

/// What no client does by itself: told are the port and where the kubeconfigs lie.
const TRICKS: &str = r#"
import base64, http.client, pathlib, re, socket, ssl, sys
port, folder = int(sys.argv[1]), pathlib.Path(sys.argv[2])
config = (folder / "admin.kubeconfig").read_text()
def part(key):
    path = folder / (key + ".pem")
    path.write_bytes(base64.b64decode(re.search(key + r': "?([^"\n]+)', config)[1]))
    return path
context = ssl.create_default_context(cafile=part("certificate-authority-data"))
context.load_cert_chain(part("client-certificate-data"), part("client-key-data"))
def code(*headers, shown=context):
    connection = http.client.HTTPSConnection("127.0.0.1", port, context=shown, timeout=60)
    connection.putrequest("GET", "/api/v1/pods", skip_host=True)
    for name, value in headers:
        connection.putheader(name, value)
    connection.endheaders()
    return connection.getresponse().status
local = ("Host", "localhost")
assert code(local) == 200
assert code(local, shown=ssl.create_default_context(cafile=part("certificate-authority-data"))) == 401
assert code(("Host", "evil.example")) == 403
assert code() == 403
assert code(local, ("Host", "evil.example")) == 403
assert code(local, ("Origin", "https://localhost")) == 403
assert code(local, ("X-Long", "x" * 20000)) == 431
plain = socket.create_connection(("127.0.0.1", port), 60)
plain.sendall(b"GET /api/v1/pods HTTP/1.1\r\nHost: localhost\r\n\r\n")
answer = plain.makefile("rb").read()
assert answer.startswith(b"HTTP/1.0 400 ") and b"HTTPS server" in answer, answer
for least, most in [(None, ssl.TLSVersion.TLSv1_2), (ssl.TLSVersion.TLSv1_3, None)]:
    context = ssl.create_default_context(cafile=folder / "certificate-authority-data.pem")
    if most: context.maximum_version = most
    if least: context.minimum_version = least
    try:
        with context.wrap_socket(socket.create_connection(("127.0.0.1", port), 60), server_hostname="localhost") as line:
            assert most is None and line.version() == "TLSv1.3", line.version()
    except ssl.SSLError:
        assert most is not None
"#;
