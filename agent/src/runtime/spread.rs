//! `mountPropagation`: joins a container's binds to the mounts of the box that they were made from, so that what is mounted
//! there later is seen here (`rslave`), or on both sides (`rshared`).
//!
//! libcontainer 0.7.0 ignores these words (youki#3604), and makes every mount of the container private before it binds: a
//! bind is then a copy that belongs to nobody. So this process goes into the container's mount namespace when all is
//! mounted and before anything runs there, and gives each bind the sharing group of its source (`MOVE_MOUNT_SET_GROUP`,
//! Linux 5.15). Binds stay where they are: what the pod mounts below one of them does not appear on the box.
#![expect(clippy::disallowed_methods, reason = "this is the effect")]

use std::{
    collections::BTreeMap,
    fs,
    os::fd::{AsFd, OwnedFd},
    path::{Path, PathBuf},
};

use libcontainer::oci_spec::runtime::{Mount, Spec};
use rustix::{
    fs::{CWD, Mode, OFlags, fstat, open},
    io::Errno,
    mount::{MountPropagationFlags, MoveMountFlags, mount_change, move_mount},
    process::Pid,
    thread::{LinkNameSpaceType, move_into_link_name_space},
};

use super::create::chain;
use crate::pod::mountinfo::{self, Mounted};

/// Who sees what is mounted later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sharing {
    /// The container what the box mounts.
    Slave,
    /// Each what the other mounts.
    Peer,
}

/// A bind that shares.
#[derive(Debug)]
struct Bind {
    source: PathBuf,
    target: PathBuf,
    sharing: Sharing,
    /// What was mounted below the source when this process looked first.
    below: Vec<u64>,
}

/// The binds of a container that share.
#[derive(Debug)]
pub(super) struct Binds(Vec<Bind>);

/// A mount of the box, and the place of its copy in the container.
struct Join {
    from: OwnedFd,
    to: PathBuf,
    sharing: Sharing,
    depth: Depth,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Depth {
    /// The bind itself.
    Top,
    /// A mount below the source, copied with it.
    Below,
}

impl Binds {
    /// To be asked before anything is bound.
    pub(super) fn of(bundle: &Path) -> Result<Self, String> {
        let spec = Spec::load(bundle.join("config.json"))
            .map_err(|e| format!("cannot read the container's config.json: {}", chain(&e)))?;
        let wanted: Vec<_> = spec.mounts().iter().flatten().filter_map(sharing).collect();
        if wanted.is_empty() {
            return Ok(Self(Vec::new()));
        }
        let table = table()?;
        let bind = |(source, target, sharing): (&Path, &Path, Sharing)| {
            let source = fs::canonicalize(source)
                .map_err(|e| format!("cannot find the volume {}: {e}", source.display()))?;
            let below = below(&table, &source);
            Ok(Bind { source, target: target.to_owned(), sharing, below })
        };
        wanted.into_iter().map(bind).collect::<Result<_, String>>().map(Self)
    }

    /// To be called when all is bound. This process has one thread: it goes into the container's namespace and comes back.
    pub(super) fn join(&self, init: Pid) -> Result<(), String> {
        if self.0.is_empty() {
            return Ok(());
        }
        let table = table()?;
        let mut joins = Vec::new();
        for bind in &self.0 {
            joins.extend(bind.joins(&table)?);
        }
        let namespace = |path: &str| {
            open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
                .map_err(|e| format!("cannot open the mount namespace {path}: {e}"))
        };
        let enter = |namespace: &OwnedFd, whose: &str| {
            move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Mount))
                .map_err(|e| format!("cannot enter {whose} mount namespace: {e}"))
        };
        let ours = namespace("/proc/self/ns/mnt")?;
        enter(&namespace(&format!("/proc/{}/ns/mnt", init.as_raw_nonzero()))?, "the container's")?;
        let joined = joins.iter().try_for_each(Join::carry_out);
        enter(&ours, "the box's")?;
        joined?;
        self.unchanged()
    }

    /// What came or went on the box after the copy was made and before it was joined would be seen or kept for ever.
    fn unchanged(&self) -> Result<(), String> {
        let table = table()?;
        match self.0.iter().find(|bind| below(&table, &bind.source) != bind.below) {
            None => Ok(()),
            Some(bind) => Err(format!(
                "what is mounted below {} has changed while the container was made",
                bind.source.display()
            )),
        }
    }
}

impl Bind {
    /// The mount that the source lies on, and those below it that share.
    fn joins(&self, table: &[Mounted]) -> Result<Vec<Join>, String> {
        let holds = |mounted: &&Mounted| self.source.starts_with(&mounted.point);
        let longest = |mounted: &&Mounted| mounted.point.as_os_str().len();
        // Of two at one place the last one, which lies above.
        let top = table.iter().filter(holds).max_by_key(longest);
        let top = top.ok_or_else(|| format!("{} is on no mount", self.source.display()))?;
        let (fits, needed) = match self.sharing {
            Sharing::Slave => (top.shared || top.slave, "a shared or slave mount"),
            Sharing::Peer => (top.shared, "a shared mount"),
        };
        if !fits {
            return Err(format!(
                "path {} is mounted on {} but it is not {needed}",
                self.source.display(),
                top.point.display()
            ));
        }
        let from = mount_root(&top.point)
            .map_err(|e| format!("cannot open the mount {}: {e}", top.point.display()))?;
        let mut joins =
            vec![Join { from, to: self.target.clone(), sharing: self.sharing, depth: Depth::Top }];
        let inner: BTreeMap<&Path, &Mounted> = table
            .iter()
            .filter_map(|mounted| Some((inside(&mounted.point, &self.source)?, mounted)))
            .collect();
        for (rest, mounted) in inner.into_iter().filter(|(_, mounted)| mounted.shared || mounted.slave) {
            // What cannot be reached lies below another mount, and is not in the copy either.
            let Ok(from) = mount_root(&mounted.point) else { continue };
            let to = self.target.join(rest);
            joins.push(Join { from, to, sharing: self.sharing, depth: Depth::Below });
        }
        Ok(joins)
    }
}

