//! What went to and from the box's disks, by device. Files that memory holds cost nothing here until they are written back.
#![expect(clippy::disallowed_methods, reason = "reads what the kernel calls its devices")]

use std::{collections::BTreeMap, fs, path::Path};

use super::{
    super::family::{Family, Series},
    Figures,
};

/// Family, help, and the counter of `io.stat`.
const ROWS: [(&str, &str, &str); 4] = [
    ("container_fs_reads_bytes", "Bytes read from a disk.", "rbytes"),
    ("container_fs_reads", "Reads from a disk.", "rios"),
    ("container_fs_writes_bytes", "Bytes written to a disk.", "wbytes"),
    ("container_fs_writes", "Writes to a disk.", "wios"),
];

/// `blocks` has a directory for each device, called by its number.
pub(super) fn families(figures: &[Figures], blocks: &Path) -> Vec<Family> {
    let numbers = figures.iter().flat_map(|figures| figures.devices.keys());
    let names: BTreeMap<&str, String> =
        numbers.map(|number| (number.as_str(), name(blocks, number))).collect();
    let row = |(family, help, counter): &(&'static str, &'static str, &str)| {
        let series = figures.iter().flat_map(|figures| {
            figures.devices.iter().filter_map(|(number, counters)| {
                let mut labels = figures.labels.clone();
                labels.push(("device", names.get(number.as_str())?.clone()));
                Some(Series { labels, value: (*counters.get(*counter)? as f64).into() })
            })
        });
        Family::counter(family, help, series.collect())
    };
    ROWS.iter().map(row).collect()
}

/// `/dev/sda`, or its number if the device is there no more.
fn name(blocks: &Path, number: &str) -> String {
    let about = fs::read_to_string(blocks.join(number).join("uevent")).unwrap_or_default();
    let name = about.lines().find_map(|line| line.strip_prefix("DEVNAME="));
    name.map_or_else(|| number.to_owned(), |name| format!("/dev/{name}"))
}
