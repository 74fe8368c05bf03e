//! An image archive, read as a stream into scratch space, and what images it says it holds.
//!
//! Reads what `docker save` writes (old and new), `podman save`, and OCI layouts in a tar. Checks every digest it is
//! told; changes nothing outside the scratch space.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, Chain, Cursor, Read},
    path::{Path, PathBuf},
};

use flate2::read::MultiGzDecoder;
use serde::de::DeserializeOwned;

use super::{
    Digest, Error, Limits,
    budget::Budget,
    digest::Hashing,
    disk::failed,
    entries::{Entries, Entry, Fault, Kind, Name, Spill, pour},
    format::{Blob, Descriptor, Listed, Platform, Saved, architecture},
    load::Incoming,
    reference::Reference,
    zstd::Frames,
};

const CONTAINERD_NAME: &str = "io.containerd.image.name";
const OCI_NAME: &str = "org.opencontainers.image.ref.name";
/// Links to a layer, and indexes in an index, that are followed.
const HOPS: u32 = 8;

/// An image that the archive holds whole.
pub(super) struct Candidate {
    pub(super) image: Incoming,
    /// The files that its layers are in.
    pub(super) packed: Vec<PathBuf>,
}

/// The archive's files, on disk.
struct Spool<'a> {
    files: BTreeMap<Name, Held>,
    limits: &'a Limits,
    /// What a file is once decompressed: a layer may serve several images.
    uncompressed: BTreeMap<PathBuf, Digest>,
}

enum Held {
    File {
        path: PathBuf,
        digest: Digest,
    },
    /// Old `docker save` links a layer that an image before had already.
    Link(Name),
}

/// Reads the whole archive into `directory` and checks it.
pub(super) fn read(archive: impl Read, directory: &Path, limits: &Limits) -> Result<Vec<Candidate>, Error> {
    let mut spool = Spool { files: BTreeMap::new(), limits, uncompressed: BTreeMap::new() };
    let plain = decompress(archive, "the archive")?;
    spool.fill(plain, directory).map_err(|source| Error::Archive { source })?;
    let candidates = spool.candidates()?;
    if candidates.is_empty() {
        Err(Error::NoPlatform { architecture: architecture() })
    } else {
        Ok(candidates)
    }
}

/// A tar stream, whatever it came in.
pub(super) enum Stream<R: Read> {
    Plain(Chain<Cursor<Vec<u8>>, R>),
    Gzip(MultiGzDecoder<Chain<Cursor<Vec<u8>>, R>>),
    Zstd(Box<Frames<Chain<Cursor<Vec<u8>>, R>>>),
}

/// Reads gzip, zstd or a plain tar, by its first bytes.
pub(super) fn decompress<R: Read>(mut from: R, name: &str) -> Result<Stream<R>, Error> {
    let mut magic = Vec::new();
    let read = from.by_ref().take(6).read_to_end(&mut magic);
    read.map_err(|source| Error::Corrupt { name: name.to_owned(), source })?;
    let kind = match magic.as_slice() {
        [0xfd, b'7', b'z', b'X', b'Z', ..] => "xz",
        [b'B', b'Z', b'h', ..] => "bzip2",
        [0x28, 0xb5, 0x2f, 0xfd, ..] => {
            return Ok(Stream::Zstd(Box::new(Frames::new(Cursor::new(magic).chain(from)))));
        }
        [0x1f, 0x8b, ..] => return Ok(Stream::Gzip(MultiGzDecoder::new(Cursor::new(magic).chain(from)))),
        _ => return Ok(Stream::Plain(Cursor::new(magic).chain(from))),
    };
    Err(Error::Compression { name: name.to_owned(), kind })
}

impl<R: Read> Read for Stream<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(plain) => plain.read(into),
            Self::Gzip(gzip) => gzip.read(into),
            Self::Zstd(zstd) => zstd.read(into),
        }
    }
}

