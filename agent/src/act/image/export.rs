//! Store → archive: what `docker load`, `podman load` and `carob image load` take.
//!
//! It is docker's archive and an OCI layout in one, as docker writes it since 25: both name the same blobs. Layers go out
//! unpacked, made again from their recipes and under the digests that the image's config has, so the image keeps its id.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{self, Write},
};

use serde_json::{Value, json};
use tar::Header;

use super::{
    Digest, Error, Flaw, Found, Store,
    digest::Hashing,
    disk,
    format::Blob,
    names::Names,
    reference::{Reference, Version},
};

const BLOCK: u64 = 512;
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";

/// Images that can be sent: all of them were found whole.
#[derive(Debug)]
pub(crate) struct Export {
    images: Vec<Exported>,
    /// Each once, with the size of its tar.
    layers: BTreeMap<Digest, u64>,
}

#[derive(Debug)]
struct Exported {
    id: Digest,
    /// The names it goes out under, and their tags; digests are no names in an archive.
    names: Vec<(String, String)>,
    config: Vec<u8>,
    layers: Vec<Digest>,
    manifest: Vec<u8>,
}

impl Store {
    /// Looks at what is to be sent. An image goes out under the name that was given, or, given its id, under all it has.
    pub(crate) fn export(&self, texts: &[String]) -> Result<Export, Error> {
        let names = Names::read(&self.names_path())?;
        let mut wanted: BTreeMap<Digest, BTreeSet<String>> = BTreeMap::new();
        for text in texts {
            let found = self.resolve(text, &names)?;
            let found = found.ok_or_else(|| Error::NotFound { text: text.clone() })?;
            let given = match &found {
                Found::Name(name, _) => vec![name.to_string()],
                Found::Id(id) => names.of(*id),
            };
            wanted.entry(found.id()).or_default().extend(given);
        }
        let mut export = Export { images: Vec::new(), layers: BTreeMap::new() };
        for (id, names) in wanted {
            let image = self.exported(id, &names, &mut export.layers)?;
            export.images.push(image);
        }
        Ok(export)
    }

    fn exported(
        &self,
        id: Digest,
        names: &BTreeSet<String>,
        known: &mut BTreeMap<Digest, u64>,
    ) -> Result<Exported, Error> {
        let blob: Blob = self.blob(id)?.ok_or_else(|| Error::NotFound { text: id.to_string() })?;
        let layers = blob.rootfs.diff_ids;
        for layer in &layers {
            if !known.contains_key(layer) {
                known.insert(*layer, self.packable(id, *layer)?);
            }
        }
        let tagged = |name: &String| match Reference::parse(name) {
            Ok(Reference { version: Version::Tag(tag), .. }) => Some((name.clone(), tag)),
            _ => None,
        };
        let names = names.iter().filter_map(tagged).collect();
        let config = disk::read(&self.config_path(id))?.unwrap_or_default();
        let manifest = manifest(&config, &layers, known);
        Ok(Exported { id, names, config, layers, manifest })
    }

    /// The size of a layer's tar, once the layer is known to be whole.
    fn packable(&self, image: Digest, layer: Digest) -> Result<u64, Error> {
        let damaged = |flaw| Error::damaged(image, layer, flaw);
        self.ensure_digest(layer).map_err(damaged)?;
        self.facts(layer).map_err(damaged)?.tar.ok_or(Error::NoRecipe { image, layer })
    }

    /// Writes the archive.
    pub(crate) fn send(&self, export: &Export, to: &mut impl Write) -> Result<(), Error> {
        for (name, bytes) in export.small() {
            begin(to, &name, bytes.len() as u64)
                .and_then(|()| to.write_all(&bytes))
                .and_then(|()| pad(to, bytes.len() as u64))
                .map_err(|source| Error::Send { source })?;
        }
        for (layer, size) in &export.layers {
            begin(to, &blob(*layer), *size).map_err(|source| Error::Send { source })?;
            self.send_layer(export, *layer, *size, to)?;
            pad(to, *size).map_err(|source| Error::Send { source })?;
        }
        to.write_all(&[0; 2 * BLOCK as usize]).map_err(|source| Error::Send { source })
    }

