//! `cargo xtask tidy`: rustfmt, our own rules, clippy. The rules are in `tidy/rules.rs`, the map of the agent's modules
//! in `tidy/map.rs`; here files are read and tools run.

mod map;
mod rules;
mod source;

use std::{
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context, Result};

use self::source::{Purpose, Source};
use crate::{build, mutants, place::Place, progress::stage, test::tally::Tally, tool::Tool};

/// Every folder with code of ours.
const FOLDERS: &[&str] = &["agent", "ebpf/src", "tests/cases", "tests/src", "xtask/src"];

pub(crate) fn run(place: &Place) -> Result<ExitCode> {
    let stage = stage("tidy");
    let mut tally = Tally::default();
    check(place, &mut tally)?;
    stage.done();
    Ok(tally.close())
}

pub(crate) fn check(place: &Place, tally: &mut Tally) -> Result<()> {
    let faults = faults(&place.root)?;
    faults.iter().for_each(|fault| println!("{fault}"));
    note("tidy::rules", faults.is_empty(), tally);
    note("tidy::rustfmt", build::rustfmt(place).show().is_ok(), tally);
    // Both parts, whatever comes of the first one.
    let linted = build::clippy(place)?.map(Tool::show);
    note("tidy::clippy", linted.iter().all(Result::is_ok), tally);
    // Last: by now `patch` is there.
    let stale = mutants::stale(place)?;
    stale.iter().for_each(|fault| println!("{fault}"));
    note("tidy::mutants", stale.is_empty(), tally);
    Ok(())
}

fn note(name: &str, good: bool, tally: &mut Tally) {
    if good {
        tally.passed(1);
    } else {
        tally.failed(name);
    }
}

fn faults(root: &Path) -> Result<Vec<String>> {
    let mut texts = Vec::new();
    for folder in FOLDERS {
        for file in rust_files(&root.join(folder))? {
            let text = fs::read_to_string(&file).with_context(|| format!("read {}", file.display()))?;
            texts.push((file.strip_prefix(root)?.display().to_string(), text));
        }
    }
    let mut sources: Vec<Source<'_>> = texts.iter().map(|(path, text)| Source::new(path, text)).collect();
    let for_tests: Vec<String> = sources.iter().flat_map(Source::test_modules).collect();
    for source in &mut sources {
        if for_tests.iter().any(|module| source.is_of(module)) {
            source.purpose = Purpose::Tests;
        }
    }
    Ok(sources.iter().flat_map(rules::faults).collect())
}

fn rust_files(dir: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(dir).with_context(|| format!("read {}", dir.display()))? {
        let path = entry?.path();
        if path.is_dir() {
            files.extend(rust_files(&path)?);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}
