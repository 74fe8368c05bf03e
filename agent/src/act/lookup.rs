//! Looks up the name of a host as this box would: in `/etc/hosts`, then with the name servers of `/etc/resolv.conf`.
//! Keeps nothing, so each probing asks anew.
//!
//! Not by getaddrinfo: in a static binary it loads whatever modules nsswitch.conf names (resolve, mymachines, mdns), and
//! with them the box's own C library, into the agent.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use futures_util::{StreamExt, stream::FuturesUnordered};
use simple_dns::{CLASS, Name, Packet, PacketFlag, RCODE, TYPE, rdata::RData};
use tokio::net::UdpSocket;

use super::{etc, log::Pausing};
use crate::pod::surroundings::Resolver;

const PORT: u16 = 53;
/// A datagram may be lost: so often it is sent, and so long each is waited for.
const TRIES: u32 = 3;
const PATIENCE: Duration = Duration::from_secs(2);
/// What a server sends to whom has not asked for more is 512 bytes at most (RFC 1035 §4.2.1).
const MOST_BYTES: usize = 1500;
/// The C library's own `ndots`.
const DOTS: usize = 1;

/// Why a name has no address.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error("no such host")]
    Unknown,
    #[error("not in /etc/hosts, and /etc/resolv.conf names no server to ask")]
    NoServer,
    #[error("no name server has answered")]
    Silent,
    #[error("the name server does not answer the question")]
    Useless,
    #[error("it is not a name that can be asked for")]
    Name,
    #[error("cannot ask the name server")]
    Ask {
        #[source]
        source: io::Error,
    },
}

/// All addresses of a host; at least one.
pub(super) async fn addresses(name: &str, pause: Pausing) -> Result<Vec<IpAddr>, Error> {
    let own = in_hosts(&etc::box_hosts(), name);
    if !own.is_empty() {
        return Ok(own);
    }
    if name.trim_end_matches('.').eq_ignore_ascii_case("localhost") {
        return Ok(vec![Ipv4Addr::LOCALHOST.into()]);
    }
    let resolver = etc::box_resolver();
    let servers =
        resolver.servers.iter().filter_map(|server| Some(SocketAddr::new(server.parse().ok()?, PORT)));
    let servers: Vec<SocketAddr> = servers.collect();
    search(&servers, &candidates(name, &resolver), pause).await
}

/// The lines of `/etc/hosts` that have the name, IPv4 first.
fn in_hosts(file: &str, name: &str) -> Vec<IpAddr> {
    let name = name.trim_end_matches('.');
    let of_line = |line: &str| {
        let mut words = line.split('#').next().unwrap_or_default().split_whitespace();
        let address = words.next()?.parse().ok()?;
        words.any(|word| word.eq_ignore_ascii_case(name)).then_some(address)
    };
    let mut found: Vec<IpAddr> = file.lines().filter_map(of_line).collect();
    found.sort_by_key(IpAddr::is_ipv6);
    found
}

/// What is asked for, in order (resolv.conf(5), `search` and `ndots`).
fn candidates(name: &str, resolver: &Resolver) -> Vec<String> {
    if let Some(whole) = name.strip_suffix('.') {
        return vec![whole.to_owned()];
    }
    let option = resolver.options.iter().find(|(option, _)| option == "ndots");
    let dots = option.and_then(|(_, value)| value.as_ref()?.parse().ok()).unwrap_or(DOTS);
    let below = resolver.search.iter().map(|domain| format!("{name}.{}", domain.trim_matches('.')));
    let mut all: Vec<String> = below.collect();
    let first = if name.matches('.').count() >= dots { 0 } else { all.len() };
    all.insert(first, name.to_owned());
    all
}

/// The first of the names that has addresses; those of IPv6 only if there are no others.
async fn search(servers: &[SocketAddr], names: &[String], pause: Pausing) -> Result<Vec<IpAddr>, Error> {
    if servers.is_empty() {
        return Err(Error::NoServer);
    }
    let mut fault = Error::Unknown;
    for name in names {
        for kind in [TYPE::A, TYPE::AAAA] {
            match ask_all(servers, &Question::new(name, kind)?, pause).await {
                Ok(found) if !found.is_empty() => return Ok(found),
                Ok(_) => (),
                Err(Error::Unknown) => break,
                Err(e) => {
                    fault = e;
                    break;
                }
            }
        }
    }
    Err(fault)
}

