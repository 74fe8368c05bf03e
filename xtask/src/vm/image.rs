//! Container images for the tests, written as `docker save` would: `busybox:1`, and `carob-work:1` with the
//! workloads. Nothing is pulled.

use std::{
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use flate2::{Compression, write::GzEncoder};
use serde_json::json;
use sha2::{Digest, Sha256};

use crate::{artefact::Recipe, place::Place, tool::tool};

/// Bumped when the code below writes something else.
const FORM: &str = "1";
const BUSYBOX: &str = "busybox.tar.gz";
const FILES: &[(&str, &str)] = &[
    (
        "etc/passwd",
        "root:x:0:0:root:/root:/bin/sh\nwork:x:1000:1000:work:/tmp:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n",
    ),
    ("etc/group", "root:x:0:\nwork:x:1000:\nextra:x:2000:work\nnogroup:x:65534:\n"),
    ("www/index.html", "carob\n"),
];

pub(crate) struct Images {
    pub(crate) archives: Vec<PathBuf>,
}

impl Images {
    /// `work` is the static binary whose verbs the test containers run.
    pub(crate) fn made(place: &Place, busybox: &Path, work: &Path) -> Result<Self> {
        let applets = tool(busybox).arg("--list").output()?;
        Self::of(place, "amd64", busybox, &applets, work)
    }

    /// busybox for arm64 does not run here to name its applets, and the shell has most of them built in.
    pub(crate) fn for_arm64(place: &Place, busybox: &Path, work: &Path) -> Result<Self> {
        Self::of(place, "arm64", busybox, "sh\n", work)
    }

    fn of(place: &Place, architecture: &str, busybox: &Path, applets: &str, work: &Path) -> Result<Self> {
        let shell = fs::read(busybox).with_context(|| format!("read {}", busybox.display()))?;
        let work = fs::read(work).with_context(|| format!("read {}", work.display()))?;
        let plain = self::busybox(place, architecture, &shell, applets)?;
        let busy = Recipe::new("image-work").with(&work).with_artefact(&plain);
        let busy = busy.in_cache(&place.cache, |dir| {
            let layer = layer(&shell, applets, Some(&work))?;
            let config = json!({ "Entrypoint": ["/work"], "Cmd": ["sleep"] });
            write(&dir.join("carob-work.tar.gz"), "carob-work:1", architecture, &config, &layer)
        })?;
        Ok(Self { archives: vec![plain.join(BUSYBOX), busy.join("carob-work.tar.gz")] })
    }
}

fn busybox(place: &Place, architecture: &str, shell: &[u8], applets: &str) -> Result<PathBuf> {
    let files = FILES.iter().flat_map(|(path, content)| [*path, *content]).collect::<String>();
    let recipe = Recipe::new("image").with(FORM).with(architecture).with(shell).with(applets).with(files);
    recipe.in_cache(&place.cache, |dir| {
        let layer = layer(shell, applets, None)?;
        write(&dir.join(BUSYBOX), "busybox:1", architecture, &json!({ "Cmd": ["sh"] }), &layer)
    })
}

fn layer(shell: &[u8], applets: &str, work: Option<&[u8]>) -> Result<Vec<u8>> {
    let mut tar = tar::Builder::new(Vec::new());
    for name in ["bin", "dev", "etc", "proc", "root", "sys", "www"] {
        entry(&mut tar, name, tar::EntryType::Directory, 0o755, &[])?;
    }
    entry(&mut tar, "tmp", tar::EntryType::Directory, 0o1777, &[])?;
    entry(&mut tar, "bin/busybox", tar::EntryType::Regular, 0o755, shell)?;
    for applet in applets.lines().filter(|applet| *applet != "busybox") {
        let mut header = header(tar::EntryType::Symlink, 0o777, 0);
        tar.append_link(&mut header, format!("bin/{applet}"), "busybox")?;
    }
    for (name, content) in FILES {
        entry(&mut tar, name, tar::EntryType::Regular, 0o644, content.as_bytes())?;
    }
    if let Some(work) = work {
        entry(&mut tar, "work", tar::EntryType::Regular, 0o755, work)?;
    }
    Ok(tar.into_inner()?)
}

/// Writes the archive: the image's configuration, its one layer, and the manifest that names both.
fn write(
    file: &Path,
    name: &str,
    architecture: &str,
    config: &serde_json::Value,
    layer: &[u8],
) -> Result<()> {
    let mut config = config.clone();
    config["Env"] = json!(["PATH=/bin"]);
    let config = json!({
        "architecture": architecture,
        "os": "linux",
        "created": "2026-01-01T00:00:00Z",
        "config": config,
        "rootfs": { "type": "layers", "diff_ids": [format!("sha256:{}", digest(layer))] },
        "history": [{ "created": "2026-01-01T00:00:00Z" }],
    })
    .to_string();
    let config_name = format!("{}.json", digest(config.as_bytes()));
    let manifest =
        json!([{ "Config": config_name, "RepoTags": [name], "Layers": ["layer.tar"] }]).to_string();
    let out = File::create(file).with_context(|| format!("create {}", file.display()))?;
    let mut tar = tar::Builder::new(GzEncoder::new(io::BufWriter::new(out), Compression::fast()));
    let parts = [
        (config_name.as_str(), config.as_bytes()),
        ("layer.tar", layer),
        ("manifest.json", manifest.as_bytes()),
    ];
    for (name, content) in parts {
        entry(&mut tar, name, tar::EntryType::Regular, 0o644, content)?;
    }
    Ok(tar.into_inner()?.finish()?.flush()?)
}

fn entry<W: Write>(
    tar: &mut tar::Builder<W>,
    name: &str,
    kind: tar::EntryType,
    mode: u32,
    content: &[u8],
) -> Result<()> {
    let mut header = header(kind, mode, content.len() as u64);
    tar.append_data(&mut header, name, content).with_context(|| format!("add {name} to an image"))
}

fn header(kind: tar::EntryType, mode: u32, size: u64) -> tar::Header {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_size(size);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header
}

fn digest(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}
