//! The guest's kernel: Debian's cloud kernel, as an uncompressed ELF (QEMU enters it directly and saves the time
//! to unpack it), its modules as a disk, and the first file system, which loads the disk drivers.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail, ensure};

use super::{
    cpio::Cpio,
    debian::Archive,
    series::{Series, Unpacked},
};
use crate::{artefact::Recipe, place::Place, progress::stage, tool::tool};

const INIT: &str = include_str!("../guest/stage1.sh");
/// What the first file system needs to see its disks and the channel to the host.
const EARLY_MODULES: &[&str] = &["virtio_pci", "virtio_blk", "virtio_console"];

pub(crate) struct Kernel {
    pub(crate) artefact: PathBuf,
}

impl Kernel {
    pub(crate) fn made(place: &Place, archive: &Archive, base: &Path, series: Series) -> Result<Self> {
        let Series { name, suite } = series;
        let recipe = Recipe::new(format!("kernel-{name}")).with(suite).with(INIT).with_artefact(base);
        let artefact = recipe.with(EARLY_MODULES.join(" ")).in_cache(&place.cache, |dir| {
            let stage = stage(&format!("vm: kernel {name} of {suite}"));
            let work = dir.join("work");
            pack(&series.unpack(archive, "amd64", &work)?, dir, &base.join("root/bin/busybox"))?;
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

fn pack(kernel: &Unpacked, out: &Path, busybox: &Path) -> Result<()> {
    decompress(payload(&fs::read(&kernel.image)?)?, out)?;
    kernel.index_modules()?;
    fs::write(out.join("stage1.cpio"), stage1(&kernel.modules().join(&kernel.release), busybox)?)?;
    disk(&kernel.modules(), &out.join("modules.img"))
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
    let built_in = fs::read_to_string(modules.join("modules.builtin"))?;
    for (number, file) in load_order(&index, &built_in, names)?.iter().enumerate() {
        cpio.file(&format!("modules/{number:02}.ko"), &module(&modules.join(file))?);
    }
    Ok(())
}

/// A module as busybox can load it.
fn module(file: &Path) -> Result<Vec<u8>> {
    if file.extension().is_none_or(|ending| ending != "xz") {
        return fs::read(file).with_context(|| format!("read {}", file.display()));
    }
    let unpacked = file.with_extension("unpacked");
    tool("xz").arg("-dc").arg(file).output_to(&unpacked)?;
    let module = fs::read(&unpacked)?;
    fs::remove_file(&unpacked)?;
    Ok(module)
}

/// The modules' files with all they need, in an order that loads. `index` is a modules.dep: `file: needs…`, where
/// the last one must be loaded first; `built_in` names files that need no loading.
fn load_order<'a>(index: &'a str, built_in: &str, names: &[&str]) -> Result<Vec<&'a str>> {
    let mut order: Vec<&str> = Vec::new();
    for name in names {
        let ending = format!("/{name}.ko");
        let is_it = |file: &str| file.strip_suffix(".xz").unwrap_or(file).ends_with(&ending);
        if built_in.lines().any(is_it) {
            continue;
        }
        let mut entries = index.lines().filter_map(|line| line.split_once(':'));
        let Some((file, needs)) = entries.find(|(file, _)| is_it(file)) else {
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
        let index = "k/a.ko: k/b.ko k/c.ko\nk/b.ko: k/c.ko\nk/c.ko:\nk/d.ko.xz: k/c.ko\n";
        let check = |names: &[&str], expected: &[&str]| {
            assert_eq!(load_order(index, "k/f.ko\n", names).unwrap(), expected);
        };
        check(&["a", "d"], &["k/c.ko", "k/b.ko", "k/a.ko", "k/d.ko.xz"]);
        check(&["f", "c"], &["k/c.ko"]);
        assert!(load_order(index, "k/f.ko\n", &["e"]).is_err());
    }

    #[test]
    fn a_file_that_is_no_kernel_is_refused() {
        assert!(payload(b"MZ").is_err());
        assert!(payload(&[0; 0x300]).is_err());
    }
}
