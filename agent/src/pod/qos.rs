//! QoS class and `oom_score_adj`, by the kubelet's rules (`qos/policy.go`).

use super::{Container, Role, Spec};

/// `status.qosClass`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum QosClass {
    Guaranteed,
    Burstable,
    BestEffort,
}

impl QosClass {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Guaranteed => "Guaranteed",
            Self::Burstable => "Burstable",
            Self::BestEffort => "BestEffort",
        }
    }
}

/// Guaranteed: every container limits CPU and memory and asks for just that. BestEffort: none says anything. If the pod as
/// a whole says something, that alone counts (KEP-2837).
pub(crate) fn class(spec: &Spec) -> QosClass {
    let own = Some(spec.resources).filter(|own| *own != super::Resources::default());
    let each = || spec.containers.iter().map(|container| container.resources);
    let all = || own.into_iter().chain(each().filter(move |_| own.is_none()));
    let silent = all().all(|r| r == super::Resources::default());
    let full = all().all(|r| {
        let equal = |limit: Option<u64>, request: Option<u64>| {
            limit.is_some() && request.is_none_or(|r| Some(r) == limit)
        };
        equal(r.cpu_limit, r.cpu_request) && equal(r.memory_limit, r.memory_request)
    });
    match (silent, full) {
        (true, _) => QosClass::BestEffort,
        (false, true) => QosClass::Guaranteed,
        (false, false) => QosClass::Burstable,
    }
}

/// Who goes first when the box runs out of memory. `capacity` is the box's memory in bytes. A sidecar goes no earlier
/// than the first of the containers it serves (KEP-753).
pub(crate) fn oom_score_adj(spec: &Spec, container: &Container, capacity: u64) -> i32 {
    let own = own_score(spec, container, capacity);
    let mains = spec.containers.iter().filter(|other| other.role == Role::Main);
    match container.role {
        Role::Sidecar => {
            mains.map(|main| own_score(spec, main, capacity)).max().map_or(own, |first| first.min(own))
        }
        Role::Init | Role::Main | Role::Ephemeral => own,
    }
}

fn own_score(spec: &Spec, container: &Container, capacity: u64) -> i32 {
    match class(spec) {
        QosClass::Guaranteed => -997,
        QosClass::BestEffort => 1000,
        QosClass::Burstable => {
            let request = u128::from(memory_request(container) + unclaimed(spec));
            let share = (1000 * request).checked_div(u128::from(capacity)).unwrap_or(0);
            (1000 - i32::try_from(share).unwrap_or(1000)).clamp(3, 999)
        }
    }
}

fn memory_request(container: &Container) -> u64 {
    container.resources.memory_request.or(container.resources.memory_limit).unwrap_or(0)
}

/// Bytes that a pod asks for: as a whole, or what its containers ask for at the same time.
pub(crate) fn memory_asked(spec: &Spec) -> u64 {
    let own = spec.resources.memory_request.or(spec.resources.memory_limit);
    own.unwrap_or_else(|| together(&spec.containers, memory_request))
}

/// The part of what the pod as a whole asks for that no container does: each has an equal share of it.
fn unclaimed(spec: &Spec) -> u64 {
    let Some(whole) = spec.resources.memory_request else { return 0 };
    let claimed = together(&spec.containers, memory_request);
    whole.saturating_sub(claimed).checked_div(spec.containers.len() as u64).unwrap_or(0)
}

/// What containers have at the same time of something: the main ones with all sidecars, or one init container with the
/// sidecars before it (KEP-753).
pub(crate) fn together(containers: &[Container], of_one: impl Fn(&Container) -> u64) -> u64 {
    let sum = |containers: &[Container], others: Role| -> u64 {
        let counted = containers.iter().filter(|each| [Role::Sidecar, others].contains(&each.role));
        counted.map(&of_one).fold(0, u64::saturating_add)
    };
    let inits = containers.iter().enumerate().filter(|(_, container)| container.role == Role::Init);
    let with_init =
        inits.map(|(index, init)| sum(&containers[..index], Role::Sidecar).saturating_add(of_one(init)));
    with_init.fold(sum(containers, Role::Main), u64::max)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pod::Resources;

    fn spec(resources: &[Resources]) -> Spec {
        let container = |resources: &Resources| Container { resources: *resources, ..Container::default() };
        Spec { containers: resources.iter().map(container).collect(), ..Spec::default() }
    }

    #[test]
    fn a_sidecar_outlives_the_container_it_serves() {
        let asks = |bytes| Resources { memory_request: Some(bytes), ..Resources::default() };
        // What the sidecar and the others ask for, and the sidecar's score.
        let rows: &[(u64, &[u64], i32)] =
            &[(10, &[500], 500), (600, &[500], 400), (10, &[100, 500], 900), (10, &[5], 990)];
        for (own, mains, score) in rows {
            let all: Vec<Resources> = std::iter::once(own).chain(*mains).map(|bytes| asks(*bytes)).collect();
            let mut spec = spec(&all);
            spec.containers[0].role = Role::Sidecar;
            assert_eq!(oom_score_adj(&spec, &spec.containers[0], 1000), *score, "{own} beside {mains:?}");
        }
    }

    #[test]
    fn a_pods_own_budget_decides_its_class_and_is_shared_out() {
        let asks = |bytes| Resources { memory_request: Some(bytes), ..Resources::default() };
        let full = Resources {
            memory_limit: Some(500),
            memory_request: Some(500),
            cpu_limit: Some(1),
            cpu_request: Some(1),
        };
        let none = Resources::default();
        // The pod's own, its containers', and class and score of the first.
        let rows: &[(Resources, &[Resources], QosClass, i32)] = &[
            (full, &[none, none], QosClass::Guaranteed, -997),
            (asks(500), &[none, none], QosClass::Burstable, 750),
            (asks(500), &[asks(100), asks(200)], QosClass::Burstable, 800),
            (Resources { memory_limit: Some(600), ..full }, &[asks(100)], QosClass::Burstable, 500),
        ];
        for (own, containers, expected, score) in rows {
            let spec = Spec { resources: *own, ..spec(containers) };
            let found = (class(&spec), oom_score_adj(&spec, &spec.containers[0], 1000));
            assert_eq!(found, (*expected, *score), "{own:?} {containers:?}");
        }
    }

    #[test]
    fn class_and_score_follow_requests_and_limits() {
        let none = Resources::default();
        let full = Resources { memory_limit: Some(64), cpu_limit: Some(1), ..none };
        let same = Resources { memory_request: Some(64), cpu_request: Some(1), ..full };
        let half = Resources { memory_request: Some(32), ..full };
        let asks = Resources { memory_request: Some(250), ..none };
        let tiny = Resources { memory_request: Some(1), ..none };
        let rows: &[(&[Resources], QosClass, i32)] = &[
            (&[none], QosClass::BestEffort, 1000),
            (&[full], QosClass::Guaranteed, -997),
            (&[same, full], QosClass::Guaranteed, -997),
            (&[half], QosClass::Burstable, 968),
            (&[asks], QosClass::Burstable, 750),
            (&[tiny], QosClass::Burstable, 999),
            (&[none, full], QosClass::Burstable, 999),
            (&[Resources { memory_request: Some(5000), ..none }], QosClass::Burstable, 3),
        ];
        for (resources, expected, score) in rows {
            let spec = spec(resources);
            assert_eq!(
                (class(&spec), oom_score_adj(&spec, &spec.containers[0], 1000)),
                (*expected, *score),
                "{resources:?}"
            );
        }
    }
}
