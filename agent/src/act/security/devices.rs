//! The device nodes of this box, for a privileged container. Makes none: that is the runtime's part.
#![expect(clippy::disallowed_methods, reason = "this is the effect")]

use std::{
    fs, io,
    os::unix::fs::{FileTypeExt, MetadataExt},
    path::Path,
};

use super::Error;
use crate::act::oci::{Device, DeviceKind};

/// What every container has of its own.
const OWN: [&str; 9] = [".lxc", ".lxd-mounts", ".udev", "console", "fd", "mqueue", "ptmx", "pts", "shm"];

/// All of them, in no order.
pub(super) fn all(root: &Path) -> Result<Vec<Device>, Error> {
    let mut found = Vec::new();
    let mut left = vec![root.to_owned()];
    while let Some(dir) = left.pop() {
        let fault = |source| Error::Devices { dir: dir.clone(), source };
        for entry in fs::read_dir(&dir).map_err(fault)? {
            let entry = entry.map_err(fault)?;
            if dir == root && OWN.iter().any(|own| entry.file_name() == *own) {
                continue;
            }
            match entry.metadata() {
                Ok(about) if about.is_dir() => left.push(entry.path()),
                Ok(about) => found.extend(device(&entry.path(), &about)),
                // A device that is unplugged meanwhile.
                Err(e) if e.kind() == io::ErrorKind::NotFound => (),
                Err(e) => return Err(fault(e)),
            }
        }
    }
    Ok(found)
}

/// A link or anything else that is no device is not one of them.
fn device(path: &Path, about: &fs::Metadata) -> Option<Device> {
    let kind = if about.file_type().is_char_device() {
        DeviceKind::Character
    } else if about.file_type().is_block_device() {
        DeviceKind::Block
    } else {
        return None;
    };
    Some(Device {
        path: path.to_owned(),
        kind,
        major: rustix::fs::major(about.rdev()),
        minor: rustix::fs::minor(about.rdev()),
        mode: about.mode() & 0o7777,
        owner: (about.uid(), about.gid()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_null_device_is_found_and_a_terminals_end_is_not() {
        let found = all(Path::new("/dev")).unwrap();
        let null = found.iter().find(|device| device.path == Path::new("/dev/null")).unwrap();
        assert_eq!((null.kind, null.major, null.minor), (DeviceKind::Character, 1, 3));
        assert!(!found.iter().any(|device| device.path.starts_with("/dev/pts")));
    }
}
