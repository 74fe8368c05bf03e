//! A registry of our own that is good, slow, lying, or out of order, as the repository's name says: what pods that wait
//! for its images say of it, and what is left of it all.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::{
    super::Case,
    server::{Server, Shelf},
};
use crate::{
    pods::{PATIENCE, Pod, one, ready},
    wire::Mode,
    world::World,
};

const CONFIG: &str = "/etc/carob/config.json";
const STATE: &str = "/var/lib/carob";
const STORE: &str = "/var/lib/carob/images";
const WORK: &str = "/tmp/carob-registry";
/// A layer with this very program in it, and one that leads out of its root, in the folder $1.
const LAYERS: &str = r#"
set -e
rm -rf "$1"; mkdir -p "$1/root" "$1/evil"; cd "$1"
cp "$2" root/work
tar --owner=0 --group=0 -C root -cf good.tar work
gzip -1 -k good.tar
mkdir -p evil/a; ln -s ../../../../tmp/carob-registry/escaped evil/a/out
head -c 3000 /dev/urandom > evil/payload
tar --owner=0 --group=0 -C evil -cf escape.tar a payload
tar --owner=0 --group=0 -C evil --transform 's,payload,a/out/file,' -rf escape.tar payload
"#;

pub(crate) fn cases() -> Vec<Case> {
    let case = |name, run| Case { name, mode: Mode::Alone, limit: Duration::from_secs(600), run };
    vec![
        case("a_registry_that_fails_is_told_of_and_harms_nobody", faulty),
        case("a_pull_goes_on_where_it_was_cut_off", cut),
        case("always_asks_for_the_digest_and_no_more", always),
        case("a_pod_that_goes_stops_its_pull", stopped),
        case("a_mirror_that_lacks_an_image_says_nothing_of_it", mirrored),
        case("a_disk_that_fills_up_in_a_layer_keeps_nothing_of_it", full),
    ]
}

/// A registry, and an agent that knows of it.
struct Field<'w> {
    world: &'w World,
    server: Server,
    dir: PathBuf,
}

impl<'w> Field<'w> {
    fn new(world: &'w World) -> Result<Self> {
        let dir = PathBuf::from(WORK);
        let own = std::env::current_exe()?.display().to_string();
        world.command("sh", &["-c", LAYERS, "sh", WORK, &own])?;
        let server = Server::start(shelf(world, &dir)?)?;
        ready(world)?;
        let field = Self { world, server, dir };
        field.knows(&json!({}))?;
        Ok(field)
    }

    /// The agent is told of this registry, and how to reach others.
    fn knows(&self, others: &Value) -> Result<()> {
        let mut known = others.clone();
        known[self.server.address.to_string()] = json!({"insecure": true});
        let known = json!({"registries": known}).to_string();
        fs::write(CONFIG, known).with_context(|| format!("write {CONFIG}"))?;
        self.world.restart()
    }

    fn image(&self, repository: &str) -> String {
        format!("{}/{repository}:1", self.server.address)
    }

    fn pod(&self, name: &str, image: &str, policy: &str) -> Result<Pod<'w>> {
        let manifest = one(name, "sleep", "", "").replace("carob-work:1", image);
        let manifest = manifest.replace("imagePullPolicy: Never", &format!("imagePullPolicy: {policy}"));
        Pod::apply(self.world, name, &manifest)
    }

    fn pull(&self, repository: &str) -> Result<()> {
        self.world.carob_ok(&["image", "pull", &self.image(repository)]).map(drop)
    }
}

impl Drop for Field<'_> {
    fn drop(&mut self) {
        let _ = fs::remove_file(CONFIG);
        let _ = self.world.restart();
        let _ = fs::remove_dir_all(&self.dir);
    }
}

fn digest(world: &World, file: &Path) -> Result<String> {
    let said = world.command("sha256sum", &[&file.display().to_string()])?;
    let hex = said.split(' ').next().context("sha256sum says nothing")?;
    Ok(format!("sha256:{hex}"))
}