impl Spool<'_> {
    fn fill(&mut self, plain: impl Read, directory: &Path) -> Result<(), Fault> {
        let Limits { archive_entries, archive_bytes, .. } = *self.limits;
        let mut budget = Budget::new(archive_entries, archive_bytes, directory);
        let mut archive = tar::Archive::new(plain);
        let mut entries = Entries::new(&mut archive, &mut budget)?;
        while let Some(entry) = entries.next()? {
            let name = entry.name.clone();
            let held = match &entry.kind {
                Kind::File => store(entry, &directory.join(self.files.len().to_string()))?,
                Kind::HardLink(target) => Held::Link(target.clone()),
                Kind::Symlink(target) => {
                    let out = || Fault::Name { name: String::from_utf8_lossy(target).into_owned() };
                    Held::Link(name.parent().follow(target).ok_or_else(out)?)
                }
                Kind::Directory | Kind::Fifo | Kind::Device => continue,
            };
            if self.files.insert(name.clone(), held).is_some() {
                return Err(Fault::Twice { name: name.to_string() });
            }
        }
        Ok(())
    }

    fn candidates(&mut self) -> Result<Vec<Candidate>, Error> {
        if self.file("manifest.json").is_ok() {
            let saved: Vec<Saved> = self.json("manifest.json")?;
            return saved.into_iter().map(|saved| self.saved(saved)).collect();
        }
        if self.file("index.json").is_err() {
            return Err(Error::NoManifest);
        }
        let mut found = Vec::new();
        for descriptor in self.index("index.json")? {
            found.push(self.listed(descriptor)?);
        }
        Ok(found)
    }

    fn saved(&mut self, saved: Saved) -> Result<Candidate, Error> {
        let tags = saved.repo_tags.unwrap_or_default();
        let names = tags.iter().map(|tag| Reference::parse(tag)).collect::<Result<_, _>>()?;
        // docker names a config after its digest, in one way or another.
        let stem = Path::new(&saved.config).file_stem().and_then(|stem| stem.to_str());
        if let Some(expected) = stem.and_then(Digest::from_hex) {
            self.expect(&saved.config, expected)?;
        }
        self.candidate(&saved.config, &saved.layers, names, None)
    }

    /// The manifests of an index that this box runs. A single one without a platform is taken at its word.
    fn index(&self, name: &str) -> Result<Vec<Descriptor>, Error> {
        match self.json(name)? {
            Listed::Index { manifests } => Ok(manifests
                .into_iter()
                .filter(|m| m.platform.as_ref().is_none_or(Platform::is_ours))
                .collect()),
            Listed::Manifest { .. } => Err(Error::NoManifest),
        }
    }

    fn listed(&mut self, mut descriptor: Descriptor) -> Result<Candidate, Error> {
        let names = oci_name(&descriptor).map(Reference::parse).transpose()?.into_iter().collect();
        let top = descriptor.digest;
        for _ in 0..HOPS {
            let blob = self.blob(descriptor.digest)?;
            match self.json(&blob)? {
                Listed::Manifest { config, layers } => {
                    let config = self.blob(config.digest)?;
                    let layers = layers.iter().map(|l| self.blob(l.digest)).collect::<Result<Vec<_>, _>>()?;
                    return self.candidate(&config, &layers, names, Some(top));
                }
                Listed::Index { .. } => {
                    let first = self.index(&blob)?.into_iter().next();
                    descriptor = first.ok_or(Error::NoPlatform { architecture: architecture() })?;
                }
            }
        }
        Err(Error::TooMany { what: "nested indexes", limit: HOPS.into() })
    }

    /// The name of a blob whose bytes were found to be what it is named after.
    fn blob(&self, digest: Digest) -> Result<String, Error> {
        let name = format!("blobs/sha256/{}", digest.hex());
        self.expect(&name, digest)?;
        Ok(name)
    }

    fn candidate(
        &mut self,
        config: &str,
        layers: &[String],
        names: Vec<Reference>,
        manifest: Option<Digest>,
    ) -> Result<Candidate, Error> {
        let (_, id) = self.file(config)?;
        let blob: Blob = self.json(config)?;
        let config = self.bytes(config)?;
        let (listed, expected) = (layers.len(), blob.rootfs.diff_ids.len());
        if listed != expected {
            return Err(Error::Layers { image: id, listed, expected });
        }
        if listed > self.limits.layers {
            return Err(Error::TooMany { what: "layers", limit: self.limits.layers as u64 });
        }
        let layers = layers.iter().zip(blob.rootfs.diff_ids);
        let layers =
            layers.map(|(name, diff_id)| self.layer(name, diff_id)).collect::<Result<Vec<_>, _>>()?;
        let (layers, packed) = layers.into_iter().unzip();
        Ok(Candidate { image: Incoming { id, config, names, manifest, layers }, packed })
    }

    fn layer(&mut self, name: &str, expected: Digest) -> Result<(Digest, PathBuf), Error> {
        let (path, packed) = self.file(name)?;
        let path = path.to_owned();
        let actual = match self.uncompressed.get(&path) {
            Some(digest) => *digest,
            None => digest_uncompressed(name, &path, packed, self.limits.unpacked_bytes)?,
        };
        self.uncompressed.insert(path.clone(), actual);
        if actual == expected {
            Ok((actual, path))
        } else {
            Err(Error::Digest { name: name.to_owned(), expected, actual })
        }
    }

    fn expect(&self, name: &str, expected: Digest) -> Result<(), Error> {
        let (_, actual) = self.file(name)?;
        if actual == expected {
            Ok(())
        } else {
            Err(Error::Digest { name: name.to_owned(), expected, actual })
        }
    }

    fn json<T: DeserializeOwned>(&self, name: &str) -> Result<T, Error> {
        serde_json::from_slice(&self.bytes(name)?)
            .map_err(|source| Error::Json { name: name.to_owned(), source })
    }

    fn bytes(&self, name: &str) -> Result<Vec<u8>, Error> {
        let (path, _) = self.file(name)?;
        let limit = self.limits.json_bytes;
        let size = fs::metadata(path).map_err(failed("read", path))?.len();
        if size > limit {
            return Err(Error::TooBig { name: name.to_owned(), limit });
        }
        fs::read(path).map_err(failed("read", path))
    }

    /// The file of that name, links followed within the archive.
    fn file(&self, name: &str) -> Result<(&Path, Digest), Error> {
        let mut at = Name::parse(name.as_bytes()).map_err(|source| Error::Archive { source })?;
        for _ in 0..HOPS {
            match self.files.get(&at) {
                Some(Held::File { path, digest }) => return Ok((path, *digest)),
                Some(Held::Link(target)) => at = target.clone(),
                None => return Err(Error::Missing { name: name.to_owned() }),
            }
        }
        Err(Error::TooMany { what: "links to one file", limit: HOPS.into() })
    }
}

