//! What a Pod says of host namespaces, names and DNS: checked by Kubernetes' own limits, then put into carob's words.

use std::net::IpAddr;

use k8s_openapi::api::core::v1::{PodDNSConfig, PodSpec};

use super::{
    fault::{FaultKind, Findings, quoted},
    names::{self, Name},
    path::Path,
};
use crate::pod::surroundings::{Dns, DnsBase, HostAlias, Processes, Resolver, Surroundings, Whose};

/// What services would be called, if there were any; Kubernetes' own default.
const CLUSTER: &str = "svc.cluster.local";
/// Longest name the kernel takes for a host, as Kubernetes counts it.
const LONGEST_FQDN: usize = 64;
/// What the C library reads of resolv.conf (`MAXNS`).
const MOST_SERVERS: usize = 3;
const MOST_SEARCHED: usize = 32;
const LONGEST_SEARCH: usize = 2048;

pub(super) fn check(spec: &PodSpec, name: &str, namespace: &str, at: &Path<'_>, findings: &mut Findings) {
    if let Some(subdomain) = spec.subdomain.as_deref().filter(|name| !name.is_empty()) {
        fits(subdomain, &names::LABEL, &at.field("subdomain"), findings);
    }
    if spec.set_hostname_as_fqdn == Some(true) {
        full_name_fits(spec, name, namespace, at, findings);
    }
    if spec.share_process_namespace == Some(true) && spec.host_pid == Some(true) {
        let message = "ShareProcessNamespace and HostPID cannot both be enabled";
        findings.fault(&at.field("shareProcessNamespace"), FaultKind::Value, message);
    }
    host_aliases(spec, &at.field("hostAliases"), findings);
    dns(spec, at, findings);
}

fn fits(text: &str, name: &Name, at: &Path<'_>, findings: &mut Findings) {
    if !(name.fits)(text) {
        findings.rejected(at, text, name.needed);
    }
}

fn full_name_fits(spec: &PodSpec, name: &str, namespace: &str, at: &Path<'_>, findings: &mut Findings) {
    let host = spec.hostname.as_deref().filter(|name| !name.is_empty()).unwrap_or(name);
    let Some(domain) = domain(spec, namespace) else { return };
    let whole = format!("{host}.{domain}");
    if whole.len() > LONGEST_FQDN {
        let length = whole.len();
        let message =
            format!("{} has {length} letters; a host's name has at most {LONGEST_FQDN}", quoted(&whole));
        findings.fault(&at.field("setHostnameAsFQDN"), FaultKind::Value, message);
    }
}

fn host_aliases(spec: &PodSpec, at: &Path<'_>, findings: &mut Findings) {
    for (index, alias) in spec.host_aliases.iter().flatten().enumerate() {
        let at = at.item(index);
        address(&alias.ip, &at.field("ip"), findings);
        for (index, name) in alias.hostnames.iter().flatten().enumerate() {
            fits(name, &names::SUBDOMAIN, &at.field("hostnames").item(index), findings);
        }
    }
}

fn address(text: &str, at: &Path<'_>, findings: &mut Findings) {
    const NEEDED: &str = "an address like 192.0.2.7 or 2001:db8::7";
    if text.is_empty() {
        findings.missing(at, NEEDED);
    } else if text.parse::<IpAddr>().is_err() {
        findings.rejected(at, text, NEEDED);
    }
}

