//! A secret in a file of its own, for root alone: made once, and whole or not there after a power cut. Does not know what
//! the secret is for.
#![expect(clippy::disallowed_methods, reason = "reads and writes key files")]

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, ErrorKind, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

/// Why there is no secret.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("cannot read the key file {}", path.display())]
    Read {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("cannot write the key file {}", path.display())]
    Write {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
}

/// What is in the file; `None` if there is none.
pub(crate) fn read(path: &Path) -> Result<Option<Vec<u8>>, Error> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
        Err(source) => Err(Error::Read { path: path.to_owned(), source }),
    }
}

/// Puts it there, in place of what was there before; its directory is made if need be.
pub(crate) fn write(path: &Path, secret: &[u8]) -> Result<(), Error> {
    replace(path, secret).map_err(|source| Error::Write { path: path.to_owned(), source })
}

fn replace(path: &Path, secret: &[u8]) -> io::Result<()> {
    // The parent of a bare name is empty.
    let dir = path.parent().filter(|dir| *dir != Path::new("")).unwrap_or(Path::new("."));
    DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
    let new = path.with_added_extension("new");
    // One that was left half written may be anybody's to read.
    match fs::remove_file(&new) {
        Err(e) if e.kind() != ErrorKind::NotFound => return Err(e),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
    file.write_all(secret)?;
    file.sync_all()?;
    fs::rename(&new, path)?;
    File::open(dir)?.sync_all()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_secret_is_for_its_owner_alone_and_replaced_as_a_whole() {
        let dir = std::env::temp_dir().join(format!("carob-keyfile-{}", std::process::id()));
        let path = dir.join("keys/a.key");
        assert!(read(&path).unwrap().is_none());
        for secret in [b"first".as_slice(), b"2"] {
            write(&path, secret).unwrap();
            assert_eq!(read(&path).unwrap().as_deref(), Some(secret));
        }
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!([mode(&path), mode(&dir.join("keys"))], [0o600, 0o700]);
        assert_eq!(fs::read_dir(dir.join("keys")).unwrap().count(), 1);
        let fault = read(&dir).unwrap_err().to_string();
        assert!(fault.contains(&dir.display().to_string()), "{fault}");
        fs::remove_dir_all(&dir).unwrap();
    }
}
