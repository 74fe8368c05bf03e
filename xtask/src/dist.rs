//! `cargo xtask dist`: the binary that is shipped, against its budget. It is the tested code, linked as a whole.

use std::fs;

use anyhow::{Context, Result};

use crate::{
    build,
    place::{HOST, Place},
};

/// Bytes the stripped binary may have.
const BUDGET: u64 = 15_000_000;

#[derive(clap::Args)]
pub(crate) struct Words {
    /// The machine the agent is for: x86_64-unknown-linux-gnu or aarch64-unknown-linux-gnu
    #[arg(long, value_name = "TRIPLE", default_value = HOST)]
    target: String,
}

pub(crate) fn run(place: &Place, words: &Words) -> Result<()> {
    let binary = build::dist(place, &words.target)?;
    let size = fs::metadata(&binary).with_context(|| format!("look at {}", binary.display()))?.len();
    let verdict = if size <= BUDGET { "within" } else { "OVER" };
    println!("{}\n{size} bytes, {verdict} the budget of {BUDGET}", binary.display());
    Ok(())
}
