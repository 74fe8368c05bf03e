//! The bridge, and each pod's cable to it: one end a port of the bridge, the other `eth0` in the pod. By rtnetlink.
#![expect(clippy::disallowed_methods, reason = "this is the effect")]

use std::{
    fs::{self, File},
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    os::fd::{AsFd, AsRawFd, OwnedFd},
    path::Path,
};

use rtnetlink::{
    Handle, LinkBridge, LinkBridgePort, LinkMessageBuilder, LinkUnspec, RouteMessageBuilder, new_connection,
    packet_route::{
        address::{AddressAttribute, AddressFlags},
        link::{InfoData, InfoKind, InfoVeth, LinkAttribute, LinkInfo, LinkMessage},
    },
};
use rustix::{
    io::Errno,
    net::{AddressFamily, SocketFlags, SocketType, netdevice, socket_with},
    thread::{ThreadNameSpaceType, move_into_thread_name_spaces},
};

use super::{Error, settings};
use crate::pod::{network, range::Range, range6::Range6};

/// The pod's end.
const INSIDE: &str = "eth0";

/// Connects a pod. What of it is there already is made anew: nobody uses it yet.
pub(super) async fn up(
    range: Range,
    range6: Option<Range6>,
    address: Ipv4Addr,
    namespace: &Path,
) -> Result<(), Error> {
    let inside = File::open(namespace)
        .map_err(|source| Error::System { step: "open the pod's network namespace", source })?;
    let outside = connect().await?;
    let bridge = bridge(&outside, range).await?;
    let way_out6 = match range6 {
        Some(range6) => speak_ipv6(&outside, bridge, range6, range.gateway()).await?,
        None => false,
    };
    let name = network::cable(address);
    delete(&outside, &name).await?;
    clear_inside(&inside).await?;
    let step = "make the pod's cable";
    let ours = LinkMessageBuilder::<LinkUnspec>::default().name(name.clone()).controller(bridge);
    let ours = ours.append_extra_attribute(veth(address, &inside)).build();
    outside.link().add(ours).execute().await.map_err(lacking(step, "virtual cables (module veth)"))?;
    let port = index(&name)?.ok_or(Error::Lacking { step, what: "the cable it has just made" })?;
    let port = LinkBridgePort::new(port).hairpin(true).build();
    outside.link().set_port(port).execute().await.map_err(link("set up the pod's port of the bridge"))?;
    let cable = LinkUnspec::new_with_name(&name).up().build();
    outside.link().change(cable).execute().await.map_err(link("switch the pod's cable on"))?;
    let _back = Visit::to(&inside)?;
    let pod = connect().await?;
    let device = furnish(&pod, range, address).await?;
    match range6 {
        Some(range6) => furnish6(&pod, device, range6, address, way_out6.then_some(range.gateway())).await,
        None => Ok(()),
    }
}

/// What the box sends to its own 127.0.0.1 may be led to a pod.
pub(super) fn open_loopback() -> Result<(), Error> {
    let step = "open the way from 127.0.0.1 to the pods (net.ipv4.conf.carob0.route_localnet)";
    settings::write("ipv4/conf/carob0/route_localnet", "1").map_err(|source| Error::System { step, source })
}

/// Cuts a pod off; fine if it never was connected, or its namespace is gone and took the cable with it.
pub(super) async fn down(address: Ipv4Addr) -> Result<(), Error> {
    delete(&connect().await?, &network::cable(address)).await
}

/// Takes the bridge away, and all cables to it.
pub(super) async fn remove() -> Result<(), Error> {
    let outside = connect().await?;
    let step = "list the network devices";
    // Not by /sys, which shows the namespace that it was mounted in.
    let table =
        fs::read_to_string("/proc/thread-self/net/dev").map_err(|source| Error::System { step, source })?;
    let names = table.lines().filter_map(|line| Some(line.split_once(':')?.0.trim()));
    for name in names.filter(|name| network::is_cable(name) || *name == network::BRIDGE) {
        delete(&outside, name).await?;
    }
    Ok(())
}

/// The bridge with its address, made if it is not there.
async fn bridge(outside: &Handle, range: Range) -> Result<u32, Error> {
    let step = "make the bridge carob0";
    if index(network::BRIDGE)?.is_none() {
        // A bridge without an address of its own changes it with its ports, and everybody forgets who it was.
        let made = LinkBridge::new(network::BRIDGE).address(network::hardware(range.gateway())).build();
        outside.link().add(made).execute().await.map_err(lacking(step, "bridges (module bridge)"))?;
    }
    let bridge =
        index(network::BRIDGE)?.ok_or(Error::Lacking { step, what: "the bridge it has just made" })?;
    // What a pod says of IPv6 routes is not for the box to believe. Absent without IPv6: then nobody says any.
    let _ = settings::write("ipv6/conf/carob0/accept_ra", "0");
    let gateway = outside.address().add(bridge, IpAddr::V4(range.gateway()), range.bits());
    gateway.replace().execute().await.map_err(link("give the bridge carob0 its address"))?;
    let on = LinkUnspec::new_with_index(bridge).up().build();
    outside.link().change(on).execute().await.map_err(link("switch the bridge carob0 on"))?;
    settings::forward()?;
    Ok(bridge)
}

/// The bridge's other address, and whether the box leads IPv6 on.
async fn speak_ipv6(outside: &Handle, bridge: u32, range: Range6, gateway: Ipv4Addr) -> Result<bool, Error> {
    let step = "give the bridge carob0 its IPv6 address";
    add_at_once(outside, bridge, range.beside(gateway), range.bits(), step).await?;
    settings::forward6()
}

