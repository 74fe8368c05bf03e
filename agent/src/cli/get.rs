//! `carob get`: lists of objects, as tables or as they are.

use std::process::ExitCode;

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::{
    columns::{self, Breadth, Column, text},
    pod::workload::WorkloadKind,
};

use super::{
    Scope,
    client::{Client, Error, Kind, query},
    lines::Changes,
    output::{self, Listener, note, say, say_bytes},
    table::Table,
};

/// List objects, or show some of them
#[derive(Debug, clap::Args)]
pub(crate) struct Get {
    /// What to list
    #[arg(value_enum, value_name = "KIND")]
    kind: Word,
    /// Only these
    #[arg(value_name = "NAME")]
    names: Vec<String>,
    #[command(flatten)]
    scope: Scope,
    /// Those of every namespace
    #[arg(short = 'A', long, conflicts_with_all = ["names", "namespace"])]
    all_namespaces: bool,
    /// Only those with these labels (key=value, key!=value)
    #[arg(short = 'l', long, conflicts_with = "names")]
    selector: Option<String>,
    /// How to print them
    #[arg(short, long, value_enum)]
    output: Option<Shape>,
    /// Go on with each change of them; with an output format a document each
    #[arg(short, long)]
    watch: bool,
}

/// The user's word for a kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Word {
    #[value(aliases = ["pods", "po"])]
    Pod,
    #[value(aliases = ["persistentvolumeclaim", "persistentvolumeclaims"])]
    Pvc,
    #[value(name = "configmap", aliases = ["configmaps", "cm"])]
    ConfigMap,
    #[value(aliases = ["secrets"])]
    Secret,
    #[value(aliases = ["namespaces", "ns"])]
    Namespace,
    #[value(aliases = ["deployments", "deploy"])]
    Deployment,
    #[value(name = "replicaset", aliases = ["replicasets", "rs"])]
    ReplicaSet,
    #[value(name = "replicationcontroller", aliases = ["replicationcontrollers", "rc"])]
    ReplicationController,
    #[value(name = "daemonset", aliases = ["daemonsets", "ds"])]
    DaemonSet,
    #[value(name = "statefulset", aliases = ["statefulsets", "sts"])]
    StatefulSet,
    #[value(aliases = ["jobs"])]
    Job,
}

