//! Archives and layers built in memory for the tests, hostile ones too. Builds; checks nothing.

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
};

use flate2::{Compression, write::GzEncoder};
use serde_json::{Value, json};
use tar::{Builder, EntryType, Header};

use super::Digest;

pub(super) const MODIFIED: u64 = 1_700_000_000;

/// A directory that goes when the test ends, however it ends.
pub(super) struct Temporary(PathBuf);

impl Temporary {
    pub(super) fn new() -> Self {
        let path = std::env::temp_dir().join(format!("carob-image-{}", uuid::Uuid::new_v4()));
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        super::disk::empty(&self.0).and_then(|()| fs::remove_dir(&self.0)).unwrap();
    }
}

/// Whether this test can own files, make whiteouts and mount. Says so if it cannot.
pub(super) fn is_root(test: &str) -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        eprintln!("SKIPPED, NOT TESTED: {test} needs root");
    }
    root
}

/// A tar in the making. Names are written as they are: `..`, absolute, whatever.
pub(super) struct Tar(Builder<Vec<u8>>);

impl Tar {
    pub(super) fn new() -> Self {
        Self(Builder::new(Vec::new()))
    }

    pub(super) fn dir(self, name: &str) -> Self {
        self.entry(EntryType::Directory, name, "", 0o755, b"")
    }

    pub(super) fn file(self, name: &str, body: impl AsRef<[u8]>) -> Self {
        self.entry(EntryType::Regular, name, "", 0o644, body.as_ref())
    }

    pub(super) fn symlink(self, name: &str, target: &str) -> Self {
        self.entry(EntryType::Symlink, name, target, 0o777, b"")
    }

    pub(super) fn hard_link(self, name: &str, target: &str) -> Self {
        self.entry(EntryType::Link, name, target, 0o644, b"")
    }

    pub(super) fn of(self, kind: EntryType, name: &str) -> Self {
        self.entry(kind, name, "", 0o600, b"")
    }

    /// A PAX record for the entry that follows.
    pub(super) fn pax(mut self, key: &str, value: &[u8]) -> Self {
        self.0.append_pax_extensions([(key, value)]).unwrap();
        self
    }

    pub(super) fn entry(self, kind: EntryType, name: &str, link: &str, mode: u32, body: &[u8]) -> Self {
        self.sized(kind, name, link, mode, body, body.len() as u64)
    }

    /// An entry that may lie about its size.
    pub(super) fn sized(
        mut self,
        kind: EntryType,
        name: &str,
        link: &str,
        mode: u32,
        body: &[u8],
        size: u64,
    ) -> Self {
        let mut header = Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_uid(rustix::process::geteuid().as_raw().into());
        header.set_gid(rustix::process::getegid().as_raw().into());
        header.set_mtime(MODIFIED);
        header.set_size(size);
        header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
        header.as_old_mut().linkname[..link.len()].copy_from_slice(link.as_bytes());
        header.set_cksum();
        self.0.append(&header, body).unwrap();
        self
    }

    pub(super) fn owned(mut self, name: &str, mode: u32, uid: u64, gid: u64) -> Self {
        let mut header = Header::new_gnu();
        header.set_mode(mode);
        header.set_uid(uid);
        header.set_gid(gid);
        header.set_mtime(MODIFIED);
        header.set_size(0);
        self.0.append_data(&mut header, name, &[][..]).unwrap();
        self
    }

    pub(super) fn done(self) -> Vec<u8> {
        self.0.into_inner().unwrap()
    }
}

pub(super) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
    packed.write_all(bytes).unwrap();
    packed.finish().unwrap()
}

/// An image for an archive: its tags, and its layers as plain tars.
pub(super) struct Built<'a> {
    pub(super) tags: &'a [&'a str],
    pub(super) layers: &'a [&'a [u8]],
}

impl Built<'_> {
    pub(super) fn config(&self) -> Vec<u8> {
        config(self.layers.iter().map(|layer| Digest::of(layer)).collect())
    }

    pub(super) fn id(&self) -> Digest {
        Digest::of(&self.config())
    }
}

