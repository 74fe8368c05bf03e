//! Registries: by which ways each is reached, and who one is to it. Pure.
//!
//! Credentials are docker's configuration file, as `imagePullSecrets` hold it; which of them are for an image, the
//! kubelet's rules say (`credentialprovider/keyring.go`).

use std::{collections::BTreeMap, fmt, path::PathBuf};

use base64::prelude::{BASE64_STANDARD, Engine};
use serde::{Deserialize, Serialize};

/// Docker's own registry: its name, the older one that its credentials are filed under, and the host that serves it.
pub(crate) const DOCKER: &str = "docker.io";
const DOCKER_INDEX: &str = "index.docker.io";
const DOCKER_HOST: &str = "registry-1.docker.io";

/// What the configuration says of a registry.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub(crate) struct Registry {
    /// Asked before the registry itself, in this order: `host[:port]`, perhaps with a path that goes before the
    /// repository's.
    mirrors: Vec<Mirror>,
    /// PEM certificates that it may also be signed by.
    ca: Option<PathBuf>,
    /// Any certificate will do, and where nobody speaks TLS, plain HTTP.
    insecure: bool,
}

/// `host[:port][/path]`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
struct Mirror {
    host: String,
    path: String,
}

impl TryFrom<String> for Mirror {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let (host, path) = text.split_once('/').unwrap_or((&text, ""));
        if host.is_empty() || text.contains("://") || text.contains(char::is_whitespace) {
            return Err(format!(
                "mirrors: {text:?} is not a host like mirror.example:5000 or mirror.example/path"
            ));
        }
        Ok(Self { host: host.to_owned(), path: path.trim_matches('/').to_owned() })
    }
}

/// All that are configured, by the host that images name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub(crate) struct Registries(BTreeMap<String, Registry>);

/// One way to a repository.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Endpoint {
    /// `host[:port]`.
    pub(crate) host: String,
    pub(crate) repository: String,
    /// Both, as credentials are filed: docker's registry is served by another host than its name.
    pub(crate) name: String,
    pub(crate) ca: Option<PathBuf>,
    pub(crate) insecure: bool,
}

impl Registries {
    /// The ways to a repository, the first to be tried first.
    pub(crate) fn endpoints(&self, registry: &str, repository: &str) -> Vec<Endpoint> {
        let to = |host: &str, repository: String| {
            let known = self.0.get(host);
            Endpoint {
                host: if host == DOCKER { DOCKER_HOST } else { host }.to_owned(),
                name: format!("{host}/{repository}"),
                repository,
                ca: known.and_then(|registry| registry.ca.clone()),
                insecure: known.is_some_and(|registry| registry.insecure),
            }
        };
        let mirrors = self.0.get(registry).into_iter().flat_map(|registry| &registry.mirrors);
        let by_mirror = |mirror: &Mirror| match mirror.path.as_str() {
            "" => to(&mirror.host, repository.to_owned()),
            path => to(&mirror.host, format!("{path}/{repository}")),
        };
        mirrors.map(by_mirror).chain([to(registry, repository.to_owned())]).collect()
    }
}

/// Who one is to a registry, or to a part of it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Credential {
    /// `host[:port][/path]`; `*` may stand for any part of a label of the host.
    scope: String,
    pub(crate) user: String,
    pub(crate) password: String,
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credential").field("scope", &self.scope).finish_non_exhaustive()
    }
}

/// Why a docker configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Fault {
    #[error("it is not the JSON of a docker configuration")]
    Json(#[from] serde_json::Error),
    #[error("{scope:?}: auth is not the base64 of user:password")]
    Auth { scope: String },
}

/// `config.json`, or the older form, which is its `auths` alone.
#[derive(Deserialize)]
#[serde(untagged)]
enum DockerConfig {
    New { auths: BTreeMap<String, Login> },
    Old(BTreeMap<String, Login>),
}

#[derive(Deserialize)]
struct Login {
    auth: Option<String>,
    username: Option<String>,
    password: Option<String>,
}

