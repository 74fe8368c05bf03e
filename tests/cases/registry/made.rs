//! Images that hold what makes unpackers stumble, as OCI layouts in a folder; and trees, as they can be compared.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::{ffi::OsStrExt, fs::MetadataExt},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use rustix::fs::{XattrFlags, setxattr};
use ruzstd::encoding::{CompressionLevel, compress_to_vec};
use serde_json::{Value, json};

use crate::world::World;

/// The trees of three layers, in the folder $1: modes, owners, links of both kinds; what takes away and hides; names that
/// only PAX can say.
const TREES: &str = r#"
set -e
rm -rf "$1"; mkdir -p "$1"; cd "$1"
mkdir -p low/bin low/etc/d low/gone low/hidden/deep low/turned low/var/empty
printf '#!/bin/sh\n' > low/bin/sh; chmod 4755 low/bin/sh
ln low/bin/sh low/bin/ash; ln -s ../bin/sh low/etc/shell; ln -s nowhere low/etc/dangling
echo one > low/etc/d/one; chown 1234:77 low/etc/d/one; chmod 600 low/etc/d/one
mkfifo low/var/pipe; chmod 1777 low/var; chmod 700 low/var/empty; chown 5:6 low/var/empty
echo gone > low/gone/file; echo hidden > low/hidden/deep/file; echo turned > low/turned/file
truncate -s 1M low/var/sparse; printf end >> low/var/sparse
touch -d 2001-02-03T04:05:06Z low/etc/d/one

mkdir -p mid/gone mid/hidden mid/etc/d
touch mid/gone/.wh.file mid/hidden/.wh..wh..opq mid/.wh.turned
echo new > mid/hidden/new; echo two > mid/etc/d/one; ln mid/etc/d/one mid/etc/two

long=$(printf 'x%.0s' $(seq 150)); mkdir -p "high/$long/$long"
echo far > "high/$long/$long/$long"; echo u > "high/größe-日本"; ln "high/größe-日本" "high/$long/link"
echo turned > high/turned
"#;
const TARS: &str = r#"
set -e
cd "$1"
for tree in low mid high; do
    tar --format=pax --sort=name --xattrs --xattrs-include='*' --numeric-owner -C $tree -cf $tree.tar .
done
"#;
/// `cap_net_bind_service=ep`, as the kernel keeps it (capability.h, `vfs_cap_data` of revision 2).
const CAPABILITY: [u8; 20] = [1, 0, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];

/// The layers of an image, and how each is packed.
pub(super) enum Pack {
    Gzip,
    Zstd,
}

/// Makes the three tars.
pub(super) fn layers(world: &World, dir: &Path) -> Result<()> {
    let text = dir.display().to_string();
    world.command("sh", &["-c", TREES, "sh", &text])?;
    for (name, value) in [("user.note", &b"kept"[..]), ("security.capability", &CAPABILITY)] {
        let set = setxattr(dir.join("low/bin/sh"), name, value, XattrFlags::empty());
        set.with_context(|| format!("set the attribute {name}"))?;
    }
    world.command("sh", &["-c", TARS, "sh", &text]).map(drop)
}

