//! Pods that come, end and go. After a cut each one that was applied runs again with an address of its own, one that
//! was deleted is gone with all it had, and an end that was told is in the ledger as it was told.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::known::{Known, Standing};
use crate::{
    pods::{PATIENCE, apply, ledger, one},
    world::World,
};

const API: &str = "/api/v1/namespaces/default/pods";
const ADDRESSES: &str = "/var/lib/carob/addresses";
/// Pods that stay, and pods that end.
const STAYS: &str = "stays-";
const ENDS: &str = "ends-";
/// As many may stay before the oldest goes.
const ENOUGH: usize = 3;

/// The pods that there are, by name.
fn all(world: &World) -> Result<BTreeMap<String, Value>> {
    let list = world.read(API)?;
    let items = list["items"].as_array().context("the list has no items")?;
    let named = |pod: &Value| Some((pod["metadata"]["name"].as_str()?.to_owned(), pod.clone()));
    Ok(items.iter().filter_map(named).collect())
}

pub(super) fn check(world: &World, known: &mut Known) -> Result<()> {
    let found = all(world)?;
    let things: Vec<(String, Standing)> = [STAYS, ENDS]
        .into_iter()
        .flat_map(|kind| known.things(kind))
        .map(|(name, standing)| (name.to_owned(), standing.clone()))
        .collect();
    for (name, standing) in things {
        match (&standing, found.contains_key(&name)) {
            (Standing::There, false) => anyhow::bail!("{name} was applied and is lost"),
            (Standing::Gone, true) => anyhow::bail!("{name} was deleted and is back"),
            (Standing::Between(_), there) => settle(world, known, &name, there)?,
            (Standing::There, true) | (Standing::Gone, false) => {}
        }
    }
    known.there(STAYS).iter().try_for_each(|name| runs(world, name))?;
    known.ends.iter().try_for_each(|(name, code)| ended(world, name, *code))?;
    known.there(ENDS).iter().try_for_each(|name| nothing_made_up(world, name))?;
    world.wait_until("addresses and pods agree", PATIENCE, || addresses(world))
}

/// What was in between is taken away: from here on it is known again. One whose deletion had begun may go by itself
/// before it is asked to.
fn settle(world: &World, known: &mut Known, name: &str, there: bool) -> Result<()> {
    if there {
        let said = world.carob(&["delete", "pod", name])?;
        ensure!(said.code == Some(0) || said.stderr.contains("not found"), "delete {name}: {said:?}");
    }
    known.set(name, Standing::Gone);
    world.note(format!("no:{name}"))
}

fn runs(world: &World, name: &str) -> Result<()> {
    world.wait_until(&format!("{name} runs again"), PATIENCE, || {
        let status = world.read(&format!("{API}/{name}"))?["status"].clone();
        ensure!(status["containerStatuses"][0]["state"]["running"].is_object(), "it is {status}");
        Ok(())
    })
}

/// Once, and as it was told.
fn ended(world: &World, name: &str, code: u64) -> Result<()> {
    let rows = ledger(world, name)?;
    let ends: Vec<&Value> = rows.iter().map(|row| &row["end"]).collect();
    ensure!(
        ends.len() == 1 && ends[0]["exitCode"] == code && ends[0]["cause"] == "error",
        "{name} was seen to end with {code}, but the ledger has {ends:?}"
    );
    Ok(())
}

/// A pod that was to end has ended as it was to, or nobody knows how.
fn nothing_made_up(world: &World, name: &str) -> Result<()> {
    let code = code(name)?;
    world.wait_until(&format!("{name} is over"), PATIENCE, || {
        let rows = ledger(world, name)?;
        let end = rows.last().map(|row| row["end"].clone()).unwrap_or_default();
        let told = (end["exitCode"].as_u64(), end["cause"].as_str());
        ensure!(
            matches!(told, (Some(c), Some("error")) if c == code) || told == (None, Some("node_reboot")),
            "{rows:?}"
        );
        Ok(())
    })
}