impl Join {
    /// In the container's namespace.
    fn carry_out(&self) -> Result<(), String> {
        let Self { from, to, sharing, depth } = self;
        let fault = |e: Errno| format!("cannot join {} to the mount of the box: {e}", to.display());
        let copy = match mount_root(to) {
            Ok(copy) => copy,
            // A volume of the pod lies there.
            Err(_) if *depth == Depth::Below => return Ok(()),
            Err(e) => return Err(fault(e)),
        };
        if *depth == Depth::Below && !same(from, &copy).map_err(fault)? {
            return Ok(());
        }
        let flags = MoveMountFlags::MOVE_MOUNT_SET_GROUP
            | MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH
            | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
        match move_mount(from, "", &copy, "", flags) {
            Ok(()) => (),
            Err(Errno::INVAL) => return Err(format!("{} (Linux 5.15 is needed)", fault(Errno::INVAL))),
            Err(e) => return Err(fault(e)),
        }
        match sharing {
            Sharing::Peer => Ok(()),
            Sharing::Slave => mount_change(to, MountPropagationFlags::DOWNSTREAM).map_err(fault),
        }
    }
}

/// A bind that asks for it, in the words of the OCI runtime specification.
fn sharing(mount: &Mount) -> Option<(&Path, &Path, Sharing)> {
    let options = mount.options().as_ref()?;
    let asks = |word: &str| options.iter().any(|option| option == word);
    let sharing = match (asks("rslave"), asks("rshared")) {
        (true, _) => Sharing::Slave,
        (_, true) => Sharing::Peer,
        (false, false) => return None,
    };
    Some((mount.source().as_ref()?, mount.destination(), sharing))
}

fn table() -> Result<Vec<Mounted>, String> {
    let text = fs::read_to_string("/proc/self/mountinfo");
    text.map(|text| mountinfo::table(&text)).map_err(|e| format!("cannot read the mount table: {e}"))
}

fn below(table: &[Mounted], source: &Path) -> Vec<u64> {
    table
        .iter()
        .filter(|mounted| inside(&mounted.point, source).is_some())
        .map(|mounted| mounted.id)
        .collect()
}

/// The part of a path that is strictly below another.
fn inside<'p>(path: &'p Path, outer: &Path) -> Option<&'p Path> {
    path.strip_prefix(outer).ok().filter(|rest| !rest.as_os_str().is_empty())
}

fn mount_root(path: &Path) -> Result<OwnedFd, Errno> {
    rustix::fs::openat(CWD, path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())
}

fn same(one: &OwnedFd, other: &OwnedFd) -> Result<bool, Errno> {
    let (one, other) = (fstat(one)?, fstat(other)?);
    Ok((one.st_dev, one.st_ino) == (other.st_dev, other.st_ino))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mounted(id: u64, point: &str, shared: bool, slave: bool) -> Mounted {
        Mounted { id, point: point.into(), shared, slave }
    }

    #[test]
    fn a_mount_asks_for_sharing_in_words_of_its_own() {
        let asked = |options: &str| {
            let text = format!(
                r#"{{"destination": "/in", "type": "bind", "source": "/out", "options": [{options}]}}"#
            );
            let mount: Mount = serde_json::from_str(&text).unwrap();
            sharing(&mount).map(|(_, _, sharing)| sharing)
        };
        let rows = [
            (r#""rbind", "rw", "rslave""#, Some(Sharing::Slave)),
            (r#""rbind", "ro", "rshared""#, Some(Sharing::Peer)),
            (r#""rbind", "rw", "rprivate""#, None),
            ("", None),
        ];
        for (options, wanted) in rows {
            assert_eq!(asked(options), wanted, "{options}");
        }
    }

    #[test]
    fn a_source_on_a_mount_that_does_not_share_is_refused() {
        let table = [
            mounted(1, "/", true, false),
            mounted(2, "/private", false, false),
            mounted(3, "/proc", false, true),
        ];
        let refused = |source: &str, sharing| {
            let bind = Bind { source: source.into(), target: "/t".into(), sharing, below: Vec::new() };
            bind.joins(&table).err()
        };
        let text = |path: &str, on: &str, kind: &str| {
            Some(format!("path {path} is mounted on {on} but it is not a {kind} mount"))
        };
        assert_eq!(refused("/usr", Sharing::Peer), None);
        assert_eq!(refused("/proc/self", Sharing::Slave), None);
        assert_eq!(refused("/proc/1", Sharing::Peer), text("/proc/1", "/proc", "shared"));
        assert_eq!(refused("/private", Sharing::Slave), text("/private", "/private", "shared or slave"));
        assert_eq!(refused("/privateer", Sharing::Peer), None);
    }

    #[test]
    fn what_is_mounted_below_a_source_is_strictly_below_it() {
        let table =
            [mounted(1, "/", true, false), mounted(2, "/a", true, false), mounted(3, "/a/b", true, false)];
        assert_eq!(below(&table, Path::new("/a")), [3]);
        assert_eq!(below(&table, Path::new("/ab")), [] as [u64; 0]);
    }
}
