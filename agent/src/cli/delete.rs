//! `carob delete`: asks for the end of objects, and waits until they are gone.

use std::process::ExitCode;

use hyper::Method;
use serde_json::{Value, json};

use super::{
    client::{Client, Kind, Payload},
    get::{Word, absent},
    output::say,
    source,
};
use crate::manifest::ObjectName;

/// Delete objects, and wait until they are gone
#[derive(Debug, clap::Args)]
pub(crate) struct Delete {
    /// What to delete
    #[arg(
        value_enum,
        value_name = "KIND",
        required_unless_present = "files",
        conflicts_with = "files",
        requires = "names"
    )]
    kind: Option<Word>,
    #[arg(value_name = "NAME")]
    names: Vec<String>,
    /// The objects in a file, a folder, or - for standard input
    #[arg(short = 'f', long = "filename", value_name = "FILE|DIR|-")]
    files: Vec<String>,
    /// Namespace of the objects
    #[arg(short, long)]
    namespace: Option<String>,
    /// Seconds until containers that have not ended are killed
    #[arg(long, value_name = "SECONDS", conflicts_with = "now")]
    grace_period: Option<u32>,
    /// The same as --grace-period=1
    #[arg(long)]
    now: bool,
    /// Whether to wait until the objects are gone
    #[arg(long, value_name = "BOOL", default_value_t = true, action = clap::ArgAction::Set)]
    wait: bool,
    /// An object that is not there is as good as deleted
    #[arg(long)]
    ignore_not_found: bool,
}

/// An object that is to go.
#[derive(Debug, PartialEq, Eq)]
struct Target {
    kind: Kind,
    namespace: String,
    name: String,
}

impl Delete {
    pub(super) async fn run(self, client: &Client) -> anyhow::Result<ExitCode> {
        let mut doomed = Vec::new();
        // All are asked for before any is waited for: their grace periods run side by side.
        for target in self.targets()? {
            if let Some(uid) = self.ask(client, &target).await? {
                doomed.push((target, uid));
            }
        }
        for (Target { kind, namespace, name }, uid) in doomed {
            let title = format!("{} {name:?}", kind.word());
            if self.wait {
                client.fetch(&kind.gone(&namespace, &name, &uid)).await?;
                say(&format!("{title} deleted\n"))?;
            } else {
                say(&format!("{title} is being deleted\n"))?;
            }
        }
        Ok(ExitCode::SUCCESS)
    }

    fn targets(&self) -> anyhow::Result<Vec<Target>> {
        if let Some(kind) = self.kind {
            let namespace = self.namespace.as_deref().unwrap_or("default");
            let target = |name: &String| Target {
                kind: kind.kind(),
                namespace: namespace.to_owned(),
                name: name.clone(),
            };
            return Ok(self.names.iter().map(target).collect());
        }
        let mut targets = Vec::new();
        for object in source::objects(&self.files)? {
            let ObjectName::Given(name) = object.name else {
                anyhow::bail!("{}: an object with generateName cannot be found again by its file", object.at);
            };
            let own = object.value["metadata"]["namespace"].as_str().filter(|own| !own.is_empty());
            let namespace = own.or(self.namespace.as_deref()).unwrap_or(&object.namespace).to_owned();
            targets.push(Target { kind: object.kind.into(), namespace, name });
        }
        // With a namespace goes all that is in it: what is asked for after it may be gone already.
        targets.sort_by_key(|target| !target.kind.is_namespaced());
        Ok(targets)
    }

    /// The uid of the object that is being deleted now; `None` if there was none and that is fine.
    async fn ask(&self, client: &Client, target: &Target) -> anyhow::Result<Option<String>> {
        let Target { kind, namespace, name } = target;
        let path = kind.one(namespace, name);
        match client.call(Method::DELETE, &path, Payload::Json(self.options())).await {
            // What is gone at once is answered with a Status.
            Ok(answer) => {
                let uid = answer["metadata"]["uid"].as_str().or(answer["details"]["uid"].as_str());
                Ok(Some(uid.unwrap_or_default().to_owned()))
            }
            Err(error) if error.is_not_found() && self.ignore_not_found => Ok(None),
            Err(error) if error.is_not_found() => Err(absent(*kind, namespace, name)),
            Err(error) => Err(error.into()),
        }
    }

    fn options(&self) -> Value {
        let mut options = json!({"kind": "DeleteOptions", "apiVersion": "v1"});
        if let Some(grace) = self.grace_period.or(self.now.then_some(1)) {
            options["gracePeriodSeconds"] = json!(grace);
        }
        options
    }
}