/// Reads `.dockerconfigjson`, `.dockercfg` or an `auth.json`.
pub(crate) fn credentials(bytes: &[u8]) -> Result<Vec<Credential>, Fault> {
    let (DockerConfig::New { auths } | DockerConfig::Old(auths)) = serde_json::from_slice(bytes)?;
    let mut found = Vec::new();
    for (scope, login) in auths {
        let pair = match (login.username, login.password, login.auth.filter(|auth| !auth.is_empty())) {
            (Some(user), Some(password), _) => Some((user, password)),
            (_, _, Some(auth)) => Some(pair(&auth).ok_or_else(|| Fault::Auth { scope: scope.clone() })?),
            // A login that some helper keeps elsewhere.
            _ => None,
        };
        found.extend(pair.map(|(user, password)| Credential { scope: bare(&scope), user, password }));
    }
    Ok(found)
}

fn pair(auth: &str) -> Option<(String, String)> {
    let text = String::from_utf8(BASE64_STANDARD.decode(auth).ok()?).ok()?;
    let (user, password) = text.split_once(':')?;
    Some((user.to_owned(), password.trim_end_matches('\0').to_owned()))
}

/// Without the scheme and the version that older tools wrote: `https://index.docker.io/v1/`.
fn bare(scope: &str) -> String {
    let text = scope.trim_start_matches("https://").trim_start_matches("http://").trim_end_matches('/');
    let text = text.strip_suffix("/v1").or_else(|| text.strip_suffix("/v2")).unwrap_or(text);
    match text.split_once('/') {
        None if text == DOCKER_INDEX => DOCKER.to_owned(),
        Some((DOCKER_INDEX, path)) => format!("{DOCKER}/{path}"),
        _ => text.to_owned(),
    }
}

/// Those for a repository (`host[:port]/path`), the most exact first.
pub(crate) fn fitting<'a>(all: &'a [Credential], repository: &str) -> Vec<&'a Credential> {
    let mut fit: Vec<_> = all.iter().filter(|credential| fits(&credential.scope, repository)).collect();
    fit.sort_by_key(|credential| std::cmp::Reverse(credential.scope.len()));
    fit
}

fn fits(scope: &str, repository: &str) -> bool {
    let (host, path) = scope.split_once('/').unwrap_or((scope, ""));
    let (wanted, rest) = repository.split_once('/').unwrap_or((repository, ""));
    let (host, port) = host.rsplit_once(':').unwrap_or((host, ""));
    let (wanted, wanted_port) = wanted.rsplit_once(':').unwrap_or((wanted, ""));
    let labels = host.split('.').count() == wanted.split('.').count()
        && host.split('.').zip(wanted.split('.')).all(|(pattern, label)| matches(pattern, label));
    let below = path.is_empty()
        || rest.strip_prefix(path).is_some_and(|rest| rest.is_empty() || rest.starts_with(['/', ':', '@']));
    labels && port == wanted_port && below
}

