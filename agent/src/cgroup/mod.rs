//! The cgroup v2 files, below whatever root they are given. Reads and writes them; decides nothing.
#![expect(clippy::disallowed_methods, reason = "cgroup files are this module's whole purpose")]

mod limits;

use std::{
    collections::BTreeMap,
    fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

pub(crate) use self::limits::Limits;
use crate::pod::CgroupId;

/// The controllers a pod's limits need.
pub(crate) const CONTROLLERS: [&str; 3] = ["cpu", "memory", "pids"];
/// What is good to have: figures, no limits.
const ACCOUNTING: [&str; 1] = ["io"];
/// A tenth of what others have who ask for nothing.
const MODEST_WEIGHT: &str = "10";
/// Bytes: what is read and written is taken back from it as it fills up, what it works with fits many times.
const MODEST_MEMORY: &str = "268435456";

/// What went wrong with which file.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("cannot make the cgroup {}", path.display())]
    Make {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("cannot read {}", path.display())]
    Read {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("cannot write {value:?} to {}", path.display())]
    Write {
        path: PathBuf,
        value: String,
        #[source]
        source: io::Error,
    },
    #[error("cannot remove the cgroup {}", path.display())]
    Remove {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
}

/// One cgroup directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Cgroup {
    path: PathBuf,
}

/// `cpu.max` with a limit in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Quota {
    /// Of CPU time in each period.
    pub(crate) microseconds: u64,
    /// Microseconds.
    pub(crate) period: u64,
}

/// `memory.events` or `memory.events.local`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct MemoryEvents {
    /// How often the limit of this cgroup was hit and the OOM killer called.
    pub(crate) oom: u64,
    /// Processes of this cgroup that an OOM kill took.
    pub(crate) oom_kill: u64,
}