/// Nobody is asked whether he has the address already: it is ours to give away.
async fn add_at_once(
    to: &Handle,
    device: u32,
    address: Ipv6Addr,
    bits: u8,
    step: &'static str,
) -> Result<(), Error> {
    let mut adding = to.address().add(device, IpAddr::V6(address), bits).replace();
    adding.message_mut().attributes.push(AddressAttribute::Flags(AddressFlags::Nodad));
    adding.execute().await.map_err(link(step))
}

/// Both ends of a cable in one message; the pod's is born where it belongs.
fn veth(address: Ipv4Addr, inside: &File) -> LinkAttribute {
    let mut peer = LinkMessage::default();
    peer.attributes = vec![
        LinkAttribute::IfName(INSIDE.to_owned()),
        LinkAttribute::Address(network::hardware(address)),
        LinkAttribute::NetNsFd(inside.as_raw_fd()),
    ];
    LinkAttribute::LinkInfo(vec![
        LinkInfo::Kind(InfoKind::Veth),
        LinkInfo::Data(InfoData::Veth(InfoVeth::Peer(peer))),
    ])
}

/// A cable that an earlier try with another address has left.
async fn clear_inside(inside: &File) -> Result<(), Error> {
    let _back = Visit::to(inside)?;
    let pod = connect().await?;
    delete(&pod, INSIDE).await
}

/// The pod's side: address, on, and the way out.
async fn furnish(pod: &Handle, range: Range, address: Ipv4Addr) -> Result<u32, Error> {
    let step = "set up eth0 of the pod";
    let device = index(INSIDE)?.ok_or(Error::Lacking { step, what: "the cable's other end" })?;
    // Other pods on the bridge are not to be believed either.
    let _ = settings::write("ipv6/conf/eth0/accept_ra", "0");
    // No wait before its own address for the cable counts: nobody else is behind it.
    let _ = settings::write("ipv6/conf/eth0/accept_dad", "0");
    let own = pod.address().add(device, IpAddr::V4(address), range.bits());
    own.execute().await.map_err(link("give the pod its address"))?;
    let on = LinkUnspec::new_with_index(device).up().build();
    pod.link().change(on).execute().await.map_err(link(step))?;
    let out = RouteMessageBuilder::<Ipv4Addr>::new().gateway(range.gateway()).build();
    pod.route().add(out).execute().await.map_err(link("give the pod its default route"))?;
    Ok(device)
}

/// The same for IPv6. Without a way out of the box the pod is not told of any: what it asks for there fails at once.
async fn furnish6(
    pod: &Handle,
    device: u32,
    range: Range6,
    address: Ipv4Addr,
    gateway: Option<Ipv4Addr>,
) -> Result<(), Error> {
    let step = "give the pod its IPv6 address";
    add_at_once(pod, device, range.beside(address), range.bits(), step).await?;
    let Some(gateway) = gateway else { return Ok(()) };
    let out = RouteMessageBuilder::<Ipv6Addr>::new().gateway(range.beside(gateway)).build();
    pod.route().add(out).execute().await.map_err(link("give the pod its IPv6 default route"))
}

/// A stay in another network namespace, until it is dropped.
struct Visit {
    home: File,
}

impl Visit {
    fn to(namespace: &File) -> Result<Self, Error> {
        let step = "enter the pod's network namespace";
        let home = File::open("/proc/thread-self/ns/net").map_err(|source| Error::System { step, source })?;
        enter(namespace).map_err(|source| Error::System { step, source: source.into() })?;
        Ok(Self { home })
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        // It was ours a moment ago; if it is not any more, what follows fails and says so.
        let _ = enter(&self.home);
    }
}

fn enter(namespace: &File) -> rustix::io::Result<()> {
    move_into_thread_name_spaces(namespace.as_fd(), ThreadNameSpaceType::NETWORK)
}

/// A netlink socket of the namespace this thread is in.
async fn connect() -> Result<Handle, Error> {
    let (connection, handle, _) =
        new_connection().map_err(|source| Error::System { step: "open a netlink socket", source })?;
    tokio::spawn(connection);
    Ok(handle)
}

/// Takes a device away; fine if it is gone.
async fn delete(of: &Handle, name: &str) -> Result<(), Error> {
    let Some(index) = index(name)? else { return Ok(()) };
    match of.link().del(index).execute().await {
        Err(rtnetlink::Error::NetlinkError(e)) if e.raw_code() == -libc::ENODEV => Ok(()),
        other => other.map_err(link("take a network device away")),
    }
}

/// The number of a device of the namespace this thread is in.
fn index(name: &str) -> Result<Option<u32>, Error> {
    let asked = || -> rustix::io::Result<u32> {
        let socket: OwnedFd =
            socket_with(AddressFamily::INET, SocketType::DGRAM, SocketFlags::CLOEXEC, None)?;
        netdevice::name_to_index(&socket, name)
    };
    match asked() {
        Ok(index) => Ok(Some(index)),
        Err(Errno::NODEV) => Ok(None),
        Err(e) => Err(Error::System { step: "look for a network device", source: e.into() }),
    }
}

fn link(step: &'static str) -> impl Fn(rtnetlink::Error) -> Error {
    move |source| Error::Link { step, source }
}

/// What is said when a kind of device is not known.
fn lacking(step: &'static str, what: &'static str) -> impl Fn(rtnetlink::Error) -> Error {
    move |source| match &source {
        rtnetlink::Error::NetlinkError(e) if e.raw_code() == -libc::EOPNOTSUPP => {
            Error::Lacking { step, what }
        }
        _ => Error::Link { step, source },
    }
}
