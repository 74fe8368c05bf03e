//! carob's own tasks. One verb, one file; no verb needs another program's script.

#![expect(clippy::disallowed_methods, reason = "the tasks are all effects: files, processes, time")]

mod artefact;
mod bench;
mod btf;
mod build;
mod dist;
mod fuzz;
mod mutants;
mod packages;
mod place;
mod progress;
mod run;
mod test;
mod tidy;
mod tool;
mod vm;
#[path = "../../tests/src/wire.rs"]
mod wire;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "cargo xtask", about = "Builds, runs and tests carob")]
struct Line {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Builds the kernel programs and the static binaries, installing what is missing
    Build(build::Words),
    /// The virtual machine, by hand
    #[command(subcommand)]
    Vm(vm::Verb),
    /// Runs all tests, or those whose `area::name` contains FILTER
    Test(test::Words),
    /// Runs a manifest with the real agent in a virtual machine and shows what comes of it
    Run(run::Words),
    /// Measures what carob costs: one JSON line a figure
    Bench(bench::Words),
    /// Builds the agent as it is shipped, and says how large it is
    Dist(dist::Words),
    /// Feeds what reads foreign bytes with damaged ones, for a minute each
    Fuzz(fuzz::Words),
    /// Checks that each agent broken on purpose is noticed
    Mutants(mutants::Words),
    /// Makes what the agent's test of its kernel offsets reads, from Debian's kernels
    BtfFixtures(btf::Words),
    /// Checks format, the rules of the house, and lints
    Tidy,
}

fn main() -> ExitCode {
    match carry_out(Line::parse().verb) {
        Ok(code) => code,
        Err(fault) => {
            eprintln!("error: {fault:#}");
            ExitCode::FAILURE
        }
    }
}

fn carry_out(verb: Verb) -> Result<ExitCode> {
    let place = place::Place::here()?;
    match verb {
        Verb::Build(words) => build::run(&place, &words)?,
        Verb::Vm(verb) => vm::run(&place, &verb)?,
        Verb::Bench(words) => bench::run(&place, &words)?,
        Verb::BtfFixtures(words) => btf::run(&place, &words)?,
        Verb::Dist(words) => dist::run(&place, &words)?,
        Verb::Fuzz(words) => fuzz::run(&place, &words)?,
        Verb::Run(words) => run::run(&place, &words)?,
        Verb::Mutants(words) => return mutants::run(&place, &words),
        Verb::Test(words) => return test::run(&place, &words),
        Verb::Tidy => return tidy::run(&place),
    }
    Ok(ExitCode::SUCCESS)
}
