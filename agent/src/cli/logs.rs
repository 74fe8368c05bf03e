//! `carob logs`: what a container wrote, as it was written.

use std::{process::ExitCode, str::FromStr};

use hyper::Method;
use jiff::SignedDuration;
use serde_json::Value;

use super::{
    Scope,
    client::{Client, Kind, Payload, query},
    get::one,
    output::{Listener, note, say_bytes},
};

/// Which container is meant if none is named.
const DEFAULT_CONTAINER: &str = "kubectl.kubernetes.io/default-container";

/// Print the output of a container
#[derive(Debug, clap::Args)]
pub(crate) struct Logs {
    #[arg(value_name = "POD")]
    pod: String,
    #[command(flatten)]
    scope: Scope,
    /// The container, if the pod has several
    #[arg(short, long)]
    container: Option<String>,
    /// Go on until the container ends
    #[arg(short, long)]
    follow: bool,
    /// The output of the attempt before the current one
    #[arg(short, long)]
    previous: bool,
    /// Only so many lines at the end
    #[arg(long, value_name = "LINES")]
    tail: Option<u64>,
    /// The time before each line
    #[arg(long)]
    timestamps: bool,
    /// Only what is not older, like 30s, 5m or 2h
    #[arg(long, value_name = "DURATION")]
    since: Option<Span>,
    /// Only so many bytes
    #[arg(long, value_name = "BYTES")]
    limit_bytes: Option<u64>,
}

/// A length of time in whole seconds, at least one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Span(u64);

impl FromStr for Span {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is not a duration like 30s, 5m or 1h30m");
        let span: SignedDuration = text.parse().map_err(|_| wrong())?;
        let rounded_up = span.as_secs() + i64::from(span.subsec_nanos() > 0);
        u64::try_from(rounded_up).ok().filter(|seconds| *seconds > 0).map(Self).ok_or_else(wrong)
    }
}

impl Logs {
    pub(super) async fn run(self, client: &Client) -> anyhow::Result<ExitCode> {
        let pod = one(client, Kind::Pod, &self.scope.namespace, &self.pod).await?;
        let container = match &self.container {
            Some(name) => Some(name.clone()),
            None => default_container(&pod),
        };
        let path = self.path(container);
        let mut body = client.send(Method::GET, &path, Payload::Nothing).await?.into_body();
        while let Some(piece) = client.piece(&mut body).await? {
            if say_bytes(&piece)? == Listener::Gone {
                break;
            }
        }
        Ok(ExitCode::SUCCESS)
    }

    fn path(&self, container: Option<String>) -> String {
        let yes = |wanted: bool| wanted.then(|| "true".to_owned());
        let number = |number: Option<u64>| number.map(|number| number.to_string());
        let query = query(&[
            ("container", container),
            ("follow", yes(self.follow)),
            ("previous", yes(self.previous)),
            ("timestamps", yes(self.timestamps)),
            ("tailLines", number(self.tail)),
            ("sinceSeconds", number(self.since.map(|Span(seconds)| seconds))),
            ("limitBytes", number(self.limit_bytes)),
        ]);
        format!("{}/log{query}", Kind::Pod.one(&self.scope.namespace, &self.pod))
    }
}

/// Chooses as kubectl does, and says so if there was a choice.
pub(super) fn default_container(pod: &Value) -> Option<String> {
    let containers = pod["spec"]["containers"].as_array()?;
    let names: Vec<&str> = containers.iter().filter_map(|container| container["name"].as_str()).collect();
    let annotated = pod["metadata"]["annotations"].get(DEFAULT_CONTAINER).and_then(Value::as_str);
    let chosen = annotated.or(names.first().copied())?;
    if annotated.is_none() && names.len() > 1 {
        note(&format!("Defaulted container {chosen:?} out of: {}", names.join(", ")));
    }
    Some(chosen.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_read_as_people_write_them() {
        let rows = [
            ("30s", Some(30)),
            ("5m", Some(300)),
            ("1h30m", Some(5400)),
            ("1500ms", Some(2)),
            ("0s", None),
            ("-5m", None),
            ("5", None),
            ("soon", None),
        ];
        for (text, expected) in rows {
            assert_eq!(text.parse::<Span>().ok(), expected.map(Span), "{text}");
        }
    }
}
