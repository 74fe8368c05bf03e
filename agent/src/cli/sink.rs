//! A file that is written whole or not at all, or standard output.
#![expect(clippy::disallowed_methods, reason = "writes the file named on the command line")]

use std::{
    fs::{self, File},
    io::{self, IsTerminal, Write},
    path::{Path, PathBuf},
};

use super::output::{Listener, say_bytes};

/// Why nothing came of it.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error("cannot write {}", path.display())]
    Write {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("cannot write to standard output")]
    Stdout {
        #[source]
        source: io::Error,
    },
    #[error("standard output was closed before the end")]
    Closed,
    #[error("standard output is a terminal: name a file with -o")]
    Terminal,
}

/// Where bytes go.
#[derive(Debug)]
pub(super) enum Sink {
    Stdout,
    File { unfinished: PathBuf, path: PathBuf, file: File },
}

/// `-` is standard output.
pub(super) fn open(name: &str) -> Result<Sink, Error> {
    if name == "-" {
        return if io::stdout().is_terminal() { Err(Error::Terminal) } else { Ok(Sink::Stdout) };
    }
    let path = PathBuf::from(name);
    let mut unfinished = path.clone().into_os_string();
    unfinished.push(format!(".{}", std::process::id()));
    let unfinished = PathBuf::from(unfinished);
    let file = File::create_new(&unfinished).map_err(failed(&path))?;
    Ok(Sink::File { unfinished, path, file })
}

impl Sink {
    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        match self {
            Self::Stdout => match say_bytes(bytes).map_err(|source| Error::Stdout { source })? {
                Listener::Here => Ok(()),
                Listener::Gone => Err(Error::Closed),
            },
            Self::File { path, file, .. } => file.write_all(bytes).map_err(failed(path)),
        }
    }

    /// All is written: the file gets its name.
    pub(super) fn commit(self) -> Result<(), Error> {
        match &self {
            Self::Stdout => Ok(()),
            Self::File { unfinished, path, .. } => fs::rename(unfinished, path).map_err(failed(path)),
        }
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        if let Self::File { unfinished, .. } = self {
            // Not there any more if all went well.
            drop(fs::remove_file(unfinished));
        }
    }
}

fn failed(path: &Path) -> impl FnOnce(io::Error) -> Error + use<> {
    let path = path.to_owned();
    move |source| Error::Write { path, source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_there_when_it_is_whole() {
        let dir = std::env::temp_dir().join(format!("carob-sink-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        let path = dir.join("archive.tar");
        let name = path.display().to_string();
        let mut sink = open(&name).unwrap();
        sink.write(b"half").unwrap();
        drop(sink);
        assert_eq!(fs::read_dir(&dir).unwrap().count(), 0);
        let mut sink = open(&name).unwrap();
        sink.write(b"all of it").unwrap();
        sink.commit().unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "all of it");
        assert_eq!(fs::read_dir(&dir).unwrap().count(), 1);
        fs::remove_dir_all(&dir).unwrap();
    }
}
