//! What the kernel programs count of each container's processes: the counts that are written down, and those of the cgroup
//! that is still there, read when it is asked for.

use super::family::{Family, Series};
use crate::{
    picture::{Picture, PodPicture, meter::Meter},
    pod::counts::{Counts, Tally},
};

/// Without the programs nothing is counted, and zeros would say that nothing happened.
pub(super) fn families(picture: &Picture) -> Vec<Family> {
    let heard = picture.health.deaf.is_none();
    let pods = picture.pods.values().filter(|_| heard);
    let counted: Vec<_> = pods.flat_map(|pod| of_pod(pod, &picture.meter)).collect();
    let family = |name, help, count: fn(&Counts) -> u64| {
        let series = counted.iter().map(|(labels, counts)| Series::new(*labels, count(counts) as f64));
        Family::counter(name, help, series.collect())
    };
    let exits = counted.iter().flat_map(|(labels, counts)| {
        [("main", counts.main_exits), ("other", counts.other_exits)].map(|(process, count)| {
            let [namespace, pod, container] = *labels;
            Series::new([namespace, pod, container, ("process", process)], count as f64)
        })
    });
    vec![
        Family::counter(
            "carob_container_exits",
            "Processes that ended in a container, as the kernel counts them: its main ones, and all others.",
            exits.collect(),
        ),
        family(
            "carob_container_oom_kills",
            "Processes in a container that the OOM killer took, as the kernel counts them.",
            |counts| counts.oom_kills,
        ),
        family(
            "carob_container_lost_records",
            "Kernel records of a container that found no room: detail is lost, deaths and counts are not.",
            |counts| counts.lost_records,
        ),
    ]
}

type Labels<'a> = [(&'static str, &'a str); 3];

fn of_pod<'a>(pod: &'a PodPicture, meter: &Meter) -> Vec<(Labels<'a>, Counts)> {
    let name = &pod.spec.name;
    let one = |(container, tally): (&'a crate::pod::Container, &Tally)| {
        let labels = [
            ("namespace", name.namespace.as_str()),
            ("pod", name.name.as_str()),
            ("container", container.name.as_str()),
        ];
        Some((labels, sum(*tally, meter)?))
    };
    pod.spec.containers.iter().zip(&pod.tallies).filter_map(one).collect()
}

/// Nothing rather than less than there was, should the cgroup have been closed since the picture was taken.
fn sum(tally: Tally, meter: &Meter) -> Option<Counts> {
    let running = tally.cgroup.map_or(Some(Counts::default()), |cgroup| meter.counts(cgroup))?;
    Some(tally.written + running)
}
