//! `carob check --autopsy`: a dozen deaths on this very box, each through a real container of the agent that runs, and what
//! the ledger says of them beside what it must say.

use std::{fs, io::Cursor, process::ExitCode, time::Duration};

use anyhow::{Context, bail};
use hyper::Method;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tar::{Builder, Header};

use super::{
    client::{Client, Payload, query},
    output::{self, say},
    table::Table,
};

const IMAGE: &str = "carob.dev/autopsy:1";
const POD: &str = "carob-autopsy";
const PODS: &str = "/api/v1/namespaces/default/pods";
const MEMORY: &str = "64Mi";
/// Longest wait for one of the deaths.
const PATIENCE: Duration = Duration::from_secs(90);

/// How long between two looks.
const LOOK: Duration = Duration::from_millis(200);

/// One death, and what must be said of it.
struct Row {
    name: &'static str,
    how: &'static str,
    limited: bool,
    code: i64,
    reason: &'static str,
    cause: &'static str,
}

const fn row(
    name: &'static str,
    how: &'static str,
    code: i64,
    reason: &'static str,
    cause: &'static str,
) -> Row {
    Row { name, how, limited: false, code, reason, cause }
}

const fn limited(row: Row) -> Row {
    Row { limited: true, ..row }
}

/// The last two end with the pod.
const ROWS: [Row; 14] = [
    row("exits-0", "exit 0", 0, "Completed", "completed"),
    row("exits-7", "exit 7", 7, "Error", "error"),
    row("exits-137-by-itself", "exit 137", 137, "Error", "error"),
    row("a-thread-ends-all", "thread 9", 9, "Error", "error"),
    row("faults", "fault", 132, "Error", "kernel"),
    row("aborts", "abort", 134, "Error", "own"),
    row("kills-itself", "kill", 137, "Error", "own"),
    row("its-child-kills-it", "killed", 137, "Error", "own"),
    row("cpu-time-used-up", "spin", 152, "Error", "kernel"),
    limited(row("oom-of-main", "hog", 137, "OOMKilled", "oom")),
    limited(row("oom-of-child-and-group", "hog-child 0", 137, "OOMKilled", "oom")),
    limited(row("oom-of-child-then-143", "hog-child 143", 143, "Error", "error")),
    row("deleted", "wait", 143, "Error", "agent"),
    row("deleted-and-ignores", "ignore", 137, "Error", "agent"),
];

/// Runs them all. The pod and its image are taken away again, whatever comes of it.
pub(super) async fn run(client: &Client) -> anyhow::Result<ExitCode> {
    let archive = Payload::Stream(Box::new(Cursor::new(archive()?)));
    client.call(Method::POST, "/carob/v1/images", archive).await.context("load the autopsy's image")?;
    let found = deaths(client).await;
    let _ = client.call(Method::DELETE, &format!("{PODS}/{POD}"), Payload::Nothing).await;
    let removed = remove_image(client).await;
    let ends = found?;
    let (table, wrong) = compared(&ends);
    say(&table.render(output::width()))?;
    removed?;
    if wrong > 0 {
        bail!("{wrong} of {} deaths are not what they were", ROWS.len());
    }
    say(&format!("\n{} deaths, each recorded as it was.\n", ROWS.len()))?;
    Ok(ExitCode::SUCCESS)
}

/// What the ledger has of each, in the order of the rows.
async fn deaths(client: &Client) -> anyhow::Result<Vec<Value>> {
    let made = client.call(Method::POST, PODS, Payload::Json(manifest())).await.context("create the pod")?;
    let uid = made["metadata"]["uid"].as_str().unwrap_or_default().to_owned();
    let ends_itself = ROWS.len() - 2;
    await_ends(client, &uid, ends_itself).await?;
    // One that ignores SIGTERM must have come so far as to ignore it.
    pause(Duration::from_secs(1)).await;
    client
        .call(Method::DELETE, &format!("{PODS}/{POD}"), Payload::Nothing)
        .await
        .context("delete the pod")?;
    await_ends(client, &uid, ROWS.len()).await
}

async fn await_ends(client: &Client, uid: &str, count: usize) -> anyhow::Result<Vec<Value>> {
    let path = format!(
        "/carob/v1/ledger{}",
        query(&[("pod", Some(POD.to_owned())), ("last", Some("100".to_owned()))])
    );
    let mut waited = Duration::ZERO;
    loop {
        let rows = client.fetch(&path).await?["items"].as_array().cloned().unwrap_or_default();
        let of = |row: &Row| {
            let own = |each: &&Value| each["uid"] == uid && each["container"] == row.name;
            rows.iter().find(own).map(|found| found["end"].clone()).unwrap_or_default()
        };
        let ends: Vec<Value> = ROWS.iter().map(of).collect();
        if ends.iter().take(count).all(Value::is_object) || waited > PATIENCE {
            return Ok(ends);
        }
        pause(LOOK).await;
        waited += LOOK;
    }
}

