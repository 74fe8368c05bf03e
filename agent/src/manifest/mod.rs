//! Manifests: bytes → JSON values with their lines and columns → checked Kubernetes objects → `pod::Spec`.
//!
//! Strict: what carob does not do is refused by name, never ignored. No I/O: bytes in, values out.
//!
//! ```text
//!  bytes ─ yaml ─► Value + places ─ shape ─► typed object ─ rules, check ─► faults, or the object
//!                                   (fields, types)         (fate, values)   with defaults ─ spec ─► pod::Spec
//! ```

pub(crate) mod allocation;
mod annotations;
mod check;
mod defaults;
mod ephemeral;
mod fault;
mod file;
mod leniency;
pub(crate) mod made;
mod names;
mod path;
mod port;
mod probe;
mod quantity;
mod rules;
mod scalar;
mod schema;
mod security;
mod shape;
mod sources;
mod spec;
mod storage;
mod sum;
mod surroundings;
mod workload;
mod yaml;

use std::collections::BTreeMap;

use k8s_openapi::{ByteString, Resource};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

pub(crate) use self::{
    defaults::NAMESPACE_LABEL,
    fault::{Fault, FaultKind, Faults, Place},
    file::read,
    leniency::{forgiven, is_forgivable},
    quantity::Quantity,
    schema::schema,
};
use self::{
    fault::Findings,
    path::Path,
    rules::{Rules, fields},
};
use crate::pod::{PodUid, Spec, workload::WorkloadKind};

/// The kinds of object carob keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Kind {
    Pod,
    PersistentVolumeClaim,
    ConfigMap,
    Secret,
    Namespace,
    Workload(WorkloadKind),
}

impl Kind {
    fn all() -> impl Iterator<Item = Self> {
        let plain = [Self::Pod, Self::PersistentVolumeClaim, Self::ConfigMap, Self::Secret, Self::Namespace];
        plain.into_iter().chain(WorkloadKind::ALL.map(Self::Workload))
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Pod => "Pod",
            Self::PersistentVolumeClaim => "PersistentVolumeClaim",
            Self::ConfigMap => "ConfigMap",
            Self::Secret => "Secret",
            Self::Namespace => "Namespace",
            Self::Workload(kind) => kind.name(),
        }
    }

    pub(crate) fn api_version(self) -> &'static str {
        match self {
            Self::Workload(kind) => kind.api_version(),
            _ => "v1",
        }
    }

    /// Whether its objects are in a namespace.
    pub(crate) fn is_namespaced(self) -> bool {
        self != Self::Namespace
    }

    /// Checks one object of the kind and fills in the defaults.
    pub(crate) fn check(self, value: &Value) -> Result<Checked, Faults> {
        match self {
            Self::Pod => pod(value),
            Self::PersistentVolumeClaim => claim(value),
            Self::ConfigMap => config_map(value),
            Self::Secret => secret(value),
            Self::Namespace => namespace(value),
            Self::Workload(kind) => workload::checked(kind, value),
        }
    }
}

/// What an object cannot have when it is made, though it may get it later: the field, and why.
pub(crate) fn only_later(object: &Value) -> Option<(&'static str, &'static str)> {
    let has_any = object["spec"]["ephemeralContainers"].as_array().is_some_and(|list| !list.is_empty());
    has_any.then_some((
        "spec.ephemeralContainers",
        "cannot be set on create: these are added to a pod that runs",
    ))
}

/// Whether most kinds of object may have that name.
pub(crate) fn is_subdomain(name: &str) -> bool {
    (names::SUBDOMAIN.fits)(name)
}

/// One object of a file, good in all its fields. Defaults are not filled in: `pod` and `claim` do that.
#[derive(Clone, Debug)]
pub(crate) struct Object {
    pub(crate) value: Value,
    pub(crate) kind: Kind,
    /// `default` if the object names none; empty if its kind has none.
    pub(crate) namespace: String,
    pub(crate) name: ObjectName,
    /// Where the object begins.
    pub(crate) at: Place,
}

/// What an object is to be called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ObjectName {
    Given(String),
    /// `generateName`: the beginning of a name that is still to be made.
    Generated(String),
}

/// An object with Kubernetes' defaults filled in.
#[derive(Clone, Debug)]
pub(crate) struct Checked {
    pub(crate) object: Value,
    /// The fields that were accepted and have no effect, each with the reason.
    pub(crate) notes: Vec<String>,
}

/// Checks one Pod and fills in the defaults.
pub(crate) fn pod(value: &Value) -> Result<Checked, Faults> {
    let (mut pod, notes) = examine(value, &fields::POD, check::pod)?;
    defaults::fill_pod(&mut pod);
    checked(&pod, notes)
}

