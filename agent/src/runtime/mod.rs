//! The CHILD side: what runs in a fresh exec of our own binary, single-threaded, one container at a time. No threads, no locks.
//!
//! The parent talks to it over fd 0 (a socket); see `act::container` for the other end of the handshake:
//!
//! ```text
//!   agent                         this process                    the container's init
//!     │ ──── exec ─────────────────►│ build ── clone ─────────────────►│ namespaces, mounts, waits
//!     │ ◄─── {"pid":N} ─────────────│                                  │
//!     │  records it                 │                                  │
//!     │ ──── one byte ─────────────►│ start ──────────────────────────►│ resets signals, execve
//!     │ ◄─── end of file: it runs ──┴─ exits                           │
//! ```
//! End of file instead of the byte means that the agent is gone: the init is killed.

mod confine;
mod create;
mod devices;
mod die;
mod exec;
mod executor;
mod network;
mod pause;
mod spread;
mod terminal;

use std::{path::PathBuf, process::ExitCode};

use clap::Subcommand;
use serde::{Deserialize, Serialize};

/// Hidden verbs of the binary.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Makes one container and starts it on a word from the agent.
    Create {
        /// Where the runtime keeps its state files.
        #[arg(long)]
        root: PathBuf,
        /// The container's id.
        id: String,
        /// The directory with `config.json`.
        bundle: PathBuf,
    },
    /// Runs a command in a container that runs, on a word from the agent.
    Exec(exec::Order),
    /// Holds a pod's shared namespace of processes.
    Pause(pause::Order),
    /// Ends in a way that is known beforehand.
    Die {
        #[command(subcommand)]
        death: die::Death,
    },
    /// Connects a pod to the network, or cuts it off.
    Network {
        #[command(subcommand)]
        change: network::Change,
    },
}

/// What the child says, one JSON object a line.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Word {
    /// The init is there and waits.
    Pid(i32),
    /// There will be no container, or no program in it.
    Error(String),
    /// The command is not there (127) or cannot be executed (126).
    Unable { code: i32, message: String },
}

/// Runs a verb to its end.
pub(crate) fn run(verb: &Verb) -> ExitCode {
    match verb {
        Verb::Create { root, id, bundle } => create::create(root, id, bundle),
        Verb::Exec(order) => exec::exec(order),
        Verb::Pause(order) => pause::pause(order),
        Verb::Die { death } => die::die(*death),
        Verb::Network { change } => network::run(change),
    }
}