/// All servers at once, so that a dead one costs nothing; whoever knows first is believed.
async fn ask_all(servers: &[SocketAddr], question: &Question, pause: Pausing) -> Result<Vec<IpAddr>, Error> {
    let mut asked: FuturesUnordered<_> = servers.iter().map(|server| ask(*server, question, pause)).collect();
    let mut last = Err(Error::NoServer);
    while let Some(answer) = asked.next().await {
        if matches!(answer, Ok(_) | Err(Error::Unknown)) {
            return answer;
        }
        last = answer;
    }
    last
}

async fn ask(server: SocketAddr, question: &Question, pause: Pausing) -> Result<Vec<IpAddr>, Error> {
    let fault = |source| Error::Ask { source };
    let any: IpAddr =
        if server.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind(SocketAddr::new(any, 0)).await.map_err(fault)?;
    // Connected, it hears nobody but the server.
    socket.connect(server).await.map_err(fault)?;
    for _ in 0..TRIES {
        socket.send(&question.bytes).await.map_err(fault)?;
        tokio::select! {
            biased;
            answer = hear(&socket, question) => return answer,
            waited = pause(PATIENCE) => waited.map_err(fault)?,
        }
    }
    Err(Error::Silent)
}

async fn hear(socket: &UdpSocket, question: &Question) -> Result<Vec<IpAddr>, Error> {
    let mut bytes = [0; MOST_BYTES];
    loop {
        let length = socket.recv(&mut bytes).await.map_err(|source| Error::Ask { source })?;
        if let Some(answer) = question.answered_by(bytes.get(..length).unwrap_or_default()) {
            return answer;
        }
    }
}

/// One name, one kind of record.
struct Question {
    /// Not to be guessed: it tells the server's answer from anybody else's.
    id: u16,
    name: String,
    bytes: Vec<u8>,
}

impl Question {
    fn new(name: &str, kind: TYPE) -> Result<Self, Error> {
        let mut id = [0; 2];
        rustix::rand::getrandom(&mut id, rustix::rand::GetRandomFlags::empty())
            .map_err(|e| Error::Ask { source: e.into() })?;
        let id = u16::from_ne_bytes(id);
        let mut packet = Packet::new_query(id);
        packet.set_flags(PacketFlag::RECURSION_DESIRED);
        let asked = Name::new(name).map_err(|_| Error::Name)?;
        packet.questions.push(simple_dns::Question::new(asked, kind.into(), CLASS::IN.into(), false));
        let bytes = packet.build_bytes_vec().map_err(|_| Error::Name)?;
        Ok(Self { id, name: name.to_owned(), bytes })
    }

    /// `None`: this answers another question.
    fn answered_by(&self, bytes: &[u8]) -> Option<Result<Vec<IpAddr>, Error>> {
        let packet = Packet::parse(bytes).ok()?;
        let asked = packet.questions.first()?.qname.to_string();
        if packet.id() != self.id
            || !packet.has_flags(PacketFlag::RESPONSE)
            || !asked.eq_ignore_ascii_case(&self.name)
        {
            return None;
        }
        // Whatever aliases lie between: the server has followed them.
        let address = |data: &RData<'_>| match data {
            RData::A(a) => Some(Ipv4Addr::from_bits(a.address).into()),
            RData::AAAA(aaaa) => Some(Ipv6Addr::from_bits(aaaa.address).into()),
            _ => None,
        };
        let found: Vec<IpAddr> = packet.answers.iter().filter_map(|record| address(&record.rdata)).collect();
        Some(match packet.rcode() {
            RCODE::NoError if found.is_empty() && packet.has_flags(PacketFlag::TRUNCATION) => {
                Err(Error::Useless)
            }
            RCODE::NoError => Ok(found),
            RCODE::NameError => Err(Error::Unknown),
            _ => Err(Error::Useless),
        })
    }
}

#[cfg(test)]
mod tests {
    use simple_dns::{ResourceRecord, rdata::A};

    use super::*;

