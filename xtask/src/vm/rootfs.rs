//! The guest's file system image: the base with our few files in it and everything switched off that a test
//! guest does not need. The base itself stays as it is.

use std::{
    fs,
    os::unix::fs::{PermissionsExt, symlink},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};

use super::base::Furnishing;
use crate::{artefact::Recipe, place::Place, progress::stage, tool::tool};

const WAITER: &str = include_str!("../guest/wait.sh");
const UNIT: &str = include_str!("../guest/carob-guest.service");
const MASKED: &str = include_str!("../guest/masked.txt");
/// Room for images, logs and volumes. The file is sparse.
const SIZE: &str = "2G";
const SIZE_WITH_PEERS: &str = "4G";
const FILES: &[(&str, &str)] = &[
    ("usr/local/lib/carob-guest", WAITER),
    ("etc/systemd/system/carob-guest.service", UNIT),
    ("etc/hostname", "carob-guest\n"),
    ("etc/hosts", "127.0.0.1 localhost carob-guest\n::1 localhost\n"),
    // A first boot would make one, and preset all units on the way.
    ("etc/machine-id", "ca40bca40bca40bca40bca40bca40bca\n"),
    ("etc/systemd/journald.conf", "[Journal]\nStorage=volatile\nRateLimitBurst=0\n"),
    ("etc/fstab", ""),
];

/// The artefact; the image is its `root.img`.
pub(crate) fn rootfs(place: &Place, base: &Path, furnishing: Furnishing) -> Result<PathBuf> {
    let size = if furnishing == Furnishing::Peers { SIZE_WITH_PEERS } else { SIZE };
    let mut recipe = Recipe::new("rootfs").with(size).with(MASKED).with_artefact(base);
    for (path, content) in FILES {
        recipe = recipe.with(path).with(content);
    }
    recipe.in_cache(&place.cache, |dir| {
        let stage = stage("vm: file system image");
        let root = dir.join("root");
        tool("cp").args(["-a", "--reflink=auto"]).arg(base.join("root")).arg(&root).run()?;
        furnish(&root)?;
        // With a journal: the cases that cut the power boot from what is left of it.
        super::ext4(&root, &dir.join("root.img"), size, "has_journal")?;
        fs::remove_dir_all(&root)?;
        stage.done();
        Ok(())
    })
}

fn furnish(root: &Path) -> Result<()> {
    for (path, content) in FILES {
        let path = root.join(path);
        fs::write(&path, content).with_context(|| format!("write {}", path.display()))?;
    }
    fs::set_permissions(root.join("usr/local/lib/carob-guest"), fs::Permissions::from_mode(0o755))?;
    let units = root.join("etc/systemd/system");
    for unit in MASKED.lines() {
        link("/dev/null", &units.join(unit))?;
    }
    let wants = units.join("multi-user.target.wants");
    fs::create_dir_all(&wants)?;
    link("../carob-guest.service", &wants.join("carob-guest.service"))?;
    link("/usr/lib/systemd/system/multi-user.target", &units.join("default.target"))?;
    // Generators read fstab, disks and tables this guest has not; they are a quarter of its boot.
    let masked = root.join("etc/systemd/system-generators");
    fs::create_dir_all(&masked)?;
    for entry in fs::read_dir(root.join("usr/lib/systemd/system-generators"))? {
        link("/dev/null", &masked.join(entry?.file_name()))?;
    }
    Ok(())
}

fn link(target: &str, at: &Path) -> Result<()> {
    if at.symlink_metadata().is_ok() {
        fs::remove_file(at)?;
    }
    symlink(target, at).with_context(|| format!("link {}", at.display()))
}
