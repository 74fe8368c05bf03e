//! `carob events`: what happened to objects, as kubectl shows it.

use std::process::ExitCode;

use clap::ValueEnum;
use hyper::Method;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::{
    Scope,
    client::{Client, Error, query},
    get::Word,
    lines::Lines,
    output::{self, Listener, note, say, say_bytes},
    table::Table,
};
use crate::columns::{event::seen, text};

/// Show what happened to objects, the newest last
#[derive(Debug, clap::Args)]
pub(crate) struct Events {
    #[command(flatten)]
    scope: Scope,
    /// Those of every namespace
    #[arg(short = 'A', long, conflicts_with = "namespace")]
    all_namespaces: bool,
    /// Only those about this object
    #[arg(long = "for", value_name = "KIND/NAME", value_parser = object)]
    about: Option<(String, String)>,
    /// Only those of this type
    #[arg(long = "types", value_enum, value_delimiter = ',', value_name = "TYPE")]
    types: Vec<Type>,
    /// How to print them
    #[arg(short, long, value_enum)]
    output: Option<output::Format>,
    /// Go on with what happens from now on; with an output format a document each
    #[arg(short, long, visible_short_alias = 'w', visible_alias = "watch")]
    follow: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
#[value(rename_all = "PascalCase")]
enum Type {
    Normal,
    Warning,
}

/// `pod/web` as an event names it.
fn object(text: &str) -> Result<(String, String), String> {
    let (word, name) = text.split_once('/').ok_or("KIND/NAME is needed, as in pod/web")?;
    if word.eq_ignore_ascii_case("node") {
        return Ok(("Node".to_owned(), name.to_owned()));
    }
    Ok((Word::from_str(word, true)?.kind().kind().to_owned(), name.to_owned()))
}

impl Events {
    pub(super) async fn run(self, client: &Client, now: Timestamp) -> anyhow::Result<ExitCode> {
        let namespace = (!self.all_namespaces).then_some(self.scope.namespace.as_str());
        let (kind, name) = self.about.clone().unzip();
        if self.follow {
            let path = path(namespace, kind.as_deref(), name.as_deref(), Reading::Follow);
            return self.follow(client, &path).await;
        }
        let mut events = fetch(client, namespace, kind.as_deref(), name.as_deref()).await?;
        events.retain(|event| self.wants(event));
        match self.output {
            Some(format) => {
                let list = json!({"apiVersion": "v1", "kind": "List", "metadata": {}, "items": events});
                say(&format.text(&list))?;
            }
            None if events.is_empty() && self.all_namespaces => note("No events found"),
            None if events.is_empty() => {
                note(&format!("No events found in {} namespace.", self.scope.namespace));
            }
            None => say(&self.table(&events, now).render(output::width()))?,
        }
        Ok(ExitCode::SUCCESS)
    }

    fn wants(&self, event: &Value) -> bool {
        let named = |one: &Type| event["type"] == format!("{one:?}");
        self.types.is_empty() || self.types.iter().any(named)
    }

    /// Those that there are, then each as it is told.
    async fn follow(&self, client: &Client, path: &str) -> anyhow::Result<ExitCode> {
        let mut lines = Lines::of(client, Method::GET, path).await?;
        while let Some(told) = lines.next().await? {
            let event = &told["object"];
            let is_news = told["type"] != "DELETED";
            if is_news && self.wants(event) && say_bytes(self.line(event).as_bytes())? == Listener::Gone {
                return Ok(ExitCode::SUCCESS);
            }
        }
        anyhow::bail!("the agent has ended, and with it the stream of events")
    }

    /// One event, in columns that do not depend on the others.
    fn line(&self, event: &Value) -> String {
        if let Some(format) = self.output {
            return format.document(event);
        }
        let about = &event["involvedObject"];
        let object = format!("{}/{}", text(&about["kind"]), text(&about["name"]));
        let cells = [text(&event["lastTimestamp"]), text(&event["type"]), text(&event["reason"]), object];
        let [at, weight, reason, object] = cells;
        let namespace = self.all_namespaces.then(|| format!("{:<16}", text(&event["metadata"]["namespace"])));
        let namespace = namespace.unwrap_or_default();
        let message = text(&event["message"]);
        format!("{namespace}{at:<22}{weight:<9}{reason:<26}{object:<32}{message}\n")
    }