/// Each pod that runs has its own, nobody else has one, and no port leads elsewhere.
fn addresses(world: &World) -> Result<()> {
    let pods = all(world)?;
    let owner = |address: String| {
        let owner = fs::read_link(format!("{ADDRESSES}/{address}")).ok()?;
        Some((address, owner.display().to_string()))
    };
    let owners: BTreeMap<String, String> = names(ADDRESSES)?.into_iter().filter_map(owner).collect();
    let running = pods.values().filter(|pod| pod["status"]["phase"] == "Running");
    let own = |pod: &Value| {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        (text(&pod["status"]["podIP"]), text(&pod["metadata"]["uid"]))
    };
    for (address, uid) in running.map(own) {
        ensure!(owners.get(&address) == Some(&uid), "{uid} has {address:?}, but the leases are {owners:?}");
    }
    let uids: BTreeSet<String> = pods.values().map(|pod| own(pod).1).collect();
    let strays: Vec<_> = owners.iter().filter(|(_, uid)| !uids.contains(*uid)).collect();
    ensure!(strays.is_empty(), "of pods that are gone these addresses are taken: {strays:?}");
    let dirs: BTreeSet<String> = names("/var/lib/carob/pods")?;
    ensure!(dirs.is_subset(&uids), "of pods that are gone these are left: {:?}", dirs.difference(&uids));
    for port in names(&format!("{ADDRESSES}/ports"))? {
        let to = fs::read_link(format!("{ADDRESSES}/ports/{port}"))?.display().to_string();
        ensure!(owners.contains_key(&to), "the port {port} leads to nobody");
    }
    Ok(())
}

fn file_name(path: &std::path::Path) -> String {
    path.file_name().unwrap_or_default().display().to_string()
}

/// None if there is no such folder: carob makes one when there is something to keep in it.
fn names(dir: &str) -> Result<BTreeSet<String>> {
    match fs::read_dir(dir) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(BTreeSet::new()),
        entries => entries
            .with_context(|| format!("read {dir}"))?
            .map(|entry| Ok(file_name(&entry?.path())))
            .collect(),
    }
}

/// The exit code of `ends-<boot>-<number>`.
fn code(name: &str) -> Result<u64> {
    let number = name.rsplit('-').next().unwrap_or_default();
    Ok(1 + number.parse::<u64>().with_context(|| format!("read the number of {name}"))? % 100)
}

/// One that stays, one that ends, and the oldest goes.
pub(super) struct Work<'w> {
    world: &'w World,
    stay: Vec<String>,
    end: Vec<String>,
    number: u32,
}

impl<'w> Work<'w> {
    pub(super) fn new(world: &'w World, known: &Known) -> Self {
        Self { world, stay: known.there(STAYS), end: known.there(ENDS), number: 0 }
    }

    pub(super) fn step(&mut self) -> Result<()> {
        let name = |kind: &str| format!("{kind}{}-{}", self.world.boot(), self.number);
        let (stays, ends) = (name(STAYS), name(ENDS));
        self.number += 1;
        let port = 8000 + (self.world.boot() * 20 + self.number) % 1000;
        let ports = format!("      ports: [{{ containerPort: 80, hostPort: {port} }}]\n");
        let manifest =
            one(&stays, "sleep", &ports, "").replace("restartPolicy: Never", "restartPolicy: Always");
        self.apply(&stays, &manifest)?;
        self.stay.push(stays);
        self.apply(&ends, &one(&ends, &format!("exit {}", code(&ends)?), "", ""))?;
        self.await_end(&ends)?;
        self.end.push(ends);
        if self.stay.len() > ENOUGH {
            let oldest = self.stay.remove(0);
            self.delete(&oldest)?;
        }
        if self.end.len() > 1 {
            let oldest = self.end.remove(0);
            self.delete(&oldest)?;
        }
        Ok(())
    }

    fn apply(&self, name: &str, manifest: &str) -> Result<()> {
        self.world.note(format!("apply:begun:{name}"))?;
        let said = apply(self.world, name, manifest)?;
        ensure!(said.code == Some(0), "apply {name}: {said:?}");
        self.world.note(format!("is:{name}"))
    }

    /// As a client of the API sees it, who does not know of the ledger.
    fn await_end(&self, name: &str) -> Result<()> {
        self.world.note(format!("await:begun:{name}"))?;
        let code = self.world.wait_until(&format!("{name} ends"), PATIENCE, || {
            let status = self.world.read(&format!("{API}/{name}"))?["status"].clone();
            let code = &status["containerStatuses"][0]["state"]["terminated"]["exitCode"];
            code.as_u64().with_context(|| format!("it is {status}"))
        })?;
        self.world.note(format!("ended:{name}:{code}"))
    }

    fn delete(&self, name: &str) -> Result<()> {
        self.world.note(format!("delete:begun:{name}"))?;
        self.world.carob_ok(&["delete", "pod", name])?;
        self.world.note(format!("no:{name}"))
    }
}