/// One manifest for all who are good at heart; others for those that are not.
fn shelf(world: &World, dir: &Path) -> Result<Shelf> {
    let mut shelf = Shelf::default();
    let mut put = |bytes: Vec<u8>| -> Result<(String, usize)> {
        let path = dir.join("blob");
        fs::write(&path, &bytes)?;
        let (digest, size) = (digest(world, &path)?, bytes.len());
        shelf.blobs.insert(digest.clone(), bytes);
        Ok((digest, size))
    };
    let mut image = |tar: &str, packed: &str, architecture: &str| -> Result<Vec<u8>> {
        let layer = put(fs::read(dir.join(packed))?)?;
        let config = json!({
            "architecture": architecture, "os": "linux", "config": {},
            "rootfs": {"type": "layers", "diff_ids": [digest(world, &dir.join(tar))?]},
        });
        let config = put(config.to_string().into_bytes())?;
        let blob = |kind: &str, (digest, size): (String, usize)| json!({"mediaType": format!("application/vnd.oci.image.{kind}"), "digest": digest, "size": size});
        let manifest = json!({
            "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": blob("config.v1+json", config), "layers": [blob("layer.v1.tar", layer)],
        });
        Ok(manifest.to_string().into_bytes())
    };
    let good = image("good.tar", "good.tar.gz", "amd64")?;
    let escape = image("escape.tar", "escape.tar", "amd64")?;
    let other = image("good.tar", "good.tar.gz", "s390x")?;
    let index = json!({"schemaVersion": 2, "manifests": [
        {"digest": format!("sha256:{}", "0".repeat(64)), "size": 5, "platform": {"os": "linux", "architecture": "s390x"}},
    ]});
    for name in ["good", "good2", "mirrored", "liar", "short", "long", "cut", "slow"] {
        shelf.manifests.insert(format!("{name}:1"), good.clone());
    }
    shelf.manifests.insert("escape:1".to_owned(), escape);
    shelf.manifests.insert("other:1".to_owned(), other);
    shelf.manifests.insert("index:1".to_owned(), index.to_string().into_bytes());
    Ok(shelf)
}

/// What is called after its fault, and what is said of it.
const FAULTS: [(&str, &str); 14] = [
    ("liar", "the registry's content is sha256:"),
    ("short", "bytes of it where the manifest says"),
    ("long", "bytes of it where the manifest says"),
    ("loop", "redirected more than 5 times"),
    ("html", "the answer is no JSON but \"<html>Log in to the hotel's network</html>\""),
    ("locked", "unauthorized"),
    ("denied", "403 Forbidden: DENIED: not for you"),
    ("absent", "404 Not Found: MANIFEST_UNKNOWN: manifest unknown"),
    ("busy", "429 Too Many Requests: TOOMANYREQUESTS: slow down (Retry-After: 3600)"),
    ("broken", "500 Internal Server Error: out of order"),
    ("escape", "cannot unpack the layer"),
    ("other", "there is no image for linux/amd64 in it"),
    ("index", "there is no image for linux/amd64 in it"),
    ("slow", "too slow"),
];

fn faulty(world: &World) -> Result<()> {
    let field = Field::new(world)?;
    let steady = Pod::apply(world, "pull-steady", &one("pull-steady", "sleep", "", ""))?;
    steady.await_running("main")?;
    let before = entries()?;
    let mut pods =
        vec![(field.pod("pull-nobody", "127.0.0.1:1/nobody:1", "IfNotPresent")?, "Connection refused")];
    for (name, said) in FAULTS {
        pods.push((field.pod(&format!("pull-{name}"), &field.image(name), "IfNotPresent")?, said));
    }
    for (pod, said) in &pods {
        failed(world, pod, said)?;
    }
    world.wait_until("who only failed is asked again", PATIENCE, || {
        let asked = field.server.asked("broken");
        ensure!(asked.len() > 1, "it was asked for {asked:?}");
        Ok(())
    })?;
    let asked = field.server.asked("busy");
    ensure!(asked.len() == 1, "who wants to be left alone was asked for {asked:?}");
    ensure!(!Path::new(WORK).join("escaped").exists(), "a layer has written out of its root");
    // Beside all of them a good one comes, and nobody else is touched.
    let good = field.pod("pull-good", &field.image("good"), "IfNotPresent")?;
    good.await_running("main")?;
    let events = events(world, "pull-good")?;
    for reason in ["Pulling", "Pulled", "Created", "Started"] {
        ensure!(events.contains(reason), "the good pod's events have no {reason}: {events:?}");
    }
    let state = steady.container("main")?;
    ensure!(state["state"]["running"].is_object() && state["restartCount"] == 0, "the steady pod is {state}");
    for (pod, _) in &pods {
        pod.delete()?;
    }
    good.delete()?;
    world.carob_ok(&["image", "rm", &field.image("good")])?;
    world.wait_until("nothing is left of what did not come", PATIENCE, || {
        let now = entries()?;
        let new: Vec<_> = now.difference(&before).collect();
        ensure!(new.is_empty(), "new in the store: {new:?}");
        Ok(())
    })
}

