//! A registry that others run, Debian's, with TLS and passwords, filled by skopeo; and what is unpacked of its images
//! beside what umoci makes of them.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use serde_json::json;

use super::{
    super::Case,
    made::{self, Pack},
};
use crate::{
    pods::{PATIENCE, Pod, one, ready},
    wire::Mode,
    world::World,
};

const CONFIG: &str = "/etc/carob/config.json";
const AUTH: &str = "/etc/carob/auth.json";
const DIR: &str = "/tmp/carob-real-registry";
const ADDRESS: &str = "127.0.0.1:5443";
const USER: &str = "till:open sesame";
const BASE64: &str = "dGlsbDpvcGVuIHNlc2FtZQ==";
/// The user's line in htpasswd's format: bcrypt at its least cost.
const HTPASSWD: &str = "till:$2b$04$l8F0pPvzIIOw8vBx1h.d3e7McBeRPTrf8tlGmtDKuBKOi3QLs3BFO\n";
/// Go programs start slowly on an emulated machine.
const LIMIT: Duration = Duration::from_secs(600);

pub(crate) fn cases() -> Vec<Case> {
    let case = |name, run| Case { name, mode: Mode::Alone, limit: LIMIT, run };
    vec![
        case("a_real_registry_serves_who_has_its_password_and_its_authority", let_in),
        case("images_of_a_real_registry_are_unpacked_as_umoci_does", as_umoci),
    ]
}

/// A registry that runs, and a box that may know of it.
struct Real<'w> {
    world: &'w World,
    process: Child,
}

impl<'w> Real<'w> {
    fn start(world: &'w World) -> Result<Self> {
        let _ = fs::remove_dir_all(DIR);
        fs::create_dir_all(DIR)?;
        certify()?;
        fs::write(path("htpasswd"), HTPASSWD)?;
        let config = json!({
            "version": "0.1",
            "log": {"level": "warn"},
            "storage": {"filesystem": {"rootdirectory": path("storage")}},
            "auth": {"htpasswd": {"realm": "till", "path": path("htpasswd")}},
            "http": {"addr": ADDRESS, "tls": {"certificate": path("server.crt"), "key": path("server.key")}},
        });
        fs::write(path("registry.yml"), config.to_string())?;
        let log = File::create(path("log"))?;
        let mut command = Command::new("/payload/bin/docker-registry");
        command.arg("serve").arg(path("registry.yml"));
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let real = Self { world, process: command.spawn().context("start docker-registry")? };
        world.wait_until("the registry answers", PATIENCE, || {
            std::net::TcpStream::connect(ADDRESS).map(drop).context("connect to it")
        })?;
        ready(world)?;
        Ok(real)
    }

    /// What the box knows of it from now on.
    fn known(&self, registry: &serde_json::Value) -> Result<()> {
        fs::write(CONFIG, json!({"registries": {ADDRESS: registry}}).to_string())?;
        self.world.restart()
    }

    /// Puts the image of a layout there.
    fn push(&self, layout: &Path, name: &str, more: &[&str]) -> Result<()> {
        let (from, to) = (format!("oci:{}:it", layout.display()), format!("docker://{}", image(name)));
        let certificates = path("certs");
        let mut words =
            vec!["copy", "--insecure-policy", "--dest-cert-dir", &certificates, "--dest-creds", USER];
        words.extend(more);
        words.extend([from.as_str(), to.as_str()]);
        program("skopeo", &words)
    }
}

impl Drop for Real<'_> {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        for path in [CONFIG, AUTH] {
            let _ = fs::remove_file(path);
        }
        let _ = self.world.restart();
        let _ = fs::remove_dir_all(DIR);
    }
}

fn path(name: &str) -> String {
    format!("{DIR}/{name}")
}

fn image(name: &str) -> String {
    format!("{ADDRESS}/{name}:1")
}

