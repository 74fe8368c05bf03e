//! Image references as users write them, made canonical by docker's rules.
//!
//! Rules: the grammar in <https://github.com/distribution/reference>. Nothing is looked up here.

use std::fmt;

use super::{Digest, Error};

const REGISTRY: &str = "docker.io";
const OLD_REGISTRY: &str = "index.docker.io";
const OFFICIAL: &str = "library/";
const TAG: &str = "latest";
/// `NameTotalLengthMax` and the tag's length of the grammar.
const REPOSITORY_LEN: usize = 255;
const TAG_LEN: usize = 128;

/// `docker.io/library/busybox:latest`, however it was abbreviated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Reference {
    /// Registry and path.
    pub(super) repository: String,
    pub(super) version: Version,
}

/// Which image of a repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Version {
    Tag(String),
    Digest(Digest),
}

impl Reference {
    /// Reads `[registry/]path[:tag][@digest]`; a tag beside a digest says nothing more and is dropped.
    pub(super) fn parse(text: &str) -> Result<Self, Error> {
        let refuse = |fault| Error::Reference { text: text.to_owned(), fault };
        let (name, digest) = match text.split_once('@') {
            Some((name, digest)) => (
                name,
                Some(
                    Digest::parse(digest)
                        .ok_or_else(|| refuse("the digest is not sha256: and 64 hex digits"))?,
                ),
            ),
            None => (text, None),
        };
        let (name, tag) = split_tag(name);
        let tag = tag.unwrap_or(TAG);
        if !is_tag(tag) {
            return Err(refuse("a tag is 1 to 128 of A-Z a-z 0-9 _ . - and does not start with . or -"));
        }
        let repository = repository(name).map_err(refuse)?;
        let version = digest.map_or_else(|| Version::Tag(tag.to_owned()), Version::Digest);
        Ok(Self { repository, version })
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.version {
            Version::Tag(tag) => write!(f, "{}:{tag}", self.repository),
            Version::Digest(digest) => write!(f, "{}@{digest}", self.repository),
        }
    }
}

/// A colon before the last slash belongs to the registry's port.
fn split_tag(name: &str) -> (&str, Option<&str>) {
    match name.rsplit_once(':') {
        Some((name, tag)) if !tag.contains('/') => (name, Some(tag)),
        _ => (name, None),
    }
}

fn repository(name: &str) -> Result<String, &'static str> {
    let (registry, path) = match name.split_once('/') {
        Some((first, rest)) if is_registry(first) => (first, rest),
        _ => (REGISTRY, name),
    };
    let registry = if registry == OLD_REGISTRY { REGISTRY } else { registry };
    if !is_host(registry) {
        return Err("the registry is not a host name with an optional port");
    }
    if !path.split('/').all(is_path_component) {
        return Err("a path is lower-case letters and digits, joined by one of . _ __ - and /");
    }
    let official = if registry == REGISTRY && !path.contains('/') { OFFICIAL } else { "" };
    let repository = format!("{registry}/{official}{path}");
    if repository.len() > REPOSITORY_LEN { Err("it is longer than 255 characters") } else { Ok(repository) }
}

/// The first component names a registry if it cannot be a user's name on the default one.
fn is_registry(first: &str) -> bool {
    first == "localhost" || first.contains(['.', ':']) || first.bytes().any(|c| c.is_ascii_uppercase())
}

/// A name or an address, IPv6 in brackets, and perhaps a port.
fn is_host(text: &str) -> bool {
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (text, None),
    };
    let label = |text: &str| {
        let bounded = !text.is_empty() && !text.starts_with('-') && !text.ends_with('-');
        bounded && text.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'-')
    };
    let host_fits = match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        Some(address) => address.bytes().all(|c| c.is_ascii_hexdigit() || c == b':'),
        None => host.split('.').all(label),
    };
    host_fits && port.is_none_or(|port| !port.is_empty() && port.bytes().all(|c| c.is_ascii_digit()))
}

/// `[a-z0-9]+` joined by `.`, `_`, `__` or any number of `-`.
fn is_path_component(text: &str) -> bool {
    let alphanumeric = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let separator = |s: &str| matches!(s, "." | "_" | "__") || s.bytes().all(|c| c == b'-');
    let bounded = text.starts_with(alphanumeric) && text.ends_with(alphanumeric);
    bounded && text.split(alphanumeric).all(separator)
}

fn is_tag(text: &str) -> bool {
    let word = |c: u8| c.is_ascii_alphanumeric() || c == b'_';
    text.len() <= TAG_LEN
        && text.bytes().next().is_some_and(word)
        && text.bytes().all(|c| word(c) || c == b'.' || c == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEX: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn a_short_name_becomes_the_one_docker_would_use() {
        let check = |given: &str, canonical: &str| {
            assert_eq!(Reference::parse(given).unwrap().to_string(), canonical, "{given}");
            assert_eq!(Reference::parse(canonical).unwrap().to_string(), canonical, "{given}");
        };
        check("busybox", "docker.io/library/busybox:latest");
        check("busybox:1.36", "docker.io/library/busybox:1.36");
        check("grafana/loki", "docker.io/grafana/loki:latest");
        check("index.docker.io/busybox", "docker.io/library/busybox:latest");
        check("localhost/x", "localhost/x:latest");
        check("localhost:5000/x", "localhost:5000/x:latest");
        check("[::1]/x", "[::1]/x:latest");
        check("[::1]:5000/x:2", "[::1]:5000/x:2");
        check("Box/x", "Box/x:latest");
        check("quay.io/a/b__c/d--e.f:v1.0_x", "quay.io/a/b__c/d--e.f:v1.0_x");
        check(&format!("x@sha256:{HEX}"), &format!("docker.io/library/x@sha256:{HEX}"));
        check(&format!("x:1@sha256:{HEX}"), &format!("docker.io/library/x@sha256:{HEX}"));
    }

    #[test]
    fn what_is_no_reference_is_refused() {
        let long = "a/".repeat(130) + "a";
        for text in [
            "",
            ":1",
            "Busybox",
            "a//b",
            "/a",
            "a/",
            "a:",
            "a:-x",
            "a b",
            "a:1:2",
            "-a",
            "a_",
            "a___b",
            "a..b",
            "a@sha256:12",
            "a@md5:1",
            "../x",
            "-.b/x",
            "a.b:/x",
            "a.b:c/x",
            "[g::]/x",
            "a.b:1:2/x",
            "a.b/../x",
            "a\n",
            &long,
            &format!("a:{}", "t".repeat(129)),
        ] {
            assert!(matches!(Reference::parse(text), Err(Error::Reference { .. })), "{text:?}");
        }
    }
}
