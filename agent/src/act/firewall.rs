//! Hears when somebody takes carob's table out of the packet filter, as the reload of a firewall does that begins with a
//! flush. Puts nothing back itself.

use std::{
    io,
    os::fd::{AsFd, OwnedFd},
};

use rustix::{
    io::Errno,
    net::{
        AddressFamily, RecvFlags, SocketFlags, SocketType, bind,
        netlink::{self, SocketAddrNetlink},
        recv, socket_with,
    },
};
use tokio::io::unix::AsyncFd;

use crate::pod::{
    netfilter::{attribute, messages},
    network::TABLE,
};

/// `NFNLGRP_NFTABLES`, linux/netfilter/nfnetlink.h, as a bit.
const GROUP: u32 = 1 << 6;
/// `NFNL_SUBSYS_NFTABLES`, above what is told of it.
const NFTABLES: u16 = 10 << 8;
/// `NFT_MSG_NEWTABLE` and `NFT_MSG_DELTABLE`, linux/netfilter/nf_tables.h.
const NEW_TABLE: u16 = NFTABLES;
const TABLE_GONE: u16 = NFTABLES | 2;
/// `NFTA_TABLE_NAME`
const NAME: u16 = 1;
/// A subscription to what changes in the packet filter of this network namespace.
pub(super) struct Watch {
    socket: AsyncFd<OwnedFd>,
}

impl Watch {
    pub(super) fn open() -> io::Result<Self> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, Some(netlink::NETFILTER))?;
        bind(&socket, &SocketAddrNetlink::new(0, GROUP))?;
        Ok(Self { socket: crate::ready::readable(socket)? })
    }

    /// Comes back when the table has gone, or when so much has changed that nobody knows.
    pub(super) async fn gone(&self) -> io::Result<()> {
        loop {
            let mut ready = self.socket.readable().await?;
            if drain(self.socket.get_ref().as_fd())? {
                return Ok(());
            }
            ready.clear_ready();
        }
    }
}

/// All that is to be heard now: whoever writes the table anew takes it away first.
fn drain(socket: impl AsFd) -> io::Result<bool> {
    let (mut gone, mut bytes) = (false, vec![0; 1 << 16]);
    loop {
        match recv(&socket, &mut bytes[..], RecvFlags::empty()) {
            Ok((length, _)) => gone = last_word(&bytes[..length]).unwrap_or(gone),
            Err(Errno::AGAIN) => return Ok(gone),
            Err(Errno::INTR) => {}
            Err(Errno::NOBUFS) => gone = true,
            Err(e) => return Err(e.into()),
        }
    }
}

/// Whether the last of these messages that is of our table says that it has gone; `None` if none is.
fn last_word(bytes: &[u8]) -> Option<bool> {
    let name = [TABLE.as_bytes(), b"\0"].concat();
    let ours = |(kind, body): &(u16, &[u8])| {
        matches!(*kind, NEW_TABLE | TABLE_GONE) && attribute(body, NAME) == Some(&name)
    };
    messages(bytes).filter(ours).last().map(|(kind, _)| kind == TABLE_GONE)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pod::netfilter::{self, plain};

    fn message(kind: u16, name: &str) -> Vec<u8> {
        let name = plain(NAME, format!("{name}\0").as_bytes());
        netfilter::message(kind, 0, 1, &[plain(2, &[0; 4]), name].concat())
    }

    #[test]
    fn the_last_word_on_our_table_counts() {
        let (made, gone) = (message(NEW_TABLE, "carob"), message(TABLE_GONE, "carob"));
        let (other, rule) = (message(TABLE_GONE, "filter"), message(NFTABLES | 6, "carob"));
        let rows: [(&[&[u8]], Option<bool>); 7] = [
            (&[], None),
            (&[&other, &rule], None),
            (&[&message(TABLE_GONE, "carob2")], None),
            (&[&gone, &other], Some(true)),
            (&[&gone, &made, &rule], Some(false)),
            (&[&made, &gone[..gone.len() - 4]], Some(false)),
            (&[&[1, 2, 3]], None),
        ];
        for (messages, expected) in rows {
            assert_eq!(last_word(&messages.concat()), expected, "{messages:?}");
        }
    }
}
