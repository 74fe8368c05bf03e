//! Ports of the box that lead to containers. Plain data.

use std::{fmt, net::Ipv4Addr, str::FromStr};

/// What runs over a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Protocol {
    Tcp,
    Udp,
    Sctp,
}

impl Protocol {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Sctp => "sctp",
        }
    }
}

/// One `hostPort` of a pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct HostPort {
    pub(crate) protocol: Protocol,
    /// `hostIP`; 0.0.0.0 for every address of the box.
    pub(crate) address: Ipv4Addr,
    pub(crate) port: u16,
    /// The container's port.
    pub(crate) to: u16,
}

impl HostPort {
    /// Whether only one of them can have the port.
    pub(crate) fn clashes(self, other: Self) -> bool {
        let everywhere = |port: Self| port.address.is_unspecified();
        let meet = self.address == other.address || everywhere(self) || everywhere(other);
        (self.protocol, self.port) == (other.protocol, other.port) && meet
    }
}

/// A port of the box and where it leads: `tcp:0.0.0.0:8080:10.182.0.5:80`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Forward {
    pub(crate) from: HostPort,
    /// The pod's own.
    pub(crate) pod: Ipv4Addr,
}

impl fmt::Display for Forward {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let HostPort { protocol, address, port, to } = self.from;
        write!(f, "{}:{address}:{port}:{}:{to}", protocol.name(), self.pod)
    }
}

/// A text that is no such port.
#[derive(Debug, thiserror::Error)]
#[error("{0:?} is no PROTOCOL:ADDRESS:PORT:ADDRESS:PORT")]
pub(crate) struct NoForward(String);

impl FromStr for Forward {
    type Err = NoForward;

    fn from_str(text: &str) -> Result<Self, NoForward> {
        let read = || {
            let [protocol, address, port, pod, to] = text.split(':').collect::<Vec<_>>()[..] else {
                return None;
            };
            let all = [Protocol::Tcp, Protocol::Udp, Protocol::Sctp];
            let protocol = all.into_iter().find(|one| one.name() == protocol)?;
            let from = HostPort {
                protocol,
                address: address.parse().ok()?,
                port: port.parse().ok()?,
                to: to.parse().ok()?,
            };
            Some(Self { from, pod: pod.parse().ok()? })
        };
        read().ok_or_else(|| NoForward(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_forward_reads_as_it_is_written() {
        let text = "udp:192.0.2.1:53:10.182.0.5:5353";
        assert_eq!(text.parse::<Forward>().unwrap().to_string(), text);
        for text in ["", "tcp:0.0.0.0:80:10.0.0.1", "tcp:0.0.0.0:80:10.0.0.1:x", "icmp:0.0.0.0:1:10.0.0.1:1"]
        {
            assert!(text.parse::<Forward>().is_err(), "{text}");
        }
    }

    #[test]
    fn one_port_is_for_one_pod_unless_address_or_protocol_differ() {
        let port = |text: &str| text.parse::<Forward>().unwrap().from;
        let rows = [
            ("tcp:0.0.0.0:80:10.0.0.1:80", "tcp:0.0.0.0:80:10.0.0.1:81", true),
            ("tcp:0.0.0.0:80:10.0.0.1:80", "tcp:127.0.0.1:80:10.0.0.1:80", true),
            ("tcp:127.0.0.1:80:10.0.0.1:80", "tcp:127.0.0.2:80:10.0.0.1:80", false),
            ("tcp:0.0.0.0:80:10.0.0.1:80", "udp:0.0.0.0:80:10.0.0.1:80", false),
            ("tcp:0.0.0.0:80:10.0.0.1:80", "tcp:0.0.0.0:81:10.0.0.1:80", false),
        ];
        for (one, other, expected) in rows {
            assert_eq!(port(one).clashes(port(other)), expected, "{one} {other}");
            assert_eq!(port(other).clashes(port(one)), expected, "{other} {one}");
        }
    }
}
