//! Which pod has which address: one symbolic link an address, named after it and leading to the pod's uid. A link is
//! there whole or not at all, and only one of a name can be made: a kill at any moment leaves no half and no double.
//! A pod's IPv6 address follows from its IPv4 one; its link says that the pod has it.
//!
//! Which port of the box leads to which address: a link each in the same way, in the folder `ports` beside them.
#![expect(clippy::disallowed_methods, reason = "this is the effect")]

use std::{
    collections::BTreeMap,
    fs, io,
    net::{IpAddr, Ipv4Addr},
    os::unix::fs::symlink,
    path::{Path, PathBuf},
};

use crate::pod::{
    PodUid,
    network::Address,
    port::{Forward, HostPort},
    range::Range,
};

/// Why there is no address.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error(
        "all {room} addresses of podCIDR {range} are taken: delete a pod, or name a larger range in config.json"
    )]
    UsedUp { range: Range, room: u32 },
    #[error("the addresses in use cannot be read from {}", path.display())]
    Read {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("cannot write down in {} who has an address", path.display())]
    Write {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
}

/// The addresses in use.
#[derive(Debug)]
pub(crate) struct Leases {
    dir: PathBuf,
    last: Option<Ipv4Addr>,
}

impl Leases {
    pub(crate) fn in_dir(dir: PathBuf) -> Self {
        Self { dir, last: None }
    }

    /// All of them. What is not a lease is left out.
    pub(crate) fn all(dir: &Path) -> Result<BTreeMap<IpAddr, PodUid>, Error> {
        let fault = |source| Error::Read { path: dir.to_owned(), source };
        let entries = match fs::read_dir(dir) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(BTreeMap::new()),
            other => other.map_err(fault)?,
        };
        let mut all = BTreeMap::new();
        for entry in entries {
            let entry = entry.map_err(fault)?;
            let address = entry.file_name().to_str().and_then(|name| name.parse().ok());
            let owner =
                fs::read_link(entry.path()).ok().and_then(|owner| owner.into_os_string().into_string().ok());
            all.extend(address.zip(owner.map(PodUid)));
        }
        Ok(all)
    }

    /// The address of a pod, if it has one.
    pub(crate) fn of(dir: &Path, uid: &PodUid) -> Result<Option<Address>, Error> {
        let mut found: Option<Address> = None;
        // In their order: IPv4 comes first.
        for (address, _) in Self::all(dir)?.into_iter().filter(|(_, owner)| owner == uid) {
            match (address, &mut found) {
                (IpAddr::V4(v4), None) => found = Some(v4.into()),
                (IpAddr::V6(v6), Some(found)) => found.v6 = Some(v6),
                _ => {}
            }
        }
        Ok(found)
    }

    /// The pod's address of this range: the one it has, else a free one.
    pub(crate) fn take(&mut self, range: Range, uid: &PodUid) -> Result<Ipv4Addr, Error> {
        let taken: BTreeMap<Ipv4Addr, PodUid> = Self::all(&self.dir)?
            .into_iter()
            .filter_map(|(address, owner)| v4(address).zip(Some(owner)))
            .collect();
        let own = taken.iter().find(|(address, owner)| *owner == uid && range.contains(**address));
        if let Some((address, _)) = own {
            return Ok(*address);
        }
        let last = self.last.or_else(|| taken.keys().next_back().copied());
        let free = range.addresses_after(last).find(|address| !taken.contains_key(address));
        let address = free.ok_or(Error::UsedUp { range, room: range.room() })?;
        let fault = |source| Error::Write { path: self.dir.clone(), source };
        fs::create_dir_all(&self.dir).map_err(fault)?;
        symlink(&uid.0, self.dir.join(address.to_string())).map_err(fault)?;
        self.last = Some(address);
        Ok(address)
    }

    /// The pod has its IPv6 address as well, if it is to have one, and no other.
    pub(crate) fn take_beside(&self, address: Address, uid: &PodUid) -> Result<(), Error> {
        let wanted = address.v6.map(IpAddr::V6);
        if wanted.is_some() && Self::of(&self.dir, uid)? == Some(address) {
            return Ok(());
        }
        self.give_back_beside(uid)?;
        let Some(v6) = wanted else { return Ok(()) };
        // Of whoever had the IPv4 address before: nobody can have this one without that.
        self.give_back(v6)?;
        let fault = |source| Error::Write { path: self.dir.clone(), source };
        symlink(&uid.0, self.dir.join(v6.to_string())).map_err(fault)
    }

    /// The pod has no IPv6 address any more.
    pub(crate) fn give_back_beside(&self, uid: &PodUid) -> Result<(), Error> {
        for (address, owner) in Self::all(&self.dir)? {
            if address.is_ipv6() && owner == *uid {
                self.give_back(address)?;
            }
        }
        Ok(())
    }

    /// Leads these ports of the box to a pod, and no others.
    pub(crate) fn lead(&self, pod: Address, ports: &[HostPort]) -> Result<(), Error> {
        self.close(pod)?;
        let dir = self.ports();
        let fault = |source| Error::Write { path: dir.clone(), source };
        if !ports.is_empty() {
            fs::create_dir_all(&dir).map_err(fault)?;
        }
        for forward in ports.iter().flat_map(|port| port.forwards(pod)) {
            symlink(forward.pod.to_string(), dir.join(forward.to_string())).map_err(fault)?;
        }
        Ok(())
    }

    /// No port of the box leads there any more. Whether one did.
    pub(crate) fn close(&self, pod: Address) -> Result<bool, Error> {
        let mut closed = false;
        for forward in self.forwards()? {
            let leads_there = |forward: Forward| pod.forms().any(|form| form == forward.pod);
            if forward.parse().is_ok_and(leads_there) {
                let path = self.ports().join(&forward);
                fs::remove_file(&path).map_err(|source| Error::Write { path, source })?;
                closed = true;
            }
        }
        Ok(closed)
    }

    /// All ports of the box that lead to a pod.
    pub(crate) fn forwards(&self) -> Result<Vec<String>, Error> {
        let dir = self.ports();
        let entries = match fs::read_dir(&dir) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            other => other.map_err(|source| Error::Read { path: dir, source })?,
        };
        let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        let mut all: Vec<String> = names.filter(|name| name.parse::<Forward>().is_ok()).collect();
        all.sort();
        Ok(all)
    }

    fn ports(&self) -> PathBuf {
        self.dir.join("ports")
    }

    /// The address is free again; fine if it was.
    pub(crate) fn give_back(&self, address: IpAddr) -> Result<(), Error> {
        match fs::remove_file(self.dir.join(address.to_string())) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
            other => other.map_err(|source| Error::Write { path: self.dir.clone(), source }),
        }
    }
}

