//! From a container's stdout and stderr to one CRI log file, without losing or doubling a byte when the agent dies.
//!
//! ```text
//!   container ──► FIFO ──splice──► spool (tmpfs) ──lines──► <n>.log
//! ```
//! The FIFO is opened read-write on both sides, so a writer never sees a broken pipe. `splice` moves bytes in one system
//! call: they are either in the pipe or in the spool. How much of the spool is in the log follows from the log itself
//! (the bytes of its whole lines), starting from the last checkpoint; a torn last line is cut off and written again.
#![expect(clippy::disallowed_methods, reason = "this is the effect")]

mod checkpoint;
mod cri;
mod keeper;
mod output;
mod rotate;
mod tap;

use std::{
    fs::{self, File, OpenOptions},
    io,
    os::{fd::OwnedFd, unix::fs::FileExt},
    path::{Path, PathBuf},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use rustix::{
    fs::{FallocateFlags, Gid, Mode, OFlags, Uid, fallocate, fchown, mknodat},
    io::Errno,
    pipe::{SpliceFlags, splice},
};
use tokio::{
    io::unix::AsyncFd,
    sync::{Notify, mpsc},
    task::JoinHandle,
};

use crate::{config::LogLimits, ready};
use checkpoint::{Checkpoint, inode, settle};
use cri::{Rest, Stream};
pub(crate) use keeper::Keeper;
pub(super) use output::last_output;
pub(crate) use tap::Piece;
use tap::Taps;

/// How much one turn moves; the default capacity of a pipe.
const CHUNK: usize = 64 << 10;
/// The spool's consumed part is given back in steps of this size.
const CHECKPOINT_EVERY: u64 = 1 << 20;

/// Which file could not be made or moved.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("cannot set up the log file {}", path.display())]
    Log {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("cannot set up the log pipe {}", path.display())]
    Pipe {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
}

/// The container's ends of both pipes.
#[derive(Debug)]
pub(crate) struct Writers {
    pub(crate) out: OwnedFd,
    pub(crate) err: OwnedFd,
}

/// Makes both FIFOs in the attempt's directory and opens the container's ends.
pub(crate) fn make(dir: &Path, owner: (u32, u32)) -> Result<Writers, Error> {
    let open = |stream: Stream| {
        let path = fifo(dir, stream);
        open_writer(&path, owner).map_err(|e| Error::Pipe { path, source: e.into() })
    };
    Ok(Writers { out: open(Stream::Out)?, err: open(Stream::Err)? })
}

/// The container's ends once more.
pub(super) fn reopen(dir: &Path) -> io::Result<Writers> {
    let open = |stream| rustix::fs::open(fifo(dir, stream), OFlags::RDWR | OFlags::CLOEXEC, Mode::empty());
    Ok(Writers { out: open(Stream::Out)?, err: open(Stream::Err)? })
}

fn open_writer(path: &Path, (uid, gid): (u32, u32)) -> rustix::io::Result<OwnedFd> {
    match mknodat(rustix::fs::CWD, path, rustix::fs::FileType::Fifo, Mode::from_raw_mode(0o600), 0) {
        Ok(()) | Err(Errno::EXIST) => (),
        Err(e) => return Err(e),
    }
    let fd = rustix::fs::open(path, OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())?;
    // A process that opens /proc/self/fd/1 again must be allowed to.
    fchown(&fd, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)))?;
    Ok(fd)
}

fn fifo(dir: &Path, stream: Stream) -> PathBuf {
    dir.join(stream.name())
}

/// Takes a log away, with what was rotated of it, that is neither of the current attempt nor of the one before.
pub(crate) fn remove(log: &Path, link: &Path) {
    let rotated = rotate::rotated(log).unwrap_or_default();
    for path in rotated.iter().map(PathBuf::as_path).chain([log, link]) {
        match fs::remove_file(path) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => {
                tracing::warn!(error = %e, path = %path.display(), "an old log is left");
            }
            _ => (),
        }
    }
}

/// The task that moves one attempt's output, and the way to end it.
#[derive(Debug)]
pub(crate) struct Pump {
    stop: Arc<Notify>,
    taps: Taps,
    task: JoinHandle<()>,
}

/// A wait that somebody with a clock has begun.
pub(crate) type Pause = Pin<Box<dyn Future<Output = io::Result<()>> + Send>>;
/// Makes one.
pub(crate) type Pausing = fn(Duration) -> Pause;

