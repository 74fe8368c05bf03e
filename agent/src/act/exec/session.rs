//! The processes of one session within a cgroup, and their end. Waits for nobody.
#![expect(clippy::disallowed_methods, reason = "reads /proc and cgroup.procs")]

use std::{collections::BTreeSet, fs};

use crate::{act::chain, cgroup::Cgroup, kernel::pidfd::PidFd, pod::Pid};

/// A session that still grows after so many rounds is given up. A process that has been killed forks no more, so each round
/// has to find one that was forked during the round before.
const ROUNDS: usize = 1000;

/// SIGKILL for every process in the cgroup, or below it, that is in the session of `leader`.
pub(super) fn kill(cgroup: &Cgroup, leader: Pid) {
    let mut killed = BTreeSet::new();
    for _ in 0..ROUNDS {
        let members = processes(cgroup).into_iter().filter(|pid| !killed.contains(pid));
        let found: Vec<Pid> = members.filter(|pid| kill_member(*pid, leader)).collect();
        if found.is_empty() {
            return;
        }
        killed.extend(found);
    }
    tracing::warn!(cgroup = %cgroup.path().display(), "a session cannot be killed: it grows too fast");
}

/// The pidfd first: what is read then is of the process that is signalled, or of one that has its number after its end.
fn kill_member(pid: Pid, leader: Pid) -> bool {
    let Ok(process) = PidFd::open(pid) else { return false };
    let stat = fs::read(format!("/proc/{}/stat", pid.0)).unwrap_or_default();
    if session_in(&stat) != Some(leader) {
        return false;
    }
    if let Err(e) = process.signal(libc::SIGKILL) {
        tracing::warn!(error = %chain(&e), "a process of a command is left");
    }
    true
}

fn processes(cgroup: &Cgroup) -> Vec<Pid> {
    let text = fs::read_to_string(cgroup.path().join("cgroup.procs")).unwrap_or_default();
    let mut pids: Vec<Pid> = text.lines().filter_map(|line| line.parse().ok()).map(Pid).collect();
    for below in cgroup.children().unwrap_or_default() {
        pids.extend(processes(&below));
    }
    pids
}

/// Field 6 of `/proc/PID/stat`, as seen from the host. Field 2 is a name that may hold anything but is in parentheses.
fn session_in(stat: &[u8]) -> Option<Pid> {
    let name_end = stat.iter().rposition(|byte| *byte == b')')?;
    let rest = std::str::from_utf8(stat.get(name_end + 1..)?).ok()?;
    rest.split_ascii_whitespace().nth(6 - 3)?.parse().ok().map(Pid)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_session_is_read_past_any_name() {
        let rows: [(&str, Option<Pid>); 4] = [
            ("7 (sh) S 1 7 42 0 -1", Some(Pid(42))),
            ("7 (a) S 1 2 3 (b) S 1 7 42 0 -1", Some(Pid(42))),
            ("7 (sh) S 1", None),
            ("", None),
        ];
        for (stat, expected) in rows {
            assert_eq!(session_in(stat.as_bytes()), expected, "{stat:?}");
        }
    }
}
