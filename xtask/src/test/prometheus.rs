//! What Prometheus' own promtool says of the pages that cases hand over, and of what `monitoring/` holds.

use std::{fs::File, path::Path, process::Output};

use anyhow::{Context, Result, ensure};

use super::{programs::PROMETHEUS, tally::Tally};
use crate::{place::Place, progress::stage, tool::tool};

const PROMTOOL: &str = "promtool";
/// What promtool is asked of the files in `monitoring/`.
const QUESTIONS: [&[&str]; 3] = [
    &["check", "config", "prometheus.yml"],
    &["check", "rules", "rules.yml"],
    &["test", "rules", "rules.test.yml"],
];

/// Fails with what promtool has to say of a page, were it only advice.
pub(super) fn check_page(place: &Place, page: &Path) -> Result<()> {
    let mut command = tool(PROMETHEUS.program(place, PROMTOOL)?).args(["check", "metrics"]).into_command();
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
    tool(PROMETHEUS.program(place, PROMTOOL)?).args(words).dir(&place.root.join("monitoring")).run()
}
