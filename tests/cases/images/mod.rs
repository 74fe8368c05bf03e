//! The image store from outside: archives in and out, nothing left of what was refused, pods that wait for what is not
//! there, and damage that is noticed.

mod export;
mod folder;
mod room;
mod whole;

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result, ensure};

use super::Case;
use crate::{
    pods::{PATIENCE, Pod, one, ready},
    wire::Mode,
    world::{AGENT, World},
};

const STORE: &str = "/var/lib/carob/images";
const WORK: &str = "/tmp/carob-images";
/// Makes an image of one layer in the folder $1, with the name $2, as `docker save` would; with the program $3 as `work`,
/// if there is one. Its file `noise` cannot be compressed.
const MAKE: &str = r#"
set -e
rm -rf "$1"; mkdir -p "$1/root"; cd "$1"
echo hello > root/hello
head -c 100000 /dev/urandom > root/noise
[ -z "$3" ] || cp "$3" root/work
tar --owner=0 --group=0 -C root -cf layer.tar $(ls root)
layer=$(sha256sum layer.tar | cut -d' ' -f1)
printf '{"architecture":"amd64","os":"linux","config":{"Cmd":["/hello"]},"rootfs":{"type":"layers","diff_ids":["sha256:%s"]}}' "$layer" > config.json
printf '[{"Config":"config.json","RepoTags":["%s"],"Layers":["layer.tar"]}]' "$2" > manifest.json
tar -cf image.tar config.json layer.tar manifest.json
gzip -k image.tar
tar -cf headless.tar config.json manifest.json
"#;

pub(crate) fn cases() -> Vec<Case> {
    let case = |name, run| Case { name, mode: Mode::Shared, limit: Duration::from_secs(180), run };
    vec![
        case("an_archive_is_loaded_plain_gzipped_or_from_standard_input", loaded),
        case("what_is_damaged_is_refused_and_leaves_nothing", damaged),
        case("an_image_in_use_stays", in_use),
        case("a_pod_waits_for_its_image_and_others_run_on", awaited),
        case("what_is_exported_can_be_loaded_and_is_the_same_image", export::same),
        Case {
            limit: Duration::from_secs(420),
            ..case("a_damaged_layer_is_named_and_not_used", whole::damaged)
        },
        case("pruning_keeps_what_a_pod_needs", room::pruned),
        case("archives_in_the_folder_are_loaded_once_and_never_half", folder::dropped),
        case("a_folder_of_an_oci_layout_is_an_archive", folder::layout),
        Case {
            name: "a_full_disk_costs_images_that_nobody_needs_and_no_pod",
            mode: Mode::Alone,
            limit: Duration::from_secs(300),
            run: room::collected,
        },
    ]
}

/// An image of this run's own: its archives, and what its random file holds.
struct Made {
    dir: PathBuf,
    name: String,
    noise: Vec<u8>,
}

impl Made {
    fn new(world: &World, name: &str) -> Result<Self> {
        Self::of(world, name, "")
    }

    /// One that the workloads' pods can run.
    fn with_program(world: &World, name: &str) -> Result<Self> {
        Self::of(world, name, &std::env::current_exe()?.display().to_string())
    }

    fn of(world: &World, name: &str, program: &str) -> Result<Self> {
        let dir = Path::new(WORK).join(name);
        let name = format!("{name}:1");
        world.command("sh", &["-c", MAKE, "sh", &dir.display().to_string(), &name, program])?;
        let noise = fs::read(dir.join("root/noise"))?;
        Ok(Self { dir, name, noise })
    }

    fn path(&self, file: &str) -> String {
        self.dir.join(file).display().to_string()
    }

    /// The archive with one byte of its layer changed.
    fn flipped(&self) -> Result<Vec<u8>> {
        let mut bytes = fs::read(self.path("image.tar"))?;
        let at = bytes.windows(64).position(|some| some == &self.noise[..64]);
        bytes[at.context("the layer is not in the archive")? + 5000] ^= 1;
        Ok(bytes)
    }
}

