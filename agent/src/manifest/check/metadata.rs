//! `metadata`: names, labels, annotations, and carob's own annotations.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::{check_name, require_name};
use crate::{
    manifest::{
        annotations,
        fault::{FaultKind, Findings, suggestion},
        names,
        path::Path,
    },
    pod::annotation,
};

/// As in Kubernetes: all annotations of an object together, in bytes.
const MOST_ANNOTATION_BYTES: usize = 256 << 10;
const OWN_PREFIX: &str = "carob.dev/";

pub(super) fn check(metadata: &ObjectMeta, at: &Path<'_>, findings: &mut Findings) {
    let name = metadata.name.as_deref().unwrap_or_default();
    let start = metadata.generate_name.as_deref().unwrap_or_default();
    if !start.is_empty() {
        check_name(start, &names::SUBDOMAIN_START, &at.field("generateName"), findings);
    }
    if start.is_empty() || !name.is_empty() {
        require_name(name, &names::SUBDOMAIN, &at.field("name"), findings);
    }
    if let Some(namespace) = metadata.namespace.as_deref().filter(|namespace| !namespace.is_empty()) {
        check_name(namespace, &names::LABEL, &at.field("namespace"), findings);
    }
    check_labels(metadata, at, findings);
}

/// What is left to check of a template, whose pods get their names later.
pub(super) fn check_labels(metadata: &ObjectMeta, at: &Path<'_>, findings: &mut Findings) {
    labels(metadata.labels.as_ref(), &at.field("labels"), findings);
    all_annotations(metadata.annotations.as_ref(), &at.field("annotations"), findings);
}

fn labels(labels: Option<&BTreeMap<String, String>>, at: &Path<'_>, findings: &mut Findings) {
    for (key, value) in labels.into_iter().flatten() {
        let at = at.field(key);
        check_name(key, &names::KEY, &at, findings);
        check_name(value, &names::LABEL_VALUE, &at, findings);
    }
}

fn all_annotations(annotations: Option<&BTreeMap<String, String>>, at: &Path<'_>, findings: &mut Findings) {
    let mut bytes = 0;
    for (key, value) in annotations.into_iter().flatten() {
        bytes += key.len() + value.len();
        // Kubernetes compares annotation keys without regard to case.
        let at = at.field(key);
        check_name(&key.to_lowercase(), &names::KEY, &at, findings);
        own(key, &at, findings);
    }
    if bytes > MOST_ANNOTATION_BYTES {
        let message = format!("{bytes} bytes in all; at most {MOST_ANNOTATION_BYTES} are accepted");
        findings.fault(at, FaultKind::Value, message);
    }
}

/// A mistyped annotation of ours would be silently without effect.
fn own(key: &str, at: &Path<'_>, findings: &mut Findings) {
    let known = key == annotation::MANIFEST || annotations::of_key(key).is_some();
    if key.starts_with(OWN_PREFIX) && !known {
        let message = format!("carob knows no such annotation{}", suggestion(key, &annotations::names()));
        findings.fault(at, FaultKind::Unknown, message);
    }
}
