//! What a thing unpacked has beside its content: owner, mode, attributes, time.

use std::{io::Read, os::fd::OwnedFd};

use rustix::fs::{Gid, Mode, Timespec, Timestamps, Uid, XattrFlags, fchmod, fchown, fsetxattr};

use super::{Entry, Fault, fault};

/// Everything else is for the system's own use: `trusted.overlay.*` in a hostile layer would redirect overlayfs.
const XATTRS: [&[u8]; 2] = [b"security.capability", b"user."];

/// Owner first: changing it takes set-id bits and capabilities away.
pub(super) fn dress<R: Read>(opened: &OwnedFd, entry: &Entry<'_, R>) -> Result<(), Fault> {
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

pub(super) fn owner<R: Read>(entry: &Entry<'_, R>) -> (Option<Uid>, Option<Gid>) {
    (Some(Uid::from_raw(entry.uid)), Some(Gid::from_raw(entry.gid)))
}

pub(super) fn times(modified: Timespec) -> Timestamps {
    Timestamps { last_access: modified, last_modification: modified }
}
