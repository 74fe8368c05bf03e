//! Where variables and files come from: `valueFrom`, `envFrom`, and the volumes made of configMaps, secrets and the
//! downward API. Whether the objects they name exist is seen when the pod starts.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{
    Container, DownwardAPIVolumeFile, EnvFromSource, EnvVar, EnvVarSource, FileKeySelector, KeyToPath,
    ObjectFieldSelector, PodSpec, ProjectedVolumeSource, ResourceFieldSelector, Volume, VolumeProjection,
};

use super::{check_name, climbs, require_name};
use crate::{
    manifest::{
        fault::{FaultKind, Findings, quoted},
        names,
        path::Path,
        sources::{amount, divisor, field},
    },
    pod::source::{Amount, Field},
};

const FIELDS: &str = "metadata.name, metadata.namespace, metadata.uid, metadata.labels['KEY'], \
                      metadata.annotations['KEY'], spec.nodeName, spec.serviceAccountName, status.podIP, \
                      status.podIPs, status.hostIP or status.hostIPs";
const FILE_FIELDS: &str = "metadata.name, metadata.namespace, metadata.uid, metadata.labels, \
                           metadata.annotations, metadata.labels['KEY'] or metadata.annotations['KEY']";
const AMOUNTS: &str = "limits.cpu, limits.memory, requests.cpu or requests.memory";
const CPU_DIVISORS: [&str; 2] = ["1", "1m"];
const MEMORY_DIVISORS: [&str; 13] =
    ["1", "1k", "1M", "1G", "1T", "1P", "1E", "1Ki", "1Mi", "1Gi", "1Ti", "1Pi", "1Ei"];

/// `env[].valueFrom` and `envFrom` of a container.
pub(super) fn variables(container: &Container, pod: &PodSpec, at: &Path<'_>, findings: &mut Findings) {
    let env = at.field("env");
    let containers = super::container::names(pod);
    for (index, variable) in container.env.iter().flatten().enumerate() {
        value_from(variable, &containers, &env.item(index), findings);
        if let Some(key) = variable.value_from.as_ref().and_then(|from| from.file_key_ref.as_ref()) {
            let at = env.item(index);
            file_key_ref(key, pod, &at.field("valueFrom").field("fileKeyRef"), findings);
        }
    }
    let env_from = at.field("envFrom");
    for (index, from) in container.env_from.iter().flatten().enumerate() {
        group(from, &env_from.item(index), findings);
    }
}

fn value_from(variable: &EnvVar, containers: &[&str], at: &Path<'_>, findings: &mut Findings) {
    let Some(from) = &variable.value_from else { return };
    let at = at.field("valueFrom");
    if variable.value.as_deref().is_some_and(|value| !value.is_empty()) {
        findings.fault(&at, FaultKind::Value, "a variable has value or valueFrom, not both");
    }
    one_of(&sources(from), &at, findings);
    if let Some(selector) = &from.field_ref {
        let in_env = |field: &Field| !matches!(field, Field::Labels | Field::Annotations);
        field_ref(selector, in_env, FIELDS, &at.field("fieldRef"), findings);
    }
    if let Some(selector) = &from.resource_field_ref {
        resource_ref(selector, containers, Whose::Own, &at.field("resourceFieldRef"), findings);
    }
    if let Some(key) = &from.config_map_key_ref {
        let at = at.field("configMapKeyRef");
        key_ref(&key.name, &key.key, &at, findings);
    }
    if let Some(key) = &from.secret_key_ref {
        let at = at.field("secretKeyRef");
        key_ref(&key.name, &key.key, &at, findings);
    }
}

fn sources(from: &EnvVarSource) -> Vec<(&'static str, bool)> {
    vec![
        ("fieldRef", from.field_ref.is_some()),
        ("resourceFieldRef", from.resource_field_ref.is_some()),
        ("configMapKeyRef", from.config_map_key_ref.is_some()),
        ("secretKeyRef", from.secret_key_ref.is_some()),
        ("fileKeyRef", from.file_key_ref.is_some()),
    ]
}

