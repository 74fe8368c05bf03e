//! Sends a log to a client, as it is now or until its container ends. Woken by inotify and by the picture, never by time.

use std::{io, mem::MaybeUninit, os::fd::OwnedFd, path::Path, sync::Arc};

use rustix::{
    fs::inotify::{self, CreateFlags, WatchFlags},
    io::Errno,
};
use tokio::{
    io::unix::AsyncFd,
    sync::{mpsc, watch},
};

use super::{runs, tail::Tail};
use crate::{
    api::piecewise::{Output, Piece},
    picture::Picture,
    pod::AttemptId,
};

/// What is in the file now.
pub(super) fn as_it_is(tail: Tail) -> Output {
    let (sender, output) = Output::new();
    tokio::spawn(async move {
        if let Some(mut tail) = send(tail, &sender).await {
            finish(&mut tail, &sender).await;
        }
    });
    output
}

/// What is in the file, and what will be, until the attempt has ended.
pub(super) fn until_end(
    tail: Tail,
    watch: Watch,
    picture: watch::Receiver<Arc<Picture>>,
    id: AttemptId,
) -> Output {
    let (sender, output) = Output::new();
    tokio::spawn(follow(tail, watch, picture, id, sender));
    output
}

async fn follow(
    mut tail: Tail,
    watch: Watch,
    mut picture: watch::Receiver<Arc<Picture>>,
    id: AttemptId,
    sender: mpsc::Sender<Piece>,
) {
    loop {
        // Asked before reading: what was written before the end is read after it is known.
        let running = runs(&picture.borrow_and_update(), &id);
        match send(tail, &sender).await {
            Some(read) => tail = read,
            None => return,
        }
        if !running || tail.is_full() {
            return finish(&mut tail, &sender).await;
        }
        let goes_on = tokio::select! {
            () = sender.closed() => false,
            changed = picture.changed() => changed.is_ok(),
            written = watch.wait() => written.is_ok(),
        };
        if !goes_on {
            return;
        }
    }
}

/// Sends all that is there, on a thread that may block; `None` if nobody listens any more.
async fn send(mut tail: Tail, sender: &mpsc::Sender<Piece>) -> Option<Tail> {
    let sender = sender.clone();
    let sent = tokio::task::spawn_blocking(move || {
        while let Some(piece) = tail.read().transpose() {
            let failed = piece.is_err();
            if sender.blocking_send(piece).is_err() || failed {
                return None;
            }
        }
        Some(tail)
    });
    sent.await.ok().flatten()
}

async fn finish(tail: &mut Tail, sender: &mpsc::Sender<Piece>) {
    if let Some(rest) = tail.rest() {
        // A client that has gone misses nothing it asked for.
        drop(sender.send(Ok(rest)).await);
    }
}

/// Tells when something in a log's directory is written, made or moved.
#[derive(Debug)]
pub(super) struct Watch {
    inotify: AsyncFd<OwnedFd>,
}

impl Watch {
    pub(super) fn on(log: &Path) -> io::Result<Self> {
        let inotify = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC)?;
        let events = WatchFlags::MODIFY | WatchFlags::CREATE | WatchFlags::MOVED_TO;
        inotify::add_watch(&inotify, log.parent().unwrap_or(log), events)?;
        Ok(Self { inotify: crate::ready::readable(inotify)? })
    }

    /// Returns when anything happened since the last call. What it was does not matter: the file says.
    async fn wait(&self) -> io::Result<()> {
        let mut ready = self.inotify.readable().await?;
        let mut buffer = [MaybeUninit::uninit(); 4096];
        loop {
            match rustix::io::read(self.inotify.get_ref(), &mut buffer) {
                Ok(_) => {}
                Err(Errno::AGAIN) => break,
                Err(error) => return Err(error.into()),
            }
        }
        ready.clear_ready();
        Ok(())
    }
}
