//! What a request asks for, in Kubernetes' words: a verb on a resource, or on a path. Reads method, path and query as the
//! router does; says nothing of what is allowed.

use axum::http::{Method, Uri};

use crate::api::refusal::Denied;

/// What somebody wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    Resource(ResourceAsked),
    /// Anything that is no Kubernetes object.
    Path {
        verb: String,
        path: String,
    },
}

/// A verb on objects. What does not apply is empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct ResourceAsked {
    pub(super) verb: String,
    pub(super) group: String,
    pub(super) resource: String,
    pub(super) subresource: String,
    pub(super) namespace: String,
    pub(super) name: String,
}

/// What an object's own subresources are called where the object is a namespace, and not what lies in it.
const OF_NAMESPACE: [&str; 2] = ["status", "finalize"];

impl Asked {
    /// `/api/v1/…` and `/apis/{group}/{version}/…` with a resource behind it, and every other path.
    pub(super) fn of(method: &Method, uri: &Uri) -> Self {
        // The router takes the path apart before it decodes its parts, too.
        let parts: Vec<String> = uri.path().split('/').skip(1).map(decoded).collect();
        let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
        match *parts {
            ["api", _, ref rest @ ..] if !rest.is_empty() => Self::resource(method, uri, "", rest),
            ["apis", group, _, ref rest @ ..] if !rest.is_empty() => Self::resource(method, uri, group, rest),
            _ => Self::Path {
                verb: method.as_str().to_ascii_lowercase(),
                path: format!("/{}", parts.join("/")),
            },
        }
    }

    /// What a refusal names.
    pub(super) fn denied(&self) -> Option<Denied<'_>> {
        let Self::Resource(ResourceAsked { group, resource, name, .. }) = self else { return None };
        Some(Denied { group, resource, name })
    }

    fn resource(method: &Method, uri: &Uri, group: &str, parts: &[&str]) -> Self {
        let (namespace, resource, name, subresource) = match *parts {
            ["namespaces"] => ("", "namespaces", "", ""),
            ["namespaces", name] => (name, "namespaces", name, ""),
            ["namespaces", name, word] if OF_NAMESPACE.contains(&word) => (name, "namespaces", name, word),
            ["namespaces", namespace, resource, ref rest @ ..] => {
                (namespace, resource, at(rest, 0), at(rest, 1))
            }
            ref rest => ("", at(rest, 0), at(rest, 1), at(rest, 2)),
        };
        let text = str::to_owned;
        Self::Resource(ResourceAsked {
            verb: verb(method, name, uri.query().unwrap_or_default()).to_owned(),
            group: text(group),
            resource: text(resource),
            subresource: text(subresource),
            namespace: text(namespace),
            name: text(name),
        })
    }
}

impl ResourceAsked {
    /// `pods`, `pods/log`.
    pub(super) fn whole(&self) -> String {
        match &*self.subresource {
            "" => self.resource.clone(),
            part => format!("{}/{part}", self.resource),
        }
    }
}

fn at<'a>(parts: &[&'a str], index: usize) -> &'a str {
    parts.get(index).copied().unwrap_or_default()
}

fn verb<'a>(method: &'a Method, name: &str, query: &str) -> &'a str {
    let many = name.is_empty();
    match *method {
        Method::GET | Method::HEAD if watches(query) => "watch",
        Method::GET | Method::HEAD if many => "list",
        Method::GET | Method::HEAD => "get",
        Method::POST => "create",
        Method::PUT => "update",
        Method::PATCH => "patch",
        Method::DELETE if many => "deletecollection",
        Method::DELETE => "delete",
        ref other => other.as_str(),
    }
}

fn watches(query: &str) -> bool {
    query.split('&').any(|pair| matches!(pair, "watch=true" | "watch=1"))
}

