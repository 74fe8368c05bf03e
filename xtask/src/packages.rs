//! Debian packages this machine needs: which are missing, the line that installs them, and running it as root.
//! What each package is good for is said where it is asked for.

use std::{
    collections::BTreeSet,
    env, fs, process,
    sync::atomic::{AtomicBool, Ordering},
};

use anyhow::{Result, bail};

use crate::{
    progress::stage,
    tool::{Tool, tool},
};

/// Updated once in this process.
static LISTS_ARE_NEW: AtomicBool = AtomicBool::new(false);

/// Makes sure that all of `wanted` are installed: installs them as root, or fails with the one line that does.
pub(crate) fn ensure(wanted: &[&str]) -> Result<()> {
    let missing = missing(wanted)?;
    if missing.is_empty() {
        return Ok(());
    }
    let line = format!("apt-get install -y --no-install-recommends {}", missing.join(" "));
    if !rustix::process::geteuid().is_root() {
        bail!("packages are missing; install them with\n\n    sudo apt-get update && sudo {line}\n");
    }
    let stage = stage("packages");
    println!("apt-get update && {line}");
    if !LISTS_ARE_NEW.swap(true, Ordering::Relaxed) {
        apt().arg("update").show()?;
    }
    // A directory of our own: container images of Debian come with a hook that empties apt's whenever dpkg has run,
    // which it may do in the middle of an installation.
    let archives = env::temp_dir().join(format!("carob-apt-{}", process::id()));
    fs::create_dir_all(archives.join("partial"))?;
    let own = format!("-oDir::Cache::archives={}", archives.display());
    let installed = apt().arg(own).args(line.split_whitespace().skip(1)).show();
    fs::remove_dir_all(&archives)?;
    installed?;
    stage.done();
    Ok(())
}

fn apt() -> Tool {
    tool("apt-get").env("DEBIAN_FRONTEND", "noninteractive")
}

/// Which of `wanted` are not installed.
pub(crate) fn missing<'a>(wanted: &[&'a str]) -> Result<Vec<&'a str>> {
    let query = tool("dpkg-query").args(["-W", "-f=${Package} ${Architecture} ${db:Status-Status}\n"]);
    let installed = match query.output() {
        Ok(list) => installed(&list, tool("dpkg").arg("--print-architecture").output()?.trim()),
        Err(fault) => return Err(fault.context("carob is built on Debian or Ubuntu: dpkg-query is needed")),
    };
    Ok(wanted.iter().copied().filter(|name| !installed.contains(*name)).collect())
}

/// As apt names them: `name`, or `name:architecture` for another machine's.
fn installed(list: &str, native: &str) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for line in list.lines() {
        let [name, architecture, "installed"] = line.split(' ').collect::<Vec<_>>()[..] else { continue };
        if architecture == native || architecture == "all" {
            names.insert(name.to_owned());
        } else {
            names.insert(format!("{name}:{architecture}"));
        }
    }
    names
}

/// Lets apt know packages of another machine.
pub(crate) fn ensure_architecture(name: &str) -> Result<()> {
    let known = tool("dpkg").arg("--print-foreign-architectures").output()?;
    if known.lines().any(|line| line == name) {
        return Ok(());
    }
    if !rustix::process::geteuid().is_root() {
        bail!(
            "packages of {name} are needed; make them known with\n\n    sudo dpkg --add-architecture {name}\n"
        );
    }
    tool("dpkg").args(["--add-architecture", name]).run()?;
    LISTS_ARE_NEW.store(false, Ordering::Relaxed);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_package_counts_if_it_is_installed_and_of_this_machine_or_named_with_the_other_one() {
        let list = "kmod amd64 installed\ncpio amd64 config-files\nlibc6-dev arm64 installed\nbusybox all installed\n";
        let found = installed(list, "amd64");
        assert_eq!(
            found.iter().map(String::as_str).collect::<Vec<_>>(),
            ["busybox", "kmod", "libc6-dev:arm64"]
        );
    }
}
