//! A copy of our own binary that a container cannot write to through `/proc/<pid>/exe` (CVE-2019-5736).
//!
//! First choice: a read-only overlay over the binary's directory, which costs no memory. Else a sealed memfd.
#![expect(clippy::disallowed_methods, reason = "this is the effect")]

use std::{
    fs::{self, File},
    io,
    os::{
        fd::{AsRawFd, OwnedFd},
        unix::process::CommandExt,
    },
    path::{Path, PathBuf},
    process::Command,
};

use rustix::{
    fs::{MemfdFlags, Mode, OFlags, SealFlags, fcntl_add_seals, memfd_create, openat},
    mount::{
        FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsconfig_set_string, fsmount, fsopen,
    },
};

/// Why there is no copy.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("cannot find our own binary")]
    Find {
        #[source]
        source: io::Error,
    },
    #[error("cannot make a read-only copy of {}", path.display())]
    Copy {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
}

/// The copy, held open.
#[derive(Debug)]
pub(crate) struct Binary {
    fd: OwnedFd,
}

impl Binary {
    /// Makes the copy. `empty` is a directory of ours that stays empty: an overlay wants two layers.
    pub(crate) fn seal(empty: &Path) -> Result<Self, Error> {
        let path = fs::read_link("/proc/self/exe").map_err(|source| Error::Find { source })?;
        let fault = |source| Error::Copy { path: path.clone(), source };
        fs::create_dir_all(empty).map_err(fault)?;
        let fd = match overlay(&path, empty) {
            Ok(fd) => fd,
            Err(e) => {
                tracing::debug!(error = %e, "no overlay over the binary, a copy in memory instead");
                memory_copy().map_err(fault)?
            }
        };
        Ok(Self { fd })
    }

    /// A command that runs the copy with an empty environment.
    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(format!("/proc/self/fd/{}", self.fd.as_raw_fd()));
        command.arg0("carob").env_clear();
        command
    }
}

fn overlay(path: &Path, empty: &Path) -> io::Result<OwnedFd> {
    let (Some(dir), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(io::ErrorKind::NotFound.into());
    };
    let layers = format!("{}:{}", dir.display(), empty.display());
    let context = fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC)?;
    fsconfig_set_string(&context, "lowerdir", layers.as_str())?;
    fsconfig_create(&context)?;
    let attributes = MountAttrFlags::MOUNT_ATTR_RDONLY | MountAttrFlags::MOUNT_ATTR_NODEV;
    let root = fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, attributes)?;
    Ok(openat(&root, name, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?)
}

fn memory_copy() -> io::Result<OwnedFd> {
    let copy = File::from(memfd_create("carob", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?);
    io::copy(&mut File::open("/proc/self/exe")?, &mut &copy)?;
    fcntl_add_seals(&copy, SealFlags::WRITE | SealFlags::GROW | SealFlags::SHRINK | SealFlags::SEAL)?;
    // An O_PATH handle cannot be written through either, and does not keep exec from working (ETXTBSY).
    let path = format!("/proc/self/fd/{}", copy.as_raw_fd());
    Ok(rustix::fs::open(path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?)
}
