//! Events.

use jiff::Timestamp;
use serde_json::Value;

use super::{Column, Form, NAME, age, count, text};

pub(super) const COLUMNS: &[Column] = &[
    Column::text("Last Seen", |event, now| age::since(last(event), now).into()),
    Column::text("Type", |event, _| text(&event["type"]).into()),
    Column::text("Reason", |event, _| text(&event["reason"]).into()),
    Column::text("Object", |event, _| about(event).into()),
    Column::text("Subobject", |event, _| {
        event["involvedObject"]["fieldPath"].as_str().unwrap_or_default().into()
    })
    .wide(),
    Column::text("Source", |event, _| source(event).into()).wide(),
    Column::text("Message", |event, _| event["message"].as_str().unwrap_or_default().trim().into()),
    Column::text("First Seen", |event, now| age::since(first(event), now).into()).wide(),
    Column::text("Count", |event, _| count(&event["count"]).to_string().into()).wide(),
    Column { form: Form::Text, ..NAME }.wide(),
];

fn first(event: &Value) -> Option<&str> {
    event["firstTimestamp"].as_str().or(event["eventTime"].as_str())
}

fn last(event: &Value) -> Option<&str> {
    event["lastTimestamp"].as_str().or_else(|| first(event))
}

fn about(event: &Value) -> String {
    let about = &event["involvedObject"];
    format!("{}/{}", text(&about["kind"]).to_lowercase(), text(&about["name"]))
}

fn source(event: &Value) -> String {
    let component = event["source"]["component"].as_str().or(event["reportingComponent"].as_str());
    let host = event["source"]["host"].as_str().or(event["reportingInstance"].as_str());
    [component, host].into_iter().flatten().filter(|word| !word.is_empty()).collect::<Vec<_>>().join(", ")
}

/// `3m`, or `3m (x5 over 20m)`, as `describe` and `kubectl events` say it.
pub(crate) fn seen(event: &Value, now: Timestamp) -> String {
    let said = age::since(last(event), now);
    match event["count"].as_u64() {
        Some(count) if count > 1 => format!("{said} (x{count} over {})", age::since(first(event), now)),
        _ => said,
    }
}
