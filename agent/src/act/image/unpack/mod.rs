//! One layer's tar stream → a directory that overlayfs takes as a lower layer. Nothing is ever made outside it.
//!
//! A parent directory is opened with openat2 and `RESOLVE_IN_ROOT`: a link on the way, absolute or full of `..`, is
//! followed as a process chrooted into the layer would follow it, which is what images built by hand rely on. Every
//! other call takes that directory's descriptor and one plain name, and follows nothing.
//! Devices are left out and counted: `/dev` is the runtime's, and a layer is no place for a disk.
//! Digests are checked before, and durability is seen to after, by the store.

mod dress;

use std::{
    cell::Cell,
    ffi::OsStr,
    fs::File,
    io::{self, Read},
    os::{fd::OwnedFd, unix::ffi::OsStrExt},
    path::Path,
};

use rustix::{
    fs::{
        AtFlags, FileType, Mode, OFlags, Stat, Timespec, XattrFlags, chmodat, chownat, fsetxattr, futimens,
        linkat, mkdirat, mknodat, open, openat, renameat, statat, symlinkat, unlinkat, utimensat,
    },
    io::Errno,
};

use self::dress::{dress, owner, times};
use super::{
    budget::Budget,
    entries::{Entries, Entry, Fault, Kind, Name, Spill, pour},
    recipe::Recorder,
    rooted::open_within,
};

const WHITEOUT: &[u8] = b".wh.";
/// All lower layers' entries of the directory it lies in are hidden.
const OPAQUE: &[u8] = b".wh..wh..opq";
/// AUFS' own book-keeping; means nothing to anyone else.
const AUFS: &[u8] = b".wh..wh.";
const OPAQUE_XATTR: &str = "trusted.overlay.opaque";
/// Names of directories kept in memory until the end: a bomb of long names must not become one of memory.
const REMEMBERED_BYTES: usize = 64 << 20;

/// What became of a layer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Unpacked {
    /// Character and block devices that were left out.
    pub(super) devices: u64,
    /// The layer hides everything below it.
    pub(super) opaque: bool,
    /// An entry took the place of another: not every content that was recorded is still there.
    pub(super) replaced: bool,
}

/// Unpacks `layer` into the empty directory `tree`. What an entry replaces is moved to `junk`, on the same filesystem.
/// The stream is read to its end, so that `recorder` hears all of it.
pub(super) fn unpack(
    layer: impl Read,
    tree: &Path,
    junk: &Path,
    recorder: &Recorder,
    budget: &mut Budget,
) -> Result<Unpacked, Fault> {
    let mut archive = tar::Archive::new(recorder.listen(layer));
    let mut entries = Entries::new(&mut archive, budget)?;
    let mut tree = Tree::open(tree, junk, recorder)?;
    while let Some(entry) = entries.next()? {
        tree.add(entry)?;
        entries.charge(tree.unlisted.take())?;
    }
    let unpacked = tree.finish()?;
    budget.drain(archive.into_inner())?;
    Ok(unpacked)
}

struct Tree<'a> {
    root: OwnedFd,
    junk: OwnedFd,
    recorder: &'a Recorder,
    displaced: u64,
    /// Directories made for the last entry although none of the archive's was one.
    unlisted: Cell<u64>,
    /// A directory's time is set last: each entry made in it changes it.
    times: Vec<(Name, Timespec)>,
    /// Bytes of names in `times`.
    remembered: usize,
    unpacked: Unpacked,
}

/// Where an entry goes: an open directory and a plain name in it.
struct Place<'a> {
    parent: OwnedFd,
    name: &'a OsStr,
    /// For messages.
    full: &'a Name,
}

/// What lies there already.
enum There {
    Nothing,
    Directory,
    Whiteout,
    Other,
}

