//! `carob apply`: checks every document of every file, compares with what the agent has, then creates what is missing.

use std::{collections::BTreeMap, process::ExitCode};

use anyhow::bail;
use hyper::Method;
use serde_json::{Value, json};

use super::{
    client::{Client, Kind, Payload},
    output::{note, say},
    source,
};
use crate::{
    manifest::{Object, ObjectName},
    pod::annotation,
};

/// Create the objects that manifests describe
#[derive(Debug, clap::Args)]
pub(crate) struct Apply {
    /// A file, a folder, or - for standard input
    #[arg(short = 'f', long = "filename", value_name = "FILE|DIR|-", required = true)]
    files: Vec<String>,
    /// Only check: here, without an agent, or by asking the agent
    #[arg(long, value_enum, value_name = "WHERE")]
    dry_run: Option<DryRun>,
    /// Namespace of objects that name none
    #[arg(short, long)]
    namespace: Option<String>,
}

/// Where to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum DryRun {
    Client,
    Server,
}

/// An object that is wanted.
#[derive(Clone, Debug)]
struct Wanted {
    kind: Kind,
    namespace: String,
    name: ObjectName,
    /// With all defaults.
    object: Value,
    /// Where it is written.
    from: String,
}

/// What is to be done for one object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Plan {
    Create,
    Change,
    Keep,
}

