//! What a registry wants to know of who asks: `WWW-Authenticate`, and the token that is the answer (the distribution
//! project's `spec/auth/token.md`; RFC 9110 §11.6.1). Pure.

use serde::Deserialize;

/// One challenge of a kind that is understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Challenge {
    Basic,
    /// A token is to be had there.
    Bearer {
        realm: String,
        service: Option<String>,
        scope: Option<String>,
    },
}

/// Reads the header; of several challenges, a token's is taken.
pub(super) fn challenge(header: &str) -> Option<Challenge> {
    let mut found = None;
    let mut rest = header.trim_start();
    while let Some((scheme, parameters)) = scheme(rest) {
        let (parameters, after) = self::parameters(parameters);
        let value = |name: &str| {
            let has_name = |(key, _): &&(String, String)| key.eq_ignore_ascii_case(name);
            parameters.iter().find(has_name).map(|(_, value)| value.clone())
        };
        if scheme.eq_ignore_ascii_case("bearer")
            && let Some(realm) = value("realm")
        {
            return Some(Challenge::Bearer { realm, service: value("service"), scope: value("scope") });
        }
        if scheme.eq_ignore_ascii_case("basic") {
            found = Some(Challenge::Basic);
        }
        rest = after;
    }
    found
}

/// The first word, and what follows it.
fn scheme(text: &str) -> Option<(&str, &str)> {
    let text = text.trim_start_matches([',', ' ']);
    let end = text.find([' ', ',']).unwrap_or(text.len());
    let (scheme, rest) = text.split_at(end);
    (!scheme.is_empty()).then_some((scheme, rest))
}

/// `name=value` or `name="value"`, joined by commas, up to the next scheme.
fn parameters(mut text: &str) -> (Vec<(String, String)>, &str) {
    let mut found = Vec::new();
    loop {
        let next = text.trim_start_matches([',', ' ']);
        let Some((name, rest)) = next.split_once('=') else { return (found, next) };
        if name.contains([' ', ',']) {
            return (found, next);
        }
        let (value, rest) = value(rest);
        found.push((name.to_owned(), value));
        text = rest;
    }
}

fn value(text: &str) -> (String, &str) {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find([',', ' ']).unwrap_or(text.len());
        return (text[..end].to_owned(), &text[end..]);
    };
    let mut value = String::new();
    let mut chars = quoted.char_indices();
    while let Some((at, char)) = chars.next() {
        match char {
            '"' => return (value, &quoted[at + 1..]),
            '\\' => value.extend(chars.next().map(|(_, escaped)| escaped)),
            char => value.push(char),
        }
    }
    (value, "")
}

/// The answer of a token server; older ones use the second name.
#[derive(Deserialize)]
pub(super) struct Token {
    token: Option<String>,
    access_token: Option<String>,
}

impl Token {
    pub(super) fn text(self) -> Option<String> {
        self.token.or(self.access_token).filter(|token| !token.is_empty())
    }
}

/// Where a token for reading a repository is asked for.
pub(super) fn token_url(realm: &str, service: Option<&str>, scope: Option<&str>, repository: &str) -> String {
    let pull = format!("repository:{repository}:pull");
    let pairs = [("service", service), ("scope", Some(scope.unwrap_or(&pull)))];
    let query = pairs.iter().filter_map(|(name, value)| Some(format!("{name}={}", escaped((*value)?))));
    let joint = if realm.contains('?') { '&' } else { '?' };
    format!("{realm}{joint}{}", query.collect::<Vec<_>>().join("&"))
}

fn escaped(text: &str) -> String {
    let plain = |c: u8| c.is_ascii_alphanumeric() || b"-._~:/".contains(&c);
    text.bytes().map(|c| if plain(c) { char::from(c).to_string() } else { format!("%{c:02X}") }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn challenges_are_read() {
        let bearer = |realm: &str, service: Option<&str>, scope: Option<&str>| {
            let own = |text: Option<&str>| text.map(str::to_owned);
            Some(Challenge::Bearer { realm: realm.to_owned(), service: own(service), scope: own(scope) })
        };
        let rows = [
            ("Basic realm=\"Registry\"", Some(Challenge::Basic)),
            ("basic", Some(Challenge::Basic)),
            (
                "Bearer realm=\"https://auth.docker.io/token\",service=\"registry.docker.io\",scope=\"repository:a/b:pull\"",
                bearer(
                    "https://auth.docker.io/token",
                    Some("registry.docker.io"),
                    Some("repository:a/b:pull"),
                ),
            ),
            ("bearer realm=https://t, service=s", bearer("https://t", Some("s"), None)),
            ("Bearer realm=\"https://t\\\"q\"", bearer("https://t\"q", None, None)),
            ("Basic realm=\"x, y\", Bearer realm=\"https://t\"", bearer("https://t", None, None)),
            ("Negotiate, Basic realm=\"x\"", Some(Challenge::Basic)),
            ("Bearer service=\"s\"", None),
            ("Bearer realm=\"open", bearer("open", None, None)),
            ("Digest realm=\"x\", qop=\"auth\"", None),
            ("", None),
        ];
        for (header, expected) in rows {
            assert_eq!(challenge(header), expected, "{header}");
        }
    }

    #[test]
    fn a_token_is_asked_for_where_the_challenge_says() {
        let rows = [
            (
                "https://t",
                Some("s"),
                Some("repository:x:pull"),
                "https://t?service=s&scope=repository:x:pull",
            ),
            ("https://t?a=1", None, None, "https://t?a=1&scope=repository:a/b:pull"),
            ("https://t", Some("my registry"), Some("a b"), "https://t?service=my%20registry&scope=a%20b"),
        ];
        for (realm, service, scope, expected) in rows {
            assert_eq!(token_url(realm, service, scope, "a/b"), expected);
        }
        let text = |json| serde_json::from_str::<Token>(json).unwrap().text();
        assert_eq!(text(r#"{"token": "a", "access_token": "b"}"#).as_deref(), Some("a"));
        assert_eq!(text(r#"{"access_token": "b"}"#).as_deref(), Some("b"));
        assert_eq!(text(r#"{"token": ""}"#), None);
    }
}
