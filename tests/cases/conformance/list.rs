//! `tests/conformance.tsv` against the list itself and against the cases there are.

use std::{collections::BTreeSet, fs, path::Path};

use super::super::all;

const ROWS: &str = include_str!("../../conformance.tsv");
/// Kept beside the project, not a part of it.
const LIST: &str = "../../shared/conformance/README.md";
const PLANNER: &str = "../agent/src/plan/tests";

/// A test's name, what re-enacts it, and, if nothing does, why.
fn rows() -> Vec<(&'static str, &'static str, &'static str)> {
    let row = |line: &'static str| {
        let mut fields = line.split('\t');
        let [name, case] = [(); 2].map(|()| fields.next().unwrap_or_default());
        (name, case, fields.next().unwrap_or_default())
    };
    ROWS.lines().filter(|line| !line.starts_with('#')).map(row).collect()
}

/// `**R** NAME — DESCRIPTION`: what can be re-enacted through any interface; `**A**`: what needs the Kubernetes API.
fn listed(text: &str) -> Vec<String> {
    let name = |rest: &str| rest.split(" — ").next().unwrap_or_default().trim().to_owned();
    let marks = ["- **R** ", "- **A** "];
    let marked = |line: &'_ str| marks.iter().find_map(|mark| line.strip_prefix(mark)).map(name);
    text.lines().filter_map(marked).collect()
}

#[test]
fn each_test_of_the_list_has_a_case_or_a_reason() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let cases: BTreeSet<String> = all().map(|(name, _)| name).collect();
    let planner: String = fs::read_dir(here.join(PLANNER))
        .unwrap()
        .map(|entry| fs::read_to_string(entry.unwrap().path()).unwrap())
        .collect();
    let is_there = |case: &str| match case.strip_prefix("plan::tests::") {
        None => cases.contains(case),
        Some(path) => planner.contains(&format!("fn {}()", path.rsplit("::").next().unwrap())),
    };
    for (name, case, why) in rows() {
        assert!(case == "-" || is_there(case), "{name}: there is no case {case:?}");
        assert_eq!(case == "-", !why.is_empty(), "{name}: a case or a reason");
    }
    let names: BTreeSet<&str> = rows().iter().map(|(name, ..)| *name).collect();
    assert_eq!(names.len(), rows().len(), "a test has two rows");
    let done = rows().iter().filter(|(_, case, _)| *case != "-").count();
    println!("re-enacted {done} of {}", rows().len());
    let Ok(text) = fs::read_to_string(here.join(LIST)) else {
        eprintln!("SKIPPED: {LIST} is not there, the names are not compared with the list");
        return;
    };
    let listed = listed(&text);
    let missing: Vec<_> = listed.iter().filter(|name| !names.contains(name.as_str())).collect();
    let unknown: Vec<_> = names.iter().filter(|name| !listed.iter().any(|each| each == *name)).collect();
    assert!(missing.is_empty() && unknown.is_empty(), "missing {missing:#?}, not on the list {unknown:#?}");
}
