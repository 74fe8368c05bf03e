//! Which pods the box has room for: the scheduler's part. Pure.
//!
//! A pod that has no room waits, and holds back nobody who needs less. One that was let in stays in, whatever comes.

use crate::pod::{MOST_PODS, Resources, Spec, port::HostPort, qos};

const NO_PORT: &str = "node(s) didn't have free ports for the requested pod ports";

/// What the box has, or what a pod asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Room {
    /// Thousandths of a CPU.
    pub(crate) cpu: u64,
    /// Bytes.
    pub(crate) memory: u64,
    pub(crate) pods: u64,
}

impl Room {
    pub(crate) fn of_box(cpu: u64, memory: u64) -> Self {
        Self { cpu, memory, pods: MOST_PODS }
    }

    /// What a pod asks for: as a whole, or what its containers ask for at the same time.
    pub(crate) fn asked(spec: &Spec) -> Self {
        let cpu = |resources: &Resources| resources.cpu_request.or(resources.cpu_limit);
        let sum = || qos::together(&spec.containers, |each| cpu(&each.resources).unwrap_or(0));
        Self { cpu: cpu(&spec.resources).unwrap_or_else(sum), memory: qos::memory_asked(spec), pods: 1 }
    }

    /// What is left when that is taken.
    pub(crate) fn without(self, taken: Self) -> Self {
        Self {
            cpu: self.cpu.saturating_sub(taken.cpu),
            memory: self.memory.saturating_sub(taken.memory),
            pods: self.pods.saturating_sub(taken.pods),
        }
    }

    /// What a pod lacks in what is left, in the scheduler's words. What it does not ask for it cannot lack.
    fn lacks(self, asked: Self) -> Vec<&'static str> {
        let rows = [
            (asked.cpu > self.cpu && asked.cpu > 0, "Insufficient cpu"),
            (asked.memory > self.memory && asked.memory > 0, "Insufficient memory"),
            (asked.pods > self.pods, "Too many pods"),
        ];
        rows.into_iter().filter(|(lacks, _)| *lacks).map(|(_, why)| why).collect()
    }
}

/// What a pod asks for of the box.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked<'a> {
    pub(crate) room: Room,
    pub(crate) ports: &'a [HostPort],
}

impl<'a> Asked<'a> {
    pub(crate) fn by(spec: &'a Spec) -> Self {
        Self { room: Room::asked(spec), ports: &spec.host_ports }
    }
}

/// Of pods that wait, the one first that came first: why each has to go on waiting; `None` for those let in.
pub(crate) fn admit(whole: Room, taken: &[Asked<'_>], waiting: &[Asked<'_>]) -> Vec<Option<String>> {
    let mut left = taken.iter().fold(whole, |left, one| left.without(one.room));
    let mut ports: Vec<HostPort> = taken.iter().flat_map(|one| one.ports).copied().collect();
    let decide = |asked: &Asked<'_>| {
        let mut missing = left.lacks(asked.room);
        if asked.ports.iter().any(|port| ports.iter().any(|other| port.clashes(*other))) {
            missing.push(NO_PORT);
        }
        if missing.is_empty() {
            left = left.without(asked.room);
            ports.extend(asked.ports);
        }
        let words: Vec<String> = missing.iter().map(|why| format!("1 {why}")).collect();
        (!words.is_empty()).then(|| format!("0/1 nodes are available: {}.", words.join(", ")))
    };
    waiting.iter().map(decide).collect()
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;
    use crate::pod::{Container, Role, port::Protocol};

    #[test]
    fn pods_come_in_as_far_as_there_is_room() {
        let room = |cpu, memory| Room { cpu, memory, pods: 1 };
        let whole = Room { cpu: 1000, memory: 100, pods: 4 };
        let (cpu, memory) = ("1 Insufficient cpu", "1 Insufficient memory");
        type Row<'a> = (&'a [Room], &'a [Room], &'a [Option<&'a str>]);
        let rows: &[Row<'_>] = &[
            (&[], &[room(1000, 100)], &[None]),
            (&[], &[room(1001, 100)], &[Some(cpu)]),
            (
                &[room(600, 0)],
                &[room(500, 200), room(400, 0)],
                &[Some("1 Insufficient cpu, 1 Insufficient memory"), None],
            ),
            (&[room(600, 60)], &[room(300, 0), room(300, 0), room(0, 50)], &[None, Some(cpu), Some(memory)]),
            // More is taken than there is: who asks for nothing comes in all the same.
            (&[room(2000, 0)], &[room(0, 0), room(1, 0)], &[None, Some(cpu)]),
            (&[room(0, 0); 3], &[room(0, 0), room(0, 0)], &[None, Some("1 Too many pods")]),
        ];
        for (taken, waiting, expected) in rows {
            let of = |rooms: &[Room]| -> Vec<Asked<'_>> {
                rooms.iter().map(|room| Asked { room: *room, ports: &[] }).collect()
            };
            let found = admit(whole, &of(taken), &of(waiting));
            let wanted: Vec<Option<String>> = expected
                .iter()
                .map(|why| why.map(|why| format!("0/1 nodes are available: {why}.")))
                .collect();
            assert_eq!(found, wanted, "{taken:?} {waiting:?}");
        }
    }

    #[test]
    fn a_port_of_the_box_is_for_the_pod_that_came_first() {
        let port = |protocol, address| vec![HostPort { protocol, address, port: 80, to: 80 }];
        let (one, same, other) = (
            port(Protocol::Tcp, None),
            port(Protocol::Tcp, Some(Ipv4Addr::LOCALHOST.into())),
            port(Protocol::Udp, None),
        );
        let asked = |ports| Asked { room: Room::default(), ports };
        let found = admit(Room::default(), &[asked(&one)], &[asked(&same), asked(&other), asked(&other)]);
        let why = Some(format!("0/1 nodes are available: 1 {NO_PORT}."));
        assert_eq!(found, [why.clone(), None, why]);
    }

    #[test]
    fn a_pod_asks_for_what_runs_at_the_same_time_or_for_what_it_says_itself() {
        let container = |role, cpu| Container {
            role,
            resources: Resources { cpu_request: Some(cpu), memory_limit: Some(cpu), ..Resources::default() },
            ..Container::default()
        };
        let containers =
            vec![container(Role::Sidecar, 1), container(Role::Init, 9), container(Role::Main, 4)];
        let spec = Spec { containers, ..Spec::default() };
        assert_eq!(Room::asked(&spec), Room { cpu: 10, memory: 10, pods: 1 });
        let resources = Resources { cpu_request: Some(50), ..Resources::default() };
        assert_eq!(Room::asked(&Spec { resources, ..spec }), Room { cpu: 50, memory: 10, pods: 1 });
    }
}