/// Whether `*`s in the pattern can stand for what the label has there.
fn matches(pattern: &str, label: &str) -> bool {
    let Some((before, after)) = pattern.split_once('*') else { return pattern == label };
    let Some(rest) = label.strip_prefix(before) else { return false };
    rest.char_indices().map(|(at, _)| at).chain([rest.len()]).any(|at| matches(after, &rest[at..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn registries(json: &str) -> Registries {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn mirrors_come_before_the_registry_itself() {
        let known = registries(
            r#"{"docker.io": {"mirrors": ["mirror:5000", "cache.example/hub/"]},
                "mirror:5000": {"ca": "/etc/mirror.pem"},
                "old:5000": {"insecure": true}}"#,
        );
        let rows = [
            (
                ("docker.io", "library/busybox"),
                vec![
                    ("mirror:5000", "library/busybox", Some("/etc/mirror.pem"), false),
                    ("cache.example", "hub/library/busybox", None, false),
                    ("docker.io", "library/busybox", None, false),
                ],
            ),
            (("old:5000", "a/b"), vec![("old:5000", "a/b", None, true)]),
            (("mirror:5000", "x"), vec![("mirror:5000", "x", Some("/etc/mirror.pem"), false)]),
            (("quay.io", "a/b"), vec![("quay.io", "a/b", None, false)]),
        ];
        for ((registry, repository), expected) in rows {
            let expected: Vec<_> = expected
                .into_iter()
                .map(|(host, repository, ca, insecure)| Endpoint {
                    host: if host == "docker.io" { "registry-1.docker.io" } else { host }.to_owned(),
                    repository: repository.to_owned(),
                    name: format!("{host}/{repository}"),
                    ca: ca.map(PathBuf::from),
                    insecure,
                })
                .collect();
            assert_eq!(known.endpoints(registry, repository), expected, "{registry}/{repository}");
        }
    }

    #[test]
    fn what_is_no_registry_is_refused() {
        for (json, part) in [
            (r#"{"a": {"mirror": []}}"#, "mirror"),
            (r#"{"a": {"mirrors": ["http://m"]}}"#, "\"http://m\" is not a host"),
            (r#"{"a": {"mirrors": ["/m"]}}"#, "\"/m\" is not a host"),
        ] {
            let fault = serde_json::from_str::<Registries>(json).unwrap_err().to_string();
            assert!(fault.contains(part), "{json}: {fault}");
        }
    }

    fn read(json: &str) -> Result<Vec<(String, String, String)>, String> {
        let read = credentials(json.as_bytes()).map_err(|fault| fault.to_string())?;
        Ok(read.into_iter().map(|one| (one.scope, one.user, one.password)).collect())
    }

    #[test]
    fn docker_configurations_are_read() {
        let rows = [
            (r#"{"auths": {"quay.io": {"auth": "dTpwOnE="}}}"#, Ok(vec![("quay.io", "u", "p:q")])),
            (r#"{"quay.io": {"username": "u", "password": "p"}}"#, Ok(vec![("quay.io", "u", "p")])),
            (
                r#"{"auths": {"https://index.docker.io/v1/": {"auth": "dTpw"}}}"#,
                Ok(vec![("docker.io", "u", "p")]),
            ),
            (
                r#"{"auths": {"http://r:5000/v2/": {"auth": "dTpw"}}, "credsStore": "x"}"#,
                Ok(vec![("r:5000", "u", "p")]),
            ),
            (r#"{"auths": {"r": {}}}"#, Ok(vec![])),
            (r#"{"auths": {}}"#, Ok(vec![])),
            (r#"{"auths": {"r": {"auth": "bm9jb2xvbg=="}}}"#, Err("\"r\": auth is not")),
            (r#"{"auths": {"r": {"auth": "x"}}}"#, Err("\"r\": auth is not")),
            ("[]", Err("it is not the JSON")),
        ];
        for (json, expected) in rows {
            match (read(json), expected) {
                (Ok(found), Ok(expected)) => {
                    let own =
                        |(a, b, c): &(&str, &str, &str)| ((*a).to_owned(), (*b).to_owned(), (*c).to_owned());
                    assert_eq!(found, expected.iter().map(own).collect::<Vec<_>>(), "{json}");
                }
                (Err(fault), Err(part)) => assert!(fault.contains(part), "{json}: {fault}"),
                (found, _) => panic!("{json}: {found:?}"),
            }
        }
    }

    #[test]
    fn a_credential_is_for_its_part_of_a_registry() {
        let rows = [
            ("quay.io", "quay.io/a/b", true),
            ("quay.io", "quay.io:443/a/b", false),
            ("quay.io/a", "quay.io/a/b", true),
            ("quay.io/a", "quay.io/ab", false),
            ("quay.io/a/b", "quay.io/a/b", true),
            ("quay.io/a/b", "quay.io/a", false),
            ("*.example", "r.example/x", true),
            ("*.example", "a.r.example/x", false),
            ("r*1.example", "r-1.example/x", true),
            ("r:5000", "r:5000/x", true),
            ("r:5000", "r:5001/x", false),
            ("docker.io", "docker.io/library/x", true),
        ];
        for (scope, repository, expected) in rows {
            assert_eq!(fits(scope, repository), expected, "{scope} for {repository}");
        }
        let one = |scope: &str| Credential {
            scope: scope.to_owned(),
            user: String::new(),
            password: String::new(),
        };
        let all = [one("quay.io"), one("r"), one("quay.io/a/b"), one("quay.io/a")];
        let scopes: Vec<_> = fitting(&all, "quay.io/a/b").iter().map(|one| one.scope.as_str()).collect();
        assert_eq!(scopes, ["quay.io/a/b", "quay.io/a", "quay.io"]);
    }
}
