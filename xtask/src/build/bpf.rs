//! The kernel programs' object. It needs a compiler with LLVM's BPF target, a `core` for it, and a linker of the same
//! LLVM; where these come from is decided here. Loading the object is the agent's matter.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};

use crate::{
    artefact, packages,
    place::Place,
    progress::stage,
    tool::{Tool, tool},
};

const TRIPLE: &str = "bpfel-unknown-none";
const LINKER_VERSION: &str = "0.13.0";
/// Debian's compiler for web browsers: kept up to date in stable releases, and with a `core` for BPF.
const DEBIAN_RUSTC: &str = "/usr/bin/rustc";

/// Where compiler, core and linker come from.
#[derive(Debug)]
enum Toolchain {
    /// What aya's own documents set up: rustup's nightly with rust-src, and a bpf-linker in PATH.
    Nightly { linker: PathBuf },
    /// Debian's packages; the linker is built once against the same libLLVM.
    Debian { llvm: u32, linker: PathBuf },
}

/// Builds the object if anything of it has changed.
pub(crate) fn object(place: &Place) -> Result<PathBuf> {
    let toolchain = toolchain(place)?;
    let stage = stage("build: kernel programs");
    let target = place.target().join("bpf");
    toolchain.cargo(place).args(words(&target)).show()?;
    let stripped = place.target().join("bpf/stripped.o");
    toolchain.strip(&target.join(TRIPLE).join("bpf/carob-ebpf"), &stripped)?;
    let object = place.bpf_object();
    // An object that is the same keeps its time stamp: the agent embeds it and would be built again.
    if fs::read(&object).ok() == Some(fs::read(&stripped)?) {
        fs::remove_file(&stripped)?;
    } else {
        fs::rename(&stripped, &object).with_context(|| format!("name {}", object.display()))?;
    }
    stage.done();
    Ok(object)
}

fn words(target: &Path) -> Vec<String> {
    let words = "build --package carob-ebpf --bin carob-ebpf --profile bpf --target";
    let words = words.split(' ').chain([TRIPLE, "--target-dir"]).map(str::to_owned);
    words.chain([target.display().to_string()]).collect()
}

fn toolchain(place: &Place) -> Result<Toolchain> {
    if let Some(linker) = nightly_with_source().and_then(|()| in_path("bpf-linker")) {
        return Ok(Toolchain::Nightly { linker });
    }
    packages::ensure(&["rustc-web", "libstd-rust-web-dev-bpf"]).context(
        "no compiler for the kernel programs (another way: rustup's nightly with rust-src, and bpf-linker)",
    )?;
    let version = tool(DEBIAN_RUSTC).arg("-vV").output()?;
    let llvm = llvm_major(&version).with_context(|| format!("{DEBIAN_RUSTC} names no LLVM version"))?;
    packages::ensure(&[&format!("llvm-{llvm}-dev")])?;
    Ok(Toolchain::Debian { llvm, linker: linker(place, llvm)? })
}

fn nightly_with_source() -> Option<()> {
    let words = ["run", "nightly", "rustc", "--print", "sysroot"];
    let sysroot = tool("rustup").args(words).output().ok()?;
    Path::new(sysroot.trim()).join("lib/rustlib/src/rust/library/core").is_dir().then_some(())
}

fn in_path(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    env::split_paths(&path).map(|dir| dir.join(program)).find(|file| file.is_file())
}

/// `LLVM version: 22.1.8` → 22
fn llvm_major(version: &str) -> Option<u32> {
    let line = version.lines().find_map(|line| line.strip_prefix("LLVM version: "))?;
    line.split('.').next()?.parse().ok()
}

