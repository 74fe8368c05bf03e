//! QEMU's own protocol: commands to a virtual machine and what it reports. What the guest says is not its matter.
//! https://www.qemu.org/docs/master/interop/qmp-spec.html

use std::{
    io::{BufRead, BufReader, Write},
    net::{Ipv4Addr, SocketAddrV4, TcpListener},
    os::unix::net::UnixStream,
    path::Path,
    time::Duration,
};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

/// The longest answer to wait for: a save or a restore takes under a second.
const PATIENCE: Duration = Duration::from_secs(120);

pub(crate) struct Qmp {
    lines: BufReader<UnixStream>,
    events: Vec<Value>,
}

impl Qmp {
    pub(crate) fn new(stream: UnixStream) -> Result<Self> {
        stream.set_read_timeout(Some(PATIENCE))?;
        let mut qmp = Self { lines: BufReader::new(stream), events: Vec::new() };
        qmp.message().context("read qemu's greeting")?;
        qmp.command("qmp_capabilities", &json!({}))?;
        Ok(qmp)
    }

    pub(crate) fn command(&mut self, name: &str, arguments: &Value) -> Result<Value> {
        let command = json!({ "execute": name, "arguments": arguments });
        writeln!(self.lines.get_mut(), "{command}").with_context(|| format!("send {name} to qemu"))?;
        loop {
            let mut message = self.message().with_context(|| format!("wait for qemu's answer to {name}"))?;
            if message.get("event").is_some() {
                self.events.push(message);
            } else if let Some(fault) = message.get("error") {
                bail!("qemu refused {name}: {fault}");
            } else {
                return Ok(message["return"].take());
            }
        }
    }

    /// Leads a port of this machine's loopback to one of the guest's, and says which.
    pub(crate) fn lead(&mut self, to: SocketAddrV4) -> Result<u16> {
        // QEMU would choose a port itself, too, but not say which.
        let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|free| free.local_addr());
        let port = free.context("find a free port")?.port();
        let order = format!("hostfwd_add net tcp:127.0.0.1:{port}-{to}");
        let said = self.command("human-monitor-command", &json!({ "command-line": order }))?;
        match said.as_str() {
            Some("") => Ok(port),
            _ => bail!("qemu refused `{order}`: {said}"),
        }
    }

    /// Stops the machine and writes its state to `file`.
    pub(crate) fn save(&mut self, file: &Path) -> Result<()> {
        self.report_migration()?;
        self.command("stop", &json!({}))?;
        self.command("migrate-set-parameters", &json!({ "max-bandwidth": 1_u64 << 40 }))?;
        self.command("migrate", &json!({ "uri": format!("exec:cat > {}", quoted(file)) }))?;
        self.migrated()
    }

    /// Reads the state of a machine that was started with `-incoming defer`, and lets it run.
    pub(crate) fn restore(&mut self, file: &Path) -> Result<()> {
        self.report_migration()?;
        self.command("migrate-incoming", &json!({ "uri": format!("exec:cat {}", quoted(file)) }))?;
        self.migrated()?;
        self.command("cont", &json!({}))?;
        Ok(())
    }

    fn report_migration(&mut self) -> Result<()> {
        let capabilities = json!({ "capabilities": [{ "capability": "events", "state": true }] });
        self.command("migrate-set-capabilities", &capabilities)?;
        Ok(())
    }

    fn migrated(&mut self) -> Result<()> {
        loop {
            let event = if self.events.is_empty() { self.message()? } else { self.events.remove(0) };
            match (event["event"].as_str(), event["data"]["status"].as_str()) {
                (Some("MIGRATION"), Some("completed")) => return Ok(()),
                (Some("MIGRATION"), Some("failed")) => bail!("qemu could not move the machine's state"),
                _ => {}
            }
        }
    }

    fn message(&mut self) -> Result<Value> {
        let mut line = String::new();
        if self.lines.read_line(&mut line).context("read from qemu")? == 0 {
            bail!("qemu has ended");
        }
        serde_json::from_str(&line).with_context(|| format!("read qemu's message {line:?}"))
    }
}

/// For the shell that qemu's `exec:` goes through.
fn quoted(file: &Path) -> String {
    format!("'{}'", file.display().to_string().replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_name_reaches_the_shell_as_one_word() {
        assert_eq!(quoted(Path::new("/a b/it's")), r"'/a b/it'\''s'");
    }
}
