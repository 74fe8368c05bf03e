//! Looks at what an address per pod takes: the packet filter's program, the kernel's modules, a free range. Changes nothing.
#![expect(clippy::disallowed_methods, reason = "reads the kernel's files and asks nft")]

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
};

use super::{Finding, State};
use crate::{
    config::Config,
    pod::{
        network,
        range::{self, Range},
    },
};

/// What a pod's cable and the rules are made of.
const MODULES: [&str; 5] = ["bridge", "veth", "nf_tables", "nft_chain_nat", "nft_masq"];
const WITHOUT: &str = "no pod gets an address: only those with hostNetwork run";

pub(super) fn findings(config: &Config) -> Vec<Finding> {
    let release = rustix::system::uname().release().to_string_lossy().into_owned();
    let chains = nft(&["list", "chains"]);
    vec![
        program(chains.as_deref()),
        modules(Path::new("/"), &release),
        free(config.pod_range, &fs::read_to_string("/proc/net/route").unwrap_or_default()),
        forwarded(chains.as_deref().unwrap_or_default()),
    ]
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
    let (state, found) = match range::taken(range, &routes, network::BRIDGE) {
        None => (State::Good, format!("{range} is free")),
        Some(route) => {
            (State::Missing, format!("{range} overlaps the route to {} by {}", route.to, route.device))
        }
    };
    Finding { what: "podCIDR", state, found, without: WITHOUT }
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