    fn table(&self, events: &[Value], now: Timestamp) -> Table {
        let mut heading = vec!["LAST SEEN", "TYPE", "REASON", "OBJECT", "MESSAGE"];
        if self.all_namespaces {
            heading.insert(0, "NAMESPACE");
        }
        let mut table = Table::new(heading);
        for event in events {
            let about = &event["involvedObject"];
            let object = format!("{}/{}", text(&about["kind"]), text(&about["name"]));
            let mut cells = vec![
                seen(event, now),
                text(&event["type"]),
                text(&event["reason"]),
                object,
                text(&event["message"]),
            ];
            if self.all_namespaces {
                cells.insert(0, text(&event["metadata"]["namespace"]));
            }
            table.row(cells);
        }
        table
    }
}

/// Once, or all the time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reading {
    Once,
    Follow,
}

fn path(namespace: Option<&str>, kind: Option<&str>, name: Option<&str>, reading: Reading) -> String {
    let terms = [("involvedObject.kind", kind), ("involvedObject.name", name)];
    let terms: Vec<String> =
        terms.iter().filter_map(|(key, value)| Some(format!("{key}={}", (*value)?))).collect();
    let query = query(&[
        ("fieldSelector", (!terms.is_empty()).then(|| terms.join(","))),
        ("watch", (reading == Reading::Follow).then(|| "true".to_owned())),
    ]);
    match namespace {
        Some(namespace) => format!("/api/v1/namespaces/{}/events{query}", super::client::encoded(namespace)),
        None => format!("/api/v1/events{query}"),
    }
}

/// The events about an object, the newest last.
pub(super) async fn fetch(
    client: &Client,
    namespace: Option<&str>,
    kind: Option<&str>,
    name: Option<&str>,
) -> Result<Vec<Value>, Error> {
    let path = path(namespace, kind, name, Reading::Once);
    match client.fetch(&path).await?["items"].take() {
        Value::Array(items) => Ok(items),
        _ => Ok(Vec::new()),
    }
}

/// The part of `describe` that lists them.
pub(super) fn section(events: &[Value], now: Timestamp) -> String {
    if events.is_empty() {
        return "Events:          <none>\n".to_owned();
    }
    let mut table = Table::new(["Type", "Reason", "Age", "From", "Message"]);
    table.row(["----", "------", "----", "----", "-------"].map(str::to_owned));
    for event in events {
        let from = text(&event["source"]["component"]);
        table.row([
            text(&event["type"]),
            text(&event["reason"]),
            seen(event, now),
            from,
            text(&event["message"]),
        ]);
    }
    let lines = table.render(None);
    let lines: String = lines.lines().map(|line| format!("  {line}\n")).collect();
    format!("Events:\n{lines}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(count: u64, message: &str) -> Value {
        json!({
            "type": "Warning", "reason": "BackOff", "message": message, "count": count,
            "firstTimestamp": "2026-11-23T10:00:00Z", "lastTimestamp": "2026-11-23T10:04:00Z",
            "source": {"component": "carob"},
            "involvedObject": {"kind": "Pod", "name": "web"},
        })
    }

    #[test]
    fn events_are_told_with_their_age_and_how_often() {
        let now = "2026-11-23T10:05:00Z".parse().unwrap();
        let expected = "\
Events:
  Type      Reason    Age                From    Message
  ----      ------    ----               ----    -------
  Warning   BackOff   60s                carob   once
  Warning   BackOff   60s (x3 over 5m)   carob   again
";
        assert_eq!(section(&[event(1, "once"), event(3, "again")], now), expected);
        assert_eq!(section(&[], now), "Events:          <none>\n");
    }

    #[test]
    fn an_object_is_named_as_elsewhere() {
        let rows = [
            ("pod/web", Ok(("Pod", "web"))),
            ("deploy/a", Ok(("Deployment", "a"))),
            ("pvc/data", Ok(("PersistentVolumeClaim", "data"))),
            ("node/box", Ok(("Node", "box"))),
            ("web", Err(())),
            ("thing/web", Err(())),
        ];
        for (text, expected) in rows {
            let found = object(text).map_err(|_| ());
            assert_eq!(found, expected.map(|(kind, name)| (kind.to_owned(), name.to_owned())), "{text}");
        }
    }
}
