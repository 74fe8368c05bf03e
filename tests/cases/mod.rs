//! The cases, by area. A case is a function that is given a `World` and says in its error what it found instead.

mod accounting;
mod api;
mod arm64;
mod config;
mod conformance;
mod images;
pub(crate) mod kubectl;
mod metrics;
mod network;
mod pod;
mod power;
mod prometheus;
mod registry;
mod resources;
mod restart;
mod security;
mod spine;
mod volume;
mod workload;

use std::{process::ExitCode, time::Duration};

use anyhow::{Result, bail};

use crate::{
    wire::{Listed, Mode},
    world::World,
};

pub(crate) struct Case {
    /// What holds, in words joined by `_`; with its area in front it is the case's name everywhere.
    pub(crate) name: &'static str,
    pub(crate) mode: Mode,
    /// Emulation is 10 to 50 times slower than hardware: be generous.
    pub(crate) limit: Duration,
    pub(crate) run: fn(&World) -> Result<()>,
}

type Area = (&'static str, fn() -> Vec<Case>);

const AREAS: &[Area] = &[
    ("spine", spine::cases),
    ("spine", restart::cases),
    ("accounting", accounting::cases),
    ("pod", pod::cases),
    ("resources", resources::cases),
    ("security", security::cases),
    ("volume", volume::cases),
    ("config", config::cases),
    ("conformance", conformance::cases),
    ("network", network::cases),
    ("workload", workload::cases),
    ("images", images::cases),
    ("images", registry::cases),
    ("power", power::cases),
    ("api", api::cases),
    ("api", metrics::cases),
    ("api", prometheus::cases),
    ("kubectl", kubectl::cases),
    ("arm64", arm64::cases),
];

fn all() -> impl Iterator<Item = (String, Case)> {
    let of_area = |(area, cases): &Area| {
        let area = *area;
        cases().into_iter().map(move |case| (format!("{area}::{}", case.name), case))
    };
    AREAS.iter().flat_map(of_area)
}

/// `words`: full names, or `area::` for all of an area.
pub(crate) fn named(words: &[&str]) -> Result<Vec<(String, Case)>> {
    let means = |word: &str, name: &str| name == word || (word.ends_with("::") && name.starts_with(word));
    if let Some(unknown) = words.iter().find(|word| !all().any(|(name, _)| means(word, &name))) {
        bail!("there is no case {unknown:?}");
    }
    Ok(all().filter(|(name, _)| words.iter().any(|word| means(word, name))).collect())
}

/// For the host: every case with what it needs.
pub(crate) fn list() -> Result<ExitCode> {
    for (name, case) in all() {
        let listed = Listed { case: name, mode: case.mode, limit: case.limit.as_secs() };
        println!("{}", serde_json::to_string(&listed)?);
    }
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, fs, path::Path};

    #[test]
    fn each_case_that_readme_names_is_there() {
        let cases: BTreeSet<String> = super::all().map(|(name, _)| name).collect();
        let readme = include_str!("../../README.md");
        let named: Vec<&str> = readme.split('`').filter(|word| is_name(word)).collect();
        assert!(named.len() >= 10, "{named:?}");
        for name in named {
            assert!(cases.contains(name), "README names a case {name:?}, which there is not");
        }
    }

    /// `area::what_holds`.
    fn is_name(word: &str) -> bool {
        let is_plain =
            |part: &str| part.chars().all(|c| c == '_' || c.is_ascii_lowercase() || c.is_ascii_digit());
        word.split_once("::")
            .is_some_and(|(area, case)| is_plain(area) && is_plain(case) && case.contains('_'))
    }

    /// `cargo xtask mutants` takes long and is run by hand: a name that no case has any more must not wait for it.
    #[test]
    fn each_broken_agent_names_a_case() {
        let cases: BTreeSet<String> = super::all().map(|(name, _)| name).collect();
        for entry in fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("broken")).unwrap() {
            let path = entry.unwrap().path();
            let text = fs::read_to_string(&path).unwrap();
            let case = text.lines().find_map(|line| line.strip_prefix("# case: ")).unwrap_or_default();
            assert!(cases.contains(case), "{}: there is no case {case:?}", path.display());
        }
    }
}