impl Drop for Made {
    fn drop(&mut self) {
        // Best effort: the guest ends soon.
        drop(fs::remove_dir_all(&self.dir));
    }
}

/// Every file of the store with its size.
fn listing(dir: &Path) -> Result<BTreeMap<PathBuf, u64>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(dir).with_context(|| format!("read {}", dir.display()))? {
        let path = entry?.path();
        let about = path.symlink_metadata()?;
        if about.is_dir() {
            found.extend(listing(&path)?);
        }
        found.insert(path, if about.is_file() { about.len() } else { 0 });
    }
    Ok(found)
}

fn store() -> Result<BTreeMap<PathBuf, u64>> {
    listing(Path::new(STORE))
}

fn loaded(world: &World) -> Result<()> {
    ready(world)?;
    let image = Made::new(world, "loaded")?;
    let before = store()?;
    let from_stdin = format!("{AGENT} image load - < {}", image.path("image.tar.gz"));
    let (plain, zipped) = (image.path("image.tar"), image.path("image.tar.gz"));
    let ways: [(&str, &[&str]); 3] = [
        (AGENT, &["image", "load", &plain]),
        (AGENT, &["image", "load", &zipped]),
        ("sh", &["-c", &from_stdin]),
    ];
    let full = format!("docker.io/library/{}", image.name);
    for (program, words) in ways {
        let said = world.command(program, words)?;
        ensure!(said == format!("loaded {full}\n"), "{words:?} said {said:?}");
        let listed = world.carob_ok(&["image", "ls"])?;
        ensure!(listed.lines().any(|line| line.starts_with(&full)), "{words:?}: not listed:\n{listed}");
        let inside = store()?;
        let hello = inside.keys().find(|path| path.ends_with("tree/hello")).context("it is not unpacked")?;
        ensure!(fs::read_to_string(hello)? == "hello\n", "the layer's file is not what it was");
        let said = world.carob_ok(&["image", "rm", &image.name])?;
        ensure!(said == format!("removed {}\n", image.name), "rm said {said:?}");
        unchanged(&before).with_context(|| format!("after {words:?} and rm"))?;
    }
    let again = world.carob(&["image", "rm", &image.name])?;
    ensure!(again.code == Some(1) && again.stderr.contains("there is no image"), "rm said {again:?}");
    Ok(())
}

fn unchanged(before: &BTreeMap<PathBuf, u64>) -> Result<()> {
    let now = store()?;
    let new: Vec<_> = now.iter().filter(|(path, size)| before.get(*path) != Some(size)).collect();
    let lost: Vec<_> = before.keys().filter(|path| !now.contains_key(*path)).collect();
    ensure!(new.is_empty() && lost.is_empty(), "new or changed: {new:?}; lost: {lost:?}");
    Ok(())
}

fn damaged(world: &World) -> Result<()> {
    ready(world)?;
    let image = Made::new(world, "damaged")?;
    let (plain, zipped) = (fs::read(image.path("image.tar"))?, fs::read(image.path("image.tar.gz"))?);
    let cut = |bytes: &[u8]| bytes[..bytes.len() * 3 / 5].to_vec();
    let rows: [(&str, Vec<u8>, &str); 6] = [
        ("a byte of the layer is another", image.flipped()?, "the content of \"layer.tar\" is sha256:"),
        ("cut off", cut(&plain), "cannot unpack the archive"),
        ("cut off, gzip", cut(&zipped), "cannot unpack the archive"),
        ("a layer is not there", fs::read(image.path("headless.tar"))?, "\"layer.tar\" but does not have it"),
        ("no archive", b"kind: Pod\n".repeat(100), "cannot unpack the archive"),
        ("empty", Vec::new(), "no image archive"),
    ];
    let (before, listed) = (store()?, world.carob_ok(&["image", "ls"])?);
    for (what, bytes, wanted) in rows {
        let path = image.path("bad");
        fs::write(&path, bytes)?;
        let said = world.carob(&["image", "load", &path])?;
        let refused = said.code == Some(1) && said.stdout.is_empty() && said.stderr.contains(wanted);
        ensure!(refused, "{what}: {said:?}, without {wanted:?}");
        unchanged(&before).with_context(|| what.to_owned())?;
        ensure!(world.carob_ok(&["image", "ls"])? == listed, "{what}: other images are listed");
    }
    // Nothing that was refused stands in the way of the same image, whole.
    world.carob_ok(&["image", "load", &image.path("image.tar")])?;
    world.carob_ok(&["image", "rm", &image.name]).map(drop)
}

