//! A box that lives by what routers announce goes on to: it does not become a router itself, which would make it deaf to
//! them, and its pods are told of no way out that leads nowhere.

use std::{
    fs, io,
    net::Ipv6Addr,
    os::fd::{AsRawFd, OwnedFd},
};

use anyhow::{Context, Result, ensure};
use rustix::net::{AddressFamily, SocketFlags, SocketType, netdevice::name_to_index, socket_with};

use super::address6;
use crate::{
    cases::pod::{manifest, shell},
    pods::{Pod, ready},
    world::World,
};

/// `struct in6_rtmsg`, linux/ipv6_route.h.
#[repr(C)]
struct Route {
    to: [u8; 16],
    from: [u8; 16],
    gateway: [u8; 16],
    kind: u32,
    to_bits: u16,
    from_bits: u16,
    metric: u32,
    info: libc::c_ulong,
    flags: u32,
    device: i32,
}

/// Adds the route that the kernel adds when a router announces itself. Netlink has no word for how it was learned.
fn learn(device: &str) -> Result<()> {
    /// linux/sockios.h
    const SIOCADDRT: libc::Ioctl = 0x890b;
    /// `RTF_UP`, `RTF_DEFAULT` and `RTF_ADDRCONF`.
    const LEARNED: u32 = 0x1 | 0x0001_0000 | 0x0004_0000;
    let any = Ipv6Addr::UNSPECIFIED.octets();
    let socket: OwnedFd = socket_with(AddressFamily::INET6, SocketType::DGRAM, SocketFlags::CLOEXEC, None)?;
    let device = i32::try_from(name_to_index(&socket, device)?)?;
    let route = Route {
        to: any,
        from: any,
        gateway: any,
        kind: 0,
        to_bits: 0,
        from_bits: 0,
        metric: 1024,
        info: 0,
        flags: LEARNED,
        device,
    };
    #[expect(unsafe_code, reason = "the kernel's old way to add a route is an ioctl")]
    // SAFETY: SIOCADDRT of an IPv6 socket reads a `struct in6_rtmsg`, and nothing after the call.
    let added = unsafe { libc::ioctl(socket.as_raw_fd(), SIOCADDRT, &raw const route) };
    ensure!(added == 0, "add a route: {}", io::Error::last_os_error());
    Ok(())
}

pub(super) fn is_heard(world: &World) -> Result<()> {
    ready(world)?;
    let read = |key: &str| {
        let file = format!("/proc/sys/net/ipv6/conf/{key}");
        fs::read_to_string(&file).map(|value| value.trim().to_owned()).with_context(|| format!("read {file}"))
    };
    for words in ["link add up0 type veth peer name far0", "link set far0 up", "link set up0 up"] {
        world.command("ip", &words.split(' ').collect::<Vec<_>>())?;
    }
    learn("up0")?;
    let script = "ip -6 route show default; echo END; exec /work sleep";
    let pod = |name: &str| Pod::apply(world, name, &manifest(name, "", &[shell("main", script, "")]));
    let held = pod("held")?;
    held.await_log("main", "END\n")?;
    ensure!(held.logs("main")? == "END\n", "the pod has a way out: {}", held.logs("main")?);
    ensure!(read("all/forwarding")? == "0", "the box has become a router");
    address6(world, &held)?;
    let route = world.command("ip", &["-6", "route", "show", "default"])?;
    ensure!(route.contains("up0"), "the box's own route is gone: {route}");
    // Who wants both says so of the device.
    world.command("sysctl", &["-q", "net.ipv6.conf.up0.accept_ra=2"])?;
    let free = pod("free")?;
    free.await_log("main", "default via fd63:6172:6f62::ab6:1 dev eth0")?;
    ensure!(read("all/forwarding")? == "1", "the box does not forward");
    for device in ["up0", "eth0", "default"] {
        ensure!(read(&format!("{device}/forwarding"))? == "0", "{device} is a router");
    }
    let route = world.command("ip", &["-6", "route", "show", "default"])?;
    ensure!(route.contains("up0"), "the box's own route is gone: {route}");
    Ok(())
}
