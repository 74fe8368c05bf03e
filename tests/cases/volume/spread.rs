//! Mounts below a volume: which can be written to, and who sees those that are made while a container runs.

use std::fs;

use anyhow::{Context, Result, ensure};

use crate::{
    cases::pod::{manifest, shell},
    pods::{PATIENCE, Pod, apply, ready},
    world::World,
};

/// A tmpfs of the box that goes when the case ends.
struct Mounted<'w> {
    world: &'w World,
    path: String,
}

impl<'w> Mounted<'w> {
    fn new(world: &'w World, path: &str) -> Result<Self> {
        fs::create_dir_all(path).with_context(|| format!("make {path}"))?;
        world.command("mount", &["-t", "tmpfs", "none", path])?;
        Ok(Self { world, path: path.to_owned() })
    }
}

impl Drop for Mounted<'_> {
    fn drop(&mut self) {
        // Best effort: the guest ends soon.
        drop(self.world.command("umount", &["-l", &self.path]));
    }
}

fn spec(place: &str) -> String {
    format!("  volumes: [{{ name: box, hostPath: {{ path: {place}, type: DirectoryOrCreate }} }}]\n")
}

fn mount(path: &str, more: &str) -> String {
    format!("      volumeMounts: [{{ name: box, mountPath: {path}, {more} }}]\n")
}

pub(super) fn read_only(world: &World) -> Result<()> {
    let place = "/var/tmp/carob-read-only";
    let inner = Mounted::new(world, &format!("{place}/inner"))?;
    let script = "for dir in /at /at/inner; do if echo x > $dir/file; then echo $dir written; fi; done 2> /dev/null; echo done";
    let rows = [
        ("plain", "readOnly: true", "/at/inner written\ndone\n"),
        ("all", "readOnly: true, recursiveReadOnly: Enabled", "done\n"),
        ("possible", "readOnly: true, recursiveReadOnly: IfPossible", "done\n"),
        ("neither", "readOnly: false", "/at written\n/at/inner written\ndone\n"),
    ];
    let containers = rows.map(|(name, more, _)| shell(name, script, &mount("/at", more)));
    let spec = format!("  restartPolicy: Never\n{}", spec(place));
    let pod = Pod::apply(world, "read-only-below", &manifest("read-only-below", &spec, &containers))?;
    for (name, _, wanted) in rows {
        pod.end(name, 0)?;
        let said = pod.logs(name)?;
        ensure!(said == wanted, "{name} said {said:?}");
    }
    pod.delete()?;
    drop(inner);
    fs::remove_dir_all(place).context("remove the directory")
}

/// Says what it sees as often as that changes.
fn watcher(name: &str, places: &[&str], more: &str) -> String {
    let script = format!(
        "trap 'exit 0' TERM; while :; do now=$(cd /at && cat {} 2> /dev/null); [ \"$now\" = \"$then\" ] || echo \"now: \"$now; then=$now; sleep 0.2; done",
        places.join(" ")
    );
    shell(name, &script, more)
}

fn write(path: &str, text: &str) -> Result<()> {
    fs::write(path, text).with_context(|| format!("write {path}"))
}

/// The last thing a container has said.
fn sees(world: &World, pod: &Pod<'_>, name: &str, wanted: &str) -> Result<()> {
    world.wait_until(&format!("{name} sees {wanted:?}"), PATIENCE, || {
        let said = pod.logs(name)?;
        let last = said.lines().next_back().unwrap_or_default();
        ensure!(last.trim() == format!("now: {wanted}").trim(), "it said {said:?}");
        Ok(())
    })
}

