//! The client's verbs. They speak with the agent over its unix socket, or look at the box (`check`), and print.
//!
//! Nothing here knows how a pod is run: the same could be done with curl.

mod apply;
mod archive;
mod autopsy;
mod check;
mod client;
mod configs;
mod delete;
mod describe;
mod events;
mod exec;
mod get;
pub(crate) mod guide;
mod image;
mod kubeconfig;
mod lines;
mod logs;
mod output;
mod pull;
mod session;
mod sink;
mod source;
mod table;
mod top;
mod why;
mod workloads;

use std::process::ExitCode;

use jiff::Timestamp;

use self::{client::Client, output::say};
use crate::config::Config;

/// What a user can ask for.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Verb {
    /// Create the objects that manifests describe
    Apply(apply::Apply),
    /// List objects, or show some of them
    Get(get::Get),
    /// Show all that is known of an object
    Describe(describe::Describe),
    /// Print the output of a container
    Logs(logs::Logs),
    /// Run a command in a container
    Exec(exec::Exec),
    /// Take part in a container that runs: its output from now on, its input
    Attach(exec::Attach),
    /// Delete objects, and wait until they are gone
    Delete(delete::Delete),
    /// Say how and why the containers of a pod ended, also of one that is gone
    Why(why::Why),
    /// Show what pods or the box use now
    #[command(subcommand)]
    Top(top::Top),
    /// Show what happened to objects, the newest last
    Events(events::Events),
    /// Load, list, verify, export, remove and prune images
    #[command(subcommand)]
    Image(image::Image),
    /// Make a certificate for kubectl or Prometheus, and write it down with all else they need
    Kubeconfig(kubeconfig::Kubeconfig),
    /// Show what this box has, what it lacks, and what that costs
    Check(check::Check),
    /// Print the version of this program and of the agent
    Version,
}

/// Which namespace is meant.
#[derive(Clone, Debug, clap::Args)]
struct Scope {
    /// Namespace of the objects
    #[arg(short, long, value_name = "NAMESPACE", default_value = "default")]
    namespace: String,
}

/// Carries out a verb. An error is for `main` to print.
pub(crate) async fn run(verb: Verb, config: &Config) -> anyhow::Result<ExitCode> {
    let client = Client::new(config.socket());
    match verb {
        Verb::Apply(verb) => verb.run(&client).await,
        Verb::Get(verb) => verb.run(&client, now()).await,
        Verb::Describe(verb) => verb.run(&client, now()).await,
        Verb::Logs(verb) => verb.run(&client).await,
        Verb::Exec(verb) => verb.run(&client).await,
        Verb::Attach(verb) => verb.run(&client).await,
        Verb::Delete(verb) => verb.run(&client).await,
        Verb::Why(verb) => verb.run(&client).await,
        Verb::Top(verb) => verb.run(&client).await,
        Verb::Events(verb) => verb.run(&client, now()).await,
        Verb::Image(verb) => verb.run(&client, now()).await,
        Verb::Kubeconfig(verb) => verb.run(&client).await,
        Verb::Check(verb) => verb.run(&client, config).await,
        Verb::Version => version(&client).await,
    }
}

/// The client's clock, read once a command: ages are differences to it.
#[expect(clippy::disallowed_methods, reason = "the loop's clock is in another process")]
fn now() -> Timestamp {
    Timestamp::now()
}

async fn version(client: &Client) -> anyhow::Result<ExitCode> {
    let mut text = format!("client: {}\n", env!("CARGO_PKG_VERSION"));
    match client.fetch("/version").await {
        Ok(version) => {
            let version = version["gitVersion"].as_str().unwrap_or("unknown");
            text.push_str(&format!("agent:  {version}\n"));
        }
        Err(error) => text.push_str(&format!("agent:  {:#}\n", anyhow::Error::new(error))),
    }
    say(&text)?;
    Ok(ExitCode::SUCCESS)
}
