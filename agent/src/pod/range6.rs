//! A range of IPv6 addresses, as `fd63:6172:6f62::/64` writes it. Who has which of them is not asked: a pod's ends in
//! its IPv4 address, so that one lease gives both. No I/O.

use std::{
    fmt,
    net::{Ipv4Addr, Ipv6Addr},
    str::FromStr,
};

use serde::{Deserialize, Deserializer, de};

/// Unless the configuration names another. Of the addresses that anybody may use within a site (RFC 4193), "carob" in
/// ASCII: like the IPv4 range it is every box's, because none of its addresses is seen outside.
pub(crate) const DEFAULT: Range6 =
    Range6 { first: Ipv6Addr::new(0xfd63, 0x6172, 0x6f62, 0, 0, 0, 0, 0), bits: 64 };
/// Behind the longest is room for an IPv4 address. One that is shorter than a site's is nobody's to give away.
const BITS: std::ops::RangeInclusive<u8> = 48..=96;

/// Addresses with their first `bits` bits in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Range6 {
    first: Ipv6Addr,
    bits: u8,
}

/// Why a text is no range.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is no range of IPv6 addresses: one like \"fd63:6172:6f62::/64\" is needed, of 48 to 96 bits, or \"none\""
)]
pub(crate) struct NoRange6(String);

impl Range6 {
    pub(crate) fn bits(self) -> u8 {
        self.bits
    }

    /// The range's own address, which nobody has.
    pub(crate) fn first(self) -> Ipv6Addr {
        self.first
    }

    /// Of whoever has that IPv4 address.
    pub(crate) fn beside(self, address: Ipv4Addr) -> Ipv6Addr {
        Ipv6Addr::from_bits(self.first.to_bits() | u128::from(address.to_bits()))
    }

    fn overlaps(self, other: Self) -> bool {
        let mask = self.mask() & other.mask();
        self.first.to_bits() & mask == other.first.to_bits() & mask
    }

    fn mask(self) -> u128 {
        u128::MAX.checked_shl(u32::from(128 - self.bits)).unwrap_or(0)
    }
}

impl fmt::Display for Range6 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.first, self.bits)
    }
}

impl FromStr for Range6 {
    type Err = NoRange6;

    fn from_str(text: &str) -> Result<Self, NoRange6> {
        let parts = text.split_once('/').and_then(|(first, bits)| {
            let range = Self { first: first.parse().ok()?, bits: bits.parse().ok()? };
            (BITS.contains(&range.bits) && range.first.to_bits() & !range.mask() == 0).then_some(range)
        });
        parts.ok_or_else(|| NoRange6(text.to_owned()))
    }
}

/// `podCIDRv6`: a range, or `none` for pods without IPv6.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Choice(pub(crate) Option<Range6>);

impl<'de> Deserialize<'de> for Choice {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match String::deserialize(deserializer)?.as_str() {
            "none" => Ok(Self(None)),
            text => text.parse().map(|range| Self(Some(range))).map_err(de::Error::custom),
        }
    }
}

/// Whether the kernel speaks IPv6 and nobody has switched that off; `read` gives the content of a file.
pub(crate) fn is_spoken(read: impl Fn(&str) -> Option<String>) -> bool {
    let is_on = |of: &&str| {
        let switch = read(&format!("/proc/sys/net/ipv6/conf/{of}/disable_ipv6"));
        switch.is_some_and(|off| off.trim() != "1")
    };
    ["all", "default"].iter().all(is_on)
}

/// A way out of the box, as the kernel lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Route6 {
    pub(crate) device: String,
    pub(crate) to: Range6,
    /// A router has announced itself as the way to everywhere.
    pub(crate) announced: bool,
}

/// The route that leads some of `range` elsewhere, if there is one; those of `own` are the pods'.
pub(crate) fn taken<'a>(range: Range6, routes: &'a [Route6], own: &str) -> Option<&'a Route6> {
    routes.iter().find(|route| route.device != own && route.to.bits > 0 && route.to.overlaps(range))
}