impl<'r> Tree<'r> {
    fn open(tree: &Path, junk: &Path, recorder: &'r Recorder) -> Result<Self, Fault> {
        let directory = |path: &Path| {
            open(path, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
                .map_err(fault("open the directory of", &Name::root()))
        };
        let (root, junk) = (directory(tree)?, directory(junk)?);
        Ok(Self {
            root,
            junk,
            recorder,
            displaced: 0,
            unlisted: Cell::new(0),
            times: Vec::new(),
            remembered: 0,
            unpacked: Unpacked::default(),
        })
    }

    fn add<R: Read>(&mut self, entry: Entry<'_, R>) -> Result<(), Fault> {
        let name = entry.name.clone();
        let Some(last) = name.last() else {
            return self.dress_root(&entry);
        };
        match last.as_bytes().strip_prefix(WHITEOUT) {
            Some(_) if last.as_bytes() == OPAQUE => return self.make_opaque(&name.parent()),
            Some(_) if last.as_bytes().starts_with(AUFS) => return Ok(()),
            Some(hidden) => return self.hide(&name, hidden),
            None => {}
        }
        if let Kind::Device = entry.kind {
            self.unpacked.devices += 1;
            return Ok(());
        }
        let place = self.place(&name)?;
        match &entry.kind {
            Kind::Directory => self.directory(&place, &entry),
            Kind::HardLink(target) => self.hard_link(&place, target),
            Kind::Symlink(target) => self.symlink(&place, target, &entry),
            Kind::Fifo => self.fifo(&place, &entry),
            Kind::File | Kind::Device => self.file(&place, entry),
        }
    }

    fn finish(self) -> Result<Unpacked, Fault> {
        for (name, modified) in &self.times {
            // A later entry may have put something else in its place.
            let Ok(directory) = self.beneath(name, OFlags::RDONLY) else { continue };
            futimens(&directory, &times(*modified)).map_err(fault("set the time of", name))?;
        }
        Ok(self.unpacked)
    }

    /// Opens a directory of the tree, links on the way followed inside it.
    fn beneath(&self, directory: &Name, access: OFlags) -> Result<OwnedFd, Errno> {
        open_within(&self.root, directory.path(), access | OFlags::DIRECTORY)
    }

    /// Opens a directory; one that the archive did not list is made, and its parents.
    fn made(&self, directory: &Name, access: OFlags) -> Result<OwnedFd, Fault> {
        let opened = match self.beneath(directory, access) {
            Err(Errno::NOENT | Errno::NOTDIR) => {
                self.make_all(directory)?;
                self.beneath(directory, access)
            }
            opened => opened,
        };
        opened.map_err(fault("open", directory))
    }

    /// From the top, and not by calling itself: a name may have two thousand parts.
    fn make_all(&self, directory: &Name) -> Result<(), Fault> {
        for name in directory.topmost_first() {
            if !matches!(self.beneath(&name, OFlags::PATH), Err(Errno::NOENT | Errno::NOTDIR)) {
                continue;
            }
            let parent = self.beneath(&name.parent(), OFlags::PATH).map_err(fault("open", &name))?;
            let last = name.last().ok_or_else(|| Fault::Name { name: name.to_string() })?;
            Place { parent, name: last, full: &name }.make_directory()?;
            self.unlisted.set(self.unlisted.get() + 1);
        }
        Ok(())
    }

    fn place<'a>(&self, name: &'a Name) -> Result<Place<'a>, Fault> {
        let last = name.last().ok_or_else(|| Fault::Name { name: name.to_string() })?;
        let parent = self.made(&name.parent(), OFlags::PATH)?;
        Ok(Place { parent, name: last, full: name })
    }

    fn dress_root<R: Read>(&self, entry: &Entry<'_, R>) -> Result<(), Fault> {
        let root = self.beneath(&Name::root(), OFlags::RDONLY).map_err(fault("open", &Name::root()))?;
        dress(&root, entry)
    }

    fn directory<R: Read>(&mut self, place: &Place<'_>, entry: &Entry<'_, R>) -> Result<(), Fault> {
        if let There::Other = place.there()? {
            self.clear(place)?;
        }
        place.make_directory()?;
        dress(&place.open(OFlags::RDONLY | OFlags::DIRECTORY)?, entry)?;
        self.remember(entry)
    }

    fn remember<R: Read>(&mut self, entry: &Entry<'_, R>) -> Result<(), Fault> {
        self.remembered += entry.name.path().as_os_str().len();
        if self.remembered > REMEMBERED_BYTES {
            return Err(Fault::Directories { limit: REMEMBERED_BYTES });
        }
        self.times.push((entry.name.clone(), entry.modified));
        Ok(())
    }

    fn file<R: Read>(&mut self, place: &Place<'_>, mut entry: Entry<'_, R>) -> Result<(), Fault> {
        self.clear(place)?;
        let mut file = File::from(place.open(OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL)?);
        self.recorder.begin_content();
        let written = pour(&mut entry.body, &mut file).map_err(|spill| match spill {
            Spill::Read(source) => Fault::Read { source },
            Spill::Write(source) => Fault::Write { what: "write", name: place.full.to_string(), source },
        })?;
        if written != entry.size {
            return Err(Fault::Cut { name: place.full.to_string() });
        }
        self.recorder.end_content(place.full, written);
        let file = OwnedFd::from(file);
        dress(&file, &entry)?;
        futimens(&file, &times(entry.modified)).map_err(fault("set the time of", place.full))
    }

    /// The target is looked for in this layer only, and a link is linked, not followed.
    fn hard_link(&mut self, place: &Place<'_>, target: &Name) -> Result<(), Fault> {
        let from = self.place(target)?;
        self.clear(place)?;
        linkat(&from.parent, from.name, &place.parent, place.name, AtFlags::empty()).map_err(|e| {
            Fault::Link { name: place.full.to_string(), target: target.to_string(), source: e.into() }
        })
    }

    fn symlink<R: Read>(
        &mut self,
        place: &Place<'_>,
        target: &[u8],
        entry: &Entry<'_, R>,
    ) -> Result<(), Fault> {
        self.clear(place)?;
        symlinkat(OsStr::from_bytes(target), &place.parent, place.name)
            .map_err(fault("make the link", place.full))?;
        place.dress_unopened(entry)
    }

    fn fifo<R: Read>(&mut self, place: &Place<'_>, entry: &Entry<'_, R>) -> Result<(), Fault> {
        self.clear(place)?;
        place.make_node(FileType::Fifo)?;
        place.dress_unopened(entry)?;
        // Not a link: it was made a moment ago, in a directory only we write to.
        chmodat(&place.parent, place.name, Mode::from_raw_mode(entry.mode), AtFlags::empty())
            .map_err(fault("set the mode of", place.full))
    }

    /// `.wh.name`: hides `name` of the layers below, not what this layer itself has there, before or after.
    fn hide(&mut self, mark: &Name, hidden: &[u8]) -> Result<(), Fault> {
        if matches!(hidden, b"" | b"." | b"..") {
            return Err(Fault::Whiteout { name: mark.to_string() });
        }
        let name = mark.parent().join(hidden)?;
        let place = self.place(&name)?;
        match place.there()? {
            There::Nothing => place.make_node(FileType::CharacterDevice),
            There::Directory => place.make_opaque(),
            There::Whiteout | There::Other => Ok(()),
        }
    }

    /// Overlayfs does not look at the mark on a layer's root: the store cuts the stack there instead.
    fn make_opaque(&mut self, directory: &Name) -> Result<(), Fault> {
        if *directory == Name::root() {
            self.unpacked.opaque = true;
            return Ok(());
        }
        mark_opaque(&self.made(directory, OFlags::RDONLY)?, directory)
    }

    /// A later entry replaces an earlier one, be it a whole directory.
    fn clear(&mut self, place: &Place<'_>) -> Result<(), Fault> {
        let there = place.there()?;
        self.unpacked.replaced |= !matches!(there, There::Nothing);
        let cleared = match there {
            There::Nothing => Ok(()),
            There::Whiteout | There::Other => unlinkat(&place.parent, place.name, AtFlags::empty()),
            There::Directory => {
                self.displaced += 1;
                renameat(&place.parent, place.name, &self.junk, format!("displaced-{}", self.displaced))
            }
        };
        cleared.map_err(fault("replace", place.full))
    }
}

