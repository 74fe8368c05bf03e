//! `carob get`: lists of objects, as tables or as they are.

use std::process::ExitCode;

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::pod::workload::WorkloadKind;

use super::{
    Scope, age,
    client::{Client, Error, Kind, query},
    configs,
    output::{self, note, say},
    pods::{self, Columns, Namespaces, text},
    table::Table,
    workloads,
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
        let objects =
            if self.names.is_empty() { self.list(client).await? } else { self.named(client).await? };
        match self.output {
            Some(Shape::Json) => say(&output::Format::Json.text(&self.whole(objects)))?,
            Some(Shape::Yaml) => say(&output::Format::Yaml.text(&self.whole(objects)))?,
            Some(Shape::Name) => say(&objects.iter().map(|object| self.title(object)).collect::<String>())?,
            Some(Shape::Wide) | None if objects.is_empty() => note(&self.nothing()),
            Some(Shape::Wide) | None => say(&self.table(&objects, now).render(output::width()))?,
        }
        Ok(ExitCode::SUCCESS)
    }

    async fn list(&self, client: &Client) -> Result<Vec<Value>, Error> {
        let namespace = (!self.all_namespaces).then_some(self.scope.namespace.as_str());
        let path = self.kind.kind().list(namespace) + &query(&[("labelSelector", self.selector.clone())]);
        match client.fetch(&path).await?["items"].take() {
            Value::Array(items) => Ok(items),
            _ => Ok(Vec::new()),
        }
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
        match self.all_namespaces {
            true => "No resources found".to_owned(),
            false => format!("No resources found in {} namespace.", self.scope.namespace),
        }
    }

    fn table(&self, objects: &[Value], now: Timestamp) -> Table {
        let columns = if self.output == Some(Shape::Wide) { Columns::Wide } else { Columns::Plain };
        let namespaces = if self.all_namespaces { Namespaces::All } else { Namespaces::One };
        match self.kind.kind() {
            Kind::Pod => pods::table(objects, columns, namespaces, now),
            Kind::Claim => claims(objects, namespaces, now),
            kind @ (Kind::ConfigMap | Kind::Secret) => configs::table(objects, kind, namespaces, now),
            Kind::Workload(kind) => workloads::table(objects, kind, namespaces, now),
        }
    }
}

/// One object; if there is none, an error in the user's words.
pub(super) async fn one(client: &Client, kind: Kind, namespace: &str, name: &str) -> anyhow::Result<Value> {
    match client.fetch(&kind.one(namespace, name)).await {
        Err(error) if error.is_not_found() => Err(absent(kind, namespace, name)),
        other => Ok(other?),
    }
}

pub(super) fn absent(kind: Kind, namespace: &str, name: &str) -> anyhow::Error {
    anyhow::anyhow!("{} {name:?} not found in namespace {namespace:?}", kind.word())
}

fn claims(claims: &[Value], namespaces: Namespaces, now: Timestamp) -> Table {
    let mut heading = vec!["NAME", "STATUS", "CAPACITY", "ACCESS MODES", "AGE"];
    if namespaces == Namespaces::All {
        heading.insert(0, "NAMESPACE");
    }
    let mut table = Table::new(&heading);
    for claim in claims {
        let (metadata, status) = (&claim["metadata"], &claim["status"]);
        let phase = if metadata["deletionTimestamp"].is_null() {
            text(&status["phase"])
        } else {
            "Terminating".to_owned()
        };
        let modes = status["accessModes"].as_array().map(Vec::as_slice).unwrap_or_default();
        let modes: Vec<&str> = modes.iter().filter_map(Value::as_str).map(short).collect();
        let age = age::since(metadata["creationTimestamp"].as_str(), now);
        let mut cells =
            vec![text(&metadata["name"]), phase, text(&status["capacity"]["storage"]), modes.join(","), age];
        if namespaces == Namespaces::All {
            cells.insert(0, text(&metadata["namespace"]));
        }
        table.row(cells);
    }
    table
}

/// kubectl's short form of an access mode.
fn short(mode: &str) -> &str {
    match mode {
        "ReadWriteOnce" => "RWO",
        "ReadOnlyMany" => "ROX",
        "ReadWriteMany" => "RWX",
        "ReadWriteOncePod" => "RWOP",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn claims_are_listed_with_size_and_modes() {
        let claim = json!({
            "metadata": {"name": "data", "namespace": "shop", "creationTimestamp": "2026-11-23T09:59:00Z"},
            "status": {"phase": "Bound", "capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce", "ReadOnlyMany"]},
        });
        let now = "2026-11-23T10:00:00Z".parse().unwrap();
        assert_eq!(
            claims(&[claim], Namespaces::All, now).render(None),
            "NAMESPACE   NAME   STATUS   CAPACITY   ACCESS MODES   AGE\n\
             shop        data   Bound    1Gi        RWO,ROX        60s\n"
        );
    }
}
