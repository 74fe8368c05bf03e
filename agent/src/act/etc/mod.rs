//! `/etc/hosts`, `/etc/hostname` and `/etc/resolv.conf` as every container of a pod has them, by the kubelet's rules
//! (`kubelet_pods.go`, `managedHostsFileContent`).
#![expect(clippy::disallowed_methods, reason = "this is the effect")]

mod resolv;

use std::{fs, io, net::Ipv4Addr, path::PathBuf};

use super::places::PodPlaces;
use crate::pod::{
    Spec,
    network::Address,
    surroundings::{HostAlias, Resolver, Whose},
};

/// Which of them there are.
pub(crate) const FILES: [&str; 3] = ["hosts", "hostname", "resolv.conf"];
const BOX_RESOLV: &str = "/etc/resolv.conf";
/// Where systemd-resolved names the servers it asks itself.
const UPSTREAM_RESOLV: &str = "/run/systemd/resolve/resolv.conf";

/// Writes all three. `address` is the pod's own, if it has one.
pub(crate) fn write(
    pod: &PodPlaces,
    spec: &Spec,
    address: Option<Address>,
) -> Result<(), (PathBuf, io::Error)> {
    let around = &spec.surroundings;
    let host = hostname(spec);
    let hosts = match around.net {
        Whose::Pods => hosts(&host, around.domain.as_deref(), address),
        Whose::Box => {
            format!("# Kubernetes-managed hosts file (host network).\n{}", box_hosts())
        }
    };
    let resolv = resolv::text(&around.dns, &box_resolv());
    let texts = [hosts + &aliases(&around.aliases), format!("{host}\n"), resolv];
    for (name, text) in FILES.iter().zip(texts) {
        let path = pod.etc(name);
        fs::write(&path, text).map_err(|source| (path, source))?;
    }
    Ok(())
}

/// What the pod's processes are told their host is called. On the box's network it is the box.
pub(crate) fn hostname(spec: &Spec) -> String {
    match spec.surroundings.net {
        Whose::Pods => spec.hostname.clone(),
        Whose::Box => rustix::system::uname().nodename().to_string_lossy().into_owned(),
    }
}

/// The box's own names.
pub(super) fn box_hosts() -> String {
    of_box("/etc/hosts")
}

/// Whom the box itself asks.
pub(super) fn box_resolver() -> Resolver {
    resolv::read(&of_box(BOX_RESOLV))
}

/// A box may well have no such file.
fn of_box(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

fn box_resolv() -> String {
    let own = of_box(BOX_RESOLV);
    let upstream = if resolv::is_stub(&own) { of_box(UPSTREAM_RESOLV) } else { String::new() };
    if upstream.is_empty() { own } else { upstream }
}

fn hosts(host: &str, domain: Option<&str>, address: Option<Address>) -> String {
    let address = address.unwrap_or(Ipv4Addr::LOCALHOST.into());
    // A kernel name with its domain in it is both names already.
    let short = domain.and_then(|domain| host.strip_suffix(domain)?.strip_suffix('.')).unwrap_or(host);
    let names = domain.map_or(short.to_owned(), |domain| format!("{short}.{domain}\t{short}"));
    let own: String = address.forms().map(|address| format!("{address}\t{names}\n")).collect();
    format!(
        "# Kubernetes-managed hosts file.\n\
         127.0.0.1\tlocalhost\n\
         ::1\tlocalhost ip6-localhost ip6-loopback\n\
         fe00::0\tip6-localnet\n\
         fe00::0\tip6-mcastprefix\n\
         fe00::1\tip6-allnodes\n\
         fe00::2\tip6-allrouters\n\
         {own}"
    )
}

fn aliases(aliases: &[HostAlias]) -> String {
    if aliases.is_empty() {
        return String::new();
    }
    let line = |alias: &HostAlias| format!("{}\t{}\n", alias.address, alias.names.join("\t"));
    format!("\n# Entries added by HostAliases.\n{}", aliases.iter().map(line).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_line_of_hosts_is_the_pods_own() {
        let v4 = Address::from(Ipv4Addr::new(10, 182, 0, 7));
        let (own, both) = (Some(v4), Some(Address { v6: Some("fd00::7".parse().unwrap()), ..v4 }));
        let rows = [
            ("web", None, own, "10.182.0.7\tweb"),
            ("web", Some("s.n.svc.x"), own, "10.182.0.7\tweb.s.n.svc.x\tweb"),
            ("web.s.n.svc.x", Some("s.n.svc.x"), own, "10.182.0.7\tweb.s.n.svc.x\tweb"),
            ("web", None, None, "127.0.0.1\tweb"),
            ("web", Some("x"), both, "fd00::7\tweb.x\tweb"),
        ];
        for (host, domain, address, expected) in rows {
            assert_eq!(hosts(host, domain, address).lines().last(), Some(expected));
        }
    }

    #[test]
    fn aliases_are_added_below() {
        let alias = HostAlias { address: "192.0.2.1".parse().unwrap(), names: vec!["a".into(), "b".into()] };
        assert_eq!(aliases(&[]), "");
        assert_eq!(aliases(&[alias]), "\n# Entries added by HostAliases.\n192.0.2.1\ta\tb\n");
    }
}
