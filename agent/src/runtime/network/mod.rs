//! One pod's way to the network: bridge, cable, address, route, and the box's rules for what leaves. A process of its
//! own, because it goes into the pod's namespace and because what it needs of memory is given back when it ends.
//!
//! Which address a pod has is not decided here. Everything can be repeated: what is half there is made anew.

mod flows;
mod links;
mod ports;
mod rules;
mod settings;

use std::{
    net::{Ipv4Addr, Ipv6Addr},
    path::PathBuf,
    process::ExitCode,
};

use clap::Subcommand;

use crate::pod::{network::Address, port::Forward, range::Range, range6::Range6};

/// What is to be done to the network.
#[derive(Debug, Subcommand)]
pub(crate) enum Change {
    /// Connects a pod.
    Up {
        /// All pods' addresses.
        #[arg(long)]
        range: Range,
        /// Of IPv6, if they are to have any.
        #[arg(long)]
        range6: Option<Range6>,
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
        #[arg(long)]
        address6: Option<Ipv6Addr>,
    },
    /// Writes the box's rules anew.
    Rules {
        #[arg(long)]
        range: Range,
        #[arg(long)]
        range6: Option<Range6>,
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
        Change::Up { range, range6, address, namespace, forward } => {
            // First the rules: they fail most often, and nothing is left of a pod that has not begun.
            rules::write(*range, *range6, forward)?;
            links::up(*range, *range6, *address, namespace).await?;
            if forward.is_empty() { Ok(()) } else { links::open_loopback() }
        }
        Change::Rules { range, range6, forward } => rules::write(*range, *range6, forward),
        Change::Down { address, address6 } => {
            links::down(*address).await?;
            Address { v4: *address, v6: *address6 }.forms().try_for_each(flows::forget)
        }
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
