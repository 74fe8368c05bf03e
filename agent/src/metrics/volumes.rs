//! The claims that pods use, under the kubelet's names. What is free is the filesystem's that a claim lies on, and so is
//! its size; what is used is the claim's own.

use super::family::{Family, Series};
use crate::{picture::Picture, pod::storage::ClaimUse};

/// Of one claim.
type Figure = fn(&ClaimUse) -> u64;

const ALL: [(&str, &str, Figure); 6] = [
    ("kubelet_volume_stats_capacity_bytes", "Size of the filesystem that the claim is on.", |of| {
        of.disk.bytes
    }),
    ("kubelet_volume_stats_available_bytes", "What of it is free.", |of| of.disk.free_bytes),
    ("kubelet_volume_stats_used_bytes", "What the claim's files take of it.", |of| of.bytes),
    ("kubelet_volume_stats_inodes", "Files that the filesystem has room for.", |of| of.disk.inodes),
    ("kubelet_volume_stats_inodes_free", "How many more there may be.", |of| of.disk.free_inodes),
    ("kubelet_volume_stats_inodes_used", "Files of the claim.", |of| of.inodes),
];

pub(super) fn families(picture: &Picture) -> Vec<Family> {
    let family = |(name, help, figure): (&'static str, &'static str, Figure)| {
        let series = |of: &ClaimUse| {
            let labels = [("namespace", &*of.namespace), ("persistentvolumeclaim", &*of.claim)];
            Series::new(labels, figure(of) as f64)
        };
        Family::gauge(name, help, picture.claims.iter().map(series).collect())
    };
    ALL.map(family).into()
}
