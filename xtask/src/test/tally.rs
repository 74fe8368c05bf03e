//! What passed and what failed. The last line that is printed, and the exit code, come from here.

use std::process::ExitCode;

#[derive(Debug, Default)]
pub(crate) struct Tally {
    passed: usize,
    failed: Vec<String>,
    /// With the reason.
    skipped: Vec<String>,
}

impl Tally {
    pub(crate) fn passed(&mut self, count: usize) {
        self.passed += count;
    }

    pub(crate) fn failed(&mut self, name: &str) {
        self.failed.push(name.to_owned());
    }

    /// Not run for a reason that lies in this machine: neither passed nor failed, but said.
    pub(crate) fn skipped(&mut self, name: &str, why: &str) {
        self.skipped.push(format!("{name}: {why}"));
    }

    /// The names of what failed, in order.
    pub(crate) fn failures(&self) -> &[String] {
        &self.failed
    }

    /// Prints the sum. A run in which nothing was executed has not shown anything and fails.
    pub(crate) fn close(self) -> ExitCode {
        for case in &self.skipped {
            println!("skipped: {case}");
        }
        for name in &self.failed {
            println!("failed: {name}");
        }
        println!("{} passed, {} failed", self.passed, self.failed.len());
        if self.is_good() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }

    fn is_good(&self) -> bool {
        self.failed.is_empty() && self.passed > 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(passed: usize, failed: &[&str], skipped: &[&str], good: bool) {
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let tally = Tally { passed, failed: names(failed), skipped: names(skipped) };
        assert_eq!(tally.is_good(), good);
    }

    #[test]
    fn a_run_is_good_if_something_passed_and_nothing_failed() {
        check(1, &[], &[], true);
        check(1, &[], &["a::b: why"], true);
        check(1, &["a::b"], &[], false);
        check(0, &["a::b"], &[], false);
        check(0, &[], &["a::b: why"], false);
        check(0, &[], &[], false);
    }
}
