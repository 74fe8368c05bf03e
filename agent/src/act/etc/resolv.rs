//! `/etc/resolv.conf` of a pod, by the kubelet's rules (`network/dns/dns.go`): the box's own settings with `dnsConfig`
//! added, or that alone. Pure text.

use crate::pod::surroundings::{Dns, DnsBase, Resolver};

/// What the C library reads of them.
const MOST_SERVERS: usize = 3;
const MOST_SEARCHED: usize = 32;
const LONGEST_SEARCH: usize = 2048;
/// systemd-resolved's: only the box itself reaches it.
const STUB: &str = "127.0.0.53";

/// The pod's file. `of_box` is the box's.
pub(super) fn text(dns: &Dns, of_box: &str) -> String {
    let base = match dns.base {
        DnsBase::Box => read(of_box),
        DnsBase::Empty => Resolver::default(),
    };
    write(&joined(base, &dns.more))
}

/// Whether the file names nobody but the stub, so that the real servers are to be looked for elsewhere.
pub(super) fn is_stub(file: &str) -> bool {
    let servers = read(file).servers;
    !servers.is_empty() && servers.iter().all(|server| server == STUB)
}

/// What the C library would read, as far as it matters here.
pub(super) fn read(file: &str) -> Resolver {
    let mut found = Resolver::default();
    let lines = file.lines().map(str::trim).filter(|line| !line.starts_with(['#', ';']));
    for line in lines {
        let mut words = line.split_whitespace().map(str::to_owned);
        match words.next().as_deref() {
            Some("nameserver") => found.servers.extend(words.next()),
            // The last of them is in force.
            Some("search") => found.search = words.collect(),
            Some("options") => found.options.extend(words.map(|word| option(&word))),
            _ => (),
        }
    }
    found
}

fn option(word: &str) -> (String, Option<String>) {
    word.split_once(':')
        .map_or((word.to_owned(), None), |(name, value)| (name.to_owned(), Some(value.to_owned())))
}

/// What is added comes after; of an option that both have, the added one's value is taken.
fn joined(base: Resolver, more: &Resolver) -> Resolver {
    let mut options = base.options;
    for (name, value) in &more.options {
        match options.iter_mut().find(|(known, _)| known == name) {
            Some(known) => known.1.clone_from(value),
            None => options.push((name.clone(), value.clone())),
        }
    }
    let mut servers = distinct(base.servers.into_iter().chain(more.servers.iter().cloned()));
    servers.truncate(MOST_SERVERS);
    let mut search = distinct(base.search.into_iter().chain(more.search.iter().cloned()));
    search.truncate(MOST_SEARCHED);
    while search.join(" ").len() > LONGEST_SEARCH {
        search.pop();
    }
    Resolver { servers, search, options }
}

fn distinct(words: impl Iterator<Item = String>) -> Vec<String> {
    let mut all = Vec::new();
    for word in words {
        if !all.contains(&word) {
            all.push(word);
        }
    }
    all
}

fn write(resolver: &Resolver) -> String {
    let mut text = String::new();
    for server in &resolver.servers {
        text += &format!("nameserver {server}\n");
    }
    if !resolver.search.is_empty() {
        text += &format!("search {}\n", resolver.search.join(" "));
    }
    if !resolver.options.is_empty() {
        let shown = |(name, value): &(String, Option<String>)| match value {
            Some(value) => format!("{name}:{value}"),
            None => name.clone(),
        };
        text += &format!("options {}\n", resolver.options.iter().map(shown).collect::<Vec<_>>().join(" "));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        text.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn the_boxes_settings_come_first_and_the_pods_win() {
        let of_box =
            "# made by hand\nnameserver 192.0.2.1\nsearch old\nsearch a b\n;x\noptions ndots:1 rotate\n";
        let more = |servers, search, options| Resolver {
            servers: words(servers),
            search: words(search),
            options: words(options).iter().map(|word| option(word)).collect(),
        };
        let rows = [
            (DnsBase::Box, more("", "", ""), "nameserver 192.0.2.1\nsearch a b\noptions ndots:1 rotate\n"),
            (
                DnsBase::Box,
                more("192.0.2.1 192.0.2.2 192.0.2.3 192.0.2.4", "b c", "ndots:5 edns0"),
                "nameserver 192.0.2.1\nnameserver 192.0.2.2\nnameserver 192.0.2.3\nsearch a b c\noptions ndots:5 rotate edns0\n",
            ),
            (DnsBase::Empty, more("192.0.2.9", "z", ""), "nameserver 192.0.2.9\nsearch z\n"),
        ];
        for (base, more, expected) in rows {
            assert_eq!(text(&Dns { base, more }, of_box), expected);
        }
        assert_eq!(text(&Dns::default(), ""), "");
    }

    #[test]
    fn only_a_file_of_the_stub_alone_is_one() {
        let rows = [
            ("nameserver 127.0.0.53\noptions edns0\n", true),
            ("nameserver 127.0.0.53\nnameserver 192.0.2.1\n", false),
            ("nameserver 192.0.2.1\n", false),
            ("", false),
        ];
        for (file, expected) in rows {
            assert_eq!(is_stub(file), expected, "{file:?}");
        }
    }
}
