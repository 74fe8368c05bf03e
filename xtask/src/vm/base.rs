//! The guest's Debian as a directory: systemd and what carob's cases need beside it. Nothing of carob is in it.

use std::{fs, path::PathBuf};

use anyhow::{Result, bail};

use super::debian::{Archive, SUITE};
use crate::{artefact::Recipe, place::Place, progress::stage, tool::tool};

/// procps, iproute2, nftables: to look at a guest with `vm shell`. util-linux is there anyway.
const PACKAGES: &str = "systemd,systemd-sysv,dbus,udev,kmod,iproute2,nftables,procps,busybox-static";
/// What else carob is measured beside.
const PEERS: &str = "podman,crun,conmon,netavark,aardvark-dns,catatonit,iptables,golang-github-containers-common,skopeo,umoci,docker-registry";

/// What a guest has beside Debian's least.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Furnishing {
    /// What cases need.
    Cases,
    /// Other tools that do what carob does, too.
    Peers,
}

impl Furnishing {
    fn packages(self) -> String {
        match self {
            Self::Cases => PACKAGES.to_owned(),
            Self::Peers => format!("{PACKAGES},{PEERS}"),
        }
    }
}

const OPTIONS: &[&str] = &[
    "--variant=minbase",
    "--aptopt=Acquire::Languages \"none\"",
    "--aptopt=APT::Install-Recommends \"false\"",
    "--dpkgopt=path-exclude=/usr/share/man/*",
    "--dpkgopt=path-exclude=/usr/share/doc/*",
    "--dpkgopt=path-exclude=/usr/share/locale/*",
];

/// The artefact; the file system is its `root`.
pub(crate) fn base(place: &Place, archive: &Archive, furnishing: Furnishing) -> Result<PathBuf> {
    let packages = furnishing.packages();
    let recipe = Recipe::new("base").with(SUITE).with(&packages).with(OPTIONS.join("\n"));
    recipe.in_cache(&place.cache, |dir| {
        if !rustix::process::geteuid().is_root() {
            bail!("the guest's file system can only be made by root: run this command once with sudo -E");
        }
        let stage = stage(&format!("vm: Debian {SUITE} for the guest (once, some minutes)"));
        let root = dir.join("root");
        let words = [format!("--include={packages}"), SUITE.to_owned(), root.display().to_string()];
        let sources = archive.sources();
        tool("mmdebstrap").arg("--mode=root").args(OPTIONS).args(words).args(sources).show()?;
        fs::create_dir_all(root.join("usr/lib/modules"))?;
        stage.done();
        Ok(())
    })
}
