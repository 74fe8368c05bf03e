//! Makes a pod's volumes be there and says where each one is. Removing them is the sandbox's part.
#![expect(clippy::disallowed_methods, reason = "this is the effect")]

use std::{
    collections::BTreeMap,
    fs, io,
    os::{
        fd::{AsFd, AsRawFd, OwnedFd},
        unix::fs::{FileTypeExt, MetadataExt, PermissionsExt},
    },
    path::{Path, PathBuf},
};

use rustix::fs::{Mode, OFlags, ResolveFlags, mkdirat, openat2};

use super::{
    mounts,
    oci::Bind,
    places::{Places, PodPlaces},
    projection,
};
use crate::pod::{
    Access, Container, HostPathKind, PodName, Spec, Volume, VolumeMount, VolumeSource,
    expand::expand_known,
    given::{Found, Given},
    source::SubPath,
};

/// Why containers wait whose volumes need something that is not there.
pub(crate) const WAITING: &str = "ContainerCreating";

/// What is wrong with which volume.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("volume {volume:?}: {} is not a {wanted}", path.display())]
    WrongType { volume: String, path: PathBuf, wanted: &'static str },
    #[error("volume {volume:?}: cannot use {}", path.display())]
    Path {
        volume: String,
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("volume {volume:?}: cannot be set up")]
    Mount {
        volume: String,
        #[source]
        source: mounts::Error,
    },
    #[error("volume {volume:?}: subPath {sub_path:?} does not lead to anything inside the volume")]
    SubPath {
        volume: String,
        sub_path: String,
        #[source]
        source: io::Error,
    },
    #[error("volume {volume:?}: its files cannot be written")]
    Files {
        volume: String,
        #[source]
        source: projection::Error,
    },
    /// In the kubelet's words.
    #[error("MountVolume.SetUp failed for volume {volume:?} : {missing}")]
    Missing { volume: String, missing: String },
    #[error(
        "volume {volume:?}: subPathExpr {expression:?} names the variable {name:?}, which the container does not have"
    )]
    Variable { volume: String, expression: String, name: String },
    /// In the kubelet's words.
    #[error("{said}")]
    Expanded { said: String },
    #[error("volume mount {volume:?} has no volume")]
    Undeclared { volume: String },
}

/// Makes everything that does not depend on a container. Idempotent.
pub(crate) fn prepare(places: &Places, pod: &PodPlaces, spec: &Spec, given: &Given) -> Result<(), Error> {
    let group = spec.security.fs_group.map(|group| group.gid);
    for volume in &spec.volumes {
        let path = path_of(places, pod, &spec.name, volume);
        match &volume.source {
            VolumeSource::EmptyDir { .. } => open_to_all(volume, &path)?,
            VolumeSource::EmptyDirInMemory { size } => {
                let fault = |source| Error::Mount { volume: volume.name.clone(), source };
                if !mounts::is_mounted(&path).map_err(fault)? {
                    mounts::tmpfs(&path, *size, 0o1777).map_err(fault)?;
                }
            }
            VolumeSource::HostPath { kind, .. } => host_path(volume, &path, *kind)?,
            VolumeSource::Projected(_) => files(volume, &path, group, given)?,
            // Mounted for the first container that wants it: others do not wait for an image that is not there.
            VolumeSource::Image { .. } => (),
            VolumeSource::Claim { .. } => {
                if !path.is_dir() {
                    open_to_all(volume, &path)?;
                }
            }
        }
    }
    Ok(())
}

/// The binds of one container, its sub-paths resolved and held in place.
pub(crate) fn binds(
    places: &Places,
    pod: &PodPlaces,
    name: &PodName,
    volumes: &[Volume],
    container: &Container,
    env: &BTreeMap<String, String>,
) -> Result<Vec<Bind>, Error> {
    let bind = |(index, mount): (usize, &VolumeMount)| {
        let volume = volumes.iter().find(|volume| volume.name == mount.volume);
        let volume = volume.ok_or_else(|| Error::Undeclared { volume: mount.volume.clone() })?;
        let whole = path_of(places, pod, name, volume);
        let source = match sub_path(mount, env)? {
            None => whole,
            Some(sub_path) => {
                let held = pod.sub_path(&container.name, index);
                hold_sub_path(volume, &whole, &sub_path, &held)?;
                held
            }
        };
        // As the kubelet: nobody but the agent writes to such files, and nobody at all to an image.
        let access = match volume.source {
            VolumeSource::Projected(_) | VolumeSource::Image { .. } => Access::ReadOnly,
            _ => mount.access,
        };
        Ok(Bind { source, target: mount.path.clone(), access, propagation: mount.propagation })
    };
    container.mounts.iter().enumerate().map(bind).collect()
}

