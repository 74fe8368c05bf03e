//! The kinds of object the API serves, the words for them, and what can be done with each. Discovery, OpenAPI and the paths
//! all come from here.

use axum::{
    extract::Request,
    middleware::Next,
    response::{IntoResponse, Response},
};

use super::{refusal::Refusal, scale};
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

pub(super) const NAMESPACES: Resource =
    Resource { kind: Kind::Namespace, plural: "namespaces", singular: "namespace", short: &["ns"] };

pub(super) const EVENTS: Resource =
    Resource { kind: Kind::Event, plural: "events", singular: "event", short: &["ev"] };

/// Refuses a kind of object under the root of another group, and in a namespace what is in none.
pub(super) async fn belongs(root: &'static str, request: Request, next: Next) -> Response {
    let mut parts = request.uri().path().trim_start_matches('/').split('/');
    let plural = match parts.next() {
        Some("namespaces") => parts.nth(1).unwrap_or_default(),
        first => first.unwrap_or_default(),
    };
    match Resource::named(plural) {
        Ok(resource) if resource.root() == root && resource.is_namespaced() => next.run(request).await,
        _ => Refusal::unknown_path().into_response(),
    }
}

/// All of them.
pub(super) fn all() -> impl Iterator<Item = Resource> {
    [PODS, CLAIMS, CONFIG_MAPS, SECRETS, NAMESPACES, EVENTS]
        .into_iter()
        .chain(WorkloadKind::ALL.map(Resource::of_workload))
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
        root(self.api_version())
    }

    /// What `manifest` calls the kind; none for what no file holds.
    pub(super) fn manifest(&self) -> Option<manifest::Kind> {
        Some(match self.kind {
            Kind::Pod => manifest::Kind::Pod,
            Kind::PersistentVolumeClaim => manifest::Kind::PersistentVolumeClaim,
            Kind::ConfigMap => manifest::Kind::ConfigMap,
            Kind::Secret => manifest::Kind::Secret,
            Kind::Namespace => manifest::Kind::Namespace,
            Kind::Workload(kind) => manifest::Kind::Workload(kind),
            Kind::Event => return None,
        })
    }

    pub(super) fn api_version(&self) -> &'static str {
        self.manifest().map_or("v1", manifest::Kind::api_version)
    }

    /// Whether it changes, comes or goes though nobody writes the object.
    pub(super) fn has_status(&self) -> bool {
        matches!(self.kind, Kind::Pod | Kind::Workload(_) | Kind::Namespace)
    }

    fn scope(&self) -> Scope {
        if self.is_namespaced() { Scope::Namespaced } else { Scope::Cluster }
    }

    pub(super) fn is_namespaced(&self) -> bool {
        self.kind != Kind::Namespace
    }

    /// By the word in a path.
    pub(super) fn named(plural: &str) -> Result<Self, Refusal> {
        all().find(|resource| resource.plural == plural).ok_or_else(Refusal::unknown_path)
    }
}

/// A kind as clients discover it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Listed {
    pub(super) version: &'static str,
    pub(super) kind: &'static str,
    pub(super) plural: &'static str,
    pub(super) singular: &'static str,
    pub(super) short: &'static [&'static str],
    pub(super) scope: Scope,
    pub(super) verbs: &'static [&'static str],
    /// `kubectl get` takes a category for all kinds in it.
    pub(super) categories: &'static [&'static str],
    pub(super) parts: &'static [Subresource],
}

/// Whether an object belongs to a namespace or to the box.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scope {
    Namespaced,
    Cluster,
}

/// What of an object has a path of its own.
#[derive(Clone, Copy, Debug)]
pub(super) struct Subresource {
    pub(super) name: &'static str,
    /// Of its kind, if that is not the object's.
    pub(super) group_version: Option<(&'static str, &'static str)>,
    pub(super) kind: &'static str,
    pub(super) verbs: &'static [&'static str],
}

const STORED: &[&str] = &["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"];
/// Not all at once.
const SINGLY: &[&str] = &["create", "delete", "get", "list", "patch", "update", "watch"];
const READ: &[&str] = &["get", "list"];
const SHOWN: &[&str] = &["get", "list", "watch"];
const CHANGED: &[&str] = &["get", "patch", "update"];
const ALL: &[&str] = &["all"];

const fn part(name: &'static str, kind: &'static str, verbs: &'static [&'static str]) -> Subresource {
    Subresource { name, group_version: None, kind, verbs }
}

const SCALE: &[Subresource] =
    &[Subresource { group_version: Some(scale::GROUP_VERSION), ..part("scale", "Scale", CHANGED) }];

const PARTS_OF_POD: &[Subresource] = &[
    part("attach", "PodAttachOptions", &["create", "get"]),
    part("ephemeralcontainers", "Pod", CHANGED),
    part("exec", "PodExecOptions", &["create", "get"]),
    part("log", "Pod", &["get"]),
    part("portforward", "PodPortForwardOptions", &["create", "get"]),
    part("resize", "Pod", CHANGED),
    part("status", "Pod", CHANGED),
];

pub(super) const NODES: Listed =
    Listed { short: &["no"], ..shown("v1", "Node", ["nodes", "node"], Scope::Cluster) };
pub(super) const NODE_METRICS: Listed =
    Listed { verbs: READ, ..shown(METRICS, "NodeMetrics", ["nodes", ""], Scope::Cluster) };
pub(super) const POD_METRICS: Listed =
    Listed { verbs: READ, ..shown(METRICS, "PodMetrics", ["pods", ""], Scope::Namespaced) };

/// Kinds that no client writes.
const OTHERS: &[Listed] = &[NODES, NODE_METRICS, POD_METRICS];

const METRICS: &str = "metrics.k8s.io/v1beta1";

const fn shown(
    version: &'static str,
    kind: &'static str,
    [plural, singular]: [&'static str; 2],
    scope: Scope,
) -> Listed {
    Listed { version, kind, plural, singular, short: &[], scope, verbs: SHOWN, categories: &[], parts: &[] }
}

/// All kinds that are served.
pub(super) fn listed() -> impl Iterator<Item = Listed> {
    all().map(|resource| resource.listed()).chain(OTHERS.iter().copied())
}

impl Resource {
    pub(super) fn listed(&self) -> Listed {
        let Self { kind, plural, singular, short } = *self;
        Listed {
            short,
            verbs: if self.is_namespaced() { STORED } else { SINGLY },
            categories: if matches!(kind, Kind::Pod | Kind::Workload(_)) { ALL } else { &[] },
            parts: match kind {
                Kind::Pod => PARTS_OF_POD,
                Kind::Workload(kind) if !matches!(kind, WorkloadKind::DaemonSet | WorkloadKind::Job) => SCALE,
                _ => &[],
            },
            ..shown(self.api_version(), kind.name(), [plural, singular], self.scope())
        }
    }
}

/// Below which path the kinds of a version are.
pub(super) fn root(version: &str) -> String {
    if version.contains('/') { format!("/apis/{version}") } else { format!("/api/{version}") }
}

impl Listed {
    pub(super) fn root(&self) -> String {
        root(self.version)
    }

    /// `apps` and `v1`; the core group has no name.
    pub(super) fn group_version(&self) -> (&'static str, &'static str) {
        self.version.split_once('/').unwrap_or(("", self.version))
    }
}
