//! The page of what the pods of a small picture use, with a kernel's files made for it.
#![expect(clippy::disallowed_methods, reason = "makes the files that are read")]

use std::{fs, path::PathBuf};

use super::*;
use crate::metrics::{Format, tests::picture, usage_page};

/// The files of a box, gone when dropped.
struct Files {
    root: PathBuf,
}

impl Files {
    /// The pod `web` with its container `app`, which has limits; its cable; nothing of the pod `new`.
    fn of_web(test: &str) -> Self {
        let root = std::env::temp_dir().join(format!("carob-usage-{test}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&root);
        let files = Self { root };
        let stat = "usage_usec 2500000\nuser_usec 2000000\nsystem_usec 500000\nnr_periods 40\nnr_throttled 10\nthrottled_usec 750000\n";
        let rows = [
            ("cpu.stat", stat),
            ("memory.stat", "anon 100\nfile 50\ninactive_file 30\n"),
            ("memory.current", "160\n"),
            ("memory.peak", "200\n"),
            ("pids.current", "3\n"),
            ("cgroup.procs", "17\n18\n"),
            ("memory.events", "low 0\nhigh 0\nmax 9\noom 5\noom_kill 4\noom_group_kill 1\n"),
            (
                "io.stat",
                "8:0 rbytes=4096 wbytes=8192 rios=1 wios=2 dbytes=0 dios=0\n253:1 rbytes=512 wbytes=0 rios=3 wios=0\n7:0 \n",
            ),
            (
                "cpu.pressure",
                "some avg10=0.00 avg60=0.00 avg300=0.00 total=1500000\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=250000\n",
            ),
            ("memory.pressure", "some avg10=0.00 total=2000000\nfull avg10=0.00 total=1000000\n"),
            ("io.pressure", "some avg10=0.00 total=3000000\nfull avg10=0.00 total=500000\n"),
        ];
        for cgroup in ["cg/carob/pods/poduid-1", "cg/carob/pods/poduid-1/app-1"] {
            rows.iter().for_each(|(file, text)| files.put(&format!("{cgroup}/{file}"), text));
            files.put(&format!("{cgroup}/cpu.max"), "max 100000\n");
            files.put(&format!("{cgroup}/memory.max"), "max\n");
        }
        files.put("cg/carob/pods/poduid-1/app-1/cpu.max", "50000 100000\n");
        files.put("cg/carob/pods/poduid-1/app-1/memory.max", "4096\n");
        files.put("blocks/8:0/uevent", "MAJOR=8\nMINOR=0\nDEVNAME=sda\nDEVTYPE=disk\n");
        for (number, counter) in ["bytes", "packets", "dropped", "errors"].iter().enumerate() {
            for (way, from) in [("rx", 10), ("tx", 20)] {
                let file = format!("net/carob0ab60007/statistics/{way}_{counter}");
                files.put(&file, &format!("{}\n", from + number));
            }
        }
        files
    }

    fn put(&self, file: &str, text: &str) {
        let path = self.root.join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn page(&self, picture: &Picture, format: Format) -> String {
        let (root, links, blocks) = (self.root.join("cg"), self.root.join("net"), self.root.join("blocks"));
        let places = Places { root: &root, pods: &root.join("carob/pods"), links: &links, blocks: &blocks };
        usage_page(picture, places, format)
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.root);
    }
}

fn of_web_alone() -> Picture {
    let mut picture = picture();
    picture.pods.retain(|name, _| name.name == "web");
    picture
}

/// A page that has every family.
pub(in crate::metrics) fn full_page(test: &str) -> String {
    Files::of_web(test).page(&of_web_alone(), Format::Text)
}

#[test]
fn the_page_is_as_it_was_agreed() {
    let files = Files::of_web("agreed");
    let check = |format, golden: &str| {
        let page = files.page(&of_web_alone(), format);
        let differs = page.lines().zip(golden.lines()).find(|(is, should)| is != should);
        assert_eq!(differs, None, "{format:?}");
        assert_eq!(page, golden, "{format:?}");
    };
    check(Format::Text, include_str!("../golden/usage.txt"));
    check(Format::OpenMetrics, include_str!("../golden/usage.openmetrics"));
}

#[test]
fn what_is_not_there_is_not_shown() {
    let rows = [
        (
            "cg/carob/pods/poduid-1/app-1/memory.peak",
            "container_memory_max_usage_bytes{",
            "container=\"app\"",
        ),
        ("cg/carob/pods/poduid-1/app-1/memory.events", "container_oom_events_total{", "container=\"app\""),
        ("cg/carob/pods/poduid-1/app-1/cgroup.procs", "container_processes{", "container=\"\""),
        (
            "cg/carob/pods/poduid-1/app-1/io.pressure",
            "container_pressure_io_stalled_seconds_total{",
            "container=\"app\"",
        ),
        ("cg/carob/pods/poduid-1/app-1/io.stat", "container_fs_writes_bytes_total{", "container=\"app\""),
        ("blocks/8:0/uevent", "container_fs_reads_total{", "device=\"/dev/sda\""),
        ("cg/carob/pods/poduid-1/app-1/cpu.stat", "container_cpu_usage_seconds_total{", "container=\"app\""),
        ("cg/carob/pods/poduid-1/app-1/cpu.max", "container_cpu_cfs_periods_total{", "container=\"app\""),
        ("net/carob0ab60007/statistics/rx_bytes", "container_network_transmit_bytes_total{", "pod=\"web\""),
    ];
    for (number, (file, family, whose)) in rows.iter().enumerate() {
        let files = Files::of_web(&format!("absent-{number}"));
        let shown = |page: &str| page.lines().any(|line| line.starts_with(family) && line.contains(whose));
        assert!(shown(&files.page(&of_web_alone(), Format::Text)), "{family}");
        fs::remove_file(files.root.join(file)).unwrap();
        let page = files.page(&of_web_alone(), Format::Text);
        assert!(!shown(&page) && page.contains("container_threads{"), "{family} without {file}:\n{page}");
    }
}

#[test]
fn pods_without_a_cgroup_or_a_cable_of_their_own_have_no_figures() {
    let files = Files::of_web("none");
    fs::remove_dir_all(files.root.join("cg")).unwrap();
    let mut picture = of_web_alone();
    assert!(files.page(&picture, Format::Text).starts_with("# HELP container_network_receive_bytes_total"));
    for pod in picture.pods.values_mut() {
        let pod = std::sync::Arc::make_mut(pod);
        let mut spec = crate::pod::Spec::clone(&pod.spec);
        spec.surroundings.net = crate::pod::surroundings::Whose::Box;
        pod.spec = std::sync::Arc::new(spec);
    }
    assert_eq!(files.page(&picture, Format::Text), "");
}
