//! `cargo xtask fuzz`: the tests called `fuzz_*` for a minute each, with another seed each time. In the usual run they
//! take a thousand inputs each.

use anyhow::Result;

use crate::{build, place::Place, progress::stage};

#[derive(clap::Args)]
pub(crate) struct Words {
    /// How long each runs
    #[arg(default_value_t = 60)]
    seconds: u64,
}

pub(crate) fn run(place: &Place, words: &Words) -> Result<()> {
    let stage = stage("fuzz");
    build::fuzz(place, words.seconds)?.show()?;
    stage.done();
    Ok(())
}
