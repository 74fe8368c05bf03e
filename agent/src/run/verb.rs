//! `carob agent`, `drain` and `uninstall`: the verbs that do something to this box themselves.

use clap::Subcommand;
use tracing_subscriber::{
    filter::{LevelFilter, Targets},
    fmt,
    prelude::*,
};

use super::{clock, drain, start, uninstall};
use crate::{act::pull, config::Config};

/// Verbs of the agent's side.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Looks after the pods of this box; started by systemd as carob.service
    Agent,
    /// Stops all pods in order, for a box that shuts down; started by systemd
    #[command(hide = true)]
    Drain,
    /// Pulls one image into scratch space; started by the agent
    #[command(hide = true)]
    PullImage,
    /// Stops all pods and takes away what carob has made on this box
    Uninstall {
        /// Images, volumes and the ledger too
        #[arg(long)]
        purge: bool,
    },
}

/// Runs a verb to its end.
pub(crate) async fn run(verb: Verb, config: Config) -> anyhow::Result<()> {
    log_to_stderr();
    match verb {
        Verb::Agent => start::agent(config).await,
        Verb::PullImage => pull::child::run(clock::pausing).await,
        Verb::Drain => drain::drain(config).await,
        Verb::Uninstall { purge: false } => uninstall::uninstall(&config, uninstall::Data::Keep).await,
        Verb::Uninstall { purge: true } => uninstall::uninstall(&config, uninstall::Data::Purge).await,
    }
}

fn log_to_stderr() {
    let (wanted, fault) = match Config::log_filter().parse() {
        Ok(wanted) => (wanted, None),
        Err(e) => (Targets::new().with_default(LevelFilter::INFO), Some(e)),
    };
    let lines = fmt::layer().with_writer(std::io::stderr).with_ansi(false).without_time();
    tracing_subscriber::registry().with(lines.with_filter(wanted)).init();
    if let Some(e) = fault {
        tracing::warn!(error = %e, "CAROB_LOG cannot be read");
    }
}
