//! Which pod has which address: one symbolic link an address, named after it and leading to the pod's uid. A link is
//! there whole or not at all, and only one of a name can be made: a kill at any moment leaves no half and no double.
//!
//! Which port of the box leads to which address: a link each in the same way, in the folder `ports` beside them.
#![expect(clippy::disallowed_methods, reason = "this is the effect")]

use std::{
    collections::BTreeMap,
    fs, io,
    net::Ipv4Addr,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
};

use crate::pod::{
    PodUid,
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
    pub(crate) fn all(dir: &Path) -> Result<BTreeMap<Ipv4Addr, PodUid>, Error> {
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
    pub(crate) fn of(dir: &Path, uid: &PodUid) -> Result<Option<Ipv4Addr>, Error> {
        Ok(Self::all(dir)?.into_iter().find_map(|(address, owner)| (owner == *uid).then_some(address)))
    }

    /// The pod's address of this range: the one it has, else a free one.
    pub(crate) fn take(&mut self, range: Range, uid: &PodUid) -> Result<Ipv4Addr, Error> {
        let taken = Self::all(&self.dir)?;
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

    /// Leads these ports of the box to a pod, and no others.
    pub(crate) fn lead(&self, pod: Ipv4Addr, ports: &[HostPort]) -> Result<(), Error> {
        self.close(pod)?;
        let dir = self.ports();
        let fault = |source| Error::Write { path: dir.clone(), source };
        if !ports.is_empty() {
            fs::create_dir_all(&dir).map_err(fault)?;
        }
        for from in ports {
            let forward = Forward { from: *from, pod }.to_string();
            symlink(pod.to_string(), dir.join(forward)).map_err(fault)?;
        }
        Ok(())
    }

    /// No port of the box leads there any more. Whether one did.
    pub(crate) fn close(&self, pod: Ipv4Addr) -> Result<bool, Error> {
        let mut closed = false;
        for forward in self.forwards()? {
            if forward.parse::<Forward>().is_ok_and(|forward| forward.pod == pod) {
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
    pub(crate) fn give_back(&self, address: Ipv4Addr) -> Result<(), Error> {
        match fs::remove_file(self.dir.join(address.to_string())) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
            other => other.map_err(|source| Error::Write { path: self.dir.clone(), source }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_one_owner_until_it_is_given_back() {
        let dir = std::env::temp_dir().join(format!("carob-leases-{}", std::process::id()));
        let _ = fs::remove_dir_all(&dir);
        let (range, other): (Range, Range) = ("10.9.0.0/29".parse().unwrap(), "10.8.0.0/29".parse().unwrap());
        let uid = |number: u32| PodUid(format!("uid-{number}"));
        let mut leases = Leases::in_dir(dir.clone());
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
        later.give_back(Ipv4Addr::new(10, 9, 0, 3)).unwrap();
        later.give_back(Ipv4Addr::new(10, 9, 0, 3)).unwrap();
        assert_eq!(Leases::of(&dir, &uid(1)).unwrap(), None);
        assert_eq!(later.take(range, &uid(5)).unwrap(), Ipv4Addr::new(10, 9, 0, 3));
        assert_eq!(
            later.take(other, &uid(3)).unwrap(),
            Ipv4Addr::new(10, 8, 0, 2),
            "another range, another address"
        );
        let port = |text: &str| text.parse::<Forward>().unwrap().from;
        let (web, dns) = (port("tcp:0.0.0.0:80:10.9.0.2:8080"), port("udp:0.0.0.0:53:10.9.0.2:53"));
        let (one, two) = (Ipv4Addr::new(10, 9, 0, 2), Ipv4Addr::new(10, 9, 0, 3));
        later.lead(one, &[web, dns]).unwrap();
        later.lead(one, &[web]).unwrap();
        later.lead(two, &[dns]).unwrap();
        assert_eq!(later.forwards().unwrap(), ["tcp:0.0.0.0:80:10.9.0.2:8080", "udp:0.0.0.0:53:10.9.0.3:53"]);
        assert!(later.close(one).unwrap() && !later.close(one).unwrap());
        assert_eq!(later.forwards().unwrap(), ["udp:0.0.0.0:53:10.9.0.3:53"]);
        assert_eq!(Leases::all(&dir).unwrap().len(), 6, "ports are no addresses");
        fs::remove_dir_all(&dir).unwrap();
    }
}
