//! From a kernel's package to the type information in its image. Nothing is unpacked but the image.

use std::{fs, io::Read, path::Path, process::Stdio};

use anyhow::{Context, Result, ensure};

use super::types::{HEADER, START, sections};
use crate::{tool::tool, vm::kernel};

/// Where a raw arm64 image says what it is, and what it says.
/// https://docs.kernel.org/arch/arm64/booting.html
const ARM64_MAGIC: (usize, &[u8]) = (0x38, b"ARMd");

/// The type information of the kernel in a package. `work` is for files on the way.
pub(super) fn type_information(package: &Path, work: &Path) -> Result<Vec<u8>> {
    let image = image(package)?;
    let (at, magic) = ARM64_MAGIC;
    let image = if image.get(at..).is_some_and(|rest| rest.starts_with(magic)) {
        image
    } else {
        kernel::decompress(kernel::payload(&image)?, work)?;
        fs::read(work.join("vmlinux")).context("read the unpacked kernel")?
    };
    let found = found(&image).with_context(|| format!("{} has no type information", package.display()))?;
    Ok(found.to_vec())
}

/// The file `vmlinuz…` of a package, wherever it lies.
fn image(package: &Path) -> Result<Vec<u8>> {
    let mut unpacking = tool("dpkg-deb").arg("--fsys-tarfile").arg(package).into_command();
    let mut unpacking = unpacking.stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
    let files = unpacking.stdout.take().context("dpkg-deb has no output")?;
    let mut image = Vec::new();
    for file in tar::Archive::new(files).entries()? {
        let mut file = file?;
        let path = file.path()?;
        if path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"vmlinuz")) {
            file.read_to_end(&mut image)?;
            break;
        }
    }
    // It may have been stopped halfway: what it thinks of that does not matter.
    unpacking.wait().context("wait for dpkg-deb")?;
    ensure!(!image.is_empty(), "{} has no vmlinuz", package.display());
    Ok(image)
}

/// Type information somewhere in an image. An ELF names its place, a raw image does not; the header gives it away
/// in both.
fn found(image: &[u8]) -> Option<&[u8]> {
    let mut starts = image.windows(START.len()).enumerate().filter(|(_, bytes)| *bytes == START);
    starts.find_map(|(at, _)| {
        let rest = &image[at..];
        let (types, strings) = sections(rest)?;
        rest.get(..HEADER + types.len() + strings.len())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn type_information_is_found_by_its_header_and_not_by_its_magic_number_alone() {
        let header = |types: u32, strings: u32| {
            let words = [0, types, types, strings];
            [START.to_vec(), words.iter().flat_map(|word| word.to_le_bytes()).collect()].concat()
        };
        let good = [header(0, 3), b"\0a\0".to_vec()].concat();
        let image = [b"code".to_vec(), START.to_vec(), header(900, 1), vec![0], good.clone(), vec![7; 40]];
        assert_eq!(found(&image.concat()), Some(&good[..]));
        assert_eq!(found(&good[..good.len() - 1]), None);
        assert_eq!(found(b""), None);
    }
}