fn in_use(world: &World) -> Result<()> {
    let pod = Pod::apply(world, "image-user", &one("image-user", "sleep", "", ""))?;
    pod.await_running("main")?;
    let before = store()?;
    let said = world.carob(&["image", "rm", "carob-work:1"])?;
    ensure!(said.code == Some(1) && said.stderr.contains("is in use"), "rm said {said:?}");
    unchanged(&before)?;
    let state = pod.container("main")?["state"].clone();
    ensure!(state["running"].is_object(), "the pod's container is {state}");
    pod.delete()?;
    world.carob_ok(&["image", "rm", "carob-work:1"])?;
    let listed = world.carob_ok(&["image", "ls"])?;
    ensure!(!listed.contains("carob-work"), "it is still listed:\n{listed}");
    world.load_images()
}

fn awaited(world: &World) -> Result<()> {
    let manifest = |name: &str, policy: &str| {
        one(name, "exit 0", "", "")
            .replace("carob-work:1", "carob-late:1")
            .replace("imagePullPolicy: Never", &format!("imagePullPolicy: {policy}"))
    };
    let rows = [
        ("late-never", "Never", "ErrImageNeverPull", "not present"),
        ("late-absent", "IfNotPresent", "ImagePullBackOff", "cannot be pulled"),
    ];
    let mut pods = Vec::new();
    for (name, policy, reason, word) in rows {
        let pod = Pod::apply(world, name, &manifest(name, policy))?;
        let waiting = world.wait_until(&format!("{name} waits"), PATIENCE, || {
            let waiting = pod.container("main")?["state"]["waiting"].clone();
            ensure!(waiting["reason"] == reason, "it is {waiting}");
            Ok(waiting)
        })?;
        let message = waiting["message"].as_str().unwrap_or_default();
        ensure!(message.contains("carob-late:1") && message.contains(word), "it says {message:?}");
        ensure!(pod.object()?["status"]["phase"] == "Pending", "{name} is not pending");
        pods.push(pod);
    }
    let other = Pod::apply(world, "late-other", &one("late-other", "exit 0", "", ""))?;
    other.end("main", 0)?;
    load_work_as(world, "carob-late:1")?;
    for pod in &pods {
        let end = pod.end("main", 0)?;
        ensure!(end["exitCode"] == 0, "its end is {end}");
        let status = pod.container("main")?;
        ensure!(status["restartCount"] == 0, "waiting counted as a restart: {status}");
        pod.delete()?;
    }
    world.carob_ok(&["image", "rm", "carob-late:1"]).map(drop)
}

/// The workloads' image under another name.
fn load_work_as(world: &World, name: &str) -> Result<()> {
    let files = world.payload_files("images")?;
    let archive = files.iter().find(|file| file.ends_with("carob-work.tar.gz")).context("no work image")?;
    let script = r#"
        set -e
        rm -rf "$1"; mkdir -p "$1"; cd "$1"
        tar -xzf "$2"
        sed -i "s/carob-work:1/$4/" manifest.json
        tar -cf - * | "$3" image load -
        rm -rf "$1"
    "#;
    let (dir, archive) = (format!("{WORK}/renamed"), archive.display().to_string());
    world.command("sh", &["-c", script, "sh", &dir, &archive, AGENT, name]).map(drop)
}
