//! Sockets of a pod's network: made in its namespace, used from outside. Sends nothing.
//!
//! A socket belongs to the network namespace of the thread that makes it, whoever uses it later. So a thread that lives
//! for three system calls is all it takes: no route, no address on the box's side, no firewall in between, and no process.

use std::{
    io,
    net::{IpAddr, Ipv4Addr},
    os::fd::OwnedFd,
    path::{Path, PathBuf},
};

use rustix::{
    fs::{Mode, OFlags},
    net::{AddressFamily, SocketFlags, SocketType, socket_with},
    thread::{LinkNameSpaceType, move_into_link_name_space},
};
use tokio::{net::TcpSocket, sync::oneshot};

use super::{
    super::{Tools, chain, log::Pausing, lookup, network},
    Error,
};
use crate::{
    config::STACK,
    pod::{PodUid, probe::Host},
};

/// Whom to talk to, and in which network.
#[derive(Clone, Debug)]
pub(in crate::act) struct Target {
    /// `None`: the box's own.
    namespace: Option<PathBuf>,
    host: Host,
    pause: Pausing,
}

impl Target {
    /// The pod itself, or, from the box's network as with the kubelet, another host.
    pub(in crate::act) fn of(tools: &Tools, pod: &PodUid, host: Option<&Host>) -> Self {
        let pause = tools.around.pause;
        let of_box = |host| Self { namespace: None, host, pause };
        match (host, tools.network.address(pod)) {
            (Some(host), _) => of_box(host.clone()),
            (None, Some(address)) => {
                // From inside no route and no rule of the box is in the way.
                let namespace = Some(tools.places.pod(pod).namespaces().join("net"));
                Self { namespace, host: Host::Address(address.v4.into()), pause }
            }
            (None, None) => of_box(Host::Address(network::host_address().v4.into())),
        }
    }

    /// The pod's loopback; that of the box, if the pod is on its network.
    pub(in crate::act) fn inside(tools: &Tools, pod: &PodUid) -> Self {
        let pause = tools.around.pause;
        let namespace = tools.network.address(pod).map(|_| tools.places.pod(pod).namespaces().join("net"));
        Self { namespace, host: Host::Address(Ipv4Addr::LOCALHOST.into()), pause }
    }

    pub(super) fn host(&self) -> &Host {
        &self.host
    }

    /// All that are to be tried, in order; or in words why there is none.
    pub(super) async fn addresses(&self) -> Result<Vec<IpAddr>, String> {
        match &self.host {
            Host::Address(address) => Ok(vec![*address]),
            Host::Name(name) => {
                let found = lookup::addresses(name, self.pause).await;
                found.map_err(|e| format!("dial tcp: lookup {name}: {}", chain(&e)))
            }
        }
    }

    /// A socket that is not connected yet, for an address of the target's.
    pub(in crate::act) async fn open(&self, address: IpAddr) -> Result<TcpSocket, Error> {
        let Some(namespace) = &self.namespace else {
            let made = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() };
            return made.map_err(|source| Error::OwnSocket { source });
        };
        let fault = |source| Error::Socket { namespace: namespace.clone(), source };
        let (path, family) = (namespace.clone(), family(address));
        let (tell, told) = oneshot::channel();
        // Not one of the runtime's threads: this one comes back from nowhere.
        let thread = std::thread::Builder::new().stack_size(STACK);
        // Nobody listens any more: the probe ran out of time.
        let entered = thread.spawn(move || drop(tell.send(socket_in(&path, family))));
        entered.map_err(fault)?;
        let socket = told.await.map_err(|_| fault(io::Error::other("the thread has ended")))?;
        let stream = std::net::TcpStream::from(socket.map_err(|e| fault(e.into()))?);
        Ok(TcpSocket::from_std_stream(stream))
    }
}

fn family(address: IpAddr) -> AddressFamily {
    if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 }
}

/// Ends where the thread does: it never returns to its own namespace.
fn socket_in(namespace: &Path, family: AddressFamily) -> rustix::io::Result<OwnedFd> {
    let namespace = rustix::fs::open(namespace, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
    move_into_link_name_space(std::os::fd::AsFd::as_fd(&namespace), Some(LinkNameSpaceType::Network))?;
    socket_with(family, SocketType::STREAM, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK, None)
}

/// A network error as Go says it.
pub(super) fn words(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => "connection refused".to_owned(),
        io::ErrorKind::ConnectionReset => "connection reset by peer".to_owned(),
        io::ErrorKind::HostUnreachable => "no route to host".to_owned(),
        io::ErrorKind::NetworkUnreachable => "network is unreachable".to_owned(),
        _ => error.to_string(),
    }
}

#[cfg(test)]
impl Target {
    /// This machine's own loopback.
    pub(super) fn here() -> Self {
        let host = Host::Address(Ipv4Addr::LOCALHOST.into());
        Self { namespace: None, host, pause: |_| Box::pin(std::future::pending()) }
    }
}
