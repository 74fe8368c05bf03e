//! `/etc/hosts`, `/etc/resolv.conf`, `/etc/hostname` and the kernel's name of the host, as a container reads them.

use std::fs;

use anyhow::{Result, ensure};

use super::{address, address6};
use crate::{
    cases::pod::{manifest, shell},
    pods::Pod,
    world::World,
};

const RESOLV: &str = "/etc/resolv.conf";
const UPSTREAM: &str = "/run/systemd/resolve/resolv.conf";
const SCRIPT: &str = "for f in hosts resolv.conf hostname; do echo \"== $f\"; cat /etc/$f; done; echo == kernel; hostname; echo $HOSTNAME; \
    echo == end; exec /work sleep";
const HOSTS: &str = "# Kubernetes-managed hosts file.\n127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n\
    fe00::0\tip6-localnet\nfe00::0\tip6-mcastprefix\nfe00::1\tip6-allnodes\nfe00::2\tip6-allrouters\n";

/// The guest's resolver files while a case runs.
struct Resolvers {
    before: Option<Vec<u8>>,
}

impl Resolvers {
    fn of(stub: &str, upstream: &str) -> Result<Self> {
        let before = fs::read(RESOLV).ok();
        fs::create_dir_all("/run/systemd/resolve")?;
        fs::write(UPSTREAM, upstream)?;
        // It may be a link to a file that is not there.
        drop(fs::remove_file(RESOLV));
        fs::write(RESOLV, stub)?;
        Ok(Self { before })
    }
}

impl Drop for Resolvers {
    fn drop(&mut self) {
        // Best effort, as all clearing up after a case.
        drop(fs::remove_file(UPSTREAM));
        drop(match &self.before {
            Some(bytes) => fs::write(RESOLV, bytes),
            None => fs::remove_file(RESOLV),
        });
    }
}

pub(super) fn written(world: &World) -> Result<()> {
    let _files = Resolvers::of(
        "nameserver 127.0.0.53\noptions edns0\n",
        "nameserver 192.0.2.53\nsearch shop.example\n",
    )?;
    let box_hosts = fs::read_to_string("/etc/hosts")?;
    let alias = "  hostAliases: [{ ip: 192.0.2.9, hostnames: [db, db.example] }]\n";
    let added = "\n# Entries added by HostAliases.\n192.0.2.9\tdb\tdb.example\n";
    let full = "  hostname: till\n  subdomain: shop\n  setHostnameAsFQDN: true\n  dnsPolicy: None\n  dnsConfig:\n    \
        nameservers: [192.0.2.1]\n    searches: [a.example]\n    options: [{ name: ndots, value: \"2\" }, { name: rotate }]\n";
    let more = "  dnsConfig: { nameservers: [192.0.2.54], options: [{ name: ndots, value: \"5\" }] }\n";
    let of_box = "nameserver 192.0.2.53\nsearch shop.example\n";
    let fqdn = "till.shop.default.svc.cluster.local";
    let rows = [
        (
            "plain",
            more.to_owned(),
            format!("{HOSTS}ADDRESS\tplain\nIPV6\tplain\n"),
            "nameserver 192.0.2.53\nnameserver 192.0.2.54\nsearch shop.example\noptions ndots:5\n",
            "plain",
        ),
        (
            "named",
            format!("{full}{alias}"),
            format!("{HOSTS}ADDRESS\t{fqdn}\ttill\nIPV6\t{fqdn}\ttill\n{added}"),
            "nameserver 192.0.2.1\nsearch a.example\noptions ndots:2 rotate\n",
            fqdn,
        ),
        (
            "on-the-box",
            format!("  hostNetwork: true\n{alias}"),
            format!("# Kubernetes-managed hosts file (host network).\n{box_hosts}{added}"),
            of_box,
            "carob-guest",
        ),
    ];
    for (name, spec, hosts, resolv, host) in rows {
        let pod = Pod::apply(world, name, &manifest(name, &spec, &[shell("main", SCRIPT, "")]))?;
        pod.await_log("main", "== end\n")?;
        let own = |hosts: String| -> Result<String> {
            Ok(hosts.replace("ADDRESS", &address(world, &pod)?).replace("IPV6", &address6(world, &pod)?))
        };
        let hosts = if hosts.contains("IPV6") { own(hosts)? } else { hosts };
        let expected = format!(
            "== hosts\n{hosts}== resolv.conf\n{resolv}== hostname\n{host}\n== kernel\n{host}\n{host}\n== end\n"
        );
        let found = pod.logs("main")?;
        ensure!(found == expected, "{name} has\n{found}\ninstead of\n{expected}");
    }
    Ok(())
}