pub(super) fn path_of(places: &Places, pod: &PodPlaces, name: &PodName, volume: &Volume) -> PathBuf {
    match &volume.source {
        VolumeSource::EmptyDir { .. } => pod.volume_on_disk(&volume.name),
        VolumeSource::EmptyDirInMemory { .. } | VolumeSource::Projected(_) | VolumeSource::Image { .. } => {
            pod.volume_in_memory(&volume.name)
        }
        VolumeSource::HostPath { path, .. } => PathBuf::from(path),
        VolumeSource::Claim { name: claim, .. } => places.claim(&name.namespace, claim),
    }
}

/// The part of the volume that is mounted; nothing if it is the whole.
fn sub_path(mount: &VolumeMount, env: &BTreeMap<String, String>) -> Result<Option<String>, Error> {
    let path = match &mount.sub_path {
        None => return Ok(None),
        Some(SubPath::Written(path)) => path.clone(),
        Some(SubPath::Expanded(expression)) => {
            let expanded = expand_known(expression, env).map_err(|name| Error::Variable {
                volume: mount.volume.clone(),
                expression: expression.clone(),
                name,
            })?;
            inside(expanded)?
        }
    };
    Ok(Some(path).filter(|path| !path.is_empty()))
}

/// What is written in a manifest was checked with it; a variable's value is only known now.
fn inside(path: String) -> Result<String, Error> {
    if path.starts_with('/') {
        return Err(Error::Expanded { said: format!("error SubPath `{path}` must not be an absolute path") });
    }
    if path.split('/').any(|part| part == "..") {
        return Err(Error::Expanded {
            said: format!("unable to provision SubPath `{path}`: must not contain '..'"),
        });
    }
    Ok(path)
}

/// Files that were looked up, in memory: secrets do not go to a disk.
fn files(volume: &Volume, path: &Path, group: Option<u32>, given: &Given) -> Result<(), Error> {
    let missing = |missing: &str| Error::Missing { volume: volume.name.clone(), missing: missing.to_owned() };
    let found: &Found<_> = given.volumes.get(&volume.name).ok_or_else(|| missing("nobody looked it up"))?;
    let files = found.as_ref().map_err(|message| missing(message))?;
    let fault = |source| Error::Mount { volume: volume.name.clone(), source };
    if !mounts::is_mounted(path).map_err(fault)? {
        mounts::tmpfs(path, None, 0o1777).map_err(fault)?;
    }
    let written = projection::write(path, files, group, given.at);
    written.map(drop).map_err(|source| Error::Files { volume: volume.name.clone(), source })
}

/// A directory that any user of the container may write to, as the kubelet makes it.
fn open_to_all(volume: &Volume, path: &Path) -> Result<(), Error> {
    let fault = |source| Error::Path { volume: volume.name.clone(), path: path.to_owned(), source };
    fs::create_dir_all(path).map_err(fault)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o777)).map_err(fault)
}

/// `hostPath.type`: look, or make with mode 0755 for a directory and 0644 for a file.
fn host_path(volume: &Volume, path: &Path, kind: HostPathKind) -> Result<(), Error> {
    let fault = |source| Error::Path { volume: volume.name.clone(), path: path.to_owned(), source };
    let missing = !path.exists();
    match kind {
        HostPathKind::DirectoryOrCreate if missing => fs::create_dir_all(path).map_err(fault)?,
        HostPathKind::FileOrCreate if missing => fs::File::create_new(path).map(drop).map_err(fault)?,
        _ => (),
    }
    let kind_of = fs::metadata(path).map_err(fault)?.file_type();
    let (fits, wanted) = match kind {
        HostPathKind::Unchecked => (true, "path"),
        HostPathKind::Directory | HostPathKind::DirectoryOrCreate => (kind_of.is_dir(), "directory"),
        HostPathKind::File | HostPathKind::FileOrCreate => (kind_of.is_file(), "file"),
        HostPathKind::Socket => (kind_of.is_socket(), "socket"),
        HostPathKind::CharDevice => (kind_of.is_char_device(), "character device"),
        HostPathKind::BlockDevice => (kind_of.is_block_device(), "block device"),
    };
    if fits {
        Ok(())
    } else {
        Err(Error::WrongType { volume: volume.name.clone(), path: path.to_owned(), wanted })
    }
}

/// Resolves a sub-path inside its volume only, and binds what it found to a place of ours: a link that is
/// changed afterwards changes nothing.
fn hold_sub_path(volume: &Volume, whole: &Path, sub_path: &str, held: &Path) -> Result<(), Error> {
    let escape = |source: rustix::io::Errno| {
        let sub_path = sub_path.to_owned();
        Error::SubPath { volume: volume.name.clone(), sub_path, source: source.into() }
    };
    let mount_fault = |source| Error::Mount { volume: volume.name.clone(), source };
    let root = rustix::fs::open(whole, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
        .map_err(escape)?;
    let found = find_or_make(&root, sub_path).map_err(escape)?;
    let fault = |source| Error::Path { volume: volume.name.clone(), path: held.to_owned(), source };
    let meta = fs::metadata(through(&found)).map_err(fault)?;
    if mounts::is_mounted(held).map_err(mount_fault)? {
        let before = fs::metadata(held).map_err(fault)?;
        if (before.dev(), before.ino()) == (meta.dev(), meta.ino()) {
            return Ok(());
        }
        // Another file has come in its place since an earlier attempt held it.
        mounts::unmount_below(held).map_err(mount_fault)?;
    }
    if meta.is_dir() {
        mounts::make_dir(held).map_err(mount_fault)?;
    } else {
        mounts::make_dir(held.parent().unwrap_or(held)).map_err(mount_fault)?;
        fs::File::create(held).map_err(fault)?;
    }
    mounts::bind(&through(&found), held).map_err(mount_fault)
}

/// A path that leads to an open file and nowhere else.
pub(super) fn through(fd: &OwnedFd) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}", fd.as_raw_fd()))
}

