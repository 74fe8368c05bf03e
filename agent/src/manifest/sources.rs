//! `env`, `envFrom` and volumes of files → `pod::source`. Checks nothing that is checked already, except what a path in
//! words means.

use k8s_openapi::{
    api::core::v1::{
        Container, DownwardAPIVolumeFile, EnvFromSource, EnvVar, EnvVarSource, KeyToPath,
        ResourceFieldSelector, Volume, VolumeProjection,
    },
    apimachinery::pkg::api::resource::Quantity as Written,
};

use super::quantity::Quantity;
use crate::pod::source::{
    Amount, ConfigKind, DownwardFile, Field, FileKey, Item, Need, Part, PodSource, Projection, Reference,
    ResourceField, ValueSource, Variable,
};

/// The mode of a file that has none of its own.
const MODE: i32 = 0o644;
/// What a file may be asked to have.
const MODE_BITS: u32 = 0o777;

/// `envFrom`, then `env`. `None` if a source was not checked before.
pub(super) fn variables(container: &Container) -> Option<Vec<Variable>> {
    let groups = container.env_from.iter().flatten().map(group);
    groups.chain(container.env.iter().flatten().map(variable)).collect()
}

fn group(from: &EnvFromSource) -> Option<Variable> {
    let object = match (&from.config_map_ref, &from.secret_ref) {
        (Some(map), _) => reference(ConfigKind::ConfigMap, &map.name, map.optional),
        (None, Some(secret)) => reference(ConfigKind::Secret, &secret.name, secret.optional),
        (None, None) => return None,
    };
    Some(Variable::All { prefix: from.prefix.clone().unwrap_or_default(), object })
}

fn variable(variable: &EnvVar) -> Option<Variable> {
    let name = variable.name.clone();
    // As the kubelet: a value that is not empty goes before its source.
    let value = variable.value.clone().unwrap_or_default();
    match &variable.value_from {
        Some(from) if value.is_empty() => Some(Variable::From { name, source: value_source(from)? }),
        _ => Some(Variable::Written { name, value }),
    }
}

fn value_source(from: &EnvVarSource) -> Option<ValueSource> {
    if let Some(key) = &from.config_map_key_ref {
        let object = reference(ConfigKind::ConfigMap, &key.name, key.optional);
        return Some(ValueSource::Key { object, key: key.key.clone() });
    }
    if let Some(key) = &from.secret_key_ref {
        let object = reference(ConfigKind::Secret, &key.name, key.optional);
        return Some(ValueSource::Key { object, key: key.key.clone() });
    }
    if let Some(file) = &from.file_key_ref {
        let need = if file.optional == Some(true) { Need::Optional } else { Need::Required };
        let (volume, path, key) = (file.volume_name.clone(), file.path.clone(), file.key.clone());
        return Some(ValueSource::File(FileKey { volume, path, key, need }));
    }
    let field = from.field_ref.as_ref().map(|field| field.field_path.as_str());
    pod_source(field, from.resource_field_ref.as_ref()).map(ValueSource::Pod)
}

fn pod_source(field: Option<&str>, resource: Option<&ResourceFieldSelector>) -> Option<PodSource> {
    match (field, resource) {
        (Some(path), _) => self::field(path).map(PodSource::Field),
        (None, Some(resource)) => resource_field(resource).map(PodSource::Resource),
        (None, None) => None,
    }
}

/// `fieldPath` in Kubernetes' words.
pub(super) fn field(path: &str) -> Option<Field> {
    let keyed = |start: &str| {
        let key = path.strip_prefix(start)?.strip_suffix("']")?;
        (!key.is_empty()).then(|| key.to_owned())
    };
    Some(match path {
        "metadata.name" => Field::Name,
        "metadata.namespace" => Field::Namespace,
        "metadata.uid" => Field::Uid,
        "metadata.labels" => Field::Labels,
        "metadata.annotations" => Field::Annotations,
        "spec.nodeName" => Field::NodeName,
        "spec.serviceAccountName" => Field::ServiceAccount,
        "status.podIP" => Field::PodIp,
        "status.podIPs" => Field::PodIps,
        "status.hostIP" => Field::HostIp,
        "status.hostIPs" => Field::HostIps,
        _ => {
            let label = keyed("metadata.labels['").map(Field::Label);
            return label.or_else(|| keyed("metadata.annotations['").map(Field::Annotation));
        }
    })
}

