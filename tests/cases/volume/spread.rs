//! Mounts below a volume: which can be written to.

use std::fs;

use anyhow::{Context, Result, ensure};

use crate::{
    cases::pod::{manifest, shell},
    pods::Pod,
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
