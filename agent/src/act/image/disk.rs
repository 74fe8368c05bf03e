//! Files that survive a power cut, or are not there: scratch space, atomic writes, the count of a tree.
//!
//! Knows nothing of images.

use std::{
    collections::HashSet,
    fs::{self, DirBuilder, File, Permissions},
    io::{self, ErrorKind, Write},
    os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
    time::Duration,
};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::Error;

/// Deeper than any program's tree; a walk of it needs that many open directories.
const DEPTH: u32 = 256;

/// A directory that goes with all in it when it is dropped.
pub(super) struct Scratch {
    path: PathBuf,
    whose: Whose,
}

/// Who removes it in the end.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Whose {
    Ours,
    Anothers,
}

impl Scratch {
    pub(super) fn new(tmp: &Path) -> Result<Self, Error> {
        let path = tmp.join(Uuid::new_v4().to_string());
        make_directory(&path, 0o700)?;
        Ok(Self { path, whose: Whose::Ours })
    }

    /// Space that another process has made, and will remove.
    pub(super) fn of_another(path: &Path) -> Self {
        Self { path: path.to_owned(), whose: Whose::Anothers }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// A new directory in it.
    pub(super) fn directory(&self, name: &str) -> Result<PathBuf, Error> {
        let path = self.path.join(name);
        make_directory(&path, 0o700)?;
        Ok(path)
    }

    /// Takes `path` away in one step; on the same filesystem.
    pub(super) fn swallow(&self, path: &Path) -> Result<(), Error> {
        match fs::rename(path, self.path.join(Uuid::new_v4().to_string())) {
            Err(e) if e.kind() != ErrorKind::NotFound => Err(failed("remove", path)(e)),
            _ => Ok(()),
        }
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if self.whose == Whose::Anothers {
            return;
        }
        let removed = empty(&self.path).and_then(|()| fs::remove_dir(&self.path));
        if let Err(error) = removed {
            tracing::warn!(path = %self.path.display(), %error, "scratch space is left until the next start");
        }
    }
}

/// Removes everything in `bin`. A directory's children are lifted to the top before it is removed: depth, which a
/// hostile layer chooses, costs neither stack nor memory nor descriptors, and no path grows too long.
pub(super) fn empty(bin: &Path) -> io::Result<()> {
    let stamp = Uuid::new_v4();
    let mut names = (0_u64..).map(|n| bin.join(format!("{stamp}-{n}")));
    while let Some(first) = fs::read_dir(bin)?.next() {
        first?;
        for entry in fs::read_dir(bin)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                flatten(&entry.path(), &mut names)?;
            } else {
                fs::remove_file(entry.path())?;
            }
        }
    }
    Ok(())
}

fn flatten(directory: &Path, names: &mut impl Iterator<Item = PathBuf>) -> io::Result<()> {
    for child in fs::read_dir(directory)? {
        let child = child?;
        match names.next() {
            Some(top) if child.file_type()?.is_dir() => fs::rename(child.path(), top)?,
            _ => fs::remove_file(child.path())?,
        }
    }
    match fs::remove_dir(directory) {
        // A listing may miss what moves while it is read: the next round finds it.
        Err(e) if e.kind() == ErrorKind::DirectoryNotEmpty => Ok(()),
        removed => removed,
    }
}

