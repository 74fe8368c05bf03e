//! Looks at the box: kernel, cgroups, file systems, disk, systemd. Changes nothing.
#![expect(clippy::disallowed_methods, reason = "reads the kernel's files and asks systemd for its version")]

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use super::{Finding, State};
use crate::{cgroup::CONTROLLERS, cli::why::bytes, config::Config};

/// The first with cgroup.kill. Older than that is only mount_setattr (5.12), by which libcontainer makes mounts.
const KERNEL: (u32, u32) = (5, 14);
/// The oldest systemd that its units were proven on.
const SYSTEMD: u32 = 252;
/// Images and their layers fill less than this quickly.
const DISK: u64 = 1 << 30;
/// What a container's world is made of.
const NAMESPACES: [&str; 6] = ["cgroup", "ipc", "mnt", "net", "pid", "uts"];

/// All that does not concern the kernel programs.
pub(super) fn findings(config: &Config) -> Vec<Finding> {
    let release = rustix::system::uname().release().to_string_lossy().into_owned();
    vec![
        user(rustix::process::geteuid().as_raw()),
        kernel(&release),
        cgroups(&config.cgroup_fs),
        overlay(&text("/proc/filesystems"), &release),
        namespaces(),
        seccomp(&text("/proc/sys/kernel/seccomp/actions_avail")),
        disk(&config.state),
        systemd(systemd_version().as_deref()),
    ]
}