/// Its status says why, and an event does.
fn failed(world: &World, pod: &Pod<'_>, said: &str) -> Result<()> {
    let found = world.wait_until(&format!("it is said that {said:?}"), PATIENCE * 3, || {
        let waiting = pod.container("main")?["state"]["waiting"].clone();
        let reason = waiting["reason"].as_str().unwrap_or_default();
        ensure!(["ErrImagePull", "ImagePullBackOff"].contains(&reason), "it waits with {waiting}");
        Ok(waiting["message"].as_str().unwrap_or_default().to_owned())
    })?;
    ensure!(found.contains(said), "{found:?} does not say {said:?}");
    let name = pod.object()?["metadata"]["name"].as_str().unwrap_or_default().to_owned();
    let events = events(world, &name)?;
    ensure!(events.contains("Failed"), "{name} has no event Failed: {events:?}");
    Ok(())
}

fn events(world: &World, pod: &str) -> Result<BTreeSet<String>> {
    let path = format!("/api/v1/namespaces/default/events?fieldSelector=involvedObject.name={pod}");
    let events = world.read(&path)?;
    let reason = |event: &Value| Some(event["reason"].as_str()?.to_owned());
    Ok(events["items"].as_array().into_iter().flatten().filter_map(reason).collect())
}

/// Images, layers, and what is on its way; but not what a slow pull may go on with.
fn entries() -> Result<BTreeSet<PathBuf>> {
    let mut found = BTreeSet::new();
    for dir in ["configs", "layers", "tmp"] {
        let dir = Path::new(STORE).join(dir);
        for entry in fs::read_dir(&dir).with_context(|| format!("read {}", dir.display()))? {
            found.insert(entry?.path());
        }
    }
    Ok(found)
}

fn cut(world: &World) -> Result<()> {
    let field = Field::new(world)?;
    field.pull("cut")?;
    let asked = field.server.asked("cut");
    let blobs: Vec<_> = asked.iter().filter(|line| line.contains("/blobs/")).collect();
    let begins: Vec<u64> = blobs.iter().filter_map(|line| line.rsplit(' ').next()?.parse().ok()).collect();
    ensure!(begins.len() > 3 && begins.is_sorted(), "the layer was asked for from {begins:?} on");
    let again = begins.iter().filter(|begin| **begin == 0).count();
    ensure!(again <= 2, "the config and the layer were begun {again} times: {asked:?}");
    let pod = field.pod("pull-cut", &field.image("cut"), "Never")?;
    pod.await_running("main")?;
    pod.delete()?;
    world.carob_ok(&["image", "rm", &field.image("cut")])?;
    world.say(&format!("a layer that broke off {} times was fetched once", begins.len() - 2))
}

fn always(world: &World) -> Result<()> {
    let field = Field::new(world)?;
    field.pull("good2")?;
    let before = field.server.asked("good2");
    let pod = field.pod("pull-always", &field.image("good2"), "Always")?;
    pod.await_running("main")?;
    let asked = field.server.asked("good2")[before.len()..].to_vec();
    ensure!(asked.iter().all(|line| line.contains("/manifests/")), "it was asked for {asked:?}");
    ensure!(!asked.is_empty(), "the registry was not asked");
    pod.delete()?;
    // The tag goes to another image: that one is run.
    field.server.put("good2:1", b"{}".to_vec());
    let moved = field.pod("pull-moved", &field.image("good2"), "Always")?;
    failed(world, &moved, "cannot decode")?;
    moved.delete()?;
    let kept = field.pod("pull-kept", &field.image("good2"), "IfNotPresent")?;
    kept.await_running("main")?;
    kept.delete()?;
    world.carob_ok(&["image", "rm", &field.image("good2")]).map(drop)
}

