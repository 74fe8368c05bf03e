//! The address this box has for others. Nothing is sent to find it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket};

use crate::pod::network::{self, Address};

/// In each family that of its default route, else the first of a device that is not the pods'. A box without any IPv4
/// is 127.0.0.1 to itself.
pub(crate) fn host_address() -> Address {
    let devices = of_devices();
    let v4 = by_default_route(Ipv4Addr::UNSPECIFIED.into(), Ipv4Addr::new(192, 0, 2, 1).into());
    let v6 =
        by_default_route(Ipv6Addr::UNSPECIFIED.into(), Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1).into());
    Address {
        v4: v4.into_iter().chain(devices.iter().copied()).find_map(as_v4).unwrap_or(Ipv4Addr::LOCALHOST),
        v6: v6.into_iter().chain(devices).find_map(as_v6),
    }
}

fn as_v4(address: IpAddr) -> Option<Ipv4Addr> {
    if let IpAddr::V4(v4) = address { Some(v4) } else { None }
}

fn as_v6(address: IpAddr) -> Option<Ipv6Addr> {
    if let IpAddr::V6(v6) = address { Some(v6) } else { None }
}

/// Which address the kernel would use to talk to the internet: `there` is nobody's (RFC 5737, RFC 3849).
fn by_default_route(any: IpAddr, there: IpAddr) -> Option<IpAddr> {
    let socket = UdpSocket::bind((any, 0)).ok()?;
    socket.connect((there, 9)).ok()?;
    let own = socket.local_addr().ok()?.ip();
    (!own.is_loopback() && !own.is_unspecified()).then_some(own)
}

/// All of devices that are on, of those that are not only for the cable they lie on.
#[expect(
    unsafe_code,
    reason = "the list of devices with their addresses is only to be had from the C library"
)]
fn of_devices() -> Vec<IpAddr> {
    let mut list: *mut libc::ifaddrs = std::ptr::null_mut();
    // SAFETY: getifaddrs writes a list's head to the pointer it is given; it is freed below, once.
    if unsafe { libc::getifaddrs(&raw mut list) } != 0 {
        return Vec::new();
    }
    let mut found = Vec::new();
    let mut at = list;
    // SAFETY: every entry and its name stay valid until freeifaddrs.
    unsafe {
        while let Some(entry) = at.as_ref() {
            let name = std::ffi::CStr::from_ptr(entry.ifa_name).to_string_lossy();
            let plain = entry.ifa_flags & (libc::IFF_UP | libc::IFF_LOOPBACK).cast_unsigned()
                == libc::IFF_UP.cast_unsigned();
            if plain && name != network::BRIDGE {
                found.extend(read(entry));
            }
            at = entry.ifa_next;
        }
        libc::freeifaddrs(list);
    }
    found
}

#[expect(unsafe_code, reason = "an address of the C library says itself of which kind it is")]
fn read(entry: &libc::ifaddrs) -> Option<IpAddr> {
    // SAFETY: an entry of a list that is not freed yet; its address, if it has one, is only read as the family it says
    // it is of.
    unsafe {
        match i32::from(entry.ifa_addr.as_ref()?.sa_family) {
            libc::AF_INET => {
                let address = entry.ifa_addr.cast::<libc::sockaddr_in>().read_unaligned();
                Some(Ipv4Addr::from_bits(u32::from_be(address.sin_addr.s_addr)).into())
            }
            libc::AF_INET6 => {
                let address = entry.ifa_addr.cast::<libc::sockaddr_in6>().read_unaligned();
                let address = Ipv6Addr::from(address.sin6_addr.s6_addr);
                (!address.is_unicast_link_local()).then_some(address.into())
            }
            _ => None,
        }
    }
}
