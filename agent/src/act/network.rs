//! A pod's address, and its way onto the network by a child of ours (`runtime network`). Knows no link and no rule.
#![expect(clippy::disallowed_methods, reason = "this is the effect")]

use std::{
    collections::BTreeMap,
    fs, io,
    net::{Ipv4Addr, SocketAddr, UdpSocket},
    path::{Path, PathBuf},
    process::Stdio,
    sync::{Arc, Mutex},
};

use super::{
    binary::Binary,
    children::Children,
    leases::{self, Leases},
    lock,
};
use crate::pod::{
    PodUid, network,
    port::HostPort,
    range::{self, Range},
};

/// Why a pod is not connected.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("there is no address for it")]
    Lease {
        #[source]
        source: leases::Error,
    },
    #[error(
        "podCIDR {range} overlaps the route to {to} by {device}: name a range in config.json that this box does not use"
    )]
    Overlap { range: Range, to: Range, device: String },
    #[error("the child that changes the network cannot be run")]
    Child {
        #[source]
        source: io::Error,
    },
    /// The child's own words.
    #[error("{0}")]
    Refused(String),
}

/// The pods' network.
#[derive(Debug)]
pub(crate) struct Network {
    range: Range,
    dir: PathBuf,
    /// One change at a time: two children would both make the bridge.
    leases: Mutex<Leases>,
    binary: Arc<Binary>,
    children: Arc<Children>,
}

impl Network {
    pub(crate) fn new(range: Range, dir: PathBuf, binary: Arc<Binary>, children: Arc<Children>) -> Self {
        Self { range, leases: Mutex::new(Leases::in_dir(dir.clone())), dir, binary, children }
    }

    /// Connects the namespace pinned at `namespace`. Idempotent, for a pod in which nothing runs.
    pub(crate) fn connect(
        &self,
        uid: &PodUid,
        namespace: &Path,
        ports: &[HostPort],
    ) -> Result<Ipv4Addr, Error> {
        let mut leases = lock(&self.leases);
        let table = fs::read_to_string("/proc/net/route").unwrap_or_default();
        if let Some(route) = range::taken(self.range, &range::routes(&table), network::BRIDGE) {
            return Err(Error::Overlap { range: self.range, to: route.to, device: route.device.clone() });
        }
        self.cut_off_but(Some(self.range), uid, &leases)?;
        let address = leases.take(self.range, uid).map_err(|source| Error::Lease { source })?;
        let fault = |source| Error::Lease { source };
        leases.lead(address, ports).map_err(fault)?;
        let (range, text) = (self.range.to_string(), address.to_string());
        let namespace = namespace.display().to_string();
        let mut words = vec!["up", "--range", &range, "--address", &text, "--namespace", &namespace];
        let forwards = leases.forwards().map_err(fault)?;
        words.extend(forwards.iter().flat_map(|forward| ["--forward", forward]));
        self.change(&words)?;
        Ok(address)
    }

    /// Cuts a pod off and gives its address back. Idempotent.
    pub(crate) fn disconnect(&self, uid: &PodUid) -> Result<(), Error> {
        self.cut_off_but(None, uid, &lock(&self.leases))
    }

    /// The cable first: as long as there is one, its address has an owner.
    fn cut_off_but(&self, kept: Option<Range>, uid: &PodUid, leases: &Leases) -> Result<(), Error> {
        let fault = |source| Error::Lease { source };
        for (address, owner) in Leases::all(&self.dir).map_err(fault)? {
            if owner == *uid && !kept.is_some_and(|range| range.contains(address)) {
                self.change(&["down", "--address", &address.to_string()])?;
                if leases.close(address).map_err(fault)? {
                    let range = self.range.to_string();
                    let forwards = leases.forwards().map_err(fault)?;
                    let mut words = vec!["ports", "--range", &range];
                    words.extend(forwards.iter().flat_map(|forward| ["--forward", forward]));
                    self.change(&words)?;
                }
                leases.give_back(address).map_err(fault)?;
            }
        }
        Ok(())
    }

    /// All addresses in use, and whose they are.
    pub(crate) fn owners(&self) -> Result<BTreeMap<Ipv4Addr, PodUid>, Error> {
        Leases::all(&self.dir).map_err(|source| Error::Lease { source })
    }

    /// The address of a pod, if it has one.
    pub(crate) fn address(&self, uid: &PodUid) -> Option<Ipv4Addr> {
        Leases::of(&self.dir, uid).ok().flatten()
    }

    fn change(&self, words: &[&str]) -> Result<(), Error> {
        let mut command = self.binary.command();
        command.args(["runtime", "network"]).args(words);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let spawned = self.children.spawn(&mut command);
        let (child, awaited) = spawned.map_err(|source| Error::Child { source })?;
        let output = child.wait_with_output().map_err(|source| Error::Child { source })?;
        drop(awaited);
        if output.status.success() {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&output.stderr);
        let last = said.lines().rev().find(|line| !line.trim().is_empty());
        Err(Error::Refused(last.map_or_else(|| format!("it ended with {}", output.status), str::to_owned)))
    }
}

/// The address this box has for others: that of its default route, else any of a device that is not the pods', else
/// its own loopback. Nothing is sent.
pub(crate) fn host_address() -> Ipv4Addr {
    by_default_route().or_else(first_of_a_device).unwrap_or(Ipv4Addr::LOCALHOST)
}

/// Which address the kernel would use to talk to the internet (192.0.2.0/24 is nobody's: RFC 5737).
fn by_default_route() -> Option<Ipv4Addr> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).ok()?;
    socket.connect((Ipv4Addr::new(192, 0, 2, 1), 9)).ok()?;
    match socket.local_addr().ok()? {
        SocketAddr::V4(own) if !own.ip().is_loopback() && !own.ip().is_unspecified() => Some(*own.ip()),
        _ => None,
    }
}

#[expect(
    unsafe_code,
    reason = "the list of devices with their addresses is only to be had from the C library"
)]
fn first_of_a_device() -> Option<Ipv4Addr> {
    let mut list: *mut libc::ifaddrs = std::ptr::null_mut();
    // SAFETY: getifaddrs writes a list's head to the pointer it is given; it is freed below, once.
    if unsafe { libc::getifaddrs(&raw mut list) } != 0 {
        return None;
    }
    let mut found = None;
    let mut at = list;
    // SAFETY: every entry, its name and its address stay valid until freeifaddrs; an address is only read as the
    // family it says it is of.
    unsafe {
        while let Some(entry) = at.as_ref() {
            let name = std::ffi::CStr::from_ptr(entry.ifa_name).to_string_lossy();
            let inet =
                entry.ifa_addr.as_ref().filter(|address| i32::from(address.sa_family) == libc::AF_INET);
            let plain = entry.ifa_flags & (libc::IFF_UP | libc::IFF_LOOPBACK).cast_unsigned()
                == libc::IFF_UP.cast_unsigned();
            if inet.is_some() && plain && name != network::BRIDGE && found.is_none() {
                let address = entry.ifa_addr.cast::<libc::sockaddr_in>().read_unaligned();
                found = Some(Ipv4Addr::from_bits(u32::from_be(address.sin_addr.s_addr)));
            }
            at = entry.ifa_next;
        }
        libc::freeifaddrs(list);
    }
    found
}
