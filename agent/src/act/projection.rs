//! Writes the files of a projected volume all at once: a reader sees the old ones or the new ones, never some of each.
//! What the files hold is given.
//!
//! The layout is the kubelet's (`pkg/volume/util/atomic_writer.go`), on which programs rely that watch for a change:
//!
//! ```text
//! volume/..2026_01_31_12_00_00.123456789/key     the content
//! volume/..data -> ..2026_01_31_12_00_00.123456789   renamed over the old link: the moment of the change
//! volume/key -> ..data/key                        what a program opens
//! ```
#![expect(clippy::disallowed_methods, reason = "this is the effect")]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    os::unix::fs::{PermissionsExt, chown, symlink},
    path::{Path, PathBuf},
};

use crate::pod::given::File;

/// The link that is changed.
const DATA: &str = "..data";
/// What it is before it is renamed.
const NEXT: &str = "..data_tmp";

/// What could not be done to which file.
#[derive(Debug, thiserror::Error)]
#[error("cannot {attempted} {}", path.display())]
pub(crate) struct Error {
    attempted: &'static str,
    path: PathBuf,
    #[source]
    source: io::Error,
}

/// Whether readers see something else now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Written {
    Anew,
    /// The same files with the same content were there.
    Unchanged,
}

/// Makes the files of `volume` be these and no others. With a `group` (`fsGroup`) they are its, and it may read them,
/// before anybody sees them. `at` is in nanoseconds since 1970.
pub(crate) fn write(volume: &Path, files: &[File], group: Option<u32>, at: i64) -> Result<Written, Error> {
    own(volume, group)?;
    let link = volume.join(DATA);
    if fs::read_link(&link).is_ok() && content(&link).is_ok_and(|there| there == wanted(files, group)) {
        name_files(volume, files)?;
        return Ok(Written::Unchanged);
    }
    let name = directory_name(at);
    let fresh = volume.join(&name);
    make_dir(&fresh, group)?;
    for file in files {
        write_file(&fresh, file, group)?;
    }
    let next = volume.join(NEXT);
    if fs::symlink_metadata(&next).is_ok() {
        fs::remove_file(&next).map_err(fault("remove", &next))?;
    }
    symlink(&name, &next).map_err(fault("make the link", &next))?;
    fs::rename(&next, &link).map_err(fault("change the link", &link))?;
    name_files(volume, files)?;
    remove_old(volume, &name)?;
    Ok(Written::Anew)
}

fn directory_name(at: i64) -> String {
    let at = jiff::Timestamp::from_nanosecond(i128::from(at)).unwrap_or_default();
    at.strftime("..%Y_%m_%d_%H_%M_%S.%9f").to_string()
}

fn write_file(dir: &Path, file: &File, group: Option<u32>) -> Result<(), Error> {
    let path = dir.join(&file.path);
    let mut parent = dir.to_owned();
    let inner = Path::new(&file.path).parent().unwrap_or(Path::new(""));
    for part in inner {
        parent.push(part);
        if !parent.is_dir() {
            make_dir(&parent, group)?;
        }
    }
    fs::write(&path, &file.content).map_err(fault("write", &path))?;
    own(&path, group)?;
    chmod(&path, mode(file, group))
}

/// Whatever this process's umask is.
fn make_dir(path: &Path, group: Option<u32>) -> Result<(), Error> {
    fs::create_dir(path).map_err(fault("make the directory", path))?;
    own(path, group)?;
    // As the kubelet's SetVolumeOwnership: what is new in it has the same group.
    chmod(path, if group.is_some() { 0o2755 } else { 0o755 })
}

fn own(path: &Path, group: Option<u32>) -> Result<(), Error> {
    if group.is_none() {
        return Ok(());
    }
    chown(path, None, group).map_err(fault("give to the fsGroup", path))
}

/// Its group may read a file whatever the manifest says of others: SetVolumeOwnership again, for a read-only volume.
fn mode(file: &File, group: Option<u32>) -> u32 {
    if group.is_some() { file.mode | 0o440 } else { file.mode }
}

fn chmod(path: &Path, mode: u32) -> Result<(), Error> {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).map_err(fault("set the mode of", path))
}

/// The names that programs use: links for what is there, none for what is not.
fn name_files(volume: &Path, files: &[File]) -> Result<(), Error> {
    let names: BTreeSet<&str> = files.iter().filter_map(|file| file.path.split('/').next()).collect();
    for name in &names {
        let link = volume.join(name);
        if fs::symlink_metadata(&link).is_err() {
            symlink(Path::new(DATA).join(name), &link).map_err(fault("make the link", &link))?;
        }
    }
    for name in list(volume)? {
        if !name.starts_with("..") && !names.contains(name.as_str()) {
            let link = volume.join(&name);
            fs::remove_file(&link).map_err(fault("remove", &link))?;
        }
    }
    Ok(())
}

