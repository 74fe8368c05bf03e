//! Where a variable's value or a file's content comes from when the manifest does not say it itself: configMaps, secrets
//! and the pod's own fields. Says what is wanted; what is there is looked up elsewhere.

/// One variable, or a group of them, in the order they are set: `envFrom` first, then `env`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Variable {
    /// `value`, in which `$(NAME)` stands for an earlier variable.
    Written { name: String, value: String },
    /// `valueFrom`: taken as it is, nothing in it is expanded.
    From { name: String, source: ValueSource },
    /// One entry of `envFrom`: all of an object's data.
    All { prefix: String, object: Reference },
}

/// `valueFrom`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ValueSource {
    Pod(PodSource),
    Key { object: Reference, key: String },
    File(FileKey),
}

/// `fileKeyRef`: a variable in a file of one of the pod's volumes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FileKey {
    pub(crate) volume: String,
    /// Relative to the volume, without `..`.
    pub(crate) path: String,
    pub(crate) key: String,
    pub(crate) need: Need,
}

/// What the pod says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum PodSource {
    Field(Field),
    Resource(ResourceField),
}

/// `fieldRef.fieldPath`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Field {
    Name,
    Namespace,
    Uid,
    /// All of them, one a line.
    Labels,
    Annotations,
    Label(String),
    Annotation(String),
    NodeName,
    ServiceAccount,
    PodIp,
    PodIps,
    HostIp,
    HostIps,
}

/// `resourceFieldRef`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ResourceField {
    /// Another container than the one that asks.
    pub(crate) container: Option<String>,
    pub(crate) amount: Amount,
    /// In the amount's own unit: thousandths of a CPU, or bytes. Never 0.
    pub(crate) divisor: u64,
}

/// `resourceFieldRef.resource`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Amount {
    CpuLimit,
    CpuRequest,
    MemoryLimit,
    MemoryRequest,
}

/// An object of the pod's namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Reference {
    pub(crate) kind: ConfigKind,
    pub(crate) name: String,
    pub(crate) need: Need,
}

/// The kinds of object that hold data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum ConfigKind {
    ConfigMap,
    Secret,
}

/// `optional`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Need {
    Required,
    /// Fine if it is not there.
    Optional,
}

/// A volume of files whose content is looked up: `configMap`, `secret`, `downwardAPI`, `projected`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Projection {
    /// `defaultMode`.
    pub(crate) mode: u32,
    pub(crate) parts: Vec<Part>,
}

/// One source of a projection. A later one's file takes the place of an earlier one's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// The keys that are listed, or all of them if there is no list.
    Object {
        object: Reference,
        items: Vec<Item>,
    },
    Downward(Vec<DownwardFile>),
}

/// A key of an object, and the file it becomes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Item {
    pub(crate) key: String,
    pub(crate) path: String,
    pub(crate) mode: Option<u32>,
}

/// A file of the downward API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DownwardFile {
    pub(crate) path: String,
    pub(crate) mode: Option<u32>,
    pub(crate) source: PodSource,
}

/// `subPath` as it is, or `subPathExpr` with `$(NAME)` in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum SubPath {
    Written(String),
    Expanded(String),
}
