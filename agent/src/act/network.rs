//! A pod's address, and its way onto the network by a child of ours (`runtime network`). Knows no link and no rule.
#![expect(clippy::disallowed_methods, reason = "this is the effect")]

use std::{
    collections::BTreeMap,
    fs, io,
    net::IpAddr,
    path::{Path, PathBuf},
    process::Stdio,
    sync::{Arc, Mutex},
};

pub(crate) use super::host_address::host_address;
use super::{
    binary::Binary,
    chain,
    children::Children,
    firewall::Watch,
    leases::{self, Leases},
    lock,
};
use crate::{
    config::Config,
    pod::{
        PodUid,
        network::{self, Address},
        port::HostPort,
        range::{self, Range},
        range6::{self, Range6},
    },
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
    #[error(
        "podCIDRv6 {range} overlaps the route to {to} by {device}: name a range in config.json that this box does not use, or \"none\""
    )]
    Overlap6 { range: Range6, to: Range6, device: String },
    #[error("the child that changes the network cannot be run")]
    Child {
        #[source]
        source: io::Error,
    },
    /// The child's own words.
    #[error("{0}")]
    Refused(String),
}

/// Where the pods' addresses come from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ranges {
    v4: Range,
    v6: Option<Range6>,
}

impl Ranges {
    pub(crate) fn of(config: &Config) -> Self {
        Self { v4: config.pod_range, v6: config.pod_range6 }
    }

    /// Without IPv6 where the box does not speak it.
    fn spoken(self) -> Self {
        Self { v6: self.v6.filter(|_| speaks_ipv6()), ..self }
    }

    /// Whatever else the box would send there pods would not hear.
    fn check(self) -> Result<(), Error> {
        let table = fs::read_to_string("/proc/net/route").unwrap_or_default();
        if let Some(route) = range::taken(self.v4, &range::routes(&table), network::BRIDGE) {
            return Err(Error::Overlap { range: self.v4, to: route.to, device: route.device.clone() });
        }
        let Some(range) = self.v6 else { return Ok(()) };
        let table = fs::read_to_string("/proc/net/ipv6_route").unwrap_or_default();
        match range6::taken(range, &range6::routes(&table), network::BRIDGE) {
            Some(route) => Err(Error::Overlap6 { range, to: route.to, device: route.device.clone() }),
            None => Ok(()),
        }
    }

    /// As words for the child.
    fn words(self) -> Vec<String> {
        let v6 = self.v6.map(|range| format!("--range6={range}"));
        std::iter::once(format!("--range={}", self.v4)).chain(v6).collect()
    }
}

/// Mends the rules now, and whenever somebody has taken them away.
pub(crate) fn keep_rules(network: Arc<Network>) {
    tokio::spawn(async move {
        if let Err(e) = mend_for_ever(&network).await {
            tracing::warn!(error = %e, "a flush of the packet filter is not noticed: the next pod mends it");
        }
    });
}

async fn mend_for_ever(network: &Arc<Network>) -> io::Result<()> {
    let watch = Watch::open()?;
    loop {
        let network = network.clone();
        if let Ok(Err(e)) = tokio::task::spawn_blocking(move || network.mend()).await {
            tracing::warn!(error = %chain(&e), "the rules of the pods' network are not what they have to be");
        }
        watch.gone().await?;
        tracing::info!("somebody has taken the rules of the pods' network away: writing them anew");
    }
}

/// Whether this kernel speaks IPv6 and nobody has switched that off.
pub(crate) fn speaks_ipv6() -> bool {
    range6::is_spoken(|file| fs::read_to_string(file).ok())
}

/// The pods' network.
#[derive(Debug)]
pub(crate) struct Network {
    ranges: Ranges,
    dir: PathBuf,
    /// One change at a time: two children would both make the bridge.
    leases: Mutex<Leases>,
    binary: Arc<Binary>,
    children: Arc<Children>,
}

