//! Ports of the box that lead to containers. Plain data.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    str::FromStr,
};

use super::network::Address;

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
    /// `hostIP`; none for every address of the box.
    pub(crate) address: Option<IpAddr>,
    pub(crate) port: u16,
    /// The container's port.
    pub(crate) to: u16,
}

impl HostPort {
    /// Whether only one of them can have the port. As for Kubernetes' scheduler 0.0.0.0 is no less than everywhere.
    pub(crate) fn clashes(self, other: Self) -> bool {
        let everywhere =
            |port: Self| port.address.is_none_or(|address| address == IpAddr::V4(Ipv4Addr::UNSPECIFIED));
        let covers = |one: Self, other: Self| {
            one.address == Some(IpAddr::V6(Ipv6Addr::UNSPECIFIED))
                && other.address.is_some_and(|address| address.is_ipv6())
        };
        let meet = self.address == other.address
            || everywhere(self)
            || everywhere(other)
            || covers(self, other)
            || covers(other, self);
        (self.protocol, self.port) == (other.protocol, other.port) && meet
    }

    /// How it leads to a pod, in each family that both have.
    pub(crate) fn forwards(self, pod: Address) -> impl Iterator<Item = Forward> {
        let Self { protocol, address, port, to } = self;
        pod.forms().filter_map(move |pod| {
            let everywhere = match pod {
                IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
                IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
            };
            let address = address.unwrap_or(everywhere);
            (address.is_ipv4() == pod.is_ipv4()).then_some(Forward { protocol, address, port, pod, to })
        })
    }
}

/// A port of the box and where it leads: `tcp:0.0.0.0:8080:10.182.0.5:80`, or `tcp:[::]:8080:[fd63::ab6:5]:80`. Both
/// addresses are of one family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Forward {
    pub(crate) protocol: Protocol,
    /// The box's; unspecified for each of its family.
    pub(crate) address: IpAddr,
    pub(crate) port: u16,
    /// The pod's own.
    pub(crate) pod: IpAddr,
    pub(crate) to: u16,
}

impl fmt::Display for Forward {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { protocol, address, port, pod, to } = self;
        match (address, pod) {
            (IpAddr::V6(address), IpAddr::V6(pod)) => {
                write!(f, "{}:[{address}]:{port}:[{pod}]:{to}", protocol.name())
            }
            _ => write!(f, "{}:{address}:{port}:{pod}:{to}", protocol.name()),
        }
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
            let (protocol, rest) = text.split_once(':')?;
            let all = [Protocol::Tcp, Protocol::Udp, Protocol::Sctp];
            let protocol = all.into_iter().find(|one| one.name() == protocol)?;
            let (address, rest) = leading_address(rest)?;
            let (port, rest) = rest.split_once(':')?;
            let (pod, to) = leading_address(rest)?;
            let forward = Self { protocol, address, port: port.parse().ok()?, pod, to: to.parse().ok()? };
            (address.is_ipv4() == pod.is_ipv4()).then_some(forward)
        };
        read().ok_or_else(|| NoForward(text.to_owned()))
    }
}

/// The address that a text begins with, and what follows the colon behind it. As in a URL, IPv6 stands in brackets.
fn leading_address(text: &str) -> Option<(IpAddr, &str)> {
    if let Some(rest) = text.strip_prefix('[') {
        let (address, rest) = rest.split_once("]:")?;
        return Some((IpAddr::V6(address.parse().ok()?), rest));
    }
    let (address, rest) = text.split_once(':')?;
    Some((IpAddr::V4(address.parse().ok()?), rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_forward_reads_as_it_is_written() {
        for text in ["udp:192.0.2.1:53:10.182.0.5:5353", "tcp:[::]:80:[fd63::ab6:5]:8080"] {
            assert_eq!(text.parse::<Forward>().unwrap().to_string(), text);
        }
        for text in [
            "",
            "tcp:0.0.0.0:80:10.0.0.1",
            "tcp:0.0.0.0:80:10.0.0.1:x",
            "icmp:0.0.0.0:1:10.0.0.1:1",
            "tcp:::80:10.0.0.1:80",
            "tcp:[::]:80:10.0.0.1:80",
            "tcp:[0.0.0.0]:80:10.0.0.1:80",
        ] {
            assert!(text.parse::<Forward>().is_err(), "{text}");
        }
    }

    fn port(protocol: Protocol, address: &str, port: u16) -> HostPort {
        let address = (!address.is_empty()).then(|| address.parse().unwrap());
        HostPort { protocol, address, port, to: 8080 }
    }

    #[test]
    fn a_port_leads_to_a_pod_in_each_family_that_both_have() {
        let v4 = Address::from(Ipv4Addr::new(10, 0, 0, 2));
        let both = Address { v6: Some("fd00::2".parse().unwrap()), ..v4 };
        let rows: [(&str, Address, &[&str]); 7] = [
            ("", v4, &["tcp:0.0.0.0:80:10.0.0.2:8080"]),
            ("", both, &["tcp:0.0.0.0:80:10.0.0.2:8080", "tcp:[::]:80:[fd00::2]:8080"]),
            ("0.0.0.0", both, &["tcp:0.0.0.0:80:10.0.0.2:8080"]),
            ("192.0.2.1", both, &["tcp:192.0.2.1:80:10.0.0.2:8080"]),
            ("::", both, &["tcp:[::]:80:[fd00::2]:8080"]),
            ("2001:db8::1", both, &["tcp:[2001:db8::1]:80:[fd00::2]:8080"]),
            ("::", v4, &[]),
        ];
        for (address, pod, expected) in rows {
            let forwards = port(Protocol::Tcp, address, 80).forwards(pod);
            assert_eq!(forwards.map(|one| one.to_string()).collect::<Vec<_>>(), expected, "{address}");
        }
    }

    #[test]
    fn one_port_is_for_one_pod_unless_address_or_protocol_differ() {
        let tcp = |address| port(Protocol::Tcp, address, 80);
        let rows = [
            (tcp(""), tcp(""), true),
            (tcp(""), tcp("127.0.0.1"), true),
            (tcp(""), tcp("::1"), true),
            (tcp("0.0.0.0"), tcp("127.0.0.1"), true),
            (tcp("0.0.0.0"), tcp("::1"), true),
            (tcp("127.0.0.1"), tcp("127.0.0.2"), false),
            (tcp("127.0.0.1"), tcp("::"), false),
            (tcp("::"), tcp("::1"), true),
            (tcp("::1"), tcp("::2"), false),
            (tcp(""), port(Protocol::Udp, "", 80), false),
            (tcp(""), port(Protocol::Tcp, "", 81), false),
        ];
        for (one, other, expected) in rows {
            assert_eq!(one.clashes(other), expected, "{one:?} {other:?}");
            assert_eq!(other.clashes(one), expected, "{other:?} {one:?}");
        }
    }
}
