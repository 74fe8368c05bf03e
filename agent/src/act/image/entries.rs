//! The entries of a tar stream with their extensions applied: long names and PAX records.
//!
//! The `tar` crate splits the stream into raw headers; the extensions are read here because it would read them into
//! memory whatever their size, and ends a PAX value at a newline, which a file capability may well contain.
//! Decides nothing about what an entry may do to a disk; that is `unpack`.

use std::{
    ffi::OsStr,
    fmt,
    io::{self, Read},
    os::unix::ffi::OsStrExt,
    path::{Component, Path, PathBuf},
};

use rustix::fs::Timespec;
use tar::EntryType;

use super::{budget::Budget, space::Full};

pub(super) const BLOCK: u64 = 512;
/// A long name is at most a path; PAX records may carry extended attributes of 64 KiB each.
const EXTENSION_BYTES: u64 = 1 << 20;
const XATTR_PREFIX: &[u8] = b"SCHILY.xattr.";
const SPARSE_PREFIX: &[u8] = b"GNU.sparse.";
const PATH_MAX: usize = 4096;

/// What is wrong with a tar stream, or with putting it on disk. Names come from the archive: always shown escaped.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Fault {
    #[error("cannot read the tar stream")]
    Read {
        #[source]
        source: io::Error,
    },
    #[error("it has more than {limit} entries")]
    TooMany { limit: u64 },
    #[error("it holds more than {limit} bytes")]
    TooBig { limit: u64 },
    #[error("it does not fit")]
    Full {
        #[source]
        source: Full,
    },
    #[error("cannot look at the free space")]
    Space {
        #[source]
        source: io::Error,
    },
    #[error("a header extension of {size} bytes exceeds {EXTENSION_BYTES}")]
    Extension { size: u64 },
    #[error("a pax record is malformed")]
    Pax,
    #[error("the name {name:?} is too long or leads out of the archive's root")]
    Name { name: String },
    #[error("cannot read the header of {name:?}")]
    Header {
        name: String,
        #[source]
        source: io::Error,
    },
    #[error(
        "the size of {name:?} in its pax record is not that in its header; files of 8 GiB and more are not accepted"
    )]
    Size { name: String },
    #[error("the owner of {name:?} is not a user and group id")]
    Owner { name: String },
    #[error("{name:?} is a sparse file")]
    Sparse { name: String },
    #[error("{name:?} has the unknown type {kind:?}")]
    Kind { name: String, kind: char },
    #[error("{name:?} is a whiteout of nothing")]
    Whiteout { name: String },
    #[error("{name:?} is in it twice")]
    Twice { name: String },
    #[error("{name:?} is cut short")]
    Cut { name: String },
    #[error("{name:?} is not a directory but has entries below it")]
    NotADirectory { name: String },
    #[error("cannot link {name:?} to {target:?}")]
    Link {
        name: String,
        target: String,
        #[source]
        source: io::Error,
    },
    #[error("the names of its directories exceed {limit} bytes")]
    Directories { limit: usize },
    #[error("cannot {what} {name:?}")]
    Write {
        what: &'static str,
        name: String,
        #[source]
        source: io::Error,
    },
}

/// A path below the archive's root: no `..`, not absolute, no longer than the kernel takes. Empty is the root itself.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Name(PathBuf);

impl Name {
    /// Takes a leading `/` and `.` away, as every tar does; refuses `..`.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, Fault> {
        Self::root().join(bytes)
    }

    pub(super) fn root() -> Self {
        Self(PathBuf::new())
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    pub(super) fn parent(&self) -> Self {
        Self(self.0.parent().map(Path::to_owned).unwrap_or_default())
    }

    /// Itself and all above it but the root, the topmost first.
    pub(super) fn topmost_first(&self) -> Vec<Self> {
        let mut names: Vec<Self> = self.0.ancestors().map(|path| Self(path.to_owned())).collect();
        names.retain(|name| *name != Self::root());
        names.reverse();
        names
    }

    /// The last component; none for the root.
    pub(super) fn last(&self) -> Option<&OsStr> {
        self.0.file_name()
    }

    /// `relative` below this directory, without `..`.
    pub(super) fn join(&self, relative: &[u8]) -> Result<Self, Fault> {
        let refuse = || Fault::Name { name: shown(relative) };
        let mut path = self.0.clone();
        for component in Path::new(OsStr::from_bytes(relative)).components() {
            match component {
                Component::Normal(part) => path.push(part),
                Component::RootDir | Component::CurDir => {}
                Component::ParentDir | Component::Prefix(_) => return Err(refuse()),
            }
        }
        let fits = path.as_os_str().len() < PATH_MAX && !relative.contains(&0);
        if fits { Ok(Self(path)) } else { Err(refuse()) }
    }

    /// Where a symbolic link in this directory leads by its text alone; none if out of the root.
    pub(super) fn follow(&self, target: &[u8]) -> Option<Self> {
        let mut path = self.0.clone();
        for component in Path::new(OsStr::from_bytes(target)).components() {
            match component {
                Component::Normal(part) => path.push(part),
                Component::CurDir => {}
                Component::ParentDir => path.pop().then_some(())?,
                Component::RootDir | Component::Prefix(_) => return None,
            }
        }
        Some(Self(path))
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.display().fmt(f)
    }
}

