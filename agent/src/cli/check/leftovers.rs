//! What carob has made on this box that outlives its process, each with the command that removes it. Removes nothing.

use std::path::{Path, PathBuf};

use super::network::has_table;
use crate::{cli::table::Table, config::Config, pod::network};

const UNITS: [&str; 3] = ["carob.service", "carob-pods.service", "carob.slice"];
const UNIT_DIRS: [&str; 2] = ["etc/systemd/system", "usr/lib/systemd/system"];

/// What is there, in the order in which it should go.
pub(super) fn table(config: &Config) -> Table {
    let mut table = Table::new(["WHAT", "REMOVE IT WITH"]);
    for (what, command) in rows(config, Path::new("/")) {
        table.row([what, command]);
    }
    if has_table() {
        let name = network::TABLE;
        table.row([format!("packet filter: table {name}"), format!("nft delete table inet {name}")]);
    }
    table
}

/// The units stop everything, so they come first; what only they hold in use comes after.
fn rows(config: &Config, root: &Path) -> Vec<(String, String)> {
    let mut rows = Vec::new();
    let units: Vec<PathBuf> = UNIT_DIRS
        .iter()
        .flat_map(|dir| UNITS.iter().map(move |unit| root.join(dir).join(unit)))
        .filter(|unit| unit.exists())
        .collect();
    if !units.is_empty() {
        let stop = "carob uninstall, or systemctl disable --now carob.service carob-pods.service".to_owned();
        rows.push(("the agent and all its pods".to_owned(), stop));
    }
    let bridge = root.join("sys/class/net").join(network::BRIDGE);
    if bridge.exists() {
        rows.push((
            format!("network bridge: {}", network::BRIDGE),
            format!("ip link delete {}", network::BRIDGE),
        ));
    }
    let (pods, pins) = (config.pods_cgroup(), config.bpffs.join("carob"));
    let places = [
        ("cgroups of pods", pods.clone(), format!("find {} -depth -type d -delete", pods.display())),
        ("kernel programs", pins.clone(), remove(&pins)),
        ("sockets and bundles", config.run.clone(), unmount_and_remove(&config.run)),
        ("images, volumes and the ledger", config.state.clone(), unmount_and_remove(&config.state)),
        ("logs of pods", config.logs.join("pods"), remove(&config.logs.join("pods"))),
        ("links to logs", config.logs.join("containers"), remove(&config.logs.join("containers"))),
        ("manifests, written by you", config.manifests.clone(), remove(&config.manifests)),
        ("image archives, put there by you", config.image_dir.clone(), remove(&config.image_dir)),
    ];
    for (what, place, command) in places {
        if place.exists() {
            rows.push((format!("{what}: {}", place.display()), command));
        }
    }
    rows.extend(units.into_iter().map(|unit| (format!("unit: {}", unit.display()), remove(&unit))));
    rows
}

fn remove(path: &Path) -> String {
    format!("rm -r {}", path.display())
}

/// Mounts below would be emptied by a plain `rm`.
fn unmount_and_remove(path: &Path) -> String {
    let path = path.display();
    format!(
        "findmnt -rno TARGET | grep '^{path}/' | sort -r | xargs -r -n1 umount && rm -r --one-file-system {path}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[expect(clippy::disallowed_methods, reason = "makes the leftovers to be found")]
    fn only_what_is_there_is_listed_and_the_units_come_first() {
        let root = std::env::temp_dir().join(format!("carob-leftovers-{}", std::process::id()));
        let config = Config::under(&root);
        assert_eq!(rows(&config, &root), []);
        for dir in [&config.state, &config.bpffs.join("carob"), &root.join(UNIT_DIRS[0])] {
            std::fs::create_dir_all(dir).unwrap();
        }
        std::fs::write(root.join(UNIT_DIRS[0]).join("carob.service"), "").unwrap();
        let found = rows(&config, &root);
        let commands: Vec<&str> = found.iter().map(|(_, command)| command.as_str()).collect();
        assert_eq!(commands.len(), 4, "{found:?}");
        assert!(commands[0].starts_with("carob uninstall"), "{found:?}");
        assert!(commands[1].ends_with("sys/fs/bpf/carob"), "{found:?}");
        assert!(commands[2].starts_with("findmnt") && commands[2].ends_with("var/lib/carob"), "{found:?}");
        assert!(commands[3].ends_with("carob.service"), "{found:?}");
        std::fs::remove_dir_all(&root).unwrap();
    }
}