/// An OCI layout of one image named `it`, of these layers.
pub(super) fn layout(world: &World, tars: &Path, to: &Path, layers: &[(&str, Pack)]) -> Result<()> {
    let blobs = to.join("blobs/sha256");
    fs::create_dir_all(&blobs)?;
    let put = |bytes: &[u8]| -> Result<Value> {
        let digest = digest(world, &to.join("blob"), bytes)?;
        fs::write(blobs.join(&digest), bytes)?;
        Ok(json!({"digest": format!("sha256:{digest}"), "size": bytes.len()}))
    };
    let (mut packed, mut plain) = (Vec::new(), Vec::new());
    for (name, pack) in layers {
        let tar = tars.join(format!("{name}.tar"));
        let bytes = fs::read(&tar)?;
        plain.push(format!("sha256:{}", digest(world, &to.join("blob"), &bytes)?));
        let (mut blob, kind) = match pack {
            Pack::Zstd => (put(&compress_to_vec(&bytes[..], CompressionLevel::Fastest))?, "zstd"),
            Pack::Gzip => {
                world.command("gzip", &["-kf", &tar.display().to_string()])?;
                (put(&fs::read(tars.join(format!("{name}.tar.gz")))?)?, "gzip")
            }
        };
        blob["mediaType"] = json!(format!("application/vnd.oci.image.layer.v1.tar+{kind}"));
        packed.push(blob);
    }
    let config = json!({
        "architecture": "amd64", "os": "linux", "config": {"Cmd": ["/bin/sh"]},
        "rootfs": {"type": "layers", "diff_ids": plain},
    });
    let mut config = put(config.to_string().as_bytes())?;
    config["mediaType"] = json!("application/vnd.oci.image.config.v1+json");
    let kind = "application/vnd.oci.image.manifest.v1+json";
    let manifest = json!({"schemaVersion": 2, "mediaType": kind, "config": config, "layers": packed});
    let mut entry = put(manifest.to_string().as_bytes())?;
    entry["mediaType"] = json!(kind);
    entry["annotations"] = json!({"org.opencontainers.image.ref.name": "it"});
    fs::write(to.join("index.json"), json!({"schemaVersion": 2, "manifests": [entry]}).to_string())?;
    fs::write(to.join("oci-layout"), r#"{"imageLayoutVersion": "1.0.0"}"#)?;
    fs::remove_file(to.join("blob")).context("clear up")
}

fn digest(world: &World, scratch: &Path, bytes: &[u8]) -> Result<String> {
    fs::write(scratch, bytes)?;
    let said = world.command("sha256sum", &[&scratch.display().to_string()])?;
    Ok(said.split(' ').next().context("sha256sum says nothing")?.to_owned())
}

/// Everything below a folder: type, mode, owner, links, attributes, content; by path.
pub(super) fn tree(root: &Path) -> Result<BTreeMap<PathBuf, String>> {
    let mut found = BTreeMap::new();
    let mut first = BTreeMap::new();
    walk(root, root, &mut first, &mut found)?;
    Ok(found)
}

fn walk(
    root: &Path,
    at: &Path,
    first: &mut BTreeMap<u64, PathBuf>,
    found: &mut BTreeMap<PathBuf, String>,
) -> Result<()> {
    let mut entries: Vec<_> = fs::read_dir(at)?.collect::<Result<_, _>>()?;
    entries.sort_by_key(fs::DirEntry::path);
    for entry in entries {
        let path = entry.path();
        let name = path.strip_prefix(root)?.to_owned();
        let about = path.symlink_metadata()?;
        let mut line = format!("{:o} {}:{}", about.mode(), about.uid(), about.gid());
        if about.is_file() {
            let linked = first.entry(about.ino()).or_insert_with(|| name.clone());
            let sum =
                fs::read(&path)?.iter().fold(0_u64, |sum, byte| sum.wrapping_mul(31) + u64::from(*byte));
            line += &format!(" {} bytes {sum:x} is {} at {}", about.len(), linked.display(), about.mtime());
        } else if about.is_symlink() {
            line += &format!(" to {}", fs::read_link(&path)?.display());
        }
        found.insert(name, line + &attributes(&path)?);
        if about.is_dir() {
            walk(root, &path, first, found)?;
        }
    }
    Ok(())
}

fn attributes(path: &Path) -> Result<String> {
    let mut names = vec![0; 4096];
    let length = rustix::fs::llistxattr(path, &mut names).context("list attributes")?;
    let mut line = String::new();
    for name in names[..length].split(|byte| *byte == 0).filter(|name| !name.is_empty()) {
        let name = std::ffi::OsStr::from_bytes(name);
        let mut value = [0; 256];
        let length = rustix::fs::lgetxattr(path, name, &mut value).context("read an attribute")?;
        line += &format!(" {}={:?}", name.to_string_lossy(), &value[..length]);
    }
    Ok(line)
}
