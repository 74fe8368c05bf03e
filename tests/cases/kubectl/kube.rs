//! Rust's client, kube-rs: what `tests/kube` does with it, and what it says then.

use anyhow::{Result, ensure};

use crate::client::Client;

const SAYS: &str = "version 1
created ferris
added true
merged true
strategic true
logs hello
exec inside NonZeroExitCode
port answer
gone true
holds [\"first\"]
holds [\"first\", \"second\"]
holds []
holds [\"first\"]
holds [\"first\", \"second\"]
holds []
";

pub(super) fn calls(client: &Client) -> Result<()> {
    let said = client.kube("admin.kubeconfig")?;
    ensure!(said == SAYS, "it says\n{said}");
    Ok(())
}