/// An authority of our own, and a server that it vouches for.
fn certify() -> Result<()> {
    let mut params = CertificateParams::new(Vec::new())?;
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;
    let key = KeyPair::generate()?;
    let server = CertificateParams::new(vec!["127.0.0.1".to_owned()])?.signed_by(&key, &authority)?;
    fs::create_dir_all(path("certs"))?;
    fs::write(path("certs/ca.crt"), authority.pem())?;
    fs::write(path("server.crt"), server.pem())?;
    fs::write(path("server.key"), key.serialize_pem()).context("write the server's key")
}

/// One of the programs that the host has put there, with its libraries.
fn program(name: &str, words: &[&str]) -> Result<()> {
    let program = format!("/payload/bin/{name}");
    let output =
        Command::new(&program).env("LD_LIBRARY_PATH", "/payload/lib").env("HOME", DIR).args(words).output();
    let output = output.with_context(|| format!("start {program}"))?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(output.status.success(), "{name} {words:?}: {}: {said}", output.status);
    Ok(())
}

fn layout(world: &World, name: &str, layers: &[(&str, Pack)]) -> Result<PathBuf> {
    let to = PathBuf::from(path(name));
    made::layout(world, Path::new(&path("tars")), &to, layers)?;
    Ok(to)
}

fn let_in(world: &World) -> Result<()> {
    let real = Real::start(world)?;
    made::layers(world, Path::new(&path("tars")))?;
    real.push(&layout(world, "one", &[("low", Pack::Gzip)])?, "shop/one", &[])?;
    let one_image = image("shop/one");
    let refused = |said: &str| {
        let answer = world.carob(&["image", "pull", &one_image])?;
        let right = answer.code == Some(1) && answer.stderr.contains(said);
        ensure!(right, "{answer:?} does not say {said:?}");
        Ok(())
    };
    refused("invalid peer certificate: UnknownIssuer")?;
    real.known(&json!({"ca": path("certs/ca.crt")}))?;
    refused("unauthorized")?;
    let auth = |login: &str| json!({"auths": {ADDRESS: {"auth": login}}}).to_string();
    fs::write(AUTH, auth("dGlsbDp3cm9uZw=="))?;
    refused("unauthorized")?;
    fs::write(AUTH, auth(BASE64))?;
    let pulled = world.carob_ok(&["image", "pull", &one_image])?;
    ensure!(pulled.starts_with(&format!("pulled {one_image} (")), "it said {pulled:?}");
    world.carob_ok(&["image", "rm", &one_image])?;
    fs::remove_file(AUTH)?;
    // A mirror that nobody runs, and one whose path goes before: the image is docker's, and comes from here.
    let by_mirror = json!({"registries": {
        "docker.io": {"mirrors": ["127.0.0.1:1", format!("{ADDRESS}/shop")]},
        ADDRESS: {"insecure": true},
    }});
    fs::write(CONFIG, by_mirror.to_string())?;
    fs::write(AUTH, auth(BASE64))?;
    world.restart()?;
    real.push(Path::new(&path("one")), "shop/library/two", &[])?;
    world.carob_ok(&["image", "pull", "two:1"])?;
    let listed = world.carob_ok(&["image", "ls"])?;
    ensure!(listed.contains("docker.io/library/two:1"), "it is not listed:\n{listed}");
    world.carob_ok(&["image", "rm", "two:1"])?;
    fs::remove_file(AUTH)?;
    with_a_secret(world, &one_image, &auth(BASE64))
}