    #[test]
    fn the_file_knows_a_name_by_any_of_its_words() {
        let file =
            "127.0.0.1 localhost\n# 192.0.2.1 shop\n::1 shop\n192.0.2.2\tshop.example Shop # till\nx shop\n";
        let rows = [
            ("shop", vec!["192.0.2.2", "::1"]),
            ("SHOP.example.", vec!["192.0.2.2"]),
            ("till", vec![]),
            ("hop", vec![]),
        ];
        for (name, expected) in rows {
            let found: Vec<String> = in_hosts(file, name).iter().map(ToString::to_string).collect();
            assert_eq!(found, expected, "{name}");
        }
    }

    #[test]
    fn a_name_with_enough_dots_is_asked_for_as_it_is_first() {
        let resolver = |dots: Option<&str>| Resolver {
            servers: Vec::new(),
            search: vec!["a.example".to_owned(), "b".to_owned()],
            options: dots.map(|dots| ("ndots".to_owned(), Some(dots.to_owned()))).into_iter().collect(),
        };
        let rows = [
            ("shop", None, vec!["shop.a.example", "shop.b", "shop"]),
            ("shop.c", None, vec!["shop.c", "shop.c.a.example", "shop.c.b"]),
            ("shop.c", Some("2"), vec!["shop.c.a.example", "shop.c.b", "shop.c"]),
            ("shop.", None, vec!["shop"]),
        ];
        for (name, dots, expected) in rows {
            assert_eq!(candidates(name, &resolver(dots)), expected, "{name}");
        }
    }

    /// Answers as many questions as there are rows, by name.
    fn server(rounds: usize) -> (SocketAddr, std::thread::JoinHandle<()>) {
        let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = socket.local_addr().unwrap();
        let serve = move || {
            for _ in 0..rounds {
                let mut bytes = [0; 512];
                let (length, from) = socket.recv_from(&mut bytes).unwrap();
                let mut packet = Packet::parse(&bytes[..length]).unwrap().into_reply();
                let question = packet.questions[0].clone();
                match question.qname.to_string().as_str() {
                    "shop.example" if question.qtype == TYPE::A.into() => {
                        let data = RData::A(A { address: u32::from(Ipv4Addr::new(192, 0, 2, 7)) });
                        packet.answers.push(ResourceRecord::new(question.qname, CLASS::IN, 60, data));
                    }
                    "empty.example" => (),
                    "broken.example" => *packet.rcode_mut() = RCODE::ServerFailure,
                    _ => *packet.rcode_mut() = RCODE::NameError,
                }
                // Whoever guesses is not heard.
                let mut forged = packet.clone();
                forged.set_id(packet.id().wrapping_add(1));
                for answer in [forged, packet] {
                    socket.send_to(&answer.build_bytes_vec().unwrap(), from).unwrap();
                }
            }
        };
        (address, std::thread::spawn(serve))
    }

    #[tokio::test]
    async fn a_server_is_believed_what_it_says_of_the_name() {
        let never: Pausing = |_| Box::pin(std::future::pending());
        let rows = [
            ("shop.example", 1, "Ok([192.0.2.7])"),
            ("empty.example", 2, "Err(Unknown)"),
            ("broken.example", 1, "Err(Useless)"),
            ("nobody.example", 1, "Err(Unknown)"),
        ];
        for (name, rounds, expected) in rows {
            let (address, served) = server(rounds);
            let found = search(&[address], &[name.to_owned()], never).await;
            assert_eq!(format!("{found:?}"), expected, "{name}");
            served.join().unwrap();
        }
        assert_eq!(format!("{:?}", search(&[], &[], never).await), "Err(NoServer)");
    }

    #[tokio::test]
    async fn a_server_that_is_silent_costs_its_tries_and_no_more() {
        let silent = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let at_once: Pausing = |_| Box::pin(std::future::ready(Ok(())));
        let (address, served) = server(1);
        let (dead, name) = (silent.local_addr().unwrap(), ["shop.example".to_owned()]);
        assert_eq!(format!("{:?}", search(&[dead], &name, at_once).await), "Err(Silent)");
        let never: Pausing = |_| Box::pin(std::future::pending());
        assert!(search(&[dead, address], &name, never).await.is_ok());
        served.join().unwrap();
    }
}
