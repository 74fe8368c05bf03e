//! The spine's second promise: nothing that happens to the agent, and nothing that happens to the box, changes what is
//! said of a container's end. These cases kill the agent, its kernel programs and the machine.

mod boots;
mod held;
mod kills;
mod leaving;
mod systemd;

use std::{fs, path::Path, time::Duration};

use anyhow::{Context, Result, ensure};

use super::Case;
use crate::{wire::Mode, world::World};

/// Below it each pod has a cgroup, and each attempt one in that.
const PODS: &str = "/sys/fs/cgroup/carob.slice/carob-pods.service/pods";
/// What systemd adds to the agent's unit for a case.
const DROP_INS: &str = "/run/systemd/system/carob.service.d";

pub(crate) fn cases() -> Vec<Case> {
    let case = |name, mode, limit, run| Case { name, mode, limit: Duration::from_secs(limit), run };
    vec![
        case("a_killed_agent_loses_nothing_whatever_the_moment", Mode::Alone, 3600, kills::at_any_moment),
        case("systemd_may_do_what_it_likes_to_the_agent", Mode::Alone, 300, systemd::does_what_it_likes),
        case(
            "terminals_inputs_and_shared_processes_outlive_the_agent",
            Mode::Alone,
            300,
            held::outlives_the_agent,
        ),
        case("without_kernel_programs_ends_are_still_seen", Mode::Alone, 900, leaving::without_programs),
        case("carob_leaves_a_box_as_it_found_it", Mode::Alone, 240, leaving::uninstalled),
        case("a_reboot_drains_pods_in_order_and_they_come_back", Mode::Reboot, 300, boots::ordered),
        case("a_power_cut_invents_no_exit_code", Mode::Reboot, 300, boots::cut),
    ]
}

/// Adds settings to the agent's unit; they count from its next start.
fn drop_in(world: &World, name: &str, settings: &str) -> Result<()> {
    fs::create_dir_all(DROP_INS).with_context(|| format!("create {DROP_INS}"))?;
    let file = Path::new(DROP_INS).join(name);
    fs::write(&file, settings).with_context(|| format!("write {}", file.display()))?;
    world.command("systemctl", &["daemon-reload"]).map(drop)
}

/// Comes back when an agent has said that it is ready.
fn await_agent(world: &World) -> Result<()> {
    let limit = Duration::from_secs(120);
    world.wait_until("an agent is ready", limit, || {
        world.command("systemctl", &["is-active", "--quiet", crate::world::UNIT])
    })?;
    Ok(())
}

/// Numbered lines of a log file, without a gap and in order; how many.
fn numbered(log: &Path) -> Result<usize> {
    let text = fs::read_to_string(log).with_context(|| format!("read {}", log.display()))?;
    let mut count = 0;
    for line in text.lines() {
        let said = line.splitn(4, ' ').nth(3).with_context(|| format!("{line:?} is no line of a log"))?;
        let expected = format!("line {}", count + 1);
        ensure!(said == expected, "{said:?} stands where {expected:?} should, in {}", log.display());
        count += 1;
    }
    Ok(count)
}