/// `resource` in Kubernetes' words.
pub(super) fn amount(resource: &str) -> Option<Amount> {
    Some(match resource {
        "limits.cpu" => Amount::CpuLimit,
        "requests.cpu" => Amount::CpuRequest,
        "limits.memory" => Amount::MemoryLimit,
        "requests.memory" => Amount::MemoryRequest,
        _ => return None,
    })
}

/// What an amount is divided by; 1 if nothing is said.
pub(super) fn divisor(amount: Amount, written: Option<&Written>) -> Option<u64> {
    let quantity = match written {
        None => Quantity::parse("1")?,
        Some(written) => Quantity::parse(&written.0)?,
    };
    let quantity = if quantity.signed() == 0 { Quantity::parse("1")? } else { quantity };
    Some(match amount {
        Amount::CpuLimit | Amount::CpuRequest => quantity.thousandths(),
        Amount::MemoryLimit | Amount::MemoryRequest => quantity.units(),
    })
}

fn resource_field(selector: &ResourceFieldSelector) -> Option<ResourceField> {
    let amount = amount(&selector.resource)?;
    Some(ResourceField {
        container: selector.container_name.clone().filter(|name| !name.is_empty()),
        amount,
        divisor: divisor(amount, selector.divisor.as_ref()).filter(|divisor| *divisor > 0)?,
    })
}

fn reference(kind: ConfigKind, name: &str, optional: Option<bool>) -> Reference {
    let need = if optional == Some(true) { Need::Optional } else { Need::Required };
    Reference { kind, name: name.to_owned(), need }
}

/// The files of a volume; `None` if it is another sort of volume.
pub(super) fn projection(volume: &Volume) -> Option<Projection> {
    if let Some(map) = &volume.config_map {
        let object = reference(ConfigKind::ConfigMap, &map.name, map.optional);
        let part = Part::Object { object, items: items(map.items.as_deref()) };
        return Some(Projection { mode: default_mode(map.default_mode), parts: vec![part] });
    }
    if let Some(secret) = &volume.secret {
        let name = secret.secret_name.as_deref().unwrap_or_default();
        let object = reference(ConfigKind::Secret, name, secret.optional);
        let part = Part::Object { object, items: items(secret.items.as_deref()) };
        return Some(Projection { mode: default_mode(secret.default_mode), parts: vec![part] });
    }
    if let Some(downward) = &volume.downward_api {
        let part = Part::Downward(downward_files(downward.items.as_deref())?);
        return Some(Projection { mode: default_mode(downward.default_mode), parts: vec![part] });
    }
    let projected = volume.projected.as_ref()?;
    let parts = projected.sources.iter().flatten().map(part).collect::<Option<_>>()?;
    Some(Projection { mode: default_mode(projected.default_mode), parts })
}

fn part(source: &VolumeProjection) -> Option<Part> {
    if let Some(map) = &source.config_map {
        let object = reference(ConfigKind::ConfigMap, &map.name, map.optional);
        return Some(Part::Object { object, items: items(map.items.as_deref()) });
    }
    if let Some(secret) = &source.secret {
        let object = reference(ConfigKind::Secret, &secret.name, secret.optional);
        return Some(Part::Object { object, items: items(secret.items.as_deref()) });
    }
    let downward = source.downward_api.as_ref()?;
    Some(Part::Downward(downward_files(downward.items.as_deref())?))
}

fn items(items: Option<&[KeyToPath]>) -> Vec<Item> {
    let item =
        |item: &KeyToPath| Item { key: item.key.clone(), path: item.path.clone(), mode: item.mode.map(bits) };
    items.unwrap_or_default().iter().map(item).collect()
}

fn downward_files(files: Option<&[DownwardAPIVolumeFile]>) -> Option<Vec<DownwardFile>> {
    let file = |file: &DownwardAPIVolumeFile| {
        let field = file.field_ref.as_ref().map(|field| field.field_path.as_str());
        Some(DownwardFile {
            path: file.path.clone(),
            mode: file.mode.map(bits),
            source: pod_source(field, file.resource_field_ref.as_ref())?,
        })
    };
    files.unwrap_or_default().iter().map(file).collect()
}

fn default_mode(mode: Option<i32>) -> u32 {
    bits(mode.unwrap_or(MODE))
}

fn bits(mode: i32) -> u32 {
    mode.cast_unsigned() & MODE_BITS
}
