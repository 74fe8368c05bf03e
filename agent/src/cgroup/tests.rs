//! What is written into cgroup files, and what they say.

use super::{
    limits::{POD_OVERHEAD, weight},
    *,
};
use crate::pod::{Container, OomScope, Resources, Role};

#[test]
fn weights_are_those_of_other_runtimes() {
    for (milli, expected) in
        [(0, 1), (1, 1), (2, 1), (500, 59), (1000, 100), (2000, 174), (256_000, 10_000), (u64::MAX, 10_000)]
    {
        assert_eq!(weight(milli), expected, "{milli}m");
    }
}

#[test]
fn limits_become_the_kernels_words() {
    let resources = Resources { memory_limit: Some(64 << 20), cpu_limit: Some(500), ..Resources::default() };
    let files = Limits::of(&resources, OomScope::Container, Some(100)).files();
    let expected = [
        ("memory.max", "67108864"),
        ("memory.oom.group", "1"),
        ("cpu.max", "50000 100000"),
        ("cpu.weight", "59"),
        ("pids.max", "100"),
    ];
    assert_eq!(files.iter().map(|(f, v)| (*f, v.as_str())).collect::<Vec<_>>(), expected);
}

#[test]
fn a_pod_with_one_unlimited_container_is_unlimited() {
    let limited = Resources {
        memory_limit: Some(10),
        cpu_limit: Some(5),
        cpu_request: Some(3),
        ..Resources::default()
    };
    let free = Resources { cpu_limit: Some(7), ..Resources::default() };
    let both = Limits::sum([limited, free].into_iter(), None);
    assert_eq!((both.memory, both.cpu, both.cpu_share), (None, Some(12), 10));
    let twice = Limits::sum([limited, limited].into_iter(), None);
    assert_eq!((twice.memory, twice.cpu, twice.cpu_share), (Some(POD_OVERHEAD + 20), Some(10), 6));
}

#[test]
fn a_pod_has_room_for_what_runs_at_the_same_time() {
    let container = |role, bytes| Container {
        role,
        resources: Resources { memory_limit: bytes, cpu_limit: Some(1), ..Resources::default() },
        ..Container::default()
    };
    let (init, side, main) = (Role::Init, Role::Sidecar, Role::Main);
    let rows = [
        (vec![container(main, Some(5)), container(main, Some(6))], Some(11)),
        (vec![container(init, Some(20)), container(main, Some(5))], Some(20)),
        (vec![container(init, Some(3)), container(side, Some(4)), container(main, Some(5))], Some(9)),
        (vec![container(side, Some(4)), container(init, Some(7)), container(main, Some(5))], Some(11)),
        (vec![container(init, None), container(main, Some(5))], None),
    ];
    for (containers, bytes) in rows {
        let limits = Limits::of_pod(&containers, Resources::default(), None);
        assert_eq!(limits.memory, bytes.map(|bytes| bytes + POD_OVERHEAD), "{containers:?}");
    }
}

#[test]
fn a_pods_own_budget_goes_before_the_sum_of_its_containers() {
    let containers = [Container {
        resources: Resources { memory_limit: Some(10), cpu_request: Some(100), ..Resources::default() },
        ..Container::default()
    }];
    let none = Resources::default();
    let rows = [
        (none, (Some(10 + POD_OVERHEAD), None, 100)),
        (Resources { memory_limit: Some(64), ..none }, (Some(64), None, 100)),
        (Resources { cpu_limit: Some(500), ..none }, (Some(10 + POD_OVERHEAD), Some(500), 500)),
        (
            Resources { cpu_limit: Some(500), cpu_request: Some(200), ..none },
            (Some(10 + POD_OVERHEAD), Some(500), 200),
        ),
    ];
    for (own, expected) in rows {
        let limits = Limits::of_pod(&containers, own, None);
        assert_eq!((limits.memory, limits.cpu, limits.cpu_share), expected, "{own:?}");
    }
}

#[test]
fn protected_memory_follows_request_and_limit() {
    const MIB: u64 = 1 << 20;
    let capacity = 1000 * MIB;
    // Request, limit; memory.min, memory.high (to be cut to whole pages).
    let rows = [
        (None, None, None, None),
        (Some(100), Some(200), Some(100), Some(190)),
        (Some(100), None, Some(100), Some(910)),
        (Some(100), Some(100), Some(100), None),
        (None, Some(100), Some(100), None),
    ];
    for (request, limit, min, high) in rows {
        let bytes = |mib: Option<u64>| mib.map(|mib| mib * MIB);
        let resources =
            Resources { memory_request: bytes(request), memory_limit: bytes(limit), ..Resources::default() };
        let limits = Limits::of(&resources, OomScope::Container, None).protecting(&resources, capacity);
        assert_eq!((limits.memory_min, limits.memory_high), (bytes(min), bytes(high)), "{resources:?}");
    }
    let odd = Resources { memory_request: Some(1), memory_limit: Some(100_001), ..Resources::default() };
    let limits = Limits::of(&odd, OomScope::Container, None).protecting(&odd, capacity);
    assert_eq!(limits.memory_high, Some(90_001 / 4096 * 4096));
    assert!(limits.files().contains(&("memory.min", "1".to_owned())), "{:?}", limits.files());
}

#[test]
fn memory_events_are_read_by_name() {
    let text = "low 0\nhigh 2\nmax 31\noom 4\noom_kill 3\noom_group_kill 1\n";
    assert_eq!(parse_memory_events(text), MemoryEvents { oom: 4, oom_kill: 3 });
    assert_eq!(parse_memory_events(""), MemoryEvents::default());
}

#[test]
fn pressure_is_that_of_the_last_ten_seconds() {
    let rows = [
        ("some avg10=1.50 avg60=0.00 avg300=0.00 total=12\nfull avg10=9.00 total=3\n", Some(150)),
        ("some avg10=100.00 avg60=0.00\n", Some(10_000)),
        ("full avg10=9.00 total=3\n", None),
        ("", None),
    ];
    for (text, expected) in rows {
        assert_eq!(parse_pressure(text), expected, "{text:?}");
    }
}

#[test]
fn nested_figures_are_read_by_both_names() {
    let map = |pairs: &[(&str, u64)]| pairs.iter().map(|(key, n)| ((*key).to_owned(), *n)).collect();
    let text = "some avg10=1.50 avg60=0.00 total=12\nfull avg10=0.00 total=3\n\n8:0 \n";
    let expected = [("some", &[("total", 12)][..]), ("full", &[("total", 3)]), ("8:0", &[])];
    let expected = expected.map(|(name, pairs)| (name.to_owned(), map(pairs)));
    assert_eq!(parse_nested(text), BTreeMap::from(expected));
}

#[test]
fn a_quota_is_read_as_it_was_written() {
    assert_eq!(parse_quota("max 100000\n"), None);
    assert_eq!(parse_quota("50000 100000\n"), Some(Quota { microseconds: 50_000, period: 100_000 }));
}
