//! carob on a machine without systemd: the agent is a child of the case, and its pods' cgroup lies at the top.

use std::{
    fs::{self, File},
    process::{Child, Command, Stdio},
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};

use crate::world::{AGENT, MANIFESTS, World};

pub(crate) const CGROUP: &str = "/sys/fs/cgroup/carob";
const LOG: &str = "/run/carob-agent.log";
/// Emulated, loading the kernel programs takes most of it.
const PATIENCE: Duration = Duration::from_secs(120);

pub(crate) struct Agent {
    child: Child,
}

impl Agent {
    /// Starts it and comes back when it answers.
    pub(crate) fn start(world: &World) -> Result<Self> {
        for dir in [MANIFESTS, "/var/lib/carob"] {
            fs::create_dir_all(dir).with_context(|| format!("create {dir}"))?;
        }
        let log = File::create(LOG).with_context(|| format!("create {LOG}"))?;
        let mut command = Command::new(AGENT);
        command.arg("agent").stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let mut agent = Self { child: command.spawn().with_context(|| format!("start {AGENT}"))? };
        let answered = world.wait_until("the agent answers", PATIENCE, || {
            if let Some(status) = agent.child.try_wait()? {
                // Nothing will change any more.
                return Ok(Err(status));
            }
            world.read("/api/v1/pods").map(|_| Ok(()))
        });
        match answered.with_context(|| agent.said())? {
            Ok(()) => Ok(agent),
            Err(status) => bail!("the agent has ended: {status}\n{}", agent.said()),
        }
    }

    /// Stops it in order; its pods would go on.
    pub(crate) fn stop(mut self) -> Result<()> {
        kill_process(Pid::from_child(&self.child), Signal::TERM).context("stop the agent")?;
        let status = self.child.wait().context("wait for the agent")?;
        ensure!(status.success(), "the agent ended with {status}\n{}", self.said());
        Ok(())
    }

    /// Its log.
    pub(crate) fn said(&self) -> String {
        format!("the agent's log:\n{}", fs::read_to_string(LOG).unwrap_or_default())
    }
}
