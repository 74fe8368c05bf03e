//! A container's root filesystem: the image's layers below a writable one, by overlayfs.
//!
//! Knows nothing of images or containers, and does not remove what was written: that is its caller's directory.
#![expect(clippy::disallowed_methods, reason = "an effect module: makes the overlay's directories")]

use std::{
    collections::BTreeSet,
    ffi::CString,
    fs::{self, Permissions},
    io,
    os::{
        fd::{AsRawFd, OwnedFd},
        unix::fs::{MetadataExt, PermissionsExt, chown},
    },
    path::{Path, PathBuf},
};

use rustix::{
    fs::{Mode, OFlags, open},
    mount::MountFlags,
};

/// The kernel copies one page of options and ends it with a zero.
const OPTIONS_BYTES: usize = 4095;

/// Why there is no root filesystem.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("cannot mount {}: it has no layers", target.display())]
    Empty { target: PathBuf },
    #[error("cannot mount {}: {layers} layers are more than one mount takes", target.display())]
    TooMany { target: PathBuf, layers: usize },
    #[error("cannot {what} {}", path.display())]
    Disk {
        what: &'static str,
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("cannot mount the overlay on {}", target.display())]
    Mount {
        target: PathBuf,
        #[source]
        source: io::Error,
    },
}

/// Mounts `lowers` (lowest first) with `upper_root/upper` over them on `target`. Missing directories are made.
///
/// This is mount(2), not fsopen: fsconfig takes values of 255 bytes at most (`strndup_user` in fs/fsopen.c), one layer's
/// path is 100, and adding layers one by one came only with 6.7. Directories go by descriptor (`/proc/self/fd/9`): some
/// 200 layers fit the page, and neither `:` nor `,` in a path has to be escaped, which kernels did differently.
pub(crate) fn mount(lowers: &[PathBuf], upper_root: &Path, target: &Path) -> Result<(), Error> {
    let lowers = once_each(lowers);
    let Some(top) = lowers.first() else { return Err(Error::Empty { target: target.to_owned() }) };
    let (upper, work) = (upper_root.join("upper"), upper_root.join("work"));
    for directory in [&upper, &work, target] {
        fs::create_dir_all(directory).map_err(disk("make", directory))?;
    }
    dress(&upper, top)?;
    let layers = lowers.iter().map(|lower| directory(lower)).collect::<Result<Vec<_>, _>>()?;
    let (upper, work) = (directory(&upper)?, directory(&work)?);
    overlay(target, options(&layers, &upper, &work), layers.len(), MountFlags::empty())
}

/// Mounts `layers` (lowest first) on `target` for reading only, and nothing in it can be executed. Overlayfs wants two
/// layers at least where none is writable: an `empty` directory is the lowest.
pub(crate) fn mount_read_only(layers: &[PathBuf], empty: &Path, target: &Path) -> Result<(), Error> {
    for directory in [empty, target] {
        fs::create_dir_all(directory).map_err(disk("make", directory))?;
    }
    let lowers = once_each(layers).into_iter().map(PathBuf::as_path).chain([empty]);
    let layers = lowers.map(directory).collect::<Result<Vec<_>, _>>()?;
    let options = format!("index=off,lowerdir={}", joined(&layers));
    let flags = MountFlags::RDONLY | MountFlags::NOEXEC | MountFlags::NOSUID | MountFlags::NODEV;
    overlay(target, options, layers.len(), flags)
}

fn overlay(target: &Path, options: String, layers: usize, flags: MountFlags) -> Result<(), Error> {
    let too_many = || Error::TooMany { target: target.to_owned(), layers };
    let options =
        CString::new(options).ok().filter(|o| o.as_bytes().len() <= OPTIONS_BYTES).ok_or_else(too_many)?;
    rustix::mount::mount("overlay", target, "overlay", flags, options.as_c_str())
        .map_err(|e| Error::Mount { target: target.to_owned(), source: e.into() })
}

/// Topmost first, as overlayfs wants them, and each once: it refuses a directory that is there twice (ELOOP), while
/// an image may repeat a layer. What the lower one of two equal layers gives, the upper one gives again.
fn once_each(lowers: &[PathBuf]) -> Vec<&PathBuf> {
    let mut seen = BTreeSet::new();
    lowers.iter().rev().filter(|lower| seen.insert(*lower)).collect()
}

/// The root of the mount has the owner and mode of the writable layer's: those of the image, not of our umask.
fn dress(upper: &Path, top: &Path) -> Result<(), Error> {
    let model = fs::metadata(top).map_err(disk("look at", top))?;
    let dressed = chown(upper, Some(model.uid()), Some(model.gid()))
        .and_then(|()| fs::set_permissions(upper, Permissions::from_mode(model.mode())));
    dressed.map_err(disk("give the image's owner to", upper))
}

fn directory(path: &Path) -> Result<OwnedFd, Error> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    open(path, flags, Mode::empty()).map_err(|e| disk("open", path)(e.into()))
}

/// `index=off`: a box whose kernel has it on by default would refuse a layer under two writable ones.
fn options(layers: &[OwnedFd], upper: &OwnedFd, work: &OwnedFd) -> String {
    format!("index=off,lowerdir={},upperdir={},workdir={}", joined(layers), link(upper), link(work))
}