impl Place<'_> {
    fn there(&self) -> Result<There, Fault> {
        match statat(&self.parent, self.name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(There::from(stat)),
            Err(Errno::NOENT) => Ok(There::Nothing),
            Err(e) => Err(fault("look at", self.full)(e)),
        }
    }

    /// Leaves a directory as it is. One in place of a whiteout does not show what the whiteout hid.
    fn make_directory(&self) -> Result<(), Fault> {
        let mode = Mode::from_raw_mode(0o755);
        // The agent's umask is not the image's business.
        let make = || {
            mkdirat(&self.parent, self.name, mode)
                .and_then(|()| chmodat(&self.parent, self.name, mode, AtFlags::empty()))
                .map_err(fault("make the directory", self.full))
        };
        match self.there()? {
            There::Nothing => make(),
            There::Directory => Ok(()),
            There::Other => Err(Fault::NotADirectory { name: self.full.to_string() }),
            There::Whiteout => {
                unlinkat(&self.parent, self.name, AtFlags::empty()).map_err(fault("replace", self.full))?;
                make()?;
                self.make_opaque()
            }
        }
    }

    fn open(&self, flags: OFlags) -> Result<OwnedFd, Fault> {
        let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        openat(&self.parent, self.name, flags, Mode::from_raw_mode(0o600)).map_err(fault("open", self.full))
    }

    fn make_opaque(&self) -> Result<(), Fault> {
        mark_opaque(&self.open(OFlags::RDONLY | OFlags::DIRECTORY)?, self.full)
    }

    /// Device number 0:0, the whiteout of overlayfs, is the only device ever made.
    fn make_node(&self, kind: FileType) -> Result<(), Fault> {
        mknodat(&self.parent, self.name, kind, Mode::empty(), 0).map_err(fault("make the node", self.full))
    }

    /// Owner and time of what is not opened: opening a fifo could wait, opening a link is not possible.
    fn dress_unopened<R: Read>(&self, entry: &Entry<'_, R>) -> Result<(), Fault> {
        let (uid, gid) = owner(entry);
        chownat(&self.parent, self.name, uid, gid, AtFlags::SYMLINK_NOFOLLOW)
            .map_err(fault("give away", self.full))?;
        utimensat(&self.parent, self.name, &times(entry.modified), AtFlags::SYMLINK_NOFOLLOW)
            .map_err(fault("set the time of", self.full))
    }
}

impl From<Stat> for There {
    fn from(stat: Stat) -> Self {
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => Self::Directory,
            FileType::CharacterDevice => Self::Whiteout,
            _ => Self::Other,
        }
    }
}

fn mark_opaque(directory: &OwnedFd, name: &Name) -> Result<(), Fault> {
    fsetxattr(directory, OPAQUE_XATTR, b"y", XattrFlags::empty()).map_err(fault("mark as opaque", name))
}

fn fault(what: &'static str, name: &Name) -> impl FnOnce(Errno) -> Fault + use<> {
    let name = name.to_string();
    move |e| Fault::Write { what, name, source: io::Error::from(e) }
}

#[cfg(test)]
mod tests;
