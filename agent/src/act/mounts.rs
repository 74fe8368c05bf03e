//! Mounts that belong to a pod or an attempt: made below our own directories, taken away by path. Idempotent both ways.
#![expect(clippy::disallowed_methods, reason = "this is the effect")]

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use rustix::mount::{
    MountFlags, MountPropagationFlags, UnmountFlags, mount, mount_bind, mount_change, unmount,
};

use crate::pod::mountinfo;

/// What went wrong where.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("cannot make the directory {}", path.display())]
    MakeDir {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("cannot remove {}", path.display())]
    Remove {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("cannot mount a tmpfs on {}", path.display())]
    Tmpfs {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("cannot bind {} to {}", from.display(), to.display())]
    Bind {
        from: PathBuf,
        to: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("cannot unmount {}", path.display())]
    Unmount {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("cannot read the mount table")]
    Table {
        #[source]
        source: io::Error,
    },
}

/// A directory and its parents; fine if it is there.
pub(crate) fn make_dir(path: &Path) -> Result<(), Error> {
    fs::create_dir_all(path).map_err(|source| Error::MakeDir { path: path.to_owned(), source })
}

/// Takes a directory away with all that is in it; fine if it is gone. Refuses while something is mounted below.
pub(crate) fn remove_dir(path: &Path) -> Result<(), Error> {
    if let Some(mounted) = below(path)?.pop() {
        let source = io::Error::from(io::ErrorKind::ResourceBusy);
        return Err(Error::Remove { path: mounted, source });
    }
    match fs::remove_dir_all(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other.map_err(|source| Error::Remove { path: path.to_owned(), source }),
    }
}

/// Removes the files of a directory whose names start and end as given; fine if there is none.
pub(crate) fn remove_links(links: &Links) -> Result<(), Error> {
    let fault = |source| Error::Remove { path: links.dir.clone(), source };
    let entries = match fs::read_dir(&links.dir) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        other => other.map_err(fault)?,
    };
    for entry in entries.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.starts_with(&links.prefix) && name.contains(&links.infix) {
            fs::remove_file(entry.path()).map_err(fault)?;
        }
    }
    Ok(())
}

/// Files of a directory, by their names.
#[derive(Clone, Debug)]
pub(crate) struct Links {
    pub(crate) dir: PathBuf,
    pub(crate) prefix: String,
    pub(crate) infix: String,
}

/// A tmpfs of at most `size` bytes.
pub(crate) fn tmpfs(path: &Path, size: Option<u64>, mode: u32) -> Result<(), Error> {
    make_dir(path)?;
    let size = size.map_or(String::new(), |bytes| format!(",size={bytes}"));
    let options = std::ffi::CString::new(format!("mode={mode:o}{size}")).unwrap_or_default();
    let flags = MountFlags::NOSUID | MountFlags::NODEV;
    mount("tmpfs", path, "tmpfs", flags, options.as_c_str())
        .map_err(|e| Error::Tmpfs { path: path.to_owned(), source: e.into() })
}

/// `from` appears at `to`, which must exist.
pub(crate) fn bind(from: &Path, to: &Path) -> Result<(), Error> {
    mount_bind(from, to).map_err(|e| Error::Bind {
        from: from.to_owned(),
        to: to.to_owned(),
        source: e.into(),
    })
}

/// Unmounts everything at and below `path`, the innermost first. What is still in use goes when its last user does.
///
/// Each is made private before: one that is bound from the box shares with its source, and what the box has mounted there
/// would be unmounted with it.
pub(crate) fn unmount_below(path: &Path) -> Result<(), Error> {
    let targets = below(path)?;
    for target in &targets {
        match mount_change(target, MountPropagationFlags::PRIVATE) {
            Ok(()) | Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOENT) => (),
            Err(e) => return Err(Error::Unmount { path: target.clone(), source: e.into() }),
        }
    }
    for target in targets.into_iter().rev() {
        match unmount(&target, UnmountFlags::DETACH) {
            Ok(()) | Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOENT) => (),
            Err(e) => return Err(Error::Unmount { path: target, source: e.into() }),
        }
    }
    Ok(())
}

/// Whether something is mounted exactly there.
pub(crate) fn is_mounted(path: &Path) -> Result<bool, Error> {
    Ok(below(path)?.iter().any(|target| target == path))
}

/// Mount points at and below `path`, the outermost first.
fn below(path: &Path) -> Result<Vec<PathBuf>, Error> {
    let table = fs::read_to_string("/proc/self/mountinfo").map_err(|source| Error::Table { source })?;
    let points = mountinfo::table(&table).into_iter().map(|mounted| mounted.point);
    Ok(points.filter(|point| point.starts_with(path)).collect())
}