fn joined(layers: &[OwnedFd]) -> String {
    layers.iter().map(link).collect::<Vec<_>>().join(":")
}

fn link(fd: &OwnedFd) -> String {
    format!("/proc/self/fd/{}", fd.as_raw_fd())
}

fn disk(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Error + use<> {
    let path = path.to_owned();
    move |source| Error::Disk { what, path, source }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A directory whose mount and files go when the test ends.
    struct Temporary(PathBuf);

    impl Temporary {
        fn new() -> Self {
            let path = std::env::temp_dir().join(format!("carob-rootfs-{}", uuid::Uuid::new_v4()));
            fs::create_dir(&path).unwrap();
            Self(path)
        }

        /// Layers named by the caller, each with a file `name` that holds its number and one of its own.
        fn layers(&self, names: impl IntoIterator<Item = String>) -> Vec<PathBuf> {
            let paths = names.into_iter().enumerate().map(|(n, name)| {
                let path = self.0.join(name);
                fs::create_dir_all(&path).unwrap();
                fs::write(path.join("name"), n.to_string()).unwrap();
                fs::write(path.join(n.to_string()), "").unwrap();
                path
            });
            paths.collect()
        }

        fn target(&self) -> PathBuf {
            self.0.join("target")
        }
    }

    impl Drop for Temporary {
        fn drop(&mut self) {
            // Not root: unmount fails, and nothing was mounted. Root: what is still mounted fails the removal.
            drop(crate::act::mounts::unmount_below(&self.target()));
            fs::remove_dir_all(&self.0).unwrap();
        }
    }

    fn is_root(test: &str) -> bool {
        let root = rustix::process::geteuid().is_root();
        if !root {
            eprintln!("SKIPPED, NOT TESTED: {test} needs root");
        }
        root
    }

    #[test]
    fn the_topmost_layer_wins_and_writes_stay_above() {
        if !is_root("the_topmost_layer_wins_and_writes_stay_above") {
            return;
        }
        let temporary = Temporary::new();
        let lowers = temporary.layers(["a:b,c\\d\"", "plain", "x,upperdir=/etc"].map(str::to_owned));
        fs::set_permissions(&lowers[2], Permissions::from_mode(0o1750)).unwrap();
        chown(&lowers[2], Some(7), Some(8)).unwrap();
        let (upper_root, target) = (temporary.0.join("up:per,"), temporary.target());
        mount(&lowers, &upper_root, &target).unwrap();
        assert_eq!(fs::read_to_string(target.join("name")).unwrap(), "2");
        assert!(["0", "1", "2"].iter().all(|own| target.join(own).exists()));
        let root = fs::metadata(&target).unwrap();
        assert_eq!((root.mode() & 0o7777, root.uid(), root.gid()), (0o1750, 7, 8));
        fs::write(target.join("name"), "written").unwrap();
        fs::remove_file(target.join("0")).unwrap();
        assert_eq!(fs::read_to_string(lowers[2].join("name")).unwrap(), "2");
        assert_eq!(fs::read_to_string(upper_root.join("upper/name")).unwrap(), "written");
        crate::act::mounts::unmount_below(&target).unwrap();
        crate::act::mounts::unmount_below(&target).unwrap();
        assert!(!target.join("name").exists());
        mount(&lowers, &upper_root, &target).unwrap();
        assert_eq!(fs::read_to_string(target.join("name")).unwrap(), "written");
        assert!(!target.join("0").exists());
    }

    #[test]
    fn as_many_layers_as_an_image_may_have_fit_one_mount() {
        if !is_root("as_many_layers_as_an_image_may_have_fit_one_mount") {
            return;
        }
        let check = |count: usize, fits: bool| {
            let temporary = Temporary::new();
            let lowers = temporary.layers((0..count).map(|n| format!("{}{n}", "l".repeat(100))));
            let mounted = mount(&lowers, &temporary.0.join("run"), &temporary.target());
            assert_eq!(mounted.is_ok(), fits, "{count} layers: {mounted:?}");
            if fits {
                let top = fs::read_to_string(temporary.target().join("name")).unwrap();
                assert_eq!(top, (count - 1).to_string());
            }
        };
        check(1, true);
        check(128, true);
        check(300, false);
    }

    #[test]
    fn a_layer_that_is_there_twice_counts_where_it_is_higher() {
        let [a, b, c] = ["a", "b", "c"].map(PathBuf::from);
        let check = |lowers: &[&PathBuf], expected: &[&PathBuf]| {
            let lowers: Vec<_> = lowers.iter().map(|path| (*path).clone()).collect();
            assert_eq!(once_each(&lowers), expected);
        };
        check(&[&a, &b, &c], &[&c, &b, &a]);
        check(&[&a, &b, &a], &[&a, &b]);
        check(&[&a, &a, &b, &c, &b], &[&b, &c, &a]);
    }

    #[test]
    fn what_cannot_be_mounted_is_named() {
        let temporary = Temporary::new();
        let (run, target, missing) =
            (temporary.0.join("run"), temporary.target(), temporary.0.join("missing"));
        assert!(matches!(mount(&[], &run, &target), Err(Error::Empty { .. })));
        let refused = mount(std::slice::from_ref(&missing), &run, &target);
        assert!(matches!(refused, Err(Error::Disk { path, .. }) if path == missing));
    }
}
