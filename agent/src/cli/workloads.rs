//! Objects that make pods, as kubectl describes them. Pure.

use jiff::Timestamp;
use serde_json::Value;

use super::{configs::head, get::plain};
use crate::{
    columns::{self, Breadth, text},
    pod::workload::WorkloadKind,
};

/// `describe deployment` and the like.
pub(super) fn described(object: &Value, kind: WorkloadKind, now: Timestamp) -> String {
    let mut page = head(object);
    let numbers = columns::of(kind.name()).iter().filter(|column| column.breadth == Breadth::Every);
    for column in numbers.skip(1) {
        page.field(0, column.name, &plain(&column.cell(object, now)));
    }
    page.field(0, "Containers", "");
    let template = &object["spec"]["template"]["spec"];
    for list in ["initContainers", "containers"] {
        for container in template[list].as_array().into_iter().flatten() {
            page.field(1, &text(&container["name"]), &text(&container["image"]));
        }
    }
    for condition in object["status"]["conditions"].as_array().into_iter().flatten() {
        let said = format!(
            "{} ({}) {}",
            text(&condition["status"]),
            text(&condition["reason"]),
            text(&condition["message"])
        );
        page.field(0, &text(&condition["type"]), &said);
    }
    page.text
}