fn v4(address: IpAddr) -> Option<Ipv4Addr> {
    if let IpAddr::V4(v4) = address { Some(v4) } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pod::port::Protocol;

    #[test]
    fn an_address_has_one_owner_until_it_is_given_back() {
        let (dir, mut leases) = scene("leases");
        let (range, other): (Range, Range) = ("10.9.0.0/29".parse().unwrap(), "10.8.0.0/29".parse().unwrap());
        let uid = |number: u32| PodUid(format!("uid-{number}"));
        let taken: Vec<String> =
            (0..5).map(|pod| leases.take(range, &uid(pod)).unwrap().to_string()).collect();
        assert_eq!(taken, ["10.9.0.2", "10.9.0.3", "10.9.0.4", "10.9.0.5", "10.9.0.6"]);
        let full = leases.take(range, &uid(5)).unwrap_err().to_string();
        assert!(full.contains("all 5 addresses of podCIDR 10.9.0.0/29"), "{full}");
        let mut later = Leases::in_dir(dir.clone());
        assert_eq!(
            later.take(range, &uid(3)).unwrap(),
            Ipv4Addr::new(10, 9, 0, 5),
            "a restart changes nothing"
        );
        let three = IpAddr::from([10, 9, 0, 3]);
        later.give_back(three).unwrap();
        later.give_back(three).unwrap();
        assert_eq!(Leases::of(&dir, &uid(1)).unwrap(), None);
        assert_eq!(later.take(range, &uid(5)).unwrap(), three);
        let elsewhere = later.take(other, &uid(3)).unwrap();
        assert_eq!(elsewhere, Ipv4Addr::new(10, 8, 0, 2), "another range, another address");
        fs::remove_dir_all(&dir).unwrap();
    }

    fn scene(name: &str) -> (PathBuf, Leases) {
        let dir = std::env::temp_dir().join(format!("carob-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&dir);
        (dir.clone(), Leases::in_dir(dir))
    }

    #[test]
    fn a_port_leads_to_one_pod_and_is_no_address() {
        let (dir, mut leases) = scene("ports");
        let range = "10.9.0.0/29".parse().unwrap();
        let [one, two] =
            ["one", "two"].map(|uid| leases.take(range, &PodUid(uid.to_owned())).unwrap().into());
        let both = Address { v6: Some("fd00::2".parse().unwrap()), ..one };
        let port = |protocol, port, to| HostPort { protocol, address: None, port, to };
        let (web, dns) = (port(Protocol::Tcp, 80, 8080), port(Protocol::Udp, 53, 53));
        leases.lead(one, &[web, dns]).unwrap();
        leases.lead(both, &[web]).unwrap();
        leases.lead(two, &[dns]).unwrap();
        let of_two = "udp:0.0.0.0:53:10.9.0.3:53";
        let of_one = ["tcp:0.0.0.0:80:10.9.0.2:8080", "tcp:[::]:80:[fd00::2]:8080"];
        assert_eq!(leases.forwards().unwrap(), [of_one[0], of_one[1], of_two]);
        assert!(leases.close(both).unwrap() && !leases.close(both).unwrap());
        assert_eq!(leases.forwards().unwrap(), [of_two]);
        assert_eq!(Leases::all(&dir).unwrap().len(), 2);
        fs::remove_dir_all(&dir).unwrap();
    }

    #[test]
    fn the_other_address_comes_and_goes_with_the_first() {
        let (dir, mut leases) = scene("beside");
        let (range, uid) = ("10.9.0.0/29".parse().unwrap(), PodUid("uid".to_owned()));
        let v4 = leases.take(range, &uid).unwrap();
        let with = |v6: &str| Address { v4, v6: Some(v6.parse().unwrap()) };
        // Somebody's who is gone.
        symlink("stranger", dir.join("fd00::2")).unwrap();
        for (address, known) in
            [(with("fd00::2"), 2), (with("fd00::2"), 2), (with("fd01::2"), 2), (v4.into(), 1)]
        {
            leases.take_beside(address, &uid).unwrap();
            assert_eq!(Leases::of(&dir, &uid).unwrap(), Some(address));
            assert_eq!(Leases::all(&dir).unwrap().len(), known);
        }
        leases.take_beside(with("fd00::2"), &uid).unwrap();
        leases.give_back(v4.into()).unwrap();
        assert_eq!(Leases::of(&dir, &uid).unwrap(), None);
        leases.give_back_beside(&uid).unwrap();
        assert_eq!(Leases::all(&dir).unwrap().len(), 0);
        fs::remove_dir_all(&dir).unwrap();
    }
}