/// The registry itself cannot be asked: what is here is run.
fn mirrored(world: &World) -> Result<()> {
    const IMAGE: &str = "127.0.0.1:1/mirrored:1";
    let field = Field::new(world)?;
    field.knows(&json!({"127.0.0.1:1": {"mirrors": [field.server.address.to_string()]}}))?;
    world.carob_ok(&["image", "pull", IMAGE])?;
    field.server.forget("mirrored:1");
    let before = field.server.asked("mirrored").len();
    let pod = field.pod("pull-mirrored", IMAGE, "Always")?;
    pod.await_running("main")?;
    ensure!(field.server.asked("mirrored").len() > before, "the mirror was not asked");
    let events = events(world, "pull-mirrored")?;
    ensure!(events.contains("ImageUnchecked"), "nobody says that it may be old: {events:?}");
    pod.delete()?;
    world.carob_ok(&["image", "rm", IMAGE]).map(drop)
}

fn stopped(world: &World) -> Result<()> {
    let field = Field::new(world)?;
    let pod = field.pod("pull-stopped", &field.image("slow"), "IfNotPresent")?;
    world.wait_until("the layer is on its way", PATIENCE, || {
        let asked = field.server.asked("slow");
        ensure!(
            asked.iter().filter(|line| line.contains("/blobs/")).count() > 1,
            "it was asked for {asked:?}"
        );
        Ok(())
    })?;
    let pulls =
        || fs::read_to_string(pulls_cgroup()?.join("cgroup.procs")).context("read the pulls' processes");
    ensure!(!pulls()?.is_empty(), "no process is in the cgroup of pulls");
    let since = Instant::now();
    pod.delete()?;
    world.wait_until("nothing pulls any more", PATIENCE, || {
        let left = pulls()?;
        ensure!(left.is_empty(), "still there: {left:?}");
        Ok(())
    })?;
    // Nobody stopped a pull that was only given up for being slow, after 30 s.
    let took = since.elapsed();
    ensure!(took < Duration::from_secs(20), "the pod and its pull were gone after {} s", took.as_secs());
    Ok(())
}

/// First the packed layer does not fit, then what it unpacks to; then all does. The reserve stays free.
fn full(world: &World) -> Result<()> {
    world.install()?;
    world.command("mount", &["-t", "tmpfs", "-o", "size=64m", "state", STATE])?;
    let field = Field::new(world)?;
    let steady = Pod::apply(world, "full-steady", &one("full-steady", "sleep", "", ""))?;
    steady.await_running("main")?;
    let before = entries()?;
    let packed = fs::metadata(field.dir.join("good.tar.gz"))?.len();
    let reserve = (64 << 20) / 20;
    for (spare, fault) in
        [(packed / 2, "the image does not fit"), (packed * 3 / 2, "cannot unpack the layer")]
    {
        let free = rustix::fs::statvfs(STATE)?;
        let filler = Path::new(STATE).join("filler");
        let filled = free.f_bavail * free.f_frsize - reserve - spare;
        fs::write(&filler, vec![7; usize::try_from(filled)?])?;
        let said = world.carob(&["image", "pull", &field.image("good")])?;
        let told = [fault, "bytes are needed", &format!("that are free {reserve} are kept in reserve")];
        let right = said.code == Some(1) && told.iter().all(|words| said.stderr.contains(words));
        ensure!(right, "with {spare} bytes to spare it said {said:?}");
        world.wait_until("nothing is left of it", PATIENCE, || {
            let partial = fs::read_dir(Path::new(STORE).join("partial"))?.count();
            ensure!(entries()? == before && partial == 0, "new: {:?}, partial: {partial}", entries()?);
            Ok(())
        })?;
        fs::remove_file(filler)?;
    }
    field.pull("good")?;
    let state = steady.container("main")?;
    ensure!(state["state"]["running"].is_object() && state["restartCount"] == 0, "the steady pod is {state}");
    steady.delete()
}

fn pulls_cgroup() -> Result<PathBuf> {
    let places = ["/sys/fs/cgroup/carob.slice/carob-pods.service/pulls", "/sys/fs/cgroup/carob/pulls"];
    places.iter().map(PathBuf::from).find(|place| place.is_dir()).context("there is no cgroup of pulls")
}