pub(super) fn from_the_box(world: &World) -> Result<()> {
    let place = "/var/tmp/carob-from-the-box";
    for dir in ["before", "later", "part"] {
        fs::create_dir_all(format!("{place}/{dir}")).context("make the volume")?;
    }
    let before = Mounted::new(world, &format!("{place}/before"))?;
    fs::create_dir_all(format!("{place}/before/deep")).context("make a place in it")?;
    write(&format!("{place}/before/file"), "before ")?;
    let places = ["before/file", "later/file", "before/deep/file", "file"];
    let part = "subPath: part, mountPropagation: HostToContainer";
    let containers = [
        watcher("none", &places, &mount("/at", "mountPropagation: None")),
        watcher("unsaid", &places, &mount("/at", "readOnly: true")),
        watcher("follows", &places, &mount("/at", "mountPropagation: HostToContainer")),
        watcher("reads", &places, &mount("/at", "mountPropagation: HostToContainer, readOnly: true")),
        watcher("part", &places, &mount("/at", part)),
    ];
    let pod = Pod::apply(world, "from-the-box", &manifest("from-the-box", &spec(place), &containers))?;
    for name in ["none", "unsaid", "follows", "reads"] {
        sees(world, &pod, name, "before")?;
    }
    pod.await_running("part")?;
    let later = Mounted::new(world, &format!("{place}/later"))?;
    write(&format!("{place}/later/file"), "later ")?;
    let deep = Mounted::new(world, &format!("{place}/before/deep"))?;
    write(&format!("{place}/before/deep/file"), "deep ")?;
    let below = Mounted::new(world, &format!("{place}/part/below"))?;
    write(&format!("{place}/part/below/file"), "part ")?;
    write(&format!("{place}/part/file"), "seen")?;
    sees(world, &pod, "part", "seen")?;
    for name in ["follows", "reads"] {
        sees(world, &pod, name, "before later deep")?;
    }
    for name in ["none", "unsaid"] {
        let said = pod.logs(name)?;
        ensure!(said.trim() == "now: before", "{name} said {said:?}");
    }
    // What goes on the box goes in the container, and the end of the pod takes nothing from the box.
    drop(deep);
    for name in ["follows", "reads"] {
        sees(world, &pod, name, "before later")?;
    }
    pod.delete()?;
    let table = fs::read_to_string("/proc/self/mountinfo").context("read the mount table")?;
    for mounted in [&before, &later, &below] {
        ensure!(table.contains(&format!(" {} ", mounted.path)), "{} is gone", mounted.path);
    }
    drop((before, later, below));
    fs::remove_dir_all(place).context("remove the directory")
}

pub(super) fn to_the_box(world: &World) -> Result<()> {
    let place = "/var/tmp/carob-to-the-box";
    fs::create_dir_all(place).with_context(|| format!("make {place}"))?;
    let script = "mkdir -p /at/made /own/made && mount -t tmpfs none /at/made && mount -t tmpfs none /own/made && \
                  echo made > /at/made/file && echo own > /own/made/file && echo mounted; \
                  trap 'umount /at/made; exit 0' TERM; while :; do sleep 0.2; done";
    let mounts = |at: &str, own: &str, more: &str| {
        format!(
            "      securityContext: {{ privileged: {more} }}\n      volumeMounts:\n      - {{ name: box, mountPath: /at, mountPropagation: {at} }}\n      - {{ name: own, mountPath: /own, mountPropagation: {own} }}\n      - {{ name: own, mountPath: /at/own, mountPropagation: None }}\n"
        )
    };
    let spec = format!(
        "  volumes: [{{ name: box, hostPath: {{ path: {place} }} }}, {{ name: own, emptyDir: {{ }} }}]\n"
    );
    let watching = "trap 'exit 0' TERM; while :; do now=$(cat /at/made/file /own/made/file 2> /dev/null); [ \"$now\" = \"$then\" ] || echo \"now: \"$now; then=$now; sleep 0.2; done";
    let containers = [
        shell("maker", script, &mounts("Bidirectional", "Bidirectional", "true")),
        shell("watcher", watching, &mounts("HostToContainer", "HostToContainer", "false")),
    ];
    let text = manifest("to-the-box", &spec, &containers);
    ready(world)?;
    let refused = apply(world, "to-the-box", &text.replace("privileged: true", "privileged: false"))?;
    let why = "to-the-box.yaml:14:56: spec.containers[0].volumeMounts[0].mountPropagation: Bidirectional mount propagation is available only to privileged containers";
    ensure!(refused.code != Some(0) && refused.stderr.contains(why), "apply says {refused:?}");
    let pod = Pod::apply(world, "to-the-box", &text)?;
    sees(world, &pod, "watcher", "made own")?;
    let file = format!("{place}/made/file");
    let text = fs::read_to_string(&file).with_context(|| format!("read {file}"))?;
    ensure!(text == "made\n", "{file} has {text:?}");
    let mounted = || -> Result<Vec<String>> {
        let table = fs::read_to_string("/proc/self/mountinfo").context("read the mount table")?;
        let points = table.lines().filter_map(|line| line.split(' ').nth(4).map(str::to_owned));
        Ok(points.filter(|point| point.starts_with(place) || point.contains(pod.uid())).collect())
    };
    let now = mounted()?;
    let at = format!("{place}/made");
    ensure!(now.contains(&at) && now.iter().any(|point| point.ends_with("/own/made")), "mounted are {now:?}");
    ensure!(!now.contains(&format!("{place}/own")), "a volume of the pod is mounted on the box: {now:?}");
    pod.delete()?;
    let left = mounted()?;
    ensure!(left.is_empty(), "left are {left:?}");
    fs::remove_dir_all(place).context("remove the directory")
}