/// What an entry is.
pub(super) enum Kind {
    File,
    Directory,
    Symlink(Vec<u8>),
    HardLink(Name),
    Fifo,
    /// A character or block device.
    Device,
}

/// One entry, its extensions applied.
pub(super) struct Entry<'a, R: Read> {
    pub(super) name: Name,
    pub(super) kind: Kind,
    /// Permission bits with set-id and sticky.
    pub(super) mode: u32,
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) modified: Timespec,
    pub(super) xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    pub(super) size: u64,
    pub(super) body: tar::Entry<'a, R>,
}

/// The entries of an archive, in order.
pub(super) struct Entries<'a, 'b, R: Read> {
    raw: tar::Entries<'a, R>,
    budget: &'b mut Budget,
}

impl<'a, 'b, R: Read> Entries<'a, 'b, R> {
    pub(super) fn new(archive: &'a mut tar::Archive<R>, budget: &'b mut Budget) -> Result<Self, Fault> {
        let raw = archive.entries().map_err(|source| Fault::Read { source })?.raw(true);
        Ok(Self { raw, budget })
    }

    /// Directories that the archive did not list but its names need count like entries.
    pub(super) fn charge(&mut self, directories: u64) -> Result<(), Fault> {
        self.budget.spend_entries(directories)
    }

    /// The next entry. The body of the one before need not have been read.
    pub(super) fn next(&mut self) -> Result<Option<Entry<'a, R>>, Fault> {
        let mut extra = Extra::default();
        for raw in self.raw.by_ref() {
            let raw = raw.map_err(|source| Fault::Read { source })?;
            self.budget.spend(raw.size())?;
            match raw.header().entry_type() {
                EntryType::GNULongName => extra.name = Some(until_nul(extension(raw)?)),
                EntryType::GNULongLink => extra.link = Some(until_nul(extension(raw)?)),
                EntryType::XHeader => extra.read_pax(&extension(raw)?)?,
                EntryType::XGlobalHeader => {} // comments, as written by `git archive`
                _ => return entry(raw, extra).map(Some),
            }
        }
        Ok(None)
    }
}

fn extension<R: Read>(mut raw: tar::Entry<'_, R>) -> Result<Vec<u8>, Fault> {
    let size = raw.size();
    if size > EXTENSION_BYTES {
        return Err(Fault::Extension { size });
    }
    let mut bytes = Vec::new();
    raw.read_to_end(&mut bytes).map_err(|source| Fault::Read { source })?;
    if bytes.len() as u64 == size { Ok(bytes) } else { Err(Fault::Cut { name: shown(&raw.path_bytes()) }) }
}

fn until_nul(mut bytes: Vec<u8>) -> Vec<u8> {
    let end = bytes.iter().position(|b| *b == 0).unwrap_or(bytes.len());
    bytes.truncate(end);
    bytes
}

/// What the extension headers say about the entry after them.
#[derive(Default)]
struct Extra {
    name: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    size: Option<u64>,
    uid: Option<u64>,
    gid: Option<u64>,
    modified: Option<Timespec>,
    sparse: bool,
    xattrs: Vec<(Vec<u8>, Vec<u8>)>,
}

impl Extra {
    /// Records are `<length> <key>=<value>\n`; the length counts itself, so a value may hold any byte.
    fn read_pax(&mut self, mut records: &[u8]) -> Result<(), Fault> {
        while !records.is_empty() {
            let space = records.iter().position(|b| *b == b' ').ok_or(Fault::Pax)?;
            let length: usize = number(&records[..space])?;
            let record =
                records.get(space + 1..length).and_then(|r| r.strip_suffix(b"\n")).ok_or(Fault::Pax)?;
            let equals = record.iter().position(|b| *b == b'=').ok_or(Fault::Pax)?;
            self.set(&record[..equals], &record[equals + 1..])?;
            records = &records[length..];
        }
        Ok(())
    }

