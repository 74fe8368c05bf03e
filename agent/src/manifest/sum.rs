//! What the containers of a pod need together, of anything that has an amount.

use k8s_openapi::api::core::v1::{Container, PodSpec};

use super::quantity::Quantity;

/// What may be there at the same time, of the containers that say something: the main ones with all sidecars, or one init
/// container with the sidecars before it (KEP-753).
pub(super) fn together(spec: &PodSpec, of_one: impl Fn(&Container) -> Option<Quantity>) -> Option<Quantity> {
    let plus = |sum: Option<Quantity>, one: Option<Quantity>| match (sum, one) {
        (Some(sum), Some(one)) => Some(sum.plus(one)),
        (sum, one) => sum.or(one),
    };
    let (mut sidecars, mut inits) = (None, Vec::new());
    for container in spec.init_containers.iter().flatten() {
        let sum = plus(sidecars, of_one(container));
        match container.restart_policy.as_deref() {
            Some("Always") => sidecars = sum,
            _ => inits.push(sum),
        }
    }
    let mains = spec.containers.iter().map(of_one).fold(sidecars, plus);
    inits.into_iter().chain([mains]).flatten().max_by_key(Quantity::signed)
}