/// Exactly one of the names is given. What else Kubernetes knows there is refused by `rules`.
fn one_of(names: &[(&'static str, bool)], at: &Path<'_>, findings: &mut Findings) {
    let given: Vec<&str> = names.iter().filter(|(_, given)| *given).map(|(name, _)| *name).collect();
    let all: Vec<&str> = names.iter().map(|(name, _)| *name).collect();
    match given.len() {
        0 => findings.missing(at, &format!("one of {}", all.join(", "))),
        1 => {}
        _ => findings.fault(
            at,
            FaultKind::Value,
            format!("there is one source; given are {}", given.join(", ")),
        ),
    }
}

fn key_ref(name: &str, key: &str, at: &Path<'_>, findings: &mut Findings) {
    require_name(name, &names::SUBDOMAIN, &at.field("name"), findings);
    require_name(key, &names::DATA_KEY, &at.field("key"), findings);
}

fn file_key_ref(key: &FileKeySelector, pod: &PodSpec, at: &Path<'_>, findings: &mut Findings) {
    require_name(&key.key, &names::VARIABLE, &at.field("key"), findings);
    file_path(&key.path, &at.field("path"), findings);
    let at = at.field("volumeName");
    if key.volume_name.is_empty() {
        findings.missing(&at, "the name of a volume");
    } else if !pod.volumes.iter().flatten().any(|volume| volume.name == key.volume_name) {
        let message = format!("{} is not declared in spec.volumes", quoted(&key.volume_name));
        findings.fault(&at, FaultKind::Value, message);
    }
}

fn group(from: &EnvFromSource, at: &Path<'_>, findings: &mut Findings) {
    one_of(
        &[("configMapRef", from.config_map_ref.is_some()), ("secretRef", from.secret_ref.is_some())],
        at,
        findings,
    );
    if let Some(prefix) = from.prefix.as_deref().filter(|prefix| !prefix.is_empty()) {
        check_name(prefix, &names::VARIABLE, &at.field("prefix"), findings);
    }
    if let Some(map) = &from.config_map_ref {
        require_name(&map.name, &names::SUBDOMAIN, &at.field("configMapRef").field("name"), findings);
    }
    if let Some(secret) = &from.secret_ref {
        require_name(&secret.name, &names::SUBDOMAIN, &at.field("secretRef").field("name"), findings);
    }
}

fn field_ref(
    selector: &ObjectFieldSelector,
    fits: impl Fn(&Field) -> bool,
    needed: &str,
    at: &Path<'_>,
    findings: &mut Findings,
) {
    if let Some(version) = selector.api_version.as_deref().filter(|version| !["", "v1"].contains(version)) {
        findings.rejected(&at.field("apiVersion"), version, "v1");
    }
    let path = selector.field_path.as_str();
    let at = at.field("fieldPath");
    match field(path) {
        _ if path.is_empty() => findings.missing(&at, needed),
        Some(Field::Label(key)) => check_name(&key, &names::KEY, &at, findings),
        Some(Field::Annotation(key)) => check_name(&key.to_lowercase(), &names::KEY, &at, findings),
        Some(field) if fits(&field) => {}
        _ => findings.rejected(&at, path, needed),
    }
}

/// Whose resources are meant if no container is named.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Whose {
    Own,
    /// A volume belongs to no container: one must be named.
    Nobodys,
}

fn resource_ref(
    selector: &ResourceFieldSelector,
    containers: &[&str],
    whose: Whose,
    at: &Path<'_>,
    findings: &mut Findings,
) {
    let name = selector.container_name.as_deref().unwrap_or_default();
    if name.is_empty() && whose == Whose::Nobodys {
        findings.missing(&at.field("containerName"), "the name of a container");
    } else if !name.is_empty() && !containers.contains(&name) {
        let message = format!("there is no container {}", quoted(name));
        findings.fault(&at.field("containerName"), FaultKind::Value, message);
    }
    if selector.resource.is_empty() {
        return findings.missing(&at.field("resource"), AMOUNTS);
    }
    let Some(amount) = amount(&selector.resource) else {
        return findings.rejected(&at.field("resource"), &selector.resource, AMOUNTS);
    };
    let accepted: &[&str] = match amount {
        Amount::CpuLimit | Amount::CpuRequest => &CPU_DIVISORS,
        Amount::MemoryLimit | Amount::MemoryRequest => &MEMORY_DIVISORS,
    };
    let text = selector.divisor.as_ref().map_or("1", |divisor| divisor.0.as_str());
    let size = divisor(amount, selector.divisor.as_ref());
    let fits = accepted.iter().any(|accepted| {
        let accepted = k8s_openapi::apimachinery::pkg::api::resource::Quantity((*accepted).to_owned());
        size.is_some() && size == divisor(amount, Some(&accepted))
    });
    if !fits {
        findings.rejected(&at.field("divisor"), text, &format!("one of {}", accepted.join(", ")));
    }
}

/// A volume made of files; nothing to say of other volumes. Gives back the source's name.
pub(super) fn volume(
    volume: &Volume,
    containers: &[&str],
    at: &Path<'_>,
    findings: &mut Findings,
) -> Vec<&'static str> {
    let mut sources = Vec::new();
    if let Some(map) = &volume.config_map {
        sources.push("configMap");
        let at = at.field("configMap");
        require_name(&map.name, &names::SUBDOMAIN, &at.field("name"), findings);
        mode(map.default_mode, &at.field("defaultMode"), findings);
        items(map.items.as_deref(), &at, findings);
    }
    if let Some(secret) = &volume.secret {
        sources.push("secret");
        let at = at.field("secret");
        let name = secret.secret_name.as_deref().unwrap_or_default();
        require_name(name, &names::SUBDOMAIN, &at.field("secretName"), findings);
        mode(secret.default_mode, &at.field("defaultMode"), findings);
        items(secret.items.as_deref(), &at, findings);
    }
    if let Some(downward) = &volume.downward_api {
        sources.push("downwardAPI");
        let at = at.field("downwardAPI");
        mode(downward.default_mode, &at.field("defaultMode"), findings);
        files(downward.items.as_deref(), containers, &at, findings);
    }
    if let Some(source) = &volume.projected {
        sources.push("projected");
        projected(source, containers, &at.field("projected"), findings);
    }
    sources
}

