//! PersistentVolumeClaim: what it must say although a claim is only a directory here, so that a manifest that
//! runs on carob is a good one elsewhere.

use k8s_openapi::api::core::v1::PersistentVolumeClaim;

use super::{container::check_quantity, metadata};
use crate::manifest::{fault::Findings, path::Path};

pub(in crate::manifest) fn check(claim: &PersistentVolumeClaim, findings: &mut Findings) {
    check_at(claim, &Path::Root, findings);
}

/// `top`: where the claim stands.
pub(super) fn check_at(claim: &PersistentVolumeClaim, top: &Path<'_>, findings: &mut Findings) {
    metadata::check(&claim.metadata, &top.field("metadata"), findings);
    let spec = claim.spec.clone().unwrap_or_default();
    let at = top.field("spec");
    if spec.access_modes.is_none_or(|modes| modes.is_empty()) {
        findings.missing(&at.field("accessModes"), "a list of at least one access mode");
    }
    let requests = spec.resources.and_then(|resources| resources.requests);
    let at = at.field("resources");
    let at = at.field("requests");
    let at = at.field("storage");
    match requests.as_ref().and_then(|requests| requests.get("storage")) {
        Some(storage) => drop(check_quantity(&storage.0, &at, findings)),
        None => findings.missing(&at, "a quantity like 1Gi"),
    }
}
