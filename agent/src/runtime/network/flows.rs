//! What the kernel remembers of conversations that were led to a pod. A datagram that belongs to one goes where those
//! before it went, whatever the rules say by now: when the pod goes, its conversations have to be forgotten.

use std::{io, net::IpAddr, os::fd::OwnedFd};

use rustix::{
    io::Errno,
    net::{
        AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType,
        netlink::{self, SocketAddrNetlink},
        recv, sendto, socket_with,
    },
};

use super::Error;
use crate::pod::netfilter::{attribute, message, messages, nest, plain};

/// `NFNL_SUBSYS_CTNETLINK` with `IPCTNL_MSG_CT_NEW`, `_GET` and `_DELETE`, linux/netfilter/nfnetlink_conntrack.h.
const FLOW: u16 = 1 << 8;
const LIST: u16 = FLOW | 1;
const FORGET: u16 = FLOW | 2;
/// `CTA_TUPLE_ORIG`, `CTA_TUPLE_REPLY`, `CTA_ZONE`; within a tuple `CTA_TUPLE_IP`.
const ASKED: u16 = 1;
const ANSWERED: u16 = 2;
const ZONE: u16 = 18;
const ADDRESSES: u16 = 1;
/// `CTA_IP_V4_SRC` and `CTA_IP_V6_SRC`.
const SOURCE: [u16; 2] = [1, 3];
/// `NLM_F_REQUEST`, `NLM_F_ACK` and `NLM_F_DUMP`; `NLMSG_ERROR` and `NLMSG_DONE`.
const REQUEST: u16 = 1;
const ACKNOWLEDGE: u16 = 4;
const ALL: u16 = 0x300;
const ANSWER: u16 = 2;
const END: u16 = 3;

/// Forgets all that was led to this address. Where the kernel does not tell of flows there is nothing to be done.
pub(super) fn forget(pod: IpAddr) -> Result<(), Error> {
    match forget_all(pod) {
        Err(Errno::OPNOTSUPP | Errno::PROTONOSUPPORT | Errno::INVAL) => Ok(()),
        other => other.map_err(|e| Error::System { step: "forget who talked to the pod", source: e.into() }),
    }
}

fn forget_all(pod: IpAddr) -> rustix::io::Result<()> {
    let socket =
        socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, Some(netlink::NETFILTER))?;
    let family = if pod.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let family = u8::try_from(family.as_raw()).unwrap_or_default();
    let mut doomed = Vec::new();
    ask(&socket, &message(LIST, REQUEST | ALL, family, &[]), |flow| {
        doomed.extend(name_if_led_to(pod, flow));
    })?;
    for name in doomed {
        match ask(&socket, &message(FORGET, REQUEST | ACKNOWLEDGE, family, &name), |_| ()) {
            // It has ended by itself.
            Err(Errno::NOENT) => {}
            other => other?,
        }
    }
    Ok(())
}

/// What the kernel knows a flow by, if those who answer in it are the pod.
fn name_if_led_to(pod: IpAddr, flow: &[u8]) -> Option<Vec<u8>> {
    let addresses = attribute(attribute(flow, ANSWERED)?, ADDRESSES)?;
    let of = |kind| attribute(addresses, kind);
    let is_it = match pod {
        IpAddr::V4(v4) => of(SOURCE[0]) == Some(&v4.octets()[..]),
        IpAddr::V6(v6) => of(SOURCE[1]) == Some(&v6.octets()[..]),
    };
    let zone = attribute(flow, ZONE).map(|zone| plain(ZONE, zone)).unwrap_or_default();
    is_it.then_some([nest(ASKED, attribute(flow, ASKED)?), zone].concat())
}

/// Sends a request and reads its answers to the last.
fn ask(socket: &OwnedFd, request: &[u8], mut each: impl FnMut(&[u8])) -> rustix::io::Result<()> {
    sendto(socket, request, SendFlags::empty(), &SocketAddrNetlink::new(0, 0))?;
    let mut bytes = vec![0; 1 << 16];
    loop {
        let length = match recv(socket, &mut bytes[..], RecvFlags::empty()) {
            Err(Errno::INTR) => continue,
            other => other?.0,
        };
        for (kind, body) in messages(&bytes[..length]) {
            match kind {
                FLOW => each(body),
                END => return Ok(()),
                ANSWER => return outcome(&bytes[..length]),
                _ => {}
            }
        }
    }
}

/// `struct nlmsgerr` begins with a negative errno, or 0, right behind the first header.
fn outcome(answer: &[u8]) -> rustix::io::Result<()> {
    let code = answer.get(16..).and_then(<[u8]>::first_chunk).map_or(0, |code| i32::from_ne_bytes(*code));
    if code == 0 {
        Ok(())
    } else {
        Err(Errno::from_io_error(&io::Error::from_raw_os_error(-code)).unwrap_or(Errno::IO))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tuple(kind: u16, from: &[u8]) -> Vec<u8> {
        let source = if from.len() == 4 { SOURCE[0] } else { SOURCE[1] };
        nest(kind, &[nest(ADDRESSES, &plain(source, from)), nest(2, &plain(1, &[17]))].concat())
    }

    #[test]
    fn a_flow_is_the_pods_if_the_pod_answers_in_it() {
        let (client, pod) = ([192, 0, 2, 2], [10, 182, 0, 5]);
        let led = [tuple(ASKED, &client), tuple(ANSWERED, &pod)].concat();
        let zoned = [led.clone(), plain(ZONE, &[0, 7])].concat();
        let name = tuple(ASKED, &client);
        let rows = [
            (IpAddr::from(pod), led.clone(), Some(name.clone())),
            (IpAddr::from(pod), zoned, Some([name, plain(ZONE, &[0, 7])].concat())),
            (IpAddr::from([10, 182, 0, 6]), led.clone(), None),
            (IpAddr::from(client), led, None),
            (IpAddr::from(pod), tuple(ASKED, &pod), None),
        ];
        for (pod, flow, expected) in rows {
            assert_eq!(name_if_led_to(pod, &flow), expected, "{pod} {flow:?}");
        }
        let (client, pod) = ([1; 16], [2; 16]);
        let led = [tuple(ASKED, &client), tuple(ANSWERED, &pod)].concat();
        assert_eq!(name_if_led_to(IpAddr::from(pod), &led), Some(tuple(ASKED, &client)));
    }

    #[test]
    fn an_answer_tells_what_went_wrong() {
        let answer = |code: i32| [&[0; 16][..], &code.to_ne_bytes()].concat();
        assert_eq!(outcome(&answer(0)), Ok(()));
        assert_eq!(outcome(&answer(-libc::ENOENT)), Err(Errno::NOENT));
    }
}
