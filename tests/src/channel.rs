//! The way to the host: our stdout, one record a line.

use std::io::Write;

use anyhow::{Context, Result};

use crate::wire::Record;

pub(crate) fn send(record: &Record) -> Result<()> {
    let line = serde_json::to_string(record)?;
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}").and_then(|()| out.flush()).context("send a record to the host")
}

/// Sends a text line by line.
pub(crate) fn say(text: &str) -> Result<()> {
    text.lines().try_for_each(|line| send(&Record::Say { say: line.to_owned() }))
}
