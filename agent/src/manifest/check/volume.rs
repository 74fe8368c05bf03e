//! `spec.volumes`: names, and what each of the implemented sources must say.

use k8s_openapi::api::core::v1::{EmptyDirVolumeSource, PodSpec, Volume};

use super::{
    climbs,
    container::{check_quantity, image},
    require_name, source, unique,
};
use crate::manifest::{
    fault::{FaultKind, Findings},
    names,
    path::Path,
};

pub(super) fn check_all(spec: &PodSpec, at: &Path<'_>, findings: &mut Findings) {
    let volumes = spec.volumes.as_deref().unwrap_or_default();
    let containers = super::container::names(spec);
    let names: Vec<&str> = volumes.iter().map(|volume| volume.name.as_str()).collect();
    unique(&names, at, "name", findings);
    for (index, volume) in volumes.iter().enumerate() {
        check(volume, &containers, &at.item(index), findings);
    }
}

/// A volume without any source is an `emptyDir` in Kubernetes; of other sources `rules` has refused it.
fn check(volume: &Volume, containers: &[&str], at: &Path<'_>, findings: &mut Findings) {
    require_name(&volume.name, &names::LABEL, &at.field("name"), findings);
    let mut sources = source::volume(volume, containers, at, findings);
    if let Some(empty) = &volume.empty_dir {
        sources.push("emptyDir");
        empty_dir(empty, &at.field("emptyDir"), findings);
    }
    if let Some(host) = &volume.host_path {
        sources.push("hostPath");
        host_path(&host.path, &at.field("hostPath").field("path"), findings);
    }
    if let Some(claim) = &volume.persistent_volume_claim {
        sources.push("persistentVolumeClaim");
        let at = at.field("persistentVolumeClaim");
        require_name(&claim.claim_name, &names::SUBDOMAIN, &at.field("claimName"), findings);
    }
    if let Some(source) = &volume.image {
        sources.push("image");
        let (at, reference) = (at.field("image"), source.reference.as_deref().unwrap_or_default());
        image(reference, &at.field("reference"), findings);
    }
    if sources.len() > 1 {
        let message = format!("a volume has one source; given are {}", sources.join(", "));
        findings.fault(at, FaultKind::Value, message);
    }
}

fn empty_dir(source: &EmptyDirVolumeSource, at: &Path<'_>, findings: &mut Findings) {
    let Some(limit) = &source.size_limit else { return };
    check_quantity(&limit.0, &at.field("sizeLimit"), findings);
}

fn host_path(path: &str, at: &Path<'_>, findings: &mut Findings) {
    const NEEDED: &str = "an absolute path without \"..\"";
    if path.is_empty() {
        findings.missing(at, NEEDED);
    } else if !path.starts_with('/') || climbs(path) {
        findings.rejected(at, path, NEEDED);
    }
}
