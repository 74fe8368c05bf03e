//! Looks at what an address per pod takes: the packet filter's program, the kernel's modules, a free range. Changes nothing.
#![expect(clippy::disallowed_methods, reason = "reads the kernel's files and asks nft")]

use std::{
    fmt, fs,
    path::Path,
    process::{Command, Stdio},
};

use super::{Finding, State};
use crate::{
    config::Config,
    pod::{
        network,
        range::{self, Range},
        range6::{self, Range6},
    },
};

/// What a pod's cable and the rules are made of.
const MODULES: [&str; 5] = ["bridge", "veth", "nf_tables", "nft_chain_nat", "nft_masq"];
const CIDR6: &str = "podCIDRv6";
const WITHOUT: &str = "no pod gets an address: only those with hostNetwork run";

pub(super) fn findings(config: &Config) -> Vec<Finding> {
    let release = rustix::system::uname().release().to_string_lossy().into_owned();
    let chains = nft(&["list", "chains"]);
    vec![
        program(chains.as_deref()),
        modules(Path::new("/"), &release),
        free(config.pod_range, &read("/proc/net/route").unwrap_or_default()),
        match config.pod_range6 {
            Some(_) if !range6::is_spoken(read) => {
                ipv4_only("this kernel does not speak IPv6, or is told not to")
            }
            Some(range) => free6(range, &read("/proc/net/ipv6_route").unwrap_or_default()),
            None => ipv4_only("none is wanted"),
        },
        forwarded(chains.as_deref().unwrap_or_default()),
    ]
}

fn read(file: &str) -> Option<String> {
    fs::read_to_string(file).ok()
}

/// Whether our table is there.
pub(super) fn has_table() -> bool {
    nft(&["list", "table", "inet", network::TABLE]).is_some_and(|said| !said.is_empty())
}

/// What nft says; nothing of what it complains about; `None` if there is no nft.
fn nft(words: &[&str]) -> Option<String> {
    let output = Command::new("nft").args(words).stdin(Stdio::null()).stderr(Stdio::null()).output().ok()?;
    String::from_utf8(output.stdout).ok()
}

fn program(said: Option<&str>) -> Finding {
    let (state, found) = match said {
        Some(_) => (State::Good, "yes"),
        None => (State::Missing, "not installed"),
    };
    Finding { what: "nft (package nftables)", state, found: found.to_owned(), without: WITHOUT }
}

/// Loaded, built in, or a file away.
fn modules(root: &Path, release: &str) -> Finding {
    let dir = root.join("lib/modules").join(release);
    let lists =
        ["modules.builtin", "modules.dep"].map(|list| fs::read_to_string(dir.join(list)).unwrap_or_default());
    let there = |name: &&str| {
        let file = format!("/{name}.ko");
        let listed = |line: &str| line.split(':').next().is_some_and(|path| path.contains(&file));
        root.join("sys/module").join(name).exists() || lists.iter().any(|list| list.lines().any(listed))
    };
    let lacking: Vec<&str> = MODULES.into_iter().filter(|name| !there(name)).collect();
    let (state, found) = match lacking.is_empty() {
        true => (State::Good, "all of them".to_owned()),
        false => (State::Missing, format!("no {}", lacking.join(", no "))),
    };
    Finding { what: "modules for the pods' network", state, found, without: WITHOUT }
}

fn free(range: Range, table: &str) -> Finding {
    let routes = range::routes(table);
    let taken = range::taken(range, &routes, network::BRIDGE);
    is_free("podCIDR", range, taken.map(|route| (route.to, route.device.as_str())))
}

fn free6(range: Range6, table: &str) -> Finding {
    let routes = range6::routes(table);
    let taken = range6::taken(range, &routes, network::BRIDGE);
    is_free(CIDR6, range, taken.map(|route| (route.to, route.device.as_str())))
}

fn is_free<R: fmt::Display>(what: &'static str, range: R, taken: Option<(R, &str)>) -> Finding {
    let (state, found) = match taken {
        None => (State::Good, format!("{range} is free")),
        Some((to, device)) => (State::Missing, format!("{range} overlaps the route to {to} by {device}")),
    };
    Finding { what, state, found, without: WITHOUT }
}

