//! What came of probes, under the kubelet's names and labels. A pod's series go with the pod.

use super::family::{Family, Series};
use crate::{
    picture::{
        Picture, PodPicture,
        counted::{Probing, Spread},
    },
    pod::probe::ProbeKind,
};

pub(super) fn families(picture: &Picture) -> Vec<Family> {
    let (mut totals, mut durations) = (Vec::new(), Vec::new());
    for pod in picture.pods.values() {
        for ((container, kind), Probing { successful, failed, unknown, took }) in pod.probings.now() {
            for (result, count) in [("successful", successful), ("failed", failed), ("unknown", unknown)] {
                totals.push(total(pod, (&container, kind), result, count));
            }
            durations.push(duration(pod, (&container, kind), took));
        }
    }
    vec![
        Family::counter(
            "prober_probe",
            "How often a container was probed, by purpose and result; unknown is that no answer came about.",
            totals,
        ),
        Family::histogram(
            "prober_probe_duration_seconds",
            "How long probings took that were successful.",
            durations,
        ),
    ]
}

fn total(pod: &PodPicture, (container, kind): (&str, ProbeKind), result: &str, count: u64) -> Series {
    let (kind, name) = (kind.to_string(), &pod.spec.name);
    let labels = [
        ("probe_type", &*kind),
        ("result", result),
        ("container", container),
        ("pod", &name.name),
        ("namespace", &name.namespace),
        ("pod_uid", &pod.spec.uid.0),
    ];
    Series::new(labels, count as f64)
}

fn duration(pod: &PodPicture, (container, kind): (&str, ProbeKind), took: Spread) -> Series {
    let (kind, name) = (kind.to_string(), &pod.spec.name);
    let labels = [
        ("probe_type", &*kind),
        ("container", container),
        ("pod", &name.name),
        ("namespace", &name.namespace),
    ];
    Series::new(labels, took)
}