    /// It was whole a moment ago; what has gone out before it turned out to be another cannot be taken back.
    fn send_layer(
        &self,
        export: &Export,
        layer: Digest,
        size: u64,
        to: &mut impl Write,
    ) -> Result<(), Error> {
        let image = export.images.iter().find(|image| image.layers.contains(&layer));
        let image = image.map_or(layer, |image| image.id);
        let damaged = |flaw| Error::damaged(image, layer, flaw);
        let mut hash = Hashing::new(to);
        let sent = self.pack(layer, &mut hash).map_err(|error| match error.downcast::<Flaw>() {
            Ok(flaw) => damaged(flaw),
            Err(source) => Error::Send { source },
        })?;
        let actual = hash.digest();
        if (actual, sent) == (layer, size) { Ok(()) } else { Err(damaged(Flaw::Digest { actual })) }
    }
}

impl Export {
    /// All that is no layer: what says what the archive is comes first.
    fn small(&self) -> Vec<(String, Vec<u8>)> {
        let text = |value: Value| value.to_string().into_bytes();
        let mut files = vec![
            ("oci-layout".to_owned(), text(json!({"imageLayoutVersion": "1.0.0"}))),
            ("index.json".to_owned(), text(self.index())),
            ("manifest.json".to_owned(), text(self.docker())),
        ];
        let blobs = self.images.iter().flat_map(|image| [&image.config, &image.manifest]);
        files.extend(blobs.map(|bytes| (blob(Digest::of(bytes)), bytes.clone())));
        files
    }

    fn docker(&self) -> Value {
        let entry = |image: &Exported| {
            let tags: Vec<_> = image.names.iter().map(|(name, _)| name).collect();
            let layers: Vec<_> = image.layers.iter().map(|layer| blob(*layer)).collect();
            json!({"Config": blob(image.id), "RepoTags": tags, "Layers": layers})
        };
        self.images.iter().map(entry).collect()
    }

    fn index(&self) -> Value {
        let manifests = self.images.iter().flat_map(|image| {
            let plain = described(MANIFEST, Digest::of(&image.manifest), image.manifest.len() as u64);
            let named = image.names.iter().map(|(name, tag)| {
                json!({"io.containerd.image.name": name, "org.opencontainers.image.ref.name": tag})
            });
            let mut descriptors: Vec<Value> = named
                .map(|annotations| {
                    let mut descriptor = plain.clone();
                    descriptor["annotations"] = annotations;
                    descriptor
                })
                .collect();
            if descriptors.is_empty() {
                descriptors.push(plain);
            }
            descriptors
        });
        json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": manifests.collect::<Vec<_>>()})
    }
}

fn manifest(config: &[u8], layers: &[Digest], sizes: &BTreeMap<Digest, u64>) -> Vec<u8> {
    let layer = |layer: &Digest| described(LAYER, *layer, sizes.get(layer).copied().unwrap_or_default());
    let config = described(CONFIG, Digest::of(config), config.len() as u64);
    let layers: Vec<_> = layers.iter().map(layer).collect();
    json!({"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": layers})
        .to_string()
        .into_bytes()
}

fn described(kind: &str, digest: Digest, size: u64) -> Value {
    json!({"mediaType": kind, "digest": digest, "size": size})
}

fn blob(digest: Digest) -> String {
    format!("blobs/sha256/{}", digest.hex())
}

/// One header. Nothing in it but name and size: two exports of one image are the same bytes.
fn begin(to: &mut impl Write, name: &str, size: u64) -> io::Result<()> {
    let mut header = Header::new_gnu();
    header.set_path(name)?;
    header.set_size(size);
    header.set_mode(0o644);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_cksum();
    to.write_all(header.as_bytes())
}

