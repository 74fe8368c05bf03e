//! Programs of Debian's that cases are held against, taken out of their packages; nothing else of those is kept. A guest
//! gets them for the cases that ask for them by a word in their name: they are as large as all the rest of its payload.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};

use crate::{
    artefact::Recipe,
    place::Place,
    progress::stage,
    vm::{
        debian::{Archive, PrivateApt, SUITE},
        payload::Payload,
    },
    wire::Listed,
};

/// This machine's, which is the guest's too.
const ARCHITECTURE: &str = "amd64";

/// What belongs together.
pub(super) struct Set {
    /// In the names of the cases that need it.
    word: &'static str,
    /// Package, and the files of it that are kept, by their paths; libraries among them for what the guest has not.
    files: &'static [(&'static str, &'static [&'static str])],
}

pub(super) const PROMETHEUS: Set =
    Set { word: "prometheus", files: &[("prometheus", &["usr/bin/prometheus", "usr/bin/promtool"])] };
const REGISTRY: Set = Set {
    word: "real_registry",
    files: &[
        ("docker-registry", &["usr/bin/docker-registry"]),
        ("umoci", &["usr/bin/umoci"]),
        ("skopeo", &["usr/bin/skopeo"]),
        ("libgpgme11", &["usr/lib/x86_64-linux-gnu/libgpgme.so.11"]),
        ("libassuan0", &["usr/lib/x86_64-linux-gnu/libassuan.so.0"]),
        ("libdevmapper1.02.1", &["lib/x86_64-linux-gnu/libdevmapper.so.1.02.1"]),
    ],
};

/// Puts what these cases need into `bin` and `lib` of the payload. What cannot be had, its own cases miss, and no others.
pub(super) fn add(place: &Place, payload: &Payload, cases: &[Listed]) -> Result<()> {
    for set in [&PROMETHEUS, &REGISTRY] {
        if !cases.iter().any(|case| case.case.contains(set.word)) {
            continue;
        }
        match set.kept(place) {
            Ok(dir) => set.paths().try_for_each(|path| payload.add(folder(path), &dir.join(name(path))))?,
            Err(fault) => println!("without what {:?} asks for: {fault:#}", set.word),
        }
    }
    Ok(())
}

impl Set {
    fn paths(&self) -> impl Iterator<Item = &'static str> {
        self.files.iter().flat_map(|(_, paths)| *paths).copied()
    }

    /// Where one of its programs lies on this machine.
    pub(super) fn program(&self, place: &Place, name: &str) -> Result<PathBuf> {
        Ok(self.kept(place)?.join(name))
    }

    /// The folder with all its files.
    fn kept(&self, place: &Place) -> Result<PathBuf> {
        let recipe = self.paths().fold(Recipe::new(self.word).with(SUITE), Recipe::with);
        recipe.in_cache(&place.cache, |dir| {
            let stage = stage(&format!("programs for {:?} from {SUITE}", self.word));
            let work = dir.join("work");
            let unpacked = work.join("deb");
            let apt = PrivateApt::new(&Archive::of_this_machine()?, work.clone(), ARCHITECTURE)?;
            for (package, paths) in self.files {
                apt.unpack(package, &unpacked)?;
                for path in *paths {
                    // Through the link that a library's name is.
                    fs::copy(unpacked.join(path), dir.join(name(path)))
                        .with_context(|| format!("find {path} in the package {package}"))?;
                }
            }
            fs::remove_dir_all(&work)?;
            stage.done();
            Ok(())
        })
    }
}

fn name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

fn folder(path: &str) -> &'static str {
    let programs = Path::new(path).parent().is_some_and(|parent| parent.ends_with("bin"));
    if programs { "bin" } else { "lib" }
}
