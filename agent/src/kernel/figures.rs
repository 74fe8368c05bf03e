//! How often the kernel programs have run and how long that took, as the kernel counts it of its own accord. It switches that
//! counting neither on nor off.
#![expect(clippy::disallowed_methods, reason = "reads what the kernel says of the programs")]

use std::{
    collections::BTreeMap,
    fs,
    os::fd::{AsFd, AsRawFd},
    path::{Path, PathBuf},
    time::Duration,
};

use aya::programs::{
    ProgramError, ProgramFd, ProgramInfo,
    links::{FdLink, LinkError, PinnedLink},
    loaded_programs,
};
use carob_ebpf::program;
use thiserror::Error;

use crate::pod::counts::Ran;

/// Every program that can be pinned. Those of an OOM kill's limit are not, where the kernel cannot have them.
const PROGRAMS: [&str; 5] =
    [program::EXIT, program::SIGNAL, program::VICTIM, program::OOM_BEGIN, program::OOM_END];
/// `1` while the kernel counts runs: it costs each of them a look at the clock, so it is off by itself.
const COUNTING: &str = "/proc/sys/kernel/bpf_stats_enabled";

#[derive(Debug, Error)]
pub(crate) enum FiguresError {
    #[error("look at the pinned link {}", path.display())]
    Link {
        path: PathBuf,
        #[source]
        source: Box<LinkError>,
    },
    #[error("find the kernel programs")]
    Programs(#[source] Box<ProgramError>),
}

/// The programs of the pins, open. That keeps none of them attached.
#[derive(Debug)]
pub(crate) struct Programs(Vec<(&'static str, ProgramFd)>);

impl Programs {
    /// Opens the programs of what `kernel load` has pinned in `pins`.
    pub(crate) fn open(pins: &Path) -> Result<Self, FiguresError> {
        let mut names = BTreeMap::new();
        for name in PROGRAMS {
            let path = pins.join(name);
            if path.exists() {
                let id = program_of(&path);
                names.insert(
                    id.map_err(|source| FiguresError::Link { path, source: Box::new(source) })?,
                    name,
                );
            }
        }
        let (mut open, mut fault) = (Vec::new(), None);
        for info in loaded_programs() {
            let ours =
                |info: ProgramInfo| names.get(&info.id()).map(|name| Ok((*name, info.fd()?))).transpose();
            match info.and_then(ours) {
                Ok(found) => open.extend(found),
                // Others' programs may go while they are looked at.
                Err(e) => fault = Some(e),
            }
        }
        match fault {
            Some(source) if open.len() < names.len() => Err(FiguresError::Programs(Box::new(source))),
            _ => Ok(Self(open)),
        }
    }

    /// What the kernel says now. Who cannot be read is left out.
    pub(crate) fn figures(&self) -> Vec<Ran> {
        let counting = fs::read_to_string(COUNTING).is_ok_and(|text| text.trim() == "1");
        let about =
            |fd: &ProgramFd| fs::read_to_string(format!("/proc/self/fdinfo/{}", fd.as_fd().as_raw_fd()));
        let all = self.0.iter().filter_map(|(name, fd)| Some(parsed(name, &about(fd).ok()?, counting)));
        all.collect()
    }
}

fn program_of(link: &Path) -> Result<u32, LinkError> {
    Ok(FdLink::from(PinnedLink::from_pin(link)?).info()?.program_id())
}

fn parsed(program: &'static str, about: &str, counting: bool) -> Ran {
    let number = |name: &str| {
        let line = about.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        line?.trim().parse().ok()
    };
    let runs = number("run_cnt").zip(number("run_time_ns").map(Duration::from_nanos));
    Ran { program, runs: runs.filter(|_| counting), misses: number("recursion_misses") }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of Linux 6.1.
    const ABOUT: &str = "pos:\t0\nflags:\t02000002\nmnt_id:\t15\nino:\t1056\nprog_type:\t26\nprog_jited:\t1\n\
        prog_tag:\t0f1e2d3c4b5a6978\nmemlock:\t4096\nprog_id:\t21\nrun_time_ns:\t1500000\nrun_cnt:\t12\n\
        recursion_misses:\t3\nverified_insns:\t500\n";

    #[test]
    fn runs_are_told_only_while_they_are_counted() {
        let figures = |runs, misses| Ran { program: "p", runs, misses };
        let ran = Some((12, Duration::from_micros(1500)));
        assert_eq!(parsed("p", ABOUT, true), figures(ran, Some(3)));
        assert_eq!(parsed("p", ABOUT, false), figures(None, Some(3)));
        let old = ABOUT.replace("recursion_misses", "something_else");
        assert_eq!(parsed("p", &old, true), figures(ran, None));
    }
}