/// bpf-linker for this LLVM, built once. It links LLVM dynamically: bitcode and linker cannot disagree.
fn linker(place: &Place, llvm: u32) -> Result<PathBuf> {
    let dir = place.cache.join(format!("bpf-linker-{LINKER_VERSION}-llvm{llvm}"));
    let dir = artefact::named(&dir, |dir| {
        let stage = stage("build: bpf-linker (once, some minutes)");
        let prefix = format!("/usr/lib/llvm-{llvm}");
        let path = env::var("PATH").unwrap_or_default();
        let target = dir.join("target");
        let words =
            ["install", "bpf-linker", "--version", LINKER_VERSION, "--locked", "--no-default-features"];
        clean(tool(env!("CARGO")))
            .args(words)
            .args(["--features", &format!("llvm-{llvm}"), "--root"])
            .arg(dir)
            .arg("--target-dir")
            .arg(&target)
            // llvm-sys wants the version as in 22.1 → 221.
            .env(&format!("LLVM_SYS_{llvm}1_PREFIX"), &prefix)
            .env("PATH", format!("{prefix}/bin:{path}"))
            .show()?;
        artefact::remove(&target)?;
        stage.done();
        Ok(())
    })?;
    Ok(dir.join("bin/bpf-linker"))
}

impl Toolchain {
    fn cargo(&self, place: &Place) -> Tool {
        let (cargo, linker) = match self {
            Self::Nightly { linker } => {
                let words = ["run", "nightly", "cargo", "-Zbuild-std=core"];
                (clean(tool("rustup").args(words)), linker)
            }
            Self::Debian { linker, .. } => {
                let cargo = clean(tool(env!("CARGO"))).env("RUSTC", DEBIAN_RUSTC);
                // Only this crate may use unstable features: BPF assembly is one.
                (cargo.env("RUSTC_BOOTSTRAP", "aya_ebpf"), linker)
            }
        };
        let linker_of_target = format!("CARGO_TARGET_{}_LINKER", TRIPLE.to_uppercase().replace('-', "_"));
        cargo
            .dir(&place.root)
            .env(&linker_of_target, linker)
            .env("CARGO_ENCODED_RUSTFLAGS", flags(place).join("\u{1f}"))
    }

    /// Drops the debug sections and keeps the BTF that was made from them.
    fn strip(&self, from: &Path, to: &Path) -> Result<()> {
        let objcopy = match self {
            Self::Nightly { .. } => in_path("llvm-objcopy"),
            Self::Debian { llvm, .. } => {
                Some(PathBuf::from(format!("/usr/lib/llvm-{llvm}/bin/llvm-objcopy")))
            }
        };
        match objcopy {
            Some(objcopy) => tool(objcopy).arg("--strip-debug").arg(from).arg(to).run(),
            // Larger, and as good.
            None => fs::copy(from, to).map(drop).with_context(|| format!("copy {}", from.display())),
        }
    }
}

/// The same object wherever it is built: paths are remapped.
fn flags(place: &Place) -> Vec<String> {
    let home = env::var("CARGO_HOME").ok();
    let home =
        home.or_else(|| env::var("HOME").ok().map(|home| format!("{home}/.cargo"))).unwrap_or_default();
    vec![
        // Only the layout of pt_regs depends on it, and the programs take that from BTF.
        "--cfg=bpf_target_arch=\"x86_64\"".to_owned(),
        "-Cdebuginfo=2".to_owned(),
        "-Clink-arg=--btf".to_owned(),
        format!("--remap-path-prefix={}=/src", place.root.display()),
        format!("--remap-path-prefix={home}/registry/src=/cargo"),
    ]
}

/// Without what our own `cargo run` told us: it would name the wrong toolchain.
fn clean(tool: Tool) -> Tool {
    ["RUSTUP_TOOLCHAIN", "RUSTFLAGS", "RUSTC", "RUSTC_WRAPPER", "CARGO_TARGET_DIR"]
        .iter()
        .fold(tool, |tool, name| tool.without_env(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_llvm_of_a_compiler_is_read_from_its_version() {
        assert_eq!(llvm_major("rustc 1.96.0\nhost: x\nLLVM version: 22.1.8\n"), Some(22));
        assert_eq!(llvm_major("rustc 1.96.0\n"), None);
    }
}
