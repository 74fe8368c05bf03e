//! One layer's tar stream → a directory that overlayfs takes as a lower layer. Nothing is ever made outside it.
//!
//! A parent directory is opened with openat2 and `RESOLVE_IN_ROOT`: a link on the way, absolute or full of `..`, is
//! followed as a process chrooted into the layer would follow it, which is what images built by hand rely on. Every
//! other call takes that directory's descriptor and one plain name, and follows nothing.
//! Devices are left out and counted: `/dev` is the runtime's, and a layer is no place for a disk.
//! Digests are checked before, and durability is seen to after, by the store.

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
        AtFlags, FileType, Gid, Mode, OFlags, Stat, Timespec, Timestamps, Uid, XattrFlags, chmodat, chownat,
        fchmod, fchown, fsetxattr, futimens, linkat, mkdirat, mknodat, open, openat, renameat, statat,
        symlinkat, unlinkat, utimensat,
    },
    io::Errno,
};

use super::{
    entries::{Budget, Entries, Entry, Fault, Kind, Name, Spill, pour},
    recipe::Recorder,
    rooted::open_within,
};

const WHITEOUT: &[u8] = b".wh.";
/// All lower layers' entries of the directory it lies in are hidden.
const OPAQUE: &[u8] = b".wh..wh..opq";
/// AUFS' own book-keeping; means nothing to anyone else.
const AUFS: &[u8] = b".wh..wh.";
const OPAQUE_XATTR: &str = "trusted.overlay.opaque";
/// Everything else is for the system's own use: `trusted.overlay.*` in a hostile layer would redirect overlayfs.
const XATTRS: [&[u8]; 2] = [b"security.capability", b"user."];
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

/// Owner first: changing it takes set-id bits and capabilities away.
fn dress<R: Read>(opened: &OwnedFd, entry: &Entry<'_, R>) -> Result<(), Fault> {
    let (uid, gid) = owner(entry);
    fchown(opened, uid, gid).map_err(fault("give away", &entry.name))?;
    fchmod(opened, Mode::from_raw_mode(entry.mode)).map_err(fault("set the mode of", &entry.name))?;
    for (name, value) in entry.xattrs.iter().filter(|(name, _)| is_kept(name)) {
        fsetxattr(opened, name, value, XattrFlags::empty())
            .map_err(fault("set an attribute of", &entry.name))?;
    }
    Ok(())
}

fn is_kept(xattr: &[u8]) -> bool {
    XATTRS.iter().any(|kept| if kept.ends_with(b".") { xattr.starts_with(kept) } else { xattr == *kept })
}

fn owner<R: Read>(entry: &Entry<'_, R>) -> (Option<Uid>, Option<Gid>) {
    (Some(Uid::from_raw(entry.uid)), Some(Gid::from_raw(entry.gid)))
}

fn times(modified: Timespec) -> Timestamps {
    Timestamps { last_access: modified, last_modification: modified }
}

fn fault(what: &'static str, name: &Name) -> impl FnOnce(Errno) -> Fault + use<> {
    let name = name.to_string();
    move |e| Fault::Write { what, name, source: io::Error::from(e) }
}

#[cfg(test)]
mod tests {
    use std::{
        fs,
        os::unix::fs::{FileTypeExt, MetadataExt},
    };

    use tar::EntryType;

    use super::{
        super::{
            fixture::{MODIFIED, Tar, Temporary, chain, is_root, listing},
            recipe::Rebuilt,
        },
        *,
    };

    /// Unpacks into `<root>/in/tree`; the directories around it are watched by the tests.
    fn unpacked(root: &Path, layer: &[u8]) -> Result<Unpacked, Fault> {
        let (tree, junk) = (root.join("in/tree"), root.join("junk"));
        fs::create_dir_all(&tree).unwrap();
        fs::create_dir_all(&junk).unwrap();
        let recorder = Recorder::create(&root.join("recipe")).unwrap();
        let unpacked = unpack(layer, &tree, &junk, &recorder, &mut Budget::new(1000, 1 << 20, root))?;
        assert_eq!(recorder.finish().unwrap(), layer.len() as u64);
        if !unpacked.replaced {
            let mut again = Vec::new();
            Rebuilt::open(&root.join("recipe"), &tree).unwrap().read_to_end(&mut again).unwrap();
            assert!(again == layer, "packed again it is another layer");
        }
        Ok(unpacked)
    }

