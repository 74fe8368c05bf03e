//! The downward API: a pod's own fields and resources as text, in the kubelet's formats.

use std::{fmt::Write, net::IpAddr};

use serde_json::Value;

use super::Subject;
use crate::{
    config::Config,
    pod::{
        Container,
        source::{Amount, Field, PodSource, ResourceField},
    },
};

/// This box, as its only node.
#[derive(Clone, Debug)]
pub(in crate::run) struct Node {
    pub(in crate::run) name: String,
    /// Thousandths of a CPU.
    pub(in crate::run) cpu: u64,
    /// Bytes.
    pub(in crate::run) memory: u64,
}

impl Node {
    /// All of the box is for its pods.
    pub(in crate::run) fn of(config: &Config) -> Self {
        let info = rustix::system::sysinfo();
        let cpus = std::thread::available_parallelism().map_or(1, usize::from);
        Self {
            name: config.node.clone(),
            cpu: u64::try_from(cpus).unwrap_or(1) * 1000,
            memory: info.totalram * u64::from(info.mem_unit),
        }
    }
}

/// What is known of a pod's addresses and the box's, the first of a list the most important.
#[derive(Clone, Debug, Default)]
pub(in crate::run) struct Addresses {
    pub(in crate::run) pod: Vec<IpAddr>,
    pub(in crate::run) host: Vec<IpAddr>,
}

/// `asks`: the container whose variable it is; none for a volume.
pub(super) fn value(subject: &Subject<'_>, source: &PodSource, asks: Option<&Container>) -> String {
    match source {
        PodSource::Field(field) => self::field(subject, field),
        PodSource::Resource(resource) => self::resource(subject, resource, asks),
    }
}

fn field(subject: &Subject<'_>, field: &Field) -> String {
    let metadata = &subject.object["metadata"];
    let entry = |map: &str, key: &String| metadata[map][key].as_str().unwrap_or_default().to_owned();
    let first = |all: &[IpAddr]| all.first().map(ToString::to_string).unwrap_or_default();
    let joined = |all: &[IpAddr]| all.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
    match field {
        Field::Name => subject.spec.name.name.clone(),
        Field::Namespace => subject.spec.name.namespace.clone(),
        Field::Uid => subject.spec.uid.0.clone(),
        Field::Labels => lines(&metadata["labels"]),
        Field::Annotations => lines(&metadata["annotations"]),
        Field::Label(key) => entry("labels", key),
        Field::Annotation(key) => entry("annotations", key),
        Field::NodeName => subject.node.name.clone(),
        Field::ServiceAccount => {
            let named = subject.object["spec"]["serviceAccountName"].as_str().filter(|name| !name.is_empty());
            named.unwrap_or("default").to_owned()
        }
        Field::PodIp => first(&subject.addresses.pod),
        Field::PodIps => joined(&subject.addresses.pod),
        Field::HostIp => first(&subject.addresses.host),
        Field::HostIps => joined(&subject.addresses.host),
    }
}

/// A limit that is not there is the whole node; a request that is not there is 0. Rounded up.
fn resource(subject: &Subject<'_>, field: &ResourceField, asks: Option<&Container>) -> String {
    let named = |name: &String| subject.spec.containers.iter().find(|container| container.name == *name);
    let resources = field.container.as_ref().map_or(asks, named).map(|container| container.resources);
    let resources = resources.unwrap_or_default();
    let amount = match field.amount {
        Amount::CpuLimit => resources.cpu_limit.unwrap_or(subject.node.cpu),
        Amount::MemoryLimit => resources.memory_limit.unwrap_or(subject.node.memory),
        Amount::CpuRequest => resources.cpu_request.unwrap_or(0),
        Amount::MemoryRequest => resources.memory_request.unwrap_or(0),
    };
    amount.div_ceil(field.divisor.max(1)).to_string()
}

/// `key="value"`, one a line, by key: kubelet `fieldpath.FormatMap`.
fn lines(map: &Value) -> String {
    let entries = map.as_object().into_iter().flatten();
    let line =
        |(key, value): (&String, &Value)| format!("{key}={}", quoted(value.as_str().unwrap_or_default()));
    entries.map(line).collect::<Vec<_>>().join("\n")
}

/// Go's `%q`.
pub(super) fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for letter in text.chars() {
        match letter {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{7}' => out.push_str("\\a"),
            '\u{8}' => out.push_str("\\b"),
            '\u{b}' => out.push_str("\\v"),
            '\u{c}' => out.push_str("\\f"),
            control if control.is_ascii_control() => {
                // Writing to a string cannot fail.
                let _ = write!(out, "\\x{:02x}", u32::from(control));
            }
            control if control.is_control() => {
                let _ = write!(out, "\\u{:04x}", u32::from(control));
            }
            other => out.push(other),
        }
    }
    out.push('"');
    out
}
