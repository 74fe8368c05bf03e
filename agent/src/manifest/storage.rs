//! Limits on the disk a pod may use: of its volumes, of its containers, and what those add up to.

use k8s_openapi::{
    api::core::v1::{Container, PodSpec, ResourceRequirements},
    apimachinery::pkg::api::resource::Quantity as Written,
};

use super::{quantity::Quantity, sum};
use crate::pod::storage::Limit;

const NAME: &str = "ephemeral-storage";

/// A limit of 0 is none, as in Kubernetes.
pub(super) fn limit(written: &Written) -> Option<Limit> {
    of(Quantity::parse(&written.0)?)
}

pub(super) fn of_container(resources: Option<&ResourceRequirements>) -> Option<Limit> {
    of(amount(resources)?)
}

pub(super) fn of_pod(spec: &PodSpec) -> Option<Limit> {
    of(sum::together(spec, |container: &Container| amount(container.resources.as_ref()))?)
}

fn amount(resources: Option<&ResourceRequirements>) -> Option<Quantity> {
    Quantity::parse(&resources?.limits.as_ref()?.get(NAME)?.0)
}

fn of(quantity: Quantity) -> Option<Limit> {
    let bytes = quantity.units();
    (bytes > 0).then(|| Limit { bytes, written: quantity.canonical() })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn the_limits_of_containers_add_up() {
        let container = |limit: &str, restart: Option<&str>| Container {
            resources: Some(ResourceRequirements {
                limits: (!limit.is_empty())
                    .then(|| BTreeMap::from([(NAME.to_owned(), Written(limit.to_owned()))])),
                ..ResourceRequirements::default()
            }),
            restart_policy: restart.map(str::to_owned),
            ..Container::default()
        };
        let always = Some("Always");
        type Inits<'a> = &'a [(&'a str, Option<&'a str>)];
        let rows: &[(Inits<'_>, &[&str], Option<&str>)] = &[
            (&[], &["", ""], None),
            (&[], &["0"], None),
            (&[], &["1Mi", ""], Some("1Mi")),
            (&[], &["1Mi", "512Ki"], Some("1536Ki")),
            (&[], &["1M", "1M"], Some("2M")),
            (&[("3Mi", None)], &["1Mi"], Some("3Mi")),
            (&[("1Mi", always), ("3Mi", None)], &["1Mi"], Some("4Mi")),
            (&[("2Mi", None), ("1Mi", always)], &["2Mi"], Some("3Mi")),
        ];
        for (inits, mains, expected) in rows {
            let spec = PodSpec {
                init_containers: Some(
                    inits.iter().map(|(limit, restart)| container(limit, *restart)).collect(),
                ),
                containers: mains.iter().map(|limit| container(limit, None)).collect(),
                ..PodSpec::default()
            };
            assert_eq!(of_pod(&spec).map(|limit| limit.written).as_deref(), *expected, "{inits:?} {mains:?}");
        }
    }
}