/// What a pump needs beside its files.
#[derive(Clone, Debug)]
pub(crate) struct Surroundings {
    /// Nanoseconds since 1970, for the time stamps of lines.
    pub(crate) wall: fn() -> i64,
    pub(crate) limits: LogLimits,
    /// Comes back after a while.
    pub(crate) pause: Pausing,
    /// Counts bytes that a full disk made us drop.
    pub(crate) dropped: Arc<AtomicU64>,
    /// Holds the pipes while no agent lives.
    pub(crate) keeper: Keeper,
}

impl Pump {
    /// Takes up the work where it was left, if it was ever begun.
    pub(crate) fn start(dir: &Path, log: &Path, link: &Path, around: Surroundings) -> Result<Self, Error> {
        let mover = Mover::resume(dir, log, link, around)?;
        let (stop, taps) = (Arc::new(Notify::new()), mover.taps.clone());
        let task = tokio::spawn(mover.run(stop.clone()));
        Ok(Self { stop, taps, task })
    }

    /// All output from now on, besides the log.
    pub(crate) fn listen(&self) -> mpsc::Receiver<Piece> {
        self.taps.listen()
    }

    /// Moves what is still in the pipes, then ends. For an attempt that has no process any more.
    pub(crate) async fn finish(self) {
        self.stop.notify_one();
        if let Err(e) = self.task.await {
            tracing::error!(error = %e, "the log pump ended badly");
        }
    }
}

/// One pipe and its spool.
struct Source {
    stream: Stream,
    fifo: AsyncFd<OwnedFd>,
    spool: File,
    received: u64,
    consumed: u64,
    punched: u64,
}

struct Mover {
    dir: PathBuf,
    path: PathBuf,
    log: File,
    /// The log's inode.
    file: u64,
    written: u64,
    /// The log is rotated when it is as long as this.
    full: u64,
    /// What goes on with the logs that were rotated.
    tidying: Option<JoinHandle<()>>,
    out: Source,
    err: Source,
    taps: Taps,
    around: Surroundings,
}

impl Mover {
    fn resume(dir: &Path, path: &Path, link: &Path, around: Surroundings) -> Result<Self, Error> {
        let fault = |source| Error::Log { path: path.to_owned(), source };
        let log = open_log(path, link).map_err(fault)?;
        let from = checkpoint::read(dir);
        let done = settle(&log, from).map_err(fault)?;
        let source = |stream, consumed| {
            let path = fifo(dir, stream);
            Source::open(dir, stream, consumed).map_err(|source| Error::Pipe { path, source })
        };
        let (out, err) = (source(Stream::Out, done.out)?, source(Stream::Err, done.err)?);
        let (dir, path, full) = (dir.to_owned(), path.to_owned(), around.limits.size);
        let (file, written) = (done.file, done.log);
        let taps = Taps::default();
        Ok(Self { dir, path, log, file, written, full, tidying: None, out, err, taps, around })
    }

    async fn run(mut self, stop: Arc<Notify>) {
        loop {
            tokio::select! {
                biased;
                ready = self.out.fifo.readable() => match ready { Ok(mut guard) => guard.clear_ready(), Err(_) => break },
                ready = self.err.fifo.readable() => match ready { Ok(mut guard) => guard.clear_ready(), Err(_) => break },
                () = stop.notified() => break,
            }
            while self.turn(Rest::Keep) {
                // A container that never stops writing must not have a thread of the agent to itself.
                tokio::task::yield_now().await;
            }
        }
        while self.turn(Rest::Flush) {}
        self.taps.end();
        if let Some(tidying) = self.tidying
            && let Err(e) = tidying.await
        {
            tracing::error!(error = %e, "tidying rotated logs ended badly");
        }
    }

    /// Moves a load of each, then writes what has become whole lines (or everything). Whether there may be more.
    fn turn(&mut self, rest: Rest) -> bool {
        let moved = self.out.take(&self.taps) | self.err.take(&self.taps);
        self.write_out(rest);
        moved
    }

    fn write_out(&mut self, rest: Rest) {
        let wall = (self.around.wall)();
        for source in [&mut self.out, &mut self.err] {
            while let Some(bytes) = source.pending() {
                let page = cri::render(source.stream, wall, &bytes, rest);
                if page.taken == 0 {
                    break;
                }
                match self.log.write_all_at(&page.text, self.written) {
                    Ok(()) => self.written += page.text.len() as u64,
                    Err(e) => {
                        tracing::warn!(error = %e, bytes = page.taken, "the log cannot be written: output dropped");
                        self.around.dropped.fetch_add(page.taken as u64, Ordering::Relaxed);
                    }
                }
                source.consumed += page.taken as u64;
            }
        }
        if self.written >= self.full {
            self.rotate(wall);
        }
        if self.out.unpunched() + self.err.unpunched() >= CHECKPOINT_EVERY {
            self.checkpoint();
        }
    }

