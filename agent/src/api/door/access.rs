//! Who may do what. Pure: the rules of a role are data, in the form that Kubernetes' own reviews answer with.

use super::{
    asked::{Asked, ResourceAsked},
    identity::{Role, Speaker, Standing},
};

const ALL: &[&str] = &["*"];
const READING: &[&str] = &["get", "list", "watch"];
const GETTING: &[&str] = &["get"];

/// Verbs on objects.
#[derive(Clone, Copy, Debug)]
pub(super) struct ResourceRule {
    pub(super) groups: &'static [&'static str],
    /// With their subresources; `*` is all of them.
    pub(super) resources: &'static [&'static str],
    pub(super) verbs: &'static [&'static str],
}

/// Verbs on other paths.
#[derive(Clone, Copy, Debug)]
pub(super) struct PathRule {
    /// One that ends in `*` stands for all that begin so.
    pub(super) paths: &'static [&'static str],
    pub(super) verbs: &'static [&'static str],
}

/// All that somebody may do. What is in no rule is not allowed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rules {
    pub(super) resources: &'static [ResourceRule],
    pub(super) paths: &'static [PathRule],
}

/// Root, on the socket.
const ROOT: Rules = Rules {
    resources: &[ResourceRule { groups: ALL, resources: ALL, verbs: ALL }],
    paths: &[PathRule { paths: ALL, verbs: ALL }],
};

/// As root, but not who makes others admins: else no certificate's end would mean anything.
const ADMIN: Rules = Rules {
    resources: ROOT.resources,
    paths: &[
        SIGHTS,
        PathRule {
            paths: &[
                "/stats/*",
                "/carob/v1/ledger",
                "/carob/v1/images",
                "/carob/v1/images/*",
                "/carob/v1/gone/*",
                "/carob/v1/exec/*",
            ],
            verbs: ALL,
        },
    ],
};

/// Sees everything but secrets, and changes nothing. An image may hold what a secret would: it is not handed out either.
const VIEW: Rules = Rules {
    resources: &[
        ResourceRule {
            groups: &[""],
            resources: &[
                "pods",
                "pods/log",
                "pods/status",
                "pods/resize",
                "pods/ephemeralcontainers",
                "configmaps",
                "persistentvolumeclaims",
                "events",
                "nodes",
                "namespaces",
                "services",
                "endpoints",
                "replicationcontrollers",
                "replicationcontrollers/scale",
                "replicationcontrollers/status",
            ],
            verbs: READING,
        },
        ResourceRule {
            groups: &["apps", "batch", "discovery.k8s.io", "events.k8s.io", "metrics.k8s.io"],
            resources: ALL,
            verbs: READING,
        },
        ResourceRule {
            groups: &["authorization.k8s.io", "authentication.k8s.io"],
            resources: &["selfsubjectaccessreviews", "selfsubjectrulesreviews", "selfsubjectreviews"],
            verbs: &["create"],
        },
    ],
    paths: &[
        SIGHTS,
        PathRule {
            paths: &["/stats/*", "/carob/v1/ledger", "/carob/v1/images", "/carob/v1/images/df"],
            verbs: GETTING,
        },
    ],
};

/// For who draws the curves.
const METRICS: Rules = Rules { resources: &[], paths: &[FIGURES] };

const FIGURES: PathRule =
    PathRule { paths: &["/metrics", "/metrics/*", "/healthz", "/livez", "/readyz"], verbs: GETTING };

/// What a client looks at before anything else, and the figures.
const SIGHTS: PathRule = PathRule {
    paths: &[
        "/version",
        "/api",
        "/api/*",
        "/apis",
        "/apis/*",
        "/openapi/*",
        "/metrics",
        "/metrics/*",
        "/healthz",
        "/livez",
        "/readyz",
    ],
    verbs: GETTING,
};

/// What holds for somebody.
pub(super) fn rules(standing: Standing) -> &'static Rules {
    match standing {
        Standing::Root => &ROOT,
        Standing::Granted(Role::Admin) => &ADMIN,
        Standing::Granted(Role::View) => &VIEW,
        Standing::Granted(Role::Metrics) => &METRICS,
    }
}

/// Whether somebody may do it.
pub(super) fn may(standing: Standing, asked: &Asked) -> bool {
    let rules = rules(standing);
    match asked {
        Asked::Resource(asked) => rules.resources.iter().any(|rule| rule.covers(asked)),
        Asked::Path { verb, path } => rules.paths.iter().any(|rule| rule.covers(verb, path)),
    }
}

impl ResourceRule {
    fn covers(&self, asked: &ResourceAsked) -> bool {
        names(self.groups, &asked.group)
            && names(self.resources, &asked.whole())
            && names(self.verbs, &asked.verb)
    }
}

impl PathRule {
    fn covers(&self, verb: &str, path: &str) -> bool {
        let begins = |rule: &&str| rule.strip_suffix('*').is_some_and(|start| path.starts_with(start));
        names(self.verbs, verb) && (self.paths.contains(&path) || self.paths.iter().any(begins))
    }
}

fn names(words: &[&str], word: &str) -> bool {
    words.contains(&word) || words.contains(&"*")
}

