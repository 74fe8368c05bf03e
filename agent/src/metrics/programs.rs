//! How often the kernel programs ran, and what that cost.

use super::family::{Family, Series};
use crate::{picture::Picture, pod::counts::Ran};

pub(super) fn families(picture: &Picture) -> Vec<Family> {
    let all = picture.meter.programs();
    let series = |value: fn(&Ran) -> Option<f64>| {
        all.iter().filter_map(|ran| Some(Series::new([("program", ran.program)], value(ran)?))).collect()
    };
    vec![
        Family::counter(
            "carob_kernel_program_runs",
            "How often a kernel program ran while kernel.bpf_stats_enabled was 1; absent while it is not.",
            series(|ran| ran.runs.map(|(count, _)| count as f64)),
        ),
        Family::counter(
            "carob_kernel_program_run_seconds",
            "How long those runs took.",
            series(|ran| ran.runs.map(|(_, took)| took.as_secs_f64())),
        ),
        Family::counter(
            "carob_kernel_program_misses",
            "How often a kernel program was passed over because one was at work on that processor.",
            series(|ran| ran.misses.map(|count| count as f64)),
        ),
    ]
}