/// No fault of the box.
fn ipv4_only(why: &str) -> Finding {
    let found = format!("{why}: pods have IPv4 addresses only");
    Finding { what: CIDR6, state: State::Good, found, without: WITHOUT }
}

/// An accept of ours cannot overrule the drop of another's table.
fn forwarded(chains: &str) -> Finding {
    let mut table = "";
    let mut dropped = None;
    for line in chains.lines().map(str::trim) {
        if let Some(name) = line.strip_prefix("table ") {
            table = name.trim_end_matches(" {");
        } else if line.contains("hook forward") && line.contains("policy drop") {
            dropped = Some(table);
        }
    }
    let (state, found) = match dropped {
        None => (State::Good, "not dropped by a policy".to_owned()),
        Some(table) => {
            (State::Less, format!("the packet filter's table {table} drops what it does not know"))
        }
    };
    Finding {
        what: "forwarding",
        state,
        found,
        without: "pods reach each other and this box, but nothing beyond",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(finding: &Finding, state: State, word: &str) {
        assert!(finding.state == state && finding.found.contains(word), "{finding:?}");
    }

    #[test]
    fn each_finding_says_what_is_there() {
        check(&program(Some("")), State::Good, "yes");
        check(&program(None), State::Missing, "not installed");
        let range = "10.0.0.0/16".parse().unwrap();
        let route = "Iface\tDestination\teth1\nvpn0\t0000000A\t00000000\t1\t0\t0\t0\t000000FF\t0\t0\t0\n";
        check(&free(range, ""), State::Good, "10.0.0.0/16");
        check(&free(range, route), State::Missing, "route to 10.0.0.0/8 by vpn0");
        let range = range6::DEFAULT;
        let route6 = |to: &str, device: &str| {
            format!(
                "{to} 00000000000000000000000000000000 00 00000000000000000000000000000000 00000400 00000001 00000000 00000001 {device}\n"
            )
        };
        let mine = "fd636172000000000000000000000000 20";
        check(&free6(range, ""), State::Good, "fd63:6172:6f62::/64 is free");
        check(&free6(range, &route6(mine, network::BRIDGE)), State::Good, "is free");
        check(&free6(range, &route6(mine, "vpn0")), State::Missing, "route to fd63:6172::/32 by vpn0");
        check(&ipv4_only("none is wanted"), State::Good, "none is wanted: pods have IPv4");
        let ours = "table inet carob {\n\tchain leaving {\n\t\ttype nat hook postrouting priority srcnat; policy accept;\n";
        let docker = "table ip filter {\n\tchain FORWARD {\n\t\ttype filter hook forward priority filter; policy drop;\n";
        check(&forwarded(ours), State::Good, "not dropped");
        check(&forwarded(&[ours, docker].concat()), State::Less, "table ip filter");
    }

    #[test]
    fn a_module_is_loaded_built_in_or_a_file() {
        let root = std::env::temp_dir().join(format!("carob-modules-{}", std::process::id()));
        let dir = root.join("lib/modules/6.1");
        fs::create_dir_all(&dir).unwrap();
        fs::create_dir_all(root.join("sys/module/bridge")).unwrap();
        fs::write(dir.join("modules.builtin"), "kernel/drivers/net/veth.ko\n").unwrap();
        fs::write(dir.join("modules.dep"), "kernel/net/netfilter/nf_tables.ko.xz: kernel/lib/libcrc32c.ko\n")
            .unwrap();
        check(&modules(&root, "6.1"), State::Missing, "no nft_chain_nat, no nft_masq");
        fs::write(
            dir.join("modules.dep"),
            "n/nf_tables.ko:\nn/nft_chain_nat.ko: n/nf_tables.ko\nn/nft_masq.ko:\n",
        )
        .unwrap();
        check(&modules(&root, "6.1"), State::Good, "all");
        fs::remove_dir_all(&root).unwrap();
    }
}
