//! The machines the agent can be built for, and what another one than this takes: a linker, that machine's static
//! libraries, and a standard library with the compiler it belongs to.

use std::{fs, path::Path};

use anyhow::{Result, bail};

use crate::{
    packages,
    place::{ARM64, HOST, Place},
    tool::{Tool, tool},
};

/// Debian's compiler and, for another machine, the standard library of the same version.
const DEBIAN_RUSTC: &str = "/usr/bin/rustc";
const DEBIAN_STD: &[&str] = &["rustc-web", "libstd-rust-web-dev:arm64"];

/// What links for arm64, and what is linked in; the libraries are those of `build::PACKAGES`.
const PACKAGES: &[&str] = &[
    "gcc-aarch64-linux-gnu",
    "libc6-dev-arm64-cross",
    "libelf-dev:arm64",
    "libseccomp-dev:arm64",
    "zlib1g-dev:arm64",
];

/// A machine the agent can be built for.
pub(super) struct Target {
    pub(super) triple: &'static str,
    /// Debian's name of the directory with the static libraries.
    pub(super) multiarch: &'static str,
    pub(super) foreign: Option<Foreign>,
}

/// What it takes to build for another machine.
pub(super) struct Foreign {
    /// Debian's name for it.
    architecture: &'static str,
    /// The start of the names of its gcc, ar and so on.
    tools: &'static str,
    compiler: Compiler,
}

enum Compiler {
    /// The one that builds for this machine: rustup has the other standard library too.
    Own,
    Debian,
}

impl Target {
    pub(super) fn named(triple: &str) -> Result<Self> {
        match triple {
            HOST => Ok(Self { triple: HOST, multiarch: "x86_64-linux-gnu", foreign: None }),
            ARM64 => Ok(Self {
                triple: ARM64,
                multiarch: "aarch64-linux-gnu",
                foreign: Some(Foreign {
                    architecture: "arm64",
                    tools: "aarch64-linux-gnu",
                    compiler: Compiler::with_std_for(ARM64),
                }),
            }),
            _ => bail!("target {triple:?} is not known; known are: {HOST}, {ARM64}"),
        }
    }

    pub(super) fn words(&self) -> [&str; 3] {
        ["--release", "--target", self.triple]
    }

    /// Why it cannot be built for here. Only Debian has other machines' packages in the archive of this one's.
    pub(super) fn obstacle(&self) -> Result<Option<String>> {
        let Some(foreign) = &self.foreign else { return Ok(None) };
        let missing = packages::missing(&foreign.packages())?;
        if missing.is_empty() || is_debian(&fs::read_to_string("/etc/os-release").unwrap_or_default()) {
            return Ok(None);
        }
        let (triple, missing) = (self.triple, missing.join(", "));
        Ok(Some(format!(
            "building for {triple} here takes packages that only Debian's own archive has: {missing}"
        )))
    }
}

impl Foreign {
    fn packages(&self) -> Vec<&'static str> {
        match self.compiler {
            Compiler::Own => PACKAGES.to_vec(),
            Compiler::Debian => [PACKAGES, DEBIAN_STD].concat(),
        }
    }

    pub(super) fn ensure_packages(&self) -> Result<()> {
        packages::ensure_architecture(self.architecture)?;
        packages::ensure(&self.packages())
    }

    pub(super) fn set_up(&self, cargo: Tool, place: &Place, triple: &str) -> Tool {
        let linker = format!("CARGO_TARGET_{}_LINKER", triple.to_uppercase().replace('-', "_"));
        let cargo = cargo.env("CARGO_TARGET_DIR", place.cross()).env(&linker, format!("{}-gcc", self.tools));
        match self.compiler {
            Compiler::Own => cargo,
            Compiler::Debian => cargo.env("RUSTC", DEBIAN_RUSTC),
        }
    }
}

impl Compiler {
    fn with_std_for(triple: &str) -> Self {
        let libraries = tool("rustc").args(["--print", "target-libdir", "--target", triple]).output();
        match libraries {
            Ok(dir) if Path::new(dir.trim()).is_dir() => Self::Own,
            _ => Self::Debian,
        }
    }
}

/// `os-release`: os-release(5).
fn is_debian(os_release: &str) -> bool {
    os_release.lines().any(|line| line == "ID=debian" || line == "ID=\"debian\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_debian_itself_is_debian() {
        assert!(is_debian("NAME=\"Debian GNU/Linux\"\nID=debian\n"));
        assert!(!is_debian("NAME=\"Ubuntu\"\nID=ubuntu\nID_LIKE=debian\n"));
        assert!(!is_debian(""));
    }

    #[test]
    fn an_unknown_machine_is_refused_with_those_that_are_known() {
        let fault = Target::named("riscv64gc-unknown-linux-gnu").err().unwrap().to_string();
        assert!(fault.contains(HOST) && fault.contains(ARM64), "{fault}");
    }
}
