//! The user database of an image: `/etc/passwd` and `/etc/group` beneath its root, which may lie. Never follows a link out.

use std::{
    fs::File,
    io::{self, Read},
    os::fd::OwnedFd,
    path::Path,
};

use rustix::{
    fs::{FileType, Mode, OFlags, ResolveFlags, fstat, openat2},
    io::Errno,
};

use super::Error;
use crate::{
    act::{oci::Identity, volume::through},
    pod::security::{GroupsPolicy, Security},
};

/// No honest file is larger.
const LARGEST: u64 = 4 << 20;
/// As Kubernetes and runc limit ids.
const LARGEST_ID: u32 = i32::MAX.cast_unsigned();

/// The texts of both files; empty if there is none.
pub(super) struct Databases {
    passwd: String,
    group: String,
}

impl Databases {
    pub(super) fn read(rootfs: &Path) -> Result<Self, Error> {
        let text = |file| read(rootfs, file).map_err(|source| Error::Database { file, source });
        Ok(Self { passwd: text("etc/passwd")?, group: text("etc/group")? })
    }

    fn user(&self, fits: impl Fn(&User<'_>) -> bool) -> Option<User<'_>> {
        self.passwd.lines().filter_map(User::parse).find(|user| fits(user))
    }

    fn groups(&self) -> impl Iterator<Item = Group<'_>> {
        self.group.lines().filter_map(Group::parse)
    }
}

/// `name:password:uid:gid:comment:home:shell` (passwd(5)).
struct User<'a> {
    name: &'a str,
    uid: u32,
    gid: u32,
    home: &'a str,
}

impl<'a> User<'a> {
    fn parse(line: &'a str) -> Option<Self> {
        let mut fields = line.trim().split(':');
        let name = fields.next().filter(|name| !name.is_empty())?;
        let (uid, gid) = (id(fields.nth(1)?)?, id(fields.next()?)?);
        Some(Self { name, uid, gid, home: fields.nth(1).unwrap_or_default() })
    }
}

/// `name:password:gid:member,member` (group(5)).
struct Group<'a> {
    name: &'a str,
    gid: u32,
    members: &'a str,
}

impl<'a> Group<'a> {
    fn parse(line: &'a str) -> Option<Self> {
        let mut fields = line.trim().split(':');
        let name = fields.next().filter(|name| !name.is_empty())?;
        Some(Self { name, gid: id(fields.nth(1)?)?, members: fields.next().unwrap_or_default() })
    }

    fn has(&self, user: &str) -> bool {
        self.members.split(',').any(|member| member == user)
    }
}

fn id(text: &str) -> Option<u32> {
    text.parse().ok().filter(|id| *id <= LARGEST_ID)
}

/// The manifest's word, else the image's; what both leave open is what the user database says of the user.
pub(super) fn resolve(wanted: &Security, image_user: &str, databases: &Databases) -> Result<Identity, Error> {
    let (name, group) = match (wanted.user, image_user.split_once(':')) {
        (Some(_), _) => ("", ""),
        (None, Some(both)) => both,
        (None, None) => (image_user, ""),
    };
    let (uid, known) = match wanted.user.or_else(|| if name.is_empty() { Some(0) } else { id(name) }) {
        Some(uid) => (uid, databases.user(|user| user.uid == uid)),
        None => {
            let found = databases.user(|user| user.name == name);
            let user = found.ok_or_else(|| Error::NoUser { user: name.to_owned() })?;
            (user.uid, Some(user))
        }
    };
    let own_gid = known.as_ref().map_or(0, |user| user.gid);
    let gid = match (wanted.group, group) {
        (Some(gid), _) => gid,
        (None, "") => own_gid,
        (None, group) => find_group(group, databases)?,
    };
    let home = known.as_ref().map(|user| user.home).filter(|home| !home.is_empty());
    Ok(Identity {
        uid,
        gid,
        groups: all_groups(wanted, gid, known.as_ref(), databases),
        home: home.unwrap_or(if uid == 0 { "/root" } else { "/" }).to_owned(),
    })
}

fn find_group(group: &str, databases: &Databases) -> Result<u32, Error> {
    let named = || databases.groups().find(|each| each.name == group).map(|found| found.gid);
    id(group).or_else(named).ok_or_else(|| Error::NoGroup { group: group.to_owned() })
}

/// The primary group first, each once.
fn all_groups(wanted: &Security, gid: u32, known: Option<&User<'_>>, databases: &Databases) -> Vec<u32> {
    let mut all = vec![gid];
    if let (GroupsPolicy::Merge, Some(user)) = (wanted.groups.policy, known) {
        all.extend(databases.groups().filter(|group| group.has(user.name)).map(|group| group.gid));
    }
    all.extend(&wanted.groups.given);
    let mut seen = std::collections::BTreeSet::new();
    all.retain(|gid| seen.insert(*gid));
    all
}

