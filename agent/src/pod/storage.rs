//! Limits on what a pod keeps on the box's disk, and what it does keep there. Plain data.

/// An amount that may not be exceeded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Limit {
    pub(crate) bytes: u64,
    /// As an API server writes it: what is said of it is said in these words.
    pub(crate) written: String,
}

/// A filesystem, as a claim on it is told of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Filesystem {
    pub(crate) bytes: u64,
    /// For who is not root.
    pub(crate) free_bytes: u64,
    pub(crate) inodes: u64,
    pub(crate) free_inodes: u64,
}

/// What the files of a claim take, measured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ClaimUse {
    pub(crate) namespace: String,
    pub(crate) claim: String,
    pub(crate) bytes: u64,
    pub(crate) inodes: u64,
    /// What the claim lies on.
    pub(crate) disk: Filesystem,
}

/// Bytes on disk, measured.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Used {
    /// Writable layer and logs, in the order of the spec.
    pub(crate) containers: Vec<u64>,
    /// In the order of `spec.volumes`; 0 for those that are not the pod's own or not on disk.
    pub(crate) volumes: Vec<u64>,
}
