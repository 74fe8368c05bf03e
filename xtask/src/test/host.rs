//! The tests that need no guest: `cargo test` of the whole workspace, its results read from what it prints.

use anyhow::Result;

use super::tally::Tally;
use crate::{build, place::Place, progress::stage};

pub(crate) fn run(place: &Place, tally: &mut Tally) -> Result<()> {
    let stage = stage("host tests");
    for tests in build::host_tests(place)? {
        let (status, output) = tests.status_and_output()?;
        let Results { passed, failed } = results(&output);
        tally.passed(passed);
        failed.iter().for_each(|name| tally.failed(&format!("host::{name}")));
        if !status.success() {
            print!("{output}");
            if failed.is_empty() {
                tally.failed("host: cargo test did not get as far as a failing test");
            }
        }
    }
    stage.done();
    Ok(())
}

#[derive(Debug, PartialEq)]
struct Results {
    passed: usize,
    failed: Vec<String>,
}

/// `test NAME ... FAILED` names a failure, `test result: … N passed; …` sums up one binary.
fn results(output: &str) -> Results {
    let mut results = Results { passed: 0, failed: Vec::new() };
    for line in output.lines() {
        let Some(rest) = line.strip_prefix("test ") else { continue };
        if let Some(sum) = rest.strip_prefix("result: ") {
            results.passed +=
                sum.split_once(". ").and_then(|(_, counts)| first_number(counts)).unwrap_or_default();
        } else if let Some(name) = rest.strip_suffix(" ... FAILED") {
            results.failed.push(name.to_owned());
        }
    }
    results
}

fn first_number(text: &str) -> Option<usize> {
    text.split(' ').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_of_several_binaries_are_summed() {
        let output = "\
running 2 tests
test a::holds ... ok
test a::breaks ... FAILED

test result: FAILED. 1 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s

test result: ok. 41 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s
";
        assert_eq!(results(output), Results { passed: 42, failed: vec!["a::breaks".to_owned()] });
    }
}