/// Links are resolved as if `rootfs` were the root. What is not a plain file is never opened, only looked at.
fn read(rootfs: &Path, file: &str) -> io::Result<String> {
    let root = rustix::fs::open(rootfs, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    let within = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    let found: OwnedFd = match openat2(&root, file, OFlags::PATH | OFlags::CLOEXEC, Mode::empty(), within) {
        Ok(found) => found,
        Err(Errno::NOENT | Errno::NOTDIR) => return Ok(String::new()),
        Err(e) => return Err(e.into()),
    };
    if FileType::from_raw_mode(fstat(&found)?.st_mode) != FileType::RegularFile {
        return Err(io::Error::other("it is not a regular file"));
    }
    let plain = rustix::fs::open(through(&found), OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
    let mut bytes = Vec::new();
    File::from(plain).take(LARGEST + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > LARGEST {
        return Err(io::Error::other(format!("it is larger than {LARGEST} bytes")));
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    #![expect(clippy::disallowed_methods, reason = "makes the files of an image")]

    use std::{fs, os::unix::fs::symlink};

    use super::*;
    use crate::pod::security::Groups;

    fn databases() -> Databases {
        let passwd = "root:x:0:0:root:/root:/bin/sh\nbroken\nwww:x:33:34::/var/www:/bin/sh\n\
                      big:x:4294967295:0::/:\nbare:x:5:6\n#c:x:y\n";
        let group = "root:x:0:\nstaff:x:50:a,www\nadm:x:4:www,b\nothers:x:60:wwwx\n";
        Databases { passwd: passwd.to_owned(), group: group.to_owned() }
    }

    fn who(
        user: Option<u32>,
        group: Option<u32>,
        given: &[u32],
        policy: GroupsPolicy,
        image: &str,
    ) -> String {
        let groups = Groups { policy, given: given.to_vec() };
        let wanted = Security { user, group, groups, ..Security::default() };
        match resolve(&wanted, image, &databases()) {
            Ok(Identity { uid, gid, groups, home }) => format!("{uid} {gid} {groups:?} {home}"),
            Err(e) => e.to_string(),
        }
    }

    #[test]
    fn the_manifest_then_the_image_then_its_user_database_say_who_it_is() {
        let merge = |user, group, given: &[u32], image| who(user, group, given, GroupsPolicy::Merge, image);
        let rows = [
            (merge(None, None, &[], ""), "0 0 [0] /root"),
            (merge(None, None, &[], "www"), "33 34 [34, 50, 4] /var/www"),
            (merge(None, None, &[], "33"), "33 34 [34, 50, 4] /var/www"),
            (merge(None, None, &[], "www:staff"), "33 50 [50, 4] /var/www"),
            (merge(None, None, &[], "www:7"), "33 7 [7, 50, 4] /var/www"),
            (merge(None, None, &[], "7"), "7 0 [0] /"),
            (merge(None, None, &[], "7:8"), "7 8 [8] /"),
            (merge(None, None, &[], "bare"), "5 6 [6] /"),
            (merge(Some(1000), None, &[], "www:staff"), "1000 0 [0] /"),
            (merge(Some(33), None, &[9, 50], ""), "33 34 [34, 50, 4, 9] /var/www"),
            (merge(Some(33), Some(2), &[3], ""), "33 2 [2, 50, 4, 3] /var/www"),
            (merge(None, Some(2), &[], "www"), "33 2 [2, 50, 4] /var/www"),
            (merge(None, Some(2), &[], "www:staff"), "33 2 [2, 50, 4] /var/www"),
            (who(Some(33), None, &[9], GroupsPolicy::Strict, ""), "33 34 [34, 9] /var/www"),
            (
                merge(None, None, &[], "nobody"),
                "unable to find user nobody: no matching entries in passwd file",
            ),
            (merge(None, None, &[], "big"), "unable to find user big: no matching entries in passwd file"),
            (
                merge(None, None, &[], "4294967295"),
                "unable to find user 4294967295: no matching entries in passwd file",
            ),
            (
                merge(None, None, &[], "www:none"),
                "unable to find group none: no matching entries in group file",
            ),
        ];
        for (found, wanted) in rows {
            assert_eq!(found, wanted);
        }
    }

    #[test]
    fn a_database_is_read_beneath_the_root_only() {
        let root = std::env::temp_dir().join(format!("carob-users-{}", uuid::Uuid::new_v4()));
        fs::create_dir_all(root.join("etc")).unwrap();
        fs::create_dir_all(root.join("real")).unwrap();
        fs::write(root.join("real/passwd"), "inside").unwrap();
        let passwd = root.join("etc/passwd");
        let check = |target: &str, wanted: Result<&str, ()>| {
            drop(fs::remove_file(&passwd));
            symlink(target, &passwd).unwrap();
            let found = read(&root, "etc/passwd");
            assert_eq!(found.as_deref().map_err(drop), wanted, "{target}");
        };
        assert_eq!(read(&root, "etc/passwd").unwrap(), "", "none is the same as an empty one");
        check("../real/passwd", Ok("inside"));
        check("/real/passwd", Ok("inside"));
        check("../../../../../../../real/passwd", Ok("inside"));
        // The box has this file, the image has not.
        check("/etc/hostname", Ok(""));
        check("passwd", Err(()));
        check("/real", Err(()));
        fs::remove_dir_all(&root).unwrap();
    }
}
