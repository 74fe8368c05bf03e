//! How much of the box's disk the things of a pod take, as `du` counts: blocks, not lengths.
#![expect(clippy::disallowed_methods, reason = "looks at the disk")]

use std::{
    collections::BTreeSet,
    fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use super::places::Places;
use crate::pod::{AttemptId, Spec, VolumeSource, storage::Used};

/// `st_blocks` counts these, whatever the filesystem's own blocks are.
const BLOCK: u64 = 512;

/// Measures a pod. `attempts`: of each container the one that runs or ran last.
pub(crate) fn of_pod(places: &Places, spec: &Spec, attempts: &[Option<AttemptId>]) -> io::Result<Used> {
    let logs = places.pod_logs(&spec.name, &spec.uid);
    let container = |(container, attempt): (&crate::pod::Container, &Option<AttemptId>)| {
        let layer = attempt.as_ref().map_or(Ok(0), |id| of_tree(&places.upper(id).join("upper")));
        Ok(layer? + of_tree(&logs.join(&container.name))?)
    };
    let volume = |volume: &crate::pod::Volume| match volume.source {
        VolumeSource::EmptyDir { .. } => of_tree(&places.pod(&spec.uid).volume_on_disk(&volume.name)),
        _ => Ok(0),
    };
    Ok(Used {
        containers: spec.containers.iter().zip(attempts).map(container).collect::<io::Result<_>>()?,
        volumes: spec.volumes.iter().map(volume).collect::<io::Result<_>>()?,
    })
}

/// Bytes of a directory and all below it, on the filesystem it lies on. What has two names is counted once; what goes
/// away meanwhile, not at all.
fn of_tree(root: &Path) -> io::Result<u64> {
    let Some(top) = there(fs::symlink_metadata(root))? else { return Ok(0) };
    let (device, mut sum) = (top.dev(), 0);
    let (mut linked, mut left): (BTreeSet<u64>, Vec<PathBuf>) = (BTreeSet::new(), vec![root.to_owned()]);
    while let Some(path) = left.pop() {
        let Some(meta) = there(fs::symlink_metadata(&path))? else { continue };
        let again = !meta.is_dir() && meta.nlink() > 1 && !linked.insert(meta.ino());
        if meta.dev() != device || again {
            continue;
        }
        sum += meta.blocks() * BLOCK;
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
        let full = of_tree(&root).unwrap() - empty;
        fs::remove_dir_all(&root).unwrap();
        assert!((1 << 20..2 << 20).contains(&full), "{full}");
        assert_eq!(of_tree(&root).unwrap(), 0);
    }
}