    /// What the tree holds after a layer that must be accepted.
    fn check(layer: Tar, expected: &[&str]) {
        let temporary = Temporary::new();
        unpacked(temporary.path(), &layer.done()).unwrap();
        assert_eq!(listing(&temporary.path().join("in/tree")), expected);
    }

    fn check_refused(layer: Vec<u8>, expected: &str) {
        let temporary = Temporary::new();
        let text = chain(&unpacked(temporary.path(), &layer).unwrap_err());
        assert!(text.contains(expected), "{text:?} does not say {expected:?}");
    }

    fn attribute(path: &Path, name: &str) -> Option<Vec<u8>> {
        let mut value = [0; 64];
        let length = rustix::fs::lgetxattr(path, name, &mut value[..]).ok()?;
        Some(value[..length].to_vec())
    }

    #[test]
    fn names_lead_into_the_layer_only() {
        check(Tar::new().file("/etc/x", "1").file("./a//b/./c", "2"), &["a", "a/b", "a/b/c", "etc", "etc/x"]);
        for name in ["../x", "a/../../x", "a/..", "..", "/../x"] {
            check_refused(Tar::new().file(name, "").done(), "leads out of the archive's root");
            check_refused(
                Tar::new().file("a", "").hard_link("b", name).done(),
                "leads out of the archive's root",
            );
            check_refused(Tar::new().pax("path", name.as_bytes()).file("x", "").done(), "leads out");
        }
        check_refused(Tar::new().pax("path", b"a\0b").file("x", "").done(), "leads out");
        check_refused(Tar::new().pax("path", &b"a/".repeat(3000)).file("x", "").done(), "too long");
    }

    #[test]
    fn a_link_on_the_way_is_followed_inside_the_layer() {
        let temporary = Temporary::new();
        let outside = temporary.path().join("outside");
        fs::create_dir(&outside).unwrap();
        let absolute = outside.to_str().unwrap();
        let layer = Tar::new()
            .dir("usr/lib")
            .symlink("lib", "/usr/lib")
            .file("lib/x", "1")
            .symlink("up", "../../../../usr")
            .file("up/y", "2")
            .dir(absolute)
            .symlink("abs", absolute)
            .file("abs/z", "3")
            .hard_link("w", "lib/x");
        unpacked(temporary.path(), &layer.done()).unwrap();
        let tree = temporary.path().join("in/tree");
        assert_eq!(listing(&outside), [""; 0]);
        assert_eq!(fs::read_to_string(tree.join("usr/lib/x")).unwrap(), "1");
        assert_eq!(fs::read_to_string(tree.join("usr/y")).unwrap(), "2");
        assert_eq!(fs::read_to_string(tree.join(absolute.trim_start_matches('/')).join("z")).unwrap(), "3");
        assert_eq!(fs::metadata(tree.join("w")).unwrap().nlink(), 2);
        assert_eq!(listing(temporary.path()).iter().filter(|path| !path.starts_with("in/tree")).count(), 4);
    }

    #[test]
    fn no_link_reaches_a_file_outside() {
        let temporary = Temporary::new();
        let secret = temporary.path().join("secret");
        fs::write(&secret, "secret").unwrap();
        let path = secret.to_str().unwrap();
        for layer in [
            Tar::new().symlink("s", path).file("s", "x"),
            Tar::new().symlink("s", "../../secret").file("s", "x"),
            Tar::new().symlink("s", path).hard_link("h", "s").file("h", "x"),
            Tar::new().symlink("d", "../..").file("d/secret", "x"),
            Tar::new().symlink("d", "/").file("d/secret", "x"),
        ] {
            unpacked(temporary.path(), &layer.done()).unwrap();
            assert_eq!(fs::read_to_string(&secret).unwrap(), "secret");
            assert_eq!(fs::metadata(&secret).unwrap().nlink(), 1);
            let tree = temporary.path().join("in/tree");
            rustix::fs::rename(&tree, temporary.path().join(uuid::Uuid::new_v4().to_string())).unwrap();
        }
        check_refused(Tar::new().hard_link("h", path).done(), "cannot link \"h\"");
        check_refused(Tar::new().symlink("s", path).hard_link("h", "s/x").done(), "not a directory");
        check_refused(Tar::new().symlink("l", "l").file("l/x", "").done(), "cannot open");
        check_refused(Tar::new().symlink("p", "/proc/self/fd/0").file("p/x", "").done(), "not a directory");
    }

