//! `carob kernel …`: the hidden verbs that run in short-lived processes of their own.

use std::{path::PathBuf, process::ExitCode};

use clap::Subcommand;

use super::load::{self, Limits, Loaded};

/// Hidden verbs of the binary.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Loads the kernel programs and pins them, unless that is done.
    Load {
        /// How deep an attempt's cgroup lies below the root of the hierarchy.
        #[arg(long)]
        depth: u32,
        /// The bpffs mount.
        bpffs: PathBuf,
    },
}

/// Runs a verb to its end.
pub(crate) fn run(verb: &Verb) -> ExitCode {
    let Verb::Load { depth, bpffs } = verb;
    match load::load(bpffs, *depth) {
        Ok(loaded) => {
            tell(&loaded);
            ExitCode::SUCCESS
        }
        Err(e) => {
            eprintln!("{:#}", anyhow::Error::from(e));
            ExitCode::FAILURE
        }
    }
}

/// For the agent's log: what is missing, and what an upgrade could not keep.
fn tell(loaded: &Loaded) {
    let Loaded::Fresh { limits, left_behind } = loaded else { return };
    if let Limits::Unnamed(why) = limits {
        eprintln!("OOM kills are known, but not whose limit was hit: {why}");
    }
    for map in left_behind {
        eprintln!("the upgrade could not carry over what {map} held");
    }
}
