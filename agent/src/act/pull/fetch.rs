//! One blob into one file: goes on where it was broken off, and is the blob or nothing.
#![expect(clippy::disallowed_methods, reason = "this is the effect")]

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Seek, Write},
    path::{Path, PathBuf},
    time::Duration,
};

use super::{
    super::{
        image::{Hashing, pulled::Wanted},
        registry::{self, Repository},
    },
    child::say,
    wire::{Progress, Said},
};

/// How often in a row a connection may break without anything having come.
const TRIES: u32 = 4;
/// Between two tries: once this long, twice, …
const PAUSE: Duration = Duration::from_secs(1);
/// How often it is said how far a blob has come: after so much of it.
const STEPS: u64 = 50;

/// Why a blob is not here.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error(transparent)]
    Registry(#[from] registry::Error),
    #[error("cannot write {}", path.display())]
    Disk {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
}

/// Fetches what is not in the file yet, and checks all of it. A part from before that turns out to be no part of this
/// blob is dropped, and fetched again once.
pub(super) async fn fetch(from: &Repository, wanted: Wanted, path: &Path) -> Result<(), Error> {
    let resumed = fs::metadata(path).is_ok_and(|found| found.len() > 0);
    let fetched = Fetch::open(wanted, path)?.run(from).await;
    if let Err(Error::Disk { .. }) = fetched {
        // A full disk has better use for the room.
        let _ = fs::remove_file(path);
    }
    match fetched {
        Err(Error::Registry(registry::Error::Digest { .. } | registry::Error::Size { .. })) if resumed => {
            Fetch::open(wanted, path)?.run(from).await
        }
        fetched => fetched,
    }
}

/// A blob on its way into its file.
struct Fetch<'a> {
    wanted: Wanted,
    path: &'a Path,
    file: Hashing<File>,
    done: u64,
    said: u64,
}

impl<'a> Fetch<'a> {
    /// Takes up what is there.
    fn open(wanted: Wanted, path: &'a Path) -> Result<Self, Error> {
        let disk = |source| Error::Disk { path: path.to_owned(), source };
        let mut options = OpenOptions::new();
        let file = options.read(true).write(true).create(true).truncate(false).open(path).map_err(disk)?;
        let mut fetch = Self { wanted, path, file: Hashing::new(file), done: 0, said: 0 };
        fetch.take_up().map_err(disk)?;
        Ok(fetch)
    }

    fn take_up(&mut self) -> io::Result<()> {
        let file = self.file.inner().try_clone()?;
        let mut known = file.take(self.wanted.size);
        let mut buffer = [0; 16 << 10];
        loop {
            match known.read(&mut buffer)? {
                0 => break,
                count => self.file.know(&buffer[..count]),
            }
        }
        let mut file = self.file.inner();
        self.done = file.stream_position()?;
        self.file.inner().set_len(self.done)
    }

    fn restart(&mut self) -> io::Result<()> {
        self.done = 0;
        self.file.forget();
        let mut file = self.file.inner();
        file.set_len(0)?;
        file.rewind()
    }

    async fn run(mut self, from: &Repository) -> Result<(), Error> {
        let mut tries = 0;
        while self.done < self.wanted.size {
            let before = self.done;
            match self.go_on(from).await {
                Ok(()) => break,
                Err(Error::Registry(e)) if e.is_broken_off() => {
                    tries = if self.done > before { 1 } else { tries + 1 };
                    if tries >= TRIES {
                        return Err(e.into());
                    }
                    let waited = from.pause(PAUSE * tries).await;
                    waited.map_err(|source| registry::Error::Clock { source })?;
                }
                Err(e) => return Err(e),
            }
        }
        self.finish()
    }

    /// Until the end, or until the connection breaks.
    async fn go_on(&mut self, from: &Repository) -> Result<(), Error> {
        let (mut blob, begin) = from.blob(self.wanted.digest, self.done).await?;
        let path = self.path;
        let disk = |source| Error::Disk { path: path.to_owned(), source };
        if begin != self.done {
            self.restart().map_err(disk)?;
        }
        while let Some(piece) = blob.piece().await? {
            let got = self.done + piece.len() as u64;
            if got > self.wanted.size {
                return Err(self.wrong_size(got));
            }
            self.file.write_all(&piece).map_err(disk)?;
            self.done = got;
            self.tell();
        }
        if self.done < self.wanted.size { Err(self.wrong_size(self.done)) } else { Ok(()) }
    }

    fn wrong_size(&self, got: u64) -> Error {
        let Wanted { digest, size } = self.wanted;
        // What it is not the beginning of is of no use.
        let _ = fs::remove_file(self.path);
        registry::Error::Size { digest, got, size }.into()
    }

    fn finish(self) -> Result<(), Error> {
        let (expected, actual) = (self.wanted.digest, self.file.digest());
        if expected == actual {
            return Ok(());
        }
        let _ = fs::remove_file(self.path);
        Err(registry::Error::Digest { expected, actual }.into())
    }

    fn tell(&mut self) {
        let Wanted { digest: blob, size } = self.wanted;
        if self.done == size || self.done - self.said >= size / STEPS {
            self.said = self.done;
            say(&Said::Progress(Progress { blob, done: self.done, size }));
        }
    }
}
