//! A range of IPv4 addresses, as `10.182.0.0/16` writes it, and which of them a pod may have. No I/O.

use std::{fmt, net::Ipv4Addr, str::FromStr};

use serde::{Deserialize, Deserializer, de};

/// Where the pods' addresses come from unless the configuration names another range.
pub(crate) const DEFAULT: Range = Range { first: Ipv4Addr::new(10, 182, 0, 0), bits: 16 };
/// The smallest range has room for the bridge and five pods, the largest is all of 10.0.0.0/8.
const BITS: std::ops::RangeInclusive<u8> = 8..=29;

/// Addresses with their first `bits` bits in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Range {
    first: Ipv4Addr,
    bits: u8,
}

/// Why a text is no range.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no range of addresses: one like \"10.182.0.0/16\" is needed, of 8 to 29 bits")]
pub(crate) struct NoRange(String);

impl Range {
    /// Any range that a route may have, the whole internet included.
    pub(crate) fn of_route(first: Ipv4Addr, mask: Ipv4Addr) -> Self {
        let bits = u8::try_from(mask.to_bits().count_ones()).unwrap_or(32);
        Self { first: Ipv4Addr::from_bits(first.to_bits() & mask.to_bits()), bits }
    }

    pub(crate) fn bits(self) -> u8 {
        self.bits
    }

    /// The range's own address, which nobody has.
    pub(crate) fn first(self) -> Ipv4Addr {
        self.first
    }

    /// The bridge's address: the first that anybody can have.
    pub(crate) fn gateway(self) -> Ipv4Addr {
        Ipv4Addr::from_bits(self.first.to_bits() + 1)
    }

    pub(crate) fn contains(self, address: Ipv4Addr) -> bool {
        address.to_bits() & self.mask() == self.first.to_bits()
    }

    pub(crate) fn overlaps(self, other: Self) -> bool {
        let mask = self.mask() & other.mask();
        self.first.to_bits() & mask == other.first.to_bits() & mask
    }

    /// How many pods can have an address.
    pub(crate) fn room(self) -> u32 {
        // Not for pods: the range's own address, the bridge's, and the one that means all.
        (!self.mask()).saturating_sub(2)
    }

    /// All that a pod may have, beginning after `last` and coming round once. An address that was given back is the
    /// last to be given out again: who still remembers its old owner has time to forget.
    pub(crate) fn addresses_after(self, last: Option<Ipv4Addr>) -> impl Iterator<Item = Ipv4Addr> {
        let lowest = self.gateway().to_bits() + 1;
        let room = self.room();
        let start = last.filter(|last| self.contains(*last)).map_or(0, |last| last.to_bits() + 1 - lowest);
        (0..room).map(move |step| Ipv4Addr::from_bits(lowest + (start + step) % room))
    }

    fn mask(self) -> u32 {
        u32::MAX.checked_shl(u32::from(32 - self.bits)).unwrap_or(0)
    }
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.first, self.bits)
    }
}

impl FromStr for Range {
    type Err = NoRange;

    fn from_str(text: &str) -> Result<Self, NoRange> {
        let parts = text.split_once('/').and_then(|(first, bits)| {
            let range = Self { first: first.parse().ok()?, bits: bits.parse().ok()? };
            let whole = range.first.to_bits() & range.mask() == range.first.to_bits();
            (BITS.contains(&range.bits) && whole).then_some(range)
        });
        parts.ok_or_else(|| NoRange(text.to_owned()))
    }
}

impl<'de> Deserialize<'de> for Range {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

/// A way out of the box, as the kernel lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Route {
    pub(crate) device: String,
    pub(crate) to: Range,
}

/// The route that leads some of `range` elsewhere, if there is one. The default route leads away only what has no
/// other, and those of `own` are the pods'.
pub(crate) fn taken<'a>(range: Range, routes: &'a [Route], own: &str) -> Option<&'a Route> {
    routes.iter().find(|route| route.device != own && route.to.bits > 0 && route.to.overlaps(range))
}

/// Reads `/proc/net/route`: device, destination, gateway, …, the mask in the eighth column; numbers are little-endian
/// in hexadecimal on every machine carob runs on.
pub(crate) fn routes(table: &str) -> Vec<Route> {
    let address =
        |hex: &str| u32::from_str_radix(hex, 16).ok().map(|bits| Ipv4Addr::from_bits(bits.swap_bytes()));
    let route = |line: &str| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let to = Range::of_route(address(fields.get(1)?)?, address(fields.get(7)?)?);
        Some(Route { device: (*fields.first()?).to_owned(), to })
    };
    table.lines().skip(1).filter_map(route).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(text: &str) -> Range {
        text.parse().unwrap()
    }

    #[test]
    fn only_a_whole_range_is_one() {
        for good in ["10.182.0.0/16", "10.0.0.0/8", "192.168.7.8/29"] {
            assert_eq!(range(good).to_string(), good);
        }
        for bad in [
            "",
            "10.0.0.0",
            "10.0.0.0/7",
            "10.0.0.0/30",
            "10.0.0.1/16",
            "10.0.0/16",
            "::/64",
            "a/16",
            "1.0.0.0/-1",
        ] {
            let fault = bad.parse::<Range>().unwrap_err().to_string();
            assert!(fault.contains(bad) && fault.contains("/16"), "{fault}");
        }
    }

    #[test]
    fn pods_get_what_is_neither_the_bridges_nor_everybodys() {
        let small = range("10.9.0.8/29");
        let texts = |last: Option<&str>| -> Vec<String> {
            small.addresses_after(last.map(|text| text.parse().unwrap())).map(|one| one.to_string()).collect()
        };
        assert_eq!(small.gateway(), Ipv4Addr::new(10, 9, 0, 9));
        assert_eq!(texts(None), ["10.9.0.10", "10.9.0.11", "10.9.0.12", "10.9.0.13", "10.9.0.14"]);
        assert_eq!(
            texts(Some("10.9.0.12")),
            ["10.9.0.13", "10.9.0.14", "10.9.0.10", "10.9.0.11", "10.9.0.12"]
        );
        assert_eq!(texts(Some("10.9.0.14"))[0], "10.9.0.10", "it comes round");
        assert_eq!(texts(Some("10.8.0.1"))[0], "10.9.0.10", "another range's address is none of ours");
        assert_eq!(DEFAULT.room(), 65_533);
    }

    #[test]
    fn a_route_into_the_range_is_found() {
        let table = "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT\n\
                     eth0\t00000000\t0202000A\t0003\t0\t0\t0\t00000000\t0\t0\t0\n\
                     carob0\t0000B60A\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\t0\t0\n\
                     eth0\t0002000A\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n";
        let routes = routes(table);
        let shown: Vec<String> =
            routes.iter().map(|route| format!("{} {}", route.device, route.to)).collect();
        assert_eq!(shown, ["eth0 0.0.0.0/0", "carob0 10.182.0.0/16", "eth0 10.0.2.0/24"]);
        let rows = [
            ("10.182.0.0/16", None),
            ("10.0.2.0/28", Some("10.0.2.0/24")),
            ("10.0.0.0/8", Some("10.0.2.0/24")),
            ("10.0.3.0/24", None),
        ];
        for (asked, expected) in rows {
            let found = taken(range(asked), &routes, "carob0").map(|route| route.to.to_string());
            assert_eq!(found.as_deref(), expected, "{asked}");
        }
    }
}