    /// Remembers how far the log is, and gives back the spool's blocks up to there.
    fn checkpoint(&mut self) {
        match self.remember() {
            Ok(()) => {
                self.out.punch();
                self.err.punch();
            }
            Err(e) => tracing::warn!(error = %e, "the log checkpoint cannot be written"),
        }
    }

    fn remember(&self) -> io::Result<()> {
        let (out, err) = (self.out.consumed, self.err.consumed);
        checkpoint::write(&self.dir, Checkpoint { file: self.file, log: self.written, out, err })
    }

    /// Begins a new log. What the old one holds is remembered before, by the old file's number: whoever finds another file
    /// in its place knows that all lines of that one came later.
    fn rotate(&mut self, wall: i64) {
        let busy = self.tidying.as_ref().is_some_and(|tidying| !tidying.is_finished());
        let swapped = match busy {
            true => Ok(None),
            false => self.remember().and_then(|()| rotate::swap(&self.path, wall)),
        };
        let swapped = swapped.and_then(|log| log.map(|log| Ok((inode(&log)?, log))).transpose());
        match swapped {
            Ok(Some((file, log))) => {
                (self.file, self.log, self.written) = (file, log, 0);
                self.full = self.around.limits.size;
                let (path, limits) = (self.path.clone(), self.around.limits);
                self.tidying = Some(tokio::task::spawn_blocking(move || {
                    if let Err(e) = rotate::tidy(&path, limits) {
                        tracing::warn!(error = %e, log = %path.display(), "rotated logs are not tidied");
                    }
                }));
            }
            Ok(None) => self.full = self.written + self.around.limits.size.min(CHUNK as u64),
            Err(e) => {
                tracing::warn!(error = %e, log = %self.path.display(), "the log is not rotated");
                self.full = self.written + self.around.limits.size;
            }
        }
    }
}

impl Source {
    fn open(dir: &Path, stream: Stream, consumed: u64) -> io::Result<Self> {
        let flags = OFlags::RDWR | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let fifo = rustix::fs::open(fifo(dir, stream), flags, Mode::empty())?;
        let path = dir.join(format!("{}.spool", stream.name()));
        let spool = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
        let received = spool.metadata()?.len();
        Ok(Self {
            stream,
            fifo: ready::readable(fifo)?,
            spool,
            received,
            consumed: consumed.min(received),
            punched: 0,
        })
    }

    /// Moves one load from the pipe to the spool; whether there was any.
    fn take(&mut self, taps: &Taps) -> bool {
        let (from, mut to) = (self.received, self.received);
        match splice(self.fifo.get_ref(), None, &self.spool, Some(&mut to), CHUNK, SpliceFlags::NONBLOCK) {
            Ok(moved) => {
                self.received += moved as u64;
                if moved > 0 {
                    taps.tell(self.stream, || self.read(from, moved));
                }
                moved > 0
            }
            Err(Errno::AGAIN) => false,
            Err(e) => {
                tracing::error!(error = %e, stream = self.stream.name(), "cannot move container output");
                false
            }
        }
    }

    /// The next bytes of the spool that are not in the log.
    fn pending(&self) -> Option<Vec<u8>> {
        let length = usize::try_from(self.received - self.consumed).unwrap_or(CHUNK).min(CHUNK);
        (length > 0).then(|| self.read(self.consumed, length))?
    }

    fn read(&self, from: u64, length: usize) -> Option<Vec<u8>> {
        let mut bytes = vec![0; length];
        self.spool.read_exact_at(&mut bytes, from).is_ok().then_some(bytes)
    }

    fn unpunched(&self) -> u64 {
        self.consumed - self.punched
    }

    fn punch(&mut self) {
        let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        if self.unpunched() > 0 && fallocate(&self.spool, flags, self.punched, self.unpunched()).is_ok() {
            self.punched = self.consumed;
        }
    }
}

/// Opens or makes the log, and the link by which log shippers find it.
fn open_log(path: &Path, link: &Path) -> io::Result<File> {
    for dir in [path.parent(), link.parent()].into_iter().flatten() {
        fs::create_dir_all(dir)?;
    }
    match std::os::unix::fs::symlink(path, link) {
        Err(e) if e.kind() != io::ErrorKind::AlreadyExists => return Err(e),
        _ => (),
    }
    OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)
}

#[cfg(test)]
mod tests;