/// What a file is once decompressed. `packed` is its own digest.
fn digest_uncompressed(name: &str, path: &Path, packed: Digest, limit: u64) -> Result<Digest, Error> {
    let file = File::open(path).map_err(failed("read", path))?;
    let layer = match decompress(file, name)? {
        Stream::Plain(_) => return Ok(packed),
        packed => packed,
    };
    let mut hash = Hashing::new(io::sink());
    let size = pour(&mut layer.take(limit.saturating_add(1)), &mut hash).map_err(|spill| {
        let (Spill::Read(source) | Spill::Write(source)) = spill;
        Error::Corrupt { name: name.to_owned(), source }
    })?;
    if size > limit { Err(Error::TooBig { name: name.to_owned(), limit }) } else { Ok(hash.digest()) }
}

fn store<R: Read>(mut entry: Entry<'_, R>, path: &Path) -> Result<Held, Fault> {
    let name = || entry.name.to_string();
    let written = |source| Fault::Write { what: "store", name: name(), source };
    let mut file = Hashing::new(File::create_new(path).map_err(written)?);
    let size = match pour(&mut entry.body, &mut file) {
        Ok(size) => size,
        Err(Spill::Read(source)) => return Err(Fault::Read { source }),
        Err(Spill::Write(source)) => return Err(Fault::Write { what: "store", name: name(), source }),
    };
    if size != entry.size {
        return Err(Fault::Cut { name: name() });
    }
    Ok(Held::File { path: path.to_owned(), digest: file.digest() })
}

/// The full reference, if a tool wrote one; OCI's own annotation is often just a tag, which names nothing.
fn oci_name(descriptor: &Descriptor) -> Option<&str> {
    let annotation = |key| descriptor.annotations.get(key).map(String::as_str);
    annotation(CONTAINERD_NAME).or_else(|| annotation(OCI_NAME).filter(|name| name.contains(['/', ':'])))
}