/// Empty if it cannot be read: then what is looked for is not in it.
fn text(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

fn user(uid: u32) -> Finding {
    let state = if uid == 0 { State::Good } else { State::Missing };
    Finding {
        what: "root",
        state,
        found: format!("uid {uid}"),
        without: "no mount, no namespace and no cgroup can be made",
    }
}

fn kernel(release: &str) -> Finding {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map_while(|part| part.parse().ok());
    let version = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    let state = if version >= KERNEL { State::Good } else { State::Missing };
    Finding {
        what: "kernel 5.14 or newer",
        state,
        found: release.to_owned(),
        without: "no container starts (mount_setattr, 5.12), none can be killed (cgroup.kill)",
    }
}

fn cgroups(root: &Path) -> Finding {
    let what = "cgroup v2: cpu memory pids io";
    let without = "no limit can be set, and carob starts no pod whose limits cannot be";
    let file = root.join("cgroup.controllers");
    let Ok(found) = fs::read_to_string(&file) else {
        let found = format!("no cgroup v2 on {}", root.display());
        return Finding { what, state: State::Missing, found, without };
    };
    let has = |name: &&str| found.split_whitespace().any(|word| word == *name);
    let lacking: Vec<&str> = CONTROLLERS.into_iter().filter(|name| !has(name)).collect();
    match lacking.is_empty() {
        true => Finding { what, state: State::Good, found: "all of them".to_owned(), without },
        false => {
            Finding { what, state: State::Missing, found: format!("no {}", lacking.join(", no ")), without }
        }
    }
}

/// Known to the kernel, or a module away.
fn overlay(file_systems: &str, release: &str) -> Finding {
    let (what, without) = ("overlayfs", "images cannot be mounted");
    if file_systems.lines().any(|line| line.split_whitespace().last() == Some("overlay")) {
        return Finding { what, state: State::Good, found: "yes".to_owned(), without };
    }
    let modules = format!("/lib/modules/{release}/modules.dep");
    let is_module = text(&modules)
        .lines()
        .any(|line| line.split(':').next().is_some_and(|file| file.contains("/overlay.ko")));
    match is_module {
        true => Finding {
            what,
            state: State::Good,
            found: "as a module that is not loaded yet".to_owned(),
            without,
        },
        false => Finding {
            what,
            state: State::Missing,
            found: "neither in the kernel nor as a module".to_owned(),
            without,
        },
    }
}

fn namespaces() -> Finding {
    let there = |name: &&str| Path::new("/proc/self/ns").join(name).symlink_metadata().is_ok();
    let lacking: Vec<&str> = NAMESPACES.into_iter().filter(|name| !there(name)).collect();
    let (state, found) = match lacking.is_empty() {
        true => (State::Good, NAMESPACES.join(" ")),
        false => (State::Missing, format!("no {}", lacking.join(", no "))),
    };
    Finding { what: "namespaces", state, found, without: "containers cannot be kept apart" }
}

fn seccomp(actions: &str) -> Finding {
    let (state, found) = match actions.trim() {
        "" => (State::Less, "not in this kernel"),
        actions => (State::Good, actions),
    };
    Finding {
        what: "seccomp",
        state,
        found: found.to_owned(),
        without: "no system call can be kept from a container",
    }
}

/// Room where images and volumes go, or would go.
fn disk(state: &Path) -> Finding {
    let place =
        state.ancestors().find(|place| place.exists()).map_or_else(|| PathBuf::from("/"), Path::to_path_buf);
    let free = rustix::fs::statvfs(&place).map(|stat| stat.f_bavail.saturating_mul(stat.f_frsize));
    let (state, found) = match free {
        Ok(free) if free >= DISK => (State::Good, format!("{} free in {}", bytes(free), place.display())),
        Ok(free) => (State::Less, format!("only {} free in {}", bytes(free), place.display())),
        Err(error) => (State::Less, format!("{}: {error}", place.display())),
    };
    Finding { what: "disk space", state, found, without: "images and ledger may not fit" }
}

fn systemd_version() -> Option<String> {
    let output = Command::new("systemctl")
        .arg("--version")
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()
        .ok()?;
    String::from_utf8(output.stdout).ok()
}

/// First line: `systemd 252 (252.39-1~deb12u1)`.
fn systemd(said: Option<&str>) -> Finding {
    let version = said.and_then(|said| said.split_whitespace().nth(1)?.parse::<u32>().ok());
    let (state, found) = match version {
        Some(version) if version >= SYSTEMD => (State::Good, version.to_string()),
        Some(version) => (State::Less, format!("{version}; the units are proven on {SYSTEMD} and newer")),
        None => (State::Less, "none".to_owned()),
    };
    let without = "nobody starts the agent again, nor ends pods in order when the box shuts down";
    Finding { what: "systemd 252 or newer", state, found, without }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(finding: &Finding, state: State, word: &str) {
        assert!(finding.state == state && finding.found.contains(word), "{finding:?}");
    }

    #[test]
    fn each_finding_says_what_is_there() {
        check(&user(0), State::Good, "uid 0");
        check(&user(1000), State::Missing, "1000");
        for (release, state) in [
            ("5.14.0", State::Good),
            ("5.10.0-28-cloud-amd64", State::Missing),
            ("6.1.0", State::Good),
            ("10.2-rc1", State::Good),
            ("4.19", State::Missing),
            ("odd", State::Missing),
        ] {
            check(&kernel(release), state, release);
        }
        check(&overlay("nodev\tsysfs\nnodev\toverlay\n", "0"), State::Good, "yes");
        check(&overlay("nodev\tsysfs\n", "0.0.0-none"), State::Missing, "neither");
        check(&seccomp("kill_process trap errno\n"), State::Good, "errno");
        check(&seccomp(""), State::Less, "not in");
        check(&systemd(Some("systemd 257 (257.9-1)\n+PAM")), State::Good, "257");
        check(&systemd(Some("systemd 249 (249.11)")), State::Less, "249");
        check(&systemd(Some("systemd 2.5~rc")), State::Less, "none");
        check(&systemd(None), State::Less, "none");
    }

    #[test]
    fn a_controller_that_is_not_there_is_named() {
        let root = std::env::temp_dir().join(format!("carob-probe-{}", std::process::id()));
        check(&cgroups(&root), State::Missing, "no cgroup v2");
        fs::create_dir_all(&root).unwrap();
        for (have, state, word) in [
            ("cpuset cpu io memory hugetlb pids\n", State::Good, "all"),
            ("cpuset cpu memory pids\n", State::Good, "all"),
            ("cpuset memory\n", State::Missing, "no cpu, no pids"),
        ] {
            fs::write(root.join("cgroup.controllers"), have).unwrap();
            check(&cgroups(&root), state, word);
        }
        fs::remove_dir_all(&root).unwrap();
    }
}
