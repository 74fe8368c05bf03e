//! Limits on what a pod keeps on the box's disk, and what it does keep there. Plain data.

/// An amount that may not be exceeded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Limit {
    pub(crate) bytes: u64,
    /// As an API server writes it: what is said of it is said in these words.
    pub(crate) written: String,
}

/// Bytes on disk, measured.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Used {
    /// Writable layer and logs, in the order of the spec.
    pub(crate) containers: Vec<u64>,
    /// In the order of `spec.volumes`; 0 for those that are not the pod's own or not on disk.
    pub(crate) volumes: Vec<u64>,
}
