//! Kubernetes' rules for names: labels, subdomains, keys, ports, environment. One `Name` a rule.

/// What a name may look like, and how that is said.
#[derive(Debug)]
pub(super) struct Name {
    pub(super) fits: fn(&str) -> bool,
    pub(super) needed: &'static str,
}

/// RFC 1123 label: namespaces, containers, volumes, host names.
pub(super) const LABEL: Name = Name {
    fits: is_label,
    needed: "a name of lower case letters, digits and \"-\" (at most 63, the first and the last no \"-\")",
};

/// RFC 1123 subdomain: pods and claims.
pub(super) const SUBDOMAIN: Name = Name {
    fits: is_subdomain,
    needed: "a name of lower case letters, digits, \"-\" and \".\" (at most 253, \"-\" only between two others)",
};

/// The beginning of a subdomain: five letters are to follow.
pub(super) const SUBDOMAIN_START: Name = Name {
    fits: |text| is_subdomain(&format!("{text}0")),
    needed: "the beginning of a name of lower case letters, digits, \"-\" and \".\"",
};

/// The key of a label or annotation.
pub(super) const KEY: Name = Name {
    fits: is_key,
    needed: "a key of letters, digits, \"-\", \"_\" and \".\" (at most 63, a letter or digit first and last, perhaps \
             a domain and \"/\" before it)",
};

/// The value of a label.
pub(super) const LABEL_VALUE: Name = Name {
    fits: |text| text.is_empty() || is_key_name(text),
    needed: "a value of letters, digits, \"-\", \"_\" and \".\" (at most 63, a letter or digit first and last)",
};

/// RFC 6335 service name.
pub(super) const PORT: Name = Name {
    fits: is_port,
    needed: "a name of lower case letters, digits and single \"-\" (at most 15, a letter among them)",
};

/// A key of a configMap or secret: it becomes a file's name.
pub(super) const DATA_KEY: Name = Name {
    fits: |text| {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        (1..=253).contains(&text.len()) && text.bytes().all(plain) && text != "." && !text.starts_with("..")
    },
    needed: "a key of letters, digits, \"-\", \"_\" and \".\" (at most 253, not beginning with \"..\")",
};

/// The name of an environment variable, by the rule of Kubernetes 1.34.
pub(super) const VARIABLE: Name = Name {
    fits: |text| !text.is_empty() && text.bytes().all(|byte| matches!(byte, b' '..=b'~') && byte != b'='),
    needed: "a name of printable ASCII characters without \"=\"",
};

/// `bytes` begin and end with a letter or digit, and hold nothing but those and `inner`.
fn is_word(text: &str, most: usize, inner: &[u8], letter: fn(&u8) -> bool) -> bool {
    let bytes = text.as_bytes();
    let ends = |byte: Option<&u8>| byte.is_some_and(letter);
    bytes.len() <= most
        && ends(bytes.first())
        && ends(bytes.last())
        && bytes.iter().all(|byte| letter(byte) || inner.contains(byte))
}

fn lower(byte: &u8) -> bool {
    byte.is_ascii_lowercase() || byte.is_ascii_digit()
}

fn is_label(text: &str) -> bool {
    is_word(text, 63, b"-", lower)
}

fn is_subdomain(text: &str) -> bool {
    text.len() <= 253 && text.split('.').all(|part| is_word(part, 253, b"-", lower))
}

fn is_key_name(text: &str) -> bool {
    is_word(text, 63, b"-_.", u8::is_ascii_alphanumeric)
}

fn is_key(text: &str) -> bool {
    match text.split_once('/') {
        Some((domain, name)) => is_subdomain(domain) && is_key_name(name),
        None => is_key_name(text),
    }
}

fn is_port(text: &str) -> bool {
    is_word(text, 15, b"-", lower)
        && !text.contains("--")
        && text.bytes().any(|byte| byte.is_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_the_rules_of_kubernetes() {
        let long = |length: usize| "a".repeat(length);
        let rows: [(&Name, &[&str], &[&str]); 8] = [
            (&LABEL, &["a", "0", "a-b", &long(63)], &["", "-a", "a-", "A", "a.b", "a_b", "ä", &long(64)]),
            (&SUBDOMAIN, &["a", "a.b-c.0", &long(253)], &["", ".", "a.", "a..b", "a.-b", "A", &long(254)]),
            (&SUBDOMAIN_START, &["a", "a-", "a."], &["-", ".", "A", &long(253)]),
            (&KEY, &["a", "A_b.c", "a.b/C", "a/b"], &["", "/a", "a/", "A/b", "a/b/c", "-a", &long(64)]),
            (&LABEL_VALUE, &["", "A", "a_b.c-d"], &["-", "a b", "a/b", &long(64)]),
            (&PORT, &["http", "a-1", "p2p"], &["", "80", "a--b", "-a", "Http", &long(16)]),
            (
                &DATA_KEY,
                &["a", ".a", "A_b-c.d", "a..b", &long(253)],
                &["", ".", "..", "..a", "a/b", &long(254)],
            ),
            (&VARIABLE, &["A", "my.var", "1", "a b"], &["", "A=", "é", "a\n"]),
        ];
        for (name, good, bad) in rows {
            for text in good {
                assert!((name.fits)(text), "{text:?} is {}", name.needed);
            }
            for text in bad {
                assert!(!(name.fits)(text), "{text:?} is not {}", name.needed);
            }
        }
    }
}
