//! Which lists a strategic merge patch merges, and by what (`patchStrategy` and `patchMergeKey` of Kubernetes' types). Data
//! only. A list without a row is replaced as a whole.

/// By the field's name, which means the same list wherever it stands; where it has two keys, the first that an entry has.
pub(super) const MERGED: &[(&str, By)] = &[
    ("conditions", By::Key(&["type"])),
    ("containers", By::Key(&["name"])),
    ("env", By::Key(&["name"])),
    ("ephemeralContainers", By::Key(&["name"])),
    ("finalizers", By::Value),
    ("hostAliases", By::Key(&["ip"])),
    ("imagePullSecrets", By::Key(&["name"])),
    ("initContainers", By::Key(&["name"])),
    ("ownerReferences", By::Key(&["uid"])),
    ("podIPs", By::Key(&["ip"])),
    // Of a container, of a service.
    ("ports", By::Key(&["containerPort", "port"])),
    ("resourceClaims", By::Key(&["name"])),
    ("schedulingGates", By::Key(&["name"])),
    ("topologySpreadConstraints", By::Key(&["topologyKey"])),
    ("volumeDevices", By::Key(&["devicePath"])),
    ("volumeMounts", By::Key(&["mountPath"])),
    ("volumes", By::Key(&["name"])),
];

/// What tells the entries of a list apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum By {
    Key(&'static [&'static str]),
    /// Scalars: the list is a set.
    Value,
}

pub(super) fn of(field: &str) -> Option<By> {
    MERGED.iter().find(|(name, _)| *name == field).map(|(_, by)| *by)
}