impl Apply {
    pub(super) async fn run(self, client: &Client) -> anyhow::Result<ExitCode> {
        let wanted = wanted(source::objects(&self.files)?, self.namespace.as_deref())?;
        if self.dry_run == Some(DryRun::Client) {
            let line = |one: &Wanted| format!("{} created (dry run)\n", one.title());
            say(&wanted.iter().map(line).collect::<String>())?;
            return Ok(ExitCode::SUCCESS);
        }
        let plans = plans(client, &wanted).await?;
        for (wanted, plan) in wanted.iter().zip(plans) {
            let said = match plan {
                Plan::Keep => format!("{} unchanged\n", wanted.title()),
                Plan::Create => create(client, wanted, self.dry_run).await?,
                Plan::Change => change(client, wanted, self.dry_run).await?,
            };
            say(&said)?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl Wanted {
    /// `pod/web`; the beginning of the name if the rest is the agent's to choose.
    fn title(&self) -> String {
        match &self.name {
            ObjectName::Given(name) => format!("{}/{name}", self.kind.word()),
            ObjectName::Generated(start) => format!("{}/{start}*", self.kind.word()),
        }
    }

    /// To be said after its title.
    fn place(&self) -> String {
        if self.kind.is_namespaced() { format!(" in namespace {:?}", self.namespace) } else { String::new() }
    }
}

fn wanted(objects: Vec<Object>, namespace: Option<&str>) -> anyhow::Result<Vec<Wanted>> {
    let mut all = Vec::new();
    let mut seen = BTreeMap::new();
    for object in objects {
        let wanted = complete(object, namespace)?;
        if let ObjectName::Given(name) = &wanted.name {
            let key = (wanted.kind.word(), wanted.namespace.clone(), name.clone());
            if let Some(first) = seen.insert(key, wanted.from.clone()) {
                bail!("{}: {} is in {first} already", wanted.from, wanted.title());
            }
        }
        all.push(wanted);
    }
    Ok(all)
}

/// Fills in defaults and the namespace.
fn complete(object: Object, asked: Option<&str>) -> anyhow::Result<Wanted> {
    let Object { mut value, kind, namespace, name, at } = object;
    let own = value["metadata"]["namespace"].as_str().filter(|own| !own.is_empty());
    let namespace = match (own, asked.filter(|_| kind.is_namespaced())) {
        (Some(own), Some(asked)) if own != asked => {
            bail!("{at}: the object is in namespace {own:?}, and -n says {asked:?}")
        }
        (None, Some(asked)) => asked.to_owned(),
        _ => namespace,
    };
    if kind.is_namespaced() {
        value["metadata"]["namespace"] = json!(namespace);
    }
    let checked = kind.check(&value)?;
    for text in checked.notes {
        note(&format!("note: {at}: {text}"));
    }
    Ok(Wanted { kind: kind.into(), namespace, name, object: checked.object, from: at.to_string() })
}

/// Decides for all of them before anything is done for one.
async fn plans(client: &Client, all: &[Wanted]) -> anyhow::Result<Vec<Plan>> {
    let (mut plans, mut objections) = (Vec::new(), Vec::new());
    for wanted in all {
        match plan(wanted, existing(client, wanted).await?.as_ref()) {
            Ok(Plan::Change) => match change(client, wanted, Some(DryRun::Server)).await {
                Ok(_) => plans.push(Plan::Change),
                Err(refused) => objections.push(unchangeable(wanted, &refused)),
            },
            Ok(plan) => plans.push(plan),
            Err(objection) => objections.push(objection),
        }
    }
    if objections.is_empty() { Ok(plans) } else { bail!(objections.join("\n")) }
}

async fn existing(client: &Client, wanted: &Wanted) -> anyhow::Result<Option<Value>> {
    let ObjectName::Given(name) = &wanted.name else { return Ok(None) };
    match client.fetch(&wanted.kind.one(&wanted.namespace, name)).await {
        Ok(object) => Ok(Some(object)),
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn plan(wanted: &Wanted, existing: Option<&Value>) -> Result<Plan, String> {
    let Some(existing) = existing else { return Ok(Plan::Create) };
    let (title, place) = (wanted.title(), wanted.place());
    let metadata = &existing["metadata"];
    if let Some(file) = metadata["annotations"].get(annotation::MANIFEST).and_then(Value::as_str) {
        return Err(format!("{title}{place} comes from the file {file}: change that instead"));
    }
    if !metadata["deletionTimestamp"].is_null() {
        return Err(format!("{title}{place} is being deleted: apply again when it is gone"));
    }
    if same(&wanted.object, existing) {
        return Ok(Plan::Keep);
    }
    Ok(Plan::Change)
}

/// The agent's own words, and what to do.
fn unchangeable(wanted: &Wanted, refused: &anyhow::Error) -> String {
    let (title, place, from) = (wanted.title(), wanted.place(), &wanted.from);
    let option =
        if wanted.kind.is_namespaced() { format!(" -n {}", wanted.namespace) } else { String::new() };
    let (argument, name) = (wanted.kind.argument(), title.split('/').next_back().unwrap_or_default());
    format!(
        "{title}{place} differs from {from} in what cannot be changed in place: delete it first \
         (carob delete {argument} {name}{option})\n  {refused}"
    )
}

/// Whether what a user can say of an object is the same. The agent fills in the node by itself.
fn same(wanted: &Value, existing: &Value) -> bool {
    let mut spec = existing["spec"].clone();
    if wanted["spec"]["nodeName"].is_null()
        && let Some(spec) = spec.as_object_mut()
    {
        spec.remove("nodeName");
    }
    let empty = |value: &Value| value.is_null() || value.as_object().is_some_and(serde_json::Map::is_empty);
    let alike = |field: &str| {
        let (wanted, existing) = (&wanted["metadata"][field], &existing["metadata"][field]);
        wanted == existing || empty(wanted) && empty(existing)
    };
    let same_data = ["data", "binaryData", "immutable", "type"].iter().all(|field| {
        wanted[*field] == existing[*field] || empty(&wanted[*field]) && empty(&existing[*field])
    });
    wanted["spec"] == spec && same_data && alike("labels") && alike("annotations")
}

async fn create(client: &Client, wanted: &Wanted, dry_run: Option<DryRun>) -> anyhow::Result<String> {
    let (query, remark) = match dry_run {
        Some(_) => ("?dryRun=All", " (server dry run)"),
        None => ("", ""),
    };
    let path = format!("{}{query}", wanted.kind.list(Some(&wanted.namespace)));
    let created = client.call(Method::POST, &path, Payload::Json(wanted.object.clone())).await?;
    let name = created["metadata"]["name"].as_str().unwrap_or_default();
    Ok(format!("{}/{name} created{remark}\n", wanted.kind.word()))
}

async fn change(client: &Client, wanted: &Wanted, dry_run: Option<DryRun>) -> anyhow::Result<String> {
    let (query, remark) = match dry_run {
        Some(_) => ("?dryRun=All", " (server dry run)"),
        None => ("", ""),
    };
    let ObjectName::Given(name) = &wanted.name else { bail!("an object without a name cannot be changed") };
    let path = format!("{}{query}", wanted.kind.one(&wanted.namespace, name));
    client.call(Method::PUT, &path, Payload::Json(wanted.object.clone())).await?;
    Ok(format!("{} configured{remark}\n", wanted.title()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest;

    fn pod(extra: Value) -> Value {
        let mut pod = json!({
            "metadata": {"name": "web", "namespace": "shop", "uid": "u", "resourceVersion": "7"},
            "spec": {"containers": [{"name": "c"}]},
        });
        for (at, value) in extra.as_object().unwrap() {
            let (parent, key) = at.rsplit_once('/').unwrap();
            pod.pointer_mut(parent).unwrap()[key] = value.clone();
        }
        pod
    }

    fn check(wanted: Value, existing: Option<Value>, expected: Result<Plan, &str>) {
        let name = ObjectName::Given("web".to_owned());
        let from = "a.yaml:1:1".to_owned();
        let wanted = Wanted { kind: Kind::Pod, namespace: "shop".to_owned(), name, object: wanted, from };
        match (plan(&wanted, existing.as_ref()), expected) {
            (Err(said), Err(word)) => assert!(said.contains(word), "{said}"),
            (found, expected) => assert_eq!(found, expected.map_err(str::to_owned), "{existing:?}"),
        }
    }

    #[test]
    fn what_is_there_and_the_same_is_kept_and_what_differs_is_changed() {
        let plain = || pod(json!({}));
        check(plain(), None, Ok(Plan::Create));
        check(plain(), Some(plain()), Ok(Plan::Keep));
        check(
            plain(),
            Some(pod(json!({"/spec/nodeName": "box", "/status": {"phase": "Running"}}))),
            Ok(Plan::Keep),
        );
        check(pod(json!({"/spec/nodeName": "box"})), Some(plain()), Ok(Plan::Change));
        check(pod(json!({"/metadata/labels": {}})), Some(plain()), Ok(Plan::Keep));
        // Whether the change may be is the agent's to say.
        check(pod(json!({"/metadata/labels": {"a": "b"}})), Some(plain()), Ok(Plan::Change));
        check(pod(json!({"/metadata/annotations": {"a": "b"}})), Some(plain()), Ok(Plan::Change));
        check(pod(json!({"/spec/restartPolicy": "Never"})), Some(plain()), Ok(Plan::Change));
        let deleted = pod(json!({"/metadata/deletionTimestamp": "2026-11-23T10:00:00Z"}));
        check(plain(), Some(deleted), Err("is being deleted"));
        let of_file =
            pod(json!({"/metadata/annotations": {"carob.dev/manifest": "/etc/carob/manifests/w.yaml"}}));
        check(plain(), Some(of_file), Err("/etc/carob/manifests/w.yaml"));
    }

    #[test]
    fn a_change_that_the_agent_refuses_comes_with_advice() {
        let (name, object) = (ObjectName::Given("web".to_owned()), pod(json!({})));
        let wanted = Wanted {
            kind: Kind::Pod,
            namespace: "shop".to_owned(),
            name,
            object,
            from: "a.yaml:1:1".to_owned(),
        };
        let said = unchangeable(&wanted, &anyhow::anyhow!("spec: Forbidden"));
        for part in ["a.yaml:1:1", "carob delete pod web -n shop", "spec: Forbidden"] {
            assert!(said.contains(part), "{said}");
        }
    }

    #[test]
    fn namespaces_of_file_and_flag_must_agree() {
        let read = |namespace: &str| {
            let text = format!(
                "apiVersion: v1\nkind: Pod\nmetadata: {{name: web{namespace}}}\nspec: {{containers: [{{name: c, image: i}}]}}"
            );
            manifest::read("a.yaml", text.as_bytes()).unwrap()
        };
        let rows = [
            ("", None, Some("default")),
            ("", Some("shop"), Some("shop")),
            (", namespace: car", None, Some("car")),
            (", namespace: car", Some("car"), Some("car")),
            (", namespace: car", Some("shop"), None),
            ("", Some("not a name"), None),
        ];
        for (text, asked, expected) in rows {
            let found = wanted(read(text), asked).ok().map(|all| all[0].namespace.clone());
            assert_eq!(found.as_deref(), expected, "{text} {asked:?}");
        }
        let twice = read("").into_iter().chain(read(", namespace: default")).collect();
        assert!(wanted(twice, None).unwrap_err().to_string().contains("already"));
    }
}
