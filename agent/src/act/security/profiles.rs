//! Profiles of this box that confine containers: files for seccomp, what AppArmor has loaded. Loads none itself.
#![expect(clippy::disallowed_methods, reason = "this is the effect")]

use std::{
    fs::{self, File},
    io,
    path::Path,
};

use rustix::fs::{Mode, OFlags, ResolveFlags, openat2};
use serde_json::Value;

use super::Error;
use crate::pod::security::{AppArmor, Privilege, Security};

/// What a container is confined by unless it says otherwise, if an administrator has loaded it.
const DEFAULT_PROFILE: &str = "carob-default";
const APP_ARMOR_ENABLED: &str = "/sys/module/apparmor/parameters/enabled";
const APP_ARMOR_PROFILES: &str = "/sys/kernel/security/apparmor/profiles";

/// A profile in the runtime's own form (`linux.seccomp` of the OCI runtime spec), beneath `dir`.
pub(super) fn seccomp(dir: &Path, file: &str) -> Result<Value, Error> {
    let fault = |source| Error::Profile { path: dir.join(file), source };
    let profile: Value = open(dir, file)
        .and_then(|opened| serde_json::from_reader(io::BufReader::new(opened)).map_err(io::Error::from))
        .map_err(fault)?;
    if profile["defaultAction"].is_string() {
        Ok(profile)
    } else {
        Err(fault(io::Error::other(
            "it has no defaultAction: it must be as linux.seccomp of the OCI runtime spec",
        )))
    }
}

fn open(dir: &Path, file: &str) -> io::Result<File> {
    let root = rustix::fs::open(dir, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    let within = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
    Ok(File::from(openat2(root, file, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty(), within)?))
}

/// The profile to run under, if any. One that was asked for must be there.
pub(super) fn app_armor(wanted: &Security) -> Result<Option<String>, Error> {
    let asked = match (&wanted.app_armor, &wanted.privilege) {
        (AppArmor::Unconfined, _) | (AppArmor::Unset, Privilege::Full) => return Ok(None),
        (AppArmor::Unset, Privilege::Limited { .. }) => None,
        (AppArmor::RuntimeDefault, _) => Some(DEFAULT_PROFILE),
        (AppArmor::Localhost(name), _) => Some(name.as_str()),
    };
    let enabled = fs::read_to_string(APP_ARMOR_ENABLED).is_ok_and(|text| text.starts_with('Y'));
    let loaded =
        if enabled { fs::read_to_string(APP_ARMOR_PROFILES).unwrap_or_default() } else { String::new() };
    match asked {
        None => Ok(has(&loaded, DEFAULT_PROFILE).then(|| DEFAULT_PROFILE.to_owned())),
        Some(_) if !enabled => Err(Error::NoAppArmor),
        Some(name) if has(&loaded, name) => Ok(Some(name.to_owned())),
        Some(name) => Err(Error::NotLoaded { profile: name.to_owned() }),
    }
}

/// Lines are `name (mode)`.
fn has(loaded: &str, name: &str) -> bool {
    loaded.lines().any(|line| line.rsplit_once(" (").is_some_and(|(known, _)| known == name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seccomp_profile_is_found_beneath_its_directory_only() {
        let root = std::env::temp_dir().join(format!("carob-seccomp-{}", uuid::Uuid::new_v4()));
        let dir = root.join("seccomp");
        fs::create_dir_all(dir.join("sub")).unwrap();
        fs::write(dir.join("sub/a.json"), r#"{"defaultAction": "SCMP_ACT_ALLOW"}"#).unwrap();
        fs::write(dir.join("no.json"), "{}").unwrap();
        fs::write(dir.join("half.json"), "{\"defaultAction\": ").unwrap();
        fs::write(root.join("out.json"), r#"{"defaultAction": "SCMP_ACT_ALLOW"}"#).unwrap();
        std::os::unix::fs::symlink("../out.json", dir.join("link.json")).unwrap();
        let rows = [
            ("sub/a.json", true),
            ("no.json", false),
            ("half.json", false),
            ("link.json", false),
            ("b.json", false),
        ];
        for (file, fits) in rows {
            let found = seccomp(&dir, file);
            assert_eq!(found.is_ok(), fits, "{file}: {found:?}");
            let Err(error) = found else { continue };
            let wanted = format!("cannot load seccomp profile {:?}", dir.join(file));
            assert_eq!((error.to_string(), error.waiting_reason()), (wanted, "CreateContainerError"));
        }
        fs::remove_dir_all(&root).unwrap();
    }

    #[test]
    fn a_loaded_profile_is_known_by_its_whole_name() {
        let loaded = "carob-default (enforce)\n/usr/sbin/x (complain)\na (b) (enforce)\n";
        for (name, known) in
            [("carob-default", true), ("/usr/sbin/x", true), ("a (b)", true), ("carob", false), ("", false)]
        {
            assert_eq!(has(loaded, name), known, "{name}");
        }
    }
}
