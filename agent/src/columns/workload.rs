//! Objects that make pods of a template.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{AGE, Column, NAME, age, count, is_deleted, list, pairs, text};

pub(super) const DEPLOYMENT: &[Column] = &[
    NAME,
    READY,
    Column::number("Up-to-date", |object, _| count(&object["status"]["updatedReplicas"])),
    Column::number("Available", |object, _| count(&object["status"]["availableReplicas"])),
    AGE,
    CONTAINERS,
    IMAGES,
    SELECTOR,
];

pub(super) const SET: &[Column] = &[NAME, DESIRED, CURRENT, NUMBER_READY, AGE, CONTAINERS, IMAGES, SELECTOR];

/// Its selector is a map of labels.
pub(super) const CONTROLLER: &[Column] = &[
    NAME,
    DESIRED,
    CURRENT,
    NUMBER_READY,
    AGE,
    CONTAINERS,
    IMAGES,
    Column::text("Selector", |object, _| pairs(&object["spec"]["selector"]).into()).wide(),
];

pub(super) const DAEMON_SET: &[Column] = &[
    NAME,
    Column::number("Desired", |object, _| count(&object["status"]["desiredNumberScheduled"])),
    Column::number("Current", |object, _| count(&object["status"]["currentNumberScheduled"])),
    Column::number("Ready", |object, _| count(&object["status"]["numberReady"])),
    Column::number("Up-to-date", |object, _| count(&object["status"]["updatedNumberScheduled"])),
    Column::number("Available", |object, _| count(&object["status"]["numberAvailable"])),
    Column::text("Node Selector", |object, _| {
        pairs(&object["spec"]["template"]["spec"]["nodeSelector"]).into()
    }),
    AGE,
    CONTAINERS,
    IMAGES,
    SELECTOR,
];

pub(super) const STATEFUL_SET: &[Column] = &[NAME, READY, AGE, CONTAINERS, IMAGES];

pub(super) const JOB: &[Column] = &[
    NAME,
    Column::text("Status", |job, _| state(job).into()),
    Column::text("Completions", |job, _| completions(job).into()),
    Column::text("Duration", |job, now| duration(&job["status"], now).into()),
    AGE,
    CONTAINERS,
    IMAGES,
    SELECTOR,
];

const READY: Column = Column::text("Ready", |object, _| {
    format!("{}/{}", count(&object["status"]["readyReplicas"]), wanted(object)).into()
});
const DESIRED: Column = Column::number("Desired", |object, _| json!(wanted(object)));
const CURRENT: Column = Column::number("Current", |object, _| count(&object["status"]["replicas"]));
const NUMBER_READY: Column = Column::number("Ready", |object, _| count(&object["status"]["readyReplicas"]));
const CONTAINERS: Column =
    Column::text("Containers", |object, _| of_containers(object, "name").into()).wide();
const IMAGES: Column = Column::text("Images", |object, _| of_containers(object, "image").into()).wide();
const SELECTOR: Column =
    Column::text("Selector", |object, _| selector(&object["spec"]["selector"]).into()).wide();

fn wanted(object: &Value) -> u64 {
    object["spec"]["replicas"].as_u64().unwrap_or(1)
}

fn of_containers(object: &Value, field: &str) -> String {
    let containers = list(&object["spec"]["template"]["spec"], "containers");
    containers.iter().filter_map(|container| container[field].as_str()).collect::<Vec<_>>().join(",")
}

/// A selector in one line, as `labels.Selector` writes it.
fn selector(selector: &Value) -> String {
    let labels = Some(pairs(&selector["matchLabels"])).filter(|_| selector["matchLabels"].is_object());
    let term = |term: &Value| {
        let key = text(&term["key"]);
        let values: Vec<&str> = list(term, "values").iter().filter_map(Value::as_str).collect();
        match term["operator"].as_str().unwrap_or_default() {
            "Exists" => key,
            "DoesNotExist" => format!("!{key}"),
            operator => format!("{key} {} ({})", operator.to_lowercase(), values.join(",")),
        }
    };
    let terms: Vec<String> =
        labels.into_iter().chain(list(selector, "matchExpressions").iter().map(term)).collect();
    if terms.is_empty() { "<none>".to_owned() } else { terms.join(",") }
}

/// The STATUS column of a Job.
fn state(job: &Value) -> String {
    let holds = |kind: &str| {
        list(&job["status"], "conditions").iter().any(|one| one["type"] == kind && one["status"] == "True")
    };
    let over = ["Complete", "Failed"].into_iter().find(|kind| holds(kind));
    let word = match over {
        Some(over) => over,
        None if is_deleted(job) => "Terminating",
        None if job["spec"]["suspend"] == true => "Suspended",
        None if holds("FailureTarget") => "FailureTarget",
        None if holds("SuccessCriteriaMet") => "SuccessCriteriaMet",
        None => "Running",
    };
    word.to_owned()
}

/// `2/3`; of a Job that is over with its first success `0/1 of 2`.
fn completions(job: &Value) -> String {
    let (spec, succeeded) = (&job["spec"], job["status"]["succeeded"].as_u64().unwrap_or(0));
    match (spec["completions"].as_u64(), spec["parallelism"].as_u64().unwrap_or(1)) {
        (Some(wanted), _) => format!("{succeeded}/{wanted}"),
        (None, parallelism) if parallelism > 1 => format!("{succeeded}/1 of {parallelism}"),
        (None, _) => format!("{succeeded}/1"),
    }
}

fn duration(status: &Value, now: Timestamp) -> String {
    let date = |field: &str| status[field].as_str().and_then(|date| date.parse::<Timestamp>().ok());
    match (date("startTime"), date("completionTime")) {
        (Some(start), end) => age::human(end.unwrap_or(now).duration_since(start)),
        (None, _) => String::new(),
    }
}
