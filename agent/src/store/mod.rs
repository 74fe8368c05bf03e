//! The agent's memory: one SQLite file with the objects people wrote and the ledger of every attempt.
//!
//! `api` writes through [`Objects`], `run` through [`Journal`]. What they write is not judged here.
#![expect(clippy::disallowed_methods, reason = "makes the database's directory")]

mod column;
mod counted;
mod events;
mod journal;
mod ledger;
mod objects;
mod schema;
#[cfg(test)]
mod scratch;
mod seal;
mod writer;

use std::{
    fmt, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use crate::{
    keyfile,
    pod::{AttemptId, workload::WorkloadKind},
};

pub(crate) use self::{
    journal::{Attempt, Journal, Keep, Process},
    ledger::{End, Row, Selector},
    objects::Objects,
    seal::is_unreadable,
};
use self::{schema::Opened, seal::Seal, writer::Writer};

/// The open database. It is closed when the last of this and the handles made from it is dropped.
#[derive(Clone, Debug)]
pub(crate) struct Store {
    writer: Arc<Writer>,
    seal: Arc<Seal>,
}

impl Store {
    /// Opens the database, made or brought to this schema if need be. A second agent on the same file is refused.
    pub(crate) fn open(path: &Path) -> Result<Self, Error> {
        let Opened { mut db, revision } = schema::open(path)?;
        let seal = Seal::beside(path)?;
        seal.seal_open_rows(&mut db).map_err(|fault| fault.of("encrypt the secrets".to_owned()))?;
        let writer =
            Writer::start(db, revision).map_err(|source| Error::Thread { path: path.to_owned(), source })?;
        Ok(Self { writer: Arc::new(writer), seal: Arc::new(seal) })
    }

    pub(crate) fn objects(&self) -> Objects {
        Objects::new(Arc::clone(&self.writer), Arc::clone(&self.seal))
    }

    pub(crate) fn journal(&self) -> Journal {
        Journal::new(Arc::clone(&self.writer))
    }
}

/// The kinds of objects there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Kind {
    Pod,
    PersistentVolumeClaim,
    ConfigMap,
    Secret,
    /// In no namespace: its own is empty.
    Namespace,
    /// As a client wrote it; those that carob tells are the journal's.
    Event,
    Workload(WorkloadKind),
}

impl Kind {
    /// As `kind:` spells it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Pod => "Pod",
            Self::PersistentVolumeClaim => "PersistentVolumeClaim",
            Self::ConfigMap => "ConfigMap",
            Self::Secret => "Secret",
            Self::Namespace => "Namespace",
            Self::Event => "Event",
            Self::Workload(kind) => kind.name(),
        }
    }
}

/// What an object is found by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Key {
    pub(crate) kind: Kind,
    pub(crate) namespace: String,
    pub(crate) name: String,
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.namespace.as_str() {
            "" => write!(f, "{} {}", self.kind.name(), self.name),
            namespace => write!(f, "{} {namespace}/{}", self.kind.name(), self.name),
        }
    }
}

/// What could not be done, and on what.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("cannot make the database {}", path.display())]
    Make {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("cannot open the database {}", path.display())]
    Open {
        path: PathBuf,
        #[source]
        source: rusqlite::Error,
    },
    #[error("the database {} is in use by another process", path.display())]
    InUse { path: PathBuf },
    #[error("the database {} can only be read: it or its file system is write-protected", path.display())]
    ReadOnly { path: PathBuf },
    #[error("the database {} is damaged: {fault}", path.display())]
    Damaged { path: PathBuf, fault: String },
    #[error("the database {} has schema {found}, this carob knows none above {known}: start the newer carob that wrote it", path.display())]
    Newer { path: PathBuf, found: u32, known: u32 },
    #[error("cannot bring the database {} from schema {from} to {to}", path.display())]
    Migrate {
        path: PathBuf,
        from: u32,
        to: u32,
        #[source]
        source: rusqlite::Error,
    },
    #[error("cannot start the thread of the database {}", path.display())]
    Thread {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("the key of the secrets is out of reach")]
    SecretsKey(#[source] keyfile::Error),
    #[error("no secret can be written: the key that others were written with is not in {}: put that file back, or delete those secrets", path.display())]
    LostKey { path: PathBuf },
    #[error("{0} cannot be encrypted")]
    Seal(Key),
    #[error("{0} exists already")]
    AlreadyExists(Key),
    #[error("{0} cannot be made: its namespace is being terminated")]
    Terminating(Key),
    #[error("{0} does not exist")]
    NotFound(Key),
    #[error("{key} has resourceVersion {found}, not {expected}")]
    Conflict { key: Key, expected: u64, found: u64 },
    #[error("a {} without {field} cannot be stored", kind.name())]
    Incomplete { kind: Kind, field: &'static str },
    #[error("the attempt {0} is in the ledger already")]
    Begun(AttemptId),
    #[error("the attempt {0} never began, and its pod is not known")]
    Stranger(AttemptId),
    #[error("cannot {attempted}")]
    Failed {
        attempted: String,
        #[source]
        source: rusqlite::Error,
    },
    #[error("cannot {attempted}: the commit failed")]
    Commit {
        attempted: String,
        #[source]
        source: Arc<rusqlite::Error>,
    },
    #[error("cannot {attempted}: a write in the same transaction failed and undid it")]
    Undone { attempted: String },
    #[error("cannot {attempted}: the database is closed")]
    Closed { attempted: String },
}