/// Without percent signs; what cannot be decoded stays as it is, and is then no word that anybody may use.
fn decoded(part: &str) -> String {
    let mut bytes = part.bytes();
    let mut text = Vec::with_capacity(part.len());
    while let Some(byte) = bytes.next() {
        let mut digit = || char::from(bytes.next()?).to_digit(16);
        match byte {
            b'%' => match (digit(), digit()) {
                (Some(high), Some(low)) => text.push((high << 4 | low) as u8),
                _ => return part.to_owned(),
            },
            byte => text.push(byte),
        }
    }
    String::from_utf8(text).unwrap_or_else(|_| part.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_a_verb_on_a_resource_or_on_a_path() {
        // Method, path; verb, group, resource with subresource, namespace, name.
        let resources = [
            ("GET", "/api/v1/pods", ["list", "", "pods", "", ""]),
            ("GET", "/api/v1/namespaces/a/pods?watch=true", ["watch", "", "pods", "a", ""]),
            ("GET", "/api/v1/namespaces/a/pods/web", ["get", "", "pods", "a", "web"]),
            ("HEAD", "/api/v1/namespaces/a/pods/web", ["get", "", "pods", "a", "web"]),
            ("GET", "/api/v1/namespaces/a/pods/web/log", ["get", "", "pods/log", "a", "web"]),
            ("POST", "/api/v1/namespaces/a/pods/web/exec", ["create", "", "pods/exec", "a", "web"]),
            ("POST", "/api/v1/namespaces/a/pods", ["create", "", "pods", "a", ""]),
            ("PUT", "/apis/apps/v1/namespaces/a/deployments/d", ["update", "apps", "deployments", "a", "d"]),
            (
                "PATCH",
                "/apis/apps/v1/namespaces/a/deployments/d/scale",
                ["patch", "apps", "deployments/scale", "a", "d"],
            ),
            ("DELETE", "/api/v1/namespaces/a/secrets", ["deletecollection", "", "secrets", "a", ""]),
            ("DELETE", "/api/v1/namespaces/a/secrets/s", ["delete", "", "secrets", "a", "s"]),
            ("GET", "/api/v1/namespaces", ["list", "", "namespaces", "", ""]),
            ("GET", "/api/v1/namespaces/a", ["get", "", "namespaces", "a", "a"]),
            ("GET", "/api/v1/namespaces/a/status", ["get", "", "namespaces/status", "a", "a"]),
            ("GET", "/api/v1/nodes/box", ["get", "", "nodes", "", "box"]),
            ("GET", "/apis/metrics.k8s.io/v1beta1/pods", ["list", "metrics.k8s.io", "pods", "", ""]),
            // However it is spelled, it is what the router takes it for.
            ("GET", "/api/v1/namespaces/a/%73ecrets/s", ["get", "", "secrets", "a", "s"]),
            ("GET", "/%61pi/v1/%6e%61mespaces/a/secrets/s", ["get", "", "secrets", "a", "s"]),
            ("GET", "/api/v1/namespaces/a/pods/..%2Fsecrets", ["get", "", "pods", "a", "../secrets"]),
            ("GET", "/api/v1/namespaces/a/pods/%zz", ["get", "", "pods", "a", "%zz"]),
            ("GET", "/api/v1/namespaces/a/pods/%", ["get", "", "pods", "a", "%"]),
            ("GET", "/api/v1//secrets", ["get", "", "", "", "secrets"]),
        ];
        for (method, path, [verb, group, whole, namespace, name]) in resources {
            match Asked::of(&method.parse().unwrap(), &path.parse().unwrap()) {
                Asked::Resource(asked) => {
                    let found = [&*asked.verb, &asked.group, &asked.whole(), &asked.namespace, &asked.name];
                    assert_eq!(found, [verb, group, whole, namespace, name], "{method} {path}");
                }
                other => panic!("{path}: {other:?}"),
            }
        }
        let paths = [
            ("GET", "/version", "get", "/version"),
            ("GET", "/api/v1", "get", "/api/v1"),
            ("GET", "/apis/apps", "get", "/apis/apps"),
            ("POST", "/carob/v1/images/pull?name=x", "post", "/carob/v1/images/pull"),
            ("GET", "//api/v1/secrets", "get", "//api/v1/secrets"),
            ("GET", "/", "get", "/"),
        ];
        for (method, path, verb, whole) in paths {
            let asked = Asked::of(&method.parse().unwrap(), &path.parse().unwrap());
            assert_eq!(asked, Asked::Path { verb: verb.to_owned(), path: whole.to_owned() }, "{path}");
        }
    }
}