/// Why not, as Kubernetes says it.
pub(super) fn denial(speaker: &Speaker, asked: &Asked) -> String {
    let user = &speaker.user;
    match asked {
        Asked::Path { verb, path } => format!("User {user:?} cannot {verb} path {path:?}"),
        Asked::Resource(asked) => {
            let ResourceAsked { verb, group, namespace, .. } = asked;
            let place = match &**namespace {
                "" => "at the cluster scope".to_owned(),
                namespace => format!("in the namespace {namespace:?}"),
            };
            format!("User {user:?} cannot {verb} resource {:?} in API group {group:?} {place}", asked.whole())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_role_may_what_its_rules_say_and_nothing_else() {
        // Method, path; admin, view, metrics.
        let rows = [
            ("GET", "/version", [true, true, false]),
            ("GET", "/healthz", [true, true, true]),
            ("GET", "/metrics", [true, true, true]),
            ("GET", "/metrics/cadvisor", [true, true, true]),
            ("POST", "/metrics", [false, false, false]),
            ("GET", "/metricsx", [false, false, false]),
            ("GET", "/stats/summary", [true, true, false]),
            ("GET", "/api", [true, true, false]),
            ("GET", "/apis/apps/v1", [true, true, false]),
            ("GET", "/openapi/v3", [true, true, false]),
            ("GET", "/api/v1/pods", [true, true, false]),
            ("GET", "/api/v1/pods?watch=true", [true, true, false]),
            ("GET", "/api/v1/namespaces/a/pods/p", [true, true, false]),
            ("GET", "/api/v1/namespaces/a/pods/p/log", [true, true, false]),
            ("GET", "/api/v1/namespaces/a/pods/p/exec", [true, false, false]),
            ("POST", "/api/v1/namespaces/a/pods/p/exec", [true, false, false]),
            ("GET", "/api/v1/namespaces/a/pods/p/attach", [true, false, false]),
            ("GET", "/api/v1/namespaces/a/pods/p/portforward", [true, false, false]),
            ("GET", "/api/v1/namespaces/a/pods/p/proxy", [true, false, false]),
            ("POST", "/api/v1/namespaces/a/pods", [true, false, false]),
            ("PUT", "/api/v1/namespaces/a/pods/p", [true, false, false]),
            ("PATCH", "/api/v1/namespaces/a/pods/p", [true, false, false]),
            ("DELETE", "/api/v1/namespaces/a/pods/p", [true, false, false]),
            ("DELETE", "/api/v1/namespaces/a/pods", [true, false, false]),
            ("PROPFIND", "/api/v1/namespaces/a/pods", [true, false, false]),
            ("GET", "/api/v1/secrets", [true, false, false]),
            ("GET", "/api/v1/namespaces/a/secrets/s", [true, false, false]),
            ("GET", "/api/v1/namespaces/a/%73%65crets/s", [true, false, false]),
            ("GET", "//api/v1/namespaces/a/secrets/s", [false, false, false]),
            ("GET", "/apis/apps/v1/namespaces/a/deployments/d/scale", [true, true, false]),
            ("PATCH", "/apis/apps/v1/namespaces/a/deployments/d/scale", [true, false, false]),
            ("GET", "/apis/metrics.k8s.io/v1beta1/pods", [true, true, false]),
            ("GET", "/apis/rbac.authorization.k8s.io/v1/roles", [true, false, false]),
            ("POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", [true, true, false]),
            ("GET", "/carob/v1/ledger", [true, true, false]),
            ("GET", "/carob/v1/images", [true, true, false]),
            ("POST", "/carob/v1/images", [true, false, false]),
            ("GET", "/carob/v1/images/export?names=x", [true, false, false]),
            ("POST", "/carob/v1/images/pull", [true, false, false]),
            ("POST", "/carob/v1/exec/a/p", [true, false, false]),
            ("POST", "/carob/v1/credentials", [false, false, false]),
            ("DELETE", "/carob/v1/credentials", [false, false, false]),
            ("GET", "/", [false, false, false]),
        ];
        let roles = [Role::Admin, Role::View, Role::Metrics];
        for (method, path, expected) in rows {
            let asked = Asked::of(&method.parse().unwrap(), &path.parse().unwrap());
            assert_eq!(roles.map(|role| may(Standing::Granted(role), &asked)), expected, "{method} {path}");
            assert!(may(Standing::Root, &asked), "{method} {path}");
        }
    }

    #[test]
    fn a_denial_is_kubernetes_own() {
        let speaker = Speaker { user: "al\"ice".to_owned(), standing: Standing::Granted(Role::View) };
        for (method, path, expected) in [
            (
                "POST",
                "/api/v1/namespaces/a/pods",
                r#"User "al\"ice" cannot create resource "pods" in API group "" in the namespace "a""#,
            ),
            (
                "GET",
                "/api/v1/namespaces/a/pods/p/exec",
                r#"User "al\"ice" cannot get resource "pods/exec" in API group "" in the namespace "a""#,
            ),
            (
                "GET",
                "/apis/x.io/v1/things",
                r#"User "al\"ice" cannot list resource "things" in API group "x.io" at the cluster scope"#,
            ),
            ("POST", "/metrics", r#"User "al\"ice" cannot post path "/metrics""#),
        ] {
            let asked = Asked::of(&method.parse().unwrap(), &path.parse().unwrap());
            assert_eq!(denial(&speaker, &asked), expected);
        }
    }
}