pub(super) fn config(diff_ids: Vec<Digest>) -> Vec<u8> {
    let defaults = json!({
        "Entrypoint": ["/bin/tini", "--"], "Cmd": ["serve"], "Env": ["PATH=/bin", "EMPTY=", "EQ=a=b"],
        "WorkingDir": "/srv", "User": "", "StopSignal": "SIGINT", "Volumes": null, "Labels": {"a": "b"},
    });
    let all = json!({
        "architecture": "amd64", "os": "linux", "created": "2026-01-01T00:00:00Z", "config": defaults,
        "rootfs": {"type": "layers", "diff_ids": diff_ids}, "history": [{"empty_layer": true}],
    });
    all.to_string().into_bytes()
}

/// As `docker save` writes it: one file for each layer, manifest.json last.
pub(super) fn docker(images: &[Built<'_>], pack: fn(&[u8]) -> Vec<u8>) -> Vec<u8> {
    let mut files = std::collections::BTreeMap::new();
    let mut manifest = Vec::new();
    for image in images {
        let config = format!("{}.json", image.id().hex());
        let name = |layer: &&[u8]| format!("{}/layer.tar", &Digest::of(layer).hex()[..40]);
        let names: Vec<_> = image.layers.iter().map(name).collect();
        manifest.push(json!({"Config": config, "RepoTags": image.tags, "Layers": names}));
        files.extend(names.into_iter().zip(image.layers.iter().map(|layer| pack(layer))));
        files.insert(config, image.config());
    }
    let tar = files.into_iter().fold(Tar::new(), |tar, (name, bytes)| tar.file(&name, bytes));
    with_manifest(tar, &Value::Array(manifest))
}

pub(super) fn with_manifest(tar: Tar, manifest: &Value) -> Vec<u8> {
    tar.file("manifest.json", manifest.to_string()).done()
}

/// As `skopeo copy … oci-archive:` writes it, with an index inside the index and an image for another machine.
pub(super) fn oci(image: &Built<'_>, annotation: (&str, &str)) -> (Vec<u8>, Digest) {
    let blob = |digest: Digest| format!("blobs/sha256/{}", digest.hex());
    let layers: Vec<_> = image.layers.iter().map(|layer| gzip(layer)).collect();
    let point = |bytes: &[u8]| json!({"digest": Digest::of(bytes), "size": bytes.len(), "mediaType": "x"});
    let described: Vec<_> = layers.iter().map(|layer| point(layer)).collect();
    let manifest =
        json!({"schemaVersion": 2, "config": point(&image.config()), "layers": described}).to_string();
    let (mut ours, mut other) = (point(manifest.as_bytes()), point(b"not in the archive"));
    ours["platform"] = json!({"os": "linux", "architecture": super::format::architecture()});
    other["platform"] = json!({"os": "plan9", "architecture": "mips"});
    let inner = json!({"schemaVersion": 2, "manifests": [other, ours]}).to_string();
    let mut top = point(inner.as_bytes());
    top["annotations"] = json!({annotation.0: annotation.1});
    let index = json!({"schemaVersion": 2, "manifests": [top]}).to_string();
    let mut tar = Tar::new().file("oci-layout", "{}").file("index.json", index);
    for bytes in
        layers.iter().map(Vec::as_slice).chain([manifest.as_bytes(), inner.as_bytes(), &image.config()])
    {
        tar = tar.file(&blob(Digest::of(bytes)), bytes);
    }
    (tar.done(), Digest::of(inner.as_bytes()))
}

/// The message of an error and of all it came from.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

/// Everything below `root`, sorted, as `path kind` — what a test compares before and after.
pub(super) fn listing(root: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut todo = vec![root.to_owned()];
    while let Some(directory) = todo.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.symlink_metadata().unwrap().is_dir() {
                todo.push(path.clone());
            }
            found.push(path.strip_prefix(root).unwrap().display().to_string());
        }
    }
    found.sort();
    found
}
