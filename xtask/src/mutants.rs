//! `cargo xtask mutants`: agents broken on purpose. Each `tests/broken/*.patch` names the case that must notice it; a
//! suite that passes with a broken agent proves nothing. The patches go into a copy of the workspace.

use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::OsStr,
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context, Result, bail};
use sha2::{Digest, Sha256};

use crate::{
    build,
    place::{HOST, Place},
    progress::stage,
    test::{
        self,
        cases::{self, Guests},
        tally::Tally,
    },
    tool::tool,
    vm::{
        machine::{Machine, Saved},
        rundir::RunDir,
    },
    wire::Listed,
};

/// What of a workspace is not copied.
const LEFT_OUT: &[&str] = &[".git", "target"];

#[derive(clap::Args)]
pub(crate) struct Words {
    /// Part of a patch's name or of the case it names
    filter: Option<String>,
}

/// A patch and what its head says.
#[derive(Debug, PartialEq)]
struct Mutant {
    patch: PathBuf,
    case: String,
    what: String,
}

/// What became of a mutant, in the order of how far it got.
#[derive(Debug, PartialEq)]
enum Fate {
    DoesNotApply(String),
    DoesNotBuild,
    NotNoticed,
    Noticed,
}

pub(crate) fn run(place: &Place, words: &Words) -> Result<ExitCode> {
    let mut mutants = mutants(&place.root.join("tests/broken"))?;
    let filter = words.filter.as_deref().unwrap_or_default();
    mutants.retain(|mutant| mutant.case.contains(filter) || name(mutant).contains(filter));
    if mutants.is_empty() {
        bail!("no patch in tests/broken matches {filter:?}");
    }
    build::all(place)?;
    let bench = Bench { machine: Machine::prepared(place)?, place };
    let named: BTreeSet<&str> = mutants.iter().map(|mutant| mutant.case.as_str()).collect();
    let cases = wanted(cases::listed(place)?, &named)?;
    let sound = bench.failures(place, &cases)?;
    if !sound.is_empty() {
        bail!("these cases fail with an agent that is not broken: {}", sound.join(", "));
    }
    let copy = copy_of(place)?;
    let mut tally = Tally::default();
    for mutant in &mutants {
        let case: Vec<Listed> = cases.iter().filter(|case| case.case == mutant.case).cloned().collect();
        let fate = bench.fate(&copy, mutant, &case)?;
        if let Fate::DoesNotApply(why) = &fate {
            println!("{why}");
        }
        println!("{:<14} {:<32} {:<48} {}", label(&fate), name(mutant), mutant.case, mutant.what);
        match fate {
            Fate::Noticed => tally.passed(1),
            _ => tally.failed(&name(mutant)),
        }
    }
    Ok(tally.close())
}

/// The patches that do not apply to what is there.
pub(crate) fn stale(place: &Place) -> Result<Vec<String>> {
    let applies = |mutant: &Mutant| {
        let patch = tool("patch").args(["-p1", "--dry-run", "--batch", "--forward", "--fuzz=0", "-i"]);
        patch.arg(&mutant.patch).dir(&place.root).output().is_ok()
    };
    let all = mutants(&place.root.join("tests/broken"))?;
    let stale = all.iter().filter(|mutant| !applies(mutant));
    Ok(stale.map(|mutant| format!("tests/broken/{}.patch: does not apply", name(mutant))).collect())
}

fn wanted(mut cases: Vec<Listed>, named: &BTreeSet<&str>) -> Result<Vec<Listed>> {
    cases.retain(|case| named.contains(case.case.as_str()));
    match named.iter().find(|name| !cases.iter().any(|case| case.case == **name)) {
        Some(unknown) => bail!("a patch names the case {unknown}, which does not exist"),
        None => Ok(cases),
    }
}

struct Bench<'a> {
    machine: Machine,
    place: &'a Place,
}

impl Bench<'_> {
    /// Breaks the copy, builds it, runs the case. The copy is mended by the next one's start.
    fn fate(&self, copy: &Place, mutant: &Mutant, case: &[Listed]) -> Result<Fate> {
        mirror(&self.place.root, &copy.root)?;
        let patch = tool("patch").args(["-p1", "--batch", "--forward", "--fuzz=0", "-i"]).arg(&mutant.patch);
        if let Err(fault) = patch.dir(&copy.root).run() {
            return Ok(Fate::DoesNotApply(format!("{fault:#}")));
        }
        let stage = stage(&format!("mutant {}", name(mutant)));
        if build::all(copy).is_err() {
            return Ok(Fate::DoesNotBuild);
        }
        let failures = self.failures(copy, case)?;
        stage.done();
        Ok(if failures.is_empty() { Fate::NotNoticed } else { Fate::Noticed })
    }

    fn failures(&self, place: &Place, cases: &[Listed]) -> Result<Vec<String>> {
        let saved = Saved::made(self.place, &self.machine)?;
        let run = RunDir::new(place, "mutants")?;
        let payload = test::payload(place, &self.machine, &run, cases)?;
        let guests = Guests {
            place,
            machine: &self.machine,
            saved: &saved,
            payload: &payload,
            run: &run,
            full: false,
            seed: test::drawn_seed(),
        };
        let mut tally = Tally::default();
        guests.run_all(cases, &mut tally)?;
        Ok(tally.failures().to_vec())
    }
}

