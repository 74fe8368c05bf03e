//! The metrics pages as Prometheus takes them, and whether their figures are true. What they say of a death is looked at
//! where the deaths are.

mod probes;
mod programs;
mod stages;
mod usage;

use std::time::Duration;

use anyhow::{Result, ensure};

use super::Case;
use crate::{wire::Mode, world::World};

const LIMIT: Duration = Duration::from_secs(120);
const FILE: &str = "metrics-page.yaml";
/// One family each for what only a pod that is over has, and what only one that starts again has.
const TELLING: [(&str, &str); 2] = [
    ("kube_pod_container_status_terminated_reason{", "metrics-ended"),
    ("kube_pod_container_status_last_terminated_reason{", "metrics-restarted"),
];

pub(crate) fn cases() -> Vec<Case> {
    let case = |name, run| Case { name, mode: Mode::Shared, limit: LIMIT * 2, run };
    vec![
        case("the_metrics_page_is_what_promtool_accepts", promtool_accepts),
        case("the_metrics_count_each_probing_by_what_it_came_to", probes::counted),
        case("the_metrics_time_how_containers_come_and_go", stages::timed),
        case("the_metrics_of_usage_are_what_the_kernel_counts", usage::true_figures),
        case("the_metrics_say_how_often_the_kernel_programs_ran", programs::counted),
    ]
}

/// promtool itself runs on the host, which fails this case for it.
fn promtool_accepts(world: &World) -> Result<()> {
    world.start()?;
    world.load_images()?;
    let ended = world.payload("pods/exit7.yaml")?.replace("name: exit7", "name: metrics-ended");
    let restarted = ended
        .replace("metrics-ended", "metrics-restarted")
        .replace("Never\n  containers", "Always\n  containers");
    world.put(FILE, &format!("{ended}---\n{restarted}"))?;
    let page = world.wait_until("the page shows both pods' ends", LIMIT, || {
        let page = world.metrics()?;
        let shows = |(family, pod): &(&str, &str)| {
            page.lines().any(|line| line.starts_with(family) && line.contains(pod))
        };
        ensure!(TELLING.iter().all(shows), "a pod has not ended:\n{page}");
        Ok(page)
    })?;
    world.hand_over("metrics.prom", &page)?;
    world.remove(FILE)?;
    world.wait_until("the pods are gone", LIMIT, || {
        for (_, pod) in TELLING {
            let status = world.ask("GET", &format!("/api/v1/namespaces/default/pods/{pod}"), None)?.status;
            ensure!(status == 404, "{pod} is still there: {status}");
        }
        Ok(())
    })
}
