//! Gives a pod's own volumes to its `fsGroup`, as the kubelet does (`pkg/volume/volume_linux.go`). Knows no containers.
//!
//! A claim may hold anything its pods wrote: links are never followed, and no path leads out of the volume.

use std::{
    io,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
};

use rustix::{
    fs::{AtFlags, Dir, FileType, Gid, Mode, OFlags, ResolveFlags, Stat, chmod, chownat, fstat, openat2},
    io::Errno,
};

use crate::{
    act::volume::through,
    pod::security::{FsGroup, FsGroupChange},
};

/// Read and write for the group; for a directory also search, and new files get its group.
const FILE: u32 = 0o660;
const DIRECTORY: u32 = 0o2770;

/// What could not be given away.
#[derive(Debug, thiserror::Error)]
#[error("cannot give {} to the fsGroup {gid}", path.display())]
pub(crate) struct Error {
    path: PathBuf,
    gid: u32,
    #[source]
    source: io::Error,
}

/// Gives everything of a volume to the group. Idempotent.
pub(crate) fn give(volume: &Path, group: FsGroup) -> Result<(), Error> {
    let fault =
        |path: &Path, source: Errno| Error { path: volume.join(path), gid: group.gid, source: source.into() };
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root = rustix::fs::open(volume, flags, Mode::empty()).map_err(|e| fault(Path::new(""), e))?;
    let about = fstat(&root).map_err(|e| fault(Path::new(""), e))?;
    if group.change == FsGroupChange::OnRootMismatch && fits(&about, group.gid) {
        return Ok(());
    }
    // The top directory last: as long as it does not fit, the next attempt does all of it again.
    let mut found = vec![PathBuf::from(".")];
    let mut next = 0;
    while let Some(dir) = found.get(next).cloned() {
        let children = each_child(&root, &dir, group.gid).map_err(|e| fault(&dir, e))?;
        found.extend(children.into_iter().map(|name| dir.join(name)));
        next += 1;
    }
    for dir in found.iter().rev() {
        let opened = open(&root, dir).map_err(|e| fault(dir, e))?;
        own(&opened, group.gid).map_err(|e| fault(dir, e))?;
    }
    Ok(())
}

/// Gives all but the directories in `dir` to the group, and says which directories there are.
fn each_child(root: &OwnedFd, dir: &Path, gid: u32) -> rustix::io::Result<Vec<PathBuf>> {
    use std::os::unix::ffi::OsStrExt;
    let opened = match open(root, dir) {
        Ok(opened) => opened,
        Err(Errno::NOENT) => return Ok(Vec::new()),
        Err(e) => return Err(e),
    };
    let mut directories = Vec::new();
    for entry in Dir::read_from(rustix::fs::open(
        through(&opened),
        OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC,
        Mode::empty(),
    )?)? {
        let name = PathBuf::from(std::ffi::OsStr::from_bytes(entry?.file_name().to_bytes()));
        if name == Path::new(".") || name == Path::new("..") {
            continue;
        }
        match open(&opened, &name) {
            Ok(child) if is(&fstat(&child)?, FileType::Directory) => directories.push(name),
            Ok(child) => own(&child, gid)?,
            // Gone meanwhile, or another filesystem that is mounted there: not of this volume.
            Err(Errno::NOENT | Errno::XDEV) => (),
            Err(e) => return Err(e),
        }
    }
    Ok(directories)
}

/// The entry itself, if it is a link; never what lies outside.
fn open(at: &OwnedFd, path: &Path) -> rustix::io::Result<OwnedFd> {
    let within = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS | ResolveFlags::NO_XDEV;
    openat2(at, path, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty(), within)
}

/// A link gets the group and has no mode.
fn own(entry: &OwnedFd, gid: u32) -> rustix::io::Result<()> {
    let about = fstat(entry)?;
    chownat(entry, "", None, Some(Gid::from_raw(gid)), AtFlags::EMPTY_PATH)?;
    if is(&about, FileType::Symlink) {
        return Ok(());
    }
    let added = if is(&about, FileType::Directory) { DIRECTORY } else { FILE };
    // After the owner: a change of it takes setuid and setgid away.
    chmod(through(entry), Mode::from_raw_mode((about.st_mode & 0o7777) | added))
}

fn fits(about: &Stat, gid: u32) -> bool {
    about.st_gid == gid && about.st_mode & DIRECTORY == DIRECTORY
}

fn is(about: &Stat, kind: FileType) -> bool {
    FileType::from_raw_mode(about.st_mode) == kind
}

#[cfg(test)]
mod tests {
    #![expect(clippy::disallowed_methods, reason = "makes a volume and looks at it")]

    use std::{
        fs::{self, Permissions},
        os::unix::fs::{MetadataExt, PermissionsExt, symlink},
    };

    use super::*;

    #[test]
    fn everything_of_a_volume_and_nothing_outside_gets_the_group() {
        if !rustix::process::geteuid().is_root() {
            eprintln!(
                "SKIPPED, NOT TESTED: everything_of_a_volume_and_nothing_outside_gets_the_group needs root"
            );
            return;
        }
        let root = std::env::temp_dir().join(format!("carob-fsgroup-{}", uuid::Uuid::new_v4()));
        let volume = root.join("volume");
        fs::create_dir_all(volume.join("a/b")).unwrap();
        fs::write(volume.join("a/b/file"), "").unwrap();
        fs::write(root.join("outside"), "").unwrap();
        symlink("../../outside", volume.join("a/link")).unwrap();
        symlink("..", volume.join("up")).unwrap();
        for (path, mode) in [("", 0o777), ("a", 0o700), ("a/b", 0o755), ("a/b/file", 0o4600)] {
            fs::set_permissions(volume.join(path), Permissions::from_mode(mode)).unwrap();
        }
        fs::set_permissions(root.join("outside"), Permissions::from_mode(0o600)).unwrap();
        let found = |path: &str| {
            let about = fs::symlink_metadata(root.join(path)).unwrap();
            (about.gid(), about.mode() & 0o7777)
        };
        give(&volume, FsGroup { gid: 1234, change: FsGroupChange::OnRootMismatch }).unwrap();
        assert_eq!(found("volume"), (1234, 0o2777));
        assert_eq!(found("volume/a"), (1234, 0o2770));
        assert_eq!(found("volume/a/b"), (1234, 0o2775));
        assert_eq!(found("volume/a/b/file"), (1234, 0o4660));
        assert_eq!(found("volume/a/link").0, 1234);
        assert_eq!(found("outside"), (0, 0o600));
        assert_eq!(found("").0, 0);
        fs::set_permissions(volume.join("a"), Permissions::from_mode(0o700)).unwrap();
        give(&volume, FsGroup { gid: 1234, change: FsGroupChange::OnRootMismatch }).unwrap();
        assert_eq!(found("volume/a"), (1234, 0o700), "the root fits, so nothing is looked at");
        give(&volume, FsGroup { gid: 1234, change: FsGroupChange::Always }).unwrap();
        assert_eq!(found("volume/a"), (1234, 0o2770));
        fs::remove_dir_all(&root).unwrap();
    }
}