fn label(fate: &Fate) -> &'static str {
    match fate {
        Fate::DoesNotApply(_) => "does not apply",
        Fate::DoesNotBuild => "does not build",
        Fate::NotNoticed => "NOT NOTICED",
        Fate::Noticed => "noticed",
    }
}

fn name(mutant: &Mutant) -> String {
    mutant.patch.file_stem().unwrap_or_default().display().to_string()
}

fn mutants(dir: &Path) -> Result<Vec<Mutant>> {
    let mut mutants = Vec::new();
    for entry in fs::read_dir(dir).with_context(|| format!("read {}", dir.display()))? {
        let patch = entry?.path();
        if patch.extension() == Some(OsStr::new("patch")) {
            let text = fs::read_to_string(&patch).with_context(|| format!("read {}", patch.display()))?;
            let (case, what) =
                head(&text).with_context(|| format!("{} begins with no `# case: …`", patch.display()))?;
            mutants.push(Mutant { patch, case, what });
        }
    }
    mutants.sort_by(|a, b| a.patch.cmp(&b.patch));
    Ok(mutants)
}

/// The case and the description in the lines before the diff.
fn head(patch: &str) -> Option<(String, String)> {
    let lines = patch.lines().take_while(|line| line.starts_with('#'));
    let said: BTreeMap<&str, &str> =
        lines.filter_map(|line| line.trim_start_matches(['#', ' ']).split_once(": ")).collect();
    Some((
        said.get("case")?.trim().to_owned(),
        said.get("what").copied().unwrap_or_default().trim().to_owned(),
    ))
}

/// One lasting copy for each workspace: its target folder makes that only the broken crate is built again.
fn copy_of(place: &Place) -> Result<Place> {
    let hash = Sha256::digest(place.root.as_os_str().as_encoded_bytes());
    let hash: String = hash.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    let root = place.cache.join("mutants").join(hash);
    let copy = Place { root, cache: place.cache.clone() };
    mirror(&place.root, &copy.root)?;
    if !copy.target().is_dir() {
        let stage = stage("mutants: copy what is built");
        fs::create_dir_all(copy.target())?;
        for part in [HOST, "release", "bpf"] {
            let from = place.target().join(part);
            if from.is_dir() {
                tool("cp").args(["-a", "--reflink=auto"]).arg(from).arg(copy.target()).run()?;
            }
        }
        stage.done();
    }
    Ok(copy)
}

/// Makes `to` the same as `from`. A file that is the same is not touched, and one that is not gets a new time stamp:
/// cargo goes by these.
fn mirror(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to).with_context(|| format!("create {}", to.display()))?;
    let wanted = names(from)?;
    for name in names(to)?.difference(&wanted) {
        let extra = to.join(name);
        let removed = if extra.is_dir() { fs::remove_dir_all(&extra) } else { fs::remove_file(&extra) };
        removed.with_context(|| format!("remove {}", extra.display()))?;
    }
    for name in &wanted {
        let (from, to) = (from.join(name), to.join(name));
        if from.is_dir() {
            mirror(&from, &to)?;
        } else {
            let content = fs::read(&from).with_context(|| format!("read {}", from.display()))?;
            if fs::read(&to).ok().as_ref() != Some(&content) {
                fs::write(&to, content).with_context(|| format!("write {}", to.display()))?;
            }
        }
    }
    Ok(())
}

fn names(dir: &Path) -> Result<BTreeSet<std::ffi::OsString>> {
    let mut names = BTreeSet::new();
    for entry in fs::read_dir(dir).with_context(|| format!("read {}", dir.display()))? {
        let name = entry?.file_name();
        if !LEFT_OUT.iter().any(|left_out| name == *left_out) {
            names.insert(name);
        }
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_patch_says_what_it_breaks_and_who_must_notice() {
        let patch = "# case: pod::stops_in_order\n# what: no TERM before KILL\n--- a/x\n# case: not this\n";
        assert_eq!(head(patch), Some(("pod::stops_in_order".into(), "no TERM before KILL".into())));
        assert_eq!(head("--- a/x\n"), None);
    }

    #[test]
    fn a_mirror_writes_only_what_differs_and_leaves_the_target_alone() {
        let dir = std::env::temp_dir().join(format!("carob-mirror-{}", std::process::id()));
        let (from, to) = (dir.join("from"), dir.join("to"));
        fs::create_dir_all(from.join("src")).unwrap();
        fs::create_dir_all(to.join("target")).unwrap();
        fs::write(from.join("src/same"), "same").unwrap();
        mirror(&from, &to).unwrap();
        let stamp = |name: &str| fs::metadata(to.join(name)).unwrap().modified().unwrap();
        let same = stamp("src/same");
        fs::write(to.join("src/extra"), "").unwrap();
        fs::write(from.join("src/new"), "new").unwrap();
        mirror(&from, &to).unwrap();
        assert_eq!(stamp("src/same"), same);
        assert_eq!(fs::read_to_string(to.join("src/new")).unwrap(), "new");
        assert!(!to.join("src/extra").exists() && to.join("target").exists());
        fs::remove_dir_all(dir).unwrap();
    }
}