/// The pod's own password; it waits until the secret is there.
fn with_a_secret(world: &World, image: &str, auth: &str) -> Result<()> {
    let spec = "  imagePullSecrets: [{ name: registry }]\n";
    let manifest = one("real-secret", "sleep", "", spec).replace("carob-work:1", image);
    let manifest = manifest.replace("imagePullPolicy: Never", "imagePullPolicy: IfNotPresent");
    let manifest = manifest.replace("[\"/work\", \"sleep\"]", "[\"/not-there\"]");
    let pod = Pod::apply(world, "real-secret", &manifest)?;
    let waits = |reason: &str| {
        world.wait_until(&format!("the pod waits with {reason}"), PATIENCE, || {
            let waiting = pod.container("main")?["state"]["waiting"].clone();
            ensure!(waiting["reason"] == reason, "it waits with {waiting}");
            Ok(waiting["message"].as_str().unwrap_or_default().to_owned())
        })
    };
    let said = waits("ImagePullBackOff")?;
    ensure!(said.contains("unauthorized"), "it says {said:?}");
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "registry"},
        "type": "kubernetes.io/dockerconfigjson", "stringData": {".dockerconfigjson": auth},
    });
    let answer = world.ask("POST", "/api/v1/namespaces/default/secrets", Some(&secret))?;
    ensure!(answer.status == 201, "the secret is refused: {}", answer.body);
    // What it would run is not in the image: that it has tried says that the image came.
    world.wait_until("the image is here", PATIENCE, || {
        let listed = world.carob_ok(&["image", "ls"])?;
        ensure!(listed.contains(image.trim_end_matches(":1")), "it is not listed:\n{listed}");
        Ok(())
    })?;
    pod.delete()?;
    world.ask("DELETE", "/api/v1/namespaces/default/secrets/registry", None)?;
    world.carob_ok(&["image", "rm", image]).map(drop)
}

/// What each image is made of, and how skopeo is to keep it. umoci knows no zstd: it has the same layers in gzip.
type Shape = (&'static str, &'static [&'static str], &'static [&'static str]);
const SHAPES: [Shape; 3] = [
    ("docker-format", &["low"], &["--format", "v2s2"]),
    ("whiteouts", &["low", "mid"], &[]),
    ("zstd", &["low", "mid", "high"], &[]),
];

fn as_umoci(world: &World) -> Result<()> {
    let real = Real::start(world)?;
    made::layers(world, Path::new(&path("tars")))?;
    real.known(&json!({"ca": path("certs/ca.crt")}))?;
    fs::write(AUTH, json!({"auths": {ADDRESS: {"auth": BASE64}}}).to_string())?;
    let mut entries = Vec::new();
    for (name, layers, more) in SHAPES {
        let packed = |last: Pack| {
            let mut all: Vec<_> = layers.iter().map(|layer| (*layer, Pack::Gzip)).collect();
            if let Some(entry) = all.last_mut() {
                entry.1 = last;
            }
            all
        };
        let as_it_comes = if name == "zstd" { Pack::Zstd } else { Pack::Gzip };
        real.push(&layout(world, name, &packed(as_it_comes))?, name, more)?;
        let for_umoci = layout(world, &format!("{name}-gzip"), &packed(Pack::Gzip))?;
        let bundle = path(&format!("{name}-bundle"));
        program("umoci", &["unpack", "--image", &format!("{}:it", for_umoci.display()), &bundle])?;
        let expected = made::tree(&Path::new(&bundle).join("rootfs"))?;
        let found = mounted(world, name)?;
        for (path, line) in &expected {
            let ours = found.get(path).map_or("nothing", String::as_str);
            ensure!(ours == line, "{name}: {} is\n{ours}\nwhere umoci has\n{line}", path.display());
        }
        let more: Vec<_> = found.keys().filter(|path| !expected.contains_key(*path)).collect();
        ensure!(more.is_empty(), "{name}: umoci has no {more:?}");
        entries.push(expected.len());
        world.carob_ok(&["image", "rm", &image(name)])?;
    }
    world.say(&format!("three images of {entries:?} entries, each as umoci unpacks it"))
}

/// The tree as a container sees it that has the image for a volume.
fn mounted(world: &World, name: &str) -> Result<std::collections::BTreeMap<PathBuf, String>> {
    let volume = format!(
        "  volumes: [{{ name: it, image: {{ reference: \"{}\", pullPolicy: Always }} }}]\n",
        image(name)
    );
    let mount = "      volumeMounts: [{ name: it, mountPath: /it }]\n";
    let pod = format!("real-{name}");
    let pod = Pod::apply(world, &pod, &one(&pod, "sleep", mount, &volume))?;
    pod.await_running("main")?;
    let tree = made::tree(Path::new(&format!("/proc/{}/root/it", pod.main_pid("main", 0)?)))?;
    pod.delete()?;
    Ok(tree)
}
