//! What the box says of itself: which one it is, and what it runs.
#![expect(clippy::disallowed_methods, reason = "this is the effect")]

use std::fs;

use crate::pod::machine::Machine;

/// Where the firmware's number is, on PCs and on boards with a device tree; the first that is there.
const UUIDS: [&str; 4] = [
    "/sys/class/dmi/id/product_uuid",
    "/proc/device-tree/system-id",
    "/proc/device-tree/vm,uuid",
    "/etc/machine-id",
];
/// os-release(5).
const RELEASES: [&str; 2] = ["/etc/os-release", "/usr/lib/os-release"];

/// As far as it can be read.
pub(crate) fn read() -> Machine {
    // A device tree's texts end with a zero.
    let text = |path: &&str| {
        let text = fs::read_to_string(path).ok()?.trim_matches(['\0', '\n', ' ']).to_owned();
        Some(text).filter(|text| !text.is_empty())
    };
    let first = |paths: &[&str]| paths.iter().find_map(text);
    Machine {
        id: first(&["/etc/machine-id"]).unwrap_or_default(),
        uuid: first(&UUIDS).unwrap_or_default(),
        os: first(&RELEASES).and_then(|text| pretty_name(&text)).unwrap_or_default(),
    }
}

/// The name for people, without the shell's quotes.
fn pretty_name(release: &str) -> Option<String> {
    let value = release.lines().find_map(|line| line.strip_prefix("PRETTY_NAME="))?.trim();
    let quoted = ['"', '\''].into_iter().find_map(|quote| value.strip_prefix(quote)?.strip_suffix(quote));
    Some(quoted.unwrap_or(value).replace('\\', ""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_is_as_people_read_it() {
        for (text, name) in [
            (
                "NAME=x\nPRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\n",
                Some("Debian GNU/Linux 12 (bookworm)"),
            ),
            ("PRETTY_NAME='Poky 5'\n", Some("Poky 5")),
            ("PRETTY_NAME=Buildroot\n", Some("Buildroot")),
            ("PRETTY_NAME=\"A \\$ box\"", Some("A $ box")),
            ("NAME=x\n", None),
        ] {
            assert_eq!(pretty_name(text).as_deref(), name);
        }
    }
}
