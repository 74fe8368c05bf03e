//! How much of the box's disk the things of a pod take, as `du` counts: blocks, not lengths.
#![expect(clippy::disallowed_methods, reason = "looks at the disk")]

use std::{
    collections::BTreeSet,
    fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use super::places::Places;
use crate::pod::{
    AttemptId, Spec, VolumeSource,
    storage::{ClaimUse, Filesystem, Used},
};

/// `st_blocks` counts these, whatever the filesystem's own blocks are.
const BLOCK: u64 = 512;

/// Measures a pod. `attempts`: of each container the one that runs or ran last.
pub(crate) fn of_pod(places: &Places, spec: &Spec, attempts: &[Option<AttemptId>]) -> io::Result<Used> {
    let logs = places.pod_logs(&spec.name, &spec.uid);
    let bytes = |root: &Path| of_tree(root).map(|tree| tree.bytes);
    let container = |(container, attempt): (&crate::pod::Container, &Option<AttemptId>)| {
        let layer = attempt.as_ref().map_or(Ok(0), |id| bytes(&places.upper(id).join("upper")));
        Ok(layer? + bytes(&logs.join(&container.name))?)
    };
    let volume = |volume: &crate::pod::Volume| match volume.source {
        VolumeSource::EmptyDir { .. } => bytes(&places.pod(&spec.uid).volume_on_disk(&volume.name)),
        _ => Ok(0),
    };
    Ok(Used {
        containers: spec.containers.iter().zip(attempts).map(container).collect::<io::Result<_>>()?,
        volumes: spec.volumes.iter().map(volume).collect::<io::Result<_>>()?,
    })
}

/// Measures a claim.
pub(crate) fn of_claim(places: &Places, namespace: &str, claim: &str) -> io::Result<ClaimUse> {
    let dir = places.claim(namespace, claim);
    let (tree, disk) = (of_tree(&dir)?, rustix::fs::statvfs(&dir)?);
    let bytes = |blocks: u64| blocks.saturating_mul(disk.f_frsize);
    Ok(ClaimUse {
        namespace: namespace.to_owned(),
        claim: claim.to_owned(),
        bytes: tree.bytes,
        inodes: tree.inodes,
        disk: Filesystem {
            bytes: bytes(disk.f_blocks),
            free_bytes: bytes(disk.f_bavail),
            inodes: disk.f_files,
            free_inodes: disk.f_favail,
        },
    })
}

/// What a directory and all below it take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Tree {
    bytes: u64,
    inodes: u64,
}

/// On the filesystem that the directory lies on. What has two names is counted once; what goes away meanwhile, not at all.
fn of_tree(root: &Path) -> io::Result<Tree> {
    let mut sum = Tree::default();
    let Some(top) = there(fs::symlink_metadata(root))? else { return Ok(sum) };
    let device = top.dev();
    let (mut linked, mut left): (BTreeSet<u64>, Vec<PathBuf>) = (BTreeSet::new(), vec![root.to_owned()]);
    while let Some(path) = left.pop() {
        let Some(meta) = there(fs::symlink_metadata(&path))? else { continue };
        let again = !meta.is_dir() && meta.nlink() > 1 && !linked.insert(meta.ino());
        if meta.dev() != device || again {
            continue;
        }
        sum.bytes += meta.blocks() * BLOCK;
        sum.inodes += 1;
        if meta.is_dir() {
            for entry in there(fs::read_dir(&path))?.into_iter().flatten() {
                left.extend(there(entry)?.map(|entry| entry.path()));
            }
        }
    }
    Ok(sum)
}

fn there<T>(found: io::Result<T>) -> io::Result<Option<T>> {
    match found {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        other => other.map(Some),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tree_is_counted_in_blocks_and_each_file_once() {
        let root = std::env::temp_dir().join(format!("carob-usage-{}", std::process::id()));
        fs::create_dir_all(root.join("deep")).unwrap();
        let empty = of_tree(&root).unwrap();
        fs::write(root.join("deep/file"), vec![1; 1 << 20]).unwrap();
        fs::hard_link(root.join("deep/file"), root.join("again")).unwrap();
        std::os::unix::fs::symlink("/usr", root.join("out")).unwrap();
        fs::File::create(root.join("sparse")).unwrap().set_len(1 << 30).unwrap();
        let full = of_tree(&root).unwrap();
        fs::remove_dir_all(&root).unwrap();
        assert!((1 << 20..2 << 20).contains(&(full.bytes - empty.bytes)), "{full:?} {empty:?}");
        assert_eq!((empty.inodes, full.inodes), (2, 5));
        assert_eq!(of_tree(&root).unwrap(), Tree::default());
    }
}
