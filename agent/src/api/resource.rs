//! The kinds of object the API serves, and the words for them.

use axum::{
    extract::Request,
    middleware::Next,
    response::{IntoResponse, Response},
};

use super::refusal::Refusal;
use crate::{manifest, pod::workload::WorkloadKind, store::Kind};

/// One kind of object.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Resource {
    pub(super) kind: Kind,
    /// The word in paths.
    pub(super) plural: &'static str,
    pub(super) singular: &'static str,
    pub(super) short: &'static [&'static str],
}

pub(super) const PODS: Resource =
    Resource { kind: Kind::Pod, plural: "pods", singular: "pod", short: &["po"] };

pub(super) const CLAIMS: Resource = Resource {
    kind: Kind::PersistentVolumeClaim,
    plural: "persistentvolumeclaims",
    singular: "persistentvolumeclaim",
    short: &["pvc"],
};

pub(super) const CONFIG_MAPS: Resource =
    Resource { kind: Kind::ConfigMap, plural: "configmaps", singular: "configmap", short: &["cm"] };

/// kubectl knows no short word for secrets.
pub(super) const SECRETS: Resource =
    Resource { kind: Kind::Secret, plural: "secrets", singular: "secret", short: &[] };

/// Refuses a kind of object under the root of another group.
pub(super) async fn belongs(root: &'static str, request: Request, next: Next) -> Response {
    let mut parts = request.uri().path().trim_start_matches('/').split('/');
    let plural = match parts.next() {
        Some("namespaces") => parts.nth(1).unwrap_or_default(),
        first => first.unwrap_or_default(),
    };
    match Resource::named(plural) {
        Ok(resource) if resource.root() == root => next.run(request).await,
        _ => Refusal::unknown_path().into_response(),
    }
}

/// All of them.
pub(super) fn all() -> impl Iterator<Item = Resource> {
    [PODS, CLAIMS, CONFIG_MAPS, SECRETS].into_iter().chain(WorkloadKind::ALL.map(Resource::of_workload))
}

impl Resource {
    const fn of_workload(kind: WorkloadKind) -> Self {
        Self {
            kind: Kind::Workload(kind),
            plural: kind.plural(),
            singular: kind.singular(),
            short: kind.short(),
        }
    }

    /// `/api/v1`, `/apis/apps/v1`.
    pub(super) fn root(&self) -> String {
        match self.manifest().api_version() {
            version if version.contains('/') => format!("/apis/{version}"),
            version => format!("/api/{version}"),
        }
    }

    /// What `manifest` calls the kind.
    pub(super) fn manifest(&self) -> manifest::Kind {
        match self.kind {
            Kind::Pod => manifest::Kind::Pod,
            Kind::PersistentVolumeClaim => manifest::Kind::PersistentVolumeClaim,
            Kind::ConfigMap => manifest::Kind::ConfigMap,
            Kind::Secret => manifest::Kind::Secret,
            Kind::Workload(kind) => manifest::Kind::Workload(kind),
        }
    }

    /// Whether it has a status that changes though nobody writes the object.
    pub(super) fn has_status(&self) -> bool {
        matches!(self.kind, Kind::Pod | Kind::Workload(_))
    }

    /// By the word in a path.
    pub(super) fn named(plural: &str) -> Result<Self, Refusal> {
        all().find(|resource| resource.plural == plural).ok_or_else(Refusal::unknown_path)
    }
}
