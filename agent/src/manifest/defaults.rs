//! What the API server fills in, so that clients see the object they know. A field that is there stays as it is.
//! Source of each: Kubernetes 1.37, `pkg/apis/core/v1/defaults.go`.

use std::collections::BTreeMap;

use k8s_openapi::{
    ByteString,
    api::core::v1::{
        ConfigMap, Container, EmptyDirVolumeSource, Namespace, PersistentVolumeClaim, Pod,
        PodSecurityContext, PodSpec, ResourceRequirements, Secret, Volume,
    },
    apimachinery::pkg::api::resource::Quantity as Written,
};

use super::{ephemeral, probe, quantity::Quantity, sum};

pub(super) const NAMESPACE: &str = "default";
/// Which namespace it is (`v1.LabelMetadataName`).
pub(crate) const NAMESPACE_LABEL: &str = "kubernetes.io/metadata.name";
pub(super) const GRACE_SECONDS: i64 = 30;
/// Of a file in a volume of configMaps, secrets or the downward API.
const FILE_MODE: i32 = 0o644;

pub(super) fn fill_pod(pod: &mut Pod) {
    set(&mut pod.metadata.namespace, NAMESPACE);
    fill_spec(pod.spec.get_or_insert_default());
}

pub(super) fn fill_claim(claim: &mut PersistentVolumeClaim) {
    set(&mut claim.metadata.namespace, NAMESPACE);
    let spec = claim.spec.get_or_insert_default();
    set(&mut spec.volume_mode, "Filesystem");
    if let Some(resources) = &mut spec.resources {
        write_back(&mut resources.limits);
        write_back(&mut resources.requests);
    }
}

pub(super) fn fill_config_map(map: &mut ConfigMap) {
    set(&mut map.metadata.namespace, NAMESPACE);
}

/// `stringData` is for writing only: a key in it goes before the same one in `data`.
pub(super) fn fill_secret(secret: &mut Secret) {
    set(&mut secret.metadata.namespace, NAMESPACE);
    set(&mut secret.type_, "Opaque");
    let texts = secret.string_data.take().unwrap_or_default();
    if !texts.is_empty() {
        let data = secret.data.get_or_insert_default();
        data.extend(texts.into_iter().map(|(key, text)| (key, ByteString(text.into_bytes()))));
    }
}

/// By its label selectors find a namespace by name.
pub(super) fn fill_namespace(space: &mut Namespace) {
    space.spec.get_or_insert_default().finalizers.get_or_insert_with(|| vec!["kubernetes".to_owned()]);
    if let Some(name) = space.metadata.name.clone() {
        space.metadata.labels.get_or_insert_default().insert(NAMESPACE_LABEL.to_owned(), name);
    }
}

fn fill_spec(spec: &mut PodSpec) {
    set(&mut spec.dns_policy, "ClusterFirst");
    set(&mut spec.restart_policy, "Always");
    set(&mut spec.scheduler_name, "default-scheduler");
    spec.enable_service_links.get_or_insert(true);
    spec.termination_grace_period_seconds.get_or_insert(GRACE_SECONDS);
    spec.security_context.get_or_insert_with(PodSecurityContext::default);
    spec.init_containers.iter_mut().flatten().for_each(fill_container);
    spec.containers.iter_mut().for_each(fill_container);
    spec.ephemeral_containers.iter_mut().flatten().for_each(ephemeral::fill);
    fill_pod_resources(spec);
    spec.volumes.iter_mut().flatten().for_each(fill_volume);
}

pub(super) fn fill_container(container: &mut Container) {
    set(&mut container.image_pull_policy, pull(container.image.as_deref()));
    set(&mut container.termination_message_path, "/dev/termination-log");
    set(&mut container.termination_message_policy, "File");
    for port in container.ports.iter_mut().flatten() {
        set(&mut port.protocol, "TCP");
    }
    probe::fill(container);
    fill_resources(container.resources.get_or_insert_default());
}

