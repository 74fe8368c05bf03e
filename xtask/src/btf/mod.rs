//! `cargo xtask btf-fixtures`: what the agent's test of its kernel offsets reads, made from Debian's kernels. For each
//! kernel its type information, reduced to a few kilobytes, and beside it what the whole of it says.

mod facts;
mod image;
mod reduce;
mod types;

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, ensure};

use self::{
    facts::{Fact, facts},
    image::type_information,
    reduce::reduced,
    types::Types,
};
use crate::{
    artefact, packages,
    place::Place,
    progress::stage,
    tool::tool,
    vm::{
        debian::{Archive, PrivateApt},
        package::{Flavour, Kernel},
        rundir::RunDir,
    },
};

/// lz4, zstd: the images of x86-64.
const PACKAGES: &[&str] = &["debian-archive-keyring", "lz4", "zstd"];
/// The releases whose archives together have the kernels below.
const SUITES: &[&str] = &["bullseye", "bookworm", "trixie", "trixie-backports"];
const ARCHITECTURES: [&str; 2] = ["amd64", "arm64"];
const FIXTURES: &str = "agent/src/kernel/fixtures";

const KERNELS: &[Kernel] = &[
    // Its `mark_victim` hands over a number; that of the newest 5.10 hands over the task.
    Kernel { series: "5.10.0-30", flavour: Flavour::Cloud },
    Kernel { series: "5.10", flavour: Flavour::Cloud },
    Kernel { series: "6.1", flavour: Flavour::Cloud },
    Kernel { series: "6.1", flavour: Flavour::Standard },
    Kernel { series: "6.12", flavour: Flavour::Cloud },
    Kernel { series: "6.12", flavour: Flavour::Standard },
    Kernel { series: "6.16", flavour: Flavour::Cloud },
    Kernel { series: "6.17", flavour: Flavour::Cloud },
    Kernel { series: "6.18", flavour: Flavour::Cloud },
    Kernel { series: "6.19", flavour: Flavour::Cloud },
    Kernel { series: "7.0", flavour: Flavour::Cloud },
    Kernel { series: "7.1", flavour: Flavour::Cloud },
    Kernel { series: "7.2", flavour: Flavour::Cloud },
    Kernel { series: "7.3", flavour: Flavour::Cloud },
    Kernel { series: "7.3", flavour: Flavour::RealTime },
];

#[derive(clap::Args)]
pub(crate) struct Words {
    /// Only kernels whose fixture's name contains this, e.g. arm64-6.12
    #[arg(default_value = "")]
    filter: String,
}

pub(crate) fn run(place: &Place, words: &Words) -> Result<()> {
    packages::ensure(PACKAGES)?;
    let work = RunDir::new(place, "btf")?;
    let archive = Archive::of_this_machine()?;
    let mut missing = Vec::new();
    for architecture in ARCHITECTURES {
        let stage = stage(&format!("btf fixtures of {architecture}"));
        let apt = PrivateApt::of(&archive, SUITES, work.path().join(architecture), architecture)?;
        let names = apt.package_names("linux-")?;
        for kernel in KERNELS {
            let name = format!("{architecture}-{}-{}", kernel.series, kernel.flavour.name());
            if name.contains(&words.filter) {
                let fixture = Fixture { dir: place.root.join(FIXTURES), name };
                if !fixture.make(&apt, &kernel.packages(&names, architecture), work.path())? {
                    missing.push(fixture.name);
                }
            }
        }
        stage.done();
    }
    artefact::remove(work.path())?;
    ensure!(
        missing.is_empty(),
        "no archive has these any more, they stay as they are: {}",
        missing.join(", ")
    );
    Ok(())
}

struct Fixture {
    dir: PathBuf,
    name: String,
}

impl Fixture {
    /// From the first of the packages that can be had: an archive's list may name what it no longer keeps.
    fn make(&self, apt: &PrivateApt, packages: &[&str], work: &Path) -> Result<bool> {
        for package in packages {
            let Ok(file) = apt.download(package) else {
                println!("{}: the archive does not hand out {package}", self.name);
                continue;
            };
            println!("{}: {package}", self.name);
            self.write(&file, work).with_context(|| format!("make {} from {package}", self.name))?;
            fs::remove_file(&file).with_context(|| format!("remove {}", file.display()))?;
            return Ok(true);
        }
        Ok(false)
    }

    fn write(&self, package: &Path, work: &Path) -> Result<()> {
        let full = Types::parse(&type_information(package, work)?)?;
        let reduced = reduced(&full)?;
        let mut lines: Vec<Fact> = Vec::new();
        for (what, key) in [("Package", "package"), ("Version", "version"), ("Architecture", "architecture")]
        {
            let value = tool("dpkg-deb").arg("-f").arg(package).arg(what).output()?;
            lines.push((key.to_owned(), value.trim().to_owned()));
        }
        lines.push(("bytes".to_owned(), reduced.len().to_string()));
        lines.extend(facts(&full)?);
        let table: String = lines.iter().map(|(what, found)| format!("{what}\t{found}\n")).collect();
        self.put("btf", &reduced)?;
        self.put("tsv", table.as_bytes())
    }

    fn put(&self, ending: &str, content: &[u8]) -> Result<()> {
        let path = self.dir.join(format!("{}.{ending}", self.name));
        fs::write(&path, content).with_context(|| format!("write {}", path.display()))
    }
}

#[cfg(test)]
mod tests;
