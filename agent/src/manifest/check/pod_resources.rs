//! `spec.resources`: a budget for the pod as a whole (KEP-2837), and whether its containers fit into it.

use k8s_openapi::api::core::v1::{Container, PodSpec};

use super::container::check_resources;
use crate::manifest::{
    fault::{FaultKind, Findings, quoted},
    path::Path,
    quantity::Quantity,
    sum,
};

pub(super) fn check(spec: &PodSpec, at: &Path<'_>, findings: &mut Findings) {
    let Some(resources) = &spec.resources else { return };
    let resources_at = at.field("resources");
    check_resources(resources, &resources_at, findings);
    for (name, written) in resources.requests.iter().flatten() {
        let asks = |container: &Container| request(container, name);
        let (Some(pod), Some(all)) = (Quantity::parse(&written.0), sum::together(spec, asks)) else {
            continue;
        };
        if all.signed() > pod.signed() {
            let sum = all.canonical();
            let message = format!(
                "Invalid value: {}: must be greater than or equal to aggregate container requests of {sum}",
                quoted(&written.0)
            );
            findings.fault(&resources_at.field("requests").field(name), FaultKind::Value, message);
        }
    }
    let lists =
        [("initContainers", spec.init_containers.as_deref()), ("containers", Some(&*spec.containers))];
    for (list, containers) in lists {
        for (index, container) in containers.unwrap_or_default().iter().enumerate() {
            limits(container, spec, &at.field(list).item(index), findings);
        }
    }
}

/// No container may use more than the whole pod.
fn limits(container: &Container, spec: &PodSpec, at: &Path<'_>, findings: &mut Findings) {
    let pod = spec.resources.as_ref().and_then(|resources| resources.limits.as_ref());
    let own = container.resources.as_ref().and_then(|resources| resources.limits.as_ref());
    for (name, written) in own.into_iter().flatten() {
        let Some(most) = pod.and_then(|limits| limits.get(name)) else { continue };
        let (Some(own), Some(most)) = (Quantity::parse(&written.0), Quantity::parse(&most.0)) else {
            continue;
        };
        if own.signed() > most.signed() {
            let message = format!(
                "Invalid value: {}: must be less than or equal to pod limits of {}",
                quoted(&written.0),
                most.canonical()
            );
            let at = at.field("resources");
            findings.fault(&at.field("limits").field(name), FaultKind::Value, message);
        }
    }
}

/// A limit without a request is a request of the same size.
fn request(container: &Container, name: &str) -> Option<Quantity> {
    let resources = container.resources.as_ref()?;
    let of = |amounts: &Option<std::collections::BTreeMap<String, _>>| -> Option<Quantity> {
        let written: &k8s_openapi::apimachinery::pkg::api::resource::Quantity =
            amounts.as_ref()?.get(name)?;
        Quantity::parse(&written.0)
    };
    of(&resources.requests).or_else(|| of(&resources.limits))
}