/// What has a limit and no request requests its limit.
fn fill_resources(resources: &mut ResourceRequirements) {
    write_back(&mut resources.limits);
    write_back(&mut resources.requests);
    let Some(limits) = resources.limits.as_ref().filter(|limits| !limits.is_empty()) else { return };
    let requests = resources.requests.get_or_insert_default();
    for (name, limit) in limits {
        requests.entry(name.clone()).or_insert_with(|| limit.clone());
    }
}

/// A pod that limits itself asks for what its containers ask for; if they ask for nothing, for its limit (KEP-2837).
fn fill_pod_resources(spec: &mut PodSpec) {
    let Some(mut resources) = spec.resources.take() else { return };
    write_back(&mut resources.limits);
    write_back(&mut resources.requests);
    if let Some(limits) = resources.limits.as_ref().filter(|limits| !limits.is_empty()) {
        let requests = resources.requests.get_or_insert_default();
        for name in ["cpu", "memory"] {
            let asks = |container: &Container| {
                let requests = container.resources.as_ref()?.requests.as_ref()?;
                Quantity::parse(&requests.get(name)?.0)
            };
            let sum = sum::together(spec, asks).map(|sum| Written(sum.canonical()));
            if let Some(default) = sum.or_else(|| limits.get(name).cloned()) {
                requests.entry(name.to_owned()).or_insert(default);
            }
        }
    }
    spec.resources = Some(resources);
}

fn write_back(amounts: &mut Option<BTreeMap<String, Written>>) {
    for amount in amounts.iter_mut().flat_map(BTreeMap::values_mut) {
        write_canonical(amount);
    }
}

fn write_canonical(amount: &mut Written) {
    if let Some(quantity) = Quantity::parse(&amount.0) {
        amount.0 = quantity.canonical();
    }
}

fn fill_volume(volume: &mut Volume) {
    if let Some(host) = &mut volume.host_path {
        host.type_.get_or_insert_default();
    } else if let Some(map) = &mut volume.config_map {
        map.default_mode.get_or_insert(FILE_MODE);
    } else if let Some(secret) = &mut volume.secret {
        secret.default_mode.get_or_insert(FILE_MODE);
    } else if let Some(downward) = &mut volume.downward_api {
        downward.default_mode.get_or_insert(FILE_MODE);
    } else if let Some(projected) = &mut volume.projected {
        projected.default_mode.get_or_insert(FILE_MODE);
    } else if let Some(image) = &mut volume.image {
        set(&mut image.pull_policy, pull(image.reference.as_deref()));
    } else if volume.persistent_volume_claim.is_none() {
        let empty = volume.empty_dir.get_or_insert_with(EmptyDirVolumeSource::default);
        empty.size_limit.iter_mut().for_each(write_canonical);
    }
}

/// When an image is pulled of which nothing is said.
fn pull(image: Option<&str>) -> &'static str {
    if is_latest(image.unwrap_or_default()) { "Always" } else { "IfNotPresent" }
}

/// The tag is `latest`, said or unsaid. An image named by its digest alone has none.
fn is_latest(image: &str) -> bool {
    let (name, digest) = image.split_once('@').map_or((image, None), |(name, digest)| (name, Some(digest)));
    // A colon before the last slash belongs to the registry's port.
    let last = name.rsplit('/').next().unwrap_or(name);
    match last.split_once(':') {
        Some((_, tag)) => tag == "latest",
        None => digest.is_none(),
    }
}

fn set(field: &mut Option<String>, default: &str) {
    if field.as_deref().is_none_or(str::is_empty) {
        *field = Some(default.to_owned());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_is_pulled_always_if_its_tag_is_latest() {
        let digest = "busybox@sha256:aaaa";
        let both = "busybox:latest@sha256:aaaa";
        for image in ["busybox", "a.b:5000/busybox", "busybox:latest", "a/b/c:latest", both] {
            assert!(is_latest(image), "{image}");
        }
        for image in ["busybox:1", "a.b:5000/busybox:1.2", digest, "a:1@sha256:aaaa", "latest:1"] {
            assert!(!is_latest(image), "{image}");
        }
    }
}