/// Removes the files that nobody has written to for that long, by the clock on the wall: one that is wrong costs at
/// most the files.
pub(super) fn drop_old(directory: &Path, age: Duration) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        if entry.metadata()?.modified()?.elapsed().is_ok_and(|elapsed| elapsed > age) {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

/// Makes a directory, if it is not there, with exactly this mode, whatever the umask.
pub(super) fn make_directory(path: &Path, mode: u32) -> Result<(), Error> {
    let made = DirBuilder::new().recursive(true).mode(mode).create(path);
    made.and_then(|()| fs::set_permissions(path, Permissions::from_mode(mode))).map_err(failed("make", path))
}

/// Moves a directory within the filesystem.
pub(super) fn rename(from: &Path, path: &Path) -> Result<(), Error> {
    fs::rename(from, path).map_err(failed("write", path))
}

/// Replaces `path` in one step: after a power cut it holds the old bytes or the new ones. `scratch` is on the same
/// filesystem.
pub(super) fn replace(path: &Path, bytes: &[u8], scratch: &Scratch) -> Result<(), Error> {
    let new = scratch.path().join(Uuid::new_v4().to_string());
    let write = || {
        let mut file = File::create_new(&new)?;
        file.write_all(bytes)?;
        file.sync_all()
    };
    write().and_then(|()| fs::rename(&new, path)).map_err(failed("write", path))?;
    path.parent().map_or(Ok(()), sync_directory)
}

/// Waits until the names in a directory are on the disk.
pub(super) fn sync_directory(path: &Path) -> Result<(), Error> {
    File::open(path).and_then(|directory| directory.sync_all()).map_err(failed("sync", path))
}

/// Waits until everything on the filesystem of `path` is on the disk. Since 5.8 it also tells of failed writes.
pub(super) fn sync_filesystem(path: &Path) -> Result<(), Error> {
    let synced = File::open(path).and_then(|root| Ok(rustix::fs::syncfs(root)?));
    synced.map_err(failed("sync the filesystem of", path))
}

/// Reads a file of ours that may be missing.
pub(super) fn read(path: &Path) -> Result<Option<Vec<u8>>, Error> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
        Err(e) => Err(failed("read", path)(e)),
    }
}

/// The names in a directory of ours.
pub(super) fn names(path: &Path) -> Result<Vec<String>, Error> {
    let listed: io::Result<Vec<_>> = fs::read_dir(path).and_then(Iterator::collect);
    let listed = listed.map_err(failed("list", path))?;
    Ok(listed.into_iter().filter_map(|entry| entry.file_name().into_string().ok()).collect())
}

/// What a tree holds, by number: enough to see a file that a power cut emptied or lost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Census {
    pub(crate) entries: u64,
    /// Of regular files, each counted once however many links it has.
    pub(crate) bytes: u64,
}

/// Counts a tree.
pub(super) fn census(tree: &Path) -> Result<Census, Error> {
    let mut count = Count { census: Census::default(), linked: HashSet::new() };
    count.directory(tree, DEPTH)?;
    Ok(count.census)
}

struct Count {
    census: Census,
    linked: HashSet<u64>,
}

impl Count {
    fn directory(&mut self, path: &Path, depth: u32) -> Result<(), Error> {
        let depth =
            depth.checked_sub(1).ok_or_else(|| Error::Deep { path: path.to_owned(), limit: DEPTH })?;
        for entry in fs::read_dir(path).map_err(failed("list", path))? {
            let (entry, found) =
                entry.and_then(|e| e.metadata().map(|m| (e, m))).map_err(failed("list", path))?;
            self.census.entries += 1;
            if found.is_dir() {
                self.directory(&entry.path(), depth)?;
            } else if found.is_file() && (found.nlink() == 1 || self.linked.insert(found.ino())) {
                self.census.bytes += found.len();
            }
        }
        Ok(())
    }
}

/// The error of an operation on one of our files.
pub(super) fn failed(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Error + use<> {
    let path = path.to_owned();
    move |source| Error::Disk { what, path, source }
}

#[cfg(test)]
mod tests {
    use super::{super::fixture::Temporary, *};

    #[test]
    fn a_tree_deeper_than_any_path_is_removed() {
        let temporary = Temporary::new();
        let (inner, outer) = (temporary.path().join("a"), temporary.path().join("b"));
        fs::create_dir(&inner).unwrap();
        fs::write(inner.join("file"), "x").unwrap();
        for _ in 0..5000 {
            fs::create_dir(&outer).unwrap();
            fs::rename(&inner, outer.join("a")).unwrap();
            fs::rename(&outer, &inner).unwrap();
        }
        assert!(matches!(census(temporary.path()), Err(Error::Deep { limit: DEPTH, .. })));
        empty(temporary.path()).unwrap();
        assert_eq!(census(temporary.path()).unwrap(), Census::default());
    }

    #[test]
    fn a_census_counts_a_linked_file_once() {
        let temporary = Temporary::new();
        fs::create_dir(temporary.path().join("d")).unwrap();
        fs::write(temporary.path().join("d/x"), "four").unwrap();
        fs::hard_link(temporary.path().join("d/x"), temporary.path().join("y")).unwrap();
        rustix::fs::symlink("nowhere", temporary.path().join("l")).unwrap();
        assert_eq!(census(temporary.path()).unwrap(), Census { entries: 4, bytes: 4 });
    }
}
