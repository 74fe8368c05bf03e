//! What carob calls things on the network, shared by those who make them and those who look for them. No I/O.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The bridge that all pods' cables end in.
pub(crate) const BRIDGE: &str = "carob0";
/// Our table in the packet filter, family `inet`.
pub(crate) const TABLE: &str = "carob";
/// Where somebody is on the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Address {
    pub(crate) v4: Ipv4Addr,
    /// Where there is IPv6.
    pub(crate) v6: Option<Ipv6Addr>,
}

impl Address {
    /// In each family, the first one first: Kubernetes calls it the primary.
    pub(crate) fn forms(self) -> impl Iterator<Item = IpAddr> {
        std::iter::once(IpAddr::V4(self.v4)).chain(self.v6.map(IpAddr::V6))
    }
}

impl From<Ipv4Addr> for Address {
    fn from(v4: Ipv4Addr) -> Self {
        Self { v4, v6: None }
    }
}

const CABLE: &str = "carob";
/// Of an address in hexadecimal.
const DIGITS: usize = 8;

/// The box's end of the cable of the pod that has this address: `carob0ab60005`. An address has one owner, so two
/// cables never have one name, and whoever gets an address finds what its last owner left.
pub(crate) fn cable(address: Ipv4Addr) -> String {
    format!("{CABLE}{:08x}", address.to_bits())
}

pub(crate) fn is_cable(name: &str) -> bool {
    let digits = name.strip_prefix(CABLE).unwrap_or_default();
    digits.len() == DIGITS && digits.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// A hardware address made of the other one: who has an address keeps both, and neighbours need not learn anew.
/// Locally administered (IEEE 802), and as other container networks make theirs.
pub(crate) fn hardware(address: Ipv4Addr) -> Vec<u8> {
    [[0x0a, 0x58].as_slice(), &address.octets()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cable_is_known_by_its_name_and_the_kernel_takes_it() {
        let name = cable(Ipv4Addr::new(10, 182, 0, 5));
        assert_eq!(name, "carob0ab60005");
        assert!(name.len() < 16 && is_cable(&name));
        for other in [BRIDGE, "carob", "carob0ab6000g", "eth0", "carob0ab600055"] {
            assert!(!is_cable(other), "{other}");
        }
        assert_eq!(hardware(Ipv4Addr::new(10, 182, 0, 5)), [0x0a, 0x58, 10, 182, 0, 5]);
    }
}