/// Reads `/proc/net/ipv6_route`: destination, bits, source, bits, gateway, metric, two counts, flags, device; all but the
/// last in hexadecimal. What leads to the box itself is left out.
pub(crate) fn routes(table: &str) -> Vec<Route6> {
    /// `RTF_DEFAULT` and `RTF_ADDRCONF`, linux/ipv6_route.h.
    const ANNOUNCED: u32 = 0x0001_0000 | 0x0004_0000;
    let read = |line: &str| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let [to, bits, .., flags, device] = fields[..] else { return None };
        let first = Ipv6Addr::from_bits(u128::from_str_radix(to, 16).ok()?);
        let to = Range6 { first, bits: u8::from_str_radix(bits, 16).ok()? };
        let announced = u32::from_str_radix(flags, 16).ok()? & ANNOUNCED == ANNOUNCED;
        (device != "lo").then(|| Route6 { device: device.to_owned(), to, announced })
    };
    table.lines().filter_map(read).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_reads_as_it_is_written() {
        for text in ["fd63:6172:6f62::/64", "fd00::/48", "2001:db8:0:1::/96"] {
            assert_eq!(text.parse::<Range6>().unwrap().to_string(), text);
        }
        for text in ["", "fd00::", "fd00::/47", "fd00::/97", "fd00::1/64", "10.0.0.0/16", "fd00::/x"] {
            assert!(text.parse::<Range6>().is_err(), "{text}");
        }
        assert_eq!(DEFAULT.to_string().parse(), Ok(DEFAULT));
        let choice = |text: &str| serde_json::from_str::<Choice>(&format!("{text:?}"));
        assert_eq!(choice("none").unwrap(), Choice(None));
        assert_eq!(choice("fd63:6172:6f62::/64").unwrap(), Choice(Some(DEFAULT)));
        assert!(choice("None").unwrap_err().to_string().contains("or \"none\""));
    }

    #[test]
    fn who_has_one_address_has_the_other() {
        let beside = |range: Range6| range.beside(Ipv4Addr::new(10, 182, 0, 5)).to_string();
        assert_eq!(beside(DEFAULT), "fd63:6172:6f62::ab6:5");
        assert_eq!(beside("2001:db8::7:0:0/96".parse().unwrap()), "2001:db8::7:ab6:5");
    }

    #[test]
    fn ipv6_is_spoken_where_there_are_switches_and_none_is_off() {
        for (all, default, expected) in [
            (Some("0\n"), Some("0\n"), true),
            (Some("1\n"), Some("0\n"), false),
            (Some("0\n"), Some("1\n"), false),
            (None, None, false),
        ] {
            let switch = |file: &str| if file.contains("/all/") { all } else { default };
            let spoken = is_spoken(|file| switch(file).map(str::to_owned));
            assert_eq!(spoken, expected, "{all:?} {default:?}");
        }
    }

    #[test]
    fn a_range_that_leads_elsewhere_is_seen_in_the_kernels_table() {
        let zero = "0".repeat(32);
        let line = |to: &str, bits: &str, flags: &str, device: &str| {
            format!("{to} {bits} {zero} 00 {zero} 00000100 00000001 00000000 {flags}  {device:>8}\n")
        };
        let ours = "fd6361726f6200000000000000000000";
        let table = [
            line(ours, "40", "00000001", "carob0"),
            line("fd636172000000000000000000000000", "20", "00000001", "vpn0"),
            line(&zero, "00", "00450003", "eth0"),
            line(&zero, "00", "00000003", "eth1"),
            line("00000000000000000000000000000001", "80", "80200001", "lo"),
        ];
        let routes = routes(&table.concat());
        let announced: Vec<_> = routes.iter().map(|route| (&*route.device, route.announced)).collect();
        assert_eq!(announced, [("carob0", false), ("vpn0", false), ("eth0", true), ("eth1", false)]);
        let found =
            |range: &str| taken(range.parse().unwrap(), &routes, "carob0").map(|route| route.to.to_string());
        assert_eq!(found("fd63:6172:6f62::/64").as_deref(), Some("fd63:6172::/32"));
        assert_eq!(found("fd64::/64"), None);
    }
}