fn pad(to: &mut impl Write, size: u64) -> io::Result<()> {
    let over = usize::try_from(size % BLOCK).map_err(io::Error::other)?;
    if over == 0 { Ok(()) } else { to.write_all(&[0; BLOCK as usize][over..]) }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::{
        super::{
            InUse,
            fixture::{Built, Tar, Temporary, docker, gzip, listing},
        },
        *,
    };

    fn exported(store: &Store, names: &[&str]) -> Vec<u8> {
        let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut archive = Vec::new();
        store.send(&store.export(&names).unwrap(), &mut archive).unwrap();
        archive
    }

    #[test]
    fn what_is_exported_can_be_loaded_and_is_the_same() {
        let base = Tar::new().dir("bin").file("bin/sh", "#!".repeat(900)).symlink("bin/ash", "sh").done();
        let twice = Tar::new().file("a", "1").file("a", "2").done();
        let images = [
            Built { tags: &["box:1", "localhost/box"], layers: &[&base, &twice] },
            Built { tags: &["other"], layers: &[&base] },
        ];
        let (from, to) = (Temporary::new(), Temporary::new());
        let store = Store::open(from.path()).unwrap();
        store.load(&docker(&images, gzip)[..]).unwrap();
        let other = Store::open(to.path()).unwrap();
        let check = |names: &[&str], expected: &[(Digest, &[&str])]| {
            let archive = exported(&store, names);
            assert_eq!(archive, exported(&store, names));
            other.load(&archive[..]).unwrap();
            let mut found = other.list().unwrap();
            let mut expected: Vec<_> = expected
                .iter()
                .map(|(id, names)| (*id, names.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>()))
                .collect();
            expected.sort();
            found.sort_by_key(|image| image.id);
            assert_eq!(
                found.iter().map(|image| (image.id, image.names.clone())).collect::<Vec<_>>(),
                expected
            );
            for image in found {
                other.remove(&image.id.to_string(), &InUse::default()).unwrap();
            }
        };
        let (first, second) = (images[0].id(), images[1].id());
        check(&["box:1"], &[(first, &["docker.io/library/box:1"])]);
        check(
            &["box:1", "other", "box:1"],
            &[(first, &["docker.io/library/box:1"]), (second, &["docker.io/library/other:latest"])],
        );
        check(&[&first.hex()[..12]], &[(first, &["docker.io/library/box:1", "localhost/box:latest"])]);
        // All of it, and on the disk: the same tree, and whole.
        let all = exported(&store, &[&first.to_string(), "other"]);
        other.load(&all[..]).unwrap();
        assert_eq!(listing(&to.path().join("layers")), listing(&from.path().join("layers")));
        assert!(
            other
                .verify(None)
                .unwrap()
                .iter()
                .all(|image| image.damage.is_empty() && image.counted.is_empty())
        );
    }

    #[test]
    fn it_is_an_oci_layout_as_well() {
        let base = Tar::new().file("x", "1").done();
        let images = [Built { tags: &["box:1"], layers: &[&base] }];
        let (from, to) = (Temporary::new(), Temporary::new());
        let store = Store::open(from.path()).unwrap();
        store.load(&docker(&images, gzip)[..]).unwrap();
        let archive = exported(&store, &["box:1"]);
        // Without docker's list there is only the layout.
        let at = archive.windows(13).position(|some| some == b"manifest.json").unwrap();
        let size = archive[at + 124..at + 136].iter().filter(|c| c.is_ascii_digit());
        let size = size.fold(0, |size, c| size * 8 + usize::from(c - b'0')).next_multiple_of(512);
        let layout = [&archive[..at], &archive[at + 512 + size..]].concat();
        let other = Store::open(to.path()).unwrap();
        let loaded = other.load(&layout[..]).unwrap();
        assert_eq!(
            (loaded[0].id, &loaded[0].names[..]),
            (images[0].id(), &["docker.io/library/box:1".to_owned()][..])
        );
    }

    #[test]
    fn what_cannot_be_exported_is_named_before_anything_is_sent() {
        let base = Tar::new().file("x", "1").done();
        let temporary = Temporary::new();
        let store = Store::open(temporary.path()).unwrap();
        store.load(&docker(&[Built { tags: &["box"], layers: &[&base] }], gzip)[..]).unwrap();
        let layer = store.layer_path(Digest::of(&base));
        let attempt = |name: &str| store.export(&[name.to_owned()]).unwrap_err();
        assert!(matches!(attempt("absent"), Error::NotFound { .. }));
        fs::write(layer.join("facts.json"), r#"{"entries": 1, "bytes": 1, "devices": 0, "opaque": false}"#)
            .unwrap();
        assert!(matches!(attempt("box"), Error::NoRecipe { layer, .. } if layer == Digest::of(&base)));
        fs::write(layer.join("tree/x"), "").unwrap();
        assert!(matches!(attempt("box"), Error::Damaged { .. }));
    }
}
