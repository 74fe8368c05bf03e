//! What a machine holds that carob could leave behind: taken before and after, the difference is what was left.

use std::{
    collections::BTreeSet,
    fs,
    os::unix::fs::FileTypeExt,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};

/// Where carob's own files may lie.
const FOLDERS: &[&str] = &["/run/carob", "/run/netns", "/var/lib/carob"];
const CGROUPS: &str = "/sys/fs/cgroup";

/// Each trace is a line that names its kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Traces {
    lines: BTreeSet<String>,
}

impl Traces {
    pub(crate) fn now() -> Result<Self> {
        let mut lines = BTreeSet::new();
        let mounts = fs::read_to_string("/proc/self/mountinfo").context("read the mounts")?;
        lines.extend(mounts.lines().filter_map(mount));
        lines.extend(cgroups(Path::new(CGROUPS)).iter().map(|dir| format!("cgroup {}", dir.display())));
        lines.extend(processes()?);
        for entry in fs::read_dir("/sys/class/net").context("read the links")? {
            let link = entry?.file_name();
            // Made for the first pod and kept for the next: it goes when carob does.
            if link != "carob0" {
                lines.insert(format!("link {}", link.display()));
            }
        }
        for folder in FOLDERS {
            lines.extend(special_files(Path::new(folder)));
        }
        Ok(Self { lines })
    }

    /// What is there now and was not before.
    pub(crate) fn since<'a>(&'a self, before: &Self) -> Vec<&'a str> {
        let was = |line: &&str| !before.lines.contains(*line);
        self.lines.iter().map(String::as_str).filter(was).collect()
    }
}

/// `mount TYPE at PLACE` of a mountinfo line.
fn mount(line: &str) -> Option<String> {
    let (fixed, rest) = line.split_once(" - ")?;
    Some(format!("mount {} at {}", rest.split(' ').next()?, fixed.split(' ').nth(4)?))
}

fn cgroups(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    let dirs =
        entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())).map(|entry| entry.path());
    dirs.flat_map(|dir| [cgroups(&dir), vec![dir]].concat()).collect()
}

/// Processes of carob's subtree: others of the machine come and go.
fn processes() -> Result<Vec<String>> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").context("read the processes")? {
        let path = entry?.path();
        // A process may end while it is looked at.
        let cgroup = fs::read_to_string(path.join("cgroup")).unwrap_or_default();
        if cgroup.contains("carob.slice") {
            let name = fs::read_to_string(path.join("comm")).unwrap_or_default();
            let id = path.file_name().unwrap_or_default().display();
            found.push(format!("process {id} {} in {}", name.trim(), cgroup.trim()));
        }
    }
    Ok(found)
}

/// FIFOs, sockets and files that hold a namespace (they are mounts too, but here by their place).
fn special_files(dir: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let Ok(kind) = entry.file_type() else { continue };
        let path = entry.path();
        if kind.is_dir() {
            found.extend(special_files(&path));
        } else if kind.is_fifo() {
            found.push(format!("fifo {}", path.display()));
        } else if kind.is_socket() {
            found.push(format!("socket {}", path.display()));
        } else if path.starts_with("/run") {
            found.push(format!("file {}", path.display()));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mount_is_known_by_type_and_place() {
        let line = "36 35 98:0 /m /mnt2 rw,noatime shared:1 - ext4 /dev/root rw";
        assert_eq!(mount(line).as_deref(), Some("mount ext4 at /mnt2"));
    }

    #[test]
    fn only_what_is_new_was_left() {
        let of = |lines: &[&str]| Traces { lines: lines.iter().map(|line| (*line).to_owned()).collect() };
        assert_eq!(of(&["a", "b"]).since(&of(&["a", "c"])), ["b"]);
    }
}