/// What of a stored pod has no effect here, each with the reason. That it has an owner was not its author's word if carob
/// made it.
pub(crate) fn without_effect(pod: &Value) -> Vec<String> {
    let mut pod = pod.clone();
    if made::owner(&pod).is_some()
        && let Some(metadata) = pod["metadata"].as_object_mut()
    {
        metadata.remove("ownerReferences");
    }
    self::pod(&pod).map(|checked| checked.notes).unwrap_or_default()
}

/// Checks one PersistentVolumeClaim and fills in the defaults.
pub(crate) fn claim(value: &Value) -> Result<Checked, Faults> {
    let (mut claim, notes) = examine(value, &fields::CLAIM, check::claim::check)?;
    defaults::fill_claim(&mut claim);
    checked(&claim, notes)
}

/// Checks one ConfigMap and fills in the defaults.
pub(crate) fn config_map(value: &Value) -> Result<Checked, Faults> {
    let (mut map, notes) = examine(value, &fields::CONFIG_MAP, check::config::map)?;
    defaults::fill_config_map(&mut map);
    checked(&map, notes)
}

/// Checks one Secret and fills in the defaults: what `stringData` says moves to `data`.
pub(crate) fn secret(value: &Value) -> Result<Checked, Faults> {
    let (mut secret, notes) = examine(value, &fields::SECRET, check::config::secret)?;
    defaults::fill_secret(&mut secret);
    checked(&secret, notes)
}

/// Checks one Namespace and fills in the defaults.
pub(crate) fn namespace(value: &Value) -> Result<Checked, Faults> {
    let (mut space, notes) = examine(value, &fields::NAMESPACE, check::namespace)?;
    defaults::fill_namespace(&mut space);
    checked(&space, notes)
}

/// What a ConfigMap or Secret holds, by key. What cannot be read is left out: it was checked when it was stored.
pub(crate) fn contents(object: &Value) -> BTreeMap<String, Vec<u8>> {
    let texts = |field: &str| object[field].as_object().into_iter().flatten();
    let bytes = |(key, value): (&String, &Value)| {
        let ByteString(value) = serde_json::from_value(value.clone()).ok()?;
        Some((key.clone(), value))
    };
    if object["kind"] == Kind::Secret.name() {
        return texts("data").filter_map(bytes).collect();
    }
    let text = |(key, value): (&String, &Value)| Some((key.clone(), value.as_str()?.as_bytes().to_vec()));
    texts("data").filter_map(text).chain(texts("binaryData").filter_map(bytes)).collect()
}

/// Whether a stored ConfigMap or Secret may be changed to this.
pub(crate) fn may_become(old: &Value, new: &Value) -> Result<(), Faults> {
    let mut findings = Findings::default();
    check::config::may_become(old, new, &mut findings);
    if findings.faults.is_empty() { Ok(()) } else { Err(Faults(findings.faults)) }
}

/// What a Pod asks for, in the agent's own words. Takes the object with or without its defaults.
pub(crate) fn spec(object: &Value, uid: PodUid) -> Result<Spec, Faults> {
    let (mut pod, _) = examine(object, &fields::POD, check::pod)?;
    defaults::fill_pod(&mut pod);
    Ok(spec::from(pod, uid)?)
}

/// The typed object and its notes, if there is no fault in it.
fn examine<T: Resource + DeserializeOwned>(
    value: &Value,
    rules: &Rules,
    check: impl FnOnce(&T, &mut Findings),
) -> Result<(T, Vec<String>), Faults> {
    let mut findings = Findings::default();
    expect(value, "apiVersion", T::API_VERSION, &mut findings);
    expect(value, "kind", T::KIND, &mut findings);
    if !findings.faults.is_empty() {
        return Err(Faults(findings.faults));
    }
    let object = shape::read::<T>(value, rules, &mut findings);
    rules.judge(value, &mut findings);
    if let Some(object) = &object {
        check(object, &mut findings);
    }
    match object {
        Some(object) if findings.faults.is_empty() => Ok((object, findings.notes)),
        _ => Err(Faults(findings.faults)),
    }
}

/// A client may leave the field out: the address it talks to says the same.
fn expect(value: &Value, field: &str, wanted: &str, findings: &mut Findings) {
    if let Some(found) = value.get(field).and_then(Value::as_str).filter(|found| *found != wanted) {
        findings.rejected(&Path::Root.field(field), found, wanted);
    }
}

fn checked(object: &impl Serialize, notes: Vec<String>) -> Result<Checked, Faults> {
    match serde_json::to_value(object) {
        Ok(object) => Ok(Checked { object, notes }),
        Err(error) => Err(Fault::new(&Path::Root, FaultKind::Value, error.to_string()).into()),
    }
}

#[cfg(test)]
mod config_tests;
#[cfg(test)]
mod corpus;
#[cfg(test)]
mod tests;
