//! An image archive on its way to the agent: a file, standard input, or a folder that is packed while it is sent.
#![expect(clippy::disallowed_methods, reason = "reads the files named on the command line")]

use std::{
    fs::File,
    io::{self, PipeReader, Read},
    path::{Path, PathBuf},
    thread::{self, JoinHandle},
};

/// Why there is nothing to send.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error("cannot read {}", path.display())]
    Read {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("{} is no OCI layout: there is no index.json in it", path.display())]
    NoLayout { path: PathBuf },
}

/// `-` is standard input.
pub(super) fn stream(name: &str) -> Result<Box<dyn Read + Send>, Error> {
    let path = Path::new(name);
    let failed = |source| Error::Read { path: path.to_owned(), source };
    if name == "-" {
        Ok(Box::new(io::stdin()))
    } else if !path.is_dir() {
        Ok(Box::new(File::open(path).map_err(failed)?))
    } else if path.join("index.json").is_file() {
        Ok(Box::new(Packing::start(path.to_owned()).map_err(failed)?))
    } else {
        Err(Error::NoLayout { path: path.to_owned() })
    }
}

/// A tar of a folder, made by a thread while it is read.
struct Packing {
    tar: PipeReader,
    /// Until its end is known.
    packer: Option<JoinHandle<io::Result<()>>>,
}

impl Packing {
    fn start(dir: PathBuf) -> io::Result<Self> {
        let (tar, to) = io::pipe()?;
        let packer = thread::spawn(move || {
            let mut archive = tar::Builder::new(to);
            archive.append_dir_all("", dir)?;
            archive.finish()
        });
        Ok(Self { tar, packer: Some(packer) })
    }
}

impl Read for Packing {
    /// The end is one only if all was packed: half a folder would be another archive.
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let length = self.tar.read(into)?;
        if length == 0
            && !into.is_empty()
            && let Some(packer) = self.packer.take()
        {
            let panicked = |_| Err(io::Error::other("the folder was not packed to its end"));
            packer.join().unwrap_or_else(panicked)?;
        }
        Ok(length)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_folder_is_packed_whole_or_not_at_all() {
        let dir = std::env::temp_dir().join(format!("carob-layout-{}", std::process::id()));
        fs::create_dir_all(dir.join("blobs/sha256")).unwrap();
        let name = dir.display().to_string();
        assert!(matches!(stream(&name), Err(Error::NoLayout { .. })));
        fs::write(dir.join("index.json"), "{}").unwrap();
        fs::write(dir.join("blobs/sha256/ab"), vec![1; 200_000]).unwrap();
        let mut tar = Vec::new();
        stream(&name).unwrap().read_to_end(&mut tar).unwrap();
        let mut archive = tar::Archive::new(&tar[..]);
        let paths = archive.entries().unwrap().map(|entry| entry.unwrap().path().unwrap().into_owned());
        let mut files: Vec<_> = paths.filter(|path| dir.join(path).is_file()).collect();
        files.sort();
        assert_eq!(files, [Path::new("blobs/sha256/ab"), Path::new("index.json")]);
        std::os::unix::fs::symlink("nowhere", dir.join("blobs/broken")).unwrap();
        assert!(stream(&name).unwrap().read_to_end(&mut Vec::new()).is_err());
        fs::remove_dir_all(&dir).unwrap();
        assert!(matches!(stream(&name), Err(Error::Read { .. })));
    }
}
