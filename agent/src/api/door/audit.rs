//! One line for each change that was asked for, carried out or not. Which lines are kept is the log's business.

use axum::http::StatusCode;

use super::{
    asked::{Asked, ResourceAsked},
    identity::Speaker,
};

/// Verbs that only look.
const LOOKING: [&str; 6] = ["get", "list", "watch", "head", "options", "trace"];
/// Ways into a container: a look that can change everything.
const INSIDE: [&str; 3] = ["exec", "attach", "portforward"];
/// Questions that are asked with POST.
const REVIEWS: [&str; 2] = ["authorization.k8s.io", "authentication.k8s.io"];

/// Whether a line is due.
pub(super) fn is_change(asked: &Asked) -> bool {
    match asked {
        Asked::Path { verb, path } => !LOOKING.contains(&&**verb) || path.starts_with("/carob/v1/exec/"),
        Asked::Resource(asked) => {
            let looks = LOOKING.contains(&&*asked.verb) || REVIEWS.contains(&&*asked.group);
            !looks || INSIDE.contains(&&*asked.subresource)
        }
    }
}

pub(super) fn write(speaker: &Speaker, asked: &Asked, code: StatusCode) {
    let (user, code) = (&speaker.user, code.as_u16());
    match asked {
        Asked::Path { verb, path } => tracing::info!(target: "audit", user, verb, path, code, "change"),
        Asked::Resource(asked) => {
            let ResourceAsked { verb, group, namespace, name, .. } = asked;
            let resource = asked.whole();
            tracing::info!(target: "audit", user, verb, group, resource, namespace, name, code, "change");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn looking_and_asking_leave_no_line_and_all_else_does() {
        for (method, path, expected) in [
            ("GET", "/api/v1/pods", false),
            ("GET", "/api/v1/pods?watch=1", false),
            ("HEAD", "/version", false),
            ("GET", "/api/v1/namespaces/a/pods/p/log", false),
            ("POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", false),
            ("GET", "/api/v1/namespaces/a/pods/p/exec?command=sh", true),
            ("POST", "/api/v1/namespaces/a/pods/p/attach", true),
            ("GET", "/api/v1/namespaces/a/pods/p/portforward", true),
            ("POST", "/api/v1/namespaces/a/pods", true),
            ("PATCH", "/apis/apps/v1/namespaces/a/deployments/d", true),
            ("DELETE", "/api/v1/namespaces/a/pods/p", true),
            ("DELETE", "/carob/v1/images?name=x", true),
            ("POST", "/carob/v1/credentials", true),
            ("GET", "/carob/v1/images", false),
            ("PROPFIND", "/api/v1/pods", true),
        ] {
            let asked = Asked::of(&method.parse().unwrap(), &path.parse().unwrap());
            assert_eq!(is_change(&asked), expected, "{method} {path}");
        }
    }
}
