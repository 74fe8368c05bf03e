//! `carob check`: what this box has, what it lacks, and what that costs. `--uninstall`: what carob has left on it.
//!
//! It needs no agent, and changes nothing; `--autopsy` needs one, and takes away what it makes.

mod leftovers;
mod network;
mod probe;

use std::process::ExitCode;

use super::{
    autopsy,
    client::Client,
    output::{self, say},
    table::Table,
};
use crate::{
    config::Config,
    kernel::support::{Found, support},
};

/// Show what this box has, what it lacks, and what that costs
#[derive(Debug, clap::Args)]
pub(crate) struct Check {
    /// List what carob has left on this box instead, and how to remove it
    #[arg(long)]
    uninstall: bool,
    /// Run a dozen deaths in containers of the agent instead, and compare what it records with what was done
    #[arg(long, conflicts_with = "uninstall")]
    autopsy: bool,
}

/// One thing looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Finding {
    what: &'static str,
    state: State,
    /// What is there.
    found: String,
    /// What is lost if it is not, or not enough.
    without: &'static str,
}

/// Whether it is enough.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Good,
    /// Pods run, with something missing.
    Less,
    /// No pod can run.
    Missing,
}

impl Check {
    pub(super) async fn run(self, client: &Client, config: &Config) -> anyhow::Result<ExitCode> {
        if self.autopsy {
            return autopsy::run(client).await;
        }
        if self.uninstall {
            say(&leftovers::table(config).render(output::width()))?;
            return Ok(ExitCode::SUCCESS);
        }
        let mut findings = probe::findings(config);
        findings.extend(network::findings(config));
        findings.extend(
            support(&config.bpffs)
                .answers
                .into_iter()
                .map(|answer| heard(answer.what, answer.found, answer.without)),
        );
        say(&table(&findings).render(output::width()))?;
        let missing = findings.iter().filter(|finding| finding.state == State::Missing).count();
        if missing == 0 {
            return Ok(ExitCode::SUCCESS);
        }
        say(&format!("\n{missing} of these must be there before carob can run a pod.\n"))?;
        Ok(ExitCode::FAILURE)
    }
}

/// An answer about the kernel programs: without them carob still runs.
fn heard(what: &'static str, found: Found, without: &'static str) -> Finding {
    match found {
        Found::Yes => Finding { what, state: State::Good, found: "yes".to_owned(), without },
        Found::Partly(found) | Found::No(found) => Finding { what, state: State::Less, found, without },
    }
}

fn table(findings: &[Finding]) -> Table {
    let mut table = Table::new(["", "CHECK", "FOUND"]);
    for Finding { what, state, found, without } in findings {
        let (word, found) = match state {
            State::Good => ("ok", found.clone()),
            State::Less => ("less", format!("{found}; without it: {without}")),
            State::Missing => ("MISSING", format!("{found}; without it: {without}")),
        };
        table.row([word.to_owned(), (*what).to_owned(), found]);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_told_with_its_cost() {
        let findings = [
            heard("bpf() system call", Found::Yes, "x"),
            heard("tracepoints", Found::Partly("a thread only".to_owned()), "less detail"),
            heard("BTF", Found::No("no such file".to_owned()), "no sender"),
            Finding {
                what: "cgroup v2",
                state: State::Missing,
                found: "none".to_owned(),
                without: "nothing runs",
            },
        ];
        let expected = "          CHECK               FOUND\n\
                        ok        bpf() system call   yes\n\
                        less      tracepoints         a thread only; without it: less detail\n\
                        less      BTF                 no such file; without it: no sender\n\
                        MISSING   cgroup v2           none; without it: nothing runs\n";
        assert_eq!(table(&findings).render(None), expected);
    }
}
