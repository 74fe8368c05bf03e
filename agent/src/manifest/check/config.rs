//! ConfigMap and Secret: keys, size, and what a secret of a well-known type must hold. Values are never quoted.

use std::collections::BTreeMap;

use k8s_openapi::{
    ByteString,
    api::core::v1::{ConfigMap, Secret},
};
use serde_json::Value;

use super::{check_name, metadata};
use crate::manifest::{
    fault::{FaultKind, Findings},
    names,
    path::Path,
};

/// As in Kubernetes: all values of an object together, in bytes.
const MOST: usize = 1 << 20;

pub(in crate::manifest) fn map(map: &ConfigMap, findings: &mut Findings) {
    let root = Path::Root;
    metadata::check(&map.metadata, &root.field("metadata"), findings);
    let (text, binary) = (root.field("data"), root.field("binaryData"));
    let mut bytes = 0;
    for (key, value) in map.data.iter().flatten() {
        check_name(key, &names::DATA_KEY, &text.field(key), findings);
        bytes += value.len();
    }
    for (key, ByteString(value)) in map.binary_data.iter().flatten() {
        check_name(key, &names::DATA_KEY, &binary.field(key), findings);
        if map.data.as_ref().is_some_and(|data| data.contains_key(key)) {
            findings.fault(&binary.field(key), FaultKind::Value, "this key is in data already");
        }
        bytes += value.len();
    }
    size(bytes, &text, findings);
}

pub(in crate::manifest) fn secret(secret: &Secret, findings: &mut Findings) {
    let root = Path::Root;
    metadata::check(&secret.metadata, &root.field("metadata"), findings);
    let (data, text) = (root.field("data"), root.field("stringData"));
    let mut all: BTreeMap<&str, &[u8]> = BTreeMap::new();
    for (key, ByteString(value)) in secret.data.iter().flatten() {
        check_name(key, &names::DATA_KEY, &data.field(key), findings);
        all.insert(key, value);
    }
    for (key, value) in secret.string_data.iter().flatten() {
        check_name(key, &names::DATA_KEY, &text.field(key), findings);
        all.insert(key, value.as_bytes());
    }
    size(all.values().map(|value| value.len()).sum(), &data, findings);
    of_type(secret.type_.as_deref().unwrap_or_default(), &all, &data, findings);
}

/// What `immutable` forbids, and a secret's type, which never changes.
pub(in crate::manifest) fn may_become(old: &Value, new: &Value, findings: &mut Findings) {
    let root = Path::Root;
    if old["type"] != new["type"] {
        findings.fault(&root.field("type"), FaultKind::Value, "this field is immutable");
    }
    if old["immutable"] != true {
        return;
    }
    if new["immutable"] != true {
        let message = "this field is immutable when it is set to true";
        findings.fault(&root.field("immutable"), FaultKind::Value, message);
    }
    for field in ["data", "binaryData"] {
        let empty = |value: &Value| value.as_object().is_none_or(serde_json::Map::is_empty);
        if old[field] != new[field] && !(empty(&old[field]) && empty(&new[field])) {
            let message = "this field is immutable when `immutable` is set";
            findings.fault(&root.field(field), FaultKind::Value, message);
        }
    }
}

fn size(bytes: usize, at: &Path<'_>, findings: &mut Findings) {
    if bytes > MOST {
        let message = format!("{bytes} bytes in all; at most {MOST} are accepted");
        findings.fault(at, FaultKind::Value, message);
    }
}

/// Kubernetes' `ValidateSecret`, for the types it knows.
fn of_type(kind: &str, data: &BTreeMap<&str, &[u8]>, at: &Path<'_>, findings: &mut Findings) {
    let needed: &[&str] = match kind {
        "kubernetes.io/dockercfg" => &[".dockercfg"],
        "kubernetes.io/dockerconfigjson" => &[".dockerconfigjson"],
        "kubernetes.io/ssh-auth" => &["ssh-privatekey"],
        "kubernetes.io/tls" => &["tls.crt", "tls.key"],
        "kubernetes.io/basic-auth" if !data.contains_key("username") && !data.contains_key("password") => {
            return findings.missing(
                at,
                "the key username or password, as the secret's type is kubernetes.io/basic-auth,",
            );
        }
        _ => &[],
    };
    for key in needed {
        let Some(value) = data.get(key) else {
            let why = format!("this key, as the secret's type is {kind},");
            findings.missing(&at.field(key), &why);
            continue;
        };
        if key.starts_with(".docker") && serde_json::from_slice::<Value>(value).is_err() {
            findings.fault(&at.field(key), FaultKind::Value, "the value is not JSON");
        }
    }
}
