//! The guest's kernel: Debian's cloud kernel, as an uncompressed ELF (QEMU enters it directly and saves the time
//! to unpack it), its modules as a disk, and the first file system, which loads the disk drivers.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail, ensure};

use super::{
    cpio::Cpio,
    debian::{self, Archive, PrivateApt, SUITE},
};
use crate::{artefact::Recipe, place::Place, progress::stage, tool::tool};

const PACKAGE: &str = "linux-image-cloud-amd64";
const INIT: &str = include_str!("../guest/stage1.sh");
/// What the first file system needs to see its disks and the channel to the host.
const EARLY_MODULES: &[&str] = &["virtio_pci", "virtio_blk", "virtio_console"];

pub(crate) struct Kernel {
    pub(crate) artefact: PathBuf,
}

impl Kernel {
    pub(crate) fn made(place: &Place, archive: &Archive, base: &Path) -> Result<Self> {
        let recipe = Recipe::new("kernel").with(PACKAGE).with(SUITE).with(INIT).with_artefact(base);
        let artefact = recipe.with(EARLY_MODULES.join(" ")).in_cache(&place.cache, |dir| {
            let stage = stage(&format!("vm: kernel {PACKAGE} of {SUITE}"));
            let work = dir.join("work");
            let apt = PrivateApt::new(archive, work.clone(), "amd64")?;
            apt.unpack_dependency(PACKAGE, "linux-image-", &work.join("deb"))?;
            unpack(&work.join("deb"), dir, &base.join("root/bin/busybox"))?;
            fs::remove_dir_all(&work)?;
            stage.done();
            Ok(())
        })?;
        Ok(Self { artefact })
    }

    pub(crate) fn image(&self) -> PathBuf {
        self.artefact.join("vmlinux")
    }

    pub(crate) fn initrd(&self) -> PathBuf {
        self.artefact.join("stage1.cpio")
    }

    pub(crate) fn modules(&self) -> PathBuf {
        self.artefact.join("modules.img")
    }
}

fn unpack(deb: &Path, out: &Path, busybox: &Path) -> Result<()> {
    let modules = deb.join("lib/modules");
    let release = debian::release(&modules)?;
    let image = fs::read(deb.join("boot").join(format!("vmlinuz-{release}")))?;
    decompress(payload(&image)?, out)?;
    // Debian's packages come without the index; installing them would make it.
    tool("depmod").arg("-b").arg(deb).arg(&release).run()?;
    fs::write(out.join("stage1.cpio"), stage1(&modules.join(&release), busybox)?)?;
    disk(&modules, &out.join("modules.img"))
}

/// The compressed kernel in a bzImage, found by its setup header.
/// https://docs.kernel.org/arch/x86/boot.html
pub(crate) fn payload(image: &[u8]) -> Result<&[u8]> {
    ensure!(image.get(0x202..0x206) == Some(b"HdrS"), "the kernel is no bzImage");
    let word = |at: usize| -> Result<usize> {
        let bytes = image.get(at..at + 4).context("the kernel's header is cut off")?;
        Ok(u32::from_le_bytes(bytes.try_into()?) as usize)
    };
    let setup_sectors = match image[0x1f1] {
        0 => 4,
        count => usize::from(count),
    };
    let start = (setup_sectors + 1) * 512 + word(0x248)?;
    // Its last four bytes are the unpacked size, which the tools take for garbage.
    let end = start + word(0x24c)?.checked_sub(4).context("the kernel's payload is empty")?;
    image.get(start..end).context("the kernel's payload is cut off")
}

/// Leaves the kernel as `vmlinux` in the directory `out`.
pub(crate) fn decompress(payload: &[u8], out: &Path) -> Result<()> {
    let program = match payload {
        [0x02, 0x21, 0x4c, 0x18, ..] => "lz4",
        [0x28, 0xb5, 0x2f, 0xfd, ..] => "zstd",
        [0xfd, b'7', b'z', b'X', ..] => "xz",
        [0x1f, 0x8b, ..] => "gzip",
        other => bail!("the kernel is packed in an unknown way: {:x?}", &other[..other.len().min(6)]),
    };
    let packed = out.join("packed");
    fs::write(&packed, payload)?;
    tool(program).arg("-dc").arg(&packed).output_to(&out.join("vmlinux"))?;
    Ok(fs::remove_file(&packed)?)
}

fn stage1(modules: &Path, busybox: &Path) -> Result<Vec<u8>> {
    let mut cpio = Cpio::default();
    for name in ["bin", "dev", "proc", "sys", "newroot", "modules"] {
        cpio.dir(name);
    }
    cpio.file("bin/busybox", &fs::read(busybox).context("read the base's busybox")?);
    cpio.link("bin/sh", "busybox");
    add_modules(&mut cpio, modules, EARLY_MODULES)?;
    cpio.file("init", INIT.as_bytes());
    Ok(cpio.finish())
}

/// Puts modules and all they need into `modules/`, numbered: the shell's `*` then gives the order of loading.
pub(super) fn add_modules(cpio: &mut Cpio, modules: &Path, names: &[&str]) -> Result<()> {
    let index = fs::read_to_string(modules.join("modules.dep"))?;
    for (number, file) in load_order(&index, names)?.iter().enumerate() {
        cpio.file(&format!("modules/{number:02}.ko"), &fs::read(modules.join(file))?);
    }
    Ok(())
}

/// The modules' files with all they need, in an order that loads. `index` is a modules.dep: `file: needs…`, where
/// the last one must be loaded first.
fn load_order<'a>(index: &'a str, names: &[&str]) -> Result<Vec<&'a str>> {
    let mut order: Vec<&str> = Vec::new();
    for name in names {
        let ending = format!("/{name}.ko");
        let mut entries = index.lines().filter_map(|line| line.split_once(':'));
        let Some((file, needs)) = entries.find(|(file, _)| file.ends_with(&ending)) else {
            bail!("the kernel has no module {name}");
        };
        for part in needs.split_whitespace().rev().chain([file]) {
            if !order.contains(&part) {
                order.push(part);
            }
        }
    }
    Ok(order)
}

/// An ext4 image that holds `dir` and little more.
fn disk(dir: &Path, image: &Path) -> Result<()> {
    let used = tool("du").args(["-sm"]).arg(dir).output()?;
    let mib: u64 = used.split_whitespace().next().unwrap_or_default().parse().context("read du's answer")?;
    let size = format!("{}M", mib + mib / 8 + 8);
    super::ext4(dir, image, &size, "^has_journal")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modules_load_after_what_they_need_and_only_once() {
        let index = "k/a.ko: k/b.ko k/c.ko\nk/b.ko: k/c.ko\nk/c.ko:\nk/d.ko: k/c.ko\n";
        assert_eq!(load_order(index, &["a", "d"]).unwrap(), ["k/c.ko", "k/b.ko", "k/a.ko", "k/d.ko"]);
        assert!(load_order(index, &["e"]).is_err());
    }

    #[test]
    fn a_file_that_is_no_kernel_is_refused() {
        assert!(payload(b"MZ").is_err());
        assert!(payload(&[0; 0x300]).is_err());
    }
}