    #[test]
    fn a_later_entry_replaces_an_earlier_one() {
        check(Tar::new().file("a", "1").dir("a").file("a/b", "2"), &["a", "a/b"]);
        check(Tar::new().dir("a").file("a/b/c", "1").file("a", "2"), &["a"]);
        check(Tar::new().dir("a").file("a/b", "1").dir("a"), &["a", "a/b"]);
        check(Tar::new().dir("a").symlink("a", "b").dir("a"), &["a"]);
        check(Tar::new().file("a", "1").hard_link("b", "a").file("a", "2"), &["a", "b"]);
        check_refused(Tar::new().file("a", "1").file("a/b", "2").done(), "\"a\" is not a directory");
        check_refused(Tar::new().file("a", "1").hard_link("a", "a").done(), "cannot link \"a\" to \"a\"");
    }

    #[test]
    fn modes_times_and_attributes_are_kept() {
        let temporary = Temporary::new();
        let layer = Tar::new()
            .entry(EntryType::Directory, ".", "", 0o751, b"")
            .entry(EntryType::Directory, "d", "", 0o1777, b"")
            .pax("mtime", b"1600000000.25")
            .pax("SCHILY.xattr.user.note", b"two\nlines=1")
            .entry(EntryType::Regular, "d/f", "", 0o4711, b"x")
            .of(EntryType::Fifo, "d/p")
            .symlink("d/l", "nowhere")
            .of(EntryType::Char, "null")
            .of(EntryType::Block, "sda");
        let found = unpacked(temporary.path(), &layer.done()).unwrap();
        assert_eq!(found, Unpacked { devices: 2, ..Unpacked::default() });
        let tree = temporary.path().join("in/tree");
        let at = |name: &str| fs::symlink_metadata(tree.join(name)).unwrap();
        assert_eq!(listing(&tree), ["d", "d/f", "d/l", "d/p"]);
        for (name, mode, time) in [
            ("", 0o751, None),
            ("d", 0o1777, Some(MODIFIED)),
            ("d/f", 0o4711, Some(1_600_000_000)),
            ("d/p", 0o600, Some(MODIFIED)),
            ("d/l", 0o777, Some(MODIFIED)),
        ] {
            assert_eq!(at(name).mode() & 0o7777, mode, "{name}");
            assert!(time.is_none_or(|time| at(name).mtime() == time.cast_signed()), "{name}");
        }
        assert_eq!(at("d/f").mtime_nsec(), 250_000_000);
        assert!(at("d/p").file_type().is_fifo());
        assert_eq!(attribute(&tree.join("d/f"), "user.note").unwrap(), b"two\nlines=1");
    }

