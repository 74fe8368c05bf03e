//! The columns of a list of objects, as Kubernetes' own printers show each kind (`pkg/printers/internalversion`): the API
//! sends them as a Table, the CLI prints them. Pure: from the API's objects to cells.

pub(crate) mod age;
mod cluster;
pub(crate) mod event;
pub(crate) mod pod;
mod storage;
mod workload;

use jiff::Timestamp;
use serde_json::{Value, json};

/// One column: its heading, and what stands in it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Column {
    /// As a Table has it; kubectl prints it in capitals.
    pub(crate) name: &'static str,
    pub(crate) form: Form,
    pub(crate) breadth: Breadth,
    cell: fn(&Value, Timestamp) -> Value,
}

/// What the cells of a column are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// The object's name: a text too.
    Name,
    Text,
    Number,
}

/// Which lists have the column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Breadth {
    Every,
    /// Those that may be wide: priority 1 in a Table.
    Wide,
}

impl Column {
    const fn text(name: &'static str, cell: fn(&Value, Timestamp) -> Value) -> Self {
        Self { name, form: Form::Text, breadth: Breadth::Every, cell }
    }

    const fn number(name: &'static str, cell: fn(&Value, Timestamp) -> Value) -> Self {
        Self { name, form: Form::Number, breadth: Breadth::Every, cell }
    }

    const fn wide(self) -> Self {
        Self { breadth: Breadth::Wide, ..self }
    }

    pub(crate) fn cell(&self, object: &Value, now: Timestamp) -> Value {
        (self.cell)(object, now)
    }
}

/// The columns of objects of this kind.
pub(crate) fn of(kind: &str) -> &'static [Column] {
    let rows: [(&str, &'static [Column]); 15] = [
        ("Pod", pod::COLUMNS),
        ("ConfigMap", storage::CONFIG_MAP),
        ("Secret", storage::SECRET),
        ("PersistentVolumeClaim", storage::CLAIM),
        ("Deployment", workload::DEPLOYMENT),
        ("DaemonSet", workload::DAEMON_SET),
        ("StatefulSet", workload::STATEFUL_SET),
        ("ReplicaSet", workload::SET),
        ("ReplicationController", workload::CONTROLLER),
        ("Job", workload::JOB),
        ("Event", event::COLUMNS),
        ("Node", cluster::NODE),
        ("Namespace", cluster::NAMESPACE),
        ("PodMetrics", cluster::METRICS),
        ("NodeMetrics", cluster::METRICS),
    ];
    rows.iter().find(|(name, _)| *name == kind).map_or(&[NAME, AGE], |(_, columns)| columns)
}

const NAME: Column = Column {
    name: "Name",
    form: Form::Name,
    breadth: Breadth::Every,
    cell: |object, _| object["metadata"]["name"].clone(),
};
const AGE: Column = Column::text("Age", |object, now| {
    age::since(object["metadata"]["creationTimestamp"].as_str(), now).into()
});

/// A string, or what kubectl prints in its place.
pub(crate) fn text(value: &Value) -> String {
    value.as_str().filter(|text| !text.is_empty()).unwrap_or("<none>").to_owned()
}

fn list<'a>(object: &'a Value, field: &str) -> &'a [Value] {
    object[field].as_array().map(Vec::as_slice).unwrap_or_default()
}

fn count(value: &Value) -> Value {
    json!(value.as_u64().unwrap_or(0))
}

/// Labels as a selector writes them: `a=b,c=d`.
fn pairs(labels: &Value) -> String {
    let pair = |(key, value): (&String, &Value)| format!("{key}={}", value.as_str().unwrap_or_default());
    let pairs: Vec<String> = labels.as_object().into_iter().flatten().map(pair).collect();
    if pairs.is_empty() { "<none>".to_owned() } else { pairs.join(",") }
}

fn is_deleted(object: &Value) -> bool {
    !object["metadata"]["deletionTimestamp"].is_null()
}

#[cfg(test)]
mod tests;