impl Network {
    pub(crate) fn new(ranges: Ranges, dir: PathBuf, binary: Arc<Binary>, children: Arc<Children>) -> Self {
        Self { ranges, leases: Mutex::new(Leases::in_dir(dir.clone())), dir, binary, children }
    }

    /// Connects the namespace pinned at `namespace`. Idempotent, for a pod in which nothing runs.
    pub(crate) fn connect(
        &self,
        uid: &PodUid,
        namespace: &Path,
        ports: &[HostPort],
    ) -> Result<Address, Error> {
        let mut leases = lock(&self.leases);
        let ranges = self.ranges.spoken();
        ranges.check()?;
        self.cut_off_but(Some(ranges.v4), uid, &leases)?;
        let fault = |source| Error::Lease { source };
        let v4 = leases.take(ranges.v4, uid).map_err(fault)?;
        let address = Address { v4, v6: ranges.v6.map(|range| range.beside(v4)) };
        leases.take_beside(address, uid).map_err(fault)?;
        leases.lead(address, ports).map_err(fault)?;
        let mut words = vec![format!("--address={v4}"), format!("--namespace={}", namespace.display())];
        words.extend(ranges.words());
        self.change("up", words, &leases)?;
        Ok(address)
    }

    /// Cuts a pod off and gives its address back. Idempotent.
    pub(crate) fn disconnect(&self, uid: &PodUid) -> Result<(), Error> {
        let leases = lock(&self.leases);
        self.cut_off_but(None, uid, &leases)?;
        // Also if somebody has taken the other one away.
        leases.give_back_beside(uid).map_err(|source| Error::Lease { source })
    }

    /// The lease last: as long as there is a cable, its address has an owner.
    fn cut_off_but(&self, kept: Option<Range>, uid: &PodUid, leases: &Leases) -> Result<(), Error> {
        let fault = |source| Error::Lease { source };
        for (address, owner) in Leases::all(&self.dir).map_err(fault)? {
            let IpAddr::V4(v4) = address else { continue };
            if owner == *uid && !kept.is_some_and(|range| range.contains(v4)) {
                let v6 = Leases::of(&self.dir, uid).map_err(fault)?.and_then(|address| address.v6);
                if leases.close(Address { v4, v6 }).map_err(fault)? {
                    self.change("rules", self.ranges.spoken().words(), leases)?;
                }
                // Last what is under way: with the rules still there it would begin anew.
                let v6 = v6.map(|v6| format!("--address6={v6}"));
                self.run("down", &[vec![format!("--address={v4}")], v6.into_iter().collect()].concat())?;
                leases.give_back_beside(uid).map_err(fault)?;
                leases.give_back(address).map_err(fault)?;
            }
        }
        Ok(())
    }

    /// All addresses in use, and whose they are.
    pub(crate) fn owners(&self) -> Result<BTreeMap<IpAddr, PodUid>, Error> {
        Leases::all(&self.dir).map_err(|source| Error::Lease { source })
    }

    /// The address of a pod, if it has one.
    pub(crate) fn address(&self, uid: &PodUid) -> Option<Address> {
        Leases::of(&self.dir, uid).ok().flatten()
    }

    /// Writes the rules anew, should somebody have taken them away.
    fn mend(&self) -> Result<(), Error> {
        let leases = lock(&self.leases);
        // They come with the first pod.
        if Leases::all(&self.dir).map_err(|source| Error::Lease { source })?.is_empty() {
            return Ok(());
        }
        self.change("rules", self.ranges.spoken().words(), &leases)
    }

    /// Also tells the child which ports lead where: it writes all rules anew.
    fn change(&self, what: &str, mut words: Vec<String>, leases: &Leases) -> Result<(), Error> {
        let forwards = leases.forwards().map_err(|source| Error::Lease { source })?;
        words.extend(forwards.iter().map(|forward| format!("--forward={forward}")));
        self.run(what, &words)
    }

    fn run(&self, what: &str, words: &[String]) -> Result<(), Error> {
        let mut command = self.binary.command();
        command.args(["runtime", "network", what]).args(words);
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
