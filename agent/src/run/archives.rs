//! The folder of image archives: each is loaded once, when it was written whole or moved there, and again when it has changed.
//!
//! What became of each is kept in a file of its own, so that another agent does not load it again. A queue overrun, or a
//! change while no agent ran, costs nothing: the whole folder is looked at every time.
#![expect(clippy::disallowed_methods, reason = "reads the folder, and keeps what became of it")]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File},
    io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use super::{Agent, Note};
use crate::{
    act::{chain, image},
    pod::event::Weight,
};

const ENDINGS: [&str; 4] = [".tar", ".tar.gz", ".tgz", ".tar.zst"];

/// What is known of the folder.
#[derive(Debug, Default)]
pub(super) struct Archives {
    /// By file name.
    known: BTreeMap<String, Known>,
    /// Files that are to be looked at.
    due: BTreeSet<String>,
    busy: bool,
}

/// What became of an archive.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Known {
    file: Stamped,
    /// Ids of its images; none if it was refused.
    images: Vec<String>,
}

/// By what a file is told from what was there before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Stamped {
    size: u64,
    /// Nanoseconds since 1970.
    modified: i64,
    inode: u64,
}

impl Stamped {
    fn of(path: &Path) -> io::Result<Self> {
        let about = fs::metadata(path)?;
        let modified = about.mtime().saturating_mul(1_000_000_000).saturating_add(about.mtime_nsec());
        Ok(Self { size: about.len(), modified, inode: about.ino() })
    }
}

/// What a task has to tell of one archive.
#[derive(Debug)]
pub(super) struct Loaded {
    name: String,
    file: Stamped,
    images: Result<Vec<image::Loaded>, String>,
}

impl Archives {
    /// What the agent before us has loaded.
    pub(super) fn recall(state: &Path) -> Self {
        let known = fs::read(kept_in(state)).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
        Self { known: known.unwrap_or_default(), ..Self::default() }
    }

    /// The images whose archives lie in the folder: they are not removed to make room.
    pub(super) fn images(&self) -> impl Iterator<Item = image::Digest> {
        self.known.values().flat_map(|known| &known.images).filter_map(|id| image::Digest::parse(id))
    }

    /// The next one that is new or has changed. Those that are gone are forgotten.
    fn next(&mut self, dir: &Path) -> Option<(String, Stamped)> {
        while let Some(name) = self.due.pop_first() {
            match Stamped::of(&dir.join(&name)) {
                Ok(file) if self.known.get(&name).is_none_or(|known| known.file != file) => {
                    return Some((name, file));
                }
                Ok(_) => {}
                Err(_) => drop(self.known.remove(&name)),
            }
        }
        None
    }
}

impl Agent {
    /// All that lies in the folder.
    pub(super) fn look_for_archives(&mut self) {
        let there = archives(&self.config.image_dir);
        self.archives.known.retain(|name, _| there.contains(name));
        self.archives.due.extend(there);
        self.load_archives();
    }

    /// Files were written, moved or removed.
    pub(super) fn archives_changed(&mut self, names: BTreeSet<String>) {
        self.archives.due.extend(names.into_iter().filter(|name| is_archive(name)));
        self.load_archives();
    }

    /// One at a time: they are large.
    fn load_archives(&mut self) {
        if self.archives.busy {
            return;
        }
        let dir = &self.config.image_dir;
        let Some((name, file)) = self.archives.next(dir) else { return self.keep_archives() };
        self.archives.busy = true;
        let (path, store, notes) = (dir.join(&name), self.tools.images.clone(), self.notes.clone());
        tokio::task::spawn_blocking(move || {
            let images = match File::open(&path) {
                Ok(archive) => store.load(archive).map_err(|e| chain(&e)),
                Err(e) => Err(format!("it cannot be opened: {e}")),
            };
            // The loop is gone only when the agent stops.
            let _ = notes.blocking_send(Note::Archive(Loaded { name, file, images }));
        });
    }

    /// One was read to its end, well or badly.
    pub(super) fn archive_loaded(&mut self, loaded: Loaded) {
        self.archives.busy = false;
        let Loaded { name, file, images } = loaded;
        let path = self.config.image_dir.join(&name);
        if Stamped::of(&path).ok() != Some(file) {
            // It was changed while it was read: what came of that means nothing.
            self.archives.due.insert(name);
            return self.load_archives();
        }
        let images = match images {
            Ok(images) => {
                for image in &images {
                    tracing::info!(file = %path.display(), image = %image.id, names = image.names.join(" "), "loaded");
                }
                self.images_changed();
                images.iter().map(|image| image.id.to_string()).collect()
            }
            Err(message) => {
                tracing::error!(file = %path.display(), message, "image archive refused; it is read again when it changes");
                let message = format!("{}: {message}", path.display());
                self.announce(self.node_about(), Weight::Warning, "ImageArchiveRefused", message);
                Vec::new()
            }
        };
        self.archives.known.insert(name, Known { file, images });
        self.load_archives();
    }

    fn keep_archives(&self) {
        let path = kept_in(&self.config.state);
        let bytes = serde_json::to_vec_pretty(&self.archives.known).unwrap_or_default();
        if fs::read(&path).is_ok_and(|old| old == bytes) {
            return;
        }
        let new = path.with_extension("new");
        if let Err(error) = fs::write(&new, bytes).and_then(|()| fs::rename(&new, &path)) {
            tracing::warn!(%error, "image archives will be loaded again by the next agent");
        }
    }
}

fn kept_in(state: &Path) -> PathBuf {
    state.join("archives.json")
}

/// Hidden files are not there yet.
fn is_archive(name: &str) -> bool {
    !name.starts_with('.') && ENDINGS.iter().any(|ending| name.ends_with(ending))
}

fn archives(dir: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    let names = entries
        .filter(|entry| entry.path().is_file())
        .filter_map(|entry| entry.file_name().into_string().ok());
    names.filter(|name| is_archive(name)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_archive_is_due_when_it_is_new_or_has_changed() {
        let dir = std::env::temp_dir().join(format!("carob-archives-{}", std::process::id()));
        fs::create_dir_all(dir.join("folder.tar")).unwrap();
        for name in ["a.tar", "b.tar.gz", "c.tgz", "d.tar.zst", ".e.tar", "f.tar.part", "g.txt"] {
            fs::write(dir.join(name), "1").unwrap();
        }
        let all = ["a.tar", "b.tar.gz", "c.tgz", "d.tar.zst"].map(str::to_owned);
        assert_eq!(archives(&dir), all.clone().into());
        let mut known = Archives { due: all.into(), ..Archives::default() };
        let due = |known: &mut Archives| {
            let mut names = Vec::new();
            while let Some((name, file)) = known.next(&dir) {
                known.known.insert(name.clone(), Known { file, images: Vec::new() });
                names.push(name);
            }
            known.due = archives(&dir);
            names
        };
        assert_eq!(due(&mut known), ["a.tar", "b.tar.gz", "c.tgz", "d.tar.zst"]);
        assert_eq!(due(&mut known), [""; 0]);
        fs::write(dir.join("b.tar.gz"), "12").unwrap();
        fs::rename(dir.join("g.txt"), dir.join("a.tar")).unwrap();
        fs::remove_file(dir.join("c.tgz")).unwrap();
        assert_eq!(due(&mut known), ["a.tar", "b.tar.gz"]);
        assert!(!known.known.contains_key("c.tgz"));
        fs::remove_dir_all(&dir).unwrap();
    }
}
