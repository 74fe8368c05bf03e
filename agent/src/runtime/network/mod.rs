//! One pod's way to the network: bridge, cable, address, route, and the box's rules for what leaves. A process of its
//! own, because it goes into the pod's namespace and because what it needs of memory is given back when it ends.
//!
//! Which address a pod has is not decided here. Everything can be repeated: what is half there is made anew.

mod links;
mod ports;
mod rules;

use std::{net::Ipv4Addr, path::PathBuf, process::ExitCode};

use clap::Subcommand;

use crate::pod::{port::Forward, range::Range};

/// What is to be done to the network.
#[derive(Debug, Subcommand)]
pub(crate) enum Change {
    /// Connects a pod.
    Up {
        /// All pods' addresses.
        #[arg(long)]
        range: Range,
        #[arg(long)]
        address: Ipv4Addr,
        /// The file the pod's network namespace is pinned as.
        #[arg(long)]
        namespace: PathBuf,
        /// All ports of the box that lead to a pod.
        #[arg(long)]
        forward: Vec<Forward>,
    },
    /// Cuts a pod off.
    Down {
        #[arg(long)]
        address: Ipv4Addr,
    },
    /// Leads other ports of the box to pods.
    Ports {
        #[arg(long)]
        range: Range,
        #[arg(long)]
        forward: Vec<Forward>,
    },
    /// Takes the bridge, all cables and the rules away.
    Remove,
}

/// What cannot be done.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("cannot {step}")]
    System {
        step: &'static str,
        #[source]
        source: std::io::Error,
    },
    #[error("cannot {step}: this kernel lacks {what}")]
    Lacking { step: &'static str, what: &'static str },
    #[error("cannot {step}")]
    Link {
        step: &'static str,
        #[source]
        source: rtnetlink::Error,
    },
    #[error("the program nft is not installed (package nftables): without it no pod can get an address")]
    NoNft,
    #[error("the packet filter's table \"carob\" cannot be {step}: {said}")]
    Rules { step: &'static str, said: String },
}

/// Carries the change out; what went wrong is the last line of stderr.
pub(super) fn run(change: &Change) -> ExitCode {
    // Only this thread: it goes from one network namespace into another.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build();
    let done = runtime
        .map_err(|source| Error::System { step: "begin", source })
        .and_then(|runtime| runtime.block_on(carry_out(change)));
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("{}", chain(&e));
            ExitCode::FAILURE
        }
    }
}

async fn carry_out(change: &Change) -> Result<(), Error> {
    match change {
        Change::Up { range, address, namespace, forward } => {
            // First the rules: they fail most often, and nothing is left of a pod that has not begun.
            rules::write(*range, forward)?;
            links::up(*range, *address, namespace).await?;
            if forward.is_empty() { Ok(()) } else { links::open_loopback() }
        }
        Change::Ports { range, forward } => rules::write(*range, forward),
        Change::Down { address } => links::down(*address).await,
        Change::Remove => {
            links::remove().await?;
            rules::remove()
        }
    }
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}
