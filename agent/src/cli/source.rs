//! Manifests as the user names them: files, folders, standard input. Reads bytes; what they mean is `manifest`'s.
#![expect(clippy::disallowed_methods, reason = "reads the files named on the command line")]

use std::{
    fs,
    io::{self, Read},
    path::{Path, PathBuf},
};

use crate::manifest::{self, Fault, Faults, Object};

/// Endings of the files in a folder that are manifests, as for kubectl.
const ENDINGS: [&str; 3] = ["yaml", "yml", "json"];

/// Which file could not be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error("cannot read {}", path.display())]
    Read {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("cannot read standard input")]
    Stdin {
        #[source]
        source: io::Error,
    },
    #[error("there is no .yaml, .yml or .json file in {}", path.display())]
    Empty { path: PathBuf },
    /// Every fault of every file.
    #[error("{0}")]
    Faulty(Faults),
}

/// All objects of all files, or all that is wrong with them.
pub(super) fn objects(names: &[String]) -> Result<Vec<Object>, Error> {
    let (mut objects, mut faults): (Vec<Object>, Vec<Fault>) = (Vec::new(), Vec::new());
    for (file, bytes) in texts(names)? {
        match manifest::read(&file, &bytes) {
            Ok(found) => objects.extend(found),
            Err(Faults(found)) => faults.extend(found),
        }
    }
    if faults.is_empty() { Ok(objects) } else { Err(Error::Faulty(Faults(faults))) }
}

fn texts(names: &[String]) -> Result<Vec<(String, Vec<u8>)>, Error> {
    let mut texts = Vec::new();
    for name in names {
        let path = Path::new(name);
        if name == "-" {
            let mut bytes = Vec::new();
            io::stdin().read_to_end(&mut bytes).map_err(|source| Error::Stdin { source })?;
            texts.push(("standard input".to_owned(), bytes));
        } else if path.is_dir() {
            for path in folder(path)? {
                texts.push((path.display().to_string(), read(&path)?));
            }
        } else {
            texts.push((name.clone(), read(path)?));
        }
    }
    Ok(texts)
}

fn read(path: &Path) -> Result<Vec<u8>, Error> {
    fs::read(path).map_err(|source| Error::Read { path: path.to_owned(), source })
}

/// The manifests directly in a folder, by name.
fn folder(path: &Path) -> Result<Vec<PathBuf>, Error> {
    let fault = |source| Error::Read { path: path.to_owned(), source };
    let mut files = Vec::new();
    for entry in fs::read_dir(path).map_err(fault)? {
        let file = entry.map_err(fault)?.path();
        let ending = file.extension().and_then(|ending| ending.to_str()).unwrap_or_default();
        if ENDINGS.contains(&ending) && file.is_file() {
            files.push(file);
        }
    }
    files.sort();
    if files.is_empty() { Err(Error::Empty { path: path.to_owned() }) } else { Ok(files) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POD: &str =
        "apiVersion: v1\nkind: Pod\nmetadata: {name: NAME}\nspec: {containers: [{name: c, image: i}]}\n";

    #[test]
    fn a_folder_is_its_manifests_and_all_faults_are_told_at_once() {
        let dir = std::env::temp_dir().join(format!("carob-source-{}", std::process::id()));
        let _ = fs::remove_dir_all(&dir);
        fs::create_dir_all(dir.join("sub.yaml")).unwrap();
        let name = dir.display().to_string();
        assert!(matches!(objects(std::slice::from_ref(&name)), Err(Error::Empty { .. })));
        for (file, pod) in [("b.yaml", "b"), ("a.json", "a"), ("c.yml", "c"), ("README.md", "no manifest")] {
            fs::write(dir.join(file), POD.replace("NAME", pod)).unwrap();
        }
        let found = objects(std::slice::from_ref(&name)).unwrap();
        let names: Vec<_> =
            found.iter().map(|object| object.value["metadata"]["name"].as_str().unwrap()).collect();
        assert_eq!(names, ["a", "b", "c"]);
        fs::write(dir.join("b.yaml"), POD.replace("NAME", "B_")).unwrap();
        fs::write(dir.join("c.yml"), POD.replace("image", "imag")).unwrap();
        let told = objects(&[name]).unwrap_err().to_string();
        assert!(told.contains("b.yaml:3:") && told.contains("c.yml:4:"), "{told}");
        fs::remove_dir_all(&dir).unwrap();
    }
}