    fn set(&mut self, key: &[u8], value: &[u8]) -> Result<(), Fault> {
        match key {
            b"path" => self.name = Some(value.to_vec()),
            b"linkpath" => self.link = Some(value.to_vec()),
            b"size" => self.size = Some(number(value)?),
            b"uid" => self.uid = Some(number(value)?),
            b"gid" => self.gid = Some(number(value)?),
            b"mtime" => self.modified = Some(time(value)?),
            _ if key.starts_with(SPARSE_PREFIX) => self.sparse = true,
            _ => {
                if let Some(name) = key.strip_prefix(XATTR_PREFIX) {
                    self.xattrs.push((name.to_vec(), value.to_vec()));
                }
            }
        }
        Ok(())
    }
}

fn number<T: std::str::FromStr>(text: &[u8]) -> Result<T, Fault> {
    std::str::from_utf8(text).ok().and_then(|text| text.parse().ok()).ok_or(Fault::Pax)
}

/// `[-]seconds[.fraction]`. The fraction of a time before 1970 is dropped.
fn time(text: &[u8]) -> Result<Timespec, Fault> {
    let text = std::str::from_utf8(text).map_err(|_| Fault::Pax)?;
    let (seconds, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits: String = fraction.chars().chain("000000000".chars()).take(9).collect();
    let tv_sec = number(seconds.as_bytes())?;
    let tv_nsec: u32 = number(digits.as_bytes())?;
    Ok(Timespec { tv_sec, tv_nsec: if tv_sec < 0 { 0 } else { tv_nsec.into() } })
}

fn entry<R: Read>(raw: tar::Entry<'_, R>, extra: Extra) -> Result<Entry<'_, R>, Fault> {
    let given = extra.name.as_deref().map_or_else(|| raw.path_bytes(), Into::into).into_owned();
    let name = Name::parse(&given)?;
    let shown = || shown(&given);
    if extra.size.is_some_and(|size| size != raw.size()) {
        return Err(Fault::Size { name: shown() });
    }
    let link =
        extra.link.as_deref().or(raw.header().link_name_bytes().as_deref()).unwrap_or_default().to_vec();
    let kind = match raw.header().entry_type() {
        _ if extra.sparse => return Err(Fault::Sparse { name: shown() }),
        EntryType::GNUSparse => return Err(Fault::Sparse { name: shown() }),
        EntryType::Regular if given.ends_with(b"/") => Kind::Directory, // how the tar of 1979 wrote them
        EntryType::Regular | EntryType::Continuous => Kind::File,
        EntryType::Directory => Kind::Directory,
        EntryType::Symlink => Kind::Symlink(link),
        EntryType::Link => Kind::HardLink(Name::parse(&link)?),
        EntryType::Fifo => Kind::Fifo,
        EntryType::Char | EntryType::Block => Kind::Device,
        other => return Err(Fault::Kind { name: shown(), kind: char::from(other.as_byte()) }),
    };
    let number = |field: io::Result<u64>| field.map_err(|source| Fault::Header { name: shown(), source });
    let header = raw.header();
    let uid = extra.uid.map_or_else(|| number(header.uid()), Ok)?;
    let gid = extra.gid.map_or_else(|| number(header.gid()), Ok)?;
    let modified = match extra.modified {
        Some(time) => time,
        None => Timespec { tv_sec: number(header.mtime())?.cast_signed(), tv_nsec: 0 },
    };
    let mode = number(header.mode().map(u64::from))? & 0o7777;
    Ok(Entry {
        mode: mode as u32,
        uid: id(uid).ok_or_else(|| Fault::Owner { name: shown() })?,
        gid: id(gid).ok_or_else(|| Fault::Owner { name: shown() })?,
        modified,
        xattrs: extra.xattrs,
        size: raw.size(),
        name,
        kind,
        body: raw,
    })
}

/// The highest id means "leave it" to chown.
fn id(number: u64) -> Option<u32> {
    u32::try_from(number).ok().filter(|id| *id != u32::MAX)
}

fn shown(name: &[u8]) -> String {
    String::from_utf8_lossy(name).into_owned()
}

/// Which side of a copy failed.
pub(super) enum Spill {
    Read(io::Error),
    Write(io::Error),
}

/// Copies all of `from`, and says which side failed: a full disk is not a broken archive.
pub(super) fn pour(from: &mut impl Read, to: &mut impl io::Write) -> Result<u64, Spill> {
    let mut buffer = [0; 16 * 1024];
    let mut copied = 0;
    loop {
        match from.read(&mut buffer) {
            Ok(0) => return Ok(copied),
            Ok(n) => {
                to.write_all(&buffer[..n]).map_err(Spill::Write)?;
                copied += n as u64;
            }
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(Spill::Read(e)),
        }
    }
}
