//! `carob`: verb → module. Nothing else happens here.

mod account;
mod act;
mod api;
mod cgroup;
mod cli;
mod columns;
mod config;
mod kernel;
mod keyfile;
mod manifest;
mod metrics;
mod picture;
mod pki;
mod plan;
mod pod;
mod ready;
mod run;
mod runtime;
mod store;

use std::{path::PathBuf, pin::Pin, process::ExitCode};

use clap::{CommandFactory, Parser, Subcommand};

use config::Config;

/// Runs Kubernetes Pods on this box and says exactly why each container died.
#[derive(Debug, Parser)]
#[command(name = "carob", version)]
struct Cli {
    /// The configuration file [default: /etc/carob/config.json, if it exists]
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    #[command(flatten)]
    Run(run::Verb),
    #[command(hide = true, subcommand)]
    Kernel(kernel::Verb),
    #[command(hide = true, subcommand)]
    Runtime(runtime::Verb),
    #[command(flatten)]
    Client(cli::Verb),
    #[command(flatten)]
    Guide(cli::guide::Verb),
}

fn main() -> ExitCode {
    let Cli { config, verb } = Cli::parse();
    let config = || Config::load(config.as_deref());
    let ended = match verb {
        // Fresh single-threaded processes: no async runtime, no threads.
        Verb::Runtime(verb) => Ok(runtime::run(&verb)),
        Verb::Kernel(verb) => Ok(kernel::run(&verb)),
        Verb::Guide(verb) => verb.run(Cli::command()),
        Verb::Run(verb) => threads(async { run::run(verb, config()?).await.map(|()| ExitCode::SUCCESS) }),
        Verb::Client(verb) => threads(async { cli::run(verb, &config()?).await }),
    };
    ended.unwrap_or_else(|e| {
        eprintln!("carob: {e:#}");
        ExitCode::FAILURE
    })
}

fn threads(work: impl Future<Output = anyhow::Result<ExitCode>>) -> anyhow::Result<ExitCode> {
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    // In a box: block_on is made once for each kind of runtime, and would hold a copy of all the work each time.
    let work: Pin<Box<dyn Future<Output = _>>> = Box::pin(work);
    // Its clock is for the limits of connections alone: a descriptor for each would be too many.
    let runtime = runtime.enable_io().enable_time();
    runtime.worker_threads(2).thread_stack_size(config::STACK).build()?.block_on(work)
}
