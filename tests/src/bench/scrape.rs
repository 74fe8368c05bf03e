//! The agent while a Prometheus asks it: processor time and bytes of each of its two pages, with many pods that sleep.

use std::time::Duration;

use anyhow::Result;

use super::{
    Figure, pass,
    sample::{Sample, mb},
    send_all, start_pods,
};
use crate::{
    http,
    world::{METRICS, World},
};

const PODS: usize = 50;
/// Emulated, each container takes seconds.
const PATIENCE: Duration = Duration::from_secs(1500);
const SETTLE: Duration = Duration::from_secs(20);
const SCRAPES: u32 = 25;
/// The page of carob's own, and the kubelet's of its containers.
const PAGES: [(&str, &str); 2] = [("metrics", ""), ("cadvisor", "/cadvisor")];

pub(super) fn measure(world: &World) -> Result<()> {
    start_pods(world, PODS, PATIENCE)?;
    pass(world, SETTLE)?;
    let pid = world.agent_pid()?;
    let before = Sample::of(pid)?;
    let pss = "scrape.pss_before";
    send_all(vec![Figure::alone(pss, mb(before.pss), "MB, 50 pods of 2 containers")])?;
    for (name, path) in PAGES {
        // The first one finds nothing in any cache.
        http::fetch(&format!("{METRICS}{path}"))?.body()?;
        let first = Sample::of(pid)?;
        let mut bytes = 0;
        for _ in 0..SCRAPES {
            bytes += http::fetch(&format!("{METRICS}{path}"))?.body()?.len();
        }
        let cpu = Sample::of(pid)?.cpu_since(&first) * 1000.0 / f64::from(SCRAPES);
        send_all(vec![
            Figure::alone(format!("scrape.{name}.cpu"), cpu, "ms of the agent a scrape, emulated"),
            Figure::alone(
                format!("scrape.{name}.bytes"),
                bytes as f64 / f64::from(SCRAPES),
                "bytes a scrape",
            ),
        ])?;
    }
    let after = Sample::of(pid)?;
    send_all(vec![
        Figure::beside("scrape.pss", mb(after.pss), "MB, after the scrapes", pss, mb(before.pss)),
        Figure::beside("scrape.pss_anonymous", mb(after.anonymous), "MB", "scrape.pss", mb(after.pss)),
    ])
}
