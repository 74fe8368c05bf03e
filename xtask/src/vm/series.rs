//! The kernels that guests can boot: Debian's newest of a series, for virtual machines. What a guest makes of one is
//! not known here.

use std::{
    fmt::{self, Display, Formatter},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};

use super::{
    debian::{self, Archive, PrivateApt},
    package::{Flavour, Kernel},
};
use crate::tool::tool;

/// That of the guest's own release.
const DEFAULT: Series = Series { name: "6.1", suite: debian::SUITE };
const ALL: &[Series] = &[
    Series { name: "5.10", suite: "bullseye" },
    DEFAULT,
    Series { name: "6.12", suite: "trixie" },
    Series { name: "7.3", suite: "trixie-backports" },
];

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Series {
    /// How its releases begin.
    pub(crate) name: &'static str,
    /// The release of Debian that has it.
    pub(crate) suite: &'static str,
}

impl Default for Series {
    fn default() -> Self {
        DEFAULT
    }
}

impl Display for Series {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        out.write_str(self.name)
    }
}

impl Series {
    /// For the command line.
    pub(crate) fn named(name: &str) -> Result<Self, String> {
        let found = ALL.iter().find(|series| series.name == name);
        found.copied().ok_or_else(|| {
            format!("there is {}", ALL.iter().map(|series| series.name).collect::<Vec<_>>().join(", "))
        })
    }

    /// Fetches and unpacks it below `work`.
    pub(super) fn unpack(
        self,
        archive: &Archive,
        architecture: &'static str,
        work: &Path,
    ) -> Result<Unpacked> {
        let apt = PrivateApt::of(archive, &[self.suite], work.join("apt"), architecture)?;
        let names = apt.package_names("linux-")?;
        let kernel = Kernel { series: self.name, flavour: Flavour::Cloud };
        let to = work.join("deb");
        // An archive's list may name what it no longer keeps.
        for package in kernel.packages(&names, architecture) {
            if let Ok(file) = apt.download(package) {
                debian::unpack_file(&file, &to)?;
                if let Some(release) = package.strip_prefix("linux-binary-") {
                    apt.unpack(&format!("linux-modules-{release}"), &to)?;
                    // The list of what is built in.
                    apt.unpack(&format!("linux-base-{release}"), &to)?;
                }
                return Unpacked::found(&to);
            }
        }
        bail!("Debian {} hands out no kernel {} for {architecture}", self.suite, self.name)
    }
}

#[derive(Clone, Copy, clap::Args)]
pub(crate) struct KernelWord {
    /// The guests' kernel, by its first numbers
    #[arg(long, value_name = "SERIES", value_parser = Series::named, default_value_t)]
    pub(crate) kernel: Series,
}

/// A kernel's files as its packages have them.
pub(super) struct Unpacked {
    pub(super) release: String,
    /// `lib/modules` is in it.
    pub(super) root: PathBuf,
    pub(super) image: PathBuf,
}

impl Unpacked {
    fn found(dir: &Path) -> Result<Self> {
        let roots = [dir.join("usr"), dir.to_path_buf()];
        let root = roots.into_iter().find(|root| root.join("lib/modules").is_dir());
        let root = root.context("the kernel's package has no modules")?;
        let release = debian::release(&root.join("lib/modules"))?;
        let images = [
            dir.join("boot").join(format!("vmlinuz-{release}")),
            root.join("lib/modules").join(&release).join("vmlinuz"),
        ];
        let image = images.into_iter().find(|image| image.is_file());
        Ok(Self { image: image.context("the kernel's package has no vmlinuz")?, release, root })
    }

    /// Makes the index that Debian's packages come without; installing them would make it.
    pub(super) fn index_modules(&self) -> Result<()> {
        tool("depmod").arg("-b").arg(&self.root).arg(&self.release).run()
    }

    pub(super) fn modules(&self) -> PathBuf {
        self.root.join("lib/modules")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kernel_that_is_not_there_is_refused_with_those_that_are() {
        assert_eq!(Series::named("6.12").map(|series| series.suite), Ok("trixie"));
        assert_eq!(Series::named("6.1"), Ok(Series::default()));
        assert_eq!(Series::named("6.13"), Err("there is 5.10, 6.1, 6.12, 7.3".to_owned()));
        assert_eq!(Series::named("6"), Err("there is 5.10, 6.1, 6.12, 7.3".to_owned()));
    }
}
