//! `cargo xtask build`: the kernel programs, then the agent and the tests as static binaries, so that one build runs
//! on this machine and in any guest. What the programs need is in `build/bpf.rs`, what another machine's binaries need
//! in `build/target.rs`.

mod bpf;
mod target;

use std::path::PathBuf;

use anyhow::{Result, bail};

use self::target::Target;

use crate::{
    packages,
    place::{ARM64, HOST, Place},
    progress::stage,
    tool::{Tool, tool},
};

/// gcc links; libseccomp is libcontainer's; libelf and zlib are asked for by its build scripts.
const PACKAGES: &[&str] =
    &["gcc", "libc6-dev", "libelf-dev", "libseccomp-dev", "patch", "pkg-config", "zlib1g-dev"];

/// All but xtask, whose dependencies would add features to those of the agent.
const PRODUCT: &[&str] = &["--package", "carob", "--package", "carob-ebpf", "--package", "carob-tests"];

#[derive(clap::Args)]
pub(crate) struct Words {
    /// The machine the agent is for: x86_64-unknown-linux-gnu or aarch64-unknown-linux-gnu
    #[arg(long, value_name = "TRIPLE", default_value = HOST)]
    target: String,
    /// Builds the kernel programs only
    #[arg(long)]
    bpf_only: bool,
}

pub(crate) fn run(place: &Place, words: &Words) -> Result<()> {
    let target = Target::named(&words.target)?;
    if words.bpf_only {
        println!("{}", bpf::object(place)?.display());
        return Ok(());
    }
    binaries(place, &target)?;
    println!("{}", place.binaries(target.triple).join("carob").display());
    Ok(())
}

/// All that runs on this machine or in the guest.
pub(crate) fn all(place: &Place) -> Result<()> {
    binaries(place, &Target::named(HOST)?)
}

/// The same for arm64.
pub(crate) fn arm64(place: &Place) -> Result<()> {
    binaries(place, &Target::named(ARM64)?)
}

/// The agent as it is shipped: linked as a whole, which takes minutes and saves megabytes. Where it lies.
pub(crate) fn dist(place: &Place, triple: &str) -> Result<PathBuf> {
    let target = Target::named(triple)?;
    prepared(place, &target)?;
    let stage = stage(&format!("dist: agent for {triple}"));
    let words = ["build", "--package", "carob", "--profile", "dist", "--target", triple];
    // Nothing unwinds where a panic is the end: nobody looks for a frame.
    let flags = format!("{STATIC}\u{1f}-C\u{1f}link-arg=-Wl,--no-eh-frame-hdr");
    cargo(place, &target).env("CARGO_ENCODED_RUSTFLAGS", flags).args(words).show()?;
    stage.done();
    Ok(place.binaries(triple).with_file_name("dist").join("carob"))
}

/// Why this machine cannot build for arm64, if it cannot.
pub(crate) fn arm64_obstacle() -> Result<Option<String>> {
    Target::named(ARM64)?.obstacle()
}

fn binaries(place: &Place, target: &Target) -> Result<()> {
    prepared(place, target)?;
    let stage = stage(&format!("build: agent and tests for {}", target.triple));
    cargo(place, target).arg("build").args(PRODUCT).args(target.words()).show()?;
    stage.done();
    Ok(())
}

/// Everything the compiler will ask for.
fn prepared(place: &Place, target: &Target) -> Result<()> {
    if let Some(obstacle) = target.obstacle()? {
        bail!(obstacle);
    }
    packages::ensure(PACKAGES)?;
    bpf::object(place)?;
    if let Some(foreign) = &target.foreign {
        foreign.ensure_packages()?;
    }
    Ok(())
}

/// Only the tests' binary: enough to list the cases.
pub(crate) fn tests_only(place: &Place) -> Result<()> {
    let target = Target::named(HOST)?;
    cargo(place, &target).args(["build", "--quiet", "-p", "carob-tests"]).args(target.words()).show()
}

/// The host tests in two parts, each with the flags and features of a build there already is: no dependency is compiled
/// twice. Their stdout is the caller's to read.
pub(crate) fn host_tests(place: &Place) -> Result<[Tool; 2]> {
    let target = Target::named(HOST)?;
    let product = cargo(place, &target).args(["test", "--no-fail-fast"]).args(PRODUCT).args(target.words());
    Ok([product, own_cargo(place).args(["test", "--no-fail-fast", "--package", "xtask"])])
}

/// The agent's tests with damaged input, each for so long.
pub(crate) fn fuzz(place: &Place, seconds: u64) -> Result<Tool> {
    let target = Target::named(HOST)?;
    prepared(place, &target)?;
    let cargo = cargo(place, &target).env("BOLERO_RANDOM_TEST_TIME_MS", (seconds * 1000).to_string());
    Ok(cargo.args(["test", "--package", "carob"]).args(target.words()).args(["--", "fuzz_"]))
}

pub(crate) fn rustfmt(place: &Place) -> Tool {
    own_cargo(place).args(["fmt", "--all", "--check"])
}

/// Clippy in the same two parts.
pub(crate) fn clippy(place: &Place) -> Result<[Tool; 2]> {
    let target = Target::named(HOST)?;
    prepared(place, &target)?;
    let product = cargo(place, &target).args(["clippy", "--all-targets"]).args(PRODUCT).args(target.words());
    let own = own_cargo(place).args(["clippy", "--all-targets", "--package", "xtask"]);
    Ok([product, own].map(|clippy| clippy.args(["--", "-D", "warnings"])))
}

/// cargo as xtask itself is built with. What `cargo run` has told xtask of its own package it does not hear: build
/// scripts that look at it (ring's does) would run again after each cargo called by hand.
fn own_cargo(place: &Place) -> Tool {
    let told = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok());
    let own = told.filter(|name| name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_"));
    let cargo = own.fold(tool(env!("CARGO")), |cargo, name| cargo.without_env(&name));
    cargo.dir(&place.root).env("CARGO_TARGET_DIR", place.target())
}

/// The C library is linked in.
const STATIC: &str = "-C\u{1f}target-feature=+crt-static";

/// cargo with all that must be the same in each call: else it compiles everything again.
fn cargo(place: &Place, target: &Target) -> Tool {
    let cargo = own_cargo(place)
        .env("CARGO_ENCODED_RUSTFLAGS", STATIC)
        .env("LIBSECCOMP_LINK_TYPE", "static")
        .env("LIBSECCOMP_LIB_PATH", format!("/usr/lib/{}", target.multiarch))
        .env("CAROB_BPF_OBJECT", place.bpf_object());
    target.foreign.iter().fold(cargo, |cargo, foreign| foreign.set_up(cargo, place, target.triple))
}