impl Word {
    pub(super) fn kind(self) -> Kind {
        match self {
            Self::Pod => Kind::Pod,
            Self::Pvc => Kind::Claim,
            Self::ConfigMap => Kind::ConfigMap,
            Self::Secret => Kind::Secret,
            Self::Namespace => Kind::Namespace,
            Self::Deployment => Kind::Workload(WorkloadKind::Deployment),
            Self::ReplicaSet => Kind::Workload(WorkloadKind::ReplicaSet),
            Self::ReplicationController => Kind::Workload(WorkloadKind::ReplicationController),
            Self::DaemonSet => Kind::Workload(WorkloadKind::DaemonSet),
            Self::StatefulSet => Kind::Workload(WorkloadKind::StatefulSet),
            Self::Job => Kind::Workload(WorkloadKind::Job),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Shape {
    Wide,
    Json,
    Yaml,
    Name,
}

impl Get {
    pub(super) async fn run(self, client: &Client, now: Timestamp) -> anyhow::Result<ExitCode> {
        if self.watch {
            return self.watch(client, now).await;
        }
        let objects =
            if self.names.is_empty() { self.list(client).await?.0 } else { self.named(client).await? };
        match self.output {
            Some(Shape::Json) => say(&output::Format::Json.text(&self.whole(objects)))?,
            Some(Shape::Yaml) => say(&output::Format::Yaml.text(&self.whole(objects)))?,
            Some(Shape::Name) => say(&objects.iter().map(|object| self.title(object)).collect::<String>())?,
            Some(Shape::Wide) | None if objects.is_empty() => note(&self.nothing()),
            Some(Shape::Wide) | None => say(&self.table(&objects, now).render(output::width()))?,
        }
        Ok(ExitCode::SUCCESS)
    }

    /// What there is, then each change, as long as anybody reads.
    async fn watch(self, client: &Client, now: Timestamp) -> anyhow::Result<ExitCode> {
        anyhow::ensure!(self.names.len() < 2, "of one object or of all: --watch takes one name at most");
        let (objects, version) = self.list(client).await?;
        if let ([name], []) = (self.names.as_slice(), objects.as_slice()) {
            return Err(absent(self.kind.kind(), &self.scope.namespace, name));
        }
        let mut widths = Vec::new();
        let mut show = |objects: &[Value], now| say_bytes(self.text(objects, &mut widths, now).as_bytes());
        if !objects.is_empty() && show(&objects, now)? == Listener::Gone {
            return Ok(ExitCode::SUCCESS);
        }
        let changes = Changes::after(version, client, self.path(), self.pairs());
        changes.each(|object| Ok(show(&[object], super::now())?)).await?;
        Ok(ExitCode::SUCCESS)
    }

    /// Of objects that are printed after others.
    fn text(&self, objects: &[Value], widths: &mut Vec<usize>, now: Timestamp) -> String {
        let each = |one: fn(&Value) -> String| objects.iter().map(one).collect();
        match self.output {
            Some(Shape::Json) => each(|object| output::Format::Json.document(object)),
            Some(Shape::Yaml) => each(|object| output::Format::Yaml.document(object)),
            Some(Shape::Name) => objects.iter().map(|object| self.title(object)).collect(),
            Some(Shape::Wide) | None => self.table(objects, now).go_on(widths, output::width()),
        }
    }

    /// The objects, and which version of the list they are.
    async fn list(&self, client: &Client) -> Result<(Vec<Value>, String), Error> {
        let mut list = client.fetch(&(self.path() + &query(&self.pairs()))).await?;
        let version = list["metadata"]["resourceVersion"].as_str().unwrap_or_default().to_owned();
        match list["items"].take() {
            Value::Array(items) => Ok((items, version)),
            _ => Ok((Vec::new(), version)),
        }
    }

    fn path(&self) -> String {
        self.kind.kind().list((!self.all_namespaces).then_some(self.scope.namespace.as_str()))
    }

    /// Which of them.
    fn pairs(&self) -> Vec<(&'static str, Option<String>)> {
        let name = self.names.first().map(|name| format!("metadata.name={name}"));
        vec![("labelSelector", self.selector.clone()), ("fieldSelector", name)]
    }

    async fn named(&self, client: &Client) -> anyhow::Result<Vec<Value>> {
        let mut objects = Vec::new();
        for name in &self.names {
            objects.push(one(client, self.kind.kind(), &self.scope.namespace, name).await?);
        }
        Ok(objects)
    }

    /// One object as it is, several in a list: as kubectl does.
    fn whole(&self, mut objects: Vec<Value>) -> Value {
        if let ([_], [_]) = (self.names.as_slice(), objects.as_slice()) {
            return objects.remove(0);
        }
        json!({"apiVersion": "v1", "kind": "List", "metadata": {}, "items": objects})
    }

    fn title(&self, object: &Value) -> String {
        format!("{}/{}\n", self.kind.kind().word(), text(&object["metadata"]["name"]))
    }

    fn nothing(&self) -> String {
        match self.all_namespaces || !self.kind.kind().is_namespaced() {
            true => "No resources found".to_owned(),
            false => format!("No resources found in {} namespace.", self.scope.namespace),
        }
    }

    fn table(&self, objects: &[Value], now: Timestamp) -> Table {
        let breadth = if self.output == Some(Shape::Wide) { Breadth::Wide } else { Breadth::Every };
        let is_column = self.all_namespaces && self.kind.kind().is_namespaced();
        let namespaces = if is_column { Namespaces::All } else { Namespaces::One };
        table(objects, self.kind.kind().kind(), breadth, namespaces, now)
    }
}

/// Whether the namespace is a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Namespaces {
    One,
    All,
}

/// Objects of a kind, as kubectl lists them.
pub(super) fn table(
    objects: &[Value],
    kind: &str,
    breadth: Breadth,
    namespaces: Namespaces,
    now: Timestamp,
) -> Table {
    let shown = |column: &&Column| breadth == Breadth::Wide || column.breadth == Breadth::Every;
    let columns: Vec<&Column> = columns::of(kind).iter().filter(shown).collect();
    let with_namespace = |namespace: String, cells: Vec<String>| {
        let first = (namespaces == Namespaces::All).then_some(namespace);
        first.into_iter().chain(cells).collect::<Vec<String>>()
    };
    let headings = columns.iter().map(|column| column.name.to_uppercase()).collect();
    let mut table = Table::new(with_namespace("NAMESPACE".to_owned(), headings));
    for object in objects {
        let cells = columns.iter().map(|column| plain(&column.cell(object, now))).collect();
        table.row(with_namespace(text(&object["metadata"]["namespace"]), cells));
    }
    table
}

/// A cell without the quotes of JSON.
pub(super) fn plain(cell: &Value) -> String {
    cell.as_str().map_or_else(|| cell.to_string(), str::to_owned)
}

/// One object; if there is none, an error in the user's words.
pub(super) async fn one(client: &Client, kind: Kind, namespace: &str, name: &str) -> anyhow::Result<Value> {
    match client.fetch(&kind.one(namespace, name)).await {
        Err(error) if error.is_not_found() => Err(absent(kind, namespace, name)),
        other => Ok(other?),
    }
}

pub(super) fn absent(kind: Kind, namespace: &str, name: &str) -> anyhow::Error {
    match kind.is_namespaced() {
        true => anyhow::anyhow!("{} {name:?} not found in namespace {namespace:?}", kind.word()),
        false => anyhow::anyhow!("{} {name:?} not found", kind.word()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_as_wide_as_asked_for() {
        let map = json!({
            "metadata": {"name": "web", "namespace": "shop", "creationTimestamp": "2026-11-23T09:00:00Z"},
            "spec": {"containers": [{}], "nodeName": "box"},
        });
        let now = "2026-11-23T10:00:00Z".parse().unwrap();
        let rows = [
            ("ConfigMap", Breadth::Every, Namespaces::One, "NAME   DATA   AGE\nweb    0      60m\n"),
            (
                "ConfigMap",
                Breadth::Wide,
                Namespaces::All,
                "NAMESPACE   NAME   DATA   AGE\nshop        web    0      60m\n",
            ),
            (
                "Pod",
                Breadth::Wide,
                Namespaces::One,
                "NAME   READY   STATUS    RESTARTS   AGE   IP       NODE   NOMINATED NODE   READINESS GATES\n\
                 web    0/1     Unknown   0          60m   <none>   box    <none>           <none>\n",
            ),
        ];
        for (kind, breadth, namespaces, expected) in rows {
            let table = table(std::slice::from_ref(&map), kind, breadth, namespaces, now);
            assert_eq!(table.render(None), expected);
        }
    }
}