/// Earlier directories, also one that an agent was killed over.
fn remove_old(volume: &Path, current: &str) -> Result<(), Error> {
    for name in list(volume)? {
        let path = volume.join(&name);
        if name.starts_with("..")
            && name != current
            && path.symlink_metadata().is_ok_and(|meta| meta.is_dir())
        {
            fs::remove_dir_all(&path).map_err(fault("remove", &path))?;
        }
    }
    Ok(())
}

fn list(dir: &Path) -> Result<Vec<String>, Error> {
    let entries = fs::read_dir(dir).map_err(fault("list", dir))?;
    Ok(entries.flatten().filter_map(|entry| entry.file_name().into_string().ok()).collect())
}

type Content = BTreeMap<String, (u32, Vec<u8>)>;

fn wanted(files: &[File], group: Option<u32>) -> Content {
    files.iter().map(|file| (file.path.clone(), (mode(file, group), file.content.clone()))).collect()
}

/// Every file below, by its path from there.
fn content(dir: &Path) -> io::Result<Content> {
    let mut found = Content::new();
    let mut open = vec![String::new()];
    while let Some(inner) = open.pop() {
        for entry in fs::read_dir(dir.join(&inner))? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let path = if inner.is_empty() { name } else { format!("{inner}/{name}") };
            let meta = entry.metadata()?;
            if meta.is_dir() {
                open.push(path);
            } else {
                found.insert(path, (meta.permissions().mode() & 0o777, fs::read(entry.path())?));
            }
        }
    }
    Ok(found)
}

fn fault(attempted: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Error {
    let path = path.to_owned();
    move |source| Error { attempted, path, source }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str, mode: u32, content: &str) -> File {
        File { path: path.to_owned(), mode, content: content.as_bytes().to_vec() }
    }

    #[test]
    fn files_change_all_at_once_and_what_is_no_longer_wanted_goes() {
        let volume = std::env::temp_dir().join(format!("carob-projection-{}", std::process::id()));
        let _ = fs::remove_dir_all(&volume);
        fs::create_dir_all(&volume).unwrap();
        let read = |path: &str| fs::read_to_string(volume.join(path)).ok();
        let first = [file("a", 0o644, "1"), file("deep/er/b", 0o400, "2")];
        assert_eq!(write(&volume, &first, None, 1).unwrap(), Written::Anew);
        assert_eq!((read("a").as_deref(), read("deep/er/b").as_deref()), (Some("1"), Some("2")));
        assert_eq!(fs::read_link(volume.join("a")).unwrap(), Path::new("..data/a"));
        assert_eq!(
            fs::read_link(volume.join("..data")).unwrap(),
            Path::new("..1970_01_01_00_00_00.000000001")
        );
        let mode = |path: &str| fs::metadata(volume.join(path)).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode("a"), mode("deep/er/b"), mode("deep")), (0o644, 0o400, 0o755));
        // What a reader holds open stays what it was.
        let held = fs::canonicalize(volume.join("a")).unwrap();
        assert_eq!(write(&volume, &first, None, 2).unwrap(), Written::Unchanged);
        assert!(held.exists());
        for (files, at) in [
            ([file("a", 0o644, "3"), file("c", 0o644, "")], 3),
            ([file("a", 0o600, "3"), file("c", 0o644, "")], 4),
        ] {
            assert_eq!(write(&volume, &files, None, at).unwrap(), Written::Anew);
        }
        assert_eq!(
            (read("a").as_deref(), read("c").as_deref(), read("deep/er/b")),
            (Some("3"), Some(""), None)
        );
        assert_eq!(mode("a"), 0o600);
        assert!(!held.exists());
        let mut names = list(&volume).unwrap();
        names.sort();
        assert_eq!(names, ["..1970_01_01_00_00_00.000000004", "..data", "a", "c"]);
        assert_eq!(write(&volume, &[], None, 5).unwrap(), Written::Anew);
        assert_eq!(list(&volume).unwrap().len(), 2, "no file is left");
        fs::remove_dir_all(&volume).unwrap();
    }

    #[test]
    fn files_of_a_group_are_its_to_read() {
        use std::os::unix::fs::MetadataExt;
        let volume = std::env::temp_dir().join(format!("carob-projection-group-{}", std::process::id()));
        let _ = fs::remove_dir_all(&volume);
        fs::create_dir_all(&volume).unwrap();
        // Its own: giving it to another takes a privilege.
        let group = fs::metadata(&volume).unwrap().gid();
        let files = [file("a", 0o400, "1"), file("deep/b", 0o644, "2")];
        assert_eq!(write(&volume, &files, Some(group), 1).unwrap(), Written::Anew);
        let about =
            |path: &str| fs::metadata(volume.join(path)).map(|about| (about.gid(), about.mode() & 0o7777));
        for (path, mode) in [("a", 0o440), ("deep/b", 0o644), ("deep", 0o2755), ("..data", 0o2755)] {
            assert_eq!(about(path).unwrap(), (group, mode), "{path}");
        }
        assert_eq!(write(&volume, &files, Some(group), 2).unwrap(), Written::Unchanged);
        fs::remove_dir_all(&volume).unwrap();
    }
}
