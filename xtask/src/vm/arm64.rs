//! The arm64 guest: Debian's kernel and a file system in memory with nothing but busybox, carob and its tests. No
//! disk, no systemd; it boots in seconds, so no state of it is saved.

use std::{
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};

use super::{
    cpio::Cpio,
    debian::{Archive, PrivateApt, SUITE},
    guest::Guest,
    kernel::add_modules,
    payload::Payload,
    qemu::{Console, Setup, Start},
    series::{Series, Unpacked},
};
use crate::{artefact::Recipe, packages, place::Place, progress::stage};

/// kmod: module index; xz: packed modules.
const PACKAGES: &[&str] = &["debian-archive-keyring", "kmod", "qemu-system-arm", "xz-utils"];
const PROGRAM: &str = "qemu-system-aarch64";
const ARCHITECTURE: &str = "arm64";
const INIT: &str = include_str!("../guest/arm64.sh");
/// The channel to the host, and what containers' file systems are made with.
const MODULES: &[&str] = &["virtio_pci", "virtio_console", "overlay"];
/// No `-cpu max`: its pointer authentication makes an emulated boot three times as long.
const MACHINE: &str = "-accel tcg,thread=multi,tb-size=256 -M virt -cpu cortex-a72 -smp 2 -m 1024 -nodefaults \
    -no-user-config -display none -no-reboot -device virtio-serial-pci \
    -device virtserialport,chardev=control,name=carob -serial chardev:console -mon chardev=qmp,mode=control";
/// As on x86-64; the seed of its random numbers is QEMU's.
const KERNEL_WORDS: &str = "console=ttyAMA0 quiet panic=-1 oops=panic mitigations=off nokaslr audit=0 apparmor=0 \
    selinux=0 cryptomgr.notests random.trust_bootloader=on cgroup_no_v1=all";

pub(crate) struct Arm64 {
    artefact: PathBuf,
}

impl Arm64 {
    /// Fetches and packs what is missing.
    pub(crate) fn prepared(place: &Place, series: Series) -> Result<Self> {
        packages::ensure(PACKAGES)?;
        let Series { name, suite } = series;
        let recipe = Recipe::new(format!("arm64-{name}")).with(suite).with(SUITE);
        let recipe = recipe.with(INIT).with(MODULES.join(" "));
        let artefact = recipe.in_cache(&place.cache, |dir| {
            let stage = stage(&format!("vm: kernel {name} of {suite} for {ARCHITECTURE}"));
            let (work, archive) = (dir.join("work"), Archive::of_this_machine()?);
            let (apt, tools) = (work.join("tools-apt"), work.join("tools"));
            PrivateApt::new(&archive, apt, ARCHITECTURE)?.unpack("busybox-static", &tools)?;
            pack(&series.unpack(&archive, ARCHITECTURE, &work)?, &tools.join("bin/busybox"), dir)?;
            fs::remove_dir_all(&work)?;
            stage.done();
            Ok(())
        })?;
        Ok(Self { artefact })
    }

    pub(crate) fn busybox(&self) -> PathBuf {
        self.artefact.join("busybox")
    }

    /// Boots with `payload` in the guest's memory.
    pub(crate) fn boot(&self, payload: &Payload, dir: &Path) -> Result<Guest> {
        let initrd = dir.join("initrd.cpio");
        let system = fs::read(self.artefact.join("system.cpio")).context("read the guest's file system")?;
        let mut cpio = Cpio::default();
        add_tree(&mut cpio, "payload", payload.dir())?;
        // The kernel unpacks one archive after the other.
        fs::write(&initrd, [system, cpio.finish()].concat())
            .with_context(|| format!("write {}", initrd.display()))?;
        let (console, start) = (Console::Logged, Start::Boot);
        Guest::booted(&Setup { program: PROGRAM, words: self.words(&initrd), console, start, dir })
    }

    fn words(&self, initrd: &Path) -> Vec<OsString> {
        let mut words: Vec<OsString> = MACHINE.split_whitespace().map(OsString::from).collect();
        words.extend(["-kernel".into(), self.artefact.join("image").into(), "-initrd".into(), initrd.into()]);
        words.extend(["-append", KERNEL_WORDS].map(OsString::from));
        words
    }
}

/// Takes from the unpacked packages what the guest boots with.
fn pack(kernel: &Unpacked, busybox: &Path, out: &Path) -> Result<()> {
    fs::copy(&kernel.image, out.join("image")).context("take the kernel out of its package")?;
    fs::copy(busybox, out.join("busybox")).context("take busybox out of its package")?;
    kernel.index_modules()?;
    let mut cpio = Cpio::default();
    for name in ["bin", "dev", "newroot", "modules"] {
        cpio.dir(name);
    }
    cpio.file("bin/busybox", &fs::read(out.join("busybox"))?);
    cpio.link("bin/sh", "busybox");
    add_modules(&mut cpio, &kernel.modules().join(&kernel.release), MODULES)?;
    cpio.file("init", INIT.as_bytes());
    fs::write(out.join("system.cpio"), cpio.finish()).context("write the guest's file system")
}

/// Directories and regular files.
fn add_tree(cpio: &mut Cpio, name: &str, dir: &Path) -> Result<()> {
    cpio.dir(name);
    for entry in fs::read_dir(dir).with_context(|| format!("read {}", dir.display()))? {
        let path = entry?.path();
        let name = format!("{name}/{}", path.file_name().unwrap_or_default().display());
        if path.is_dir() {
            add_tree(cpio, &name, &path)?;
        } else {
            cpio.file(&name, &fs::read(&path).with_context(|| format!("read {}", path.display()))?);
        }
    }
    Ok(())
}
