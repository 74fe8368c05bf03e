//! Prometheus' own judge of a metrics page, from Debian's package; only its binary is kept.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::Output,
};

use anyhow::{Context, Result, ensure};

use crate::{
    artefact::Recipe,
    place::Place,
    progress::stage,
    tool::tool,
    vm::debian::{Archive, PrivateApt, SUITE},
};

const PACKAGE: &str = "prometheus";
const PROGRAM: &str = "promtool";
/// This machine's.
const ARCHITECTURE: &str = "amd64";

/// Fails with what promtool has to say of a page, were it only advice.
pub(super) fn check(place: &Place, page: &Path) -> Result<()> {
    let mut command = tool(binary(place)?).args(["check", "metrics"]).into_command();
    let input = File::open(page).with_context(|| format!("open {}", page.display()))?;
    let Output { status, stdout, stderr } =
        command.stdin(input).output().with_context(|| format!("start {PROGRAM}"))?;
    let said = String::from_utf8_lossy(&[stdout, stderr].concat()).into_owned();
    ensure!(
        status.success() && said.is_empty(),
        "`{PROGRAM} check metrics` of {}: {status}\n{said}",
        page.display()
    );
    Ok(())
}

fn binary(place: &Place) -> Result<PathBuf> {
    let recipe = Recipe::new(PROGRAM).with(PACKAGE).with(SUITE);
    let dir = recipe.in_cache(&place.cache, |dir| {
        let stage = stage(&format!("{PROGRAM} of {SUITE}"));
        let work = dir.join("work");
        let unpacked = work.join("deb");
        let apt = PrivateApt::new(&Archive::of_this_machine()?, work.clone(), ARCHITECTURE)?;
        apt.unpack(PACKAGE, &unpacked)?;
        fs::rename(unpacked.join("usr/bin").join(PROGRAM), dir.join(PROGRAM))
            .with_context(|| format!("find {PROGRAM} in the package {PACKAGE}"))?;
        fs::remove_dir_all(&work)?;
        stage.done();
        Ok(())
    })?;
    Ok(dir.join(PROGRAM))
}
