//! `carob exec` and `carob attach`: a command in a container that runs, whose exit code becomes ours, and a container's own
//! streams.

use std::process::ExitCode;

use super::{
    Scope,
    client::{Client, Kind, query},
    get::one,
    logs::default_container,
    session::Streams,
};

/// Run a command in a container
#[derive(Debug, clap::Args)]
pub(crate) struct Exec {
    #[arg(value_name = "POD")]
    pod: String,
    #[command(flatten)]
    scope: Scope,
    /// The container, if the pod has several
    #[arg(short, long)]
    container: Option<String>,
    #[command(flatten)]
    streams: Streams,
    /// The command and its arguments
    #[arg(last = true, required = true, value_name = "COMMAND")]
    command: Vec<String>,
}

impl Exec {
    pub(super) async fn run(self, client: &Client) -> anyhow::Result<ExitCode> {
        let Self { pod, scope, container, streams, command } = self;
        let mut pairs = streams.query();
        pairs.extend(command.into_iter().map(|word| ("command", Some(word))));
        let path = path(client, (&scope, &pod), container, "exec", pairs).await?;
        streams.carry(client, &path).await
    }
}

/// Take part in a container that runs: its output from now on, its input
#[derive(Debug, clap::Args)]
pub(crate) struct Attach {
    #[arg(value_name = "POD")]
    pod: String,
    #[command(flatten)]
    scope: Scope,
    /// The container, if the pod has several
    #[arg(short, long)]
    container: Option<String>,
    #[command(flatten)]
    streams: Streams,
}

impl Attach {
    pub(super) async fn run(self, client: &Client) -> anyhow::Result<ExitCode> {
        let Self { pod, scope, container, streams } = self;
        let path = path(client, (&scope, &pod), container, "attach", streams.query()).await?;
        streams.carry(client, &path).await
    }
}

/// Of the request, with the container that is meant if none is named.
async fn path(
    client: &Client,
    (scope, name): (&Scope, &str),
    container: Option<String>,
    verb: &str,
    mut pairs: Vec<(&str, Option<String>)>,
) -> anyhow::Result<String> {
    let pod = one(client, Kind::Pod, &scope.namespace, name).await?;
    pairs.push(("container", container.or_else(|| default_container(&pod))));
    Ok(format!("{}/{verb}{}", Kind::Pod.one(&scope.namespace, name), query(&pairs)))
}