fn dns(spec: &PodSpec, at: &Path<'_>, findings: &mut Findings) {
    let policy = spec.dns_policy.as_deref().unwrap_or_default();
    if matches!(policy, "ClusterFirst" | "ClusterFirstWithHostNet") {
        let message = "there is no cluster DNS: the box's own settings are used, as with Default";
        findings.note(&at.field("dnsPolicy"), message);
    }
    let empty = PodDNSConfig::default();
    let config = spec.dns_config.as_ref().unwrap_or(&empty);
    let at = at.field("dnsConfig");
    let servers = config.nameservers.as_deref().unwrap_or_default();
    if policy == "None" && servers.is_empty() {
        findings.missing(&at.field("nameservers"), "at least one address, because dnsPolicy is None,");
    }
    most(servers.len(), MOST_SERVERS, "name servers", &at.field("nameservers"), findings);
    for (index, server) in servers.iter().enumerate() {
        address(server, &at.field("nameservers").item(index), findings);
    }
    searched(config.searches.as_deref().unwrap_or_default(), &at.field("searches"), findings);
    for (index, option) in config.options.iter().flatten().enumerate() {
        if option.name.as_deref().unwrap_or_default().is_empty() {
            findings.missing(&at.field("options").item(index).field("name"), "the name of an option");
        }
    }
}

fn searched(domains: &[String], at: &Path<'_>, findings: &mut Findings) {
    most(domains.len(), MOST_SEARCHED, "domains", at, findings);
    let length = domains.join(" ").len();
    most(length, LONGEST_SEARCH, "letters with the blanks between", at, findings);
    for (index, domain) in domains.iter().enumerate() {
        // "." alone means that nothing is searched; "_" stands where a letter may (Kubernetes 1.33).
        let bare = domain.strip_suffix('.').unwrap_or(domain);
        if domain != "." {
            fits(&bare.replace('_', "a"), &names::SUBDOMAIN, &at.item(index), findings);
        }
    }
}

fn most(count: usize, most: usize, what: &str, at: &Path<'_>, findings: &mut Findings) {
    if count > most {
        findings.fault(at, FaultKind::Value, format!("{count} {what}; at most {most} are accepted"));
    }
}

fn domain(spec: &PodSpec, namespace: &str) -> Option<String> {
    let subdomain = spec.subdomain.as_deref().filter(|name| !name.is_empty())?;
    Some(format!("{subdomain}.{namespace}.{CLUSTER}"))
}

/// Of a Pod that was checked: an address that is none is left out.
pub(super) fn from(spec: &PodSpec, namespace: &str) -> Surroundings {
    let whose = |of_box: Option<bool>| if of_box == Some(true) { Whose::Box } else { Whose::Pods };
    let base = if spec.dns_policy.as_deref() == Some("None") { DnsBase::Empty } else { DnsBase::Box };
    let alias = |alias: &k8s_openapi::api::core::v1::HostAlias| {
        let names = alias.hostnames.clone().unwrap_or_default();
        Some(HostAlias { address: alias.ip.parse().ok()?, names })
    };
    Surroundings {
        net: whose(spec.host_network),
        ipc: whose(spec.host_ipc),
        pid: match (spec.host_pid, spec.share_process_namespace) {
            (Some(true), _) => Processes::Box,
            (_, Some(true)) => Processes::Pods,
            _ => Processes::None,
        },
        domain: domain(spec, namespace),
        aliases: spec.host_aliases.iter().flatten().filter_map(alias).collect(),
        dns: Dns { base, more: spec.dns_config.as_ref().map(resolver).unwrap_or_default() },
    }
}

fn resolver(config: &PodDNSConfig) -> Resolver {
    let options = config.options.iter().flatten();
    Resolver {
        servers: config.nameservers.clone().unwrap_or_default(),
        search: config.searches.clone().unwrap_or_default(),
        options: options.map(|one| (one.name.clone().unwrap_or_default(), one.value.clone())).collect(),
    }
}

