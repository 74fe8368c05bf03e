//! Prometheus' own programs, from Debian's package; nothing else of it is kept. promtool judges here what cases hand
//! over and what `monitoring/` holds; the server goes into the guest of a case that has its name in its own.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::Output,
};

use anyhow::{Context, Result, ensure};

use super::tally::Tally;
use crate::{
    artefact::Recipe,
    place::Place,
    progress::stage,
    tool::tool,
    vm::debian::{Archive, PrivateApt, SUITE},
};

const PACKAGE: &str = "prometheus";
const PROMTOOL: &str = "promtool";
pub(crate) const SERVER: &str = "prometheus";
/// This machine's, which is the guest's too.
const ARCHITECTURE: &str = "amd64";
/// What promtool is asked of the files in `monitoring/`.
const QUESTIONS: [&[&str]; 3] = [
    &["check", "config", "prometheus.yml"],
    &["check", "rules", "rules.yml"],
    &["test", "rules", "rules.test.yml"],
];

/// Fails with what promtool has to say of a page, were it only advice.
pub(super) fn check_page(place: &Place, page: &Path) -> Result<()> {
    let mut command = tool(program(place, PROMTOOL)?).args(["check", "metrics"]).into_command();
    let input = File::open(page).with_context(|| format!("open {}", page.display()))?;
    let Output { status, stdout, stderr } =
        command.stdin(input).output().with_context(|| format!("start {PROMTOOL}"))?;
    let said = String::from_utf8_lossy(&[stdout, stderr].concat()).into_owned();
    ensure!(
        status.success() && said.is_empty(),
        "`{PROMTOOL} check metrics` of {}: {status}\n{said}",
        page.display()
    );
    Ok(())
}

/// The scrape configuration and the rules, as those who use them would check them.
pub(super) fn check_monitoring(place: &Place, tally: &mut Tally) {
    let stage = stage("monitoring");
    for words in QUESTIONS {
        match ask(place, words) {
            Ok(()) => tally.passed(1),
            Err(fault) => {
                tally.failed(&format!("monitoring: {PROMTOOL} {}", words.join(" ")));
                println!("{fault:#}");
            }
        }
    }
    stage.done();
}

fn ask(place: &Place, words: &[&str]) -> Result<()> {
    tool(program(place, PROMTOOL)?).args(words).dir(&place.root.join("monitoring")).run()
}

/// Where a program of the package lies.
pub(crate) fn program(place: &Place, name: &str) -> Result<PathBuf> {
    let recipe = Recipe::new(PACKAGE).with(SUITE).with(PROMTOOL).with(SERVER);
    let dir = recipe.in_cache(&place.cache, |dir| {
        let stage = stage(&format!("{PACKAGE} of {SUITE}"));
        let work = dir.join("work");
        let unpacked = work.join("deb");
        let apt = PrivateApt::new(&Archive::of_this_machine()?, work.clone(), ARCHITECTURE)?;
        apt.unpack(PACKAGE, &unpacked)?;
        for name in [PROMTOOL, SERVER] {
            fs::rename(unpacked.join("usr/bin").join(name), dir.join(name))
                .with_context(|| format!("find {name} in the package {PACKAGE}"))?;
        }
        fs::remove_dir_all(&work)?;
        stage.done();
        Ok(())
    })?;
    Ok(dir.join(name))
}
