//! Watches a folder: which files in it were written whole, renamed, moved or removed.
#![expect(clippy::disallowed_methods, reason = "makes the folder that is watched")]

use std::{collections::BTreeSet, fs, io, mem::MaybeUninit, os::fd::OwnedFd, path::Path};

use rustix::fs::inotify::{self, CreateFlags, Reader, WatchFlags};
use tokio::io::unix::AsyncFd;

use super::notes::{Note, Notes};
use crate::ready;

/// Tells the loop of changes: `note` is made of the names of the files. A file that is still being written is no change.
pub(super) fn watch(dir: &Path, notes: Notes, note: fn(BTreeSet<String>) -> Note) -> io::Result<()> {
    fs::create_dir_all(dir)?;
    let watch = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC)?;
    let events = WatchFlags::CLOSE_WRITE | WatchFlags::MOVED_TO | WatchFlags::MOVED_FROM | WatchFlags::DELETE;
    inotify::add_watch(&watch, dir, events)?;
    let watch = ready::readable(watch)?;
    tokio::spawn(forward(watch, notes, note));
    Ok(())
}

async fn forward(watch: AsyncFd<OwnedFd>, notes: Notes, note: fn(BTreeSet<String>) -> Note) {
    while let Ok(mut guard) = watch.readable().await {
        let names = changed(watch.get_ref());
        guard.clear_ready();
        if notes.send(note(names)).await.is_err() {
            return;
        }
    }
}

/// All that has happened until now.
fn changed(watch: &OwnedFd) -> BTreeSet<String> {
    let mut buffer = [MaybeUninit::uninit(); 4096];
    let mut reader = Reader::new(watch, &mut buffer);
    let mut names = BTreeSet::new();
    while let Ok(event) = reader.next() {
        names.extend(event.file_name().map(|name| name.to_string_lossy().into_owned()));
    }
    names
}