/// The image stays in use until the last trace of the pod is gone.
async fn remove_image(client: &Client) -> anyhow::Result<()> {
    let path = format!("/carob/v1/images{}", query(&[("name", Some(IMAGE.to_owned()))]));
    let mut waited = Duration::ZERO;
    loop {
        match client.call(Method::DELETE, &path, Payload::Nothing).await {
            Ok(_) => return Ok(()),
            Err(e) if waited > PATIENCE => return Err(e).context("remove the autopsy's image"),
            Err(_) => (),
        }
        pause(LOOK).await;
        waited += LOOK;
    }
}

#[expect(clippy::disallowed_methods, reason = "an end in the ledger cannot be waited for")]
async fn pause(wait: Duration) {
    let slept = tokio::task::spawn_blocking(move || std::thread::sleep(wait)).await;
    drop(slept);
}

/// Expected beside recorded, and how many of them differ.
fn compared(ends: &[Value]) -> (Table, usize) {
    let mut table = Table::new(["", "DEATH", "EXPECTED", "RECORDED", "SOURCE"]);
    let mut wrong = 0;
    for (row, end) in ROWS.iter().zip(ends) {
        let right = end["exitCode"] == row.code && end["reason"] == row.reason && end["cause"] == row.cause;
        wrong += usize::from(!right);
        let recorded = match end["message"].as_str() {
            Some(message) => format!("{message} ({}, {})", text(&end["reason"]), text(&end["cause"])),
            None => "it has not ended".to_owned(),
        };
        table.row([
            if right { "ok" } else { "WRONG" }.to_owned(),
            row.name.to_owned(),
            format!("{} {}, {}", row.code, row.reason, row.cause),
            recorded,
            text(&end["source"]).to_owned(),
        ]);
    }
    (table, wrong)
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or("-")
}

fn manifest() -> Value {
    let container = |row: &Row| {
        let mut command = vec!["/carob", "runtime", "die"];
        command.extend(row.how.split(' '));
        let mut container =
            json!({"name": row.name, "image": IMAGE, "imagePullPolicy": "Never", "command": command});
        if row.limited {
            container["resources"] = json!({"limits": {"memory": MEMORY}});
        }
        container
    };
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": POD,
            "namespace": "default",
            "annotations": {"carob.dev/oom-group.oom-of-child-then-143": "false"},
        },
        "spec": {
            "restartPolicy": "Never",
            // Default actions of signals do not end a process that is the first of its namespace.
            "shareProcessNamespace": true,
            "terminationGracePeriodSeconds": 2,
            "hostNetwork": true,
            "containers": ROWS.iter().map(container).collect::<Vec<_>>(),
        },
    })
}

/// An image of this program alone, as `docker save` writes one.
fn archive() -> anyhow::Result<Vec<u8>> {
    #[expect(clippy::disallowed_methods, reason = "reads this very program")]
    let program = fs::read("/proc/self/exe").context("read this program")?;
    let mut layer = Builder::new(Vec::new());
    add(&mut layer, "carob", 0o755, &program)?;
    let layer = layer.into_inner()?;
    let digest =
        Sha256::digest(&layer).iter().fold(String::from("sha256:"), |text, byte| format!("{text}{byte:02x}"));
    let architecture = if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" };
    let config = json!({
        "architecture": architecture,
        "os": "linux",
        "config": {},
        "rootfs": {"type": "layers", "diff_ids": [digest]},
    });
    let index = json!([{"Config": "config.json", "RepoTags": [IMAGE], "Layers": ["layer.tar"]}]);
    let mut archive = Builder::new(Vec::new());
    add(&mut archive, "config.json", 0o644, config.to_string().as_bytes())?;
    add(&mut archive, "layer.tar", 0o644, &layer)?;
    add(&mut archive, "manifest.json", 0o644, index.to_string().as_bytes())?;
    Ok(archive.into_inner()?)
}

fn add(tar: &mut Builder<Vec<u8>>, name: &str, mode: u32, body: &[u8]) -> anyhow::Result<()> {
    let mut header = Header::new_gnu();
    header.set_size(body.len() as u64);
    header.set_mode(mode);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    Ok(tar.append_data(&mut header, name, body)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_from_what_was_done_is_told() {
        let mut ends: Vec<Value> = ROWS
            .iter()
            .map(|row| json!({"exitCode": row.code, "reason": row.reason, "cause": row.cause, "message": "m", "source": "kernel"}))
            .collect();
        assert_eq!(compared(&ends).1, 0);
        ends[2]["reason"] = json!("OOMKilled");
        ends[3] = Value::Null;
        let (table, wrong) = compared(&ends);
        let text = table.render(None);
        assert_eq!(wrong, 2);
        assert!(text.contains("WRONG") && text.contains("it has not ended"), "{text}");
    }

    #[test]
    fn the_pod_of_the_deaths_is_one_that_an_agent_takes() {
        let checked = crate::manifest::Kind::Pod.check(&manifest());
        assert!(checked.is_ok(), "{checked:?}");
    }
}