/// The kernel's name of the host, given the one without domain.
pub(super) fn kernel_name(spec: &PodSpec, host: String, namespace: &str) -> String {
    match domain(spec, namespace) {
        Some(domain) if spec.set_hostname_as_fqdn == Some(true) => format!("{host}.{domain}"),
        _ => host,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::{
        manifest::{pod, spec},
        pod::PodUid,
    };

    fn object(fields: &Value) -> Value {
        let mut spec = json!({"containers": [{"name": "c", "image": "i:1"}]});
        for (key, value) in fields.as_object().unwrap() {
            spec[key] = value.clone();
        }
        json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "namespace": "shop"}, "spec": spec})
    }

    #[test]
    fn a_fault_names_the_field_and_what_is_accepted() {
        let long = "a".repeat(60);
        let many: Vec<String> = (0..33).map(|number| format!("d{number}")).collect();
        let rows = [
            (json!({"subdomain": "a.b"}), "spec.subdomain", "a name of lower case"),
            (
                json!({"subdomain": "sub", "hostname": long, "setHostnameAsFQDN": true}),
                "spec.setHostnameAsFQDN",
                "at most 64",
            ),
            (
                json!({"hostAliases": [{"ip": "300.1.1.1", "hostnames": ["a"]}]}),
                "spec.hostAliases[0].ip",
                "192.0.2.7",
            ),
            (
                json!({"hostAliases": [{"ip": "::1", "hostnames": ["a", "A_b"]}]}),
                "spec.hostAliases[0].hostnames[1]",
                "lower case",
            ),
            (json!({"dnsPolicy": "Cluster"}), "spec.dnsPolicy", "ClusterFirst"),
            (json!({"dnsPolicy": "None"}), "spec.dnsConfig.nameservers", "at least one address"),
            (json!({"dnsConfig": {"nameservers": ["one"]}}), "spec.dnsConfig.nameservers[0]", "192.0.2.7"),
            (
                json!({"dnsConfig": {"nameservers": ["1.1.1.1", "1.1.1.2", "1.1.1.3", "1.1.1.4"]}}),
                "spec.dnsConfig.nameservers",
                "at most 3",
            ),
            (json!({"dnsConfig": {"searches": many}}), "spec.dnsConfig.searches", "at most 32"),
            (json!({"dnsConfig": {"searches": ["a..b"]}}), "spec.dnsConfig.searches[0]", "lower case"),
            (json!({"dnsConfig": {"options": [{"value": "2"}]}}), "spec.dnsConfig.options[0].name", "option"),
            (json!({"hostNetwork": "yes"}), "spec.hostNetwork", "true or false"),
        ];
        for (fields, path, word) in rows {
            let faults = pod(&object(&fields)).unwrap_err().to_string();
            assert!(faults.contains(path) && faults.contains(word), "{fields}: {faults}");
        }
    }

    #[test]
    fn only_a_written_cluster_policy_is_noted() {
        let rows =
            [(json!({}), 0), (json!({"dnsPolicy": "ClusterFirst"}), 1), (json!({"dnsPolicy": "Default"}), 0)];
        for (fields, notes) in rows {
            assert_eq!(pod(&object(&fields)).unwrap().notes.len(), notes, "{fields}");
        }
    }

    #[test]
    fn what_is_asked_arrives() {
        let asked = object(&json!({
            "hostNetwork": true, "hostPID": true, "hostIPC": false, "hostname": "h", "subdomain": "s",
            "setHostnameAsFQDN": true, "dnsPolicy": "None",
            "hostAliases": [{"ip": "192.0.2.1", "hostnames": ["a", "b.c"]}],
            "dnsConfig": {"nameservers": ["192.0.2.53"], "searches": ["x.", "_tcp.y"], "options": [{"name": "ndots", "value": "2"}, {"name": "edns0"}]},
        }));
        let spec = spec(&asked, PodUid("u".to_owned())).unwrap();
        assert_eq!(spec.hostname, "h.s.shop.svc.cluster.local");
        let found = spec.surroundings;
        assert_eq!((found.net, found.pid, found.ipc), (Whose::Box, Processes::Box, Whose::Pods));
        assert_eq!(found.domain.as_deref(), Some("s.shop.svc.cluster.local"));
        assert_eq!(
            found.aliases,
            [HostAlias { address: "192.0.2.1".parse().unwrap(), names: vec!["a".into(), "b.c".into()] }]
        );
        assert_eq!(found.dns.base, DnsBase::Empty);
        assert_eq!(
            found.dns.more.options,
            [("ndots".to_owned(), Some("2".to_owned())), ("edns0".to_owned(), None)]
        );
    }
}
