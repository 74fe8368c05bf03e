//! The kernel's side of carob: how many containers the pinned maps know. The maps are found by what the kernel says of
//! them; what is in the entries is carob's own affair.

use std::{mem::size_of, os::fd::OwnedFd, path::Path};

use anyhow::{Context, Result, ensure};

use crate::bpf;

const PINS: &str = "/sys/fs/bpf";
/// `BPF_MAP_TYPE_HASH` and `BPF_MAP_TYPE_PERCPU_HASH`. The LRU kinds are caches: they empty themselves.
const HASHES: [&str; 2] = ["1", "5"];
/// A cgroup's id.
const KEY: usize = size_of::<u64>();

/// Entries of all hash maps keyed by a cgroup.
pub(crate) fn entries() -> Result<usize> {
    let mut maps = 0;
    let mut entries = 0;
    for pin in bpf::pins(Path::new(PINS)) {
        // Programs and links are pinned there as well.
        let Ok(fd) = bpf::open(&pin) else { continue };
        if is_keyed_by_cgroup(&fd)? {
            maps += 1;
            entries += bpf::count(&fd).with_context(|| format!("read the map {}", pin.display()))?;
        }
    }
    ensure!(maps > 0, "no map of containers is pinned below {PINS}");
    Ok(entries)
}

fn is_keyed_by_cgroup(fd: &OwnedFd) -> Result<bool> {
    let hash = bpf::said(fd, "map_type")?.is_some_and(|kind| HASHES.contains(&kind.as_str()));
    Ok(hash && bpf::said(fd, "key_size")? == Some(KEY.to_string()))
}
