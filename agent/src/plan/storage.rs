//! Whether a pod keeps more on disk than it may, by the kubelet's rules and in its words (`localStorageEviction`).

use crate::pod::{Spec, VolumeSource, storage::Used};

/// Whether anything has to be measured.
pub(crate) fn is_limited(spec: &Spec) -> bool {
    let volumes = || {
        spec.volumes.iter().any(|volume| matches!(&volume.source, VolumeSource::EmptyDir { limit: Some(_) }))
    };
    spec.storage.is_some() || spec.containers.iter().any(|each| each.storage.is_some()) || volumes()
}

/// Why the pod has to go, if it has to: a volume first, then the pod as a whole, then a container.
pub(crate) fn excess(spec: &Spec, used: &Used) -> Option<String> {
    let volume = spec.volumes.iter().zip(&used.volumes).find_map(|(volume, used)| match &volume.source {
        VolumeSource::EmptyDir { limit: Some(limit) } if *used > limit.bytes => Some(format!(
            "Usage of EmptyDir volume {:?} exceeds the limit {:?}. ",
            volume.name, limit.written
        )),
        _ => None,
    });
    let whole = || {
        let limit = spec.storage.as_ref()?;
        let sum: u64 = used.containers.iter().chain(&used.volumes).sum();
        (sum > limit.bytes).then(|| {
            let written = &limit.written;
            format!("Pod ephemeral local storage usage exceeds the total limit of containers {written}. ")
        })
    };
    let container = || {
        spec.containers.iter().zip(&used.containers).find_map(|(container, used)| {
            let limit = container.storage.as_ref().filter(|limit| *used > limit.bytes)?;
            Some(format!(
                "Container {} exceeded its local ephemeral storage limit {:?}. ",
                container.name, limit.written
            ))
        })
    };
    volume.or_else(whole).or_else(container)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pod::{Container, Volume, storage::Limit};

    fn limit(bytes: u64) -> Option<Limit> {
        Some(Limit { bytes, written: format!("{bytes}") })
    }

    #[test]
    fn what_is_beyond_a_limit_is_said_in_the_kubelets_words() {
        let container =
            |name: &str, storage| Container { name: name.to_owned(), storage, ..Container::default() };
        let volume =
            |name: &str, limit| Volume { name: name.to_owned(), source: VolumeSource::EmptyDir { limit } };
        let spec = Spec {
            containers: vec![container("a", limit(100)), container("b", limit(20))],
            volumes: vec![volume("v", limit(50)), volume("w", None)],
            storage: limit(120),
            ..Spec::default()
        };
        assert!(is_limited(&spec) && !is_limited(&Spec::default()));
        let rows: &[([u64; 2], [u64; 2], Option<&str>)] = &[
            ([100, 20], [0, 0], None),
            ([0, 0], [50, 70], None),
            ([0, 0], [51, 0], Some("Usage of EmptyDir volume \"v\" exceeds the limit \"50\". ")),
            (
                [100, 20],
                [0, 1],
                Some("Pod ephemeral local storage usage exceeds the total limit of containers 120. "),
            ),
            ([0, 21], [0, 0], Some("Container b exceeded its local ephemeral storage limit \"20\". ")),
            ([101, 0], [51, 0], Some("Usage of EmptyDir volume \"v\" exceeds the limit \"50\". ")),
        ];
        for (containers, volumes, expected) in rows {
            let used = Used { containers: containers.to_vec(), volumes: volumes.to_vec() };
            assert_eq!(excess(&spec, &used).as_deref(), *expected, "{used:?}");
        }
    }
}