impl Cgroup {
    /// Names a cgroup; it need not exist.
    pub(crate) fn at(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Makes the directory and its parents. Fine if it is there.
    pub(crate) fn make(&self) -> Result<(), Error> {
        fs::create_dir_all(&self.path).map_err(|source| Error::Make { path: self.path.clone(), source })
    }

    /// For work that has time: all others come first, and it may not take much memory.
    pub(crate) fn limit_modestly(&self) -> Result<(), Error> {
        self.write("cpu.weight", MODEST_WEIGHT)?;
        self.write("memory.max", MODEST_MEMORY)?;
        // Only where the disk's scheduler knows of weights.
        if self.path.join("io.weight").exists() {
            self.write("io.weight", MODEST_WEIGHT)?;
        }
        Ok(())
    }

    /// Whether the directory is there.
    pub(crate) fn exists(&self) -> bool {
        self.path.is_dir()
    }

    /// The id that eBPF programs know it by: the directory's inode.
    pub(crate) fn id(&self) -> Result<CgroupId, Error> {
        let meta =
            fs::metadata(&self.path).map_err(|source| Error::Read { path: self.path.clone(), source })?;
        Ok(CgroupId(meta.ino()))
    }

    /// Gives the controllers to the children, one write each so that the error names the missing one. A kernel
    /// without those that only count is good enough.
    pub(crate) fn enable(&self) -> Result<(), Error> {
        let (have, given) = (self.read("cgroup.controllers")?, self.read("cgroup.subtree_control")?);
        let lists = |list: &str, name: &str| list.split_whitespace().any(|word| word == name);
        let counting = ACCOUNTING.iter().filter(|name| lists(&have, name));
        for name in CONTROLLERS.iter().chain(counting).filter(|name| !lists(&given, name)) {
            self.write("cgroup.subtree_control", &format!("+{name}"))?;
        }
        Ok(())
    }

    /// Writes all limits, or says which one could not be written.
    pub(crate) fn limit(&self, limits: &Limits) -> Result<(), Error> {
        for (file, value) in limits.files() {
            self.write(file, &value)?;
        }
        // Without swap in the kernel the file is absent, and so is what it would limit.
        if self.path.join("memory.swap.max").exists() {
            self.write("memory.swap.max", "0")?;
        }
        Ok(())
    }

    /// SIGKILL for every process in it and below.
    pub(crate) fn kill(&self) -> Result<(), Error> {
        self.write("cgroup.kill", "1")
    }

    /// Whether any process is left in it or below.
    pub(crate) fn populated(&self) -> Result<bool, Error> {
        Ok(self.read("cgroup.events")?.lines().any(|line| line == "populated 1"))
    }

    /// Kills and limits that concern this cgroup itself.
    pub(crate) fn memory_events(&self) -> Result<MemoryEvents, Error> {
        Ok(parse_memory_events(&self.read("memory.events.local")?))
    }

    /// How much CPU time it may use; `None` is as much as there is.
    pub(crate) fn quota(&self) -> Result<Option<Quota>, Error> {
        Ok(parse_quota(&self.read("cpu.max")?))
    }

    /// A file with one number or `max` in it (`None`).
    pub(crate) fn number(&self, file: &str) -> Result<Option<u64>, Error> {
        Ok(self.read(file)?.trim().parse().ok())
    }

    /// A file of lines `name number`.
    pub(crate) fn keyed(&self, file: &str) -> Result<BTreeMap<String, u64>, Error> {
        let text = self.read(file)?;
        let line =
            |line: &str| line.split_once(' ').and_then(|(name, n)| Some((name.to_owned(), n.parse().ok()?)));
        Ok(text.lines().filter_map(line).collect())
    }

    /// In which part of the last ten seconds some thread in it waited for `cpu`, `memory` or `io`, in hundredths of a
    /// percent. <https://docs.kernel.org/accounting/psi.html>
    pub(crate) fn pressure(&self, resource: &str) -> Result<Option<u32>, Error> {
        Ok(parse_pressure(&self.read(&format!("{resource}.pressure"))?))
    }

    /// A file of lines `name key=number key=number …`. What is no whole number is left out.
    pub(crate) fn nested(&self, file: &str) -> Result<BTreeMap<String, BTreeMap<String, u64>>, Error> {
        Ok(parse_nested(&self.read(file)?))
    }

    /// How many processes are in it and below.
    pub(crate) fn processes(&self) -> Result<usize, Error> {
        let own = match self.read("cgroup.procs") {
            Ok(text) => text.lines().count(),
            // Of a threaded cgroup they are counted further up, where its domain is.
            Err(Error::Read { source, .. }) if source.kind() == io::ErrorKind::Unsupported => 0,
            Err(e) => return Err(e),
        };
        let below = self.children()?;
        below.iter().try_fold(own, |sum, child| Ok(sum + child.processes()?))
    }

    /// The cgroups directly below, by name.
    pub(crate) fn children(&self) -> Result<Vec<Self>, Error> {
        let read = |source| Error::Read { path: self.path.clone(), source };
        let mut found = Vec::new();
        for entry in fs::read_dir(&self.path).map_err(read)? {
            let entry = entry.map_err(read)?;
            if entry.file_type().map_err(read)?.is_dir() {
                found.push(Self::at(entry.path()));
            }
        }
        found.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(found)
    }

    /// The last component of its path.
    pub(crate) fn name(&self) -> &str {
        self.path.file_name().and_then(|name| name.to_str()).unwrap_or_default()
    }

    /// Removes it and everything below. Fine if it is gone; fails while a process is left.
    pub(crate) fn remove(&self) -> Result<(), Error> {
        if !self.exists() {
            return Ok(());
        }
        for child in self.children()? {
            child.remove()?;
        }
        match fs::remove_dir(&self.path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
            other => other.map_err(|source| Error::Remove { path: self.path.clone(), source }),
        }
    }

    fn read(&self, file: &str) -> Result<String, Error> {
        let path = self.path.join(file);
        fs::read_to_string(&path).map_err(|source| Error::Read { path, source })
    }

    fn write(&self, file: &str, value: &str) -> Result<(), Error> {
        let path = self.path.join(file);
        let result = fs::OpenOptions::new()
            .write(true)
            .open(&path)
            .and_then(|mut f| io::Write::write_all(&mut f, value.as_bytes()));
        result.map_err(|source| Error::Write { path, value: value.to_owned(), source })
    }
}

fn parse_quota(text: &str) -> Option<Quota> {
    let (quota, period) = text.trim().split_once(' ')?;
    Some(Quota { microseconds: quota.parse().ok()?, period: period.parse().ok()? })
}

fn parse_pressure(text: &str) -> Option<u32> {
    let some = text.lines().find_map(|line| line.strip_prefix("some avg10="))?;
    let (whole, hundredths) = some.split_whitespace().next()?.split_once('.')?;
    whole.parse::<u32>().ok()?.checked_mul(100)?.checked_add(hundredths.parse().ok()?)
}

fn parse_nested(text: &str) -> BTreeMap<String, BTreeMap<String, u64>> {
    let number =
        |word: &str| word.split_once('=').and_then(|(key, n)| Some((key.to_owned(), n.parse().ok()?)));
    let line = |line: &str| {
        let mut words = line.split_whitespace();
        Some((words.next()?.to_owned(), words.filter_map(number).collect()))
    };
    text.lines().filter_map(line).collect()
}

fn parse_memory_events(text: &str) -> MemoryEvents {
    let field = |name: &str| {
        text.lines()
            .filter_map(|line| line.split_once(' '))
            .find(|(key, _)| *key == name)
            .and_then(|(_, n)| n.parse().ok())
            .unwrap_or(0)
    };
    MemoryEvents { oom: field("oom"), oom_kill: field("oom_kill") }
}

#[cfg(test)]
mod tests;