fn projected(source: &ProjectedVolumeSource, containers: &[&str], at: &Path<'_>, findings: &mut Findings) {
    mode(source.default_mode, &at.field("defaultMode"), findings);
    let list = at.field("sources");
    let mut seen = BTreeMap::new();
    for (index, source) in source.sources.iter().flatten().enumerate() {
        let at = list.item(index);
        let known = [
            ("configMap", source.config_map.is_some()),
            ("secret", source.secret.is_some()),
            ("downwardAPI", source.downward_api.is_some()),
        ];
        if !refused(source) {
            one_of(&known, &at, findings);
        }
        let mut paths = Vec::new();
        if let Some(map) = &source.config_map {
            let at = at.field("configMap");
            require_name(&map.name, &names::SUBDOMAIN, &at.field("name"), findings);
            paths.extend(items(map.items.as_deref(), &at, findings));
        }
        if let Some(secret) = &source.secret {
            let at = at.field("secret");
            require_name(&secret.name, &names::SUBDOMAIN, &at.field("name"), findings);
            paths.extend(items(secret.items.as_deref(), &at, findings));
        }
        if let Some(downward) = &source.downward_api {
            paths.extend(files(downward.items.as_deref(), containers, &at.field("downwardAPI"), findings));
        }
        for path in paths {
            if let Some(first) = seen.insert(path.clone(), index) {
                let message = format!("the path {} is taken by {}", quoted(&path), list.item(first));
                findings.fault(&at, FaultKind::Value, message);
            }
        }
    }
}

/// A source that `rules` has refused by name.
fn refused(source: &VolumeProjection) -> bool {
    source.service_account_token.is_some()
        || source.cluster_trust_bundle.is_some()
        || source.pod_certificate.is_some()
}

fn items(items: Option<&[KeyToPath]>, at: &Path<'_>, findings: &mut Findings) -> Vec<String> {
    let list = at.field("items");
    let mut paths = Vec::new();
    for (index, item) in items.unwrap_or_default().iter().enumerate() {
        let at = list.item(index);
        require_name(&item.key, &names::DATA_KEY, &at.field("key"), findings);
        file_path(&item.path, &at.field("path"), findings);
        mode(item.mode, &at.field("mode"), findings);
        paths.push(item.path.clone());
    }
    paths
}

fn files(
    files: Option<&[DownwardAPIVolumeFile]>,
    containers: &[&str],
    at: &Path<'_>,
    findings: &mut Findings,
) -> Vec<String> {
    let list = at.field("items");
    let mut paths = Vec::new();
    for (index, file) in files.unwrap_or_default().iter().enumerate() {
        let at = list.item(index);
        file_path(&file.path, &at.field("path"), findings);
        mode(file.mode, &at.field("mode"), findings);
        let given =
            [("fieldRef", file.field_ref.is_some()), ("resourceFieldRef", file.resource_field_ref.is_some())];
        one_of(&given, &at, findings);
        if let Some(selector) = &file.field_ref {
            let of_metadata = |field: &Field| {
                matches!(
                    field,
                    Field::Name | Field::Namespace | Field::Uid | Field::Labels | Field::Annotations
                )
            };
            field_ref(selector, of_metadata, FILE_FIELDS, &at.field("fieldRef"), findings);
        }
        if let Some(selector) = &file.resource_field_ref {
            resource_ref(selector, containers, Whose::Nobodys, &at.field("resourceFieldRef"), findings);
        }
        paths.push(file.path.clone());
    }
    paths
}

/// What begins with `..` is the writer's own.
fn file_path(path: &str, at: &Path<'_>, findings: &mut Findings) {
    const NEEDED: &str = "a relative path that has no \"..\" in it and does not begin with it";
    if path.is_empty() {
        findings.missing(at, NEEDED);
    } else if path.starts_with('/') || path.starts_with("..") || climbs(path) {
        findings.rejected(at, path, NEEDED);
    }
}

fn mode(mode: Option<i32>, at: &Path<'_>, findings: &mut Findings) {
    if let Some(mode) = mode.filter(|mode| !(0..=0o777).contains(mode)) {
        let message = format!("{mode} is out of range; a mode from 0 to 0777 (511 in decimal) is needed");
        findings.fault(at, FaultKind::Value, message);
    }
}
