//! `carob kernel …`: the hidden verbs that run in short-lived processes of their own.

use std::{path::PathBuf, process::ExitCode};

use clap::Subcommand;

use super::load::{self, Fit, Limits, Loaded, Past};

/// Hidden verbs of the binary.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Loads the kernel programs and pins them, unless that is done.
    Load {
        /// How deep an attempt's cgroup lies below the root of the hierarchy.
        #[arg(long)]
        depth: u32,
        /// Bytes of the ring of events.
        #[arg(long)]
        ring: u32,
        /// The bpffs mount.
        bpffs: PathBuf,
    },
}

/// Runs a verb to its end.
pub(crate) fn run(verb: &Verb) -> ExitCode {
    let Verb::Load { depth, ring, bpffs } = verb;
    match load::load(bpffs, Fit { depth: *depth, ring: *ring }) {
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
    let Loaded::Fresh { limits, past } = loaded else { return };
    if let Limits::Unnamed(why) = limits {
        eprintln!("OOM kills are known, but not whose limit was hit: {why}");
    }
    if *past == Past::LeftBehind {
        eprintln!(
            "what older kernel programs recorded cannot be read: of ends in between only the exit code is known"
        );
    }
}