    #[test]
    fn owners_and_capabilities_are_kept_and_overlay_attributes_are_not() {
        if !is_root("owners_and_capabilities_are_kept_and_overlay_attributes_are_not") {
            return;
        }
        let temporary = Temporary::new();
        // cap_dac_override,cap_fowner: a value with a newline in it.
        let capability = [1, 0, 0, 2, 0x0a, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        let layer = Tar::new()
            .pax("SCHILY.xattr.security.capability", &capability)
            .owned("f", 0o6755, 1000, 2000)
            .pax("SCHILY.xattr.trusted.overlay.redirect", b"/etc")
            .dir("d")
            .pax("uid", b"3000000")
            .file("big", "");
        unpacked(temporary.path(), &layer.done()).unwrap();
        let tree = temporary.path().join("in/tree");
        let file = fs::metadata(tree.join("f")).unwrap();
        assert_eq!((file.uid(), file.gid(), file.mode() & 0o7777), (1000, 2000, 0o6755));
        assert_eq!(attribute(&tree.join("f"), "security.capability").unwrap(), capability);
        assert_eq!(attribute(&tree.join("d"), "trusted.overlay.redirect"), None);
        assert_eq!(fs::metadata(tree.join("big")).unwrap().uid(), 3_000_000);
        check_refused(Tar::new().pax("uid", b"4294967295").file("x", "").done(), "not a user and group id");
    }

    #[test]
    fn whiteouts_become_those_of_overlayfs() {
        if !is_root("whiteouts_become_those_of_overlayfs") {
            return;
        }
        let temporary = Temporary::new();
        let layer = Tar::new()
            .file("gone/.wh.x", "")
            .file("early/.wh..wh..opq", "")
            .file("early/kept", "1")
            .file(".wh.again", "")
            .file("again/kept", "2")
            .dir("after")
            .file(".wh.after", "")
            .file("file", "3")
            .file(".wh.file", "")
            .file(".wh..wh.plnk", "");
        assert_eq!(unpacked(temporary.path(), &layer.done()).unwrap(), Unpacked::default());
        let tree = temporary.path().join("in/tree");
        assert_eq!(
            listing(&tree),
            ["after", "again", "again/kept", "early", "early/kept", "file", "gone", "gone/x"]
        );
        let hidden = fs::symlink_metadata(tree.join("gone/x")).unwrap();
        assert!(hidden.file_type().is_char_device() && hidden.rdev() == 0);
        for (name, opaque) in
            [("early", true), ("again", true), ("after", true), ("gone", false), ("file", false)]
        {
            assert_eq!(attribute(&tree.join(name), OPAQUE_XATTR).is_some(), opaque, "{name}");
        }
        for name in [".wh.", ".wh..", "a/.wh..."] {
            check_refused(Tar::new().file(name, "").done(), "whiteout of nothing");
        }
    }

    #[test]
    fn the_root_can_be_opaque() {
        let temporary = Temporary::new();
        let layer = Tar::new().file(".wh..wh..opq", "").done();
        assert_eq!(
            unpacked(temporary.path(), &layer).unwrap(),
            Unpacked { opaque: true, ..Unpacked::default() }
        );
    }

    #[test]
    fn a_stream_that_lies_is_refused() {
        let whole = Tar::new().file("a", "x".repeat(2000)).done();
        check_refused(whole[..1500].to_vec(), "\"a\" is cut short");
        check_refused(whole[..700].to_vec(), "\"a\" is cut short");
        check_refused([&whole[..100], &b"?"[..], &whole[101..]].concat(), "checksum mismatch");
        check_refused(vec![7; 2048], "cannot read the tar stream");
        check_refused(
            Tar::new().sized(EntryType::Regular, "a", "", 0o644, b"", 2 << 20).done(),
            "more than 1048576 bytes",
        );
        check_refused(
            Tar::new().sized(EntryType::XHeader, "a", "", 0, b"", 1 << 20).done(),
            "more than 1048576 bytes",
        );
        check_refused(Tar::new().pax("size", b"5").file("a", "x").done(), "the size of \"a\"");
        check_refused(Tar::new().pax("mtime", b"today").file("a", "x").done(), "pax record is malformed");
        check_refused(
            Tar::new().entry(EntryType::XHeader, "a", "", 0, b"99 a=b\n").file("a", "").done(),
            "malformed",
        );
        check_refused(Tar::new().of(EntryType::GNUSparse, "a").done(), "sparse");
        check_refused(Tar::new().pax("GNU.sparse.major", b"1").file("a", "").done(), "sparse");
        check_refused(Tar::new().of(EntryType::new(b'V'), "a").done(), "unknown type 'V'");
        let many = (0..1001).fold(Tar::new(), |tar, _| tar.file("a", ""));
        check_refused(many.done(), "more than 1000 entries");
        // One entry whose name asks for as many directories.
        let deep = [&b"a/".repeat(1001)[..], b"x"].concat();
        check_refused(Tar::new().pax("path", &deep).file("x", "").done(), "more than 1000 entries");
    }

    #[test]
    fn the_deepest_name_needs_no_deep_stack() {
        let deep = [&b"a/".repeat(2000)[..], b"x"].concat();
        let layer = Tar::new().pax("path", &deep).file("x", "1").done();
        let unpacks = move || {
            let temporary = Temporary::new();
            let (tree, junk) = (temporary.path().join("tree"), temporary.path().join("junk"));
            for dir in [&tree, &junk] {
                fs::create_dir(dir).unwrap();
            }
            let recorder = Recorder::create(&temporary.path().join("recipe")).unwrap();
            unpack(&layer[..], &tree, &junk, &recorder, &mut Budget::new(3000, 1 << 20, temporary.path()))
                .unwrap();
            assert!(tree.join("a/a/a/a").is_dir());
        };
        std::thread::Builder::new()
            .stack_size(crate::config::STACK / 4)
            .spawn(unpacks)
            .unwrap()
            .join()
            .unwrap();
    }

    #[test]
    fn an_extension_that_would_fill_the_memory_is_refused() {
        let layer = Tar::new().sized(EntryType::GNULongName, "a", "", 0, b"", 3 << 20).done();
        let temporary = Temporary::new();
        let mut budget = Budget::new(10, 1 << 40, temporary.path());
        let recorder = Recorder::create(&temporary.path().join("recipe")).unwrap();
        let refused = unpack(&layer[..], temporary.path(), temporary.path(), &recorder, &mut budget);
        assert!(matches!(refused, Err(Fault::Extension { size: 3_145_728 })));
    }
}
