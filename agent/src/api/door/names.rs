//! What this box is called by clients: what its certificate is for, and what a `Host` header may say.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::{config::Config, pod::network::Address};

/// Host names in lower case, and addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Names(Vec<String>);

impl Names {
    /// The box's own names, where it listens, and what the configuration adds.
    pub(super) fn of(config: &Config, listening: SocketAddr, of_box: Address) -> Self {
        let mut names =
            vec!["localhost".to_owned(), Ipv4Addr::LOCALHOST.to_string(), Ipv6Addr::LOCALHOST.to_string()];
        names.push(config.node.clone());
        if listening.ip().is_unspecified() {
            names.push(of_box.v4.to_string());
            names.extend(of_box.v6.map(|v6| v6.to_string()));
        } else {
            names.push(listening.ip().to_string());
        }
        names.extend(config.api_names.iter().cloned());
        let names = names.into_iter().map(|name| plain(&name));
        let mut known = Vec::new();
        for name in names {
            if !known.contains(&name) {
                known.push(name);
            }
        }
        Self(known)
    }

    pub(super) fn all(&self) -> &[String] {
        &self.0
    }

    /// Whether a `Host` header, or the host of a URL, means this box.
    pub(super) fn contain(&self, host: &str) -> bool {
        self.0.contains(&plain(without_port(host)))
    }
}

/// `name:443`, `[::1]:443` → what stands before the port.
fn without_port(host: &str) -> &str {
    let is_port = |text: &str| text.bytes().all(|digit| digit.is_ascii_digit());
    match host.rsplit_once(':') {
        // What is in brackets has colons of its own.
        Some((name, port)) if is_port(port) && (!name.contains(':') || name.ends_with(']')) => name,
        _ => host,
    }
}

/// One spelling for all: an address in its short form, a name in lower case and without the last dot.
fn plain(name: &str) -> String {
    let bare = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
    match bare.parse::<IpAddr>() {
        Ok(address) => address.to_string(),
        Err(_) => name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase(),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn names(listening: &str) -> Names {
        let mut config = Config::under(Path::new("/r"));
        config.node = "Till-7".to_owned();
        config.api_names = vec!["till.example".to_owned(), "203.0.113.9".to_owned()];
        let of_box = Address { v4: Ipv4Addr::new(192, 0, 2, 1), v6: None };
        Names::of(&config, listening.parse().unwrap(), of_box)
    }

    #[test]
    fn a_box_goes_by_its_names_its_address_and_those_of_the_configuration() {
        let own = ["localhost", "127.0.0.1", "::1", "till-7"];
        let added = ["till.example", "203.0.113.9"];
        for (listening, expected) in [
            ("127.0.0.1:6443", vec![]),
            ("192.0.2.7:6443", vec!["192.0.2.7"]),
            ("0.0.0.0:6443", vec!["192.0.2.1"]),
        ] {
            assert_eq!(names(listening).all(), [&own[..], &expected, &added].concat(), "{listening}");
        }
    }

    #[test]
    fn a_host_header_must_name_this_box_by_whatever_port() {
        let names = names("127.0.0.1:6443");
        for (host, expected) in [
            ("127.0.0.1:6443", true),
            ("127.0.0.1", true),
            ("localhost:31337", true),
            ("LOCALHOST.", true),
            ("[::1]:6443", true),
            ("[0:0:0:0:0:0:0:1]:6443", true),
            ("till.example:6443", true),
            ("TILL.example.:1", true),
            ("203.0.113.9", true),
            ("", false),
            ("evil.example", false),
            ("evil.example:6443", false),
            ("localhost.evil.example", false),
            ("till.example@evil.example", false),
            ("192.0.2.1", false),
            ("localhost:6443.evil.example", false),
            ("[::1].evil.example", false),
            ("[::1]evil:6443", false),
        ] {
            assert_eq!(names.contain(host), expected, "{host}");
        }
    }
}