/// Opens `path` beneath `root`, making directories that are missing: they belong to root and have the mode of the volume's
/// own directory, whatever this process's umask is (the kubelet's `SafeMakeDir`).
pub(super) fn find_or_make(root: impl AsFd, path: &str) -> Result<OwnedFd, rustix::io::Errno> {
    if path.starts_with('/') {
        return Err(rustix::io::Errno::XDEV);
    }
    let within = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
    let open =
        |at: &OwnedFd, name: &str| openat2(at, name, OFlags::PATH | OFlags::CLOEXEC, Mode::empty(), within);
    let root = openat2(root.as_fd(), ".", OFlags::PATH | OFlags::CLOEXEC, Mode::empty(), within)?;
    let mode = Mode::from_raw_mode(rustix::fs::fstat(&root)?.st_mode & 0o777);
    if let Ok(found) = open(&root, path) {
        return Ok(found);
    }
    let mut prefix = String::new();
    let mut last = root.try_clone().map_err(|_| rustix::io::Errno::MFILE)?;
    for part in path.split('/').filter(|part| !part.is_empty() && *part != ".") {
        if part == ".." {
            return Err(rustix::io::Errno::XDEV);
        }
        prefix = if prefix.is_empty() { part.to_owned() } else { format!("{prefix}/{part}") };
        last = match open(&root, &prefix) {
            Err(rustix::io::Errno::NOENT) => {
                mkdirat(&last, part, mode)?;
                let made = open(&root, &prefix)?;
                rustix::fs::chmod(through(&made), mode)?;
                made
            }
            other => other?,
        };
    }
    Ok(last)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pod::Propagation;

    #[test]
    fn a_sub_path_stays_inside_its_volume() {
        let root = std::env::temp_dir().join(format!("carob-subpath-{}", std::process::id()));
        fs::create_dir_all(root.join("there")).unwrap();
        std::os::unix::fs::symlink("/etc", root.join("out")).unwrap();
        std::os::unix::fs::symlink("there", root.join("in")).unwrap();
        let dir = fs::File::open(&root).unwrap();
        let rows = [
            ("there", true),
            ("in", true),
            ("new/deep", true),
            ("in/new", true),
            ("out", false),
            ("out/passwd", false),
            ("../x", false),
            ("new/../../x", false),
            ("/etc", false),
        ];
        for (path, fits) in rows {
            let found = find_or_make(&dir, path);
            assert_eq!(found.is_ok(), fits, "{path}: {found:?}");
        }
        assert!(root.join("new/deep").is_dir() && root.join("there/new").is_dir());
        for mode in [0o777, 0o700] {
            fs::set_permissions(&root, fs::Permissions::from_mode(mode)).unwrap();
            find_or_make(&dir, &format!("mode/{mode:o}")).unwrap();
            let made = fs::metadata(root.join(format!("mode/{mode:o}"))).unwrap();
            assert_eq!(made.permissions().mode() & 0o7777, mode);
        }
        fs::remove_dir_all(&root).unwrap();
    }

    #[test]
    fn an_expanded_sub_path_is_judged_in_the_kubelets_words() {
        let mount = |expression: &str| VolumeMount {
            volume: "v".to_owned(),
            path: "/v".to_owned(),
            sub_path: Some(SubPath::Expanded(expression.to_owned())),
            access: Access::ReadWrite,
            propagation: Propagation::None,
        };
        let env = [("UP", ".."), ("AT", "/tmp"), ("NAME", "a..b")];
        let env = env.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        let rows = [
            ("logs/$(NAME)", Ok("logs/a..b")),
            ("$(UP)", Err("unable to provision SubPath `..`: must not contain '..'")),
            ("a/$(UP)/b", Err("unable to provision SubPath `a/../b`: must not contain '..'")),
            ("$(AT)", Err("error SubPath `/tmp` must not be an absolute path")),
        ];
        for (expression, wanted) in rows {
            let found = sub_path(&mount(expression), &env).map_err(|error| error.to_string());
            let wanted = wanted.map(|path| Some(path.to_owned())).map_err(str::to_owned);
            assert_eq!(found, wanted, "{expression}");
        }
    }
}
