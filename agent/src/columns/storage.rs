//! Config maps, secrets and claims. Of a secret only how much is in it.

use serde_json::{Value, json};

use super::{AGE, Column, NAME, is_deleted, list, text};

pub(super) const CONFIG_MAP: &[Column] =
    &[NAME, Column::number("Data", |map, _| json!(entries(map, "data") + entries(map, "binaryData"))), AGE];

pub(super) const SECRET: &[Column] = &[
    NAME,
    Column::text("Type", |secret, _| text(&secret["type"]).into()),
    Column::number("Data", |secret, _| json!(entries(secret, "data"))),
    AGE,
];

pub(super) const CLAIM: &[Column] = &[
    NAME,
    Column::text("Status", |claim, _| match is_deleted(claim) {
        true => "Terminating".into(),
        false => text(&claim["status"]["phase"]).into(),
    }),
    Column::text("Volume", |claim, _| written(&claim["spec"]["volumeName"])),
    Column::text("Capacity", |claim, _| written(&claim["status"]["capacity"]["storage"])),
    Column::text("Access Modes", |claim, _| modes(&claim["status"]).into()),
    Column::text("StorageClass", |claim, _| written(&claim["spec"]["storageClassName"])),
    Column::text("VolumeAttributesClass", |_, _| "<unset>".into()),
    AGE,
    Column::text("VolumeMode", |claim, _| text(&claim["spec"]["volumeMode"]).into()).wide(),
];

fn entries(object: &Value, field: &str) -> usize {
    object[field].as_object().map_or(0, serde_json::Map::len)
}

fn written(value: &Value) -> Value {
    value.as_str().unwrap_or_default().into()
}

fn modes(status: &Value) -> String {
    let short = |mode: &Value| match mode.as_str().unwrap_or_default() {
        "ReadWriteOnce" => "RWO",
        "ReadOnlyMany" => "ROX",
        "ReadWriteMany" => "RWX",
        "ReadWriteOncePod" => "RWOP",
        _ => "",
    };
    list(status, "accessModes").iter().map(short).collect::<Vec<_>>().join(",")
}
